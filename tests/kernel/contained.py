"""Programs in containers, by every runtime, as root and as an ordinary user: what tests start."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.core.container import Limits
from lamina.linux import cgroups
from lamina.node.runtimes import BWRAP, CRUN, NAMES, RUNC

from .conftest import Person, leftovers

# What is started: a package of the images in argv, by the real `contain.run`.
CONTAIN = """
import json, os, sys
from pathlib import Path
from lamina.core.container import *
from lamina.core.errors import LaminaError
from lamina.core.manifest import Image, Package
from lamina.node import contain, jobs, mounts, order
asked = json.loads(sys.argv[1])
exec(asked["before"])
program = tuple(asked["entry_point"])
package = Package(
    "any", asked["version"], "//:any", (), program, (("OWN", "1"),),
    base_layers=asked["base"], image=Image(environment=("FROM=image",), folder="/data"),
)
wanted = order.Order(runtime=asked["runtime"], **eval(asked["order"]))
told = contain.Told(lambda text: sys.stderr.write(f"warning: {text}\\n"))
images = list(map(Path, asked["images"]))
try:
    code = contain.run(package, images, sys.argv[2:], wanted, told, driver=asked["driver"])
except LaminaError as error:
    sys.stderr.write(f"error: {error.message}\\nhint: {error.hint}\\n")
    code = 125
sys.exit(code)
"""


@dataclass(frozen=True)
class Ended:
    """What came of a container."""

    code: int
    out: str
    words: str


@dataclass(frozen=True)
class Containers:
    """Starts packages in containers of one runtime as one person."""

    runtime: str
    person: Person

    @property
    def is_root(self) -> bool:
        return self.person.uid == 0

    @property
    def inside(self) -> int:
        """The user id of the program, as it is without `user`."""
        return 0 if self.runtime == "runc" else self.person.uid

    def start(
        self,
        images: Sequence[Path],
        *args: str,
        order: str = "{}",
        before: str = "",
        entry_point: Sequence[str] = ("run",),
        base: int = 0,
        **options: object,
    ) -> subprocess.Popen[bytes]:
        """Start a container; `order` is code of the fields of `contain.Order`.

        So many images as `base` are those of a base image.
        """
        asked = {
            "runtime": self.runtime,
            "driver": "kernel" if self.is_root else "fuse",
            "version": self.person.area.name,
            "images": [str(image) for image in images],
            "entry_point": list(entry_point),
            "order": order,
            "before": before,
            "base": base,
        }
        return self.person.start(CONTAIN, json.dumps(asked), *args, **options)

    def run(self, images: Sequence[Path], *args: str, order: str = "{}", base: int = 0) -> Ended:
        """Run a container to its end."""
        started = self.start(images, *args, order=order, base=base)
        out, words = started.communicate(timeout=60)
        return Ended(started.returncode, out.decode(), words.decode())

    def output(self, images: Sequence[Path], *args: str, order: str = "{}") -> str:
        """What a program that must succeed prints."""
        ended = self.run(images, *args, order=order)
        assert ended.code == 0, ended.words
        return ended.out


def somebody(name: str, user: Person | None, root: Person | None) -> Person:
    """The person that a container is started as, with a folder for what runs."""
    if name == "root":
        assert root is not None
        return root
    assert user is not None
    runtime = user.area / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(runtime, user.uid, user.uid)
    environment = {**user.environment, "XDG_RUNTIME_DIR": str(runtime)}
    return Person(user.uid, user.python, user.area, environment)


def every(*, few: bool = False) -> list[object]:
    """All runtimes, as root and as an ordinary user; or each once, one of them as root."""
    every_one = [(runtime, who) for runtime in NAMES for who in ("root", "user")]
    chosen = [(CRUN, "user"), (RUNC, "root"), (BWRAP, "user")] if few else every_one
    return [
        pytest.param(
            (runtime, who),
            id=f"{runtime}-{who}",
            marks=[pytest.mark.root] if who == "root" else [],
        )
        for runtime, who in chosen
    ]


def need(runtime: str) -> None:
    """Skip where a runtime is not installed, or can not work as the one who runs the tests."""
    from lamina.linux import process

    if process.find(runtime) is None:
        pytest.skip(f"`{runtime}` is not installed")


def wait_for_no_container(area: Path) -> None:
    """Wait until nothing of any container that has ended is left; fails with what is."""
    deadline = time.monotonic() + 20
    while left := [*leftovers(area), *stale(area)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def stale(area: Path) -> list[str]:
    """Control groups without a container, and folders of containers that nobody keeps.

    Other tests run containers meanwhile: what they have is kept by somebody.
    """
    shelves = [Path("/run/lamina/containers"), area / "runtime/lamina/containers"]
    kept = {folder.name for shelf in shelves for folder in _folders(shelf)}
    groups = [str(each) for each in groups_left() if each.name.partition("-")[2] not in kept]
    return [
        *groups,
        *(str(each) for shelf in shelves for each in _folders(shelf) if _is_free(each)),
    ]


def _folders(shelf: Path) -> list[Path]:
    try:
        return list(shelf.iterdir())
    except FileNotFoundError:
        return []


def _is_free(folder: Path) -> bool:
    """Whether no lamina keeps a container's folder."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return folder.exists() and not (folder / "lock").exists()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def groups_left() -> Iterator[Path]:
    """The control groups of containers, wherever they may be."""
    for tree in cgroups.layout().hierarchies:
        for place in {tree.own, tree.top / "lamina"}:
            yield from place.glob("lamina-????????????")


def limits_hold(limits: Limits) -> bool:
    """Whether this machine can set some limits for who runs the tests."""
    group = cgroups.create(f"test-{os.getpid()}", limits, cgroups.layout())
    missing = group.missing
    group.remove()
    return not missing
