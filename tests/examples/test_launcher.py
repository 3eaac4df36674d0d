"""The launcher: most starts of a package need no interpreter, and are the same starts."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lamina.node import laying
from tests import launcher

Lamina = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver `kernel` is for root")

_PROGRAM = "import sys; exec(sys.argv[1]) if sys.argv[1:] else print('ran')\n"
_BUILD = """\
python_library(name = "low", srcs = ["low.py"])
python_binary(name = "program", srcs = ["program.py"], deps = [":low"], env = {"GIVEN": "a=b"})
"""
# What others mount meanwhile, on whatever folder of theirs, is not told.
_MOUNTS = (
    "found = [line.split(' ', 3)[3] for line in open('/proc/self/mountinfo')]\n"
    "own = lambda at: at.count('/') == 1 or at.startswith('/packages')\n"
    "print(*sorted(each for each in found if own(each.split()[1])), sep='')\n"
)


@dataclass(frozen=True)
class Native:
    """A package `program`, and a launcher that starts it."""

    lamina: Lamina
    command: str
    root: Path
    store: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *words: str, at: str = "", **more: str | None
    ) -> subprocess.CompletedProcess[str]:
        """`lamina` with these words to its end; None takes a variable away."""
        found = {
            **os.environ,
            "LAMINA_STORE": str(self.store),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **self.environment,
            **more,
        }
        return subprocess.run(
            [self.command, *words],
            cwd=at or self.root,
            env={name: value for name, value in found.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def lines(self, *words: str, at: str = "", **more: str | None) -> list[str]:
        """What a start that has to succeed prints; first `python`, where that was asked."""
        done = self.run("exec", *words, at=at, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def record(self) -> Path:
        """The record of the only start so far."""
        (found,) = (self.store / "starts").iterdir()
        return found


@pytest.fixture(params=["kernel", "fuse"])
def native(lamina: Lamina, tmp_path: Path, request: pytest.FixtureRequest) -> Native:
    """One that was started once, so that its next start needs no Python."""
    files = {"BUILD": _BUILD, "low.py": "", "program.py": _PROGRAM}
    root = launcher.workspace(lamina, tmp_path, files)
    environment = {"WITHOUT_KERNEL": "1"} if request.param == "fuse" else {}
    command = launcher.beside(tmp_path, launcher.TELLING)
    found = Native(lamina, command, root, tmp_path / "store", environment)
    assert found.lines("program") == ["python", "ran"]
    return found


def test_the_second_start_needs_no_interpreter(native: Native) -> None:
    assert native.lines("program") == ["ran"]


def test_words_of_the_program_are_its_own(native: Native) -> None:
    code = "print(*sys.argv[2:], sep='|')"

    assert native.lines("program", "--", code, "", "two words", "--", "é") == ["|two words|--|é"]


def test_starts_with_options_are_told_by_their_hash(native: Native) -> None:
    for more in range(35, 63, 3):  # as many letters as fill one block of the hash, and two
        words = ("--plain-http", "--ca", f"/etc/{'x' * more}", "program")
        assert native.lines(*words) == ["python", "ran"]
        assert native.lines(*words) == ["ran"]


def test_names_with_any_letters(native: Native, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/50%/hub:v1"
    assert native.lamina(native.root, "push", "program", place).returncode == 0
    other = replace(native, store=tmp_path / "other")

    kinds = [other.lines(place) for _ in range(3)]

    assert kinds[-1] == ["ran"]


def test_the_program_sees_what_it_sees_when_python_starts_it(native: Native) -> None:
    code = (
        "import os, signal; print(os.getcwd(), os.umask(0), dict(sorted(os.environ.items())));"
        "print(sorted(os.listdir('/')), [os.lstat('/' + each) for each in os.listdir('/')]"
        " == os.path, os.listdir('/packages'), sorted(os.listdir('/proc/self/fd')));"
        "print([signal.getsignal(each) for each in signal.valid_signals()]);"
    )
    words = ("exec", "program", "--", f"{code}{_MOUNTS}")
    by_launcher = native.run(*words, at="/usr", LC_CTYPE="C.UTF-8", LAMINA_CARRIED="1:x")
    python = replace(native, command=str(Path(native.command).with_name("lamina-python")))
    by_python = python.run(*words, at="/usr", LC_CTYPE="C.UTF-8", LAMINA_CARRIED="1:x")

    assert by_launcher.stdout.startswith("/usr ")
    assert by_python.stdout.removeprefix("python\n") == by_launcher.stdout
    assert by_launcher.stderr == by_python.stderr == ""


_PLAIN = 'python_binary(name = "program", srcs = ["program.py"]{})'
# Shells hand on no variable of such a name, or all of them, as bash does.
_SHELL = "print('by.shell' in os.environ)"
_ALL = "import os; print(sys.argv, dict(sorted(os.environ.items())), os.getcwd())"


def _plain(native: Native, more: str = "", **files: str) -> None:
    """Let the program's launcher be one that sets no variables."""
    for name, text in {"BUILD": _PLAIN.format(more), **files}.items():
        (native.root / name).write_text(text)
    done = native.lamina(native.root, "package", "-q", "//:program")
    assert done.returncode == 0, done.stderr
    native.lines("program")


