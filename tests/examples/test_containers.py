"""Containers by the command line: `run`, `exec`, `ps`, `enter`, `stats`, `[run]` of lamina.toml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.node import contain, probing, runtimes
from lamina.node.runtimes import CRUN, NAMES, RUNC, Runtime

SOURCES = Path(__file__).parents[2] / "src"
BUILD = "python_binary(name = 'main', srcs = ['main.py'], env = {'MODE': 'own'})\n"
MAIN = """
import os, sys, time
print(os.environ["MODE"], flush=True)
exec(sys.argv[1])
"""
TOLD = "os.getcwd(), os.uname().nodename, os.environ['OTHER']"


@pytest.fixture(scope="module")
def works() -> set[str]:
    """The runtimes that work here."""
    return {each.name for each in runtimes.every(probing.attempt) if each.works}


@dataclass(frozen=True)
class Project:
    """A workspace with a program that does what it is told, packaged as `name`."""

    root: Path
    version: str
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"main:{self.version}"

    @property
    def title(self) -> str:
        return f"main-{self.version}"

    def command(self, *words: str, switches: Sequence[str] = ()) -> list[str]:
        return [sys.executable, *switches, "-m", "lamina.cli", *words]

    def __call__(
        self, *words: str, switches: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, switches=switches),
            cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.root, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture(scope="module")
def project(works: set[str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    if not works:
        pytest.skip("no runtime of containers works here")
    if os.geteuid() and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is closed to this user")
    folder = tmp_path_factory.mktemp("containers")
    (folder / "w").mkdir()
    (folder / "w/lamina.toml").touch()
    (folder / "w/BUILD").write_text(BUILD)
    (folder / "w/main.py").write_text(MAIN)
    environment = {
        **os.environ, "LAMINA_STORE": str(folder / "store"), "PYTHONPATH": str(SOURCES),
    }  # fmt: skip
    # A version that no other test has: `ps` shows all containers of this user.
    made = Project(folder / "w", f"v{os.getpid()}", environment)
    done = made("package", "//:main", "--version", made.version)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def sleeping(project: Project) -> Iterator[Callable[..., None]]:
    """`sleeping("--memory", "1g")` starts a container that stays for the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        started.append(project.start("exec", project.name, *words, "--", "time.sleep(1000)"))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == b"own\n"

    yield start
    for each in started:
        each.terminate()
        each.communicate(timeout=60)


def test_run_and_exec_with_walls_give_the_programs_exit_code(project: Project) -> None:
    ran = project("run", "//:main", "--contain", "--", "print(os.getpid()); sys.exit(5)")
    words = ("--env", "OTHER=told", "--workdir", "/usr", "--hostname", "walled")
    executed = project("exec", project.name, *words, "--", f"print({TOLD})")
    bare = project("exec", project.name, "--", "print(os.getpid() > 10)")

    assert (ran.returncode, executed.returncode, bare.returncode) == (5, 0, 0), ran.stderr
    assert ran.stdout.split()[:1] == ["own"]
    assert int(ran.stdout.split()[1]) < 20
    assert executed.stdout == "own\n/usr walled told\n"
    assert bare.stdout == "own\nTrue\n"


def test_the_workspace_says_how_its_programs_run(project: Project) -> None:
    (project.root / "lamina.toml").write_text(
        "[run]\ncontain = true\nhostname = 'told'\nenv = ['A=1']\n"
    )

    usual = project("run", "//:main", "--", "print(os.uname().nodename, os.environ['A'])")
    other = project("run", "//:main", "--env", "A=2", "--", "print(os.environ['A'])")
    (project.root / "lamina.toml").write_text("[run]\nmemroy = '1g'\ncontain = 'yes'\n")
    faulty = project("run", "//:main")
    (project.root / "lamina.toml").write_text("")

    assert usual.stdout == "own\ntold 1\n", usual.stderr
    assert other.stdout == "own\n2\n"
    assert "unknown key `memroy` in `[run]`" in faulty.stderr
    assert "did you mean `memory`" in faulty.stderr
    assert "`contain` in `[run]` takes `true` or `false`" in faulty.stderr


