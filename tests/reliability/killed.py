"""Commands killed at random instants again and again, one after another or several at once.

A repository, a store that packages are made in, and one of a node. After each kill what was killed
is done again and must succeed, and nothing that is wrong or of no use may stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "src"
_LARGE = 6 << 20  # bytes of a data file that is a layer of its own
_BUILD = """
filegroup(name = "large", srcs = ["large.bin"])
python_library(name = "data", srcs = [], resources = ["large.bin"])
python_library(name = "words", srcs = ["words.py"])
python_binary(name = "main", srcs = ["main.py"], deps = [":words", ":data"])
"""
_MAIN = """
import hashlib, os, words
root = os.environ["LAMINA_PACKAGE"]
print(words.WORD, hashlib.sha256(open(f"{root}/large.bin", "rb").read()).hexdigest())
"""
_COMMANDS = ("copy", "exec", "gc", "pull", "push")
_SHORTEST = 0.04  # seconds until a kill


@dataclass(slots=True)
class Found:
    """What the kills came to."""

    tried: Counter[str] = field(default_factory=Counter)  # by what was killed
    killed: Counter[str] = field(default_factory=Counter)  # that had not ended before
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Started:
    """A command that is to be killed at some time, or at none."""

    what: str
    words: tuple[str, ...]
    child: subprocess.Popen[bytes]
    until: float | None


class Trial:
    """A repository's client on two machines."""

    def __init__(self, folder: Path, place: str, seed: int) -> None:
        """`place` is a repository on a registry, or `oci:FOLDER`."""
        self._folder = folder
        self._random = random.Random(seed)
        self._place = place
        self._copies = f"{place}-copies"
        self._version = 0
        self._printed = ""  # what the newest version prints
        self._longest = dict.fromkeys(_COMMANDS, 0.3)  # seconds until a kill
        self.found = Found()
        self._root = folder / "workspace"
        self._root.mkdir(parents=True)
        (self._root / "lamina.toml").touch()
        (self._root / "BUILD").write_text(_BUILD)
        (self._root / "main.py").write_text(_MAIN)
        self._edit()
        self._again("dev", self._words("push"))

    def kill_often(self, times: int) -> Found:
        """Kill so many commands, one after another, and look what they have left."""
        return self._often(times, self._one)

    def kill_together(self, rounds: int) -> Found:
        """So many times start several commands on one store, and kill most of them."""
        return self._often(rounds, self._several)

    def _often(self, times: int, work: Callable[[], None]) -> Found:
        for _ in range(times):
            work()
            if self.found.wrong:
                break
        return self.found

    @property
    def _tag(self) -> str:
        return f"v{self._version}"

    def _edit(self) -> None:
        self._version += 1
        (self._root / "words.py").write_text(f"WORD = '{self._tag}'\n")
        large = self._root / "large.bin"
        if self._version % 3 == 1:
            large.write_bytes(self._random.randbytes(_LARGE))
        self._printed = f"{self._tag} {hashlib.sha256(large.read_bytes()).hexdigest()}\n"

    def _words(self, what: str) -> tuple[str, ...]:
        """A command about the newest version."""
        wanted = f"{self._place}:{self._tag}"
        return {
            "push": ("push", "//:main", wanted, "--version", self._tag),
            "pull": ("pull", wanted),
            "exec": ("exec", wanted),
            "gc": ("cache", "gc", "--max-size", "0"),
            "copy": ("copy", wanted, f"{self._copies}:{self._tag}"),
        }[what]

    def _one(self) -> None:
        what = self._random.choice(_COMMANDS)
        store = "dev" if what == "push" else "node"
        if what != "gc":
            self._edit()
        if what != "push":
            self._again("dev", self._words("push"))
        self._end(self._start(what, store))
        self._look(store)
        self._again(store, self._words(what))
        self._again("dev", self._words("push"))
        self._runs_on("node", self._place)
        if what == "copy":
            self._runs_on("far", self._copies)

    def _several(self) -> None:
        self._edit()
        self._again("dev", self._words("push"))
        started = []
        for _ in range(self._random.randint(3, 6)):
            started.append(self._start(self._random.choice(_COMMANDS), "node"))
            time.sleep(self._random.uniform(0, 0.2))
        for each in started:
            self._end(each)
        self._look("node")
        for each in started:
            self._again("node", each.words)
        self._again("dev", self._words("push"))
        self._runs_on("node", self._place)
        if "copy" in {each.what for each in started}:
            self._runs_on("far", self._copies)

    def _runs_on(self, store: str, place: str) -> None:
        """The newest version runs, and prints what it should."""
        done = self._run(store, "exec", f"{place}:{self._tag}")
        if done.stdout.decode() != self._printed:
            self._say(f"{self._tag} printed {done.stdout!r} {done.stderr!r}")

    def _look(self, store: str) -> None:
        """Nothing wrong lies in a store, and nothing of no use once its garbage is collected."""
        verified = self._run(store, "cache", "verify", "--json")
        if verified.returncode or json.loads(verified.stdout)["wrong"]:
            self._say(f"{store}: wrong blobs: {verified.stdout!r} {verified.stderr!r}")
        self._again(store, ("cache", "gc", "--max-size", "100G"))
        folder = self._folder / store
        for name in ("tmp", "leases"):
            self._no_more(folder / name)
        self._no_more(folder, ".new-*")

    def _no_more(self, folder: Path, pattern: str = "*") -> None:
        # Programs that a killed command had started may be dying only now.
        until = time.monotonic() + 5
        while (left := [each.name for each in folder.glob(pattern)]) and time.monotonic() < until:
            time.sleep(0.1)
            self._run(folder.parent.name, "cache", "gc", "--max-size", "100G")
        if left:
            self._say(f"{folder}: left {left}")

    def _start(self, what: str, store: str) -> _Started:
        self.found.tried[what] += 1
        words = self._words(what)
        is_killed = self._random.random() < 0.9
        child = subprocess.Popen(
            self._command(words),
            cwd=self._root,
            env=self._environment(store),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        until = time.monotonic() + self._random.uniform(_SHORTEST, self._longest[what])
        return _Started(what, words, child, until if is_killed else None)

    def _end(self, started: _Started) -> None:
        """Kill a command when its time has come; one that may end by itself must succeed."""
        if started.until is not None:
            time.sleep(max(started.until - time.monotonic(), 0))
            is_running = started.child.poll() is None
            self.found.killed[started.what] += is_running
            # How long it takes depends on the machine: most are to be killed while they run.
            self._longest[started.what] *= 1.1 if is_running else 0.8
            started.child.send_signal(signal.SIGKILL)
        _, told = started.child.communicate()
        if started.child.returncode not in (0, -signal.SIGKILL):
            self._say(f"{started.words} failed: {told.decode()}")

    def _run(self, store: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self._command(words),
            cwd=self._root,
            env=self._environment(store),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=120,
        )

    def _again(self, store: str, words: Sequence[str]) -> None:
        """Run what must succeed; also no temporary of a push may stay in a folder."""
        done = self._run(store, *words)
        if done.returncode:
            self._say(f"{store}: {words} failed: {done.stderr.decode()}")
        if words[0] in ("push", "copy") and self._place.startswith("oci:"):
            target = self._place if words[0] == "push" else self._copies
            names = {path.name for path in Path(target.removeprefix("oci:")).iterdir()}
            if left := {each for each in names if "tmp" in each} - {".lamina.tmp.lock"}:
                self._say(f"{target}: left {left}")

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "lamina.cli", *words]

    def _environment(self, store: str) -> Mapping[str, str]:
        return {
            **os.environ,
            "LAMINA_STORE": str(self._folder / store),
            "PYTHONPATH": str(_SOURCE),
        }

    def _say(self, text: str) -> None:
        self.found.wrong.append(text)
