"""Real mounts: images that mksquashfs makes, and programs started as root and as somebody else.

Tests of the ordinary user's path run as that user: as `nobody` when root runs the tests, else as
whoever runs them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

from lamina.formats import xar
from tests import devices

ROOT = os.geteuid() == 0
NOBODY = 65534
SOURCE = Path(__file__).parents[2] / "src" / "lamina"
UUID = "0123456789abcdef" * 4
# Runs XAR files.
MAIN = "import sys; from lamina.cli.xarexec import main; sys.exit(main())"
SCRIPT = 'echo "$0" "$@"; echo new=$XARFUSE_NEW_MOUNT at=$XAREXEC_LAUNCH_TIMESTAMP\n'
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

# What is started: a package of the images in argv, by the real `launch`.
LAUNCH = """
import json, sys
from pathlib import Path
from lamina.core.errors import LaminaError
from lamina.core.manifest import Package
from lamina.node.launch import launch
from lamina.node import jobs
order = json.loads(sys.argv[1])
exec(order["before"])
package = Package("any", "v1", "//:any", (), tuple(order["entry_point"]), (("OWN", "1"),))
try:
    launch(
        package, list(map(Path, order["images"])), sys.argv[2:], driver=order["driver"],
        writable=jobs.chosen(order["writable"]) if order["writable"] else None,
    )
except LaminaError as error:
    sys.stderr.write(f"error: {error.message}\\nhint: {error.hint}\\n")
    sys.exit(125)
"""


@dataclass(frozen=True)
class Person:
    """Somebody who runs Python code that imports lamina."""

    uid: int
    python: str
    area: Path  # a folder all can read, and this person write
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, code: str, *args: str, **options: object) -> subprocess.Popen[bytes]:
        """Start code without waiting for it."""
        become: dict[str, object] = {}
        if ROOT and self.uid:
            become = {"user": self.uid, "group": self.uid, "extra_groups": []}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            [self.python, "-c", code, *args],
            **{"stdin": -3, "stdout": -1, "stderr": -1, **become, **options},
            cwd=self.area,
            env={"PATH": PATH, "PYTHONPATH": str(self.area / "src"), **self.environment},
        )

    def run(self, code: str, *args: str) -> str:
        """Run code that must succeed; what it printed."""
        started = self.start(code, *args)
        out, words = started.communicate(timeout=60)
        assert started.returncode == 0, words.decode()
        return out.decode()


@dataclass(frozen=True)
class Launcher:
    """Starts packages by one driver as one person."""

    driver: str
    person: Person

    def order(
        self,
        images: Sequence[Path],
        *,
        entry_point: Sequence[str] = ("run",),
        before: str = "",
        writable: object = "",
    ) -> str:
        """What the code that launches wants to know."""
        order = {
            "driver": self.driver,
            "images": [str(image) for image in images],
            "entry_point": list(entry_point),
            "before": before,
            "writable": str(writable),
        }
        return json.dumps(order)

    def start(
        self,
        images: Sequence[Path],
        *args: str,
        entry_point: Sequence[str] = ("run",),
        before: str = "",
        writable: object = "",
        **options: object,
    ) -> subprocess.Popen[bytes]:
        """Start a package's program; `before` is code run in lamina's process first."""
        order = self.order(images, entry_point=entry_point, before=before, writable=writable)
        return self.person.start(LAUNCH, order, *args, **options)

    def output(
        self, images: Sequence[Path], *args: str, before: str = "", writable: object = ""
    ) -> str:
        """What a program that must succeed prints."""
        started = self.start(images, *args, before=before, writable=writable)
        out, words = started.communicate(timeout=60)
        assert started.returncode == 0, words.decode()
        return out.decode()


@pytest.fixture(scope="session")
def libraries() -> Iterator[Path]:
    """A folder that anybody can read, with what lamina imports where it looks into images."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-libraries-", dir="/tmp"))
    folder.chmod(0o755)
    found = Path(zstandard.__file__).parent
    ignored = shutil.ignore_patterns("*cffi*", "*.pyc")  # of two implementations, one will do
    shutil.copytree(found, folder / found.name, ignore=ignored)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def area(libraries: Path) -> Iterator[Path]:
    """A folder that an ordinary user can reach (pytest's own are private), with our sources."""
    with new_area(libraries) as made:
        yield made


