"""Processes named by pid and start."""

from __future__ import annotations

import os
import subprocess

from lamina.linux import watch


def test_a_running_process_is_told_from_another_with_its_pid() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        found = watch.started(process.pid)
        assert found is not None

        assert not watch.wait_for_end(found, 0)
        assert watch.wait_for_end(watch.Started(found.pid, found.ticks - 1), 0)


def test_the_end_of_a_process_ends_the_wait() -> None:
    with subprocess.Popen(["true"]) as process:
        found = watch.Started(process.pid, 0)
    assert watch.wait_for_end(found, 10)


def test_an_ended_process_is_none() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert watch.started(process.pid) is None
    assert watch.started(os.getpid()) is not None
