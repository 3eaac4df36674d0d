"""The same tree by every driver: one package and one base image, walked as the program sees them.

The layers are made by `mksquashfs`; what is expected is written down here, path by path.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lamina.formats import imagelayer, squashfs

from .conftest import Person, btrfs, leftovers

LARGE = 5 << 30  # bytes of a file that has nearly none
LONG = "ü" * 127 + "x"  # 255 bytes
NOISE = bytes(range(256)) * 1200  # more than two blocks
DAY = 86_400

Shown = dict[str, list[object]]


@dataclass(frozen=True)
class Way:
    """A driver, who uses it, and how it is told to merge."""

    driver: str
    user: bool = False
    plan: str = ""

    def __str__(self) -> str:
        who = "user" if self.user else "root"
        return "-".join(filter(None, (self.driver, who, self.plan)))


PLANS = {
    "": "",
    "alone": "plan.FUSE = plan.KERNEL = replace(plan.FUSE, worth=1e9)",
    "whole": "plan.FUSE = plan.KERNEL = plan.ALL_AS_ONE",
    "runs": "plan._length = lambda *_: 2; plan._pays = lambda *_: True\n"
    "plan.KERNEL = replace(plan.KERNEL, worth=0.0)",
    # As blobs of a store, each laid out as a folder where that can be done.
    "folders": """
from lamina.node import laid, parts
from lamina.store import local
laid.LEAST = parts.LEAST = 0
plan.FUSE = plan.KERNEL = replace(plan.FUSE, worth=1e9)
store = local.LocalStore(local.default_folder())
images = [store.path(store.write(image.read_bytes())) for image in images]
folders = [laid.lay_out(image, store.folder).is_dir() for image in images]
assert any(folders), "nothing is laid out"
store.close()
""",
}
WAYS = [
    *(Way("kernel", plan=each) for each in ("alone", "runs", "whole", "folders")),
    *(Way("fuse", user, each) for user in (True, False) for each in PLANS if each),
    Way("btrfs"), Way("btrfs", user=True), Way("copy"), Way("copy", user=True),
]  # fmt: skip

# What is run: the images are stacked, and all that is seen is printed.
WALK = r"""
import hashlib, json, os, stat, sys
from dataclasses import replace
from pathlib import Path
order = json.loads(sys.argv[1])
from lamina.node import mounts, plan
images = [Path(each) for each in order["images"]]
exec(order["plan"])
if order["driver"] == "copy":
    from lamina.node import copied
    from lamina.store import local
    top = os.fsencode(copied.joined(images, local.default_folder()))
else:
    driver = mounts.driver(order["driver"])
    driver.enter()
    top = b"/proc/self/fd/%d" % driver.stack(images)
seen, numbers = {}, {}
def content(path, size):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for begin in (0, max(size - 4096, 0)) if size > 1 << 30 else (0,):
            file.seek(begin)
            found.update(file.read(4096) if size > 1 << 30 else file.read())
    return found.hexdigest()
def walk(folder, name):
    for entry in sorted(os.listdir(folder)):
        path = folder + b"/" + entry
        status = os.lstat(path)
        mode, kind = stat.S_IMODE(status.st_mode), stat.S_IFMT(status.st_mode)
        own = name + entry
        told = [oct(mode), int(status.st_mtime), status.st_uid]
        if kind == stat.S_IFLNK:
            told = ["symlink", os.readlink(path).decode(), int(status.st_mtime), status.st_uid]
        elif kind == stat.S_IFDIR:
            told = ["folder", *told]
            walk(path, own + b"/")
        elif kind == stat.S_IFREG:
            same = numbers.setdefault((status.st_dev, status.st_ino), own.decode())
            told = ["file", *told, status.st_size, content(path, status.st_size), same]
            if status.st_size > 1 << 30 and order["driver"] != "fuse":  # squashfuse tells no holes
                assert status.st_blocks * 512 < 1 << 20, "a hole is filled"
        else:
            told = [oct(kind), *told]
        seen[own.decode()] = told
