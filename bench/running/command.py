"""`python -m bench run`: from a cached package to the first line of its program, beside peers.

Every number of layers, as a program of Python and as one of C, started by each driver, in a
container, by Docker, podman, runc, as an archive that is unpacked first, and as plain files. Also
with nothing in memory, and what a hundred jobs at once take.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import machine, report, workspaces
from bench.imports import drop_caches
from bench.lamina import Lamina, environment, first_line
from bench.measure import Case, Figures, Table, measure
from bench.report import aligned
from tests.engines import servers

WORD = "run"
_PLAIN = "plain files"
_DOCKER = "docker run"
_LANGUAGES = ("python", "c")


@dataclass(frozen=True, slots=True)
class _Peers:
    """Engines of others that are here."""

    docker: servers.Run | None
    podman: bool
    runc: str  # its path; empty where it is not here
    base: Path | None  # an archive of a small root file system


def main(words: Sequence[str]) -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {WORD}", description=__doc__)
    parser.add_argument("--layers", default="1,8,64,127,500,2000", help="numbers of layers")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--jobs", type=int, default=100, help="at once, for memory; 0: none")
    parser.add_argument("--format", choices=("xar", "erofs"), default="xar", help="of layers")
    parser.add_argument("--no-engines", action="store_true", help="without Docker and the like")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    args = parser.parse_args(words)
    # Sockets want a short path.
    folder = Path(tempfile.mkdtemp(prefix="lb-", dir="/tmp"))
    tables: list[Table] = []
    try:
        for name, value in machine.describe(folder).items():
            print(f"{name:11} {value}")
        with _peers(folder, want=not args.no_engines) as peers:
            for count in map(int, args.layers.split(",")):
                for language in _LANGUAGES:
                    place = folder / f"{language}{count}"
                    tables += _starts(place, language, count, args, peers)
                    for table in tables[-1:]:
                        print(f"\n{report.text(table)}", flush=True)
            tables += _cold(folder / "cold", args, peers)
            print(f"\n{report.text(tables[-1])}", flush=True)
        if args.jobs:
            print(f"\n{_memory(folder / 'memory', args.jobs)}")
    finally:
        servers.unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nload at the end {machine.load()}")
    if args.json:
        args.json.write_text(json.dumps([report.document(table) for table in tables]) + "\n")
    return 0


@contextmanager
def _peers(folder: Path, *, want: bool) -> Iterator[_Peers]:
    with ExitStack() as ends:
        docker = base = None
        if want:
            try:
                docker = ends.enter_context(servers.docker(folder))
                base = servers.small_root(folder)
            except servers.Absent as absent:
                print(f"no image is measured: {absent}")
        runc = shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") or ""
        has_podman = shutil.which("podman") is not None and base is not None
        yield _Peers(docker, has_podman, runc if want else "", base)


def _program(folder: Path, language: str, count: int, layers: str) -> Path:
    """A workspace with a program `//:main` of so many layers, which prints one line."""
    root = workspaces.stack(folder, count)
    if language == "c":
        (root / "main.c").write_text(
            '#include <stdio.h>\nint main(void) { puts("ready"); return 0; }\n'
        )
        build = (root / "BUILD").read_text().partition("python_binary")[0]
        names = [f":part{number}" for number in range(count - 1)]
        build += f'cxx_binary(name = "main", srcs = ["main.c"], resources = {json.dumps(names)})\n'
        (root / "BUILD").write_text(build)
    else:
        # All layers are mounted; what the program itself does is the same for every number.
        (root / "main.py").write_text('print("ready")\n')
    if layers == "erofs":
        settings = root / "lamina.toml"
        settings.write_text(f'{settings.read_text()}[layers]\nformat = "erofs"\n')
    return root


def _starts(
    place: Path, language: str, count: int, args: argparse.Namespace, peers: _Peers
) -> list[Table]:
    lamina = Lamina(place.parent / f"{place.name}.store")
    root = _program(place, language, count, args.format)
    lamina.package("//:main", root)
    cases = list(_cases(lamina, root, peers))
    title = f"{language}, {count} {args.format} layers"
    known = [name for name in (_PLAIN, _DOCKER) if any(case.name == name for case in cases)]
    return measure(title, cases, args.rounds, peers=known)


def _cases(lamina: Lamina, root: Path, peers: _Peers) -> Iterator[Case]:
    out = root / "out"
    env = environment()
    lamina(
        "package", "-q", "--format", "dir", "-o", str(out), "--version", "v", "//:main", cwd=root
    )
    (plain,) = (path for path in out.iterdir() if path.is_dir())
    yield Case(_PLAIN, partial(first_line, [str(plain / "main")], root, env))
    yield Case("lamina exec", partial(lamina.first_line, "exec", "main", cwd=root))
    for driver in lamina.drivers:
        words = ("exec", "--driver", driver, "main")
        yield Case(f"exec --driver {driver}", partial(lamina.first_line, *words, cwd=root))
    contained = ("exec", "--contain", "main")
    yield Case("exec --contain", partial(lamina.first_line, *contained, cwd=root))
    words_of_tar = ("--format", "tar.gz", "-o", str(out), "--version", "v", "//:main")
    lamina("package", "-q", *words_of_tar, cwd=root)
    (archive,) = out.glob("*.tar.gz")
    yield Case("tar -xzf, and run", partial(_unpacked, archive, root / "unpacked", env))
    lamina(
        "package", "-q", "--format", "xar", "-o", str(out), "--version", "v", "//:main", cwd=root
    )
    (xar,) = out.glob("*.xar")
    theirs = os.environ.get("XAREXEC_FUSE") or shutil.which("xarexec_fuse")
    if theirs:
        yield Case("xarexec_fuse, one XAR", partial(_mounted_anew, [theirs, str(xar)], root, env))
    if peers.base is None or peers.docker is None:
        return
    yield from _engines(lamina, root, out, peers)


def _engines(lamina: Lamina, root: Path, out: Path, peers: _Peers) -> Iterator[Case]:
    assert peers.docker is not None
    assert peers.base is not None
    words = ("--format", "docker", "--base", str(peers.base), "--version", root.name)
    lamina("package", "-q", *words, "-o", str(out), "//:main", cwd=root)
    (image,) = out.glob("*docker*")
    peers.docker("load", "--input", image)
    name = f"main:{root.name}"
    client = [shutil.which("docker") or "docker", "-H", _address(out)]
    env = environment()
    started = [*client, "run", "--rm", "--network", "host", name]
    yield Case(_DOCKER, partial(first_line, started, root, env))
    bundle = _bundle(peers, root)
    if peers.runc:
        words_of_runc = [peers.runc, "run", "-b", str(bundle), f"lb{os.getpid()}"]
        yield Case("runc, unpacked root", partial(first_line, words_of_runc, root, env))
    if peers.podman:
        podman = ["podman", "--root", str(out.parents[1] / "podman"), "--runtime", "runc"]
        servers.call(*podman, "load", "-i", image)
        limits = ("--ulimit", "nproc=4096", "--ulimit", "nofile=1024")
        run = [*podman, "run", "--rm", "--network", "host", *limits, f"docker.io/library/{name}"]
        yield Case("podman run", partial(first_line, run, root, env))


def _address(out: Path) -> str:
    return f"unix://{out.parents[1]}/docker.sock"


def _bundle(peers: _Peers, root: Path) -> Path:
    """The package's files in an unpacked root file system, as runc runs them."""
    bundle = root / "bundle"
    inner = bundle / "rootfs"
    inner.mkdir(parents=True)
    servers.call("tar", "-C", inner, "-xf", peers.base or "")
    (plain,) = (path for path in (root / "out").iterdir() if path.is_dir())
    shutil.copytree(plain, inner / "packages" / "main", symlinks=True)
    if peers.runc:
        servers.call(peers.runc, "spec", cwd=bundle)
        spec = json.loads((bundle / "config.json").read_text())
        spec["process"] |= {"terminal": False, "args": ["/packages/main/main"]}
        spec["process"].pop("rlimits", None)
        spec["process"]["env"].append("PYTHONUNBUFFERED=1")
        spec["linux"]["namespaces"] = [
            each for each in spec["linux"]["namespaces"] if each["type"] != "network"
        ]
        (bundle / "config.json").write_text(json.dumps(spec))
    return bundle


