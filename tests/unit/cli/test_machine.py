"""What the machine refuses is told as that; what lamina gets wrong is not."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from lamina.cli import machine

_RULES = "".join(
    f"genrule(name = 'g{number}', outs = ['o{number}'], cmd = 'echo > $@')\n"
    for number in range(20)
)


class Lamina(Protocol):
    root: Path
    environment: dict[str, str]

    def write(self, files: dict[str, str]) -> None: ...
    def command(self, *words: str) -> list[str]: ...


def _limited(lamina: Lamina, option: str, value: int, *before: str) -> tuple[int, str]:
    lamina.write({"BUILD": _RULES})
    done = subprocess.run(
        ["prlimit", f"--{option}={value}", *before, *lamina.command("build", "//...")],
        cwd=lamina.root,
        env=lamina.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_no_more_files_can_be_opened(lamina: Lamina) -> None:
    code, told = _limited(lamina, "nofile", 8)

    assert code == 2, told
    assert "error: this process may open no more files: " in told
    assert "hint: raise the limit, as by `ulimit -n 4096`" in told


@pytest.mark.parametrize("most", [*range(6, 20, 2)])
def test_wherever_it_is_that_files_run_out_it_is_told(lamina: Lamina, most: int) -> None:
    code, told = _limited(lamina, "nofile", most)

    assert code in (0, 1, 2), told  # of an action, of lamina itself
    assert "Traceback" not in told
    assert code == 0 or "Too many open files" in told


@pytest.fixture
def everybody() -> Iterator[Path]:
    """A folder that all may enter and write to."""
    with tempfile.TemporaryDirectory(prefix="lamina-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a user who runs nothing else")
@pytest.mark.parametrize("most", range(1, 9))
def test_no_more_processes_can_be_started(lamina: Lamina, everybody: Path, most: int) -> None:
    lamina.root = everybody
    lamina.environment["LAMINA_STORE"] = str(everybody / "store")
    lamina.write({"lamina.toml": ""})

    code, told = _limited(
        lamina, "nproc", most, "setpriv", f"--reuid={60_000 + os.getpid() % 5_000}",
        "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
    )  # fmt: skip

    assert code in (1, 2), told
    assert "Traceback" not in told
    assert "no more processes can be started" in told or "temporarily unavailable" in told


def test_threads_are_told_of_like_processes() -> None:
    stack = threading.stack_size(1 << 30)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
    try:
        with pytest.raises(RuntimeError) as found:
            threading.Thread(target=print).start()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        threading.stack_size(stack)
    told = machine.fault(found.value)

    assert told is not None
    assert told.message == "no more processes can be started"


def test_memory_is_told_of() -> None:
    told = machine.fault(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))

    assert told is not None
    assert told.message == "the machine gives no more memory: Cannot allocate memory"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("something"),
        RuntimeError("something"),
        OSError(errno.EBADF, os.strerror(errno.EBADF)),
        BlockingIOError(errno.EAGAIN, "write could not complete without blocking"),
    ],
)
def test_what_the_machine_does_not_refuse_is_a_fault_of_lamina(error: Exception) -> None:
    assert machine.fault(error) is None
