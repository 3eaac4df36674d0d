"""What this machine has of the tools and kernel features lamina uses: probed, never guessed.

Each kernel probe does the real thing in a child of its own and leaves nothing behind.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import LaminaError
from lamina.linux import btrfs, drivers, fuse, loop, namespaces, process, rights, syscalls

TOOL = "tool"
KERNEL = "kernel"
DRIVER = "driver"
RUNTIME = "runtime"

_TOOLS = {
    "bwrap": "sandbox of actions",
    "gcc": "C and C++ rules",
    "g++": "C and C++ rules",
    "ar": "C and C++ rules",
    "ld": "C and C++ rules",
    "python3": "Python rules",
    "mksquashfs": "making layers",
    "unsquashfs": "merging layers",
    "mkfs.erofs": "layers as EROFS",
    "squashfuse_ll": "mounting without root, XAR files",
    "fusermount3": "`lamina mount` without root, XAR files",
    "git": "versions from git",
    "hg": "versions from Mercurial",
}
_NO_MODULE = "the kernel has neither it nor a module for it; another kernel is needed"
_BLOCK = 1 << 20  # bytes: large enough for any loop device


@dataclass(frozen=True, slots=True)
class Feature:
    """A tool or kernel feature, whether it is there, and what to do if it is not."""

    name: str
    kind: str  # `tool`, `kernel`, `driver` or `runtime`
    found: bool
    detail: str  # where it lies, or how the probe ended
    hint: str  # empty when found
    needed_for: str


def probe(store: Path | None = None) -> list[Feature]:
    """Everything lamina may use, tools first, in a fixed order, and then each mount driver.

    One of these wants the store on a certain file system.
    """
    found = [*map(_tool, _TOOLS), _kernel_release(), *_kernel()]
    works = {feature.name for feature in found if feature.found}
    lacks = {name: [each for each in needed if each not in works] for name, needed in _NEED.items()}
    if not rights.may_mount():
        lacks[drivers.KERNEL].insert(0, "root" if os.geteuid() else "the capability to mount")
        lacks[drivers.FUSE] += [] if "user namespace" in works else ["user namespace"]
        lacks[drivers.BTRFS] = [] if "user namespace" in works else ["user namespace"]
    if store is None or not btrfs.works(_nearest(store)):
        lacks[drivers.BTRFS].append("a store on btrfs")
    return [*found, *(_driver(name, lacks.get(name, [])) for name in drivers.NAMES)]


_NEED = {
    drivers.KERNEL: ("squashfs", "overlayfs", "loop devices", "mount namespace"),
    drivers.FUSE: ("squashfuse_ll", "FUSE"),
    drivers.BTRFS: ("mount namespace",),
}


def _driver(name: str, lacks: list[str]) -> Feature:
    detail = f"lacks {', '.join(lacks)}" if lacks else "can be used"
    hint = "set LAMINA_STORE to a folder on btrfs" if lacks and name == drivers.BTRFS else ""
    if lacks and not hint:
        hint = "see the lines of what it lacks"
        hint += "" if rights.is_in_container() else "; root is asked for by `sudo`"
    return Feature(f"driver `{name}`", DRIVER, not lacks, detail, hint, "mounting")


def _nearest(folder: Path) -> Path:
    """The folder, or that nearest above which is there."""
    # Not by Path.is_dir, which raises where it may not look.
    above = (folder, *folder.parents)
    return next(each for each in above if os.path.isdir(each))  # noqa: PTH112


def mount_driver() -> drivers.Choice:
    """Which mount driver is used here unless another is asked for, and why."""
    return drivers.choose()


def _tool(name: str) -> Feature:
    path = process.find(process.system_python() if name == "python3" else name)
    package = process.DEBIAN_PACKAGE.get(name, name)
    hint = "" if path else f"on Debian or Ubuntu: `apt-get install {package}`"
    return Feature(name, TOOL, path is not None, str(path or "not on PATH"), hint, _TOOLS[name])


def _kernel_release() -> Feature:
    release = platform.release()
    new = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    found = new >= (5, 12)
    hint = "" if found else "lamina mounts through calls of Linux 5.12 and newer"
    return Feature("Linux", KERNEL, found, release, hint, "mounting")


def _kernel() -> list[Feature]:
    rootless = "mounting without root"
    around = rights.TO_ALLOW if rights.is_in_container() else ""
    fuse_hint = around or "`modprobe fuse` and `chmod 666 /dev/fuse` as root"
    return [
        _attempt("squashfs", _has("squashfs"), _NO_MODULE, "driver `kernel`"),
        _attempt("overlayfs", _has("overlay"), _NO_MODULE, "stacking layers"),
        _attempt("EROFS", _has("erofs"), _NO_MODULE, "layers as EROFS"),
        _attempt("loop devices", _loop, around or _LOOP_HINT, "driver `kernel`"),
        _attempt("mount namespace", _mounts, around or "run as root", "driver `kernel`"),
        _attempt("user namespace", _user, namespaces.hint(), rootless),
        _attempt("overlayfs in a user namespace", _user_overlay, _OVERLAY_HINT, rootless),
        _attempt("FUSE", _fuse, fuse_hint, rootless),
    ]


_LOOP_HINT = "run as root; `modprobe loop`"
_OVERLAY_HINT = "needs Linux 5.11 and a user namespace; without it layers are merged, once"


def _attempt(name: str, attempt: Callable[[], None], hint: str, needed_for: str) -> Feature:
    complaint = _in_child(attempt)
    found = not complaint
    return Feature(name, KERNEL, found, complaint or "works", "" if found else hint, needed_for)


def _in_child(attempt: Callable[[], None]) -> str:
    """Run a probe in a forked child; what it complained of, or nothing.

    Namespaces and mounts made there end with the child.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.write(writer, _complaint(attempt).encode()[:4096])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        complaint = file.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return complaint or ("" if status == 0 else "the probe crashed")


def _complaint(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except LaminaError as error:
        return error.message
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    except Exception as error:  # the child must not run on into its parent's code
        return repr(error)
    return ""


def _has(kind: str) -> Callable[[], None]:
    def attempt() -> None:
        if not drivers.has_file_system(kind):
            raise OSError(0, "the kernel does not know it")

    return attempt


def _loop() -> None:
    with tempfile.TemporaryFile() as image:
        image.truncate(_BLOCK)
        with loop.attached(image.fileno(), 0, "lamina-probe"):
            pass


def _mounts() -> None:
    namespaces.own_mounts()


def _user() -> None:
    namespaces.own_user()
    namespaces.own_mounts()
    os.close(namespaces.detached("tmpfs", {}, 0))


def _user_overlay() -> None:
    namespaces.own_user()
    namespaces.own_mounts()
    root = namespaces.detached("tmpfs", {}, 0)
    syscalls.move_mount(root, "/")
    with namespaces.elsewhere(root):
        for name in ("lower", "upper", "at"):
            Path(name).mkdir()
        syscalls.mount("overlay", "at", "overlay", syscalls.MS_RDONLY, _OVERLAY_OPTIONS)


_OVERLAY_OPTIONS = "lowerdir=lower:upper,userxattr"


def _fuse() -> None:
    """A mount without a server: the kernel makes it, and it dies with its descriptor."""
    if not rights.may_mount():
        namespaces.own_user()
    namespaces.own_mounts()
    for descriptor in fuse.connect("lamina", 0):
        os.close(descriptor)
