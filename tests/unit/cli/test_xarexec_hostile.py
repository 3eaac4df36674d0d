"""XAR files that lie: `xarexec` says what is wrong, and mounts nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.cli import xarexec
from lamina.cli.main import main
from lamina.formats import erofs, squashfs, xar
from lamina.linux import mountinfo
from lamina.node import mounts

UUID = "ab" * 32
WHOLE = (f'OFFSET="4096"\nUUID="{UUID}"\nVERSION="1"\nXAREXEC_TARGET="run"\n', "#xar_stop\n")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("image")
    (folder / "tree").mkdir()
    (folder / "tree/run").write_text("echo it runs\n")
    words: list[str | Path] = ["mksquashfs", folder / "tree", folder / "image", *squashfs.options()]
    subprocess.run(words, check=True, capture_output=True)
    return (folder / "image").read_bytes()


def header(lines: str, stop: str = "#xar_stop\n", *, size: int = 4096) -> bytes:
    text = f"#!/usr/bin/env xarexec_fuse\n{lines}{stop}".encode(errors="surrogateescape")
    return text.ljust(size, b"\n")


def changed(old: str, new: str) -> Callable[[bytes], bytes]:
    assert old in "".join(WHOLE)
    return lambda image: header(WHOLE[0].replace(old, new), WHOLE[1].replace(old, new)) + image


def with_field(place: int, value: int, size: int = 8) -> Callable[[bytes], bytes]:
    """A field of the superblock that lies."""
    number = value.to_bytes(size, "little")
    return lambda image: header(*WHOLE) + image[:place] + number + image[place + size :]


ALWAYS = "OFFSET of a XAR is a multiple of 4096"
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda image: b"", "does not start with `#!`"),
    "a header alone": (lambda image: header(*WHOLE), "OFFSET 4096 is past its end"),
    "a header cut off": (lambda image: header(*WHOLE)[:60], "not `NAME="),
    "a bare image": (lambda image: image, "bare image of a file system"),
    "another shebang": (lambda image: b"#!/bin/sh\necho hello\n" + image, "not UTF-8"),
    "no stop mark": (lambda image: header(WHOLE[0] + "echo hi\n", "") + image, "not `NAME="),
    "no end": (lambda image: header('A="x"\n' * 20_000, "") + image, "the UUID of a XAR"),
    "no offset": (changed('OFFSET="4096"\n', ""), "has no OFFSET"),
    "an offset of 0": (changed("4096", "0"), ALWAYS),
    "an offset below 0": (changed("4096", "-4096"), ALWAYS),
    "an odd offset": (changed("4096", "4097"), ALWAYS),
    "an offset past the end": (changed("4096", "65536"), "OFFSET 65536 is past its end"),
    "an offset that is too far": (changed("4096", "69632"), ALWAYS),
    "a huge offset": (changed("4096", "9" * 400), ALWAYS),
    "an offset in words": (changed("4096", "0x1000"), ALWAYS),
    "an offset in other digits": (changed("4096", "٤٠٩٦"), ALWAYS),
    "a second offset, which counts": (
        changed('OFFSET="4096"\n', 'OFFSET="4096"\nOFFSET="0"\n'),
        ALWAYS,
    ),
    "a UUID that is a path": (changed(UUID, "../../etc"), "made of hexadecimal digits"),
    "a UUID that is too long": (changed(UUID, "a" * 129), "made of hexadecimal digits"),
    "no UUID": (changed(UUID, ""), "made of hexadecimal digits"),
    "lines as on Windows": (changed("\n", "\r\n"), "not `NAME="),
    "a NUL in a value": (changed('"run"', '"run\0"'), "has a NUL in it"),
    "a NUL in a name": (changed("VERSION", "VER\0SION"), "has a NUL in it"),
    "bytes that are no text": (changed('"1"', '"\udcff"'), "not UTF-8"),
    "a value without quotes": (changed('"1"', "1"), "not `NAME="),
    "a name without a value": (changed('VERSION="1"', "VERSION"), "not `NAME="),
    "no target": (changed('"run"', '""'), "nothing to run"),
    "a target outside": (changed('"run"', '"../../run"'), "lies outside of it"),
    "an absolute target": (changed('"run"', '"/bin/run"'), "lies outside of it"),
    "another file system": (lambda image: header(*WHOLE) + b"sqsh" + image[4:], "no superblock"),
    "half an image": (lambda image: header(*WHOLE) + image[:200], "cut off"),
    "an image of 2^63 bytes": (with_field(40, 1 << 63), "and only"),
    "an image of no bytes": (with_field(40, 0), "outside of it"),
    "a table outside": (with_field(48, 1 << 40), "id table lies outside"),
    "a table at the start": (with_field(64, 0), "inode table lies outside"),
    "a block of 2^30 bytes": (with_field(12, 1 << 30, 4), "impossible block size"),
    "a block that is no power": (with_field(12, 131071, 4), "impossible block size"),
    "an unknown compressor": (with_field(20, 99, 2), "unknown compressor"),
    "another version": (with_field(28, 3, 2), "version 3.0"),
}


def _below(folder: Path) -> set[str]:
    """Mount points of this test; others come and go meanwhile."""
    return {str(each) for each in mountinfo.mount_points() if str(folder) in str(each)}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_xar_that_lies_is_refused(
    name: str, image: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = HOSTILE[name]
    file = tmp_path / "a.xar"
    file.write_bytes(make(image))
    before = _below(tmp_path)

    code = xarexec.main([str(file)])

    out, err = capsys.readouterr()
    assert (code, out) == (134, "")
    assert err.startswith("error: ")
    assert words.lower() in err.lower()
    assert str(file) in err or "XAR" in err
    assert _below(tmp_path) == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("options", [[], ["-m"], ["-n"]])
def test_a_folder_and_a_pipe_and_nothing_are_refused_at_once(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")

    for name in (".", "pipe", "absent", "absent/x"):
        assert xarexec.main([*options, str(tmp_path / name)]) == 134
        assert capsys.readouterr().err.startswith("error: can not ")


@pytest.mark.parametrize("command", [["exec"], ["mount"]])
def test_lamina_says_what_runs_a_xar_file(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAMINA_STORE", str(tmp_path / "store"))

    assert main([*command, "./a.xar"]) in (3, 125)
    assert "`xarexec FILE` runs a XAR file" in capsys.readouterr().err


def test_a_header_of_more_than_a_page_is_read_to_its_mark(image: bytes, tmp_path: Path) -> None:
    lines = WHOLE[0].replace("4096", "8192") + f'NOTE="{"x" * 4500}"\n'
    file = tmp_path / "a.xar"
    file.write_bytes(header(lines, size=8192) + image)

    assert mounts.offset(file) == 8192


def test_half_an_erofs_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(os.urandom(50_000))
    file = tmp_path / "image"
    words: list[str | Path] = ["mkfs.erofs", *erofs.options("ab" * 16), file, tmp_path / "tree"]
    subprocess.run(words, check=True, capture_output=True)
    assert mounts.kind(file) == mounts.EROFS

    file.write_bytes(file.read_bytes()[:20_000])

    with pytest.raises(Exception, match="only 20000 are there"):
        mounts.kind(file)


def test_a_header_is_still_what_it_was() -> None:
    assert xar.decode(header(*WHOLE)) == xar.Header(UUID, "run", "1")
