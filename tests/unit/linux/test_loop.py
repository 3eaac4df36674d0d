"""Loop devices: they show the file from the offset on, and are gone afterwards."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lamina.linux import loop

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights of root"),
]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(b"head".ljust(4096) + b"body".ljust(8192))
    return path


def backing(path: Path) -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [text for text in map(_text, files) if str(path) in text]


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(("offset", "first"), [(0, b"head"), (4096, b"body")])
def test_the_device_starts_at_the_offset(image: Path, offset: int, first: bytes) -> None:
    with (
        image.open("rb") as file,
        loop.attached(file.fileno(), offset, str(image)) as device,
        Path(device).open("rb") as reader,
    ):
        assert reader.read(4) == first


def test_nothing_stays_attached(image: Path) -> None:
    with image.open("rb") as file, loop.attached(file.fileno(), 0, str(image)):
        assert len(backing(image)) == 1

    assert backing(image) == []


def test_the_device_can_not_be_written(image: Path) -> None:
    with (
        image.open("rb") as file,
        loop.attached(file.fileno(), 0, str(image)) as device,
        pytest.raises(PermissionError),
        Path(device).open("wb", buffering=0) as writer,
    ):
        writer.write(bytes(512))


def test_a_device_of_the_same_file_and_offset_is_used_again(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / image.name
    other.parent.mkdir()
    other.write_bytes(image.read_bytes())

    with (
        image.open("rb") as file,
        other.open("rb") as second,
        loop.attached(file.fileno(), 4096, str(image)) as device,
    ):
        known = loop.bound()
        assert device in known[image.name]
        with loop.attached(file.fileno(), 4096, str(image), known) as again:
            assert again == device
        with loop.attached(file.fileno(), 0, str(image), known) as whole:
            assert whole != device
        with loop.attached(second.fileno(), 4096, str(other), known) as another:
            assert another != device
        assert backing(image) == [f"{image}\n"]

    assert backing(image) == []


def test_a_device_that_is_let_go_meanwhile_is_not_taken_for_another_file(
    image: Path, tmp_path: Path
) -> None:
    """Some attach files and let go of them all the time; who asks for one never gets another."""
    other = tmp_path / "other"
    other.write_bytes(b"x" * 4096)
    stop = threading.Event()
    seen: list[bytes] = []

    def churn(path: Path) -> None:
        while not stop.is_set():
            with path.open("rb") as file, loop.attached(file.fileno(), 0, str(image)):
                pass

    def ask() -> None:
        for _ in range(100):
            with (
                image.open("rb") as file,
                loop.attached(file.fileno(), 0, str(image), loop.bound()) as device,
                Path(device).open("rb") as reader,
            ):
                seen.append(reader.read(4))

    churning = [threading.Thread(target=churn, args=(path,)) for path in (image, other)]
    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in (*churning, *asking):
        thread.start()
    for thread in asking:
        thread.join()
    stop.set()
    for thread in churning:
        thread.join()

    assert seen == [b"head"] * 200
    assert backing(tmp_path) == []


def test_many_at_once_get_a_device_each(image: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def attach() -> None:
        for _ in range(5):
            with image.open("rb") as file, loop.attached(file.fileno(), 0, str(image)) as device:
                barrier.wait()
                found.append(device)
                barrier.wait()

    threads = [threading.Thread(target=attach) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 40
    assert all(len(set(found[n : n + 8])) == 8 for n in range(0, 40, 8))
