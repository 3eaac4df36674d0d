"""Packages as one XAR file, run by `xarexec`, and by the program of XAR's authors where it is."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.formats import xar
from tests.conftest import NO_XAREXEC_FUSE, XAREXEC_FUSE, wheel

from .test_forms import LAST_LINE, SOURCES, Lamina, output, packaged

SEED = f"test{os.getpid()}-xar"


@pytest.fixture(autouse=True)
def unmounted() -> Iterator[None]:
    """XAR files are mounted where everybody's are; what a test has mounted is taken down."""
    yield
    for where in xar_mounts():
        subprocess.run(["fusermount3", "-u", where], check=True)
        where.rmdir()
        where.with_name(f"lockfile.{where.name}").unlink()


def xar_mounts() -> list[Path]:
    """Those of this process: tests beside it have others."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [Path(line.split()[4]) for line in lines if "squashfuse" in line and "/uid-" in line]
    return [where for where in found if SEED in where.name]


@pytest.fixture(autouse=True)
def fuse() -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is closed to this user")


@pytest.fixture(params=["xarexec", "xarexec_fuse"])
def interpreter(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a XAR names in its first line: ours by that name, or that of XAR's authors."""
    program = tmp_path / "bin/xarexec_fuse"
    program.parent.mkdir()
    command = f"{sys.executable} -m lamina.cli.xarexec"
    if request.param == "xarexec_fuse":
        if XAREXEC_FUSE is None:
            pytest.skip(NO_XAREXEC_FUSE)
        command = XAREXEC_FUSE
    program.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCES} exec {command} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def xarexec(interpreter: Path) -> Callable[..., str]:
    """Runs it with a mount for each time: files of one content have one UUID."""
    times = itertools.count()

    def run(*words: str | Path) -> str:
        return output(interpreter, *words, XAR_MOUNT_SEED=f"{SEED}-{next(times)}")

    return run


def test_xarexec_runs_it(lamina: Lamina, article: Path, xarexec: Callable[..., str]) -> None:
    made = packaged(lamina, article, "//:A", "xar", "--version", "v7")

    assert xarexec(made).splitlines()[-1] == LAST_LINE
    assert os.access(made, os.X_OK)
    header = xar.decode(made.read_bytes()[:4096])
    assert (header.version, header.target, header.trampolines) == ("v7", "A", ())


def test_it_runs_in_every_compression(
    lamina: Lamina, article: Path, xarexec: Callable[..., str]
) -> None:
    for compression in ("gzip", "lz4", "xz", "none"):
        made = packaged(lamina, article, "//:A", "xar", "--compression", compression)

        assert xarexec(made).splitlines()[-1] == LAST_LINE


def test_a_native_program_gets_its_arguments(
    lamina: Lamina, copy_of: Callable[..., Path], xarexec: Callable[..., str]
) -> None:
    made = packaged(lamina, copy_of("hello-cxx"), "//:hello", "xar")

    assert xarexec(made, "a b") == "HELLO, A B!\n"


def test_each_layer_is_mounted_by_itself(
    lamina: Lamina, article: Path, xarexec: Callable[..., str]
) -> None:
    layers = packaged(lamina, article, "//:A", "layers")
    shown = set()
    for layer in layers.glob("*.xar"):
        where = Path(xarexec("-m", layer).removesuffix("\n"))
        shown |= {str(path.relative_to(where)) for path in where.rglob("*") if path.is_file()}

    whole = packaged(lamina, article, "//:A", "dir")

    files = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    assert shown == files - {".lamina/version"}


def test_console_scripts_are_started_by_their_names(
    lamina: Lamina, pure: Path, xarexec: Callable[..., str], tmp_path: Path
) -> None:
    add_wheel(pure)
    made = packaged(lamina, pure, "//:app", "xar")

    header = xar.decode(made.read_bytes()[:4096])
    assert header.trampolines == ("app", "greet", "invoke_xar_via_trampoline")
    assert xarexec(made).startswith("deep.er.mod __main__")
    link = tmp_path / "greet"
    link.symlink_to(made)
    assert xarexec(link, "a b") == "greet ['a b'] None\n"


def test_it_runs_by_itself_where_its_interpreter_is_installed(
    lamina: Lamina, pure: Path, tmp_path: Path, interpreter: Path
) -> None:
    add_wheel(pure)
    made = packaged(lamina, pure, "//:app", "xar", "--version", "v7")
    (tmp_path / "greet").symlink_to(made)
    path = f"{interpreter.parent}:{os.environ['PATH']}"

    words = output(made, "x", PATH=path, XAR_MOUNT_SEED=SEED)
    greeted = output("./greet", "x", cwd=tmp_path, PATH=path, XAR_MOUNT_SEED=SEED)
    environment = {**os.environ, "PATH": path, "XAR_MOUNT_SEED": SEED, "CODE": "7"}
    done = subprocess.run([made], env=environment)

    assert words == "deep.er.mod __main__ ['--given', 'two words', 'x'] it's v7\n"
    assert greeted == "greet ['x'] None\n"
    assert done.returncode == 7


def add_wheel(root: Path) -> None:
    files = {
        "greeter.py": "import os, sys\n"
        "class greeter:\n"
        "    def main():\n"
        "        print(sys.argv[0], sys.argv[1:], os.environ.get('LAMINA_MAIN'))\n",
        "greeter-1.dist-info/entry_points.txt": (
            "[console_scripts]\ngreet = greeter:greeter.main\n"
        ),
    }
    wheel(root / "greeter-1-py3-none-any.whl", files)
    build = (root / "BUILD").read_text().replace('[":lib"]', '[":lib", ":greeter"]')
    rule = 'prebuilt_python_library(name = "greeter", binary_src = "%s")\n'
    (root / "BUILD").write_text(rule % "greeter-1-py3-none-any.whl" + build)
