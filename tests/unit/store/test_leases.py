"""Leases: what stays while somebody needs it, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.linux import filesystem
from lamina.store import leases

A, B = Digest.of(b"a"), Digest.of(b"b")


def test_blobs_are_held_for_the_time_of_a_block(tmp_path: Path) -> None:
    with leases.leased(tmp_path, [A]) as lease:
        lease.add([B])
        assert leases.held(tmp_path) == ({A.hash, B.hash}, set())

    assert leases.held(tmp_path) == (set(), set())
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_package_is_held_by_all_who_run_it(tmp_path: Path) -> None:
    first, second = leases.lease_package(tmp_path, A), leases.lease_package(tmp_path, A)
    assert leases.held(tmp_path) == (set(), {A.hash})
    # So there is one on a full disk too.
    assert [path.stat().st_size for path in (tmp_path / "leases").iterdir()] == [0]

    os.close(first._descriptor)
    assert leases.held(tmp_path) == (set(), {A.hash})
    os.close(second._descriptor)
    assert leases.held(tmp_path) == (set(), set())
    assert list((tmp_path / "leases").iterdir()) == []


_RUN = """
import os, sys
from pathlib import Path
from lamina.core.digest import Digest
from lamina.store import leases
with leases.running(Path(sys.argv[1]), Digest.of(b"a")):
    os.execvp("sh", ["sh", "-c", "echo started; exec sleep 60"])
"""


def test_a_lease_lasts_as_long_as_the_program_that_took_the_place(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _RUN, tmp_path], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"started\n"
        assert leases.held(tmp_path) == (set(), {A.hash})

        child.send_signal(signal.SIGKILL)
        child.wait()

    assert leases.held(tmp_path) == (set(), set())


def test_a_lease_for_a_mount_lasts_as_long_as_that(tmp_path: Path) -> None:
    mounted = leases.lease_package(tmp_path, A, Path("/proc"))
    gone = leases.lease_package(tmp_path, B, tmp_path / "nothing")
    for lease in (mounted, gone):
        os.close(lease._descriptor)

    assert leases.held(tmp_path) == (set(), {A.hash})


def test_it_is_noted_when_a_package_was_last_started(tmp_path: Path) -> None:
    leases.lease_package(tmp_path, A).end()
    first = leases.used(tmp_path)
    os.utime(tmp_path / "used" / A.hash, (1, 1))
    leases.lease_package(tmp_path, A).end()

    assert first.keys() == {A.hash}
    assert leases.used(tmp_path)[A.hash] >= first[A.hash]
    assert leases.used(tmp_path / "other") == {}


def test_no_lease_is_made_while_blobs_are_removed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _RUN, str(tmp_path)]
    with filesystem.locked(tmp_path / leases.LOCK):
        child = subprocess.Popen(words, stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
        assert leases.held(tmp_path) == (set(), set())
    assert child.stdout is not None
    assert child.stdout.readline() == b"started\n"
    child.kill()
    child.communicate()


def test_a_store_that_cannot_be_written_needs_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(leases, "lease_package", refuse)

    with leases.running(tmp_path, A):
        assert leases.held(tmp_path) == (set(), set())


def test_a_lease_ends_where_the_program_was_not_started(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no such"), leases.running(tmp_path, A):
        raise OSError("no such")

    assert leases.held(tmp_path) == (set(), set())


def test_one_that_ends_takes_none_of_the_others_away(tmp_path: Path) -> None:
    first, second = leases.lease_package(tmp_path, A), leases.lease_package(tmp_path, A)

    first.end()

    assert leases.held(tmp_path) == (set(), {A.hash})
    second.end()
