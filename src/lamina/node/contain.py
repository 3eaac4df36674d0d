"""Runs a package in a container: walls by crun, runc or bwrap, limits by control groups.

    Order + Package -> Container -> config.json -> runtime

What is decided is a value, and can be printed; `run` does it. Decision 31 says why so.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lamina.core.container import (
    NO_LIMITS,
    PRIVATE,
    STOP_TIMEOUT,
    Bind,
    Container,
    Device,
    Limits,
    Rlimit,
    Tmpfs,
    User,
)  # fmt: skip
from lamina.core.errors import HostError, UserError
from lamina.core.manifest import Package
from lamina.formats import runtimespec
from lamina.formats.runtimespec import Identity, Node, Surroundings
from lamina.linux import cgroups, drivers, groupusage
from lamina.linux.cgroups import Group
from lamina.node import launch, mounts, rootfs, running, runtimes, supervise
from lamina.node.janitor import Janitor
from lamina.node.runtimes import BWRAP, RUNC, Runtime

OUT_OF_MEMORY = 137  # the exit code of a program that the kernel killed
# Of the caller's environment, besides what `--env` names.
_KEPT = ("LANG", "LANGUAGE", "LC_ALL", "TERM", "TZ")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a container besides the package."""

    limits: Limits = NO_LIMITS
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    devices: tuple[Device, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str = "host"
    hostname: str = ""
    user: str = ""  # `1000:1000`, `nobody`; empty: who calls
    folder: str = ""  # empty: the present one, or what a base image says
    terminal: bool = False
    shm_size: int | None = None
    runtime: str | None = None  # None: the first that works
    stop_timeout: float = STOP_TIMEOUT
    require_limits: bool = False
    writable: mounts.Upper | None = None  # where that goes which is written to the package


@dataclass(frozen=True, slots=True)
class Told:
    """Whom a run tells what, for a person: nothing is printed here."""

    warn: Callable[[str], None]
    mounted: Callable[[], None] = lambda: None
    ready: Callable[[], None] = lambda: None  # just before the program starts
    out_of_memory: Callable[[], None] = lambda: None


def container(
    package: Package, args: Sequence[str], order: Order, id_: str, who: Identity
) -> Container:
    """The container of a package's program."""
    root = f"/packages/{package.title}"
    if not package.entry_point:
        raise UserError(f"`{package.label}` has no entry point, so there is nothing to run")
    outer = {name: os.environ[name] for name in _KEPT if name in os.environ}
    user = user_of(order, who)
    home = os.environ.get("HOME", "/") if not package.base_layers else "/root"
    usual = {"PATH": PATH, "HOME": home if user.uid == (who.inside or 0) else "/", **outer}
    variables = {**launch.variables(package, root, usual), **order.environment}
    return Container(
        arguments=(f"{root}/{package.entry_point[0]}", *package.entry_point[1:], *args),
        environment=tuple(sorted(variables.items())),
        folder=order.folder or _folder(package),
        user=user,
        hostname=order.hostname or id_,
        network=order.network,
        limits=order.limits,
        binds=order.binds,
        tmpfs=order.tmpfs,
        devices=order.devices,
        rlimits=order.rlimits,
        terminal=order.terminal,
        shm_size=order.shm_size,
    )


def _folder(package: Package) -> str:
    if package.base_layers:
        return package.image.folder or "/"
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        return "/"
    return "/" if here.split("/")[1] in rootfs.OWN else here


def user_of(order: Order, who: Identity) -> User:
    if who.inside is not None:
        if order.user not in ("", str(who.inside), f"{who.inside}:{who.inside_group}"):
            raise UserError(
                f"`--user {order.user}`: an ordinary user's container knows one user,"
                f" `{who.inside}`",
                hint="run lamina as root, or leave it out",
            )
        return User(who.inside, who.inside_group)
    if not order.user:
        return User(who.uid, who.gid)
    name, _, group = order.user.partition(":")
    if name.isdecimal():
        uid, gid = int(name), int(name)
    else:
        uid, gid = _named(name)
    if group and not group.isdecimal():
        raise UserError(f"`--user {order.user}`: a group is told by its number")
    return User(uid, int(group) if group else gid)


def _named(name: str) -> tuple[int, int]:
    import pwd

    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise UserError(f"this machine has no user `{name}`", hint="`--user UID:GID`") from None
    return found.pw_uid, found.pw_gid


def identity(runtime: str) -> Identity:
    """Who this process is, and what a runtime calls it inside."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return Identity(uid, gid)
    if runtime == RUNC:  # it wants to be root inside, and there is one user alone
        return Identity(uid, gid, 0, 0)
    return Identity(uid, gid, uid, gid)


def plan(
    package: Package, args: Sequence[str], order: Order, *, driver: str | None = None
) -> dict[str, Any]:
    """The `config.json` that `run` would give to the runtime; nothing is mounted."""
    runtime = runtimes.choose(order.runtime, _attempt)
    who = identity(runtime.name)
    launch.choose(driver)
    usual = container(package, args, order, "lamina", who)
    binds = (*_binds(package, order, Path()), *usual.binds)
    full = replace(usual, binds=binds, tmpfs=_tmpfs(usual))
    around = surroundings(rootfs.ROOT, who, cgroups.layout(), full)
    return runtimespec.config(full, replace(around, writable=_opens_root(package, order)))


def _tmpfs(usual: Container, at: Path | None = None) -> tuple[Tmpfs, ...]:
    given = {each.target for each in usual.tmpfs}
    return (*(each for each in rootfs.covered(at) if each.target not in given), *usual.tmpfs)


def surroundings(
    root: str, who: Identity, layout: cgroups.Layout, usual: Container
) -> Surroundings:
    unified = layout.name == "v2" and layout.hierarchies[0].top == Path("/sys/fs/cgroup")
    machine, init = os.uname().machine, runtimes.find_init()
    return Surroundings(
        root, machine, who, init=init, cgroups="cgroup2" if unified else "",
        nodes=tuple(map(_node, usual.devices)),
        console=_console() if usual.terminal else None,
    )  # fmt: skip


def _node(device: Device) -> Node:
    try:
        status = os.stat(device.source)
    except OSError as error:
        raise UserError(f"can not use `{device.source}`: {error.strerror}") from error
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise UserError(f"`{device.source}` is no device", hint="`--mount` shows files and folders")
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
    return Node(kind, os.major(status.st_rdev), os.minor(status.st_rdev))


def _console() -> tuple[int, int] | None:
    try:
        columns, rows = os.get_terminal_size(0)
    except OSError:
        return None
    return rows, columns


def run(
    package: Package,
    images: Sequence[Path],
    args: Sequence[str],
    order: Order,
    told: Told,
    *,
    digest: str = "",
    driver: str | None = None,
) -> int:
    """Run the package's program in a container to its end; its exit code.

    `images` are the layers' files, bottom first. This process, which must have one thread only,
    is in namespaces of its own then, and should end. Nothing is left when this returns.
    """
    runtime = runtimes.choose(order.runtime, _attempt)
    name = launch.choose(driver)
    if name == drivers.COPY:
        raise UserError(
            "a container needs mounts, and the driver `copy` has none",
            hint="`lamina doctor` tells what the other drivers lack here",
        )
    chosen = mounts.driver(name)
    mounts.check_count(images)
    if package.base_layers:
        from lamina.node import based

        based.check(package)
    who, id_ = identity(runtime.name), os.urandom(6).hex()
    usual = container(package, args, order, id_, who)
    _check_sources(usual)
    layout = cgroups.layout()
    with _cell(id_, usual, layout, runtime, order, told) as (bundle, group):
        chosen.enter(writable=order.writable is not None)
        who = replace(who, uid=os.geteuid(), gid=os.getegid())
        rootfs.attach(chosen, package, images, bundle, usual, order.writable)
        told.mounted()
        rootfs.check_program(bundle / rootfs.ROOT, package)
        at = bundle / rootfs.ROOT if package.base_layers else None
        binds = (*_binds(package, order, bundle), *usual.binds)
        full = replace(usual, binds=binds, tmpfs=_tmpfs(usual, at))
        around = surroundings(str(bundle / rootfs.ROOT), who, layout, full)
        around = replace(around, writable=_opens_root(package, order))
        with _terminal_kept(order), _network(order.network, around) as (network, around):
            pid = start(runtime, full, around, bundle, id_, group, network, layout)
            running.write(running.Running(
                id=id_, title=package.title, package=digest, label=package.label,
                command=full.arguments, runtime=runtime.name, pid=pid, supervisor=os.getpid(),
                started=time.time(), rootless=who.rootless, folder=bundle,
                group=running.names(group), spare=runtime.overhead,
                user=f"{full.user.uid}:{full.user.gid}",
            ))  # fmt: skip
            told.ready()
            words = [*runtimespec.init_words(around.init), *full.arguments]
            target = supervise.init_of(supervise.first_words(words))
            code = supervise.wait(pid, order.stop_timeout, target, terminal=order.terminal)
        return _explained(code, runtime, bundle, group, order.limits, told)


def _binds(package: Package, order: Order, bundle: Path) -> tuple[Bind, ...]:
    """What is shown on this machine's own root besides what was asked for."""
    if package.base_layers:
        return ()
    if order.writable is None:
        return rootfs.shown()
    return (*rootfs.shown(), rootfs.written(package, bundle))


def _opens_root(package: Package, order: Order) -> bool:
    return order.writable is not None and package.base_layers > 0


def _check_sources(usual: Container) -> None:
    sources = [each.source for each in usual.binds] + [each.source for each in usual.devices]
    for source in sources:
        if not Path(source).exists():
            raise UserError(f"there is no `{source}` to show in the container")


@contextlib.contextmanager
def _cell(
    id_: str, usual: Container, layout: cgroups.Layout, runtime: Runtime, order: Order, told: Told
) -> Iterator[tuple[Path, Group]]:
    """A folder and a control group for a container; gone after the block, or after a kill."""
    running.sweep()
    folder, name = running.shelf() / id_, f"lamina-{id_}"
    groups = [*cgroups.candidates(name, layout), *cgroups.candidates(id_, layout)]
    janitor = Janitor(folder, groups)  # runc calls the group that it makes itself by the bare id
    lock = -1
    try:
        lock = running.claim(folder)
        (folder / rootfs.ROOT).mkdir()
        group = cgroups.create(name, _with_overhead(usual.limits, runtime), layout)
        if group.missing and order.require_limits:
            raise HostError("; ".join(group.missing), hint=_DELEGATE)
        for sentence in group.missing:
            told.warn(f"{sentence}; {_DELEGATE}")
        yield folder, group
    finally:
        janitor.end()
        if lock >= 0:
            os.close(lock)


_DELEGATE = "root has limits; others by `systemd-run --user --scope -p Delegate=yes lamina …`"


def _with_overhead(limits: Limits, runtime: Runtime) -> Limits:
    """Room for the runtime and the init, which are in the group with the program."""
    if limits.pids is None:
        return limits
    return replace(limits, pids=limits.pids + runtime.overhead)


def _attempt(runtime: Runtime) -> str:
    from lamina.node import probing  # once after each start of the machine

    return probing.attempt(runtime)


def start(
    runtime: Runtime,
    full: Container,
    around: Surroundings,
    bundle: Path,
    id_: str,
    group: Group,
    network: int | None,
    layout: cgroups.Layout,
) -> int:
    if runtime.name == BWRAP:
        from lamina.node import bubble

        return bubble.start(runtime, full, around, bundle, group, network)
    shown, path = _cgroups(runtime, around, group, layout)
    # runc knows how an ordinary user comes by a view of its groups, and crun sees none to show.
    kind = around.cgroups and ("cgroup" if runtime.name == RUNC else "cgroup2")
    own = replace(around, limits=False, group=path, cgroups=kind)
    document = runtimespec.config(full, own)
    text = json.dumps(document, separators=(",", ":"))
    (bundle / "config.json").write_text(text)
    words = runtimes.run_words(runtime, bundle, id_)
    return supervise.start(supervise.Start(words, group, shown, full.terminal, network))


def _cgroups(
    runtime: Runtime, around: Surroundings, group: Group, layout: cgroups.Layout
) -> tuple[str, str]:
    """Which control groups a runtime is to see, and which to use; crun leaves them alone."""
    if runtime.name != RUNC:
        return "none", ""
    if layout.name == "v2":
        # Left to itself it would make one beside ours, in which no limit holds; and what it is told
        # it removes in the end, while it is in ours itself.
        tree, folder = layout.hierarchies[0], group.folder("memory")
        return "all", f"/{folder.relative_to(tree.top)}/container" if folder else ""
    return "all" if around.identity.rootless else "devices", ""


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
def _terminal_kept(order: Order) -> Iterator[None]:
    """Put the terminal back as it was: a runtime that is killed leaves it raw."""
    if not order.terminal:
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


def _explained(
    code: int, runtime: Runtime, bundle: Path, group: Group, limits: Limits, told: Told
) -> int:
    """The exit code, with a word where the runtime failed or the memory did not do."""
    if code:
        complaint = runtimes.log_of(bundle)
        if complaint:
            raise HostError(
                f"`{runtime.name}` can not start the container: {complaint}",
                hint="`lamina doctor` shows which runtimes work here",
            )
    killed = groupusage.usage(group).out_of_memory
    if killed:
        most = f" of {_size(limits.memory)}" if limits.memory else ""
        what = "the program" if code == OUT_OF_MEMORY else f"{killed} of its processes"
        told.warn(
            f"out of memory: the kernel killed {what} at the limit{most};"
            " `--memory` sets another one"
        )
        told.out_of_memory()
    return code


def _size(number: int | None) -> str:
    return "" if number is None else f"{number / (1 << 20):.0f} MiB"
