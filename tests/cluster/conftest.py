"""A workspace with a program that ends in chosen ways, and clusters to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import slurm
from tests.cluster.slurm import Slurm

LAMINA = Path(sys.executable).with_name("lamina")

PROBE = """
import os, signal, sys, time

what = sys.argv[1]
rank = int(os.environ["RANK"])
print(what, "rank", rank, *sys.argv[2:], flush=True)

def stop(*_):
    print("saved", flush=True)
    os._exit(0)

if what == "env":
    for name in sorted(os.environ):
        if name.startswith(("LAMINA_", "RANK", "WORLD", "LOCAL_", "MASTER", "GREETING")):
            print(name + "=" + os.environ[name])
if what == "fail" and rank == 1:
    sys.exit(7)
if what == "signal" and rank == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
if what == "memory" and rank == 1:
    hog = bytearray(900 << 20)
    for place in range(0, len(hog), 4096):
        hog[place] = 1
if what == "flaky" and rank == 0 and os.environ["LAMINA_ATTEMPT"] == "1":
    sys.exit(3)
if what == "graceful":
    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
if what in ("sleep", "fail", "signal", "memory", "graceful"):
    time.sleep(600)
if what == "meet":
    import socket
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank == 0:
        server = socket.create_server(("", place[1]))
        for _ in range(int(os.environ["WORLD_SIZE"]) - 1):
            other, _ = server.accept()
            print("met", other.recv(100).decode(), flush=True)
    else:
        until = time.time() + 30
        while True:
            try:
                other = socket.create_connection(place, 5)
                break
            except OSError:
                if time.time() > until:
                    raise
                time.sleep(0.05)
        other.sendall(str(rank).encode())
"""
BUILD = """
python_binary(name = "probe", srcs = ["probe.py"])
job(
    name = "job",
    binary = ":probe",
    args = ["env"],
    env = {"GREETING": "hello you"},
    nodes = 2,
    setup = ["export GREETING=\\"$GREETING two\\""],
)
job(
    name = "array",
    binary = ":probe",
    args = ["ok"],
    parameters = {"lr": ["1", "2"], "seed": ["a b"]},
)
"""


@dataclass(slots=True)
class Bench:
    """A workspace, and the command line in it."""

    root: Path
    on: str  # the cluster that is meant
    words: Callable[..., list[str]] = lambda *words: list(words)
    environment: dict[str, str] = field(default_factory=dict)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start lamina."""
        return subprocess.Popen(
            self.words(str(LAMINA), *words), cwd=self.root, env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run lamina to its end."""
        with self.begin(*words) as started:
            try:
                printed, complaint = started.communicate(timeout=240)
            except BaseException:
                started.kill()
                raise
        return subprocess.CompletedProcess(started.args, started.returncode, printed, complaint)

    def call(self, *words: str) -> str:
        """What lamina prints; it must succeed."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, *words: str, target: str = "//:probe") -> str:
        """Submit the probe; its id."""
        program = ("--", *words[words.index("--") + 1 :]) if "--" in words else ()
        options = words[: words.index("--")] if "--" in words else words
        return self.call("submit", target, "--on", self.on, "-q", *options, *program).strip()

    def status(self, job: str) -> Mapping[str, Any]:
        """What became of a job."""
        found: Mapping[str, Any] = json.loads(self.call("status", "--json", job))
        return found

    def until(self, job: str, see: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Wait until something is seen in the status of a job."""
        until = time.monotonic() + 120
        while True:
            found = self.status(job)
            if see(found):
                return found
            assert time.monotonic() < until, found
            time.sleep(0.2)

    def until_printed(self, job: str, text: str, times: int = 1) -> None:
        """Wait until the tasks of a job have printed something so often."""
        until = time.monotonic() + 120
        while self.call("logs", job).count(text) < times:
            assert time.monotonic() < until, self.call("logs", job)
            time.sleep(0.1)


def make(root: Path, settings: str, on: str) -> Bench:
    """A workspace with the settings of a cluster."""
    root.mkdir(parents=True)
    (root / "lamina.toml").write_text(f'[workspace]\nname = "probes"\n{settings}')
    (root / "BUILD").write_text(BUILD)
    (root / "probe.py").write_text(PROBE)
    return Bench(
        root, on,
        environment={
            "LAMINA_STORE": str(root.parent / "store"),
            "XDG_STATE_HOME": str(root.parent / "state"),
        },
    )  # fmt: skip


@pytest.fixture(scope="session")
def real_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A Slurm of four nodes."""
    if why := slurm.lacks():
        pytest.skip(why)
    with slurm.cluster(tmp_path_factory.mktemp("slurm") / "s", 4) as found:
        yield found


@pytest.fixture
def on_slurm(real_slurm: Slurm, tmp_path: Path) -> Bench:
    """A workspace whose packages go to the nodes through a folder that all see."""
    settings = (
        f'[cluster.lab]\nlauncher = "slurm"\nregistry = "oci:{tmp_path}/packages"\n'
        f'lamina = "{LAMINA}"\ncontainer = "never"\nlogs = "{tmp_path}/logs"\n'
    )
    found = make(tmp_path / "root", settings, "lab")
    found.words = real_slurm.words
    found.environment |= {"SLURM_CONF": str(real_slurm.top / "slurm.conf")}
    return found


@pytest.fixture
def on_local(tmp_path: Path) -> Bench:
    """A workspace whose jobs run on this machine."""
    settings = f'[cluster.here]\nlauncher = "local"\nlamina = "{LAMINA}"\ncontainer = "never"\n'
    return make(tmp_path / "root", settings, "here")


@pytest.fixture(params=["local", "slurm"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Every launcher that can run jobs here."""
    found: Bench = request.getfixturevalue(f"on_{request.param}")
    return found
