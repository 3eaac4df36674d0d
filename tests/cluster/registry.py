"""A registry that the nodes of a cluster reach over their links."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.slurm import MASTER, Slurm
from tests.engines import servers

_PORT = 5000
_PATIENCE = 30.0  # seconds


@contextlib.contextmanager
def registry(found: Slurm, folder: Path) -> Iterator[str]:
    """Start one beside the controller; `host:port`. Raises servers.Absent where none is here."""
    program = servers.find("docker-registry")
    settings = folder / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}"
    http = f'http: {{addr: "{MASTER}:{_PORT}"}}'
    settings.write_text(f"version: 0.1\nlog: {{level: error}}\n{storage}\n{http}\n")
    with (folder / "registry.log").open("wb") as log:
        started = subprocess.Popen(
            found.words(program, "serve", str(settings)),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until = time.monotonic() + _PATIENCE
        question = ("python3", "-c", _QUESTION.format(address=f"http://{MASTER}:{_PORT}/v2/"))
        while found.run(*question).returncode:
            if started.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no registry: {(folder / 'registry.log').read_text()}")
            time.sleep(0.05)
        yield f"{MASTER}:{_PORT}"
    finally:
        started.terminate()
        started.wait(30)


_QUESTION = "import urllib.request; urllib.request.urlopen('{address}', timeout=5)"
