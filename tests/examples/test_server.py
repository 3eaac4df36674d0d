"""Commands by a server are those without: through the launcher, which is their caller's process."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import launcher

# Where PROBE is set, `lamina query` tells what kind of process it is, or does what it says.
_PYTHON = """\
import json, os, resource, signal, sys, time
from lamina.cli import start
usual = start.program

def state():
    streams = [(s.encoding, s.errors, s.line_buffering, s.write_through, s.name, s.mode, s.newlines)
               for s in (sys.stdin, sys.stdout, sys.stderr)]
    files = [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
    files = [n for n in files if not os.readlink(f"/proc/self/fd/{n}").startswith("socket:")]
    return {
        "words": sys.argv, "all": sys.orig_argv, "flags": list(sys.flags), "path": sys.path,
        "streams": streams, "signals": [str(signal.getsignal(n)).split(" at ")[0]
                                        for n in range(1, 32)],
        "mask": sorted(signal.pthread_sigmask(0, [])), "environment": dict(os.environ),
        "order": list(os.environ), "umask": os.umask(0o22), "folder": os.getcwd(),
        "limits": [resource.getrlimit(n) for n in range(16)], "files": sorted(files),
        "threads": len(os.listdir("/proc/self/task")), "input": sys.stdin.read(),
    }

def program():
    what = os.environ.get("PROBE", "")
    if not what or sys.argv[1:2] != ["query"]:
        return usual()
    if what == "state":
        print(json.dumps(state()))
        print("told", file=sys.stderr)
        return 7
    if what == "fork":
        print(os.getppid(), flush=True)
        return 0
    if what == "exit":
        sys.exit("said")
    if what == "fault":
        raise ValueError("wrong")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    from lamina.cli import main
    from lamina.core.errors import Interrupted
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    main._catch_signals()
    try:
        print(os.getpid(), child, flush=True)
        # A signal that comes just before one of these sleeps begins waits for the next.
        for _ in range(int(float(what) / 0.05)):
            time.sleep(0.05)
        return 5
    except Interrupted as error:
        return error.exit_code
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

start.program = program
if __name__ == "__main__":
    sys.exit(program())
"""

_SETTLED = 0.15  # seconds


@dataclass(frozen=True)
class Served:
    """A launcher with a program in Python beside it, and commands by them."""

    command: str
    root: Path
    store: Path

    def environment(self, **more: str) -> dict[str, str]:
        found = {
            **os.environ,
            "LAMINA_STORE": str(self.store),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **more,
        }
        found.pop("LAMINA_SERVER_KEY", None)
        return found

    def run(
        self, *words: str, before: Sequence[str] = (), given: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, self.command, *words],
            cwd=self.root,
            env=self.environment(**more),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def begin(self, probe: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.command, "query", "x"],
            cwd=self.root,
            env=self.environment(PROBE=probe),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = json.loads(self.run("server", "status", "--json").stdout)[
            "server"
        ]
        return found

    def pid(self) -> int:
        found = self.status()
        assert found is not None
        return int(found["pid"])

    def count(self) -> int:
        found = self.status()
        assert found is not None
        return int(found["served"])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server that has started."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(
        'genrule(name = "made", outs = ["made.txt"], cmd = "echo made > $@")\n'
    )
    found = Served(launcher.beside(tmp_path, _PYTHON), root, tmp_path / "store")
    done = found.run("server", "start", "--idle", "60s")
    assert done.returncode == 0, done.stderr
    try:
        yield found
    finally:
        found.run("server", "stop")


def _wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def _pids(child: subprocess.Popen[str]) -> list[int]:
    assert child.stdout is not None
    return [int(word) for word in child.stdout.readline().split()]


def test_a_command_is_the_same_process_as_without(served: Served) -> None:
    by_server = served.run("query", "a b", given="in\r\n", PROBE="state", Z="1", A="é")
    assert served.count() == 1
    served.run("server", "stop")

    without = served.run("query", "a b", given="in\r\n", PROBE="state", Z="1", A="é")

    assert json.loads(by_server.stdout) == json.loads(without.stdout)
    assert (by_server.returncode, by_server.stderr) == (7, "told\n")


@pytest.mark.parametrize("variables", [{"PYTHONUNBUFFERED": "yes"}, {"LC_ALL": "C"}, {"LANG": "C"}])
def test_streams_are_as_the_interpreter_makes_them(
    served: Served, variables: dict[str, str]
) -> None:
    without = served.run("query", "x", PROBE="state", **variables)
    assert served.run("server", "start", **variables).returncode == 0

    by_server = served.run("query", "x", PROBE="state", **variables)
    told = json.loads(served.run("server", "status", "--json", **variables).stdout)
    served.run("server", "stop", **variables)

    assert json.loads(by_server.stdout) == json.loads(without.stdout)
    assert told["server"]["served"] == 1


@pytest.mark.parametrize("probe", ["exit", "fault", "kill"])
def test_ends_are_those_of_the_interpreter(served: Served, probe: str) -> None:
    by_server = served.run("query", "x", PROBE=probe)
    served.run("server", "stop")
    without = served.run("query", "x", PROBE=probe)

    assert by_server.returncode == without.returncode
    assert by_server.stderr.splitlines()[-1:] == without.stderr.splitlines()[-1:]


def test_builds_and_packages_by_a_server(served: Served) -> None:
    assert "nothing" not in served.run("build", "//:made").stderr
    again = served.run("build", "//:made")

    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert (served.root / "lamina-out/made.txt").read_text() == "made\n"
    assert served.run("build", "//:absent").returncode == 3
    assert served.count() == 3


def test_the_compiler_is_there_before_it_is_needed(served: Served) -> None:
    """From the second command on that compiles anything."""
    (served.root / "BUILD").write_text('python_binary(name = "p", srcs = ["p.py"])\n')
    server = served.pid()
    found: set[int] = set()
    for number in range(3):
        (served.root / "p.py").write_text(f"print({number})\n")
        done = served.run("build", "//:p")
        assert done.returncode == 0, done.stderr
        _wait_for(lambda: set(_compilers(server)) - found)
        (compiler,) = _compilers(server)
        found.add(compiler)
        program = served.root / "lamina-out/p.root/p"
        assert subprocess.run([program], capture_output=True, check=True).stdout == b"%d\n" % number

    assert len(found) == 3  # each command has its own, which ends with it
    _wait_for(lambda: sum(map(_is_gone, found)) == 2)
    served.run("server", "stop")
    _wait_for(lambda: all(map(_is_gone, found)))


def test_who_waits_for_a_command_has_memory_of_its_own(served: Served) -> None:
    """And gets it when no call has come for a while: what the one before has begun comes first."""
    server = served.pid()
    for _ in range(2):
        assert served.run("targets", "//...").returncode == 0
        _wait_for(lambda: len(_children(server)) == 1)
        _wait_for(lambda: _own_memory(_children(server)[0]) > 10 << 20)


def _own_memory(pid: int) -> int:
    """Bytes that are written to and shared with nobody."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) << 10
    return 0


def _compilers(server: int) -> list[int]:
    """The resident programs that a spare process of a server holds."""
    found = []
    for spare in _children(server):
        for child in _children(spare):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes()
                if words.split(b"\0")[0].endswith(b"bwrap"):
                    found.append(child)
    return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="not everybody may mount")
