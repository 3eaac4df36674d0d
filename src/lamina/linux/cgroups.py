"""Control groups: a group of its own for a container, with limits, and what it has used.

https://docs.kernel.org/admin-guide/cgroup-v2.html and, for hosts that mount the controllers as
version 1 or some each way (hybrid), https://docs.kernel.org/admin-guide/cgroup-v1/. A group is made
below the one that this process is in, so that what holds for this (a job of Slurm, a unit of
systemd) holds for it too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.container import Limits
from lamina.linux.group import Group, write

CONTROLLERS = ("memory", "cpu", "pids", "io")
_CALLED_IN_V1 = {"blkio": "io", "cpuacct": "cpuacct"}
_PERIOD = 100_000  # microseconds


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted tree of groups, and where this process is in it."""

    version: int  # 1 or 2
    own: Path  # the folder of this process's group
    top: Path  # the mount point
    controllers: frozenset[str]  # by their names in version 2


@dataclass(frozen=True, slots=True)
class Layout:
    """How a machine has its controllers: `v2`, `v1`, `hybrid` or `none`."""

    hierarchies: tuple[Hierarchy, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        versions = {each.version for each in self.hierarchies if each.controllers}
        trees = {each.version for each in self.hierarchies}
        if versions == {2}:
            return "v2"
        if 1 in versions:
            return "hybrid" if 2 in trees else "v1"
        return "none"


def layout(processes: Path = Path("/proc/self")) -> Layout:
    """How this machine has its controllers, and where this process is in each tree."""
    try:
        places = _places((processes / "cgroup").read_text())
        table = (processes / "mountinfo").read_text()
    except OSError:
        return Layout()
    found: dict[tuple[int, frozenset[str]], Hierarchy] = {}
    for line in table.splitlines():
        each = _hierarchy(line, places)
        if each is not None:
            found.setdefault((each.version, each.controllers), each)
    return Layout(tuple(found.values()))


def _places(text: str) -> dict[str, str]:
    """Controller (or the empty name, of version 2) -> the group of a process; see cgroups(7)."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _hierarchy(line: str, places: Mapping[str, str]) -> Hierarchy | None:
    """A tree of groups that a line of mountinfo shows; None for another line."""
    before, _, after = line.partition(" - ")
    kind, _, options = after.split(" ", 2)
    if kind not in ("cgroup", "cgroup2"):
        return None
    root, top = before.split(" ")[3:5]
    if kind == "cgroup2":
        own = _below(top, root, places.get("", "/"))
        return Hierarchy(2, own, Path(top), _listed(Path(top)))
    names = [each for each in options.split(" ")[-1].split(",") if each in places]
    if not names:
        return None
    called = frozenset(_CALLED_IN_V1.get(each, each) for each in names)
    return Hierarchy(1, _below(top, root, places[names[0]]), Path(top), called)


def _below(top: str, root: str, path: str) -> Path:
    """Where a group is shown by a mount that shows a part of the tree alone."""
    inner = path.removeprefix(root) if root != "/" and path.startswith(root) else path
    return Path(top, inner.strip("/"))


def _listed(top: Path) -> frozenset[str]:
    try:
        return frozenset((top / "cgroup.controllers").read_text().split()) & {*CONTROLLERS}
    except OSError:
        return frozenset()


def candidates(name: str, within: Layout) -> list[Path]:
    """Everywhere that `create` may put a group of that name."""
    found: list[Path] = []
    for each in within.hierarchies:
        found.append(each.own / name)
        if each.version == 2:
            found += [each.own.parent / name, each.top / "lamina" / name]
    return found


def create(name: str, limits: Limits, within: Layout) -> Group:
    """Make a group of that name with those limits that can be had; raises no error.

    Without limits only what costs little is made: memory and pids, so that it can be told what a
    container uses. `missing` says which limits do not hold, and why.
    """
    wanted = {_CONTROLLER[key] for key, value in limits.named().items() if value is not None}
    made: dict[str, Path] = {}
    reasons: dict[str, str] = {}
    for each in within.hierarchies:
        needed = each.controllers & (wanted | {"memory", "pids", "cpuacct"})
        if not needed:
            continue
        try:
            folder = _new(each, name, wanted & each.controllers)
        except OSError as error:
            reasons.update(dict.fromkeys(needed, _reason(error)))
            continue
        made.update(dict.fromkeys(needed, folder))
        if each.version == 2 and _has(folder, "cpu.stat"):
            made.setdefault("cpuacct", folder)
    missing, settings = _limit(limits, made, reasons)
    by = [(controller, str(folder)) for controller, folder in sorted(made.items())]
    return Group(by, missing, settings)


_CONTROLLER = {"memory": "memory", "cpus": "cpu", "pids": "pids", "io-weight": "io"}


def _reason(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no control group is delegated to this user"
    if error.errno in (errno.EBUSY, errno.ENOTSUP):
        return "the control group of this process has other processes in it"
    return str(error.strerror)


def _new(tree: Hierarchy, name: str, wanted: frozenset[str] | set[str]) -> Path:
    """The folder of a new group, in which the wanted controllers are on; raises OSError."""
    parent = tree.own
    if tree.version == 2:
        parent = _parent(tree, wanted)
    folder = parent / name
    folder.mkdir()
    if tree.version == 1 and "cpuset" in tree.controllers:
        _inherit_cpuset(folder)
    return folder


def _inherit_cpuset(folder: Path) -> None:
    """A new group of version 1 has no processors, and nothing can be in it, unless told."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        write(str(folder / file), (folder.parent / file).read_text())


def _parent(tree: Hierarchy, wanted: frozenset[str] | set[str]) -> Path:
    """A group of version 2 below which the wanted controllers are on.

    Only a group without processes of its own hands controllers on, the topmost excepted. One that
    holds this process alone is made such: it moves to a leaf. Else root has a group of lamina's.
    """
    own = tree.own
    if _enabled(own) >= wanted:
        return own
    if not _has(own, "cgroup.type"):  # the topmost of all
        _enable(own, wanted)
        return own
    ours = _ours()
    if _may_write(own) and {int(pid) for pid in (own / "cgroup.procs").read_text().split()} <= ours:
        leaf = own / "lamina"
        leaf.mkdir(exist_ok=True)
        for pid in sorted(ours):
            write(str(leaf / "cgroup.procs"), str(pid))
        _enable(own, wanted)
        return own
    if own.name == "lamina" and _may_write(own.parent) and _enabled(own.parent) >= wanted:
        return own.parent
    if os.geteuid() == 0:
        shared = tree.top / "lamina"
        _enable(tree.top, wanted)
        shared.mkdir(exist_ok=True)
        _enable(shared, wanted)
        return shared
    if not wanted and _may_write(own):
        return own
    code = errno.EBUSY if _may_write(own) else errno.EACCES
    raise OSError(code, os.strerror(code), str(own))


def _ours() -> set[int]:
    """This process and those that it has started."""
    try:
        below = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    except OSError:
        below = []
    return {os.getpid(), *map(int, below)}


def _enabled(folder: Path) -> set[str]:
    """The controllers that groups below one have."""
    try:
        return set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return set()


def _enable(folder: Path, wanted: frozenset[str] | set[str]) -> None:
    on = _enabled(folder)
    for each in sorted((wanted | {"memory", "pids"}) - on):
        try:
            write(str(folder / "cgroup.subtree_control"), f"+{each}")
        except OSError:
            if each in wanted:
                raise


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _has(folder: Path, file: str) -> bool:
    return (folder / file).exists()


def _limit(
    limits: Limits, made: Mapping[str, Path], reasons: Mapping[str, str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Set the limits; a sentence for each that does not hold, and what was written for the rest."""
    missing, written = [], []
    for option, value in limits.named().items():
        if value is None:
            continue
        controller = _CONTROLLER[option]
        folder = made.get(controller)
        if folder is None:
            why = reasons.get(controller, f"this machine has no controller `{controller}`")
            missing.append(f"`--{option}` has no effect: {why}")
            continue
        try:
            settings = [(str(folder / name), text) for name, text in _files(folder, option, value)]
            for file, text in settings:
                write(file, text)
            written += settings
        except OSError as error:
            missing.append(f"`--{option}` has no effect: {error.strerror}")
    return missing, written


def _files(folder: Path, option: str, value: float) -> list[tuple[str, str]]:
    """The files of a group that hold a limit, and what they are to say; raises OSError."""
    if option == "memory":
        return _memory(folder, str(int(value)))
    if option == "cpus":
        return _cpus(folder, round(value * _PERIOD))
    if option == "pids":
        return [("pids.max", str(int(value)))]
    return [_io_weight(folder, int(value))]


def _memory(folder: Path, size: str) -> list[tuple[str, str]]:
    if _has(folder, "memory.max"):
        more = [("memory.swap.max", "0")] if _has(folder, "memory.swap.max") else []
        return [("memory.max", size), *more]
    swap = "memory.memsw.limit_in_bytes"
    return [("memory.limit_in_bytes", size), *([(swap, size)] if _has(folder, swap) else [])]


def _cpus(folder: Path, quota: int) -> list[tuple[str, str]]:
    if _has(folder, "cpu.max"):
        return [("cpu.max", f"{quota} {_PERIOD}")]
    return [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", str(quota))]


def _io_weight(folder: Path, weight: int) -> tuple[str, str]:
    """A file that depends on the kernel's scheduler; version 1 knows 1 to 1,000."""
    bounded = str(max(1, min(weight, 1000)))
    for file, value in (
        ("io.weight", str(weight)),
        ("io.bfq.weight", bounded),
        ("blkio.bfq.weight", bounded),
        ("blkio.weight", str(max(10, int(bounded)))),
    ):
        if _has(folder, file):
            return file, value
    raise OSError(errno.ENOTSUP, "no scheduler of this kernel weighs input and output")
