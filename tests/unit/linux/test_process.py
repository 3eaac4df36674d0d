"""Starting programs: found on PATH, run to their end, their last words in the error."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from lamina.core.errors import HostError
from lamina.linux import process


def tool(folder: Path, name: str, script: str = "exit 0") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_tool_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tool(tmp_path / "bin", "lamina-test-tool")
    monkeypatch.setenv("PATH", str(made.parent))

    assert process.find("lamina-test-tool") == made


def test_a_file_that_may_not_be_run_is_no_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "lamina-test-tool").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert process.find("lamina-test-tool") is None


def test_tools_of_the_administrator_are_found_though_sbin_is_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert process.find("ldconfig") in (Path("/usr/sbin/ldconfig"), Path("/sbin/ldconfig"))


@pytest.mark.parametrize(
    ("name", "package"),
    [("mksquashfs", "squashfs-tools"), ("bwrap", "bubblewrap")],
)
def test_a_missing_tool_comes_with_the_debian_package_that_has_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "find", lambda _: None)

    with pytest.raises(HostError, match=f"the tool `{name}` is not on this machine") as caught:
        process.require(name)

    assert caught.value.hint == f"on Debian or Ubuntu: `apt-get install {package}`"


def test_of_a_tool_that_no_package_is_known_for_none_is_named() -> None:
    with pytest.raises(HostError) as caught:
        process.require("frobnicate")

    assert caught.value.hint == "see `PATH`"


def test_an_extra_is_installed_where_lamina_lies() -> None:
    assert process.install("lock") == f"{sys.executable} -m pip install 'lamina[lock]'"


def test_a_program_reads_what_it_is_given_and_its_output_comes_back() -> None:
    done = process.run("sh", "-c", "cat; echo oops >&2", input=b"\0\xff")

    assert (done.stdout, done.stderr, done.returncode) == (b"\0\xff", b"oops\n", 0)


def test_a_program_that_is_given_nothing_reads_nothing() -> None:
    assert process.run("cat").stdout == b""


def test_a_program_runs_in_the_folder_and_environment_it_is_given(tmp_path: Path) -> None:
    done = process.run(Path("/bin/sh"), "-c", 'echo "$PWD $A $HOME"', cwd=tmp_path, env={"A": "1"})

    assert done.stdout.decode() == f"{tmp_path.resolve()} 1 \n"


def test_a_failing_program_is_reported_in_its_own_words(tmp_path: Path) -> None:
    made = tool(tmp_path, "fail", "echo said; echo 'no such luck ' >&2; exit 7")

    with pytest.raises(HostError) as caught:
        process.run(made)

    assert caught.value.message == "`fail` failed with exit code 7: no such luck"


def test_a_program_that_fails_without_a_word_on_stderr_is_heard_on_stdout(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="exit code 1: said"):
        process.run(tool(tmp_path, "fail", "echo said; exit 1"))


def test_an_exit_code_that_is_expected_is_no_failure(tmp_path: Path) -> None:
    assert process.run(tool(tmp_path, "one", "exit 1"), ok=(0, 1)).returncode == 1


def test_a_spawned_program_leads_a_session_of_its_own_so_ctrl_c_does_not_reach_it() -> None:
    child = process.spawn(["/bin/sleep", "60"])
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_a_spawned_program_writes_where_it_is_told(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        child = process.spawn(
            ["/bin/sh", "-c", 'echo "$A"; cat'], env={"A": "1"}, stdout=log.fileno()
        )

    assert child.wait() == 0
    assert (tmp_path / "log").read_text() == "1\n"


def test_a_spawned_program_inherits_the_descriptors_it_is_passed_and_no_other(
    tmp_path: Path,
) -> None:
    with (tmp_path / "a").open("w") as passed, (tmp_path / "b").open("w") as kept:
        os.set_inheritable(kept.fileno(), True)
        script = f"test -e /proc/self/fd/{passed.fileno()} -a ! -e /proc/self/fd/{kept.fileno()}"
        child = process.spawn(["/bin/sh", "-c", script], pass_fds=[passed.fileno()])

        assert child.wait() == 0


def test_a_bound_program_is_killed_with_who_started_it(tmp_path: Path) -> None:
    program = tool(tmp_path, "program", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    child = os.fork()
    if child == 0:
        process.run(program, bound=True)
        os._exit(0)
    while not (written := tmp_path / "pid").exists() or not written.read_text():
        time.sleep(0.01)
    started = os.pidfd_open(int(written.read_text()))

    os.kill(child, signal.SIGKILL)

    assert select.select([started], [], [], 10)[0]
    os.close(started)
    os.waitpid(child, 0)
