"""Servers and tools of others, started for one process alone: for tests, and for the bench."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PYTHON = Path("/usr/bin/python3")
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_TOOLS = ("dash", "readlink", "cat", "ls")  # of the small root, beside Python
_LEFT_OUT = (
    "test", "dist-packages", "ensurepip", "idlelib", "lib2to3", "__pycache__", "config-*",
)  # fmt: skip

Run = Callable[..., str]


class Absent(Exception):
    """A tool that is not installed."""


def find(tool: str) -> str:
    """The path of a tool, also where only root's PATH has it; raises Absent."""
    found = shutil.which(tool, path=_PATH)
    if found is None:
        raise Absent(f"{tool} is not installed")
    return found


def call(*words: str | Path, cwd: Path | None = None) -> str:
    """What a program that must succeed prints."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


@contextmanager
def docker(
    folder: Path,
    client: str | Path = "",
    *,
    prefix: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Iterator[Run]:
    """`run("ps", …)` asks a Docker daemon that has its socket and all its files in a folder.

    The path of the folder must be short, as sockets want it. `prefix` are words of a command that
    starts the daemon elsewhere, `options` further ones of its own.
    """
    daemon, client = find("dockerd"), client or find("docker")
    address = f"unix://{folder}/docker.sock"
    log = folder / "docker.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            [
                *prefix, daemon, "--iptables=false", "--bridge=none", "-H", address, *options,
                "--data-root", folder / "docker", "--exec-root", folder / "docker-exec",
                "--pidfile", folder / "docker.pid",
            ],
            stdout=output, stderr=output,
        )  # fmt: skip

    def run(*words: str | Path) -> str:
        return call(client, "-H", address, *words)

    try:
        _await(started, [client, "-H", address, "version"], log)
        yield run
    finally:
        started.terminate()
        started.wait(30)


class Containerd:
    """A containerd that has its socket and all its files in a folder, without Docker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ctr = (find("ctr"), "--address", folder / "grpc.sock")
        self.question = (*self._ctr, "version")
        self._snapshotter = ""

    def __call__(self, *words: str | Path) -> str:
        """What `ctr` prints, asked in a namespace of containerd that is for nothing else."""
        if not self._snapshotter:
            known = call(*self._ctr, "plugins", "ls", "id==overlayfs")
            self._snapshotter = "overlayfs" if known.split()[-1] == "ok" else "native"
        options = (*self._ctr, "-n", "lamina-test")
        settings = f"CONTAINERD_SNAPSHOTTER={self._snapshotter}"
        return call("env", settings, *options, *words)

    def run(self, image: str, *words: str) -> str:
        """What a container prints: in the network of the host, its state in our folder."""
        places = ("--runc-root", self._folder / "runc", "--fifo-dir", self._folder / "fifo")
        options = ("--rm", "--net-host", "--cgroup", "", *places)
        return self("run", *options, image, "one", *words)


@contextmanager
def containerd(folder: Path) -> Iterator[Containerd]:
    """A containerd of this process alone. The path of the folder must be short."""
    program, place = find("containerd"), folder / "containerd"
    find("runc")
    place.mkdir()
    settings, log = place / "config.toml", place / "log"
    settings.write_text(
        f'version = 2\nroot = "{place}/root"\nstate = "{place}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\naddress = "{place}/grpc.sock"\n[ttrpc]\naddress = "{place}/ttrpc.sock"\n'
    )
    client = Containerd(place)
    with log.open("wb") as output:
        started = subprocess.Popen([program, "--config", settings], stdout=output, stderr=output)
    try:
        _await(started, client.question, log)
        yield client
    finally:
        started.terminate()
        started.wait(30)


def _await(started: subprocess.Popen[bytes], question: Sequence[str | Path], log: Path) -> None:
    until = time.monotonic() + 30
    while subprocess.run(question, capture_output=True, check=False).returncode:
        if started.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"a server does not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def unmount_below(folder: Path) -> None:
    """Take down what dockerd leaves: the network namespace of the host is mounted there."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if f"{folder}/" in line:
            call("umount", line.split()[4])


class Registry:
    """A registry that keeps its blobs in a folder."""

    def __init__(self, folder: Path, port: int, log: Path) -> None:
        self.place = f"127.0.0.1:{port}"
        self._blobs = folder / "docker/registry/v2/blobs/sha256"
        self._log = log

    def push(self, layout: Path, tag: str) -> None:
        """Copy an image of an OCI layout there, as `a:<tag>`."""
        image = f"docker://{self.place}/a:{tag}"
        words = ("--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}:{tag}", image)
        call(find("skopeo"), "copy", *words)

    @property
    def blobs(self) -> set[str]:
        """The digests of all there is."""
        return {path.parent.name for path in self._blobs.glob("*/*/data")}

    @property
    def fetched(self) -> list[str]:
        """The digests of all blobs that were sent to anybody, in order."""
        return re.findall(
            r'"GET /v2/\S+/blobs/sha256:([0-9a-f]{64}) \S+" 200', self._log.read_text()
        )


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """A registry of this process alone."""
    program = find("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}"
    settings.write_text(f'version: 0.1\n{storage}\nhttp: {{addr: "127.0.0.1:{port}"}}\n')
    log = folder / "registry.log"
    with log.open("wb") as output:
        started = subprocess.Popen([program, "serve", settings], stdout=output, stderr=-3)
    try:
        _await_answer(f"http://127.0.0.1:{port}/v2/")
        yield Registry(folder / "registry", port, log)
    finally:
        started.terminate()
        started.wait(30)


def _await_answer(address: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def small_root(folder: Path, libraries: Sequence[str] = ()) -> Path:
    """A tarball of a root file system with a shell and Python, made of this machine's files.

    `libraries` are of C and C++, by their name as the dynamic linker knows it.
    """
    root = folder / "root"
    version = call(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    programs = [Path(find(tool)) for tool in _TOOLS]
    for program in (*programs, Path(f"/usr/bin/python{version}")):
        _copy(program, root)
        for library in re.findall(r"(/\S+) \(0x", call("ldd", program)):
            _copy(Path(library), root)
    (root / "usr/bin/sh").symlink_to("dash")
    (root / "tmp").mkdir(mode=0o1777)
    for name in ("bin", "lib", "lib64"):
        if Path(f"/{name}").is_symlink() and not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    standard = Path(
        call(PYTHON, "-c", "import sysconfig as s; print(s.get_path('stdlib'))").strip()
    )
    inner = root / standard.relative_to("/")
    shutil.copytree(standard, inner, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    for extension in inner.glob("lib-dynload/*.so"):
        for found in re.findall(r"(/\S+) \(0x", call("ldd", extension)):
            _copy(Path(found), root)
    known = call(find("ldconfig"), "-p") if libraries else ""
    for library in libraries:
        _copy(Path(re.findall(rf"\b{re.escape(library)} .*=> (\S+)", known)[0]), root)
    call("tar", "-C", root, "-cf", folder / "root.tar", ".")
    return folder / "root.tar"


def _copy(file: Path, root: Path) -> None:
    """Copy a file to where it really lies, below another root: /lib is a link to /usr/lib."""
    inner = root / (file.parent.resolve() / file.name).relative_to("/")
    if not inner.exists():
        inner.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.resolve(), inner)