@pytest.mark.parametrize("more", ["", ', deps = [":native"]'])
def test_a_plain_program_in_python_needs_no_shell(native: Native, more: str) -> None:
    native_library = (
        '\ncxx_library(name = "native", srcs = ["native.c"], preferred_linkage = "shared")\n'
    )
    _plain(native, more, **{"BUILD": _PLAIN.format(more) + native_library, "native.c": "int i;\n"})
    around = {"PYTHONSAFEPATH": "1", "LD_LIBRARY_PATH": "/x:", "PWD": "/nowhere"}
    native = replace(native, environment={**native.environment, **around})

    straight = native.lines("program", "--", _ALL, "a b", "", at="/usr")
    by_shell = native.lines(
        "program", "--", _ALL, "a b", "", at="/usr", LAMINA_PYTHON=sys.executable
    )

    told = f"'LAMINA_PYTHON': '{sys.executable}', "
    assert [line.replace(told, "") for line in by_shell] == straight
    assert ("/lib:/x:" in straight[0]) == bool(more)
    assert "'PWD': '/usr'" in straight[0]


def test_the_shell_is_spared_where_the_launcher_says_no_more(native: Native) -> None:
    _plain(native)
    shell = f"import os; {_SHELL}"
    native = replace(native, environment={**native.environment, "by.shell": ""})
    if native.run("run", "//:program", "--", shell).stdout != "python\nFalse\n":
        pytest.skip("this machine's shell hands on all variables")

    start = ("program", "--", shell)
    assert native.lines(*start) == ["True"]
    assert native.lines(*start, LAMINA_PYTHON=sys.executable) == ["False"]
    _plain(native, ', env = {"X": "1"}')
    assert native.lines(*start, LAMINA_PYTHON="") == ["False"]


def test_kernels_that_stack_only_what_is_attached(native: Native, tmp_path: Path) -> None:
    def mounts() -> list[str]:
        # How layers are told to overlayfs is seen, and is another way.
        return [line.partition(",lowerdir")[0] for line in native.lines("program", "--", code)]

    code = _MOUNTS.replace("[3]", "[3].replace('overlay none', 'overlay overlay')")
    usual = mounts()
    launcher.compiled(Path(native.command), launcher.OLD_KERNELS)

    assert mounts() == usual


def test_all_else_is_left_to_python(native: Native) -> None:
    assert native.run("--version").stdout.splitlines()[0] == "python"
    assert native.run().stdout.splitlines()[0] == "python"
    assert native.run("exec").stdout.splitlines() == ["python"]
    assert native.lines("--driver", "copy", "program") == ["python", "ran"]
    done = native.run("exec", "program", _ARGCOMPLETE="1")  # that of a shell, which is not here
    assert done.stdout == "python\n"