def test_a_dry_run_prints_the_bundle_and_runs_nothing(project: Project) -> None:
    words = ("--memory", "1g", "--dry-run", "--network", "none", "--", "never")
    done = project("exec", project.name, *words)

    found = json.loads(done.stdout)
    assert found["ociVersion"] == "1.0.2"
    assert found["process"]["args"][-1] == "never"
    assert found["linux"]["resources"]["memory"]["limit"] == 1 << 30
    assert {"type": "network"} in found["linux"]["namespaces"]


def test_containers_are_listed_measured_and_entered(
    sleeping: Callable[..., None], project: Project, works: set[str]
) -> None:
    sleeping("--memory", "200m", "--pids", "40")

    listed = json.loads(project("ps", "--json").stdout)["running"]
    told = json.loads(project("stats", project.title, "--json").stdout)["containers"]
    entered = project("enter", project.title, "--", "sh", "-c", "ls /packages; id -u; exit 9")
    absent = project("enter", project.title, "--", "/no/such/program")

    (row,) = [each for each in listed if each["package"] == project.title]
    assert row["runtime"] in works
    assert row["memory"] > 100_000
    assert abs(row["started"] - time.time()) < 120
    (usage,) = told
    assert usage["id"] == row["id"]
    if os.geteuid() == 0:
        assert (usage["memory_limit"], usage["pids_limit"]) == (200 << 20, 40)
    assert (entered.returncode, entered.stdout.split()[0]) == (9, project.title), entered.stderr
    assert absent.returncode not in (0, 9)


@pytest.mark.parametrize("runtime", NAMES)
def test_every_runtime_lets_enter_behind_the_same_walls(
    sleeping: Callable[..., None], project: Project, works: set[str], runtime: str
) -> None:
    if runtime not in works:
        pytest.skip(f"`{runtime}` does not work here")
    sleeping("--runtime", runtime)

    code = "grep -hE 'CapEff|NoNew|Seccomp:' /proc/self/status; unshare -U true || echo refused"
    entered = project("enter", project.title, "--", "sh", "-c", code)

    assert entered.stdout.split() == [
        "CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2", "refused",
    ], entered.stderr  # fmt: skip


def test_programs_without_walls_are_listed_too(project: Project) -> None:
    started = project.start("exec", project.name, "--", "sys.stdin.read()")
    assert started.stdout is not None
    started.stdout.readline()

    listed = json.loads(project("ps", "--json").stdout)["running"]
    started.communicate(b"", timeout=60)
    after = json.loads(project("ps", "--json").stdout)["running"]

    mine = [each for each in listed if each["pid"] == started.pid]
    assert [each["package"] for each in mine] == [project.title]
    assert mine[0]["runtime"] == "none"
    assert [each for each in after if each["pid"] == started.pid] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--memory", "lots"), "`--memory` takes a size such as `512m`"),
        (("--network", "bridge"), "no network is called `bridge`"),
        (("--runtime", "docker"), "no runtime is called `docker`"),
        (("--device", "vendor.com/gpu=0"), "tells of a device `vendor.com/gpu=0`"),
        (("-t",), "`-t` needs a terminal as standard input"),
        (("--read-only", "--writable", "tmpfs"), "`--read-only` and `--writable` contradict"),
        (("--mount", "type=bind,src=/no/such,dst=/x"), "there is no `/no/such` to show"),
        (("--user", "nobody-of-that-name"), "nobody-of-that-name"),
    ],
)
def test_what_can_not_be_is_told_before_anything_runs(
    project: Project, words: tuple[str, ...], complaint: str
) -> None:
    done = project("exec", project.name, *words, "--", "print('ran')")

    assert done.returncode == 125
    assert complaint in done.stderr
    assert "ran" not in done.stdout


def test_where_no_layer_can_be_mounted_a_container_shows_a_folder(project: Project) -> None:
    code = "print(__file__); open(__file__, 'a')"

    closed = project("exec", project.name, "--contain", "--driver", "copy", "--", code)
    words = ("--writable", "tmpfs", "--driver", "copy", "--contain")
    opened = project("exec", project.name, *words, "--", code)

    place = f"own\n/packages/{project.title}/main.py\n"
    assert (closed.returncode, closed.stdout) == (1, place)
    assert "Permission denied" in closed.stderr
    assert (opened.returncode, opened.stdout) == (0, place), opened.stderr


