"""Containers of others, without privileges, in which lamina itself is started.

Each shows the files of this machine read-only, and one folder, at its own path, to be written to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines import servers

from .conftest import NOBODY, PATH

# Runs words in a container, as one that sees a folder; what came of it.
Enter = Callable[..., subprocess.CompletedProcess[str]]

FUSE = ("--device", "/dev/fuse")
OPENED = ("seccomp=unconfined", "apparmor=unconfined")
_HIDDEN = ("proc", "sys", "dev", "run", "tmp", "lost+found")
_AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# crun refuses machines with control groups of both versions.
_ONE_VERSION = 'mountpoint -q "$0" && umount "$0"; exec "$@"'


@dataclass(frozen=True)
class Cage:
    """A kind of container, and what can be had in it."""

    kind: str  # `docker`, `podman` or `bwrap`
    name: str = "plain"
    options: tuple[str, ...] = ()
    is_user: bool = False  # whether it is `nobody`'s, or lamina in it
    driver: str = "copy"  # which is chosen there
    stays: str = "copy"  # the same for `lamina mount`
    contains: bool = False  # whether there can be another container in it

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


def security(*words: str) -> tuple[str, ...]:
    """Options of Docker and podman."""
    return tuple(option for word in words for option in ("--security-opt", word))


CAGES = [
    Cage("docker"),
    Cage("docker", "with-fuse", FUSE),
    Cage("docker", "of-a-user", ("--user", f"{NOBODY}:{NOBODY}"), is_user=True),
    Cage(
        "docker", "with-mounts", (*FUSE, "--cap-add", "SYS_ADMIN"), driver="fuse", stays="fuse"
    ),
    Cage(
        "docker", "opened", (*FUSE, *security(*OPENED, "systempaths=unconfined")),
        driver="fuse", contains=True,
    ),
    Cage("podman", is_user=True),
    Cage("podman", "with-fuse", FUSE, is_user=True, driver="fuse"),
    Cage(
        "podman", "opened", (*FUSE, *security(*OPENED, "unmask=ALL")),
        is_user=True, driver="fuse", contains=True,
    ),
    Cage("bwrap", is_user=True, contains=True),
    Cage(
        "bwrap", "with-fuse", ("--dev-bind", "/dev/fuse", "/dev/fuse"),
        is_user=True, driver="fuse", contains=True,
    ),
]  # fmt: skip


@contextlib.contextmanager
def docker(folder: Path) -> Iterator[Enter]:
    """A daemon of one's own, with an image that has nothing but places to show folders at."""
    with servers.docker(folder) as ask:
        image = folder / "places.tar"
        with tarfile.open(image, "w") as archive:
            archive.add(_places(folder), ".")
        ask("import", image, "places:1")
        address = f"unix://{folder}/docker.sock"

        def enter(area: Path, options: Sequence[str], *words: str) -> _Done:
            command = [servers.find("docker"), "-H", address, "run", "--rm", "--network", "none"]
            return _run([*command, *_shown(area), *options, "places:1", *words])

        yield enter
    servers.unmount_below(folder)


@contextlib.contextmanager
def podman(folder: Path) -> Iterator[Enter]:
    """Podman as an ordinary user, who has no other users to give."""
    program = servers.find("podman")
    servers.find("crun")
    home = folder / "podman"
    home.mkdir(mode=0o700)
    places = _places(folder)
    for path in (home, places, *places.iterdir()):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    hybrid = "/sys/fs/cgroup/unified"
    before = ["unshare", "--mount", "sh", "-c", _ONE_VERSION, hybrid, *_AS_NOBODY]

    def enter(area: Path, options: Sequence[str], *words: str) -> _Done:
        command = [program, "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        command += ["--runtime", "crun", "run", "--rm", "--network", "none", "--cgroups=disabled"]
        return _run(
            [*before, *command, *_shown(area), *options, "--rootfs", str(places), *words],
            HOME=str(home), XDG_RUNTIME_DIR=str(home),
        )  # fmt: skip

    try:
        yield enter
    finally:
        for kept in home.glob("**/pause.pid"):  # the process that keeps the user's namespaces
            os.kill(int(kept.read_text()), signal.SIGKILL)


@contextlib.contextmanager
def bwrap(folder: Path) -> Iterator[Enter]:
    """bubblewrap as an ordinary user."""
    program = servers.find("bwrap")

    def enter(area: Path, options: Sequence[str], *words: str) -> _Done:
        command = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/"]
        command += ["--tmpfs", "/tmp", "--tmpfs", "/run", "--bind", str(area), str(area)]
        command += ["--proc", "/proc", "--dev", "/dev", *options]
        return _run([*_AS_NOBODY, *command, *words])

    yield enter


KINDS = {"docker": docker, "podman": podman, "bwrap": bwrap}
_Done = subprocess.CompletedProcess[str]


def _run(words: Sequence[str], **more: str) -> _Done:
    return subprocess.run(
        words, env={"PATH": PATH, **more}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def _places(folder: Path) -> Path:
    """A root with nothing but empty folders, and links, as the machine's has them."""
    places = folder / "places"
    places.mkdir()
    for entry in os.scandir("/"):
        if entry.is_symlink():
            (places / entry.name).symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            (places / entry.name).mkdir()
    (places / "tmp").chmod(0o1777)
    return places


def _shown(area: Path) -> list[str]:
    """Options of Docker and podman that show the files of this machine."""
    found = [
        f"{entry.path}:{entry.path}:ro"
        for entry in os.scandir("/")
        if entry.is_dir(follow_symlinks=False) and entry.name not in _HIDDEN
    ]
    return [word for each in (*found, f"{area}:{area}") for word in ("--volume", each)]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for what belongs to a kind of container; with a short path, as sockets want it."""
    made = Path(tempfile.mkdtemp(prefix="lamina-cage-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)
