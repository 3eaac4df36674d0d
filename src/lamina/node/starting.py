"""Starts a container whose bundle is there, by the runtime that was chosen."""

from __future__ import annotations

import json
from pathlib import Path

from lamina.core.classes import dataclass, replace
from lamina.core.container import STOP_TIMEOUT, Container
from lamina.formats import runtimespec
from lamina.formats.runtimespec import Surroundings
from lamina.linux import cgroups
from lamina.linux.group import Group
from lamina.node import runtimes, walls
from lamina.node.runtimes import BWRAP, RUNC, Runtime
from lamina.node.walls import Walls


@dataclass(frozen=True, slots=True)
class Ready:
    """A bundle that only lacks its `config.json`."""

    id: str
    bundle: Path
    runtime: Runtime
    container: Container
    around: Surroundings
    group: Group
    layout: cgroups.Layout


@dataclass(frozen=True, slots=True)
class Differing:
    """What of a container is of one start alone."""

    arguments: tuple[str, ...] = ()  # the last ones of the program
    is_here: bool = False  # whether it starts where lamina was started


_NOTHING = Differing()


def start(
    ready: Ready,
    differing: Differing = _NOTHING,
    network: int | None = None,
    stop_timeout: float = STOP_TIMEOUT,
) -> tuple[int, Walls | None]:
    """The process id of the runtime outside, and what another start can be made by, if one can."""
    if ready.runtime.name == BWRAP:
        from lamina.node import bubble

        return bubble.start(
            ready.runtime, ready.container, ready.around, ready.bundle, ready.group, network
        ), None
    made = _walls(ready, differing, stop_timeout)
    pid = walls.begin(
        made,
        str(ready.bundle),
        ready.group,
        differing.arguments,
        dict(ready.container.environment),
        terminal=ready.container.terminal,
        network=network,
    )
    return pid, made


def _walls(ready: Ready, differing: Differing, stop_timeout: float) -> Walls:
    runtime, id_ = ready.runtime, ready.id
    shown, path = _cgroups(ready)
    # runc knows how an ordinary user comes by a view of its groups, and crun sees none to show.
    kind = ready.around.cgroups and ("cgroup" if runtime.name == RUNC else "cgroup2")
    own = replace(ready.around, limits=False, group=path, cgroups=kind)
    document = runtimespec.config(_marked(ready.container, differing, id_), own)
    return Walls(
        id_=id_,
        shelf=str(ready.bundle.parent),
        config=json.dumps(document, separators=(",", ":")),
        shown=shown,
        stop_timeout=stop_timeout,
        folder="" if differing.is_here else ready.container.folder,
        command=runtimes.run_words(runtime, ready.bundle, id_),
        by=ready.group.by,
        settings=ready.group.settings,
    )


def _marked(container: Container, differing: Differing, id_: str) -> Container:
    own = container.arguments[: len(container.arguments) - len(differing.arguments)]
    return replace(
        container,
        arguments=(*own, walls.mark(id_, walls.ARGUMENTS)),
        environment=((walls.mark(id_, walls.ENVIRONMENT), ""),),
        folder=walls.mark(id_, walls.FOLDER),
    )


def _cgroups(ready: Ready) -> tuple[str, str]:
    """Which control groups a runtime is to see, and which to use; crun leaves them alone."""
    if ready.runtime.name != RUNC:
        return "none", ""
    if ready.layout.name == "v2":
        # Left to itself it would make one beside ours, in which no limit holds; and what it is told
        # it removes in the end, while it is in ours itself.
        tree, folder = ready.layout.hierarchies[0], ready.group.folder("memory")
        return "all", f"/{Path(folder).relative_to(tree.top)}/container" if folder else ""
    return "all" if ready.around.identity.rootless else "devices", ""
