"""Merging layers: what the image holds, by `unsquashfs`, and when it is made.

That it shows what overlayfs does is tested in tests/kernel.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.formats import xar
from lamina.linux import process
from lamina.node import merge
from lamina.node.merge import merged
from lamina.store.local import LocalStore

Content = str | Path | None  # of a file, a symlink, a folder
Layer = Callable[[Mapping[str, Content]], Path]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def layer(tmp_path: Path, store: LocalStore) -> Layer:
    """Makes a blob of the store that is a layer of these files."""

    def make(files: Mapping[str, Content]) -> Path:
        tree = tmp_path / "tree"
        tree.mkdir()
        for name, content in files.items():
            write(tree / name, content)
        made = pack(tree)
        shutil.rmtree(tree)
        header = xar.encode(xar.Header("ab" * 32, "run"))
        return store.path(store.write(header + made.read_bytes()))

    return make


def write(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir()
    elif isinstance(content, Path):
        path.symlink_to(content)
    else:
        path.write_text(content)


def pack(tree: Path, *options: str, to: str = "squashfs") -> Path:
    image = tree.with_suffix(f".{to}")
    words = ["-quiet", "-noappend", "-no-progress", *options]
    subprocess.run(["mksquashfs", tree, image, *words], check=True)
    return image


def shown(image: Path, folder: Path) -> dict[str, Content]:
    """What an image holds, by path."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-d", folder, image], check=True)
    found: dict[str, Content] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = path.readlink()
        else:
            found[name] = None if path.is_dir() else path.read_text()
    return found


def listing(image: Path) -> list[str]:
    """Modes, owners and names, as `ls -l`."""
    lines = subprocess.run(
        ["unsquashfs", "-lln", image], check=True, capture_output=True, text=True
    )
    return [f"{line.split()[0]} {line.split()[1]} {line.split()[-1]}"
            for line in lines.stdout.splitlines()]  # fmt: skip


@pytest.mark.parametrize(
    ("lower", "upper", "both"),
    [
        ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"d/a": "1"}, {"d/b": "2"}, {"d": None, "d/a": "1", "d/b": "2"}),
        ({"d/a": "1", "d/e/f": ""}, {"d": "2"}, {"d": "2"}),
        ({"d": "1"}, {"d/a": "2"}, {"d": None, "d/a": "2"}),
        ({"d": Path("e")}, {"d/a": "2"}, {"d": None, "d/a": "2"}),
        ({"d/a": "1"}, {"d": Path("e")}, {"d": Path("e")}),
        ({"a": "1"}, {"a": Path("gone")}, {"a": Path("gone")}),
        ({"a": Path("gone")}, {"a": "2"}, {"a": "2"}),
        ({"e": None}, {"e": None, "ü\n": ""}, {"e": None, "ü\n": ""}),
    ],
)
def test_the_upper_layer_wins(
    layer: Layer,
    store: LocalStore,
    tmp_path: Path,
    lower: Mapping[str, Content],
    upper: Mapping[str, Content],
    both: Mapping[str, Content],
) -> None:
    made = merged([layer(lower), layer(upper)], store.folder)

    assert shown(made, tmp_path / "shown") == both


