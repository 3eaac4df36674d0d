"""Probing: real, harmless, and each missing thing comes with advice."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path

import pytest

from lamina.core.errors import HostError
from lamina.linux import features


@pytest.fixture(scope="module")
def found() -> list[features.Feature]:
    return features.probe()


def test_all_tools_come_before_all_kernel_features(found: list[features.Feature]) -> None:
    kinds = [feature.kind for feature in found]

    assert kinds == sorted(kinds, reverse=True)
    assert {"mksquashfs", "squashfuse_ll", "squashfs", "user namespace", "FUSE"} <= {
        feature.name for feature in found
    }


def test_only_what_is_missing_has_a_hint(found: list[features.Feature]) -> None:
    assert all(bool(feature.hint) != feature.found for feature in found)


def test_a_missing_tool_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.linux.process._folders", list)

    tool = next(each for each in features.probe() if each.name == "squashfuse_ll")

    assert not tool.found
    assert tool.hint == "on Debian or Ubuntu: `apt-get install squashfuse`"


def test_probing_leaves_no_mount_no_child_and_no_descriptor() -> None:
    gc.collect()  # what other tests have left closes its files when it is collected
    open_files, before = len(list(Path("/proc/self/fd").iterdir())), children()

    features.probe()

    assert " - fuse lamina " not in Path("/proc/self/mountinfo").read_text()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files
    assert children() <= before  # another test's may end meanwhile


def children() -> set[int]:
    """The processes that this one has started and that have not been waited for."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            if int(words[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


def refuse() -> None:
    raise HostError("not here")


def crash() -> None:
    os.kill(os.getpid(), 9)


def blunder() -> None:
    raise ZeroDivisionError("our own fault")


@pytest.mark.parametrize(
    ("attempt", "detail"),
    [(refuse, "not here"), (crash, "the probe crashed"), (blunder, "our own fault")],
)
def test_a_probe_that_fails_in_any_way_is_a_missing_feature(attempt: object, detail: str) -> None:
    feature = features._attempt("thing", attempt, "do this", "that")  # type: ignore[arg-type]

    assert not feature.found
    assert detail in feature.detail
    assert feature.hint == "do this"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
def test_a_store_that_may_not_be_looked_at_is_on_no_known_file_system(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        found = features.probe(tmp_path / "closed/store")
    finally:
        os.seteuid(0)

    assert not next(each for each in found if each.name == "driver `btrfs`").found