walk(top + b"/.", b"")
print(json.dumps(seen))
"""


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest, area: Path, clean: None) -> Iterator[Callable[..., Shown]]:
    """`way(images)`: what the program sees, with modes and owners as they should be."""
    wanted: Way = request.param
    person: Person = request.getfixturevalue("user" if wanted.user else "root")
    with contextlib.ExitStack() as held:
        if wanted.driver == "btrfs":
            store = held.enter_context(btrfs(area)) / "store"
            person = replace(person, environment={**person.environment, "LAMINA_STORE": str(store)})

        def show(images: list[Path]) -> Shown:
            order = {
                "driver": wanted.driver,
                "images": [str(image) for image in images],
                "plan": PLANS[wanted.plan],
            }
            shown: Shown = json.loads(person.run(WALK, json.dumps(order)))
            return {path: as_root_sees(wanted, node) for path, node in shown.items()}

        yield show


def as_root_sees(way: Way, node: list[object]) -> list[object]:
    """Owners only root's drivers know; the copy, which any program could change, lets none write.

    These two are what drivers differ in, and it is told in docs/mounting.md.
    """
    found = list(node)
    owner = 3
    if way.user:
        found[owner] = None
    if way.driver == "copy" and found[0] != "symlink":
        assert int(str(found[1]), 8) & 0o222 == 0
    return found


@dataclass(frozen=True)
class Entry:
    """A member of a layer of an image."""

    text: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    owner: int = 0
    target: str = ""
    time: int = DAY


def folder(mode: int = 0o755, owner: int = 0, time: int = DAY) -> Entry:
    return Entry(type=tarfile.DIRTYPE, mode=mode, owner=owner, time=time)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """A folder for images that all these tests use, which anybody can read."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-shelf-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def base_layer(shelf: Path, number: int, entries: Mapping[str, Entry]) -> Path:
    """A layer of a base image as lamina makes it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, entry in entries.items():
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.size = entry.type, entry.mode, len(entry.text)
            info.uid = info.gid = entry.owner
            info.linkname, info.mtime = entry.target, entry.time
            tar.addfile(info, io.BytesIO(entry.text))
    converted = io.BytesIO()
    imagelayer.convert(io.BytesIO(made.getvalue()), len(made.getvalue()), converted)
    image = shelf / f"base-{number}"
    subprocess.run(
        ["mksquashfs", "-", image, "-tar", *squashfs.FROM_TAR],
        input=converted.getvalue(), check=True, capture_output=True,
    )  # fmt: skip
    return image


@pytest.fixture(scope="module")
def base(shelf: Path) -> list[Path]:
    """Five layers of an image: they hide files, folders and what is in these, again and again."""
    layers: list[dict[str, Entry]] = [
        {
            "d": folder(0o705, owner=7), "d/gone": Entry(b"g"), "d/kept": Entry(b"kept", owner=8),
            "opaque": folder(), "opaque/old": Entry(), "opaque/inner": folder(),
            "again": folder(), "again/old": Entry(),
            "first": Entry(b"linked"), "second": Entry(type=tarfile.LNKTYPE, target="first"),
            "late": Entry(b"x", time=1_700_000_000),
        },
        {"middle": folder(0o700), "d/.wh.gone": Entry(), "again": Entry(b"a file")},
        {
            "d": folder(0o715, owner=9, time=3 * DAY), "d/new": Entry(b"new"),
            "opaque": folder(time=5 * DAY), "opaque/.wh..wh..opq": Entry(), "opaque/new": Entry(),
            "again": folder(), "again/new": Entry(b"n"),
            "link": Entry(type=tarfile.SYMTYPE, target="d/kept"),
            "pipe": Entry(type=tarfile.FIFOTYPE), "middle": folder(0o1777),
            "odd": Entry(b"for others", mode=0o604),
        },
        {"late": Entry(b"y", mode=0o4755, time=7), ".wh.middle": Entry()},
        {"middle": folder(0o1777), "middle/in": Entry(b"in")},
    ]  # fmt: skip
    return [base_layer(shelf, *each) for each in enumerate(layers)]


def test_a_base_image_is_the_same_by_every_driver(
    way: Callable[..., Shown], base: list[Path], request: pytest.FixtureRequest
) -> None:

    seen = way(base)

    assert seen == expected(request, {
        "again": ["folder", 0o755, DAY, 0],
        "again/new": ["file", 0o644, DAY, 0, b"n"],
        "d": ["folder", 0o715, 3 * DAY, 9],
        "d/kept": ["file", 0o644, DAY, 8, b"kept"],
        "d/new": ["file", 0o644, DAY, 0, b"new"],
        "first": ["file", 0o644, DAY, 0, b"linked"],
        "late": ["file", 0o4755, 7, 0, b"y"],
        "link": ["symlink", "d/kept", DAY, 0],
        "middle": ["folder", 0o1777, DAY, 0],
        "middle/in": ["file", 0o644, DAY, 0, b"in"],
        "opaque": ["folder", 0o755, 5 * DAY, 0],
        "opaque/new": ["file", 0o644, DAY, 0, b""],
        "pipe": ["0o10000", 0o644, DAY, 0],
        "odd": ["file", 0o604, DAY, 0, b"for others"],
        "second": ["file", 0o644, DAY, 0, b"linked", "first"],
    })  # fmt: skip


@pytest.fixture(scope="module")
def own(shelf: Path) -> list[Path]:
    """Three layers of a package, made as lamina's action does, but for hard links."""

    def lowest(tree: Path) -> None:
        (tree / "to-folder").write_text("a file")
        (tree / "to-file/in/it").mkdir(parents=True)
        (tree / "to-file/in/it/old").write_text("old")
        (tree / "to-link").mkdir()
        (tree / "empty").mkdir()
        (tree / "noise").write_bytes(NOISE)
        with (tree / "large").open("wb") as file:
            file.truncate(LARGE - 4)
            file.seek(0, os.SEEK_END)
            file.write(b"end!")
        (tree / LONG).write_text("long")

    def middle(tree: Path) -> None:
        (tree / "to-folder").mkdir()
        (tree / "to-folder/new").write_text("new")
        (tree / "to-file").write_text("a file now")
        (tree / "to-link").symlink_to("noise")
        (tree / "grüße ☃\n").mkdir()
        (tree / "grüße ☃\n/tool").write_text("#!/bin/sh\n")
        (tree / "grüße ☃\n/tool").chmod(0o555)
        (tree / "one").write_text("linked")
        (tree / "two").hardlink_to(tree / "one")
        (tree / "from-link").symlink_to("nowhere")

    def highest(tree: Path) -> None:
        (tree / "from-link").mkdir()
        (tree / "from-link/in").write_text("real")
        (tree / "to-folder").mkdir()
        (tree / "to-folder/newer").write_text("newer")
        (tree / "to-folder").chmod(0o775)

    found = []
    words = [word for word in squashfs.MKSQUASHFS if word != "-no-hardlinks"]
    for fill in (lowest, middle, highest):
        tree = shelf / fill.__name__
        tree.mkdir(mode=0o755)
        fill(tree)
        found.append(tree.with_suffix(".squashfs"))
        subprocess.run(["mksquashfs", tree, found[-1], *words], check=True, capture_output=True)
    return found


