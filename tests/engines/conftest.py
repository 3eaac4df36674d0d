"""Containers of others: images that lamina writes, in Docker, Podman, skopeo and umoci.

Each test process has a Docker daemon of its own, with a socket and a data folder of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src"
EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = Path("/usr/bin/python3")
_TOOLS = ("dash", "readlink", "cat", "ls")  # of the small root, beside Python

Run = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)


def need(tool: str) -> str:
    if os.geteuid():
        pytest.skip("needs the rights of root")
    found = shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def call(*words: str | Path, cwd: Path | None = None) -> str:
    """What a program that must succeed prints."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


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
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if str(made) in line:  # dockerd leaves the network namespace of the host there
            call("umount", line.split()[4])
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def store(folder: Path) -> Path:
    """One store for all tests: what one has built, the next need not build again."""
    return folder / "store"


@pytest.fixture(scope="session")
def docker(folder: Path) -> Iterator[Run]:
    """`docker("run", …)` asks a daemon that only this test process has."""
    daemon, client = need("dockerd"), need("docker")
    socket = f"unix://{folder}/docker.sock"
    with (folder / "docker.log").open("wb") as log:
        started = subprocess.Popen(
            [
                daemon, "--iptables=false", "--bridge=none", "-H", socket,
                "--data-root", folder / "docker", "--exec-root", folder / "docker-exec",
                "--pidfile", folder / "docker.pid",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip

    def run(*words: str | Path) -> str:
        return call(client, "-H", socket, *words)

    try:
        _await(started, [client, "-H", socket, "version"], folder / "docker.log")
        yield run
    finally:
        started.terminate()
        started.wait(30)


def _await(started: subprocess.Popen[bytes], question: list[str], log: Path) -> None:
    until = time.monotonic() + 30
    while subprocess.run(question, capture_output=True, check=False).returncode:
        if started.poll() is not None or time.monotonic() > until:
            pytest.fail(f"dockerd does not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


@pytest.fixture
def podman(folder: Path) -> Iterator[Run]:
    program, runtime = need("podman"), need("runc")
    options: list[str | Path] = ["--root", folder / "podman", "--runroot", folder / "podman-run"]
    options += ["--runtime", runtime, "--cgroup-manager", "cgroupfs"]

    def run(*words: str | Path) -> str:
        return call(program, *options, *words)

    yield run
    run("system", "reset", "--force")


@pytest.fixture(scope="session")
def small_root(folder: Path) -> Path:
    """A tarball of a root file system with a shell and Python, made of this machine's files."""
    root = folder / "root"
    version = call(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    programs = [Path(shutil.which(tool) or pytest.skip(f"no {tool}")) for tool in _TOOLS]
    for program in (*programs, Path(f"/usr/bin/python{version}")):
        _copy(program, root)
        for library in re.findall(r"(/\S+) \(0x", call("ldd", program)):
            _copy(Path(library), root)
    (root / "usr/bin/sh").symlink_to("dash")
    for name in ("bin", "lib", "lib64"):
        if Path(f"/{name}").is_symlink() and not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    library = Path(call(PYTHON, "-c", "import sysconfig as s; print(s.get_path('stdlib'))").strip())
    left_out = (
        "test",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "__pycache__",
        "config-*",
    )
    inner = root / library.relative_to("/")
    shutil.copytree(library, inner, ignore=shutil.ignore_patterns(*left_out), symlinks=True)
    for extension in inner.glob("lib-dynload/*.so"):
        for found in re.findall(r"(/\S+) \(0x", call("ldd", extension)):
            _copy(Path(found), root)
    call("tar", "-C", root, "-cf", folder / "root.tar", ".")
    return folder / "root.tar"


def _copy(file: Path, root: Path) -> None:
    """Copy a file to where it really lies, below another root: /lib is a link to /usr/lib."""
    inner = root / (file.parent.resolve() / file.name).relative_to("/")
    if not inner.exists():
        inner.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.resolve(), inner)


@pytest.fixture(scope="session")
def base(docker: Run, small_root: Path, folder: Path) -> Path:
    """An image with a shell and Python, as `docker save` writes it."""
    saved = folder / "base.tar"
    docker("import", "-c", "ENV FROM_BASE=yes", "-c", "USER 7", small_root, "base:1")
    docker("save", "-o", saved, "base:1")
    docker("rmi", "base:1")
    return saved