@contextlib.contextmanager
def new_area(libraries: Path) -> Iterator[Path]:
    """The same for longer or shorter than a test."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-test-", dir="/tmp"))
    folder.chmod(0o777)
    shutil.copytree(SOURCE, folder / "src" / "lamina", ignore=shutil.ignore_patterns("*.pyc"))
    for library in libraries.iterdir():
        (folder / "src" / library.name).symlink_to(library)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def clean(area: Path) -> Iterator[None]:
    """Whatever a test does, in the end nothing of it is mounted, attached or running."""
    yield
    wait_for_nothing(area)


@pytest.fixture
def root(area: Path) -> Person:
    if not ROOT:
        pytest.skip("needs the rights of root")
    return Person(0, sys.executable, area, {"LAMINA_STORE": str(area / "store")})


@pytest.fixture
def user(area: Path) -> Iterator[Person]:
    """An ordinary user with access to /dev/fuse, as distributions give it."""
    device = Path("/dev/fuse")
    home = {"HOME": "/nonexistent", "LAMINA_STORE": str(area / "store")}
    if not ROOT:
        if not os.access(device, os.R_OK | os.W_OK):
            pytest.skip("/dev/fuse is closed to this user")
        yield Person(os.geteuid(), sys.executable, area, home)
        return
    with devices.open_to_all(device):
        yield Person(NOBODY, _python_for_nobody(), area, home)


def _python_for_nobody() -> str:
    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([python, "-c", test], user=NOBODY, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python 3.11 that an ordinary user may run")


@pytest.fixture(params=[pytest.param("kernel", marks=pytest.mark.root), "fuse"])
def launcher(request: pytest.FixtureRequest, area: Path, clean: None) -> Launcher:
    person = "root" if request.param == "kernel" else "user"
    return Launcher(request.param, request.getfixturevalue(person))


@contextlib.contextmanager
def btrfs(area: Path) -> Iterator[Path]:
    """A folder on a file system of btrfs that is mounted from a file; anybody may write there."""
    if os.geteuid():
        pytest.skip("needs the rights of root, to mount btrfs")
    image, folder = area / "btrfs.img", area / "btrfs"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        deadline = time.monotonic() + 10  # the mounts of programs end a little after these
        while subprocess.run(["umount", folder], capture_output=True).returncode:
            assert time.monotonic() < deadline, leftovers(area)
            time.sleep(0.05)


@pytest.fixture
def image(area: Path) -> Callable[..., Path]:
    """Makes an image file of a tree: path -> text, (text, mode), or Path for a symlink."""

    def make(
        files: Mapping[str, str | tuple[str, int] | Path],
        *,
        compressor: str = "zstd",
        offset: int = 4096,
        target: str = "run",
        uuid: str = UUID,
    ) -> Path:
        tree = Path(tempfile.mkdtemp(prefix="tree-", dir=area))
        tree.chmod(0o755)
        for name, content in files.items():
            _write(tree / name, content)
        made = tree.with_name(f"{tree.name}.xar")
        bare = tree.with_name(f"{tree.name}.squashfs")
        subprocess.run(
            ["mksquashfs", tree, bare, "-quiet", "-no-progress", "-all-root", "-comp", compressor],
            check=True,
            capture_output=True,
        )
        made.write_bytes(_header(offset, uuid, target) + bare.read_bytes())
        return made

    return make


def _write(path: Path, content: str | tuple[str, int] | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        path.symlink_to(content)
        return
    text, mode = content if isinstance(content, tuple) else (content, 0o644)
    path.write_text(text)
    path.chmod(mode)


def _header(offset: int, uuid: str, target: str) -> bytes:
    if offset == 0:
        return b""
    lines = ["#!/usr/bin/env xarexec_fuse", f'OFFSET="{offset}"', f'UUID="{uuid}"', 'VERSION="1"']
    text = "\n".join([*lines, f'XAREXEC_TARGET="{target}"', "#xar_stop", ""])
    return text.encode().ljust(offset, b"\n")


@pytest.fixture(params=[pytest.param("root", marks=pytest.mark.root), "user"])
def person(request: pytest.FixtureRequest, area: Path) -> Iterator[Person]:
    found: Person = request.getfixturevalue(request.param)
    (area / "mnt").mkdir()
    (area / "mnt").chmod(0o1777)
    yield found
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if area.name in line:
            subprocess.run(["fusermount3", "-u", line.split()[4]], check=True)
    wait_for_nothing(area)


@pytest.fixture
def xar_file(image: Callable[..., Path], area: Path) -> Callable[..., Path]:
    """Makes a XAR that mounts below the test's own folder."""

    def make(
        script: str = SCRIPT, *, target: str = "run", name: str = "a", uuid: str = "ab" * 32
    ) -> Path:
        bare = image({"run": script, "data": "inside"}, offset=0)
        made = area / f"{name}.xar"
        header = xar.Header(uuid, target, "1", mount_root=str(area / "mnt"))
        made.write_bytes(xar.encode(header) + bare.read_bytes())
        return made

    return make


def call(person: Person, *args: object) -> tuple[int, str, str]:
    started = person.start(MAIN, *map(str, args))
    out, words = started.communicate(timeout=30)
    return started.returncode, out.decode(), words.decode()


def wait_for_nothing(area: Path) -> None:
    """Wait until nothing that has to do with a folder is left; fails with what is."""
    deadline = time.monotonic() + 30
    while left := leftovers(area):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def leftovers(area: Path) -> list[str]:
    """Mounts, loop devices and processes that name a folder."""
    name = area.name
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = [line for line in table if name in line or " /packages" in line]
    return [*mounts, *_loops(name), *processes(name)]


def _loops(name: str) -> list[str]:
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(file.read_text())
        except OSError:
            continue
    return [path for path in found if name in path]


def processes(word: str) -> list[str]:
    """Live processes with a word in their command line, as `pid: command line`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in command and int(folder.name) != os.getpid():
            found.append(f"{folder.name}: {command}")
    return found
