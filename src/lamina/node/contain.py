"""Runs a package in a container: walls by crun, runc or bwrap, limits by control groups.

    Order + Package -> Container -> config.json -> runtime

What is decided is a value, and can be printed; `run` does it. Decision 31 says why so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lamina.core import plainjson
from lamina.core.classes import dataclass, replace
from lamina.core.container import PRIVATE, Bind, Container, Limits, Tmpfs
from lamina.core.errors import HostError, UserError
from lamina.core.manifest import Package
from lamina.core.places import ROOT
from lamina.formats import runtimespec
from lamina.formats.runtimespec import Identity, Surroundings
from lamina.linux import cgroups, groupusage
from lamina.linux.group import Group
from lamina.node import cell, launch, mounts, order, rootfs, runtimes, starting, supervise, walls
from lamina.node.order import Order
from lamina.node.runtimes import Runtime
from lamina.node.starting import Differing, Ready
from lamina.node.walls import Walls

OUT_OF_MEMORY = 137  # the exit code of a program that the kernel killed


@dataclass(frozen=True, slots=True)
class Told:
    """Whom a run tells what, for a person: nothing is printed here."""

    warn: Callable[[str], None]
    mounted: Callable[[], None] = lambda: None
    ready: Callable[[], None] = lambda: None  # just before the program starts
    out_of_memory: Callable[[], None] = lambda: None


# Told of how a container runs that another start can be like, with the variables of its program.
Keep = Callable[[Walls, dict[str, str]], None]


def plan(
    package: Package, args: Sequence[str], wanted: Order, *, driver: str | None = None
) -> dict[str, Any]:
    """The `config.json` that `run` would give to the runtime; nothing is mounted."""
    runtime = runtimes.choose(wanted.runtime, _attempt)
    who = order.identity(runtime.name)
    launch.choose(driver)
    usual = order.container(package, args, wanted, "lamina", who)
    binds = (*_binds(package, wanted, Path()), *usual.binds)
    full = replace(usual, binds=binds, tmpfs=_tmpfs(usual))
    around = order.surroundings(ROOT, who, cgroups.layout(), full)
    return runtimespec.config(full, replace(around, writable=_opens_root(package, wanted)))


def _tmpfs(usual: Container, at: Path | None = None) -> tuple[Tmpfs, ...]:
    given = {each.target for each in usual.tmpfs}
    return (*(each for each in rootfs.covered(at) if each.target not in given), *usual.tmpfs)


def run(
    package: Package,
    images: Sequence[Path],
    args: Sequence[str],
    wanted: Order,
    told: Told,
    *,
    digest: str = "",
    driver: str | None = None,
    keep: Keep | None = None,
) -> int:
    """Run the package's program in a container to its end; its exit code.

    `images` are the layers' files, bottom first. This process, which must have one thread only,
    is in namespaces of its own then, and should end. Nothing is left when this returns.
    """
    runtime = runtimes.choose(wanted.runtime, _attempt)
    name = launch.choose(driver)
    chosen = mounts.driver(name)
    mounts.check_count(images)
    if package.base_layers:
        from lamina.node import based

        based.check(package, name)
    who, id_ = order.identity(runtime.name), os.urandom(6).hex()
    usual = order.container(package, args, wanted, id_, who)
    _check_sources(usual)
    layout = cgroups.layout()
    with _cell(id_, usual, layout, runtime, wanted, told) as (bundle, group):
        chosen.enter(writable=wanted.writable is not None)
        rootfs.attach(chosen, package, images, bundle, usual, wanted.writable)
        told.mounted()
        rootfs.check_program(bundle / ROOT, package)
        full, around = _told(package, wanted, usual, bundle, who, layout)
        ready = Ready(id_, bundle, runtime, full, around, group, layout)
        code = _to_its_end(ready, package, args, wanted, told, digest, keep)
        if explain(code, runtime.name, str(bundle), group, told.warn):
            told.out_of_memory()
        return code


def _told(
    package: Package,
    wanted: Order,
    usual: Container,
    bundle: Path,
    who: Identity,
    layout: cgroups.Layout,
) -> tuple[Container, Surroundings]:
    """What a runtime is told of a container whose root is attached."""
    root = bundle / ROOT
    binds = (*_binds(package, wanted, bundle), *usual.binds)
    tmpfs = _tmpfs(usual, root if package.base_layers else None)
    full = replace(usual, binds=binds, tmpfs=tmpfs)
    # In the user namespace that this process may be in by now it may have another name.
    outside = replace(who, uid=os.geteuid(), gid=os.getegid())
    around = order.surroundings(str(root), outside, layout, full)
    return full, replace(around, writable=_opens_root(package, wanted))


def _to_its_end(
    ready: Ready,
    package: Package,
    args: Sequence[str],
    wanted: Order,
    told: Told,
    digest: str,
    keep: Keep | None,
) -> int:
    """The exit code of the runtime; lets others know of the container, and of how it runs."""
    full, group = ready.container, ready.group
    differing = Differing(tuple(args), not wanted.folder and not package.base_layers)
    with _terminal_kept(wanted), _network(wanted.network, ready.around) as (network, around):
        ready = replace(ready, around=around)
        pid, made = starting.start(ready, differing, network, wanted.stop_timeout)
        record = _record(package, digest, ready)
        walls.tell(record, ready.id, str(ready.bundle), group, pid, full.arguments)
        told.ready()
        if keep is not None and made is not None and not group.missing:
            made.record = record
            made.candidates = _candidates(ready.id, ready.layout)
            made.words = wanted.words
            made.places = rootfs.new_places(full)
            keep(made, order.variables_of(package, wanted, around.identity))
        words = [*runtimespec.init_words(around.init), *full.arguments]
        target = supervise.init_of(supervise.first_words(words))
        return supervise.wait(pid, wanted.stop_timeout, target, terminal=wanted.terminal)


def _record(package: Package, digest: str, ready: Ready) -> str:
    """What others are told of a container, besides what is of this start alone."""
    user = ready.container.user
    return plainjson.encode(
        {
            "title": package.title, "package": digest, "label": str(package.label),
            "runtime": ready.runtime.name, "rootless": ready.around.identity.rootless,
            "user": f"{user.uid}:{user.gid}", "spare": ready.runtime.overhead,
        }
    )  # fmt: skip


def _binds(package: Package, wanted: Order, bundle: Path) -> tuple[Bind, ...]:
    """What is shown on this machine's own root besides what was asked for."""
    if package.base_layers:
        return ()
    if wanted.writable is None:
        return rootfs.shown()
    return (*rootfs.shown(), rootfs.written(package, bundle))