def test_packages_move_and_jobs_run_by_a_server(served: Served, tmp_path: Path) -> None:
    (served.root / "BUILD").write_text('python_binary(name = "program", srcs = ["program.py"])\n')
    program = served.root / "program.py"
    place = f"oci:{tmp_path}/hub"
    for number, word in enumerate(("one", "two")):
        program.write_text(f"import os; print({word!r}, os.environ['RANK'])\n")
        homes = {f"XDG_{each}_HOME": str(tmp_path / each) for each in ("STATE", "CONFIG")}
        done = served.run("push", "-q", "//:program", f"{place}/program", **homes)
        assert done.returncode == 0, done.stderr
        job = served.run("submit", "-q", "//:program", "--wait", **homes)
        assert job.returncode == 0, job.stderr
        logs = served.run("logs", "--task", "0", job.stdout.strip(), **homes)
        assert logs.stdout == f"{word} 0\n", logs.stderr
        assert served.count() == 2 * number + 2


@pytest.mark.parametrize(
    ("before", "more"),
    [
        (("prlimit", "--nofile=512:512"), {}),
        (("nice", "-n", "3"), {}),
        (("unshare", "--uts"), {}),
        (("setpriv", "--no-new-privs"), {}),
        (("setpriv", "--reuid=65534", "--clear-groups"), {}),
        (("env", "--ignore-signal=USR1"), {}),
        ((), {"HOME": "/nowhere"}),
        ((), {"TZ": "Asia/Tokyo"}),
        ((), {"PYTHONHASHSEED": "3"}),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and users are for root")
def test_who_is_not_alike_does_not_reach_it(
    served: Served, before: tuple[str, ...], more: dict[str, str]
) -> None:
    done = served.run("query", "x", before=before, PROBE="fork", **more)
    if "65534" not in str(before):  # who may not read our files
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != str(served.pid())
    assert served.count() == 0


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that no process is in."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    tops = [Path(words[4]) for words in mounts if words[words.index("-") + 1].startswith("cgroup")]
    for top in tops:
        made = top / f"lamina-test-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        yield made
        made.rmdir()
        return
    pytest.skip("no control group can be made here")


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups are for root")
def test_from_another_control_group_it_is_not_reached(served: Served, group: Path) -> None:
    enter = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    done = served.run("query", "x", before=("sh", "-c", enter, "sh"), PROBE="fork")

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) != served.pid()
    assert served.count() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_server_is_not_believed(served: Served) -> None:
    table = Path("/proc/net/unix").read_text()
    # Of this test's server the inode is among its descriptors.
    files = Path(f"/proc/{served.pid()}/fd").iterdir()
    inodes = {str(each.readlink())[8:-1] for each in files if each.readlink().name}
    rows = [line.split() for line in table.splitlines() if "@lamina-" in line]
    (name,) = {row[7][1:] for row in rows if row[6] in inodes}
    served.run("server", "stop")
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.bind('\\0{name}'); s.listen(); print('bound', flush=True); s.accept()[0].recv(99); "
        "print('heard', flush=True); s.accept()"
    )
    other = subprocess.Popen(
        ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "bound\n"
        assert served.run("query", "x", PROBE="state").returncode == 7
        assert served.run("server", "status").returncode == 1
    finally:
        other.kill()
        other.wait()


def test_words_that_name_descriptors_go_the_usual_way(served: Served) -> None:
    served.run("query", "/dev/fd/0", PROBE="fork")
    assert served.count() == 0


def test_a_terminals_interrupt_ends_all_of_the_command(served: Served) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(served.root)
        os.execve(served.command, ["lamina", "query", "x"], served.environment(PROBE="30"))
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(terminal, 100)
    command, child = map(int, text.split())
    time.sleep(_SETTLED)

    os.write(terminal, b"\x03")

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    os.close(terminal)
    _wait_for(lambda: _is_gone(command) and _is_gone(child))
    assert served.count() == 1


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_terminal_stops_and_continues_all_of_the_command(served: Served) -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        job = os.fork()
        if job == 0:
            os.chdir(served.root)
            os.setpgid(0, 0)
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, before)
            os.write(1, b"%d\n" % os.getpid())
            os.execve(served.command, ["lamina", "query", "x"], served.environment(PROBE="30"))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
    text = b""
    while text.count(b"\n") < 2:
        text += os.read(terminal, 100)
    job, command, child = map(int, text.split())
    time.sleep(_SETTLED)

    os.write(terminal, b"\x1a")
    _wait_for(lambda: [_state(each) for each in (job, command, child)] == ["T"] * 3)
    os.kill(job, signal.SIGCONT)
    _wait_for(lambda: [_state(each) for each in (job, command, child)] == ["S"] * 3)
    time.sleep(_SETTLED)

    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]) == 130
    os.close(terminal)
    _wait_for(lambda: _is_gone(command) and _is_gone(child))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGQUIT, -3)]
)
def test_signals_reach_the_command(served: Served, number: signal.Signals, code: int) -> None:
    with served.begin("30") as child:
        command, other = _pids(child)
        time.sleep(_SETTLED)
        child.send_signal(number)
        assert child.wait(10) == code
    _wait_for(lambda: _is_gone(command))
    with contextlib.suppress(ProcessLookupError):
        os.kill(other, signal.SIGKILL)


