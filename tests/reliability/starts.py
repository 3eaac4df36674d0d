"""Programs started bare and in containers, killed at random instants: nothing may stay.

Each is one of a package in a store, by `lamina exec`; what is killed is lamina, at times with its
janitor, at times what lays its large layer out as a folder. Half of them are started by the
launcher, where that is installed, by the kernel's mounts and by FUSE. At the end all mounts, loop
devices, control groups, processes and folders are looked over.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lamina.linux import filesystem, process
from lamina.node.runtimes import NAMES

_SOURCE = Path(__file__).parents[2] / "src"
_BUILD = """\
python_library(name = "large", resources = ["large.bin"])
python_binary(name = "main", srcs = ["main.py"], deps = [":large"])
"""
_MAIN = "import sys, time\nprint('ready', flush=True)\ntime.sleep(float(sys.argv[1]))\n"
_PYTHON = (sys.executable, "-m", "lamina.cli")
_LAUNCHER = str(Path(sys.executable).with_name("lamina"))
_BARE, _KERNEL, _FUSE = "bare", "launcher", "launcher, FUSE"
# Who lacks this right mounts by FUSE, in a user namespace.
_WITHOUT_MOUNTS = ("setpriv", "--bounding-set=-sys_admin")
_COMMANDS = {_KERNEL: (_LAUNCHER,), _FUSE: (*_WITHOUT_MOUNTS, _LAUNCHER)}


class Starts:
    """A package in a store, started again and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._environment = {
            **os.environ,
            "LAMINA_STORE": str(folder / "store"),
            "PYTHONPATH": str(_SOURCE),
        }
        self.tried: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        workspace = folder / "workspace"
        workspace.mkdir()
        (workspace / "lamina.toml").touch()
        (workspace / "BUILD").write_text(_BUILD)
        (workspace / "main.py").write_text(_MAIN)
        (workspace / "large.bin").write_bytes(self._random.randbytes(4 << 20))
        self._lamina("package", "//:main", "--version", folder.name, cwd=workspace)
        self._ways = [_BARE, *(name for name in NAMES if process.find(name))]
        if os.geteuid() == 0 and Path(_LAUNCHER).read_bytes()[:4] == b"\x7fELF":
            self._ways += list(_COMMANDS) * (len(self._ways) // 2 + 1)
            for store in _COMMANDS:  # each its own, as a record tells how to mount
                shutil.copytree(folder / "store", folder / store, symlinks=True)

    def start_often(self, times: int) -> list[str]:
        """Start and kill so many; what is wrong in the end."""
        wrong: list[str] = []
        for _ in range(times):
            complaint = self._start_one(self._random.choice(self._ways))
            if complaint:
                wrong.append(complaint)
        self._lamina("ps")  # removes what is left where a janitor was killed too
        wrong += self._left()
        self._lamina("cache", "gc", "--max-size", "1T")  # and this what was begun in the store
        return wrong + [f"scratch {path}" for path in (self._folder / "store/tmp").glob("*")]

    def _start_one(self, way: str) -> str:
        self.tried[way] += 1
        walls = ["--runtime", way, "--pids", "50"] if way in NAMES else []
        is_whole = self._random.random() < 0.1  # not killed: it must end well
        words = [*walls, "--", "0" if is_whole else "100"]
        child = subprocess.Popen(
            [*_COMMANDS.get(way, _PYTHON), "exec", f"main:{self._folder.name}", *words],
            env=self._environment | self._own(way),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if is_whole:
            out, words_ = child.communicate(timeout=60)
            good = child.returncode == 0 and out == b"ready\n"
            return "" if good else f"{way}: {child.returncode} {words_!r}"
        # Two of three that the launcher starts are killed before the program runs.
        latest = self._random.choice((0.5, 0.005, 0.01)) if way in _COMMANDS else 0.5
        time.sleep(self._random.uniform(min(0.03, latest / 10), latest))
        self.killed[way] += child.poll() is None
        if self._random.random() < 0.1:
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.communicate(timeout=60)
        if self._random.random() < 0.2:
            self._disturb_laying()
        return ""

    def _own(self, way: str) -> dict[str, str]:
        """Variables by which the launcher starts itself what was started before."""
        if way not in _COMMANDS:
            return {}
        return {"LAMINA_STORE": str(self._folder / way), "LAMINA_UNPACK": "never"}

    def _disturb_laying(self) -> None:
        """Kill what lays the layer out, if it is at work; else let it begin anew."""
        for pid in _processes("lamina.node.laying"):
            if self._folder.name in _read(Path(f"/proc/{pid}/cmdline")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed["laying"] += 1
                # It would not be begun again for a while.
                (self._folder / "store/laying").write_text("")
                return
        filesystem.remove_tree(self._folder / "store/laid")

    def _lamina(self, *words: str, cwd: Path | None = None) -> None:
        command = [*_PYTHON, *words]
        subprocess.run(command, cwd=cwd, env=self._environment, check=True, capture_output=True)

    def _left(self) -> list[str]:
        """What is left after a while in which the kernel may end what it has to."""
        deadline = time.monotonic() + 20
        while (left := list(self._all_left())) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _all_left(self) -> Iterator[str]:
        name = self._folder.name
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if name in line or "/lamina/containers" in line:
                yield f"mount {line}"
        for file in Path("/sys/block").glob("loop*/loop/backing_file"):
            backing = _read(file)
            if name in backing:
                yield f"loop device of {backing}"
        for pid in _processes(name):
            if pid != os.getpid():
                yield f"process {pid} {_read(Path(f'/proc/{pid}/cmdline'))[:200]!r}"
        # Containers of others may run meanwhile: theirs are kept.
        from lamina.node import cell, running

        kept = {each.id for each in running.every()}
        for group in Path("/sys/fs/cgroup").rglob("lamina-????????????"):
            if group.name.partition("-")[2] not in kept:
                yield f"control group {group}"
        for folder in Path(cell.shelf()).glob("*"):
            if folder.name not in kept:
                yield f"folder {folder}"


def _processes(word: str) -> Iterator[int]:
    """Those that have a word in their command line or their variables."""
    for folder in Path("/proc").glob("[0-9]*"):
        if word in _read(folder / "cmdline") + _read(folder / "environ"):
            yield int(folder.name)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:
        return ""
