"""What is wanted of a container, and the container that this comes to: nothing is done here."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.core import variables
from lamina.core.classes import dataclass, field
from lamina.core.container import (
    NO_LIMITS,
    STOP_TIMEOUT,
    Bind,
    Container,
    Device,
    Limits,
    Rlimit,
    Tmpfs,
    User,
)  # fmt: skip
from lamina.core.errors import UserError
from lamina.core.manifest import Package
from lamina.formats.runtimespec import Identity, Node, Surroundings
from lamina.linux import cgroups, rights
from lamina.node import launch, mounts, runtimes, walls
from lamina.node.runtimes import RUNC

# Of the caller's environment, besides what `--env` names.
KEPT = ("LANG", "LANGUAGE", "LC_ALL", "TERM", "TZ")
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
    words: tuple[str, ...] = ()  # variables as `--env` names them, `A=b`, `A`, `A*`
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


def container(
    package: Package, args: Sequence[str], order: Order, id_: str, who: Identity
) -> Container:
    """The container of a package's program."""
    root = f"/packages/{package.title}"
    if not package.entry_point:
        raise UserError(f"`{package.label}` has no entry point, so there is nothing to run")
    user = user_of(order, who)
    inside = variables_of(package, order, who) | variables.chosen(order.words, os.environ.items())
    return Container(
        arguments=(f"{root}/{package.entry_point[0]}", *package.entry_point[1:], *args),
        environment=tuple(sorted(inside.items())),
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


def variables_of(package: Package, order: Order, who: Identity) -> dict[str, str]:
    """The variables that a program has, before those that are asked for from outside."""
    outer = {name: os.environ[name] for name in KEPT if name in os.environ}
    home = os.environ.get("HOME", "/") if not package.base_layers else "/root"
    is_own = user_of(order, who).uid == (who.inside or 0)
    usual = {"PATH": PATH, "HOME": home if is_own else "/", **outer}
    root = f"/packages/{package.title}"
    return {**launch.variables(package, root, usual), **order.environment}


def _folder(package: Package) -> str:
    if package.base_layers:
        return package.image.folder or "/"
    return walls.here()


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
    if rights.may_mount():
        return Identity(uid, gid)
    if runtime == RUNC:  # it wants to be root inside, and there is one user alone
        return Identity(uid, gid, 0, 0)
    return Identity(uid, gid, uid, gid)


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
