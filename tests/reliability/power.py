"""Power cuts: the device below a store or a folder is copied while a command writes to it.

The copy is repaired, mounted and looked at. It is of one instant: the command is stopped, and the
device copied until two readings are equal. So the disk is one that keeps what it was told to sync.
Each copy has a name of its own: of a file that was mounted before, the kernel may show what it
knew of it then, if a namespace that somebody made meanwhile still has that mounted.
"""

from __future__ import annotations

import contextlib
import filecmp
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError
from lamina.node.pull import pull
from lamina.store import gc, packages, whole
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.transport import Access
from tests.reliability import made

COMMANDS = ("pull", "push", "gc")
_SIZES = (100_000, 900_000, 5000, 40_000)
_ROOM = 40  # packages that the disk holds


@dataclass(slots=True)
class _Ground:
    """A disk, and what lies on it."""

    folder: Path
    source: LocalStore
    seed: int
    chance: random.Random
    done: dict[str, Digest] = field(default_factory=dict)  # told to be here, by tag
    cuts: int = 0

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def given(self) -> str:
        return f"oci:{self.folder}/given"

    def package(self, number: int, place: str = "") -> Digest:
        """A further package, in a folder on another disk."""
        seed = self.seed * 1_000_003 + number
        return made.push(self.source, place or self.given, f"v{number}", _SIZES, seed)


def cut(folder: Path, times: int, seed: int, what: str) -> list[str]:
    """Cut the power so many times while a command runs; what was wrong. As root."""
    source = LocalStore(folder / "source")
    ground = _Ground(folder, source, seed, random.Random(seed))
    work = {"pull": _pull, "push": _push, "gc": _collect}[what]
    wrong: list[str] = []
    ground.disk.mkdir()
    with (folder / "image").open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(folder / "image")], check=True)
    try:
        with _mounted(folder / "image", ground.disk, "loop,commit=1"):
            for number in range(times):
                if number % _ROOM == 0:
                    _clear(ground)
                try:
                    wrong += [f"{what} {number}: {each}" for each in work(ground, number)]
                except LaminaError as error:
                    wrong.append(f"{what} {number}: {error.message}")
    finally:
        source.close()
    return wrong


def _clear(ground: _Ground) -> None:
    for path in ground.disk.iterdir():
        if path.name != "lost+found":
            shutil.rmtree(path)
    ground.done.clear()


@contextlib.contextmanager
def _mounted(image: Path, at: Path, options: str = "loop") -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", options, str(image), str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@contextlib.contextmanager
def _after_cut(
    ground: _Ground, child: subprocess.Popen[str], *, at_end: bool, longest: float
) -> Iterator[Path]:
    """What the disk is after the power came back; the command goes on meanwhile."""
    if at_end:
        child.wait()  # what it told to be there must be, also if the cut comes at once
    else:
        time.sleep(ground.chance.uniform(0.1, longest))
    ground.cuts += 1
    image, copy = ground.folder / "image", ground.folder / f"copy-{ground.cuts}"
    child.send_signal(signal.SIGSTOP)
    while not (shutil.copyfile(image, copy) and filecmp.cmp(image, copy, shallow=False)):
        time.sleep(0.01)
    child.send_signal(signal.SIGCONT)
    out, told = child.communicate(timeout=60)
    if child.returncode:
        raise LaminaError(f"it failed: {out}{told}")
    subprocess.run(["fsck.ext4", "-fy", str(copy)], check=False, capture_output=True)
    try:
        with _mounted(copy, ground.folder / "after") as after:
            # What counts for one run of the machine alone.
            (after / "store" / whole.FILE).unlink(missing_ok=True)
            yield after
    finally:
        copy.unlink()


def _pull(ground: _Ground, number: int) -> Iterator[str]:
    tag = f"v{number}"
    wanted = f"{ground.given}:{tag}"
    digest = ground.package(number)
    at_end = number % 4 == 0
    child = made.start(ground.disk / "store", "pull", wanted)
    if at_end:
        ground.done[tag] = digest
    with _after_cut(ground, child, at_end=at_end, longest=0.6) as after:
        yield from _lost(after / "store", ground.done)
        yield from _healed(after / "store", wanted, digest)
    ground.done[tag] = digest


