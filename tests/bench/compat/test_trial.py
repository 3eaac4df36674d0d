"""A repository is built and tested by lamina itself, and what became of it is a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.compat.catalogue import REPOSITORIES, Origin, Repository
from bench.compat.fetch import Sources
from bench.compat.trial import Trial
from bench.lamina import Lamina

BUILD = """
load("@rules_go//go:def.bzl", "go_library")
go_library(name = "go")
genrule(name = "good", outs = ["good.txt"], cmd = "echo > $@")
genrule(name = "bad", outs = ["bad.txt"], cmd = "false")
sh_test(name = "passes_test", srcs = ["@other//:t.sh"])
sh_test(name = "fails_test", srcs = ["fails.sh"])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two repositories that are unpacked already."""
    files = {
        "mine/BUILD": BUILD,
        "mine/fails.sh": "exit 1\n",
        "other/BUILD": "exports_files(['t.sh'])\n",
        "other/t.sh": "true\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name in ("mine", "other"):
        archives = tmp_path / "archives" / name
        archives.mkdir(parents=True)
        (archives / f"{name}_1.0.orig.tar.gz").touch()  # not opened: the folder is there
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_a_repository_is_tried(folder: Path) -> None:
    mine = Repository("mine", '[cells]\n"*" = false\nother = "../other"\n')
    trial = Trial(Lamina(folder / "store"), Sources(folder), folder / "logs", 2, 60)

    row = trial.run(mine)

    assert (row.version, row.targets, row.failed) == ("1.0", 5, ("//:bad",))
    assert row.left_out == ((1, "`@rules_go` is not here"),)
    assert row.tests == {"PASSED": 1, "FAILED": 1}
    assert row.not_passed == ("//:fails_test",)


def test_a_repository_that_takes_too_long_is_stopped(folder: Path) -> None:
    (folder / "mine" / "BUILD").write_text(
        'genrule(name = "slow", outs = ["o"], cmd = "sleep 60; echo > $@")\n'
    )
    trial = Trial(Lamina(folder / "store"), Sources(folder), folder / "logs", 2, 5)

    row = trial.run(Repository("mine"))

    assert row.ended == "stopped after 5 s"
    assert not row.good


def test_cells_beside_a_repository_are_fetched_as_what_they_are() -> None:
    labmaze = next(repository for repository in REPOSITORIES if repository.name == "labmaze")

    assert labmaze.origin is Origin.PIP
    assert labmaze.beside == ("abseil", "googletest", "pybind11")


def test_every_lamina_toml_of_the_catalogue_can_be_read(tmp_path: Path) -> None:
    from lamina.build import workspace

    for repository in REPOSITORIES:
        folder = tmp_path / repository.name
        folder.mkdir()
        (folder / "lamina.toml").write_text(repository.settings)
        assert workspace.read(folder).root == folder.resolve()
