"""`python -m tests.cluster.demo`: a job on a real Slurm of four nodes, edited, and again.

One process shows it, another one waits for that and takes down what there is of the cluster,
however the first one has ended.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.cluster import slurm
from tests.cluster.registry import registry
from tests.cluster.slurm import Slurm
from tests.engines import servers

ROOT = Path(__file__).parents[2]
NODES = 4
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_SETTINGS = """
[cluster.demo]
launcher = "slurm"
registry = "{registry}/demo"
plain_http = true
logs = "{logs}"
lamina = "{lamina}"
"""


class Demo:
    """Shows commands and what they print."""

    def __init__(self, found: Slurm, folder: Path) -> None:
        self._slurm, self._folder = found, folder
        self._bold, self._plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
        self._environment = {
            **found.environment,
            "PATH": f"{ROOT / '.venv/bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LAMINA_STORE": str(folder / "store"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": os.environ.get("COLUMNS") or str(shutil.get_terminal_size().columns),
        }

    def say(self, text: str) -> None:
        print(f"\n{self._bold}# {text}{self._plain}", flush=True)

    def attempt(self, command: str) -> None:
        """Run a command where the jobs are submitted; raises CalledProcessError."""
        print(f"{self._bold}$ {command}{self._plain}", flush=True)
        subprocess.run(
            self._slurm.words("/bin/sh", "-c", command),
            cwd=self._folder / "distributed", env=self._environment,
            stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip


def show(folder: Path) -> None:
    """Start the cluster and show all of it."""
    for number in _SIGNALS:
        signal.signal(number, _end)
    shutil.copytree(
        ROOT / "examples/distributed", folder / "distributed",
        ignore=shutil.ignore_patterns("lamina-out"),
    )  # fmt: skip
    lamina = Path(sys.executable).with_name("lamina")
    print(f"starting Slurm with {NODES} nodes, each with a link of 1 Gbit/s", flush=True)
    with slurm.cluster(folder / "slurm", NODES) as found, registry(found, folder) as place:
        settings = _SETTINGS.format(registry=place, logs=folder / "logs", lamina=lamina)
        with (folder / "distributed/lamina.toml").open("a") as file:
            file.write(settings)
        demo = Demo(found, folder)
        demo.attempt("sinfo")
        submit = f"lamina submit //:job --on demo --nodes {NODES} --follow"
        demo.say("Build the program, push its layers, and run it on every node:")
        demo.attempt(submit)
        demo.say("Edit one line, and submit it again: one layer moves to each node.")
        demo.attempt("sed -i 's/sums by/edited, with sums by/' train.py")
        demo.attempt(submit)
        demo.say("How long each step took, first:")
        first, second = _ids(folder)
        demo.attempt(f"lamina timeline {shlex.quote(first)}")
        demo.say("And after the edit:")
        demo.attempt(f"lamina timeline {shlex.quote(second)}")
        demo.say("The end: Slurm, its nodes and all files of this are taken down.")


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit("the demo was ended")


def _ids(folder: Path) -> list[str]:
    """The jobs, the first one first."""
    logs = sorted((folder / "logs").iterdir(), key=lambda job: (job / "sbatch").stat().st_mtime)
    return [job.name for job in logs]


def main(words: Sequence[str]) -> int:
    """Show it in a process of its own, and clean up after that."""
    if words[:1] == ["--inner"]:
        show(Path(words[1]))
        return 0
    why = slurm.lacks()
    if not why:
        with contextlib.suppress(servers.Absent):
            servers.find("docker-registry")
            return _outer()
        why = "not installed: docker-registry"
    sys.exit(f"no cluster can be made here: {why}")


def _outer() -> int:
    folder = Path(tempfile.mkdtemp(prefix="lamina-demo-"))
    folder.chmod(0o755)
    inner = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.demo", "--inner", str(folder)], cwd=ROOT
    )

    def forward(number: int, _frame: FrameType | None) -> None:
        inner.send_signal(number)

    # Ctrl-C comes to both; the one that shows has the longer way.
    signal.signal(signal.SIGINT, lambda *_: None)
    for number in _SIGNALS:
        signal.signal(number, forward)
    try:
        code = inner.wait()
    finally:
        slurm.stop(Slurm(folder / "slurm", NODES, "", f"l{inner.pid}n"))
        shutil.rmtree(folder)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"this failed: {error.cmd[-1]}")
    except KeyboardInterrupt:
        sys.exit(130)