def test_the_command_ends_with_its_launcher(served: Served) -> None:
    with served.begin("30") as child:
        command, other = _pids(child)
        child.kill()
    _wait_for(lambda: _is_gone(command) and _is_gone(other))


def test_the_command_goes_on_without_its_server(served: Served) -> None:
    with served.begin("0.5") as child:
        command, _ = _pids(child)
        os.kill(served.pid(), signal.SIGKILL)
        assert child.wait(10) == 5
    _wait_for(lambda: _is_gone(command))


def test_what_became_of_it_is_not_known_where_both_were_killed(served: Served) -> None:
    with served.begin("30") as child:
        command, other = _pids(child)
        os.kill(served.pid(), signal.SIGKILL)
        os.kill(command, signal.SIGKILL)
        os.kill(other, signal.SIGKILL)
        assert child.wait(10) == 2
        assert child.stderr is not None
        assert "not known" in child.stderr.read()


def test_it_stops_while_commands_go_on(served: Served) -> None:
    with served.begin("0.5") as child:
        _pids(child)
        assert served.run("server", "stop").returncode == 0
        assert served.run("server", "status").returncode == 1
        assert child.wait(10) == 5


def test_it_is_one_and_ends_when_idle(served: Served) -> None:
    before = served.pid()
    assert "already" in served.run("server", "start").stdout
    assert served.pid() == before
    served.run("server", "stop")

    served.run("server", "start", "--idle", "3s")
    idle = served.pid()

    _wait_for(lambda: _is_gone(idle))
    assert served.run("server", "status").returncode == 1


