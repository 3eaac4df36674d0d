"""A stage shows each action its inputs and nothing else, whatever it showed before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.stage import Stage
from lamina.core.tree import File, Folder, Node, Symlink, conflicts
from lamina.store.local import LocalStore

_STORE = tempfile.TemporaryDirectory()  # one for all examples
_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)


@pytest.fixture(scope="module")
def store() -> Iterator[LocalStore]:
    opened = LocalStore(Path(_STORE.name) / "store")
    yield opened
    opened.close()


def nodes(store: LocalStore) -> list[Node]:
    blobs = [store.write(data, durable=False) for data in (b"1", b"2")]
    files = [File(blob, executable) for blob in blobs for executable in (False, True)]
    return [*files, Symlink("a"), Symlink("/else"), Folder()]


def shown(folder: Path) -> dict[str, str]:
    """What lies in a folder, but for folders that something lies in."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = f"{path.read_text()} {path.stat().st_mode & 0o777:o}"
        elif not list(path.iterdir()):
            found[name] = "folder"
    return found


def meant(tree: Mapping[str, Node], store: LocalStore) -> dict[str, str]:
    found = {}
    for path, node in tree.items():
        if isinstance(node, File):
            mode = "555" if node.executable else "444"
            found[path] = f"{store.read(node.digest).decode()} {mode}"
        elif isinstance(node, Symlink):
            found[path] = f"-> {node.target}"
        elif not any(other.startswith(f"{path}/") for other in tree):
            found[path] = "folder"
    return {"out": "folder", **found}


@given(st.lists(st.dictionaries(_PATHS, st.integers(0, 6), max_size=6), max_size=6))
def test_only_the_inputs_of_the_last_action_are_shown(
    store: LocalStore, trees: list[dict[str, int]]
) -> None:
    kinds = nodes(store)
    with tempfile.TemporaryDirectory(dir=_STORE.name) as folder:
        stage = Stage(Path(folder) / "stage", store)
        for numbers in trees:
            tree = {path: kinds[number] for path, number in numbers.items()}
            if conflicts(tree):
                continue
            stage.lay(tree, ())

            assert shown(stage.work) == meant(tree, store)


def test_folders_of_outputs_are_there_and_empty(store: LocalStore, tmp_path: Path) -> None:
    stage = Stage(Path(tempfile.mkdtemp(dir=_STORE.name)) / "stage", store)
    stage.lay({}, ("a/b/x", "c/y", "z"))
    for path in ("a/b/x", "c/y", "z", "a/more"):
        (stage.out / path).write_text("made")
    (stage.out / "a/b").chmod(0o500)
    (stage.out / "link").symlink_to(tmp_path)

    stage.lay({}, ("a/b/x", "d/w"))

    found = sorted(path.relative_to(stage.out).as_posix() for path in stage.out.rglob("*"))
    assert found == ["a", "a/b", "d"]
    assert (stage.out / "a/b").stat().st_mode & 0o777 == 0o755
    assert tmp_path.exists()