def _unpacked(archive: Path, to: Path, env: dict[str, str]) -> Figures:
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    script = f'tar -C "{to}" -xzf "{archive}" && exec "{to}/main"'
    return first_line(["/bin/sh", "-c", script], to.parent, env)


def _mounted_anew(argv: list[str], cwd: Path, env: dict[str, str]) -> Figures:
    """What stays mounted for the next start is taken down before."""
    for folder in ("/mnt/xarfuse", f"/dev/shm/uid-{os.geteuid()}"):
        servers.unmount_below(Path(folder))
    return first_line(argv, cwd, env)


def _cold(place: Path, args: argparse.Namespace, peers: _Peers) -> list[Table]:
    """The same with the caches of the whole machine dropped before each start."""
    lamina = Lamina(place.parent / f"{place.name}.store")
    root = _program(place, "python", 8, args.format)
    lamina.package("//:main", root)
    cases = [Case(case.name, partial(_dropped, case.once)) for case in _cases(lamina, root, peers)]
    if not drop_caches():
        print("caches may not be dropped here, so nothing was measured cold")
        return []
    known = [name for name in (_PLAIN, _DOCKER) if any(case.name == name for case in cases)]
    return measure(
        "python, 8 layers, nothing in memory", cases, max(args.rounds // 3, 1), peers=known
    )


def _dropped(once: Callable[[], Figures]) -> Figures:
    drop_caches()
    return once()


def _memory(place: Path, jobs: int) -> str:
    """What so many jobs at once take, of 1 and of 127 layers: a table."""
    rows = [["driver", "layers", "MiB for each job", "KiB for each layer", "all begun after"]]
    for driver in Lamina(place).drivers:
        alone = 0.0
        for count in (1, 127):
            lamina = Lamina(place / f"{count}.store")
            root = place / f"{count}"
            if not root.exists():
                root = _program(root, "python", count, "xar")
                (root / "main.py").write_text(
                    'import time\nprint("ready", flush=True)\ntime.sleep(600)\n'
                )
                lamina.package("//:main", root)
            used, seconds = _at_once(lamina, root, driver, jobs)
            more = max(used - alone, 0.0) / (count - 1) if count > 1 else 0.0
            alone = alone or used
            rows.append(
                [
                    driver, str(count), f"{used / jobs / (1 << 20):.1f}",
                    f"{more / jobs / 1024:.1f}" if count > 1 else "", f"{seconds:.2f} s",
                ]
            )  # fmt: skip
    return f"{jobs} jobs at once\n{aligned(rows)}"


def _at_once(lamina: Lamina, root: Path, driver: str, jobs: int) -> tuple[float, float]:
    """Bytes that are not available while so many jobs sleep, and how long they took to begin."""
    words = [*lamina.command, "exec", "--driver", driver, "main"]
    before = statistics.median(_available() for _ in range(3))
    begun = time.perf_counter()
    running = [
        subprocess.Popen(
            words, cwd=root, env=lamina.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, start_new_session=True,
        )
        for _ in range(jobs)
    ]  # fmt: skip
    try:
        for each in running:
            assert each.stdout is not None
            if each.stdout.read(1) != b"r":
                raise RuntimeError("a job has not begun")
        seconds = time.perf_counter() - begun
        time.sleep(0.5)
        return max(before - _available(), 0.0), seconds
    finally:
        for each in running:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()
            assert each.stdout is not None
            each.stdout.close()


def _available() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError("this kernel tells no memory that is available")
