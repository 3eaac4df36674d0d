"""Damaged images, mounted by both drivers past all checks: errors, and never a hang.

What lies in a store is compared with its name before it is mounted, so no such image should ever
get so far; a XAR file that somebody brought is not, and the kernel and squashfuse must bear it.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Launcher, Person, call, leftovers
from .test_erofs import erofs_image  # noqa: F401 - a fixture

Image = Callable[..., Path]

# Reads all there is: names, attributes, contents and links; tells how many reads failed.
READ_ALL = """#!/bin/sh
cd "${0%/*}"
find . -ls > /dev/null 2>&1 || echo names
find . -type f -exec cat {} + > /dev/null 2>&1 || echo contents
find . -type l -exec readlink {} + > /dev/null 2>&1 || echo links
echo end
"""
READER = {"run": (READ_ALL, 0o755)}
FILES: dict[str, object] = {
    **{f"deep/{number % 7}/{number}": f"{number}\n" * 3000 for number in range(40)},
    "link": Path("deep/1/1"),
    "random": "".join(map(chr, random.Random(1).choices(range(32, 127), k=200_000))),
    "empty": "",
}


def flipped(data: bytes, seed: int, start: int) -> bytes:
    """Some bits after the superblock are others."""
    chance, damaged = random.Random(seed), bytearray(data)
    for _ in range(1 << chance.randrange(8)):
        damaged[chance.randrange(start, len(data))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def end_lost(data: bytes, seed: int, start: int) -> bytes:
    """As a power cut leaves a file: it has its size, and zeros from some place on."""
    place = random.Random(seed).randrange(start, len(data))
    return data[:place].ljust(len(data), b"\0")


def outcome(launcher: Launcher, images: list[Path]) -> str:
    started = launcher.start(images)
    out, words = (each.decode(errors="replace") for each in started.communicate(timeout=120))

    assert "Traceback" not in words
    if started.returncode == 125:
        assert words.startswith("error: "), words
        return "refused"
    assert started.returncode == 0, (started.returncode, words)
    assert out.endswith("end\n")
    return out


@pytest.mark.parametrize("damage", [flipped, end_lost])
@pytest.mark.parametrize("kind", ["squashfs", "erofs"])
def test_a_damaged_layer_is_refused_or_gives_errors_to_its_reader(
    launcher: Launcher,
    image: Image,
    erofs_image: Image,  # noqa: F811
    area: Path,
    damage: Callable[[bytes, int, int], bytes],
    kind: str,
) -> None:
    good = image(READER)
    whole = image(FILES) if kind == "squashfs" else erofs_image(FILES)
    start = 4096 + 96 if kind == "squashfs" else 1024 + 128
    assert outcome(launcher, [whole, good]) == "end\n"

    results = []
    for seed in range(4):
        damaged = area / f"{seed}.image"
        damaged.write_bytes(damage(whole.read_bytes(), seed, start))
        damaged.chmod(0o644)
        results.append(outcome(launcher, [damaged, good]))

    # Where something is missing, something was told; but what squashfuse says of a folder that it
    # cannot read, overlayfs takes for the end of the folder.
    if damage is end_lost and launcher.driver == "kernel":
        assert "end\n" not in results


def test_a_layer_without_its_end_is_refused_before_it_is_mounted(
    launcher: Launcher, image: Image, area: Path
) -> None:
    whole = image(FILES).read_bytes()
    cut = area / "cut.image"
    for size in (0, 100, 4096, 4100, 5000, len(whole) - 8192):
        cut.write_bytes(whole[:size])

        assert outcome(launcher, [cut, image(READER)]) == "refused"


@pytest.mark.parametrize("who", [pytest.param("root", marks=pytest.mark.root), "user"])
@pytest.mark.parametrize("damage", [flipped, end_lost])
def test_a_damaged_xar_file_runs_or_fails_and_leaves_nothing(
    who: str,
    request: pytest.FixtureRequest,
    image: Image,
    area: Path,
    clean: None,
    damage: Callable[[bytes, int, int], bytes],
) -> None:
    person: Person = request.getfixturevalue(who)
    (area / "mnt").mkdir()
    (area / "mnt").chmod(0o1777)
    whole = image({**FILES, "run": READ_ALL}).read_bytes()
    key = f'MOUNT_ROOT="{area}/mnt"\n#xar_stop'.encode()
    header = whole[:4096].replace(b"#xar_stop", key)[:4096]

    for seed in range(3):
        unique = header.replace(b'UUID="0123', b'UUID="%04d' % seed)
        made = area / f"{seed}.xar"
        made.write_bytes(unique + damage(whole, seed, 4096 + 96)[4096:])
        made.chmod(0o644)

        code, out, words = call(person, made)

        assert "Traceback" not in words
        assert code != 0 or out.endswith("end\n")
        assert code != 134 or words.startswith("error: ")
        for line in leftovers(area):
            if f"{area}/mnt" in line and " - fuse" in line:
                _unmount(line.split()[4])


def _unmount(place: str) -> None:

    subprocess.run(["fusermount3", "-u", "-z", place], check=True)
