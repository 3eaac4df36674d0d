"""The functions that BUILD files and macros call beside the rules: `glob`, `package`, …

Each takes the evaluation it acts on, then what Starlark gives. A CallFault ends the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lamina.build import glob as globs
from lamina.build.attributes import Attribute, Kind
from lamina.build.coerce import BadValue, coerce, describe
from lamina.build.declare import Scope
from lamina.build.disk import join
from lamina.build.evaluation import CallFault, Evaluation
from lamina.build.markers import LABEL
from lamina.build.visibility import PUBLIC, canonical
from lamina.core.errors import UserError
from lamina.core.label import Home, Label

_STRING = Attribute(Kind.STRING)
_STRINGS = Attribute(Kind.STRING_LIST)
_FLAG = Attribute(Kind.BOOLEAN)


def glob(
    evaluation: Evaluation,
    include: object = (),
    exclude: object = (),
    exclude_directories: object = 1,
    allow_empty: object = True,
    excludes: object = (),
    include_dotfiles: object = True,
) -> list[str]:
    """The files of the build package that match; see `lamina.build.glob`.

    `excludes` is `exclude` as Buck called it; dot files are chosen by whoever names them, as there.
    """
    del include_dotfiles
    chosen = _patterns("glob", "include", include)
    unwanted = _patterns("glob", "exclude", exclude) + _patterns("glob", "excludes", excludes)
    folders_too = not _value(_FLAG, "exclude_directories", exclude_directories)
    found = globs.expand(evaluation.view, evaluation.folder, chosen, unwanted, folders_too)
    evaluation.globs.append(found)
    if not found.files and not _value(_FLAG, "allow_empty", allow_empty):
        raise _nothing("glob", "file", chosen)
    return list(found.files)


def subdir_glob(
    evaluation: Evaluation, glob_specs: object, exclude: object = (), prefix: object = ""
) -> dict[str, str]:
    """Buck's dict of files by their path below a folder: `[("inc", "**/*.h")]` chooses them."""
    specs = glob_specs if isinstance(glob_specs, list) else [glob_specs]
    found: dict[str, str] = {}
    for spec in specs:
        if not isinstance(spec, list | tuple) or len(spec) != 2:
            raise CallFault("`subdir_glob` takes a list of pairs of a folder and a pattern")
        folder, pattern = (str(word) for word in spec)
        for path in glob(evaluation, [join(folder, pattern)], exclude):
            name = path.removeprefix(f"{folder}/") if folder else path
            found.setdefault(join(str(prefix or ""), name), path)
    return found


def subpackages(
    evaluation: Evaluation,
    include: object = (),
    exclude: object = (),
    allow_empty: object = False,
) -> list[str]:
    """The nearest build packages below this one whose path matches, sorted."""
    chosen = _patterns("subpackages", "include", include)
    unwanted = _patterns("subpackages", "exclude", exclude)
    found = [
        path
        for path in _below(evaluation)
        if any(globs.matches(path, pattern) for pattern in chosen)
        and not any(globs.matches(path, pattern) for pattern in unwanted)
    ]
    if not found and not _value(_FLAG, "allow_empty", allow_empty):
        raise _nothing("subpackages", "build package", chosen)
    return found


def _below(evaluation: Evaluation) -> list[str]:
    """The build packages below that no other one lies between."""
    view, found, waiting = evaluation.view, [], [""]
    while waiting:
        here = waiting.pop()
        listing = view.folder(join(evaluation.folder, here))
        for name in listing.folders - listing.links:
            path = join(here, name)
            full = join(evaluation.folder, path)
            if view.is_hidden(full):
                continue
            if view.build_file(full):
                found.append(path)
            else:
                waiting.append(path)
    return sorted(found)


