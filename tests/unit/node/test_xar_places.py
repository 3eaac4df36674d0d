"""The names and times that `xarexec` shares with xarexec_fuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.node import xar


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 870),
        ({"XAR_MOUNT_TIMEOUT": "60"}, 60),
        ({"XAR_MOUNT_TIMEOUT": " 60s"}, 60),
        ({"XAR_MOUNT_TIMEOUT": ""}, 0),
        ({"XAR_MOUNT_TIMEOUT": "never"}, 0),
    ],
)
def test_the_idle_time_is_read_as_upstream_reads_it(
    environment: dict[str, str], seconds: int
) -> None:
    assert xar.idle_seconds(environment) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("90\n", 90), ("0", 0), ("no number", 870)])
def test_a_file_of_the_machine_sets_the_idle_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, seconds: int
) -> None:
    override = tmp_path / "override"
    override.write_text(text)
    monkeypatch.setattr(xar, "_OVERRIDE", override)

    assert xar.idle_seconds({}) == seconds


def test_the_cgroup_is_named_by_its_inode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job").mkdir()
    file = tmp_path / "cgroup"
    file.write_text("0::/job\n")
    monkeypatch.setattr(xar, "_CGROUP_ROOTS", (tmp_path / "absent", tmp_path))

    assert xar.cgroup_inode(file) == (tmp_path / "job").stat().st_ino


@pytest.mark.parametrize("text", ["", "0::/absent\n", "no colons", "1:" * 4096])
def test_a_cgroup_that_can_not_be_found_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cgroup"
    file.write_text(text)

    assert xar.cgroup_inode(file) is None
