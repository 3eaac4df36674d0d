"""BuildGrid on loopback: another server of the Remote Execution API than `farms`, as a cache.

Version 0.4.4 is the last that runs on Python 3.11; it comes by pip into an environment of its own,
when it is first asked for. Its API is 2.0 to 2.2, and blobs in batches have to be below 4 MiB.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.farms import Absent, free_port, is_listening

_WHEEL = "buildgrid==0.4.4"
_PATIENCE = 60.0  # seconds until it listens: its imports are many
_SETTINGS = """\
server:
  - !channel
    address: "127.0.0.1:{port}"
    insecure-mode: true
authorization:
  method: none
monitoring:
  enabled: false
storages:
  - !disk-storage &blobs
    path: {folder}/cas
caches:
  - !lru-action-cache &results
    storage: *blobs
    max-cached-refs: 10000
    allow-updates: true
    cache-failed-actions: false
instances:
  - name: '{instance}'
    services:
      - !action-cache
        cache: *results
      - !cas
        storage: *blobs
      - !bytestream
        storage: *blobs
thread-pool-size: 30
"""


def program() -> Path:
    """Its `bgd`; raises farms.Absent."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "lamina-tests" / _WHEEL.replace("==", "-")
    folder.mkdir(parents=True, exist_ok=True)
    found, whole = folder / "venv/bin/bgd", folder / "whole"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes test at once
        if not whole.exists():
            _install(folder / "venv")
            whole.touch()
    return found


def _install(venv: Path) -> None:
    for words in (
        (sys.executable, "-m", "venv", "--clear", str(venv)),
        (f"{venv}/bin/pip", "install", "--quiet", "--only-binary", ":all:", _WHEEL),
    ):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Absent(f"{_WHEEL} can not be installed: {done.stderr.strip()[-300:]}")


@contextlib.contextmanager
def cache(folder: Path, instance: str = "") -> Iterator[int]:
    """Run one that keeps blobs and results in a folder; its port. Raises farms.Absent."""
    bgd, port = program(), free_port()
    folder.mkdir(parents=True)
    settings = folder / "settings.yml"
    settings.write_text(_SETTINGS.format(port=port, folder=folder, instance=instance))
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            [bgd, "server", "start", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + _PATIENCE
        while not is_listening(port):
            said = (folder / "log").read_text()
            assert started.poll() is None and time.monotonic() < until, said[-2000:]
            time.sleep(0.05)
        yield port
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
