"""Containers keep the same promises by every runtime, to root and to an ordinary user."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.core.container import Limits
from lamina.linux import process

from .conftest import Person, new_area
from .contained import Containers, every, limits_hold, need, somebody, wait_for_no_container

Image = Callable[..., Path]
SHELL = ('#!/bin/sh\neval "$1"\n', 0o755)
BLOCKED = "echo ready; read line"


@pytest.fixture(scope="module")
def area(libraries: Path) -> Iterator[Path]:
    """One for all: what is started here changes nothing in it that others look at."""
    with new_area(libraries) as made:
        yield made


@pytest.fixture(params=every())
def containers(request: pytest.FixtureRequest, area: Path) -> Containers:
    """Each runtime, as root and as an ordinary user."""
    runtime, who = request.param
    need(runtime)
    person: Person = request.getfixturevalue(who)
    return Containers(runtime, somebody(who, person, person))


# For what lamina does before there is a runtime, or however it is called: each one once.
FEW = pytest.mark.parametrize("containers", every(few=True), indirect=True)


@pytest.fixture
def shell(image: Image, area: Path) -> Path:
    """An image whose program does what its first argument says."""
    return image({"run": SHELL})


@pytest.fixture(autouse=True)
def nothing_is_left(area: Path) -> Iterator[None]:
    yield
    wait_for_no_container(area)


def test_the_program_finds_its_package_and_itself(containers: Containers, shell: Path) -> None:
    seen = containers.output(
        [shell, shell],
        "echo $LAMINA_PACKAGE $OWN; ls /packages; id -u; id -g; hostname; pwd; env | wc -l; "
        "ls /tmp /run | grep -v resolv; cat /proc/1/comm",
        order="{'hostname': 'walled', 'folder': '/usr', 'environment': {'X': '1'}}",
    )

    version = containers.person.area.name
    mine = str(containers.inside)
    lines = seen.split("\n")
    assert lines[:6] == [
        f"/packages/any-{version} 1",
        f"any-{version}",
        mine,
        mine,
        "walled",
        "/usr",
    ]
    assert lines[-2] in ("init", "run")  # the latter where no init is installed


def test_exit_codes_signals_and_streams_pass_through(containers: Containers, shell: Path) -> None:
    ended = containers.run([shell], "exit 7")
    killed = containers.run([shell], "kill -TERM $$")
    started = containers.start([shell], "cat; echo bad >&2", stdin=-1)

    out, words = started.communicate(b"from outside", timeout=30)

    assert (ended.code, killed.code) == (7, 128 + signal.SIGTERM)
    assert (out, words) == (b"from outside", b"bad\n")


def test_a_signal_to_lamina_reaches_the_program_and_orphans_are_reaped(
    containers: Containers, shell: Path
) -> None:
    code = (
        "trap 'echo got; exit 3' TERM; (sleep 0.01 & ) ; sleep 0.3;"
        " grep -l '^State:.Z' /proc/[0-9]*/status; echo ready; while :; do sleep 0.05; done"
    )
    started = containers.start([shell], code)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    started.terminate()

    assert started.wait(30) == 3
    assert started.stdout.read() == b"got\n"


def test_root_may_be_somebody_else_inside(containers: Containers, shell: Path) -> None:
    ended = containers.run([shell], "id -u; id -g; id -G", order="{'user': '1234:5678'}")

    if containers.is_root and containers.runtime != "bwrap":
        assert ended.out.split() == ["1234", "5678", "5678"]
    else:
        assert ended.code == 125
        assert "`--user" in ended.words


@FEW
def test_who_does_not_stop_is_killed(containers: Containers, shell: Path) -> None:
    code = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    started = containers.start([shell], code, order="{'stop_timeout': 0.2}")
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    started.terminate()

    assert started.wait(30) == 128 + signal.SIGKILL


def test_all_goes_with_lamina(containers: Containers, shell: Path) -> None:
    code = "setsid sleep 1000 & echo ready; sleep 1000"
    started = containers.start([shell, shell], code, order="{'limits': Limits(pids=50)}")
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    started.kill()

    started.wait(30)


ENTER = """
import sys
from lamina.node import entering, running
(record,) = [each for each in running.every() if each.title == sys.argv[1]]
sys.exit(entering.enter(record, ["/bin/sh", "-c", sys.argv[2]], terminal=False))
"""


def test_what_enters_is_behind_the_same_walls(containers: Containers, shell: Path) -> None:
    code = (
        "id -u; ls /packages; grep -hE 'CapEff|NoNew|Seccomp:' /proc/self/status;"
        " env | grep -c STORE; cat /proc/[0-9]*/environ | grep -c PYTHONPATH; exit 6"
    )
    started = containers.start([shell], BLOCKED, stdin=-1)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    title = f"any-{containers.person.area.name}"
    entered = containers.person.start(ENTER, title, code)
    out, words = entered.communicate(timeout=60)
    started.communicate(b"\n", timeout=60)

    walls = ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert entered.returncode == 6, words.decode()
    assert out.decode().split() == [str(containers.inside), title, *walls, "0", "0"]


@FEW
def test_what_two_kills_have_left_goes_when_somebody_looks(
    containers: Containers, shell: Path
) -> None:
    started = containers.start([shell], BLOCKED, stdin=-1)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    janitors = [int(pid) for pid in children if b"contain.run" in cmdline(pid)]
    assert len(janitors) == 1

    os.kill(janitors[0], signal.SIGKILL)
    started.kill()
    started.wait(30)

    look = "from lamina.node import running; print(len(running.every()) >= 0)"
    assert containers.person.run(look) == "True\n"


def cmdline(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("milliseconds", [60, 130])
def test_nothing_is_left_after_a_kill_at_any_instant(
    containers: Containers, shell: Path, milliseconds: int
) -> None:
    timer = (
        "import signal, threading; "
        f"os.fork() or (__import__('time').sleep({milliseconds / 1000}), "
        "os.kill(os.getppid(), signal.SIGKILL), os._exit(0))"
    )

    started = containers.start([shell, shell], BLOCKED, stdin=-1, before=timer)

    assert started.wait(30) == -signal.SIGKILL


def test_binds_tmpfs_and_limits_of_processes(
    containers: Containers, shell: Path, area: Path
) -> None:
    (area / "data").mkdir(exist_ok=True)
    (area / "data/new").unlink(missing_ok=True)
    (area / "data").chmod(0o777)
    (area / "file").write_text("shown\n")
    order = (
        f"{{'binds': (Bind('{area}/data', '/data/sets'), Bind('{area}/file', '/tmp/file', True)),"
        " 'tmpfs': (Tmpfs('/scratch', 1 << 20),),"
        " 'rlimits': (Rlimit('nofile', 77, 88),), 'shm_size': 2 << 20}"
    )

    seen = containers.output(
        [shell],
        "echo new > /data/sets/new; cat /tmp/file; echo x > /tmp/file || echo kept; "
        "echo y > /scratch/y && cat /scratch/y; ulimit -n; ulimit -Hn; "
        "df -k /scratch /dev/shm | tail -n +2 | awk '{print $2}'",
        order=order,
    )

    assert seen.split() == ["shown", "kept", "y", "77", "88", "1024", "2048"]
    assert (area / "data/new").read_text() == "new\n"


@FEW
def test_a_place_that_can_not_be_made_is_told(containers: Containers, shell: Path) -> None:
    ended = containers.run([shell], "true", order="{'tmpfs': (Tmpfs('/usr/not/there'),)}")

    assert ended.code == 125
    assert "the container has no `/usr/not/there` to mount on" in ended.words


def test_what_it_writes_to_its_package_goes_where_it_is_told(
    containers: Containers, shell: Path, area: Path
) -> None:
    code = (
        "cd $LAMINA_PACKAGE; ls; echo $1 > new; stat -c %u new; rm -f run; "
        "touch /usr/no /packages/no || ls; grep CapEff /proc/self/status"
    )
    mine, none = str(containers.inside), ["CapEff:", "0" * 16]
    upper = area / f"upper-{containers.runtime}-{containers.person.uid}"
    upper.mkdir()
    os.chown(upper, containers.person.uid, containers.person.uid)

    closed = containers.run([shell], "touch $LAMINA_PACKAGE/new || echo closed")
    gone = [
        containers.output([shell, shell], code, order="{'writable': mounts.Upper(None, 'package')}")
        for _ in range(2)
    ]
    kept = [
        containers.output([shell, shell], keep, order=f"{{'writable': jobs.chosen('{upper}')}}")
        for keep in ("cd $LAMINA_PACKAGE; echo first > new", "cat $LAMINA_PACKAGE/new")
    ]

    assert closed.out == "closed\n"
    assert [each.split() for each in gone] == [["run", mine, "new", *none]] * 2
    assert kept == ["", "first\n"]
    assert [path.name for path in (upper / "package-upper").iterdir()] == ["new"]
    assert (upper / "package-upper/new").stat().st_uid == containers.person.uid


def test_without_a_network_there_is_only_the_loop(containers: Containers, shell: Path) -> None:
    none = containers.output(
        [shell], "tail -n +3 /proc/net/dev | wc -l", order="{'network': 'none'}"
    )

    assert none.split()[-1] == "1"


@FEW
def test_a_private_network_reaches_others_and_not_this_machines_loop(
    containers: Containers, shell: Path
) -> None:
    if not (process.find("slirp4netns") or process.find("pasta")):
        pytest.skip("neither slirp4netns nor pasta is installed")
    if not containers.is_root and Path("/dev/net/tun").stat().st_mode & 0o6 != 0o6:
        pytest.skip("/dev/net/tun is closed to ordinary users")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but the loop's")
        address = probe.getsockname()[0]
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "python3 -c 'import socket\n"
            f'print(socket.create_connection(("{address}", {port}), 20) and "reached")\n'
            f'socket.create_connection(("127.0.0.1", {port}), 5)\''
        )
        ended = containers.run([shell], code, order="{'network': 'private'}")

    assert ended.out == "reached\n", ended.words
    assert "Connection refused" in ended.words


def test_devices_are_the_standard_ones_and_those_asked_for(
    containers: Containers, shell: Path
) -> None:
    code = (
        "for n in /dev/*; do [ -h $n ] || { [ ! -c $n ] && [ ! -b $n ]; } || echo $n; done; "
        "head -c1 /dev/zero | wc -c"
    )
    usual = containers.output([shell], code).split()
    more = containers.output(
        [shell], f"{code}; exec 3<>/dev/fuse && echo open",
        order="{'devices': (Device('/dev/fuse', '/dev/fuse'),)}",
    ).split()  # fmt: skip

    standard = {f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero")}
    assert {*usual} - {"/dev/console", "/dev/ptmx"} == {*standard, "1"}
    assert {*more} - {*usual} == {"/dev/fuse", "open"}


@FEW
def test_a_package_that_lacks_its_program_is_told(containers: Containers, image: Image) -> None:
    ended = containers.run([image({"other": ""})])

    assert ended.code == 125
    assert "error: can not run `run`: the package has no such file" in ended.words


@pytest.mark.root
def test_limits_hold_and_want_of_memory_is_told(
    containers: Containers, shell: Path, root: Person
) -> None:
    if not containers.is_root:
        pytest.skip("an ordinary user has no control group here: see the next test")
    if not limits_hold(Limits(memory=1 << 26, pids=50, cpus=1)):
        pytest.skip("this machine lacks controllers")
    order = "{'limits': Limits(memory=64 << 20, cpus=0.5, pids=20)}"
    hog = "exec python3 -c 'x = bytearray(300 << 20)'"
    if containers.runtime == "bwrap":
        hog = f"/usr/bin/{hog.removeprefix('exec ')}; exit $?"

    ended = containers.run([shell], hog, order=order)
    bomb = containers.run([shell], "bomb() { bomb | bomb & }; bomb; sleep 1; echo survived",
                          order=order)  # fmt: skip

    assert ended.code == 137
    assert "out of memory" in ended.words
    assert "64 MiB" in ended.words
    assert bomb.code in (0, 2)  # of the shell, where it could not fork itself
    assert "fork" in bomb.words.lower()


def test_limits_that_can_not_be_had_are_told(containers: Containers, shell: Path) -> None:
    if containers.is_root:
        pytest.skip("root may make control groups")
    order = "{'limits': Limits(memory=64 << 20)%s}"

    warned = containers.run([shell], "echo ran", order=order % "")
    refused = containers.run([shell], "echo ran", order=order % ", 'require_limits': True")

    assert (warned.code, warned.out) == (0, "ran\n")
    assert "warning: `--memory` has no effect: " in warned.words
    assert (refused.code, refused.out) == (125, "")
    assert "error: `--memory` has no effect: " in refused.words


def test_a_terminal_and_its_size_pass_through(containers: Containers, shell: Path) -> None:
    if containers.runtime == "bwrap":
        pytest.skip("bwrap makes no terminal")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (33, 99))
    # A signal that comes just before `read` begins to wait would be seen after it alone.
    code = (
        "trap 'stty size; told=1' WINCH; told=; tty; stty size; "
        "until [ $told ]; do sleep 0.05; done; read line; echo got $line"
    )
    started = containers.start(
        [shell], code, order="{'terminal': True}", stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=lambda: _take_terminal(theirs),
    )  # fmt: skip
    os.close(theirs)
    try:
        seen = _read_until(ours, b"33 99")
        termios.tcsetwinsize(ours, (44, 111))
        seen += _read_until(ours, b"44 111")
        os.write(ours, b"typed\r")
        seen += _read_until(ours, b"got typed")
    finally:
        os.close(ours)  # which ends it, whatever it has done

    assert b"/dev/pts/0" in seen or b"/dev/console" in seen
    started.wait(30)


def _take_terminal(descriptor: int) -> None:
    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def _read_until(descriptor: int, wanted: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + 20
    while wanted not in seen:
        assert select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0], seen
        try:
            seen += os.read(descriptor, 4096)
        except OSError:
            break
    return seen


def test_the_end_of_the_terminal_ends_all(containers: Containers, shell: Path) -> None:
    if containers.runtime == "bwrap":
        pytest.skip("bwrap makes no terminal")
    ours, theirs = pty.openpty()
    started = containers.start(
        [shell], "trap '' HUP; echo ready; sleep 1000; sleep 1000",
        order="{'terminal': True, 'stop_timeout': 0.2}", stdin=theirs, stdout=theirs,
        preexec_fn=lambda: _take_terminal(theirs),
    )  # fmt: skip
    os.close(theirs)
    _read_until(ours, b"ready")

    os.close(ours)

    started.wait(30)


@FEW
def test_the_environment_of_lamina_stays_outside(
    containers: Containers, shell: Path, tmp_path: Path
) -> None:
    seen = containers.output([shell], "env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'")

    assert "PYTHONPATH" not in seen
    assert "LAMINA_STORE" not in seen


def test_no_descriptor_of_lamina_is_open_in_the_program(
    containers: Containers, shell: Path
) -> None:
    seen = containers.output(
        [shell], "for n in /proc/$$/fd/*; do readlink $n; done; readlink /proc/1/fd/*"
    )

    assert all(
        line.startswith(("pipe:", "/dev/null", "/packages/")) or "/fd" in line
        for line in seen.split()
    ), seen


def test_runc_and_crun_are_asked_what_they_can_do() -> None:
    """The oldest versions that the bundles were tried with know the features asked of them."""
    for runtime in ("crun", "runc"):
        need(runtime)
        done = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True)
        assert "spec: 1." in done.stdout
