"""Containers of others: images that lamina writes, in Docker, Podman, containerd, skopeo and umoci.

Each test process has a Docker daemon of its own, with a socket and a data folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.linux import filesystem

from . import servers
from .servers import Run, call

SOURCES = Path(__file__).parents[2] / "src"
EXAMPLES = Path(__file__).parents[2] / "examples"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)


def need(tool: str) -> str:
    if os.geteuid():
        pytest.skip("needs the rights of root")
    try:
        return servers.find(tool)
    except servers.Absent as absent:
        pytest.skip(str(absent))


@pytest.fixture
def lamina(store: Path) -> Run:
    """`lamina(root, "package", …)`: what it prints on stdout."""

    def run(root: Path, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lamina.cli", *words],
            cwd=root,
            env={**os.environ, "LAMINA_STORE": str(store), "PYTHONPATH": str(SOURCES)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def article(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "article", tmp_path / "article"))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a short path, as sockets want it."""
    made = Path(tempfile.mkdtemp(prefix="lamina-engines-", dir="/tmp"))
    yield made
    servers.unmount_below(made)
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def store(folder: Path) -> Path:
    """One store for all tests: what one has built, the next need not build again."""
    return folder / "store"


@pytest.fixture(scope="session")
def docker(folder: Path) -> Iterator[Run]:
    """`docker("run", …)` asks a daemon that only this test process has."""
    need("dockerd"), need("docker")
    with servers.docker(folder) as run:
        yield run


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[servers.Registry]:
    need("docker-registry"), need("skopeo")
    with servers.registry(tmp_path) as found:
        yield found


@pytest.fixture
def podman(folder: Path) -> Iterator[Run]:
    program, runtime = need("podman"), need("runc")
    options: list[str | Path] = ["--root", folder / "podman", "--runroot", folder / "podman-run"]
    options += ["--runtime", runtime, "--cgroup-manager", "cgroupfs"]
    options += ["--tmpdir", folder / "podman-tmp"]

    def run(*words: str | Path) -> str:
        return call(program, *options, *words)

    # A reset takes away what podman keeps in `/run` for all its users: one at a time.
    with filesystem.locked(Path("/tmp/lamina-test-podman.lock")):
        yield run
        try:
            run("system", "reset", "--force")
        except AssertionError:  # what clears up after a container comes a moment later
            time.sleep(1)
            run("system", "reset", "--force")


@pytest.fixture(scope="session")
def containerd(folder: Path) -> Iterator[servers.Containerd]:
    """A containerd without Docker, which only this test process has."""
    need("containerd"), need("ctr"), need("runc")
    with servers.containerd(folder) as found:
        yield found


@pytest.fixture(scope="session")
def small_root(folder: Path) -> Path:
    """A tarball of a root file system with a shell and Python, made of this machine's files."""
    return servers.small_root(folder)


@pytest.fixture(scope="session")
def base(docker: Run, small_root: Path, folder: Path) -> Path:
    """An image with a shell and Python, as `docker save` writes it."""
    saved = folder / "base.tar"
    said = ("ENV FROM_BASE=yes", "USER 7", "LABEL kept=yes", "EXPOSE 80")
    changes = [word for words in said for word in ("-c", words)]
    docker("import", *changes, small_root, "base:1")
    docker("save", "-o", saved, "base:1")
    docker("rmi", "base:1")
    return saved
