"""Groupings on histories: that what is reported is held out, and what is promised holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import changelogs, grouping, histories
from lamina.packaging import replay


def test_auto_ships_a_tenth_of_popularity_and_half_of_folders_on_held_out_commits() -> None:
    halves = grouping.parted(histories.made(targets=1000, commits=700), 0.3, "file")

    found = {
        each.name: each for each in replay.compare(halves.trial, 60, grouping.learnt(halves, 60))
    }

    auto = found["auto"]
    assert found["popularity, as in Nix"].ratio(auto) > 10
    assert found["by folder"].ratio(auto) > 2
    assert auto.mean >= found[replay.PER_TARGET].mean


def test_a_made_history_is_the_same_each_time() -> None:
    first, second = (histories.made(targets=200, commits=50) for _ in range(2))

    assert first.commits == second.commits
    assert first.sizes == second.sizes


def test_nothing_of_the_held_out_commits_is_learnt() -> None:
    past = histories.made(targets=300, commits=200)
    cut = [commit if number < 140 else () for number, commit in enumerate(past.commits)]
    blind = histories.Past("blind", tuple(cut), past.sizes, past.sizes_at)

    layouts = [grouping.learnt(grouping.parted(each, 0.3, "file"), 20) for each in (past, blind)]

    assert layouts[0] == layouts[1]


def test_a_changelog_gives_the_files_of_each_entry_the_oldest_first(tmp_path: Path) -> None:
    for name in ("a.c", "lib/b.c", "lib/b.h"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text('#include "b.h"\n')
    (tmp_path / "ChangeLog").write_text(
        "2020-02-02  A B  <a@b>\n\n\tFix.\n\t* lib/b.c, lib/b.h: All.\n\t* gone.c: Gone.\n\n"
        "2020-01-01  A B  <a@b>\n\n\t* a.c (main): New.\n"
    )

    past = changelogs.read(tmp_path / "ChangeLog", tmp_path / "tree")

    assert past.commits == (("a.c",), ("lib/b.c", "lib/b.h"))
    assert set(past.sizes_at(1)) == {"a.c"}
    assert past.needs() == {"a.c": {"lib/b.h"}, "lib/b.c": {"lib/b.h"}}


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "git init -q; for i in 1 2 3 4 5 6 7 8 9; do echo $i >> a$i; echo $i >> b; git add -A;"
        "git -c user.name=A -c user.email=a@b commit -qm x; done"
    )
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True)

    assert grouping.main([str(tmp_path), "--most", "5"]) == 0

    printed = capsys.readouterr().out
    assert "10 targets" in printed
    assert "6 commits to learn from, 3 held out; at most 5 layers" in printed
    assert "popularity, as in Nix" in printed
