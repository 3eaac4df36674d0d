from __future__ import annotations

from pathlib import Path

from lamina.build import past, workspace
from lamina.build.past import Difference
from lamina.core.label import Label
from lamina.linux.vcs import Changes


def test_a_package_is_loaded_as_it_was(tmp_path: Path) -> None:
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    for folder in (root / "p", root / "p/new", scratch):
        folder.mkdir(parents=True)
    (root / "lamina.toml").write_text("")
    (root / "p/BUILD").write_text("filegroup(name = 'now')")
    (root / "p/kept.txt").write_text("")
    (root / "p/new/added.txt").write_text("")
    old = b"filegroup(name = 'then', srcs = glob(['**/*.txt']))"
    difference = Difference(
        edited=frozenset({"p/BUILD"}),
        added=frozenset({"p/new/added.txt"}),
        removed=frozenset({"p/gone/removed.txt"}),
    )

    loader = past.loader(workspace.read(root), difference, lambda _path: old, scratch)

    target = loader.target(Label("", "p", "then"))
    assert target.attributes["srcs"] == (
        ("gone/removed.txt", Label("", "p", "gone/removed.txt")),
        ("kept.txt", Label("", "p", "kept.txt")),
    )


def test_changes_are_seen_from_the_root_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "cell").mkdir()
    (tmp_path / "work/lamina.toml").write_text('[cells]\nother = "../cell"\n')
    found = workspace.read(tmp_path / "work")
    changes = Changes(
        edited=frozenset({"work/a.py", "cell/b.py", "elsewhere/c.py"}),
        added=frozenset({"work/lamina-out/x", "work/y"}),
    )

    difference = past.difference(found, tmp_path, changes)

    assert difference == Difference(
        edited=frozenset({"a.py", "external/other/b.py"}), added=frozenset({"y"})
    )