def test_symlinks_of_a_lower_layer_lead_no_file_of_an_upper_one_astray(
    layer: Layer, store: LocalStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    lower = layer({"folder": outside, "file": outside / "file"})

    made = merged([lower, layer({"folder/new": "1", "file": "2"})], store.folder)

    assert shown(made, tmp_path / "shown") == {"folder": None, "folder/new": "1", "file": "2"}
    assert list(outside.iterdir()) == []
    assert outside.stat().st_mode & 0o777 == 0o700


def test_a_merged_image_can_be_merged_and_one_alone_is_itself(
    layer: Layer, store: LocalStore, tmp_path: Path
) -> None:
    a, b, c = (layer({"same": each, each: ""}) for each in "abc")

    assert merged([a], store.folder) == a
    made = merged([merged([a, b], store.folder), c, a, c], store.folder)

    assert shown(made, tmp_path / "shown") == {"same": "c", "a": "", "b": "", "c": ""}


def test_modes_and_owners_stay(store: LocalStore, tmp_path: Path) -> None:
    images = []
    for number, modes in enumerate([(0o755, 0o644), (0o555, 0o751), (0o700, 0o040)]):
        tree = tmp_path / f"tree{number}"
        folder, file = tree / f"d{number}", tree / f"d{number}" / "file"
        folder.mkdir(parents=True)
        file.write_text("content")
        file.chmod(modes[1])
        folder.chmod(modes[0])
        images.append(tmp_path / f"{number}.squashfs")
        subprocess.run(["mksquashfs", tree, images[-1], "-quiet", "-force-uid", "1234"], check=True)

    made = merged(images, store.folder)

    assert listing(made) == [
        "drwxr-xr-x 1234/0 squashfs-root",
        "drwxr-xr-x 1234/0 squashfs-root/d0",
        "-rw-r--r-- 1234/0 squashfs-root/d0/file",
        "dr-xr-xr-x 1234/0 squashfs-root/d1",
        "-rwxr-x--x 1234/0 squashfs-root/d1/file",
        "drwx------ 1234/0 squashfs-root/d2",
        "----r----- 1234/0 squashfs-root/d2/file",
    ]


def test_the_image_lies_in_the_store_by_the_layers_and_their_order(
    layer: Layer, store: LocalStore
) -> None:
    a, b = layer({"a": "1"}), layer({"a": "2"})

    one, other = merged([a, b], store.folder), merged([b, a], store.folder)

    names = [f"{path.parent.name}{path.name}" for path in (a, b)]
    key = sha256("\n".join(["lamina merged 2", *names]).encode()).hexdigest()
    assert one == store.folder / "merged" / key[:2] / key[2:]
    assert one != other
    assert one.stat().st_mode & 0o777 == 0o444


def test_files_of_elsewhere_are_known_by_content(
    layer: Layer, store: LocalStore, tmp_path: Path
) -> None:
    a, b = layer({"a": "1"}), layer({"b": "2"})
    copies = [Path(shutil.copy(image, tmp_path / f"copy of {image.name}")) for image in (a, b)]

    assert merged(copies, store.folder) == merged([a, b], store.folder)


def test_the_same_layers_give_the_same_bytes(
    layer: Layer, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [layer({"a": "1", "d/b": "2"}), layer({"d/c": "3"})]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")

    one, other = (merged(images, folder) for folder in (store.folder, tmp_path / "other"))

    assert one.read_bytes() == other.read_bytes()


def test_it_is_made_once(layer: Layer, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [layer({"a": "1"}), layer({"b": "2"})]
    made = merged(images, store.folder)
    monkeypatch.setattr(merge, "_make", None)

    assert merged(images, store.folder) == made


def test_of_several_processes_one_makes_it(
    layer: Layer, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [layer({"a": "1"}), layer({"b": "2"})]
    calls = tmp_path / "calls"
    real = merge._make

    def make(*args: Any, **options: Any) -> None:
        with calls.open("a") as file:
            file.write("made\n")
        real(*args, **options)

    monkeypatch.setattr(merge, "_make", make)

    children = [fork(lambda: merged(images, store.folder)) for _ in range(4)]

    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert calls.read_text() == "made\n"


def fork(call: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            call()
            os._exit(0)
        finally:
            os._exit(1)
    return child


@pytest.mark.parametrize("milliseconds", [1, 5, 10, 15, 20, 25, 30])
def test_a_kill_leaves_no_half_image_and_no_scratch(
    layer: Layer, store: LocalStore, tmp_path: Path, milliseconds: int
) -> None:
    images = [layer({f"{n}": str(n) * 100_000}) for n in range(3)]

    child = fork(lambda: merged(images, store.folder))
    time.sleep(milliseconds / 1000)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    for half in (store.folder / "merged").glob("??/" + "?" * 62):
        assert len(shown(half, tmp_path / "shown")) == 3
    made = merged(images, store.folder)
    assert len(shown(made, tmp_path / "shown")) == 3
    with closing(LocalStore(store.folder)) as next_one:
        alive = {store.scratch, next_one.scratch}
        assert set(next_one.scratch.parent.iterdir()) == alive


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """An image that only the tools for it can read."""
    tree = tmp_path / "odd"
    tree.mkdir()
    (tree / "odd").write_text("odd")
    return pack(tree, "-comp", "lz4")


@pytest.mark.parametrize("tool", ["unsquashfs", "mksquashfs"])
def test_a_missing_tool_is_named(
    layer: Layer, store: LocalStore, odd: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    images = [layer({"a": "1"}), odd]
    find = process.find
    monkeypatch.setattr(process, "find", lambda name: None if name == tool else find(name))

    with pytest.raises(HostError, match=f"the tool `{tool}` is not on this machine") as caught:
        merged(images, store.folder)

    assert caught.value.hint == "on Debian or Ubuntu: `apt-get install squashfs-tools`"


def test_a_layer_that_is_there_many_times_is_copied_once(
    layer: Layer, store: LocalStore, tmp_path: Path
) -> None:
    large = layer({"d/large": os.urandom(1 << 20).hex(), "same": "1"})
    images = [large, layer({"same": "2", "d": "a file"})] * 100

    made = merged([*images, large], store.folder)

    assert made.stat().st_size < 2 * large.stat().st_size
    seen = shown(made, tmp_path / "shown")
    assert (seen["same"], set(seen)) == ("1", {"d", "d/large", "same"})


def test_images_of_several_forms_become_one(
    layer: Layer, store: LocalStore, odd: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "other"
    tree.mkdir()
    (tree / "other").write_text("other")
    other = pack(tree, "-comp", "gzip", "-b", "4096")

    made = merged([layer({"a": "1"}), odd, other], store.folder)

    assert shown(made, tmp_path / "shown") == {"a": "1", "odd": "odd", "other": "other"}


def test_what_was_changed_since_is_made_again(layer: Layer, store: LocalStore) -> None:
    images = [layer({"a": "1"}), layer({"b": "2"})]
    made = merged(images, store.folder)
    right = made.read_bytes()
    made.chmod(0o644)
    made.write_bytes(right[:-1] + b"!")

    assert merged(images, store.folder).read_bytes() == right


def test_a_damaged_blob_is_not_baked_in(layer: Layer, store: LocalStore) -> None:
    images = [layer({"a": "1"}), layer({"b": "2"})]
    images[0].chmod(0o644)
    with images[0].open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")

    with pytest.raises(IntegrityError, match="does not match its name"):
        merged(images, store.folder)

    assert not images[0].exists()


def test_an_image_that_can_not_be_read_is_named_and_leaves_nothing(
    layer: Layer, store: LocalStore, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.xar"
    # Its size is as it should be, and its tables are gone.
    whole = layer({"a": "1"}).read_bytes()
    cut.write_bytes(whole[: 4096 + 96].ljust(len(whole), b"\0"))

    with pytest.raises(IntegrityError, match=f"`{cut}`: metadata of the squashfs image is said"):
        merged([layer({"b": "2"}), cut], store.folder)

    assert list((store.folder / "merged").glob("??/" + "?" * 62)) == []


def test_an_absent_image_is_named(layer: Layer, store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"can not open the image `{tmp_path}/absent`"):
        merged([layer({"b": "2"}), tmp_path / "absent"], store.folder)


def test_pipes_stay_and_are_refused_where_tools_unpack(store: LocalStore, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "pipe")
    image, odd = pack(tree), pack(tree, "-comp", "lz4", to="odd")

    assert "prw-r--r-- 0/0 squashfs-root/pipe" in listing(merged([image, image], store.folder))
    with pytest.raises(IntegrityError, match=f"`pipe` in `{odd}` is neither a file nor"):
        merged([odd, odd], store.folder)