def test_enter_of_nothing_is_told(project: Project) -> None:
    done = project("enter", "no-such-container", "--", "true")

    assert done.returncode == 125
    assert "no container `no-such-container` runs" in done.stderr


def test_doctor_tells_of_runtimes(project: Project, works: set[str]) -> None:
    told = json.loads(project("doctor", "--json").stdout)

    found = {each["name"]: each["found"] for each in told["features"] if each["kind"] == "runtime"}
    assert {name for name, works_here in found.items() if works_here} == works
    assert told["runtime"] in {*works, "none"}
    assert told["control_groups"] in ("v1", "v2", "hybrid", "none")


def test_a_runtime_that_does_not_work_is_passed_by(tmp_path: Path) -> None:
    asked: list[str] = []

    def attempt(runtime: Runtime) -> str:
        asked.append(runtime.name)
        return "refuses" if runtime.name == CRUN else ""

    if not {CRUN, RUNC} <= {name for name in NAMES if runtimes._where(name)}:
        pytest.skip("crun and runc are not both installed")
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    before = dict(os.environ)
    os.environ |= environment
    try:
        known = runtimes._remembered(CRUN, attempt, anew=True)
        chosen = runtimes.choose(None, attempt)
    finally:
        os.environ.clear()
        os.environ |= before
        runtimes.every(contain._attempt)  # of root there is one record for all

    assert known.complaint == "refuses"
    assert chosen.name == RUNC


ASKED = ("--pull", "never")  # any option: all is found out then
WARM = {
    *("lamina.cli", "lamina.cli.start", "lamina.core", "lamina.core.errors"),
    *("lamina.linux", "lamina.node", "lamina.store", "lamina.store.trust"),
    *(f"lamina.linux.{name}" for name in ("environment", "fusemount", "identity", "loop")),
    *(f"lamina.linux.{name}" for name in ("namespaces", "rights", "signals", "syscalls")),
    *(f"lamina.node.{name}" for name in ("attach", "keeper", "served", "stack", "warm")),
    *(f"lamina.store.{name}" for name in ("claim", "place", "starts", "trust.places")),
}
WALLED = {
    *(f"lamina.core.{name}" for name in ("places", "plainjson", "variables")),
    *("lamina.linux.descendants", "lamina.linux.group"),
    *(f"lamina.node.{name}" for name in ("cell", "janitor", "state", "supervise")),
    *("lamina.node.walls", "lamina.node.warmwalls"),
}


def loaded(project: Project, *words: str) -> set[str]:
    """The modules that a start imports; an earlier one has looked at the layers."""
    done = project(
        "exec", project.name, *words, "--", "pass", switches=("-X", "importtime")
    )  # fmt: skip
    assert done.returncode == 0
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


DEAR_TO_A_WARM_START = {
    "argparse", "dataclasses", "enum", "json", "pathlib", "re", "shutil", "signal", "typing",
}  # fmt: skip
DEAR = {"subprocess", "tempfile", "tomllib", "httpx", "socket", "sqlite3", "cryptography"}


@pytest.mark.skipif(os.geteuid() != 0, reason="the driver `fuse` has modules of its own")
def test_a_start_loads_no_dear_module_and_a_bare_one_nothing_of_containers(
    project: Project,
) -> None:
    for words in ((), ("--contain",)):
        project("exec", project.name, *words, "--", "pass")
    warm, walled, bare, contained = (
        loaded(project, *words) for words in ((), ("--contain",), ASKED, ("--contain", *ASKED))
    )

    assert {name for name in warm if name.startswith("lamina.")} <= WARM
    assert {name for name in walled if name.startswith("lamina.")} <= {*WARM, *WALLED}
    for modules in (warm, walled):
        assert modules & {*DEAR, *DEAR_TO_A_WARM_START} == set()
    assert "lamina.node.launch" in bare
    assert bare & {*DEAR, "lamina.core.container", "lamina.node.contain"} == set()
    assert "lamina.node.contain" in contained
    assert contained & DEAR == set()