def package(
    evaluation: Evaluation,
    default_visibility: object = None,
    default_testonly: object = None,
    default_deprecation: object = None,
    **ignored: object,
) -> None:
    """Set the defaults of the targets that follow; `features` and the like are accepted."""
    unknown = sorted(ignored.keys() - _IGNORED)
    if unknown:
        raise CallFault(f"`package` has no argument `{unknown[0]}`")
    if evaluation.configured:
        raise CallFault("`package` is called twice", "a BUILD file says its defaults once")
    evaluation.configured = True
    home = evaluation.scope.home
    entries = _value(_STRINGS, "default_visibility", default_visibility)
    evaluation.scope = Scope(
        home,
        _visibility(entries, home, "default_visibility"),
        bool(_value(_FLAG, "default_testonly", default_testonly)),
        str(_value(_STRING, "default_deprecation", default_deprecation)),
    )


_IGNORED = frozenset(
    {
        "default_applicable_licenses",
        "default_compatible_with",
        "default_package_metadata",
        "default_restricted_to",
        "features",
        "inherit",
        "licenses",
        "transitive_visibility",
        "within_view",
    }
)


def package_name(evaluation: Evaluation) -> str:
    """The path of the build package from the root."""
    return evaluation.scope.home.package


def repository_name(evaluation: Evaluation) -> str:
    """The name of the cell as labels write it: `@` for the workspace itself."""
    return f"@{evaluation.scope.home.cell}"


def repo_name(evaluation: Evaluation) -> str:
    """The name of the cell, "" for the workspace itself."""
    return evaluation.scope.home.cell


def module_name(evaluation: Evaluation) -> str | None:
    """What the cell calls itself: in MODULE.bazel, else by the name it has here."""
    home = evaluation.scope.home
    workspace = evaluation.workspace
    return home.cell or (workspace.name if workspace else None)


def module_version(evaluation: Evaluation) -> str | None:
    """Cells have no versions."""
    del evaluation
    return None


def relative_label(evaluation: Evaluation, text: object) -> dict[str, str]:
    """The parts of a label that is written in the BUILD file; see `starlark_globals`."""
    return label_parts(text, evaluation.scope.home)


def label_parts(text: object, home: Home) -> dict[str, str]:
    """What a `Label()` in Starlark holds; raises CallFault for what is no label."""
    if not isinstance(text, str):
        raise CallFault(f"`Label` takes a string, not {describe(text)}")
    label = _label(text, home)
    return {
        LABEL: f"@@{label}".replace("@@@", "@@"),
        "name": label.name,
        "package": label.package,
        "workspace_name": label.cell,
        "repo_name": label.cell,
        "workspace_root": f"external/{label.cell}" if label.cell else "",
    }


def _label(text: str, home: Home) -> Label:
    try:
        return home.label(text)
    except UserError as error:
        raise CallFault(error.message, error.hint or "", text) from error


def existing_rule(evaluation: Evaluation, name: object) -> object:
    """What a target of this BUILD file was declared with, or None where there is none so far."""
    call = evaluation.calls.get(str(name))
    return None if call is None else {**call[1], "kind": call[0]}


def existing_rules(evaluation: Evaluation) -> object:
    """All targets so far, by name."""
    return {name: {**given, "kind": rule} for name, (rule, given) in evaluation.calls.items()}


def exports_files(
    evaluation: Evaluation, srcs: object, visibility: object = None, licenses: object = None
) -> None:
    """Let other build packages use source files by label."""
    del licenses
    home = evaluation.scope.home
    entries = (PUBLIC,) if visibility is None else _value(_STRINGS, "visibility", visibility)
    shown = _visibility(entries, home, "visibility")
    for label in _exported(srcs, home):
        if (label.cell, label.package) != (home.cell, home.package):
            raise CallFault(
                f"`exports_files` names `{label}` of another build package",
                "export it in the BUILD file of its own build package",
                str(label),
            )
        evaluation.exports[label.name] = shown


