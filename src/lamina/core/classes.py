"""Data classes as the standard library has them, which cost next to nothing until they are used.

`dataclasses` imports `inspect`, and compiles six functions for each class: 10 to 20 ms of every
command. Here `__init__` is compiled when the first instance is made, and nothing else is. To type
checkers, and to `dataclasses.fields` and the like, they are those of the library.

They have slots; what else lamina does not use of them is not here.
"""

from __future__ import annotations

from _operator import attrgetter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import asdict as asdict
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace

_FIELDS = "__lamina_fields__"
_MISSING: Any = object()


class _Field:
    """What is known of an attribute."""

    __slots__ = ("compare", "default", "default_factory", "init", "kw_only", "repr")

    def __init__(
        self,
        default: object = _MISSING,
        default_factory: object = _MISSING,
        *,
        init: bool = True,
        repr: bool = True,  # noqa: A002 - the library's own name
        compare: bool = True,
        kw_only: bool = False,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare
        self.kw_only = kw_only

    def options(self) -> dict[str, Any]:
        """What `dataclasses.field` is to be told."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in told.items() if value is not _MISSING}


class _Standard:
    """The fields as `dataclasses` has them, made when somebody asks."""

    def __get__(self, instance: object, owner: type) -> object:
        import dataclasses  # dear, and seldom asked for

        fields: Mapping[str, _Field] = getattr(owner, _FIELDS)
        types: dict[str, object] = {}
        for base in reversed(owner.__mro__):
            types |= _annotations(base.__dict__)
        twin: dict[str, object] = {
            name: dataclasses.field(**field.options()) for name, field in fields.items()
        }
        twin["__annotations__"] = {name: types[name] for name in fields}
        standard: Any = dataclasses.dataclass(type(owner.__name__, (), twin))
        found = standard.__dataclass_fields__
        type.__setattr__(owner, "__dataclass_fields__", found)
        return found


def _dataclass(
    cls: type | None = None,
    /,
    *,
    slots: bool = False,
    frozen: bool = False,
    order: bool = False,
    eq: bool = True,
) -> Any:
    """See `dataclasses.dataclass`."""
    if not slots:
        raise TypeError("classes of lamina have `slots=True`")
    if cls is None:
        return lambda each: _made(each, frozen=frozen, order=order, eq=eq)
    return _made(cls, frozen=frozen, order=order, eq=eq)


def _replace(old: Any, /, **changes: object) -> Any:
    """See `dataclasses.replace`."""
    fields: Mapping[str, _Field] | None = getattr(type(old), _FIELDS, None)
    if fields is None:
        from dataclasses import replace as standard

        return standard(old, **changes)
    for name, field in fields.items():
        if field.init and name not in changes:
            changes[name] = getattr(old, name)
    return type(old)(**changes)


def _asdict(value: Any) -> dict[str, Any]:
    """See `dataclasses.asdict`; what is no data class and no list is the same object."""
    return {name: _plain(getattr(value, name)) for name in getattr(type(value), _FIELDS)}


def _plain(value: Any) -> Any:
    kind = type(value)
    if hasattr(kind, _FIELDS):
        return _asdict(value)
    if isinstance(value, dict):
        return kind((_plain(key), _plain(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        each = map(_plain, value)
        return kind(*each) if hasattr(kind, "_fields") else kind(each)
    return value


if not TYPE_CHECKING:
    asdict, dataclass, field, replace = _asdict, _dataclass, _Field, _replace


def _made(cls: type, *, frozen: bool, order: bool, eq: bool) -> type:
    """The class anew, with slots and methods."""
    namespace = dict(cls.__dict__)
    own: dict[str, _Field] = {}
    for name, annotation in _annotations(namespace).items():
        if not annotation.startswith("ClassVar"):
            default = namespace.pop(name, _MISSING)
            own[name] = default if isinstance(default, _Field) else _Field(default)
    inherited: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        inherited |= base.__dict__.get(_FIELDS, {})
    fields = {**inherited, **own}
    namespace.pop("__dict__", None)
    namespace.pop("__weakref__", None)
    namespace["__qualname__"] = cls.__qualname__
    namespace["__slots__"] = tuple(name for name in own if name not in inherited)
    namespace[_FIELDS] = fields
    namespace["__dataclass_fields__"] = _Standard()
    namespace["__match_args__"] = tuple(
        name for name, field in fields.items() if field.init and not field.kw_only
    )
    made: type

    def compiled() -> Callable[..., None]:
        init = _init(made, frozen=frozen)
        type.__setattr__(made, "__init__", init)
        return init

    def begin(self: Any, *args: object, **named: object) -> None:
        compiled()(self, *args, **named)

    begin.compiled = compiled  # type: ignore[attr-defined]
    namespace.setdefault("__init__", begin)
    namespace.setdefault("__repr__", _repr)
    compared = [name for name, field in fields.items() if field.compare]
    values: Callable[[Any], Any] = attrgetter(*compared) if compared else type
    if eq:
        _compare(namespace, values, frozen=frozen)
    if order:
        namespace |= _order(values)
    if frozen:
        namespace |= {"__setattr__": _refuse, "__delattr__": _refuse}
        namespace |= {"__getstate__": _get_state, "__setstate__": _set_state}
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    return made


def _annotations(namespace: Mapping[str, Any]) -> Mapping[str, str]:
    """Names and types of a class of its own; as texts, as every module here asks for."""
    found: Mapping[str, str] = namespace.get("__annotations__", {})
    return found


def complete(kind: type) -> None:
    """Make now what a class else makes when its first object is: for who forks later."""
    compiled = getattr(kind.__dict__.get("__init__"), "compiled", None)
    if compiled is not None:
        compiled()


def names(kind: type) -> tuple[str, ...]:
    """The names of the attributes of a data class, in order."""
    return tuple(getattr(kind, _FIELDS))


def _init(cls: type, *, frozen: bool) -> Callable[..., None]:
    """Compile `__init__`."""
    known: dict[str, Any] = {"_MISSING": _MISSING}
    usual, named, body = ["self"], list[str](), list[str]()
    for name, field in getattr(cls, _FIELDS).items():
        known[f"_set_{name}"] = getattr(cls, name).__set__
        made = field.default_factory is not _MISSING
        if made:
            known[f"_make_{name}"] = field.default_factory
        if field.init:
            word = name
            if made or field.default is not _MISSING:
                known[f"_usual_{name}"] = field.default
                word = f"{name}=_usual_{name}"
            (named if field.kw_only else usual).append(word)
            if made:
                body.append(f"if {name} is _MISSING: {name} = _make_{name}()")
        elif made:
            body.append(f"{name} = _make_{name}()")
        elif field.default is not _MISSING:
            known[f"_usual_{name}"] = field.default
            body.append(f"{name} = _usual_{name}")
        else:
            continue
        body.append(f"_set_{name}(self, {name})" if frozen else f"self.{name} = {name}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    words = ", ".join([*usual, *(["*", *named] if named else [])])
    lines = "".join(f"    {line}\n" for line in body or ["pass"])
    exec(f"def __init__({words}):\n{lines}", known)
    known["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    found: Callable[..., None] = known["__init__"]
    return found


def _repr(self: Any) -> str:
    shown = (name for name, field in getattr(self, _FIELDS).items() if field.repr)
    text = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({text})"


def _compare(namespace: dict[str, Any], values: Callable[[Any], Any], *, frozen: bool) -> None:
    """Let instances be equal by their values, and have a hash if these stay."""

    def equal(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    def hashed(self: object) -> int:
        return hash(values(self))

    is_own = "__eq__" in namespace and namespace.get("__hash__") is None
    namespace.setdefault("__eq__", equal)
    if "__hash__" not in namespace or is_own:
        namespace["__hash__"] = hashed if frozen else None


def _order(values: Callable[[Any], Any]) -> dict[str, object]:
    def compared(holds: Callable[[Any, Any], bool]) -> Callable[[object, object], Any]:
        def compare(self: object, other: object) -> Any:
            if other.__class__ is not self.__class__:
                return NotImplemented
            return holds(values(self), values(other))

        return compare

    return {
        "__lt__": compared(lambda a, b: a < b),
        "__le__": compared(lambda a, b: a <= b),
        "__gt__": compared(lambda a, b: a > b),
        "__ge__": compared(lambda a, b: a >= b),
    }


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"can not change `{name}` of a {type(self).__qualname__}")


def _get_state(self: Any) -> list[object]:
    return [getattr(self, name) for name in getattr(self, _FIELDS)]


def _set_state(self: Any, state: list[object]) -> None:
    for name, value in zip(getattr(self, _FIELDS), state, strict=True):
        object.__setattr__(self, name, value)