def _opens_root(package: Package, wanted: Order) -> bool:
    return wanted.writable is not None and package.base_layers > 0


def _check_sources(usual: Container) -> None:
    sources = [each.source for each in usual.binds] + [each.source for each in usual.devices]
    for source in sources:
        if not Path(source).exists():
            raise UserError(f"there is no `{source}` to show in the container")


@contextlib.contextmanager
def _cell(
    id_: str, usual: Container, layout: cgroups.Layout, runtime: Runtime, wanted: Order, told: Told
) -> Iterator[tuple[Path, Group]]:
    """A folder and a control group for a container; gone after the block, or after a kill."""

    def make() -> Group:
        group = cgroups.create(_group(id_), _with_overhead(usual.limits, runtime), layout)
        if group.missing and wanted.require_limits:
            raise HostError("; ".join(group.missing), hint=_DELEGATE)
        for sentence in group.missing:
            told.warn(f"{sentence}; {_DELEGATE}")
        return group

    with cell.opened(id_, _candidates(id_, layout), make) as (folder, group):
        yield Path(folder), group


def _group(id_: str) -> str:
    return f"lamina-{id_}"


def _candidates(id_: str, layout: cgroups.Layout) -> list[str]:
    """Where control groups of a container may lie; runc calls its own by the bare id."""
    every = (*cgroups.candidates(_group(id_), layout), *cgroups.candidates(id_, layout))
    return [str(path) for path in every]


_DELEGATE = "root has limits; others by `systemd-run --user --scope -p Delegate=yes lamina …`"


def _with_overhead(limits: Limits, runtime: Runtime) -> Limits:
    """Room for the runtime and the init, which are in the group with the program."""
    if limits.pids is None:
        return limits
    return replace(limits, pids=limits.pids + runtime.overhead)


def _attempt(runtime: Runtime) -> str:
    from lamina.node import probing  # once after each start of the machine

    return probing.attempt(runtime)


@contextlib.contextmanager
def _network(kind: str, around: Surroundings) -> Iterator[tuple[int | None, Surroundings]]:
    """The network namespace that a container is to join, if any."""
    if kind != PRIVATE:
        yield None, around
        return
    from lamina.node import network

    with network.private() as descriptor:
        yield descriptor, replace(around, network=True)


@contextlib.contextmanager
def _terminal_kept(wanted: Order) -> Iterator[None]:
    """Put the terminal back as it was: a runtime that is killed leaves it raw."""
    if not wanted.terminal:
        yield
        return
    if not os.isatty(0):
        raise UserError("`-t` needs a terminal as standard input", hint="leave `-t` out")
    import termios

    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def explain(
    code: int, runtime: str, bundle: str, group: Group, warn: Callable[[str], None]
) -> bool:
    """Say where the memory did not do, and whether it did not; HostError where the runtime failed.

    `code` is the exit code that a container has come to.
    """
    if code:
        complaint = runtimes.log_of(Path(bundle))
        if complaint:
            raise HostError(
                f"`{Path(runtime).name}` can not start the container: {complaint}",
                hint="`lamina doctor` shows which runtimes work here",
            )
    usage = groupusage.usage(group)
    if usage.out_of_memory:
        most = f" of {_size(usage.memory_limit)}" if usage.memory_limit else ""
        killed = f"{usage.out_of_memory} of its processes"
        what = "the program" if code == OUT_OF_MEMORY else killed
        warn(
            f"out of memory: the kernel killed {what} at the limit{most};"
            " `--memory` sets another one"
        )
    return usage.out_of_memory > 0


def _size(number: int) -> str:
    return f"{number / (1 << 20):.0f} MiB"