def _push(ground: _Ground, number: int) -> Iterator[str]:
    """Into a folder on the disk."""
    tag = f"v{number}"
    digest = ground.package(number)
    at_end = number % 4 == 0
    words = ("push", f"p/a:{tag}")
    child = made.start(ground.source.folder, *words, f"oci:{ground.disk}/r:{tag}")
    if at_end:
        ground.done[tag] = digest
    with _after_cut(ground, child, at_end=at_end, longest=0.9) as after:
        yield from _lost_tags(after / "r", ground, f"{number}")
        code, told = made.run(ground.source.folder, *words, f"oci:{after}/r:{tag}")
        if code:
            yield f"the same again failed: {told}"
        elif left := sorted(each.name for each in (after / "r").glob(".lamina.tmp/*")):
            yield f"left {left}"
        yield from _healed(ground.folder / f"far-{number}", f"oci:{after}/r:{tag}", digest)
    shutil.rmtree(ground.folder / f"far-{number}")
    ground.done[tag] = digest


def _collect(ground: _Ground, number: int) -> Iterator[str]:
    """One package is pinned, the others go."""
    store = ground.disk / "store"
    pinned = f"v{number // _ROOM * _ROOM}"
    wanted = f"{ground.given}:v{number}"
    digest = ground.package(number)
    code, told = made.run(store, "pull", wanted)
    if f"v{number}" == pinned:
        made.run(store, "cache", "pin", f"p/a:{pinned}")
        subprocess.run(["sync", "-f", str(store)], check=True)
        ground.done[pinned] = digest
    child = made.start(store, "cache", "gc", "--max-size", "0")
    with _after_cut(ground, child, at_end=number % 8 == 7, longest=0.25) as after:
        if code:
            yield told
        yield from _lost(after / "store", ground.done)
        yield from _healed(after / "store", wanted, digest)
        again, told = made.run(after / "store", "cache", "gc", "--max-size", "0")
        if again:
            yield told
        yield from _lost(after / "store", ground.done)


def _lost(folder: Path, done: dict[str, Digest]) -> Iterator[str]:
    """What is wrong with a store, or not there though it was told to be."""
    store = LocalStore(folder)
    try:
        yield from (f"{each} is wrong" for each in gc.verify(store).wrong)
        named = {each.digest for each in packages.kept(store)}
        for tag, digest in done.items():
            if digest not in named or not packages.is_whole(digest, store):
                yield f"{tag} went"
    finally:
        store.close()


def _lost_tags(folder: Path, ground: _Ground, number: str) -> Iterator[str]:
    """What a folder names must be whole, and what was told to be there be named."""
    if not (folder / "index.json").exists():
        yield from (f"{tag} went" for tag in ground.done)
        return
    repository = open_repository(reference.parse(f"oci:{folder}"), Access())
    tags = {tag for tag in repository.tags() if tag.startswith("v")}
    yield from (f"{tag} went" for tag in sorted(ground.done.keys() - tags))
    far = LocalStore(ground.folder / f"tags-{number}")
    for tag in sorted(tags):
        try:
            found = pull(open_repository(reference.parse(f"oci:{folder}:{tag}"), Access()), far)
        except LaminaError as error:
            yield f"{tag} is not whole: {error.message}"
        else:
            if ground.done.get(tag, found.digest) != found.digest:
                yield f"{tag} is another package"
    far.close()
    shutil.rmtree(far.folder)


def _healed(folder: Path, wanted: str, digest: Digest) -> Iterator[str]:
    code, told = made.run(folder, "pull", wanted)
    store = LocalStore(folder)
    try:
        if code or not packages.is_whole(digest, store) or gc.verify(store).wrong:
            yield f"not healed: {told}"
    finally:
        store.close()