def test_a_folder_that_is_gone_is_left_to_python(native: Native) -> None:
    code = "cd $(mktemp -d); rmdir $PWD; exec $0 exec program"
    done = subprocess.run(
        ["sh", "-c", code, native.command],
        env={
            **os.environ,
            "LAMINA_STORE": str(native.store),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **native.environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.splitlines(), done.stderr) == (["python", "ran"], "")


def test_where_a_stream_is_closed_python_is_asked(native: Native) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" exec program <&-', native.command],
        cwd=native.root,
        env={
            **os.environ,
            "LAMINA_STORE": str(native.store),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **native.environment,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["python", "ran"]


@pytest.mark.parametrize("place", ["workspace", "home", "named"])
def test_where_a_policy_may_be_python_is_asked(native: Native, tmp_path: Path, place: str) -> None:
    rule = '[[trust.rule]]\npackages = ["*"]\nkeys = ["none.pub"]\n'
    more = {}
    if place == "workspace":
        (native.root / "lamina.toml").write_text(rule)
    elif place == "home":
        (tmp_path / "config" / "lamina").mkdir(parents=True)
        (tmp_path / "config" / "lamina" / "policy.toml").write_text(rule)
        more["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    else:
        (tmp_path / "policy.toml").write_text(rule)
        more["LAMINA_POLICY"] = str(tmp_path / "policy.toml")
    below = native.root / "below" / "it"
    below.mkdir(parents=True)

    done = native.run("exec", "program", at=str(below), **more)

    assert (done.returncode, done.stdout) == (125, "python\n")


def test_other_policies_are_no_reason(native: Native, tmp_path: Path) -> None:
    assert native.lines("program", XDG_CONFIG_HOME=str(tmp_path)) == ["ran"]
    assert native.lines("program", at="/") == ["ran"]
    assert native.lines("program", HOME=None)[0] == "python"  # who that is, Python knows


def test_a_record_that_others_could_write_is_not_believed(native: Native) -> None:
    record = native.record()
    record.chmod(0o620)
    assert native.lines("program")[0] == "python"

    other = record.with_name("other")
    record.rename(other)
    record.symlink_to(other)
    assert native.lines("program")[0] == "python"


def test_where_python_is_not_beside_it_that_is_told(native: Native) -> None:
    Path(native.command).with_name("lamina-python").unlink()

    done = native.run("--version")

    assert done.returncode == 2
    assert "/bin/lamina-python`, which belongs beside `lamina`: No such file" in done.stderr
    assert native.run("exec", "other").returncode == 125
    assert native.lines("program") == ["ran"]


def test_nobody_gets_its_owners_rights(native: Native) -> None:
    Path(native.command).chmod(0o4755)

    done = native.run("exec", "program")

    assert (done.returncode, done.stdout) == (125, "")
    assert "setuid" in done.stderr


def test_jobs_at_once_share_what_the_kernel_has_mounted(native: Native) -> None:
    if native.environment:
        pytest.skip("no kernel mounts images then")

    def layers() -> set[str]:
        return {path.name for path in (native.store / "blobs").glob("*/*")}

    known = layers()
    (native.root / "low.py").write_text(f"# {uuid.uuid4()}\n")
    (native.root / "program.py").write_text(f"{_PROGRAM}# {uuid.uuid4()}\n")
    assert native.lamina(native.root, "package", "-q", "//:program").returncode == 0
    assert native.lines("program") == ["python", "ran"]
    own = layers() - known  # which no other store has

    def attached() -> list[str]:
        # Paths are seen without what was mounted around them.
        files = Path("/sys/block").glob("loop*/loop/backing_file")
        names = [_text(file).strip().rpartition("/")[2] for file in files]
        return [name for name in names if name in own]

    started = []
    for _ in range(3):
        child = subprocess.Popen(
            [native.command, "exec", "program", "--", "print('ran', flush=True); input()"],
            cwd=native.root,
            env={**os.environ, "LAMINA_STORE": str(native.store)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ran\n"
        started.append(child)
    ours = attached()
    for each in started:
        each.communicate("\n", timeout=60)

    assert len(ours) == len(set(ours)) == 2
    assert attached() == []


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it has gone meanwhile
        return ""


def test_large_layers_are_left_to_python_until_they_are_folders(
    native: Native, tmp_path: Path
) -> None:
    if not laying.may_lie_on(str(native.store)):
        pytest.skip("the store lies on no disk")
    (native.root / "low.py").write_bytes(b"#" + random.Random(1).randbytes(2 << 20).hex().encode())
    assert native.lamina(native.root, "package", "-q", "//:program").returncode == 0
    kinds = [native.lines("program", LAMINA_UNPACK=way)[0] for way in ("never", "never", "always")]

    # A layer that was made this instant is not laid out by its first start.
    more = [native.lines("program", LAMINA_UNPACK="always")[0] for _ in range(3)]

    assert kinds == ["python", "ran", "python"]
    assert more[-1] == "ran"
    assert list((native.store / "laid").glob("*/*/root"))


def test_what_is_being_laid_out_needs_no_interpreter_meanwhile(native: Native) -> None:
    if not laying.may_lie_on(str(native.store)):
        pytest.skip("the store lies on no disk")
    (native.root / "low.py").write_bytes(b"#" + random.Random(1).randbytes(2 << 20).hex().encode())
    assert native.lamina(native.root, "package", "-q", "//:program").returncode == 0
    lock = native.store / "laying"
    lock.write_text("it was not finished\n")  # as a scheduler ends it with a job

    kinds = [native.lines("program")[0] for _ in range(3)]
    os.utime(lock, (0, 0))
    later = native.lines("program")[0]

    assert kinds == ["python", "ran", "ran"]
    assert later == "python"


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher, made so that it ends with an error where it touches memory that it may not."""
    made = tmp_path_factory.mktemp("checked") / "lamina"
    return launcher.compiled(made, *launcher.CHECKS)


def _damaged(record: bytes, chance: random.Random) -> bytes:
    fields = record.split(b"\0")
    at = chance.randrange(len(fields))
    kinds: Sequence[Callable[[], bytes]] = (
        lambda: record[: chance.randrange(len(record))],
        lambda: b"\0".join([*fields[:at], *fields[at + 1 :]]),
        lambda: b"\0".join([*fields[:at], fields[at], *fields[at:]]),
        lambda: b"\0".join([*fields[:at], chance.choice([b"", b"-1", b"99999999999999999999",
                            b"4294967296", b"x" * 5000]), *fields[at + 1 :]]),
        lambda: bytes(
            each if chance.random() > 0.01 else chance.randrange(256) for each in record
        ),
    )  # fmt: skip
    return chance.choice(kinds)()


def test_damaged_records_never_break_it(native: Native, checked: Path) -> None:
    folder = Path(native.command).parent
    shutil.copy(checked, folder / "lamina")
    (folder / "lamina-python").write_text("#!/bin/sh\necho python\n")
    record = native.record()
    whole = record.read_bytes()
    chance = random.Random(7)
    leaks = {"ASAN_OPTIONS": "detect_leaks=0"}  # what ends with the process is not given back
    assert native.lines("program", **leaks) == ["ran"]

    for _ in range(300):
        record.write_bytes(_damaged(whole, chance))
        done = native.run("exec", "program", **leaks)
        # A record is the user's own word: what it says otherwise may be run, or not be there.
        assert done.returncode in (0, 1, 2, 127) and "Sanitizer" not in done.stderr, done.stderr


def test_any_words_are_read_without_harm(native: Native, checked: Path) -> None:
    folder = Path(native.command).parent
    shutil.copy(checked, folder / "lamina")
    (folder / "lamina-python").write_text("#!/bin/sh\necho python\n")
    chance = random.Random(11)
    alphabet = "abc%/:@ é-"
    leaks = {"ASAN_OPTIONS": "detect_leaks=0"}

    for length in (0, 1, 63, 64, 65, 199, 200, 201, 5000):
        words = ["".join(chance.choices(alphabet, k=length)) for _ in range(chance.randint(1, 3))]
        done = native.run("exec", *words, **leaks)
        assert (done.stdout, done.stderr) == ("python\n", "")
