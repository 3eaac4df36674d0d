"""Which sources are in a target's layer: the files whose change changes what it ships.

Found from the actions behind its own files, as they are declared. What lies in another target's
layer is not looked through: a program that is linked anew against a library of new code is the same
program, and the code ships with the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.build.providers import Analysed
from lamina.core.action import Action, Artifact, Output, Source
from lamina.core.label import Label


def layer_sources(targets: Iterable[Analysed]) -> Mapping[Label, frozenset[str]]:
    """The sources of each target's own files, by path from the root of the workspace."""
    targets = list(targets)
    layered = {id(file.action): target.label for target in targets for file in _outputs(target)}
    known: dict[int, frozenset[str]] = {}
    return {target.label: _of_target(target, layered, known) for target in targets}


def _outputs(target: Analysed) -> Iterable[Output]:
    return (file for file in target.own.values() if isinstance(file, Output))


def _of_target(
    target: Analysed, layered: Mapping[int, Label], known: dict[int, frozenset[str]]
) -> frozenset[str]:
    found = {file.path for file in target.own.values() if isinstance(file, Source)}
    for file in _outputs(target):
        found |= _behind(file.action, layered, known)
    return frozenset(found)


def _behind(
    wanted: Action, layered: Mapping[int, Label], known: dict[int, frozenset[str]]
) -> frozenset[str]:
    """The sources behind an action; a graph may be deeper than Python's stack."""
    waiting = [wanted]
    while waiting:
        action = waiting[-1]
        below = [maker for maker in _makers(action) if _is_open(maker, action, layered)]
        missing = [maker for maker in below if id(maker) not in known]
        if missing:
            waiting.extend(missing)
            continue
        waiting.pop()
        if id(action) not in known:
            sources = {file.path for _, file in action.inputs if isinstance(file, Source)}
            known[id(action)] = frozenset(sources.union(*(known[id(maker)] for maker in below)))
    return known[id(wanted)]


def _makers(action: Action) -> list[Action]:
    files: list[Artifact] = [file for _, file in action.inputs]
    return list({id(f.action): f.action for f in files if isinstance(f, Output)}.values())


def _is_open(maker: Action, reader: Action, layered: Mapping[int, Label]) -> bool:
    """Whether what a maker gives goes into the reader's layer, rather than into one of its own."""
    owner = layered.get(id(maker))
    return owner is None or owner == layered.get(id(reader))