def python_requirements(
    evaluation: Evaluation,
    name: object = "python",
    lock: object = "pylock.toml",
    builds_with: object = None,
    exclude: object = None,
    **common: object,
) -> None:
    """Declare a target for every distribution of a lock file; see `lamina.build.wheels.declared`.

    `common` are attributes of all of them, as `visibility`. A pattern such as `//...` chooses none:
    nobody wants to fetch all that a lock has.
    """
    from lamina.build.wheels import declared  # packaging is met only by who has a lock
    from lamina.formats import pylock

    file = _label(str(lock), evaluation.scope.home)
    here = (evaluation.scope.home.cell, evaluation.scope.home.package)
    if (file.cell, file.package) != here:
        hint = "call it in the BUILD file of that build package"
        raise CallFault(f"the lock `{lock}` lies in another build package", hint, str(lock))
    try:
        calls = declared.calls(
            str(name),
            pylock.decode(evaluation.read(file.name)),
            file.name.rpartition("/")[0],
            dict(_lists("builds_with", builds_with)),
            dict(_lists("exclude", exclude)),
        )
    except UserError as error:
        raise CallFault(f"`{lock}`: {error.message}", error.hint or "", str(lock)) from error
    schema = evaluation.schemas[declared.RULE]
    common.setdefault("tags", ["manual"])
    for _, attributes in calls:
        evaluation.call_rule(schema, "python_requirements", (), {**attributes, **common})


_LISTS = Attribute(Kind.LIST_DICT)


def _lists(name: str, value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = _value(_LISTS, name, value or {})
    return found if isinstance(found, tuple) else ()


def licenses(evaluation: Evaluation, *_terms: object, **_named: object) -> None:
    """Accepted, without effect."""
    del evaluation


def distribs(evaluation: Evaluation, *_names: object, **_named: object) -> None:
    """Accepted, without effect."""
    del evaluation


def oncall(evaluation: Evaluation, *_names: object, **_named: object) -> None:
    """Accepted, without effect."""
    del evaluation


Function = Callable[..., object]
FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            glob,
            subdir_glob,
            subpackages,
            package,
            package_name,
            repository_name,
            repo_name,
            module_name,
            module_version,
            existing_rule,
            existing_rules,
            exports_files,
            python_requirements,
            licenses,
            distribs,
            oncall,
        )
    }
)
NOT_NATIVE = frozenset({"package", "licenses", "distribs"})


def _nothing(function: str, what: str, patterns: tuple[str, ...]) -> CallFault:
    shown = ", ".join(f"`{pattern}`" for pattern in patterns)
    return CallFault(
        f"`{function}` finds no {what} for {shown}",
        "correct the pattern, or set `allow_empty = True`",
    )


def _patterns(function: str, name: str, value: object) -> tuple[str, ...]:
    """The patterns of a glob; raises CallFault when they are none."""
    if isinstance(value, str):
        raise CallFault(
            f"`{function}` takes a list of patterns, not {describe(value)}",
            f'write `{function}(["{value}"])`',
        )
    patterns = _value(_STRINGS, name, value)
    for pattern in patterns if isinstance(patterns, tuple) else ():
        fault = globs.fault_of(pattern)
        if fault:
            raise CallFault(f"not a pattern for `{function}`: `{pattern}`", fault, pattern)
    return patterns if isinstance(patterns, tuple) else ()


def _value(attribute: Attribute, name: str, value: object) -> object:
    """An argument of a function, typed like an attribute of a rule."""
    if any(isinstance(part, str) and "\0" in part for part in _parts(value)):
        raise CallFault(f"`{name}` takes no `select`", "call it in each branch of the `select`")
    try:
        given = list(value) if isinstance(value, tuple) else value
        return coerce(attribute, name, given, Home())
    except BadValue as error:
        raise _first(error) from error


def _parts(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _visibility(entries: object, home: Home, name: str) -> tuple[str, ...]:
    try:
        return canonical(entries if isinstance(entries, tuple) else (), home, name)
    except BadValue as error:
        raise _first(error) from error


def _exported(srcs: object, home: Home) -> list[Label]:
    names = _value(_STRINGS, "srcs", srcs)
    try:
        return [home.label(n) for n in (names if isinstance(names, tuple) else ())]
    except UserError as error:
        raise CallFault(error.message, error.hint or "") from error


def _first(error: BadValue) -> CallFault:
    complaint = error.complaints[0]
    return CallFault(complaint.message, complaint.hint, complaint.element)
