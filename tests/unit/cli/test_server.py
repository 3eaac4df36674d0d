"""The key of a server, and what a fork takes on."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.cli import forked, forkserver, serverclient, serverkey
from lamina.cli.commandlist import COMMANDS
from lamina.cli.preloaded import COMMANDS as SERVED
from tests import launcher, servers

_OWN = """\
import os, sys
sys.path[:0] = {path!r}
from lamina.cli import serverkey
launcher = {launcher!r}
own = serverkey.key(os.getpid(), launcher, launcher + "-python")
print(os.environ["LAMINA_SERVER_KEY"], own)
"""


@pytest.mark.parametrize("flags", [(), ("-fsanitize=address,undefined",)])
def test_the_launcher_and_python_find_one_key(tmp_path: Path, flags: tuple[str, ...]) -> None:
    made = launcher.compiled(tmp_path / "lamina", *flags)
    usual = tmp_path / "lamina-python"
    code = _OWN.format(path=[each for each in sys.path if each], launcher=str(made))
    usual.write_text(f"#!{sys.executable} -S\n{code}")
    usual.chmod(0o755)

    done = subprocess.run(
        [made, "server", "status"],
        env={**os.environ, "TZ": "Asia/Tokyo", "LC_MESSAGES": "é\n", "HOME": "/somewhere"},
        capture_output=True,
        text=True,
        check=True,
    )

    by_launcher, by_python = done.stdout.split()
    assert by_launcher == by_python
    assert done.stderr == ""


def test_the_launcher_serves_the_commands_that_are_preloaded() -> None:
    text = (launcher.SOURCES / "server.c").read_text()
    listed = text.partition("commands[] = {")[2].partition("}")[0]
    assert tuple(word.strip(' "') for word in listed.replace("\n", " ").split(",")[:-1]) == SERVED
    assert set(SERVED) <= set(COMMANDS)


def test_the_key_has_what_a_fork_has_from_its_server() -> None:
    here = str(Path(__file__))
    text = serverkey.text(os.getpid(), here, here)

    assert f"mnt:[{os.stat('/proc/self/ns/mnt').st_ino}]\n".encode() in text
    assert b"Max open files" in text
    assert b"\nUid:\t" in text
    assert serverkey.key(os.getpid(), here, here) == hashlib.blake2s(text).hexdigest()


def test_a_process_that_is_gone_has_no_key() -> None:
    here = str(Path(__file__))
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(OSError):
        serverkey.key(child.pid, here, here)


def test_the_first_of_a_name_is_in_the_environment() -> None:
    code = (
        "import os; from lamina.cli import forked\n"
        "forked.set_environment([b'A=1', b'B=x=y', b'A=2'])\n"
        "os.environ.pop('LC_CTYPE', None)\n"
        "assert dict(os.environ) == {'A': '1', 'B': 'x=y'}, os.environ\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_that_is_preloaded_starts_a_thread_or_keeps_a_file() -> None:
    code = (
        "import os\n"
        "from lamina.cli import forkserver\n"
        "from lamina.cli.preloaded import MODULES\n"
        "before = os.listdir('/proc/self/fd')\n"
        "forkserver._preload(MODULES)\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


_IMPORTED = """
import os, sys
from pathlib import Path
from lamina.cli import forkserver, start
from lamina.cli.preloaded import MODULES
forkserver._preload(MODULES)
place = sys.argv[1]
for word in ("one", "two"):
    Path("p.py").write_text(f"WORD = {word!r}\\n")
    for words in (
        ["push", "-q", "//:p", f"{place}/p"], ["submit", "--on", "lab", "--dry-run", "//:p"]
    ):
        if os.fork() == 0:
            before = {*sys.modules}
            sys.argv[1:] = words
            os.dup2(os.open("out", os.O_WRONLY | os.O_CREAT), 1)
            code = start.program()
            if word == "two":  # an edit of what was there
                print("new", code, *sorted({*sys.modules} - before), file=sys.stderr)
            os._exit(code)
        assert os.wait()[1] == 0
"""


def test_a_push_and_a_submit_of_an_edit_import_next_to_nothing(tmp_path: Path) -> None:
    with servers.registry(tmp_path / "registry") as registry:
        place = f"{registry.host}/team"
        settings = f'[cluster.lab]\nlauncher = "slurm"\nregistry = "{place}"\n'
        (tmp_path / "lamina.toml").write_text(settings)
        (tmp_path / "BUILD").write_text('python_binary(name = "p", srcs = ["p.py"])\n')
        done = subprocess.run(
            [sys.executable, "-c", _IMPORTED, place], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "LAMINA_STORE": str(tmp_path / "store")},
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    ends = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("new ")]
    assert [code for code, *_ in ends] == ["0", "0"]
    ours = ("lamina.", "http", "h11", "anyio", "zstandard", "google.")
    assert not [name for _, *names in ends for name in names if name.startswith(ours)]


@pytest.mark.parametrize(("what", "code"), [(3, 3), (0, 0), (256 + 7, 7), ("text", 1), (None, 0)])
def test_exit_codes_are_those_of_the_interpreter(what: object, code: int) -> None:
    def program() -> int:
        sys.exit(what)  # type: ignore[arg-type]

    child = os.fork()
    if child == 0:
        os._exit(forked.ended(program))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code


def test_no_server_answers_for_a_key_of_nobody() -> None:
    assert serverclient.facts("0" * 64) is None
    assert not serverclient.end("0" * 64)


def test_server_needs_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.cli.commands import server
    from lamina.core.errors import HostError

    programs = forkserver.Programs("/lamina", "/lamina-python")
    with pytest.raises(HostError, match="only the native"):
        server._must_work("", programs)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(HostError, match="SIGHUP"):
            server._must_work("0", programs)
    finally:
        signal.signal(signal.SIGHUP, before)
