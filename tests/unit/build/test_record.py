"""Records: an unchanged tree is known again, and no change is missed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.build import record
from lamina.build.disk import look
from lamina.core.digest import Digest
from lamina.core.tree import File

LATER = 10**18  # so long after, that all files have settled
KEY = "build\n//..."
Change = Callable[[Path], object]


SETTLED = 0.06  # seconds after which times tell a file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    (root / "d").mkdir(parents=True)
    (root / "d/a").write_text("one")
    (root / "b").write_text("two")
    return root


def keep(root: Path, begun: int, *, made: frozenset[str] = frozenset()) -> None:
    """Make a record of a command that has read two files, missed one, and listed two folders."""
    nodes = {path: File(Digest.of((root / path).read_bytes())) for path in ("d/a", "b")}
    folders = {path: look(str(root / path)) for path in ("", "d", "gone")}
    seen = record.Seen(begun, {**nodes, "missing": None}, folders, made)
    state = record.capture(root, seen)
    record.save(root.parent / "state", KEY, state, {"answer": 42}, root.parent)


def known(root: Path) -> object:
    return record.load(root.parent / "state", KEY, root)


def now() -> int:
    return time.time_ns()


CHANGES: dict[str, Change] = {
    "edit": lambda root: (root / "d/a").write_text("edited"),
    "edit of the same size": lambda root: (root / "d/a").write_text("eno"),
    "removal": lambda root: (root / "d/a").unlink(),
    "executable": lambda root: (root / "d/a").chmod(0o755),
    "new file": lambda root: (root / "d/new").touch(),
    "new folder": lambda root: (root / "d/new").mkdir(),
    "missing file": lambda root: (root / "missing").touch(),
    "missing folder": lambda root: (root / "gone").mkdir(),
    "renamed folder": lambda root: (root / "d").rename(root / "e"),
    "file to folder": lambda root: (root / "d").rename(
        (root / "b").rename(root / "x").parent / "b"
    ),
    "new link": lambda root: (root / "d/new").symlink_to("."),
}


@pytest.mark.parametrize("begun", [LATER * 10, None], ids=["settled", "fresh"])
def test_an_unchanged_tree_is_known(root: Path, begun: int | None) -> None:
    keep(root, begun or now())

    assert known(root) == {"answer": 42}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("begun", [LATER * 10, None], ids=["settled", "fresh"])
def test_every_change_is_noticed(root: Path, begun: int | None, change: Change) -> None:
    keep(root, begun or now())

    change(root)

    assert known(root) is None


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_while_the_command_runs_is_noticed(root: Path, change: Change) -> None:
    nodes = {path: File(Digest.of((root / path).read_bytes())) for path in ("d/a", "b")}
    folders = {path: look(str(root / path)) for path in ("", "d", "gone")}
    seen = record.Seen(now(), nodes, folders)

    change(root)

    record.save(root.parent / "state", KEY, record.capture(root, seen), {}, root.parent)

    assert known(root) is None


def test_a_file_of_unknown_content_that_changed_meanwhile_is_never_trusted(root: Path) -> None:
    begun = now()
    (root / "b").write_text("edited while the command ran")

    seen = record.Seen(begun - 1, {"b": None}, {})
    record.save(root.parent / "state", KEY, record.capture(root, seen), {}, root.parent)

    assert known(root) is None


def test_a_file_of_the_same_size_and_time_is_noticed(root: Path) -> None:
    keep(root, LATER * 10)
    status = (root / "d/a").stat()

    (root / "d/other").write_text("eno")
    (root / "d/other").replace(root / "d/a")
    os.utime(root / "d/a", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert known(root) is None


def test_an_editor_that_saves_by_renaming_changes_no_listing(root: Path) -> None:
    keep(root, LATER * 10)

    (root / "d/temporary").touch()
    (root / "d/temporary").unlink()

    assert known(root) == {"answer": 42}


def test_the_folder_of_outputs_does_not_count(root: Path) -> None:
    keep(root, now())

    (root / "lamina-out").mkdir()

    assert known(root) == {"answer": 42}


def test_a_time_that_changes_alone_changes_nothing_where_the_content_is_kept(root: Path) -> None:
    keep(root, now())

    os.utime(root / "b", ns=(1, 1))

    assert known(root) == {"answer": 42}


MADE: dict[str, Change] = {
    "edit": lambda root: (root / "lamina-out/x").write_text("other"),
    "removal": lambda root: (root / "lamina-out/x").unlink(),
    "executable": lambda root: (root / "lamina-out/x").chmod(0o755),
    "folder": lambda root: (root / "lamina-out/d").rmdir(),
}


@pytest.fixture
def built(root: Path) -> Path:
    begun = now()
    (root / "lamina-out/d").mkdir(parents=True)
    (root / "lamina-out/x").write_text("made")
    (root / "lamina-out/l").symlink_to("nowhere")
    keep(root, begun, made=frozenset({"lamina-out/x", "lamina-out/d", "lamina-out/l"}))
    return root


def test_what_the_command_made_itself_is_known(built: Path) -> None:
    assert known(built) == {"answer": 42}


@pytest.mark.parametrize("change", MADE.values(), ids=MADE.keys())
def test_a_change_of_what_was_made_is_noticed(built: Path, change: Change) -> None:
    change(built)

    assert known(built) is None


def test_changes_are_told_by_what_they_may_lead_to(built: Path) -> None:
    source = {"d/a": File(Digest.of((built / "d/a").read_bytes()))}
    folders = {path: look(str(built / path)) for path in ("", "d")}
    seen = record.Seen(LATER * 10, {"b": None}, folders, frozenset({"lamina-out/x"}), source)
    kept = record.Record(record.capture(built, seen), {})
    assert not kept.changes(built)

    (built / "d/a").write_text("edited")
    (built / "b").write_text("edited")
    (built / "lamina-out/x").write_text("edited")
    (built / "d/new").touch()
    (built / "new").mkdir()

    assert kept.changes(built) == record.Changes(("b",), ("d/a",), ("lamina-out/x",), ("", "d"))
    assert [kept.has_same_packages(folder, look(str(built / folder))) for folder in ("", "d")] == [
        False,
        True,
    ]


def test_what_was_seen_again_is_put_in(root: Path) -> None:
    keep(root, LATER * 10)
    kept = record.read(root.parent / "state", KEY)
    assert kept is not None
    (root / "b").write_text("edited")

    seen = record.Seen(LATER * 10, {"b": None}, {})
    renewed = record.Record(record.renew(kept.state, root, seen), {})

    assert kept.changes(root).files == ("b",)
    assert not renewed.changes(root)


def test_another_command_has_another_record(root: Path) -> None:
    keep(root, LATER * 10)

    assert record.load(root.parent / "state", "build\n//other", root) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"key": 1', '{"key": "build\\n//..."}'])
def test_a_damaged_record_is_as_none(root: Path, text: str) -> None:
    keep(root, LATER * 10)
    for file in (root.parent / "state/records").iterdir():
        file.write_text(text)

    assert known(root) is None


def test_the_code_of_lamina_is_part_of_every_record(root: Path) -> None:
    state = record.capture(root, record.Seen(now(), {}, {}))

    assert record.__file__ in state["files"]


def test_a_folder_with_a_link_that_leads_nowhere_is_looked_at_again(root: Path) -> None:
    (root / "d/link").symlink_to("../later")
    keep(root, LATER * 10)
    assert known(root) == {"answer": 42}

    (root / "later").touch()

    assert known(root) is None


def test_a_loop_of_links_is_as_nothing(root: Path) -> None:
    (root / "missing").symlink_to("missing")
    keep(root, LATER * 10)
    assert known(root) == {"answer": 42}

    (root / "d/a").unlink()
    (root / "d/a").symlink_to("a")

    assert known(root) is None


def test_links_that_were_made_are_known_by_themselves(built: Path) -> None:
    (built / "lamina-out/l").unlink()
    assert known(built) is None

    (built / "lamina-out/l").symlink_to("elsewhere")
    assert known(built) is None


def test_what_was_made_some_time_ago_is_not_read_again(root: Path) -> None:
    begun = now()
    (root / "made").write_text("long ago")
    time.sleep(SETTLED)
    (root / "just").write_text("just now")

    state = record.capture(root, record.Seen(begun, {}, {}, frozenset({"made", "just"})))

    assert len(state["made"]["made"]) == 5  # what stat() says
    assert len(state["made"]["just"]) == 2  # what it holds
