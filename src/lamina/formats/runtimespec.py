"""The `config.json` of an OCI bundle, which crun and runc take: a container as a runtime is told.

https://github.com/opencontainers/runtime-spec/blob/main/config.md, version 1.0.2. Same container,
same words. Nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lamina.core.classes import dataclass
from lamina.core.container import HOST, Bind, Container, Tmpfs
from lamina.core.places import INIT
from lamina.formats import seccomp

VERSION = "1.0.2"

# What of the kernel's own files tells of the machine, or changes it.
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_PERIOD = 100_000  # microseconds in which a share of the processors is counted


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the runtime runs as: root, or an ordinary user in a user namespace of one user alone."""

    uid: int
    gid: int
    inside: int | None = None  # what that user is called inside; None: root, no user namespace
    inside_group: int = 0

    @property
    def rootless(self) -> bool:
        """Whether there is a user namespace."""
        return self.inside is not None


@dataclass(frozen=True, slots=True)
class Node:
    """A device as the kernel knows it."""

    kind: str  # `c` or `b`
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a bundle needs to know of the machine."""

    root: str  # the folder that is the root file system
    machine: str  # as `uname -m` calls it
    identity: Identity
    init: str = ""  # a program that reaps and forwards signals; empty: there is none
    cgroups: str = ""  # what `/sys/fs/cgroup` is mounted as; empty: it is not
    group: str = ""  # the control group, from the top of its tree; empty: the runtime's choice
    limits: bool = True  # whether the runtime is to set the limits
    nodes: tuple[Node, ...] = ()  # what the container's devices are
    console: tuple[int, int] | None = None  # rows and columns of the terminal
    network: bool = False  # whether there is a network namespace already, to be joined
    writable: bool = False  # whether the program may write to its root


def config(container: Container, around: Surroundings) -> dict[str, Any]:
    """The document as a value for `json.dumps`."""
    return {
        "ociVersion": VERSION,
        "process": _process(container, around),
        "root": {"path": around.root, "readonly": not around.writable},
        "hostname": container.hostname,
        "mounts": list(_mounts(container, around)),
        "linux": {
            "namespaces": [{"type": kind} for kind in _namespaces(container, around)],
            **_mappings(around.identity),
            **({"cgroupsPath": around.group} if around.group else {}),
            **_resources(container, around),
            "seccomp": seccomp.profile(around.machine),
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
        },
    }


def _process(container: Container, around: Surroundings) -> dict[str, Any]:
    user: dict[str, Any] = {"uid": container.user.uid, "gid": container.user.gid}
    if container.user.groups:
        user["additionalGids"] = list(container.user.groups)
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    return {
        "terminal": container.terminal,
        **_console(around),
        "user": user,
        "args": [*init_words(around.init), *container.arguments],
        "env": [f"{name}={value}" for name, value in container.environment],
        "cwd": container.folder,
        "capabilities": {each: [] for each in sets},
        "noNewPrivileges": True,
        "rlimits": [
            {"type": f"RLIMIT_{each.name.upper()}", "soft": _rlimit(each.soft),
             "hard": _rlimit(each.hard)}
            for each in container.rlimits
        ],
    }  # fmt: skip


def _console(around: Surroundings) -> dict[str, Any]:
    if around.console is None:
        return {}
    rows, columns = around.console
    return {"consoleSize": {"height": rows, "width": columns}}


def init_words(init: str) -> list[str]:
    """How the init program is started, before the program's own words."""
    return [INIT, "--"] if init else []


def _rlimit(value: int) -> int:
    return (1 << 64) - 1 if value < 0 else value


def _namespaces(container: Container, around: Surroundings) -> Iterator[str]:
    if around.identity.rootless:
        yield "user"
    yield from ("mount", "pid", "ipc", "uts", "cgroup")
    if container.network != HOST and not around.network:
        yield "network"


def _mappings(identity: Identity) -> dict[str, Any]:
    if identity.inside is None:
        return {}
    return {
        "uidMappings": [{"containerID": identity.inside, "hostID": identity.uid, "size": 1}],
        "gidMappings": [{"containerID": identity.inside_group, "hostID": identity.gid, "size": 1}],
    }


def _mounts(container: Container, around: Surroundings) -> Iterator[dict[str, Any]]:
    yield _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev")
    if around.identity.rootless:
        # A file system of the kernel's own is refused to who shares the machine's network.
        yield _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    else:
        yield _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
    if around.cgroups:
        kind = around.cgroups
        yield _mount("/sys/fs/cgroup", kind, kind, "nosuid", "noexec", "nodev", "ro")
    yield _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=64k")
    group = () if around.identity.rootless else ("gid=5",)
    yield _mount(
        "/dev/pts", "devpts", "devpts",
        "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *group,
    )  # fmt: skip
    yield _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")
    yield _tmpfs(Tmpfs("/dev/shm", container.shm_size))
    if around.init:
        yield _mount(INIT, "none", around.init, "bind", "nosuid", "nodev", "ro")
    for each in shown(container):
        if isinstance(each, Tmpfs):
            yield _tmpfs(each)
        else:
            words = ("ro",) if each.read_only else ()
            yield _mount(each.target, "none", each.source, "rbind", "nosuid", "nodev", *words)
    for device in container.devices:
        yield _mount(device.target, "none", device.source, "bind", "nosuid", "noexec")


def shown(container: Container) -> list[Tmpfs | Bind]:
    """What is mounted for the program, what lies in another after that."""
    every: list[Tmpfs | Bind] = [*container.tmpfs, *container.binds]
    return sorted(every, key=lambda each: each.target.count("/"))


def _tmpfs(each: Tmpfs) -> dict[str, Any]:
    size = () if each.size is None else (f"size={each.size}",)
    return _mount(each.target, "tmpfs", "tmpfs", "nosuid", "nodev", f"mode={each.mode:o}", *size)


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _resources(container: Container, around: Surroundings) -> dict[str, Any]:
    """Devices that may be opened besides the standard ones, and the limits.

    These are for a runtime that makes the control group itself; in runs lamina has made it.
    """
    found: dict[str, Any] = _limits(container) if around.limits else {}
    if around.nodes:
        found["devices"] = [
            {"allow": True, "type": node.kind, "major": node.major, "minor": node.minor,
             "access": "rw"}
            for node in around.nodes
        ]  # fmt: skip
    return {"resources": found} if found else {}


def _limits(container: Container) -> dict[str, Any]:
    found: dict[str, Any] = {}
    limits = container.limits
    if limits.memory is not None:
        found["memory"] = {"limit": limits.memory, "swap": limits.memory}
    if limits.cpus is not None:
        found["cpu"] = {"quota": round(limits.cpus * _PERIOD), "period": _PERIOD}
    if limits.pids is not None:
        found["pids"] = {"limit": limits.pids}
    if limits.io_weight is not None:
        found["blockIO"] = {"weight": min(limits.io_weight, 1000)}
    return found
