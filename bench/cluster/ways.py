"""Ways to bring an edited application to the nodes of a cluster, and to run it there."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from bench.application import files
from bench.application.files import Application
from bench.cluster.sender import Sender
from bench.lamina import Lamina
from tests.cluster.slurm import MASTER, Slurm
from tests.engines.servers import Run

LAMINA, DOCKER, TAR = "lamina submit", "docker build, push, pull, run", "tar, copy, extract"
BY_HAND = "docker, data in a layer of its own"
STEPS = ("build", "push", "submit", "queue", "pull", "mount", "enter", "start", "imports")
QUEUE = "queue"
TOTAL, OWN = "to the first line", "without the queue"
SENT, RECEIVED = "bytes sent", "bytes to each node"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken:
    """What it took from the edit until the program had begun on the last node."""

    seconds: Mapping[str, float]  # of each step, on that node; `imports` comes after its first line
    received: int  # bytes, by the node that got most
    sent: int  # bytes, from who edits

    @property
    def total(self) -> float:
        """Seconds to the first line of the last task."""
        return sum(value for name, value in self.seconds.items() if name != "imports")

    @property
    def own(self) -> float:
        """The same without what the scheduler takes."""
        return self.total - self.seconds.get(QUEUE, 0.0)


class Way(Protocol):
    """One way, with files and a state of its own."""

    name: str
    application: Application

    def make(self) -> Taken:
        """Bring the files as they are to all nodes and run the program there.

        Raises RuntimeError where that does not print what it must.
        """

    def warm(self) -> None:
        """Do what a site does once, when nodes have got a package for the first time."""


class Submitted:
    """`lamina submit` to Slurm; the command is a fork of a server between `serve` and `end`."""

    name = LAMINA

    def __init__(
        self, lamina: Lamina, cluster: Slurm, application: Application, nodes: int, memory: str
    ) -> None:
        self.application = application
        self._lamina, self._cluster, self._nodes = lamina, cluster, nodes
        self._memory = memory

    def make(self) -> Taken:
        before = Counters(self._cluster, self._nodes)
        begun = time.time()
        told = json.loads(self._call(
            "submit", "-q", "--json", "--on", "bench", "--nodes", str(self._nodes),
            "--memory", self._memory, files.TARGET,
        ))  # fmt: skip
        self._call("wait", told["id"])
        lines = [self._call("logs", "--task", str(task), told["id"]) for task in range(self._nodes)]
        came = [_lines(text, self.application.answer) for text in lines]
        stages = json.loads(self._call("describe", "--json", told["id"]))["stages"]
        last = max(range(self._nodes), key=lambda task: came[task][0])
        seconds = {
            stage["name"]: stage["seconds"]
            for stage in stages
            if stage["task"] in (None, last) and stage["name"] in STEPS
        }
        first = min(stage["begin"] for stage in stages)
        started = max(
            stage["begin"] + stage["seconds"]
            for stage in stages
            if stage["task"] == last and stage["name"] == "enter"
        )
        seconds["build"] += first - begun  # the start of lamina itself
        seconds["start"] = came[last][0] - started
        seconds["imports"] = came[last][1] - came[last][0]
        taken = Taken(seconds, *before.moved())
        _wait_for_layers()
        return taken

    def warm(self) -> None:
        self._call("prefetch", "-q", "--unpack", "--on", "bench", files.TARGET)

    def serve(self) -> None:
        """Start a server, as who works with lamina all day does."""
        self._call("server", "start")

    def end(self) -> None:
        """End it."""
        self._call("server", "stop")

    def _call(self, *words: str) -> str:
        return call(self._lamina, self._cluster, self.application.folder, *words)


def _wait_for_layers() -> None:
    """Until no node unpacks layers any more: all nodes are this machine."""
    while any(b"lamina.node.laying" in words for words in _processes()):
        time.sleep(0.2)


def _processes() -> Iterator[bytes]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


def call(lamina: Lamina, cluster: Slurm, folder: Path, *words: str) -> str:
    """What a command of lamina prints that runs beside the controller."""
    done = cluster.run(*lamina.command, *words, cwd=folder, env=lamina.environment)
    if done.returncode:
        raise RuntimeError(f"lamina {words}: {done.stderr}{done.stdout}")
    return done.stdout


class Docker:
    """BuildKit, a registry, and a daemon for each node, which all pull at once. No scheduler."""

    def __init__(
        self,
        name: str,
        cluster: Slurm,
        builder: Run,
        nodes: Sequence[Run],
        image: str,
        app: Application,
    ) -> None:
        """`name` tells how its Dockerfile is; it has one in the folder of the application."""
        self.name = name
        self.application = app
        self._cluster, self._builder, self._nodes = cluster, builder, nodes
        self._image = image

    def make(self) -> Taken:
        before = Counters(self._cluster, len(self._nodes))
        begun = time.time()
        folder = self.application.folder
        self._builder("build", "--network", "none", "--tag", self._image, folder)
        built = time.time()
        self._builder("push", self._image)
        pushed = time.time()
        came = _on_all(self._nodes, self._run)
        pulled, text = max(came, key=lambda each: _lines(each[1], self.application.answer)[0])
        first, ready = _lines(text, self.application.answer)
        seconds = {
            "build": built - begun, "push": pushed - built, "pull": pulled - pushed,
            "start": first - pulled, "imports": ready - first,
        }  # fmt: skip
        return Taken(seconds, *before.moved())

    def warm(self) -> None:
        """Nothing: its layers are unpacked."""

    def _run(self, docker: Run) -> tuple[float, str]:
        docker("pull", "--quiet", self._image)
        pulled = time.time()
        return pulled, docker("run", "--rm", "--network", "host", self._image)


class Archive:
    """A compressed archive of all that is installed, sent to each node. No scheduler."""

    name = TAR

    def __init__(self, cluster: Slurm, application: Application, nodes: int, folder: Path) -> None:
        self.application = application
        self._cluster, self._nodes, self._folder = cluster, nodes, folder
        folder.mkdir()
        self._packages = folder / "site-packages"

    def install(self, wheels: Path) -> None:
        """Install once what is required, as a Dockerfile does."""
        subprocess.run(
            [
                files.INTERPRETER, "-B", wheels / "pip.whl/pip", "install", "--quiet",
                "--root-user-action", "ignore", "--no-cache-dir", "--no-index", "--find-links",
                wheels, "--target", self._packages,
                "-r", self.application.folder / "requirements.txt",
            ],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def make(self) -> Taken:
        before = Counters(self._cluster, self._nodes)
        begun = time.time()
        archive = self._folder / "app.tar.zst"
        _shell(
            "tar -C $1 -cf - app core -C $2 site-packages | zstd -q -3 -T0 -f -o $3",
            self.application.folder, self._folder, archive,
        )  # fmt: skip
        packed = time.time()
        targets = [self._folder / f"node{number}" for number in range(1, self._nodes + 1)]
        with Sender(self._cluster, archive, MASTER) as port:
            came = _on_all(targets, lambda target: self._fetch(target, port))
        copied, text = max(came, key=lambda each: _lines(each[1], self.application.answer)[0])
        first, ready = _lines(text, self.application.answer)
        seconds = {
            "build": packed - begun, "pull": copied - packed,
            "start": first - copied, "imports": ready - first,
        }  # fmt: skip
        for target in targets:
            shutil.rmtree(target)
        received, _ = before.moved()
        return Taken(seconds, received, received * self._nodes)

    def warm(self) -> None:
        """Nothing: nothing stays on a node."""

    def _fetch(self, target: Path, port: int) -> tuple[float, str]:
        target.mkdir()
        number = int(target.name.removeprefix("node"))
        inside = ["nsenter", f"--net=/run/netns/{self._cluster.prefix}{number}", "--"]
        way = "exec 3<>/dev/tcp/$1/$2 && cat <&3 | zstd -q -dc | tar -C $3 -xf -"
        _shell(way, MASTER, port, target, before=inside)
        copied = time.time()
        done = subprocess.run(
            [*inside, files.INTERPRETER, target / "app/main.py"],
            env={**os.environ, "PYTHONPATH": f"{target}:{target / 'site-packages'}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return copied, done.stdout


class Counters:
    """What the links have carried so far."""

    def __init__(self, cluster: Slurm, nodes: int) -> None:
        self._cluster, self._nodes = cluster, nodes
        self._before = self._now()

    def moved(self) -> tuple[int, int]:
        """Bytes since then: by the node that got most, and from who edits to the registry."""
        now = self._now()
        *nodes, own = (b - a for a, b in zip(self._before, now, strict=True))
        return max(nodes), own

    def _now(self) -> list[int]:
        links = [(f"{self._cluster.prefix}{n}", "eth0") for n in range(1, self._nodes + 1)]
        # The registry and who edits are in one namespace, nodes are not.
        links.append((self._cluster.switch, "lo"))
        return [_received(namespace, link) for namespace, link in links]


def _received(namespace: str, link: str) -> int:
    words = ["ip", "-n", namespace, "-s", "-j", "link", "show", "dev", link]
    done = subprocess.run(words, capture_output=True, check=True)
    return int(json.loads(done.stdout)[0]["stats64"]["rx"]["bytes"])


def _on_all(places: Sequence[T], work: Callable[[T], tuple[float, str]]) -> list[tuple[float, str]]:
    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(work, places))


def _lines(text: str, answer: str) -> tuple[float, float]:
    """When a program began and when it had imported all; it must know the newest edit."""
    words = [line.split() for line in text.splitlines()]
    begun = [float(each[1]) for each in words if each[:1] == ["begun"]]
    ready = [each for each in words if each[:1] == ["ready"]]
    if len(begun) != 1 or len(ready) != 1 or " ".join(ready[0][2:]) != answer:
        raise RuntimeError(f"the program prints `{text}`, not `{answer}`")
    return begun[0], float(ready[0][1])


def _shell(script: str, *words: object, before: Sequence[str] = ()) -> None:
    argv = [*before, "bash", "-euc", f"set -o pipefail; {script}", "bash", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(argv)}: {done.stderr}")
