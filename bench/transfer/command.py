"""`python -m bench transfer`: what moves to nodes, in how many requests, and how long it takes.

A proxy that knows nothing of lamina counts. Peers in the same run: one request for each blob, which
is what other clients of registries need, by skopeo; and a tar archive of everything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.report import aligned
from bench.transfer.nodes import pull_at_once
from bench.transfer.proxy import Count, Proxy, Registry
from bench.workspaces import stack

_LAMINA = (sys.executable, "-m", "lamina.cli")


@dataclass(frozen=True, slots=True)
class Line:
    """What one step took."""

    what: str
    seconds: float
    count: Count | None
    note: str = ""


class Bench:
    """One registry, a workspace, and the stores of nodes."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self._folder = folder
        self.proxy = proxy
        self.lines: list[Line] = []

    def run(self, store: str, *words: str, cwd: Path | None = None) -> str:
        """Run lamina with a store of that name."""
        environment = {**os.environ, "LAMINA_STORE": str(self._folder / store)}
        done = subprocess.run(
            [*_LAMINA, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stderr}")
        return done.stdout.strip()

    def step(self, what: str, work: Callable[[], object], note: str = "") -> None:
        """Measure and count one step."""
        self.proxy.reset()
        begun = time.monotonic()
        work()
        seconds = time.monotonic() - begun
        self.lines.append(Line(what, seconds, self.proxy.reset(), note))
        print(f"  {what}: {seconds:.2f} s", flush=True)

    def store(self, name: str) -> Path:
        return self._folder / name


def main(words: list[str]) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench transfer", description=__doc__)
    parser.add_argument("--layers", type=int, default=1000, help="of the large application")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put what is measured")
    parser.add_argument("--nodes-folder", type=Path, default=Path("/dev/shm"))
    args = parser.parse_args(words)
    program = shutil.which("docker-registry")
    if program is None:
        print("docker-registry is needed: on Debian, `apt-get install docker-registry`")
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="lamina-bench-", dir=args.folder) as temporary,
        tempfile.TemporaryDirectory(prefix="lamina-bench-", dir=args.nodes_folder) as nodes,
    ):
        folder = Path(temporary)
        for name, value in machine.describe(folder).items():
            print(f"{name:11} {value}")
        registry = Registry(program, folder / "registry")
        proxy = Proxy(registry.host)
        try:
            bench = Bench(folder, proxy)
            _application(bench, folder, args.layers)
            _small(bench, folder)
            print()
            print(_table(bench.lines))
            print()
            print(_many(bench, registry, Path(nodes), args.nodes, args.rounds))
        finally:
            proxy.close()
            registry.close()
    return 0


def _application(bench: Bench, folder: Path, layers: int) -> None:
    """A large application, edited in one line."""
    root = stack(folder / "app", layers)
    place = f"{bench.proxy.host}/app"
    bench.run("dev", "package", "//:main", "--version", "v1", cwd=root)
    bench.step(
        f"push {layers} layers, first", lambda: bench.run("dev", "push", "main:v1", f"{place}:v1")
    )
    bench.step("pull by a node that has nothing", lambda: bench.run("node", "pull", f"{place}:v1"))
    edited = root / f"part{layers // 2}.py"
    edited.write_text(edited.read_text() + "EDITED = True\n")
    bench.run("dev", "package", "//:main", "--version", "v2", cwd=root)
    bench.step(
        "push after an edit of one .py", lambda: bench.run("dev", "push", "main:v2", f"{place}:v2")
    )
    found = json.loads(bench.run("dev", "inspect", "--json", "main:v2"))
    bench.step("pull of that by tag", lambda: bench.run("node", "pull", f"{place}:v2"))
    bench.run("other", "pull", f"{place}:v1")
    bench.step(
        "pull of that by digest", lambda: bench.run("other", "pull", f"{place}@{found['digest']}")
    )
    bench.step(
        "exec of what is here, by digest",
        lambda: bench.run("other", "inspect", "main:v2"),
        "nothing is asked",
    )


def _small(bench: Bench, folder: Path) -> None:
    """127 small layers, for nodes that have nothing."""
    root = stack(folder / "small", 127)
    place = f"{bench.proxy.host}/small"
    bench.run("dev", "package", "//:main", "--version", "s1", cwd=root)
    bench.run("dev", "push", "main:s1", f"{place}:s1")
    bench.step("pull 127 small layers", lambda: bench.run("cold", "pull", f"{place}:s1"))
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        return
    words = [skopeo, "copy", "--all", "--src-tls-verify=false", "--insecure-policy", "-q"]
    target = f"oci:{folder}/layout:s1"
    bench.step(
        "the same by skopeo",
        lambda: subprocess.run([*words, f"docker://{place}:s1", target], check=True),
    )
    bench.run("dev", "push", "main:s1", f"{place}:s1")


def _many(bench: Bench, registry: Registry, folder: Path, count: int, rounds: int) -> str:
    """Many nodes at once, straight at the registry."""
    rows = [["nodes at once", "last", "median", "nodes"]]
    small, app = f"{registry.host}/small:s1", f"{registry.host}/app"
    digest = json.loads(bench.run("dev", "inspect", "--json", "main:v2"))["digest"]
    for what, reference, warm in (
        ("cold, 127 small layers", small, ""),
        ("warm, one edit, by digest", f"{app}@{digest}", f"{app}:v1"),
        ("warm, one edit, by tag", f"{app}:v2", f"{app}:v1"),
    ):
        last, median = [], []
        template = folder / "template"
        if warm:
            environment = {**os.environ, "LAMINA_STORE": str(template)}
            subprocess.run(
                [*_LAMINA, "pull", warm], env=environment, check=True, capture_output=True
            )
        for _ in range(rounds):
            stores = [folder / f"node{number}" for number in range(count + 1)]
            for store in stores:
                if warm:
                    shutil.copytree(template, store, copy_function=os.link)
                    (store / "lock").unlink()
                    (store / "lock").touch()
            done = pull_at_once(reference, stores[1:], stores[0])
            last.append(done.last)
            median.append(done.median)
            for store in stores:
                shutil.rmtree(store)
        shutil.rmtree(template, ignore_errors=True)
        rows.append(
            [
                what,
                f"{statistics.median(last):.2f} s",
                f"{statistics.median(median):.2f} s",
                str(count),
            ]
        )
    return aligned(rows)


def _table(lines: list[Line]) -> str:
    rows = [["step", "time", "requests", "one after another", "to registry", "from registry", ""]]
    for line in lines:
        count = line.count or Count()
        rows.append(
            [
                line.what, f"{line.seconds:.2f} s", str(count.requests), str(count.trips),
                f"{count.sent / 1024:.1f} KiB", f"{count.received / 1024:.1f} KiB", line.note,
            ]
        )  # fmt: skip
    return aligned(rows)
