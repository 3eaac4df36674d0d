"""What C and C++ libraries and rules in .bzl files tell each other of headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.build.providers import CxxInfo, closure
from lamina.core.action import OUTPUT_FOLDER, Artifact

if TYPE_CHECKING:
    from lamina.build.userrules.files import Files

_FOLDERS = (
    ("system_includes", "-isystem"),
    ("quote_includes", "-iquote"),
    ("includes", "-I"),
)


def compilation(files: Files, info: CxxInfo) -> dict[str, Any]:
    """What compiling against a library takes, as `CcInfo` has it."""
    infos = closure([info])
    found: dict[str, list[str]] = {name: [] for name in ("defines", *dict(_FOLDERS))}
    for switch in (switch for below in infos for switch in below.switches):
        _sort(switch, found)
    return {
        "headers": [files.add(*header) for below in infos for header in below.headers],
        "direct": [files.add(*header) for header in info.headers],
        **{name: list(dict.fromkeys(values)) for name, values in found.items()},
    }


def _sort(switch: tuple[str, ...], found: dict[str, list[str]]) -> None:
    """Put a define or a folder where it belongs; both `-I x` and `-Ix` are met."""
    text = "".join(switch)
    if text.startswith("-D"):
        found["defines"].append(text[2:])
    for name, option in _FOLDERS:
        if text.startswith(option):
            found[name].append(text[len(option) :])


def library(
    root: str,
    headers: Iterable[tuple[str, Artifact]],
    given: dict[str, Any],
    deps: Iterable[CxxInfo],
) -> CxxInfo:
    """What a target that gives a `CcInfo` hands to those that compile against it."""
    switches: list[tuple[str, ...]] = [
        (option, _folder(path)) if option == "-isystem" else (f"{option}{_folder(path)}",)
        for name, option in _FOLDERS
        for path in given[name]
    ]
    switches += [(f"-D{define}",) for define in given["defines"]]
    return CxxInfo(
        root=root,
        headers=tuple(headers),
        switches=tuple(dict.fromkeys(switches)),
        deps=tuple(deps),
    )


def _folder(path: str) -> str:
    """A folder as compile actions see it: generated headers lie among the sources there."""
    path = path.rstrip("/")
    if path == OUTPUT_FOLDER:
        return "."
    return path.removeprefix(f"{OUTPUT_FOLDER}/") or "."