def test_a_package_is_the_same_by_every_driver(
    way: Callable[..., Shown], own: list[Path], request: pytest.FixtureRequest, area: Path
) -> None:
    seen = way(own)

    assert seen == expected(request, {
        "empty": ["folder", 0o755, 0, 0],
        "from-link": ["folder", 0o755, 0, 0],
        "from-link/in": ["file", 0o644, 0, 0, b"real"],
        "grüße ☃\n": ["folder", 0o755, 0, 0],
        "grüße ☃\n/tool": ["file", 0o555, 0, 0, b"#!/bin/sh\n"],
        "large": ["file", 0o644, 0, 0, LARGE],
        "noise": ["file", 0o644, 0, 0, NOISE],
        "one": ["file", 0o644, 0, 0, b"linked"],
        "to-file": ["file", 0o644, 0, 0, b"a file now"],
        "to-folder": ["folder", 0o775, 0, 0],
        "to-folder/new": ["file", 0o644, 0, 0, b"new"],
        "to-folder/newer": ["file", 0o644, 0, 0, b"newer"],
        "to-link": ["symlink", "noise", 0, 0],
        "two": ["file", 0o644, 0, 0, b"linked", "one"],
        LONG: ["file", 0o644, 0, 0, b"long"],
    })  # fmt: skip
    assert [each for each in leftovers(area) if "btrfs" not in each] == []


def expected(request: pytest.FixtureRequest, told: Mapping[str, list[object]]) -> Shown:
    """The walk's words for what is told: kind, mode, time, owner, content, first name."""
    from hashlib import sha256

    way: Way = request.node.callspec.params["way"]
    found: Shown = {}
    for path, node in told.items():
        kind, mode, time, owner, *rest = node
        if isinstance(mode, int):
            mode &= 0o1777 if way.driver in ("copy", "btrfs") and kind == "file" else 0o7777
            mode = oct(mode & ~0o222 if way.driver == "copy" else mode)
        if rest:
            content, *first = rest
            if isinstance(content, int):
                size, content = content, bytes(4096) + bytes(4092) + b"end!"
            else:
                assert isinstance(content, bytes)
                size = len(content)
            rest = [size, sha256(content).hexdigest(), *(first or [path])]
        found[path] = [kind, mode, time, None if way.user else owner, *rest]
    return found
