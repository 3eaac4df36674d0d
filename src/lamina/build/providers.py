"""What targets hand to those that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lamina.core.action import Artifact
from lamina.core.label import Label

LIBRARIES = "lib"  # where shared libraries lie in a package root


@dataclass(frozen=True, slots=True, eq=False)
class CxxInfo:
    """What compiling and linking against a C or C++ library takes; compared by identity."""

    headers: tuple[tuple[str, Artifact], ...] = ()  # at their path from the workspace root
    flags: tuple[str, ...] = ()  # defines and include folders for all who depend on it
    linker_flags: tuple[str, ...] = ()  # for every link that it ends up in
    library: tuple[str, Artifact] | None = None  # soname and shared library
    deps: tuple[CxxInfo, ...] = ()

    def closure(self) -> tuple[CxxInfo, ...]:
        """This library and all below it, dependents before dependencies, each once."""
        return closure((self,))


def closure(libraries: Iterable[CxxInfo]) -> tuple[CxxInfo, ...]:
    """The libraries and all below them, each once, dependents before what they depend on."""
    order: dict[int, CxxInfo] = {}
    stack: list[tuple[CxxInfo, bool]] = [(info, False) for info in list(libraries)]
    seen: set[int] = set()
    while stack:
        info, done = stack.pop()
        if done:
            order[id(info)] = info
        elif id(info) not in seen:
            seen.add(id(info))
            stack.append((info, True))
            stack.extend((dep, False) for dep in info.deps)
    return tuple(reversed(order.values()))


@dataclass(frozen=True, slots=True)
class Runnable:
    """How a target is started once its package root is there."""

    entry_point: str  # path of the launcher in the package root
    interpreter: str = ""  # `python3.11`; empty for native programs


@dataclass(frozen=True, slots=True)
class Analysed:
    """A target after analysis: all that others may take from it."""

    label: Label
    files: tuple[tuple[str, Artifact], ...] = ()  # its outputs, by path from the workspace root
    own: Mapping[str, Artifact] = field(default_factory=dict)  # by path in the package root
    runtime: tuple[Label, ...] = ()  # whose files it needs at run time, in declared order
    imports: tuple[str, ...] = ()  # further Python import roots, by path in the package root
    cxx: CxxInfo | None = None
    runnable: Runnable | None = None
