"""Layers as folders: which can be, what is left of one that was not finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lamina.core.container import Limits
from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.formats import squashfs
from lamina.linux import cgroups, filesystem
from lamina.node import laid, laying
from lamina.store import derived
from lamina.store.local import LocalStore

Layer = Callable[[Callable[[Path], object]], Path]

pytestmark = pytest.mark.skipif(
    not laying.may_lie_on("/tmp"), reason="the folder for temporary files lies on no disk"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def layer(tmp_path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Layer:
    """Makes a blob of the store that is a layer of what is filled in; none is too small."""
    monkeypatch.setattr(laid, "AMONG", 0)

    def make(fill: Callable[[Path], object]) -> Path:
        tree, image = tmp_path / "tree", tmp_path / "image"
        tree.mkdir(mode=0o755)
        (tree / "file").write_text("text")
        fill(tree)
        words = [
            word
            for word in squashfs.MKSQUASHFS
            if word not in ("-all-root", "-no-xattrs", "-no-hardlinks")
        ]
        subprocess.run(["mksquashfs", tree, image, *words], check=True, capture_output=True)
        return store.path(store.write(image.read_bytes()))

    return make


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_holds_what_the_image_shows(layer: Layer, store: LocalStore) -> None:
    def fill(tree: Path) -> None:
        (tree / "in").mkdir(mode=0o711)
        (tree / "in/tool").write_text("#!")
        (tree / "in/tool").chmod(0o555)
        (tree / "in/again").hardlink_to(tree / "file")
        (tree / "link").symlink_to("in/tool")
        (tree / "closed").mkdir(mode=0o555)

    image = layer(fill)
    assert laid.stacked(image, store.folder) == image

    assert laid.lay_out(image, store.folder).is_dir()

    root = laid.stacked(image, store.folder)
    assert names(root) == ["closed", "file", "in", "link"]
    assert (root / "link").readlink() == Path("in/tool")
    assert (root / "in/tool").stat().st_mode & 0o7777 == 0o555
    assert (root / "file").stat().st_mode & 0o7777 == 0o644
    assert (root / "in").stat().st_mode & 0o7777 == 0o711
    assert (root / "in/again").samefile(root / "file")
    # Who has mounted the image before that has to know.
    assert [each.place for each in laid.candidates([image], store.folder)] == [root.parent]
    assert [path for path in store.scratch.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    "fill",
    [
        lambda tree: (tree / "file").chmod(0o4755),
        lambda tree: tree.chmod(0o2755),
        lambda tree: os.mkfifo(tree / "pipe"),
        lambda tree: os.mknod(tree / "gone", 0o20000, 0),
        lambda tree: os.setxattr(tree / "file", "user.mine", b"x"),
        lambda tree: os.setxattr(tree, "trusted.overlay.opaque", b"y"),
        lambda tree: (tree / "file").chmod(0o044),
        lambda tree: (tree / "in").mkdir(mode=0o011),
    ],
    ids=[
        "setuid", "setgid", "pipe", "whiteout", "attribute", "opaque", "unreadable", "closed",
    ],
)  # fmt: skip
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes such files")
def test_what_files_of_the_store_can_not_be_stays_an_image(
    layer: Layer, store: LocalStore, fill: Callable[[Path], object]
) -> None:
    image = layer(fill)

    place = laid.lay_out(image, store.folder)

    assert place.is_file()
    assert laid.stacked(image, store.folder) == image
    assert laid.candidates([image], store.folder) == []  # nobody tries it again


def test_a_damaged_layer_is_not_laid_out(layer: Layer, store: LocalStore) -> None:
    image = layer(lambda tree: (tree / "more").write_bytes(os.urandom(9000)))
    image.chmod(0o644)
    with image.open("r+b") as file:
        file.seek(200)
        file.write(b"\0damage\0")

    with pytest.raises(IntegrityError):
        laid.lay_out(image, store.folder)

    assert list((store.folder / "laid").glob("*/?*[!k]")) == []


def test_what_was_killed_before_it_was_done_is_done_again(layer: Layer, store: LocalStore) -> None:
    image = layer(lambda tree: (tree / "more").write_text("more"))
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lamina.linux import syscalls\n"
        "from lamina.node import laid\n"
        "syscalls.sync_file_system = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "laid.lay_out(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, image, store.folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert laid.stacked(image, store.folder) == image

    store.sweep_scratch()
    laid.lay_out(image, store.folder)

    assert names(laid.stacked(image, store.folder)) == ["file", "more"]
    assert names(store.folder / "tmp") == [store.scratch.name]


def test_a_folder_that_somebody_replaced_is_not_used(layer: Layer, store: LocalStore) -> None:
    image = layer(lambda tree: None)
    place = laid.lay_out(image, store.folder)
    derived.remove(place, store)
    (place / "root").mkdir(parents=True)

    assert laid.stacked(image, store.folder) == image
    assert laid.candidates([image], store.folder) != []

    laid.lay_out(image, store.folder)
    assert names(laid.stacked(image, store.folder)) == ["file"]


def test_a_store_that_a_group_shares_has_none(layer: Layer, store: LocalStore) -> None:
    image = layer(lambda tree: None)
    store.folder.chmod(0o2775)

    assert laid.candidates([image], store.folder) == []
    with pytest.raises(HostError, match="a group shares it"):
        laid.lay_out_all([image], store.folder)


def test_small_images_and_those_of_elsewhere_stay(
    layer: Layer, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = layer(lambda tree: None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(image.read_bytes())
    assert laid.candidates([elsewhere], store.folder) == []

    monkeypatch.setattr(laid, "AMONG", image.stat().st_size + 1)
    assert laid.candidates([image], store.folder) == []


@pytest.mark.parametrize(("limit", "is_done"), [(1 << 30, False), (8 << 30, True)])
def test_beside_a_job_with_little_memory_nothing_is_laid_out(
    layer: Layer, store: LocalStore, tmp_path: Path, limit: int, is_done: bool
) -> None:
    group = cgroups.create(f"test-{os.getpid()}", Limits(memory=limit), cgroups.layout())
    if group.missing:
        group.remove()
        pytest.skip("no limit of memory can be set here")
    image = layer(lambda tree: None)
    code = "import sys; from lamina.node import laying; laying.begin(sys.argv[1], sys.argv[2:])"
    words = [sys.executable, "-c", code, str(store.folder), str(image)]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        subprocess.run(words, env=around, check=True, preexec_fn=group.join)
        assert (store.folder / "laying").exists() == is_done
        if is_done:
            with filesystem.locked(store.folder / "laying"):  # until that is done
                assert laid.stacked(image, store.folder) != image
            return
    finally:
        group.remove()

    subprocess.run(words, env=around, check=True)
    with filesystem.locked(store.folder / "laying"):  # until that is done
        assert laid.stacked(image, store.folder) != image


def test_what_goes_wrong_stands_in_the_store(layer: Layer, store: LocalStore) -> None:
    image = layer(lambda tree: (tree / "zeros").write_bytes(bytes(1 << 20)))
    good = image.read_bytes()
    code = "import sys; from lamina.node import laying; laying.begin(sys.argv[1], sys.argv[2:])"

    lock = store.folder / "laying"

    def told(most: str) -> str:
        subprocess.run(
            [sys.executable, "-c", code, str(store.folder), str(image)],
            env={**os.environ, "PYTHONPATH": ":".join(sys.path), "LAMINA_CACHE_SIZE": most},
            check=True,
        )
        with filesystem.locked(lock):  # until that is done
            os.utime(lock, (0, 0))  # long ago, or the next would wait
            return lock.read_text()

    image.chmod(0o600)
    image.write_bytes(good[:-6] + b"damage")
    assert "IntegrityError" in told("9M")
    assert store.path(store.write(good)) == image
    assert told("1M") == f"there is no room for the files of {image}\n"
    assert told("9M") == ""


@pytest.mark.parametrize(
    ("ago", "is_begun"), [(1.0, False), (500.0, False), (700.0, True), (-9.0, True)]
)
def test_what_was_not_finished_is_not_begun_again_at_once(
    layer: Layer, store: LocalStore, ago: float, is_begun: bool
) -> None:
    image = layer(lambda tree: (tree / "zeros").write_bytes(bytes(1 << 20)))
    lock = store.folder / "laying"
    lock.write_text("it was not finished\n")
    then = time.time() - ago
    os.utime(lock, (then, then))
    code = "import sys; from lamina.node import laying; laying.begin(sys.argv[1], sys.argv[2:])"

    subprocess.run(
        [sys.executable, "-c", code, str(store.folder), str(image)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )

    with filesystem.locked(lock):
        assert (laid.stacked(image, store.folder) != image) == is_begun
        assert (lock.read_text() == "") == is_begun


def test_bounds_of_the_store_hold(
    layer: Layer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = layer(lambda tree: (tree / "zeros").write_bytes(bytes(1 << 20)))
    words = [sys.executable, "-m", "lamina.node.laying", str(store.folder), str(image)]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    subprocess.run(words, env={**around, "LAMINA_CACHE_SIZE": "1M"}, check=True)
    assert laid.stacked(image, store.folder) == image

    subprocess.run(words, env={**around, "LAMINA_CACHE_SIZE": "9M"}, check=True)
    assert laid.stacked(image, store.folder) != image


def test_a_word_of_the_environment_that_means_nothing_is_told() -> None:
    with pytest.raises(UserError, match="`LAMINA_UNPACK` is `sometimes`"):
        laid.way({"LAMINA_UNPACK": "sometimes"})
    assert laid.way({}) == laid.AUTO
