"""Turns the values of a BUILD file into the typed values of a target, or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from lamina.build.attributes import Attribute, Kind
from lamina.build.markers import LABEL
from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.core.label import Home, Label

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong in a rule call, and where in the call to look for it."""

    message: str
    hint: str = ""
    attribute: str = ""  # as written; "" is the call itself
    element: str | None = None  # the very text in the attribute


class BadValue(Exception):
    """A value does not fit; carries a complaint for each thing that is wrong."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        super().__init__()
        self.complaints = tuple(complaints)


def coerce(attribute: Attribute, name: str, value: object, home: Home) -> object:
    """The typed form of a value that a BUILD file gives; raises BadValue.

    `name` is the attribute as written; labels are relative to `home`. None is "not given".
    """
    if value is None:
        return attribute.empty
    return _CONVERTERS[attribute.kind](_Slot(attribute.kind, name, home), value)


@dataclass(frozen=True, slots=True)
class _Slot:
    """What a value is for: the attribute's kind, its name as written, where it stands."""

    kind: Kind
    name: str
    home: Home

    def wrong(self, value: object) -> BadValue:
        message = f"`{self.name}` takes {self.kind.value}, not {describe(value)}"
        hint = ""
        if isinstance(value, str) and self.kind.value.startswith("a list"):
            hint = f'write `{self.name} = ["{value}"]`'
        return BadValue([Complaint(message, hint, self.name)])

    def wrong_element(self, value: object) -> BadValue:
        message = f"`{self.name}` takes {self.kind.value}; {describe(value)} is in it"
        element = value if isinstance(value, str) else None
        return BadValue([Complaint(message, "", self.name, element)])


def describe(value: object) -> str:
    """A value of a BUILD file in words."""
    if isinstance(value, bool):
        return f"`{value}`"
    if isinstance(value, str):
        return f'the string `"{value}"`'
    if isinstance(value, int):
        return f"the integer `{value}`"
    return _NAMES.get(type(value), f"a {type(value).__name__}")


_NAMES: Mapping[type, str] = {
    list: "a list",
    dict: "a dict",
    float: "a float",
    type(None): "`None`",
}


def _string(slot: _Slot, value: object) -> str:
    if not isinstance(value, str):
        raise slot.wrong(value)
    return value


def _integer(slot: _Slot, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise slot.wrong(value)
    return value


def _boolean(slot: _Slot, value: object) -> bool:
    # Bazel's older files write 0 and 1.
    if not isinstance(value, int) or value not in (0, 1):
        raise slot.wrong(value)
    return bool(value)


def _strings(slot: _Slot, value: object) -> tuple[str, ...]:
    return _each(slot, value, _element)


def _integers(slot: _Slot, value: object) -> tuple[int, ...]:
    return _each(slot, value, _integer)


def _pairs(slot: _Slot, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise slot.wrong(value)
    _each(slot, [*value.keys(), *value.values()], _element)
    return tuple(value.items())


def _outputs(slot: _Slot, value: object) -> tuple[tuple[str, str], ...]:
    """Pairs of the name of some outputs and the path of one; the name is "" without a dict."""
    if not isinstance(value, dict):
        return tuple(("", path) for path in _each(slot, value, _element))
    return tuple((name, path) for name in value for path in _paths(slot, value[name]))


def _paths(slot: _Slot, value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else _each(slot, value, _element)


def _label(slot: _Slot, value: object) -> Label:
    text = _text_of(value)
    if not isinstance(text, str):
        raise slot.wrong(value)
    return _parse(slot, text)


def _text_of(value: object) -> object:
    """The text of a label that Starlark gives as a `Label()`; anything else as it is."""
    return value.get(LABEL, value) if isinstance(value, dict) else value


def _label_keys(slot: _Slot, value: object) -> tuple[tuple[Label, str], ...]:
    if not isinstance(value, dict):
        raise slot.wrong(value)
    return _each(slot, list(value.items()), _keyed)


def _keyed(slot: _Slot, item: object) -> tuple[Label, str]:
    key, value = item if isinstance(item, tuple) else (None, None)
    return _parse(slot, key), _element(slot, value)


def _labels(slot: _Slot, value: object) -> tuple[Label, ...]:
    return _each(slot, value, _parse)


def _sources(slot: _Slot, value: object) -> tuple[tuple[str, Label], ...]:
    if isinstance(value, dict):
        return _each(slot, list(value.items()), _named_source)
    labels = _each(slot, value, _parse)
    return tuple((label.name, label) for label in labels)


def _flagged_sources(slot: _Slot, value: object) -> tuple[tuple[object, ...], ...]:
    """As `_sources`; a file may come with flags, which are the third element of its entry."""
    if isinstance(value, dict):
        return _sources(slot, value)
    return _each(slot, value, _flagged_source)


def _flagged_source(slot: _Slot, item: object) -> tuple[object, ...]:
    """A file, or Buck's `("x.cc", ["-DX"])`, which Starlark hands over as a list."""
    if not isinstance(item, (list, tuple)):
        label = _parse(slot, item)
        return label.name, label
    if len(item) != 2 or not isinstance(item[1], list):
        message = f"`{slot.name}` takes pairs of a file and a list of flags"
        raise BadValue([Complaint(message, "", slot.name)])
    label = _parse(slot, item[0])
    return label.name, label, _each(slot, item[1], _element)


def _lists(slot: _Slot, value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise slot.wrong(value)
    _each(slot, [*value], _element)
    return tuple((key, _each(slot, texts, _element)) for key, texts in value.items())


def _named_source(slot: _Slot, item: object) -> tuple[str, Label]:
    """One entry of the dict form, {path in the build package: file}."""
    path, source = item if isinstance(item, tuple) else ("", None)
    path = _element(slot, path)
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        hint = "paths are relative, without `.`, `..` or empty segments"
        raise BadValue([Complaint(f"not a path: `{path}`", hint, slot.name, path)])
    return path, _parse(slot, source)


def _element(slot: _Slot, value: object) -> str:
    if not isinstance(value, str):
        raise slot.wrong_element(value)
    return value


def _parse(slot: _Slot, value: object) -> Label:
    if not isinstance(value, str):
        value = _text_of(value)
    if not isinstance(value, str):
        raise slot.wrong_element(value)
    try:
        return slot.home.label(value)
    except UserError as error:
        complaint = Complaint(error.message, error.hint or "", slot.name, value)
        raise BadValue([complaint]) from error


def _each(slot: _Slot, value: object, convert: Callable[[_Slot, object], T]) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise slot.wrong(value)
    try:
        return tuple([convert(slot, element) for element in value])
    except BadValue:
        raise BadValue(_complaints(slot, value, convert)) from None


def _complaints(
    slot: _Slot, value: list[object], convert: Callable[[_Slot, object], object]
) -> Iterator[Complaint]:
    """Every complaint about a list, not only the first."""
    for element in value:
        try:
            convert(slot, element)
        except BadValue as error:
            yield from error.complaints


_CONVERTERS: Mapping[Kind, Callable[[_Slot, object], object]] = {
    Kind.STRING: _string,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.STRING_LIST: _strings,
    Kind.INTEGER_LIST: _integers,
    Kind.STRING_DICT: _pairs,
    Kind.LIST_DICT: _lists,
    Kind.LABEL: _label,
    Kind.LABEL_LIST: _labels,
    Kind.LABEL_DICT: _label_keys,
    Kind.OUTPUTS: _outputs,
    Kind.SOURCE: _label,
    Kind.SOURCES: _sources,
    Kind.FLAGGED_SOURCES: _flagged_sources,
    Kind.ANY: lambda _slot, _value: None,
}