def test_changed_modules_are_met_by_another_server(served: Served, tmp_path: Path) -> None:
    served.run("server", "stop")
    module = tmp_path / "more" / "changing.py"
    module.parent.mkdir()
    module.write_text("CODE = 11\n")
    usual = Path(served.command).with_name("lamina-python")
    own = f"import sys; sys.path.append({str(module.parent)!r}); import changing\n"
    text = usual.read_text().replace("return 7", "return changing.CODE")
    usual.write_text(text.replace("import json", f"{own}import json", 1))
    served.run("server", "start", "--idle", "60s")
    before = served.pid()
    assert served.run("query", "x", PROBE="state").returncode == 11

    module.write_text("CODE = 112\n")

    assert served.run("query", "x", PROBE="state").returncode == 112
    _wait_for(lambda: (found := served.status()) is not None and found["pid"] != before)
    assert served.run("query", "x", PROBE="state").returncode == 112
    assert served.count() == 1
    _wait_for(lambda: _is_gone(before))


def test_changed_programs_are_met(served: Served, tmp_path: Path) -> None:
    usual = Path(served.command).with_name("lamina-python")
    before = served.pid()
    usual.write_text(usual.read_text().replace("return 7", "return 8"))
    assert served.run("query", "x", PROBE="state").returncode == 8
    os.kill(before, signal.SIGKILL)


def test_thirty_at_once(served: Served) -> None:
    children = [served.begin("0.2") for _ in range(30)]
    assert [child.wait(30) for child in children] == [5] * 30
    for child in children:
        child.communicate()
    assert 0 < served.count() <= 30  # who has to wait too long goes the usual way
