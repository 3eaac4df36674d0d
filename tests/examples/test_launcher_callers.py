"""The launcher beside odd callers and machines: it starts what Python starts, or asks Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.linux import seccomp
from tests import launcher

Lamina = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver `kernel` is for root")

_PYTHON = """\
import sys
print("python", flush=True)
from lamina.cli.start import program
sys.exit(program())
"""
_BUILD = """\
sh_library(name = "low", data = ["low.txt"])
sh_binary(name = "program", srcs = ["program.sh"], deps = [":low"])
"""
# A shell neither ignores signals nor opens files by itself.
_PROGRAM = '#!/bin/sh\n[ -z "$1" ] && exec echo ran\neval "$1"\n'
# Who lacks this right mounts by FUSE, in a user namespace.
_WITHOUT_MOUNTS = ("setpriv", "--bounding-set=-sys_admin")


@dataclass(frozen=True)
class Native:
    """A package `program` that was started, and a launcher that starts it again."""

    command: str
    root: Path
    store: Path
    around: tuple[str, ...]

    def run(
        self,
        code: str = "",
        *,
        python: bool = False,
        around: Sequence[str] = (),
        before: Callable[[], None] | None = None,
        **more: str,
    ) -> subprocess.CompletedProcess[str]:
        """Start the program with code of a shell; `around` are words before the command."""
        command = [*self.around, *around, self.command + "-python" * python]
        return subprocess.run(
            [*command, "exec", "program", "--", code],
            cwd=self.root,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "LAMINA_STORE": str(self.store),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **more,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            restore_signals=False,
            preexec_fn=before,
        )

    def become(self, code: str) -> None:
        """Have other code of a shell in the place of the program in Python."""
        Path(self.command + "-python").write_text(f"#!/bin/sh\n{code}\n")


@pytest.fixture(params=["kernel", "fuse"])
def native(lamina: Lamina, tmp_path: Path, request: pytest.FixtureRequest) -> Native:
    """One that was started once, so that its next start needs no Python."""
    files = {"BUILD": _BUILD, "low.txt": "", "program.sh": _PROGRAM}
    root = launcher.workspace(lamina, tmp_path, files)
    around = _WITHOUT_MOUNTS if request.param == "fuse" else ()
    found = Native(launcher.beside(tmp_path, _PYTHON), root, tmp_path / "store", around)
    assert [found.run().stdout for _ in range(2)] == ["python\nran\n", "ran\n"]
    return found


def test_the_program_meets_signals_as_from_python(native: Native) -> None:
    def ignore() -> None:
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    code = "grep -E 'Sig(Ign|Blk)' /proc/self/status"
    done, by_python = (native.run(code, python=way, before=ignore) for way in (False, True))

    assert by_python.stdout == f"python\n{done.stdout}"
    ignored = int(done.stdout.split("SigIgn:")[1].split()[0], 16)
    # But for those that C libraries keep for themselves: who runs the tests may ignore them.
    assert [each for each in signal.valid_signals() if ignored >> each - 1 & 1] == [signal.SIGHUP]


_EXECVE = """\
import ctypes, os, sys
words = [os.fsencode(word) for word in sys.argv[1:]]
environment = [f"{name}={value}".encode() for name, value in os.environ.items()]
environment += [b"WITHOUT", b"=none", b"TWICE=first", b"TWICE=second", b"LAMINA_PACKAGE=ours"]
ctypes.CDLL(None).execve(
    words[0],
    (ctypes.c_char_p * (len(words) + 1))(*words, None),
    (ctypes.c_char_p * (len(environment) + 1))(*environment, None),
)
"""


def test_odd_variables_are_handed_on_as_by_python(native: Native) -> None:
    code = "tr '\\0' '\\n' </proc/$$/environ | sort"
    around = [sys.executable, "-S", "-c", _EXECVE]

    done, by_python = (native.run(code, python=way, around=around) for way in (False, True))

    assert done.returncode == by_python.returncode == 0, by_python.stderr
    assert by_python.stdout == f"python\n{done.stdout}"
    assert "TWICE=first\n" in done.stdout
    assert not any(word in done.stdout for word in ("second", "ours", "WITHOUT", "none"))


def test_where_times_can_not_be_told_the_program_runs(native: Native, tmp_path: Path) -> None:
    code = "ls -l /proc/$$/fd | grep -c /leases/"
    places = ("/proc/times.json", f"{tmp_path}/", f"{tmp_path}/gone/times.json", "/dev/full/x")

    for place in places:
        done = native.run(code, LAMINA_REPORT=place)
        assert (done.returncode, done.stdout) == (0, "python\n1\n"), done.stderr
        assert f"cannot tell times in `{place}`" in done.stderr
    assert not list(tmp_path.glob(".*"))


def test_times_that_no_longer_fit_are_not_told_in_part(native: Native, tmp_path: Path) -> None:
    if native.around:
        pytest.skip("nothing is mounted without the right")
    full = tmp_path / "full"
    full.mkdir()
    code = (
        'mount -t tmpfs -o size=4k none "$0" && head -c 4096 /dev/zero >"$0/all"'
        ' && LAMINA_REPORT="$0/times.json" "$@"; ls -A "$0"'
    )

    done = native.run(around=["unshare", "-m", "sh", "-c", code, str(full)])

    assert done.stdout == "python\nran\nall\n"
    assert "No space left" in done.stderr


def test_links_in_the_path_of_the_store_are_not_taken_by_name(
    native: Native, tmp_path: Path
) -> None:
    shutil.copytree(native.store, tmp_path / "other" / "store", symlinks=True)
    (tmp_path / "other" / "below").mkdir()
    (tmp_path / "link").symlink_to("other/below")

    done = native.run(LAMINA_STORE=f"{tmp_path}/link/../store")  # Python goes by the name

    assert (done.returncode, done.stdout) == (0, "python\nran\n")


def test_who_it_is_changes_after_all_is_checked(native: Native) -> None:
    native.become("cat /proc/self/uid_map")
    for path in (*native.store.glob("blobs/*/*"), *native.store.glob("merged/*/*")):
        os.utime(path)

    assert native.run().stdout == Path("/proc/self/uid_map").read_text()


def test_it_finds_python_where_proc_is_not_mounted(native: Native) -> None:
    if native.around:
        pytest.skip("nothing is mounted without the right")
    native.become("echo python")
    code = 'mount -t tmpfs none /proc && exec "$0" "$@"'

    assert native.run(around=["unshare", "-m", "sh", "-c", code]).stdout == "ran\n"
    Path(native.store, "starts").joinpath("0-program").unlink()
    assert native.run(around=["unshare", "-m", "sh", "-c", code]).stdout == "python\n"


@pytest.mark.parametrize("name", ["with a space", "l" * 200])
def test_the_interpreter_is_found_wherever_it_is_installed(
    native: Native, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name / name
    folder.mkdir(parents=True)
    (folder / "python").symlink_to("/bin/echo")
    usual = Path(native.command + "-python")
    usual.write_text(f"#!{folder}/python\n")

    done = native.run(LAMINA_STORE=str(tmp_path / "none"))

    assert done.stdout == f"{usual} exec program -- \n"


_CALLS = {
    "fsconfig": 22, "fsmount": 38, "fsopen": 1, "mount": 1, "move_mount": 1, "open_tree": 38,
    "prctl": 22, "setsid": 1, "unshare": 1,
}  # fmt: skip
_REFUSE = """\
import os, sys
from lamina.linux import syscalls
syscalls.no_new_privileges()
syscalls.filter_system_calls(bytes.fromhex(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""
_OF_SERVERS = ("prctl", "setsid")


def _refusal(code: int, *calls: str) -> str:
    rule = {"names": list(calls), "action": "SCMP_ACT_ERRNO", "errnoRet": code}
    return seccomp.compiled({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}).hex()


def test_what_a_machine_refuses_is_left_to_python(native: Native) -> None:
    native.become("echo python")

    for call, code in _CALLS.items():
        done = native.run(around=[sys.executable, "-c", _REFUSE, _refusal(code, call)])
        is_met = native.around or call not in _OF_SERVERS
        assert done.stdout == ("python\n" if is_met else "ran\n"), call


def test_python_is_asked_in_the_folder_of_the_caller(native: Native) -> None:
    native.become("pwd")
    entering = _refusal(1, "pivot_root", "chroot")
    stacking = _refusal(38, "open_tree")

    entered = native.run(around=[sys.executable, "-c", _REFUSE, entering])
    launcher.compiled(Path(native.command), launcher.OLD_KERNELS)
    stacked = native.run(around=[sys.executable, "-c", _REFUSE, stacking])

    assert native.run().stdout == "ran\n"
    assert entered.stdout == stacked.stdout == f"{native.root}\n"
