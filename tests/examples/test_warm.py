"""The second start of a package does without most of lamina, and is still the same start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lamina.core.container import Limits
from lamina.linux import process
from lamina.node import running
from lamina.store import starts
from tests import launcher
from tests.kernel.contained import limits_hold

Lamina = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver `kernel` is for root")

_PROGRAM = """\
import os, sys
line = ["one", *sys.argv[1:], os.environ.get("GIVEN"), os.environ["LAMINA_PACKAGE"][:10]]
print(*line, os.getcwd(), flush=True)
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
# A container is not the process that lamina is: it is told there.
from lamina.node import supervise
begin = supervise.start
def begun(wanted):
    dear = {"argparse", "dataclasses", "pathlib", "typing", "enum", "json", "hashlib", "re"}
    print("cold" if dear & set(sys.modules) else "warm", flush=True)
    return begin(wanted)
supervise.start = begun
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
    command: tuple[str, ...] = (sys.executable, "-S", "-c", _TOLD)

    def start(
        self, *words: str, code: int = 0, given: str = "", at: str = "", **more: str
    ) -> list[str]:
        """The lines that a start prints, the first of which is `warm` or `cold`."""
        done = self.run(*words, given=given, at=at, **more)
        assert done.returncode == code, done.stderr
        lines = done.stdout.splitlines()
        # What Python has no part in is told by nobody.
        return lines if code == 125 or lines[:1] in (["cold"], ["warm"]) else ["warm", *lines]

    def run(
        self, *words: str, given: str = "", at: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """A start to its end."""
        started = self.begin(*words, at=at, stdin=subprocess.PIPE, **more)
        out, said = started.communicate(given, timeout=60)
        return subprocess.CompletedProcess(words, started.returncode, out, said)

    def begin(
        self, *words: str, at: str = "", stdin: int = subprocess.DEVNULL, **more: str
    ) -> subprocess.Popen[str]:
        """A start that runs."""
        return subprocess.Popen(
            [*self.command, "exec", *words],
            cwd=at or self.root,
            env={
                **os.environ,
                "LAMINA_STORE": str(self.store),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **self.environment,
                **more,
            },
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def package(self, line: str) -> None:
        """Package the program as one that prints another word."""
        self.program(_PROGRAM.replace('"one"', f'"{line}"'))

    def program(self, text: str) -> None:
        """Package another program."""
        (self.root / "program.py").write_text(text)
        done = self.lamina(self.root, "package", "-q", "//:program")
        assert done.returncode == 0, done.stderr

    def layers(self) -> list[Path]:
        """The files of layers in the store."""
        found = (path for path in (self.store / "blobs").rglob("*") if path.is_file())
        return [path for path in found if path.read_bytes()[4096:4100] == b"hsqs"]


@pytest.fixture(params=["kernel", "fuse", "native", "native-fuse"])
def bench(lamina: Lamina, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """By either driver, as the one that this machine allows; by Python, and by the launcher."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(_BUILD)
    environment = {"WITHOUT_KERNEL": "1"} if "fuse" in request.param else {}
    found = Bench(lamina, root, tmp_path / "store", environment)
    if "native" in request.param:
        found = replace(found, command=(launcher.beside(tmp_path, _TOLD),))
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
    other = replace(bench, store=tmp_path / "other")

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


@pytest.mark.parametrize("words", [("--driver", "copy"), ("--writable", "tmpfs")])
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
    child = bench.begin("program", "--", "read", stdin=subprocess.PIPE)
    assert child.stdout is not None
    assert next(line for line in child.stdout if line != "warm\n").startswith("one")

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


@pytest.mark.parametrize("words", [(), ("--contain", "--env", "*")])
def test_a_warm_start_tells_its_times_too(
    bench: Bench, tmp_path: Path, words: tuple[str, ...]
) -> None:
    bench.program("import os; print(os.environ.get('LAMINA_REPORT'))\n")
    place = tmp_path / "times"
    for kind in ("cold", "warm"):
        place.unlink(missing_ok=True)
        assert bench.start(*words, "program", LAMINA_REPORT=str(place)) == [kind, "None"]
        times = json.loads(place.read_text())
        steps = ["begin", "pulled", "mounted", "started"]
        assert list(times) == steps
        assert sorted(times.values()) == list(times.values())


@pytest.mark.parametrize("words", [(), ("--contain", "--env", "*")])
def test_no_program_sees_what_came_with_its_job(bench: Bench, words: tuple[str, ...]) -> None:
    bench.program("import os; print(os.environ.get('LAMINA_CARRIED'))\n")

    for kind in ("cold", "warm"):
        assert bench.start(*words, "program", LAMINA_CARRIED="1:any") == [kind, "None"]


CRUN = pytest.mark.skipif(process.find("crun") is None, reason="`crun` is not installed")


@CRUN
def test_the_second_container_is_warm_and_the_same(bench: Bench) -> None:
    words = ("--contain", "--env", "A=1", "program", "--", "two words", "read")

    cold, *first = bench.start(*words, given="typed")
    warm, *second = bench.start(*words, given="typed")

    assert (cold, warm) == ("cold", "warm")
    assert first == second
    assert first == ["one two words read a=b /packages/ /", "typed"]


@CRUN
def test_what_differs_between_containers_is_that_of_each_start(bench: Bench) -> None:
    code = "import os; print(os.getcwd(), os.environ.get('OUTER'), os.environ.get('A', ''))"
    bench.program(f"import sys; exec(sys.argv[1]); {code}\n")
    words = ("--contain", "--env", "OUT*", "--env", "A", "program", "--")
    look = "import os; print(os.uname()[1]); print(open('/proc/1/cmdline').read().count('exec'))"

    told = [bench.start(*words, look, OUTER=each, A=each, at="/usr") for each in ("one", "two")]
    more = bench.start(*words, "print(*sys.argv[2:])", "", '"', "é", "\x7f", at="/etc")

    assert [each[0] for each in told] == ["cold", "warm"]
    assert [each[-1] for each in told] == ["/usr one one", "/usr two two"]
    assert told[0][1] != told[1][1]  # the name of the machine is the id of the container
    assert more == ["warm", ' " é \x7f', "/etc None "]


@CRUN
def test_what_is_kept_of_a_container_is_for_its_user_alone(bench: Bench) -> None:
    bench.start("--contain", "--env", "TOKEN=hunter2", "program")

    (record,) = (bench.store / "starts").iterdir()

    assert "hunter2" not in record.name
    assert record.stat().st_mode & 0o077 == 0


@CRUN
def test_a_warm_containers_end_is_its_own(bench: Bench) -> None:
    for kind in ("cold", "warm"):
        assert bench.start("--contain", "program", "--", "exit", code=7)[0] == kind


@CRUN
@pytest.mark.parametrize(("name", "value"), [("HOME", "/tmp"), ("LANG", "C")])
def test_another_world_outside_is_another_container(bench: Bench, name: str, value: str) -> None:
    changed = replace(bench, environment={**bench.environment, name: value})
    assert bench.start("--contain", "program")[0] == "cold"

    assert changed.start("--contain", "program")[0] == "cold"
    assert changed.start("--contain", "program")[0] == "warm"


@CRUN
def test_other_words_make_another_container(bench: Bench) -> None:
    bench.start("--contain", "program")

    assert bench.start("--contain", "--hostname", "x", "program")[0] == "cold"
    assert bench.start("--hostname", "x", "--contain", "program")[0] == "cold"
    assert bench.start("--hostname", "x", "--contain", "program")[0] == "warm"
    assert bench.start("program")[0] == "cold"


@CRUN
@pytest.mark.parametrize(
    "words",
    [("--user", "0"), ("--volume", "/etc:/tmp/x"), ("--pull", "missing"), ("--driver", "kernel"),
     ("--runtime", "bwrap"), ("--writable", "tmpfs")],
)  # fmt: skip
def test_containers_that_depend_on_more_are_found_out_each_time(
    bench: Bench, words: tuple[str, ...]
) -> None:
    if "WITHOUT_KERNEL" in bench.environment and "kernel" in words:
        pytest.skip("this is another driver then")

    assert [bench.start("--contain", *words, "program")[0] for _ in range(2)] == ["cold", "cold"]


@CRUN
def test_limits_hold_in_a_warm_container_and_want_of_memory_is_told(bench: Bench) -> None:
    if not limits_hold(Limits(memory=1 << 26, pids=50)):
        pytest.skip("this machine lacks controllers")
    bench.program("import sys; exec(sys.argv[1])\n")
    words = ("--memory", "64m", "--pids", "20", "program", "--")
    assert bench.start(*words, "1")[0] == "cold"

    killed = bench.run(*words, "x = bytearray(300 << 20)")
    bomb = bench.run(*words, "import os\nwhile True: os.fork()")

    assert (killed.returncode, bomb.returncode) == (137, 1)
    assert killed.stdout == "warm\n"
    assert "at the limit of 64 MiB" in killed.stderr
    assert "Resource temporarily unavailable" in bomb.stderr


@CRUN
def test_signals_reach_a_warm_container(bench: Bench) -> None:
    bench.program(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3));"
        " print('ready', flush=True); time.sleep(float(sys.argv[1]))\n"
    )
    bench.start("--contain", "program", "--", "0")
    started = bench.begin("--contain", "program", "--", "300")
    assert started.stdout is not None
    assert [started.stdout.readline() for _ in range(2)] == ["warm\n", "ready\n"]

    started.terminate()

    assert started.wait(30) == 3


@CRUN
def test_a_warm_container_is_listed_and_a_kill_leaves_nothing(bench: Bench) -> None:
    bench.start("--contain", "program")
    started = bench.begin("--contain", "program", "--", "read", stdin=subprocess.PIPE)
    assert started.stdout is not None
    assert [started.stdout.readline()[:4] for _ in range(2)] == ["warm", "one "]
    listed = [each for each in running.every() if each.supervisor == started.pid]
    assert [(each.title.partition("-")[0], each.label, each.command[-1]) for each in listed] == [
        ("program", "//:program", "read")
    ]
    folders = [listed[0].folder, *listed[0].cgroup.folders]
    assert all(map(os.path.isdir, folders))

    started.kill()

    started.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while any(map(os.path.exists, folders)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@CRUN
def test_a_record_of_another_form_is_not_used(bench: Bench) -> None:
    bench.start("--contain", "program")
    (record,) = (bench.store / "starts").glob("0-%*")
    found = starts.decode(record.read_bytes())
    assert found is not None
    found.walls = found.walls[:-3]
    record.write_bytes(starts.encode(found))

    assert bench.start("--contain", "program")[0] == "cold"
    assert bench.start("--contain", "program")[0] == "warm"


@CRUN
def test_a_runtime_that_fails_is_told_by_a_warm_start_too(bench: Bench) -> None:
    bench.start("--contain", "program")
    (record,) = (bench.store / "starts").glob("0-%*")
    whole = record.read_bytes()
    assert whole.count(b"/dev/mqueue") == 1
    record.write_bytes(whole.replace(b"/dev/mqueue", b"/usr/no/such"))

    done = bench.run("--contain", "program")

    assert done.returncode == 125
    assert done.stdout == "warm\n"
    assert "`crun` can not start the container: " in done.stderr
