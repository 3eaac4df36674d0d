"""The second start of a package does without most of lamina, and is still the same start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver `kernel` is for root")

_PROGRAM = """\
import os, sys
print("one", *sys.argv[1:], os.environ.get("GIVEN"), os.environ["LAMINA_PACKAGE"][:10], os.getcwd())
if "read" in sys.argv:
    print(sys.stdin.read())
if "exit" in sys.argv:
    sys.exit(7)
"""
_BUILD = 'python_binary(name = "program", srcs = ["program.py"], env = {"GIVEN": "a=b"})\n'
# Tells what the program was started with, in the instant before.
_TOLD = """\
import os, sys
real = os.execve
def told(*words):
    dear = {"argparse", "dataclasses", "pathlib", "typing", "enum", "json", "hashlib", "re"}
    print("cold" if dear & set(sys.modules) else "warm", flush=True)
    real(*words)
os.execve = told
from lamina.node import warm
if "WITHOUT_KERNEL" in os.environ:
    start = warm.start
    def once(*words):
        code = start(*words)
        from lamina.linux import drivers
        drivers._missing_for_kernel = lambda: ["loop devices"]
        return code
    warm.start = once
from lamina.cli.start import program
sys.exit(program())
"""


@dataclass(frozen=True)
class Bench:
    """A package `program`, and starts of it."""

    lamina: Lamina
    root: Path
    store: Path
    environment: dict[str, str]  # besides the usual one

    def start(self, *words: str, code: int = 0, given: str = "", **more: str) -> list[str]:
        """The lines that a start prints, the first of which is `warm` or `cold`."""
        done = subprocess.run(
            [sys.executable, "-S", "-c", _TOLD, "exec", *words],
            cwd=self.root,
            env={
                **os.environ,
                "LAMINA_STORE": str(self.store),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **self.environment,
                **more,
            },
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout.splitlines()

    def package(self, line: str) -> None:
        """Package the program as one that prints another word."""
        text = _PROGRAM.replace('"one"', f'"{line}"')
        (self.root / "program.py").write_text(text)
        done = self.lamina(self.root, "package", "-q", "//:program")
        assert done.returncode == 0, done.stderr

    def layers(self) -> list[Path]:
        """The files of layers in the store."""
        found = (path for path in (self.store / "blobs").rglob("*") if path.is_file())
        return [path for path in found if path.read_bytes()[4096:4100] == b"hsqs"]


@pytest.fixture(params=["kernel", "fuse"])
def bench(lamina: Lamina, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """By either driver, as the one that this machine allows."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(_BUILD)
    environment = {"WITHOUT_KERNEL": "1"} if request.param == "fuse" else {}
    found = Bench(lamina, root, tmp_path / "store", environment)
    found.package("one")
    return found


def test_the_second_start_is_warm_and_the_same(bench: Bench) -> None:
    words = ("program", "--", "two words", "--", "read")

    cold, *first = bench.start(*words, given="typed")
    warm, *second = bench.start(*words, given="typed")

    assert (cold, warm) == ("cold", "warm")
    assert first == second == [f"one two words -- read a=b /packages/ {bench.root}", "typed"]


def test_the_programs_end_is_its_own(bench: Bench) -> None:
    for kind in ("cold", "warm"):
        assert bench.start("program", "--", "exit", code=7)[0] == kind


def test_a_name_that_means_another_package_starts_that(bench: Bench) -> None:
    bench.start("program")
    bench.package("two")

    assert bench.start("program")[0] == "cold"

    warm, line = bench.start("program")
    assert (warm, line.split()[0]) == ("warm", "two")


def test_a_package_by_digest_and_by_version_is_warm_too(bench: Bench) -> None:
    told = bench.lamina(bench.root, "package", "-q", "--version", "v1", "//:program").stdout
    by_digest = next(word for word in told.split() if "@sha256:" in word)

    for reference in ("program:v1", by_digest):
        assert bench.start(reference)[0] == "cold"
        assert bench.start(reference)[0] == "warm"


def test_what_was_pulled_is_warm_without_its_repository(bench: Bench, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/hub:v1"
    assert bench.lamina(bench.root, "push", "program", place).returncode == 0
    other = Bench(bench.lamina, bench.root, tmp_path / "other", bench.environment)

    kinds = [other.start(place)[0] for _ in range(3)]
    shutil.rmtree(tmp_path / "hub")

    assert kinds[0] == "cold"
    assert kinds[-1] == "warm"
    assert other.start(place)[0] == "warm"


def test_a_damaged_layer_is_found_and_not_run(bench: Bench) -> None:
    bench.start("program")
    (layer,) = bench.layers()
    layer.chmod(0o644)
    with layer.open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\0\0\0damage")

    assert bench.start("program", code=125) == []
    assert not layer.exists()


def test_a_layer_that_is_gone_is_missed(bench: Bench) -> None:
    bench.start("program")
    (layer,) = bench.layers()
    layer.unlink()

    assert bench.start("program", code=125) == []


def test_a_policy_holds_from_its_first_instant(bench: Bench, tmp_path: Path) -> None:
    bench.start("program")
    assert bench.start("program")[0] == "warm"
    policy = tmp_path / "policy.toml"
    policy.write_text('[[trust.rule]]\npackages = ["*"]\nkeys = ["none.pub"]\n')

    assert bench.start("program", code=125, LAMINA_POLICY=str(policy)) == []


@pytest.mark.parametrize("words", [("--driver", "copy"), ("--writable", "tmpfs"), ("--contain",)])
def test_other_starts_are_found_out_each_time(bench: Bench, words: tuple[str, ...]) -> None:
    bench.start("program")

    assert "warm" not in bench.start(*words, "program")


def test_what_gc_removes_takes_the_record_with_it(bench: Bench) -> None:
    bench.start("program")
    bench.start("program")
    assert list((bench.store / "starts").iterdir())

    assert bench.lamina(bench.root, "cache", "gc", "--max", "0").returncode == 0

    assert not list((bench.store / "starts").iterdir())
    assert bench.start("program", code=125) == []


def test_a_lease_holds_while_a_warm_start_runs(bench: Bench) -> None:
    bench.start("program")
    child = subprocess.Popen(
        [sys.executable, "-m", "lamina.cli", "exec", "program", "--", "read"],
        cwd=bench.root,
        env={**os.environ, "LAMINA_STORE": str(bench.store), **bench.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline().startswith("one")

    bench.lamina(bench.root, "cache", "gc", "--max", "0")

    assert bench.layers()
    assert child.communicate("typed")[0] == "typed\n"
    assert bench.start("program")[0] == "warm"


def test_layers_that_were_merged_are_mounted_as_that(bench: Bench) -> None:
    names = [f"part{number}" for number in range(60)]
    for name in names:
        (bench.root / f"{name}.py").write_text("")
    parts = "".join(f'python_library(name = "{name}", srcs = ["{name}.py"])\n' for name in names)
    deps = ", ".join(f'":{name}"' for name in names)
    (bench.root / "BUILD").write_text(parts + _BUILD.replace("srcs =", f"deps = [{deps}], srcs ="))
    bench.package("many")
    bench.start("program")
    notes = [path for path in (bench.store / "made").rglob("*") if path.is_file()]
    assert notes
    for note in notes:
        os.utime(note, (0, 0))

    assert bench.start("program")[0] == "warm"

    assert any(note.stat().st_mtime for note in notes)
