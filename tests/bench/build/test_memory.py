"""What a command and its children take is seen."""

from __future__ import annotations

import subprocess
import sys

from bench.build.memory import Peaks, watch

_MIB = 1 << 20
_TAKE = "import sys, time; taken = bytearray({size} << 20); time.sleep(0.3)"


def seen(script: str) -> Peaks:
    child = subprocess.Popen([sys.executable, "-c", script])
    with watch(child.pid, ()) as watched:
        child.wait()
    # What wait4() tells counts this process too, of which the child was a copy at first.
    return watched.peaks(0)


def test_a_process_alone_is_its_own_peak() -> None:
    peaks = seen(_TAKE.format(size=60))

    assert 60 * _MIB < peaks.own < 100 * _MIB
    assert peaks.all == peaks.own


def test_children_count_to_all_and_not_to_the_own() -> None:
    take = _TAKE.format(size=60)
    peaks = seen(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {take!r}])")

    assert peaks.own < 60 * _MIB < peaks.all


def test_below_a_copy_of_a_process_is_looked_too() -> None:
    take = _TAKE.format(size=60)
    peaks = seen(
        "import os, subprocess, sys\n"
        f"if not os.fork(): subprocess.run([sys.executable, '-c', {take!r}]); os._exit(0)\n"
        "os.wait()"
    )

    assert peaks.own < 60 * _MIB < peaks.all


def test_what_is_resident_is_the_tool() -> None:
    server = subprocess.Popen([sys.executable, "-c", _TAKE.format(size=60) + "; time.sleep(60)"])
    try:
        command = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.6)"])
        with watch(command.pid, [server.pid]) as watched:
            command.wait()
    finally:
        server.kill()
        server.wait()

    peaks = watched.peaks(0)

    assert 60 * _MIB < peaks.own < peaks.all
