"""Push, pull, exec and the collector of garbage, killed at random instants again and again.

One registry, one store that packages are made in, and one of a node. After each kill what was
killed is done again and must succeed, and nothing that is wrong or of no use may stay.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
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


@dataclass(slots=True)
class Found:
    """What the kills came to."""

    tried: Counter[str] = field(default_factory=Counter)  # by what was killed
    killed: Counter[str] = field(default_factory=Counter)  # that had not ended before
    wrong: list[str] = field(default_factory=list)


class Trial:
    """A registry's client on two machines."""

    def __init__(self, folder: Path, host: str, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._place = f"{host}/killed"
        self._version = 0
        self.found = Found()
        self._root = folder / "workspace"
        self._root.mkdir()
        (self._root / "lamina.toml").touch()
        (self._root / "BUILD").write_text(_BUILD)
        (self._root / "main.py").write_text(_MAIN)
        self._edit()
        self._ran(self._run("dev", "push", "//:main", f"{self._place}:v0", "--version", "v0"))

    def kill_often(self, times: int) -> Found:
        """Kill so many commands, one after another, and look what they have left."""
        for _ in range(times):
            what = self._random.choice(("push", "pull", "exec", "gc"))
            self.found.tried[what] += 1
            before = len(self.found.wrong)
            getattr(self, f"_{what}")()
            if len(self.found.wrong) > before:
                break
        return self.found

    def _edit(self) -> None:
        self._version += 1
        (self._root / "words.py").write_text(f"WORD = 'v{self._version}'\n")
        if self._version % 3 == 1:
            (self._root / "large.bin").write_bytes(self._random.randbytes(_LARGE))

    def _push(self) -> None:
        self._edit()
        tag = f"v{self._version}"
        words = ("push", "//:main", f"{self._place}:{tag}", "--version", tag)
        self._kill("push", "dev", words, 1.2)
        self._look("dev")
        self._ran(self._run("dev", *words))
        self._runs_on_node()

    def _pull(self) -> None:
        self._edit()
        tag = f"v{self._version}"
        self._ran(self._run("dev", "push", "//:main", f"{self._place}:{tag}", "--version", tag))
        self._kill("pull", "node", ("pull", f"{self._place}:{tag}"), 0.6)
        self._look("node")
        self._runs_on_node()

    def _exec(self) -> None:
        self._edit()
        tag = f"v{self._version}"
        self._ran(self._run("dev", "push", "//:main", f"{self._place}:{tag}", "--version", tag))
        self._kill("exec", "node", ("exec", f"{self._place}:{tag}"), 0.8)
        self._look("node")
        self._runs_on_node()

    def _gc(self) -> None:
        self._kill("gc", "node", ("cache", "gc", "--max-size", "0"), 0.3)
        self._look("node")
        tag = f"v{self._version}"
        done = self._run("node", "exec", f"{self._place}:{tag}")
        if done.returncode == 125 and b"not here" not in done.stderr:
            self._ran(self._run("dev", "push", "//:main", f"{self._place}:{tag}", "--version", tag))
        self._runs_on_node()

    def _runs_on_node(self) -> None:
        """The newest version runs on the node, and prints what it should."""
        tag = f"v{self._version}"
        self._ran(self._run("dev", "push", "//:main", f"{self._place}:{tag}", "--version", tag))
        done = self._run("node", "exec", f"{self._place}:{tag}")
        digest = _sha256(self._root / "large.bin")
        if done.stdout.decode() != f"{tag} {digest}\n":
            self._say(f"{tag} printed {done.stdout!r} {done.stderr!r}")

    def _look(self, store: str) -> None:
        """Nothing wrong lies in a store, and nothing of no use once a command has run there."""
        verified = self._run(store, "cache", "verify", "--json")
        if verified.returncode or json.loads(verified.stdout)["wrong"]:
            self._say(f"{store}: wrong blobs: {verified.stdout!r} {verified.stderr!r}")
        swept = self._run(store, "cache", "gc", "--max-size", "100G")
        if swept.returncode:
            self._say(f"{store}: gc failed: {swept.stderr!r}")
        tmp = self._folder / store / "tmp"
        self._ran(self._run(store, "cache", "pin", "main:v0") if store == "dev" else swept)
        left = [path.name for path in tmp.glob("*")] if tmp.exists() and store == "dev" else []
        if left:
            self._say(f"{store}: scratch is left: {left}")

    def _kill(self, what: str, store: str, words: Sequence[str], longest: float) -> None:
        """Start a command, and kill it and all that it started."""
        child = subprocess.Popen(
            self._command(words),
            cwd=self._root,
            env=self._environment(store),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(self._random.uniform(0.05, longest))
        self.found.killed[what] += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()

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

    def _ran(self, done: subprocess.CompletedProcess[bytes]) -> None:
        if done.returncode:
            self._say(f"{done.args[3:]} failed: {done.stderr.decode()}")

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


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
