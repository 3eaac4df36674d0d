"""What a sandboxed command can see, read, write and reach: tried by commands that try it."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lamina.build.sandbox import Cancelled, Run, Sandbox, TimedOut
from lamina.core.action import ActionResult
from lamina.core.cancellation import Cancellation
from lamina.core.errors import HostError, LaminaError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.store.local import LocalStore

Shell = Callable[..., ActionResult]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def shell(store: LocalStore) -> Shell:
    """Run a shell command with some inputs; text becomes a file, a node stays one."""

    def run(
        command: str, inputs: Mapping[str, str | Node] | None = None, **environment: str
    ) -> ActionResult:
        tree = {
            path: File(store.write(item.encode())) if isinstance(item, str) else item
            for path, item in (inputs or {}).items()
        }
        return Sandbox(store).run(Run(("/bin/sh", "-c", command), environment, tree, ()))

    return run


def printed(result: ActionResult) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode().strip()


def test_inputs_lie_at_their_paths(shell: Shell) -> None:
    assert printed(shell("cat a.txt b/c/d.txt", {"a.txt": "one ", "b/c/d.txt": "two"})) == "one two"


def test_only_inputs_and_the_output_folder_lie_where_it_runs(shell: Shell) -> None:
    assert printed(shell("find . | sort", {"a/b": ""})).split() == [".", "./a", "./a/b", "./out"]


def test_an_input_has_its_executable_bit(shell: Shell, store: LocalStore) -> None:
    tool = File(store.write(b"#!/bin/sh\necho ran"), executable=True)

    assert printed(shell("./tool", {"tool": tool})) == "ran"
    assert shell("./tool", {"tool": File(tool.digest)}).exit_code == 126


def test_an_input_may_be_a_link_or_an_empty_folder(shell: Shell) -> None:
    inputs: dict[str, str | Node] = {"a": "text", "l": Symlink("a"), "d/e": Folder()}

    assert printed(shell("cat l; readlink l; ls -A d", inputs)).split() == ["texta", "e"]


@pytest.mark.parametrize(
    "command",
    [
        "echo x > a",
        "echo x >> a",
        "rm -f a",
        "chmod 777 a",
        "mv a b",
        "ln a b",
        "touch new",
        "mkdir new",
    ],
)
def test_inputs_cannot_be_changed(shell: Shell, store: LocalStore, command: str) -> None:
    assert shell(command, {"a": "kept"}).exit_code != 0
    assert printed(shell("cat a", {"a": "kept"})) == "kept"


@pytest.mark.parametrize("folder", ["/", "/usr", "/work", "/etc", "/bin", "/home", "/proc/sys"])
def test_nothing_outside_of_its_output_and_tmp_can_be_written(shell: Shell, folder: str) -> None:
    assert shell(f"mkdir -p {folder} && echo x > {folder}/lamina-test").exit_code != 0


def test_its_output_folder_and_tmp_can_be_written(shell: Shell) -> None:
    assert printed(shell("echo x > out/a && echo x > /tmp/a && cat /tmp/a")) == "x"


def test_tmp_is_its_own(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    assert printed(shell("ls -A /tmp")) == ""
    assert shell(f"cat {tmp_path}/secret").exit_code != 0


def test_files_of_the_machine_are_not_there(shell: Shell) -> None:
    hidden = "/root /home /etc/shadow /etc/hostname /var /opt /srv /mnt"

    assert printed(shell(f"for path in {hidden}; do [ ! -e $path ] || echo $path; done")) == ""


def test_there_is_no_network(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = shell(f"exec 3<>/dev/tcp/127.0.0.1/{port}")
        by_bash = shell(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'")

    assert result.exit_code != 0
    assert b"onnection refused" in by_bash.stderr


def test_other_processes_are_not_seen(shell: Shell) -> None:
    found = printed(shell("for each in /proc/[0-9]*; do cat $each/comm; done"))

    assert set(found.split()) <= {"bwrap", "sh", "cat"}


def test_the_environment_is_the_same_everywhere(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_TEST_LEAK", "1")
    monkeypatch.setenv("PATH", "/nowhere:/usr/bin:/bin")

    found = dict(line.split("=", 1) for line in printed(shell("env", OWN="2")).splitlines())

    assert found["OWN"] == "2"
    assert found["PATH"] == "/usr/bin:/bin"
    assert "LAMINA_TEST_LEAK" not in found


def test_an_action_may_set_a_variable_anew(shell: Shell) -> None:
    assert printed(shell("echo $TZ", TZ="Asia/Tokyo")) == "Asia/Tokyo"


def test_what_was_made_is_in_the_store(shell: Shell, store: LocalStore) -> None:
    result = shell("mkdir -p out/d && echo text > out/d/f && printf x > out/x && chmod +x out/x")

    made = dict(result.outputs)
    assert list(made) == ["d/f", "x"]
    file, program = made["d/f"], made["x"]
    assert isinstance(file, File)
    assert isinstance(program, File)
    assert store.read(file.digest) == b"text\n"
    assert (file.executable, program.executable) == (False, True)


def test_links_and_empty_folders_are_outputs(shell: Shell) -> None:
    result = shell("mkdir -p out/empty/below out/full && ln -s ../x out/full/l && ln -s full out/f")

    assert dict(result.outputs) == {
        "empty/below": Folder(),
        "f": Symlink("full"),
        "full/l": Symlink("../x"),
    }


def test_an_output_that_is_a_pipe_is_refused(shell: Shell) -> None:
    with pytest.raises(LaminaError, match="neither file, link nor folder"):
        shell("mkfifo out/pipe")


def test_the_folders_of_outputs_are_there(store: LocalStore) -> None:
    run = Run(("/bin/sh", "-c", "echo x > out/a/b/c"), {}, {}, ("a/b/c",))

    assert [path for path, _ in Sandbox(store).run(run).outputs] == ["a/b/c"]


def test_a_failing_command_leaves_its_words_and_no_outputs(shell: Shell) -> None:
    result = shell("echo half > out/a; echo told; echo why >&2; exit 7")

    assert (result.exit_code, result.stdout, result.stderr) == (7, b"told\n", b"why\n")
    assert result.outputs == ()


def test_a_program_that_is_not_there_is_told(store: LocalStore) -> None:
    with pytest.raises(HostError, match="cannot start `/nowhere/tool`"):
        Sandbox(store).run(Run(("/nowhere/tool",), {}, {}, ()))


@pytest.mark.parametrize(
    "command",
    ["touch out/x", "touch out/x; exit 1", "mkfifo out/x", "mkdir -m 0 out/x", "mkdir -p out/a/x"],
)
def test_an_action_sees_nothing_of_the_one_before(store: LocalStore, command: str) -> None:
    sandbox = Sandbox(store)
    before = {"a/b": File(store.write(b"1")), "c/d": File(store.write(b"2"))}
    after = {"a/e": File(store.write(b"3"))}
    with contextlib.suppress(LaminaError):
        sandbox.run(Run(("/bin/sh", "-c", command), {}, before, ("a/o",)))

    result = sandbox.run(Run(("/bin/sh", "-c", "find . | sort"), {}, after, ("a/p",)))

    assert result.stdout.split() == [b".", b"./a", b"./a/e", b"./out", b"./out/a"]
    assert len(list(store.scratch.iterdir())) == 1


def test_what_a_failed_action_made_is_removed_at_once(shell: Shell, store: LocalStore) -> None:
    shell("echo much > out/x; exit 1")

    assert list(store.scratch.rglob("x")) == []


def test_a_left_over_process_ends_with_the_action(shell: Shell, tmp_path: Path) -> None:
    printed(shell("setsid sleep 98765 > /dev/null 2>&1 < /dev/null &"))

    assert gone("98765")


def test_cancel_ends_what_runs(store: LocalStore) -> None:
    sandbox = Sandbox(store)
    ended: list[BaseException] = []

    def work() -> None:
        try:
            sandbox.run(Run(("/bin/sh", "-c", "touch out/begun; sleep 98764"), {}, {}, ()))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not list(store.scratch.rglob("begun")):
        thread.join(0.01)
    sandbox.cancel()
    thread.join()

    assert isinstance(ended[0], Cancelled)
    assert gone("98764")
    assert list(store.scratch.iterdir()) == []


def test_one_action_is_cancelled_and_the_next_one_runs(store: LocalStore) -> None:
    sandbox, cancellation = Sandbox(store), Cancellation()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            command = "touch out/begun; sleep 98763 & wait"
            sandbox.run(Run(("/bin/sh", "-c", command), {}, {}, ()), cancellation)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not list(store.scratch.rglob("begun")):
        thread.join(0.01)
    cancellation.end()
    thread.join()

    assert isinstance(ended[0], Cancelled)
    assert gone("98763")
    assert list(store.scratch.iterdir()) == []
    assert sandbox.run(Run(("/bin/true",), {}, {}, ())).exit_code == 0
    with pytest.raises(Cancelled):
        sandbox.run(Run(("/bin/true",), {}, {}, ()), cancellation)


def test_nothing_starts_after_cancel(store: LocalStore) -> None:
    sandbox = Sandbox(store)
    sandbox.cancel()

    with pytest.raises(Cancelled):
        sandbox.run(Run(("/bin/true",), {}, {}, ()))


def gone(mark: str) -> bool:
    """Whether no process with this in its command line is left, or is about to be."""
    end = time.monotonic() + 30
    while any(mark in command for command in commands()):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)  # a killed process takes a moment to go
    return True


def commands() -> list[str]:
    """The command lines of all processes that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except OSError:
            continue
    return found


def test_outputs_that_are_one_file_under_two_names_are_both_kept(store: LocalStore) -> None:
    outputs = made(store, "echo x > out/a; chmod 600 out/a; ln out/a out/b")

    assert outputs["a"] == outputs["b"]
    assert stat.S_IMODE(store.path(outputs["a"].digest).stat().st_mode) == 0o444


def test_an_output_folder_that_nobody_may_enter_is_looked_into(store: LocalStore) -> None:
    assert list(made(store, "mkdir out/d; echo x > out/d/f; chmod 000 out/d")) == ["d/f"]


def made(store: LocalStore, command: str) -> dict[str, File]:
    run = Run(("/bin/sh", "-ec", command), {}, {}, ("a",))
    return {p: node for p, node in Sandbox(store).run(run).outputs if isinstance(node, File)}


def test_an_action_that_takes_too_long_is_ended(store: LocalStore) -> None:
    begun = time.monotonic()

    with pytest.raises(TimedOut, match=r"longer than 0\.2 s"):
        Sandbox(store).run(Run(("/bin/sleep", "60"), {}, {}, (), timeout=0.2))
    assert time.monotonic() - begun < 10


def test_the_network_is_there_only_for_who_may_use_it(store: LocalStore) -> None:
    interfaces = ("/bin/sh", "-c", "cat /proc/net/dev | wc -l")

    closed = Sandbox(store).run(Run(interfaces, {}, {}, ()))
    opened = Sandbox(store).run(Run(interfaces, {}, {}, (), network=True))

    outside = len(Path("/proc/net/dev").read_text().splitlines())
    assert (int(closed.stdout), int(opened.stdout)) == (3, outside)


def test_every_action_has_the_same_user_and_knows_localhost(shell: Shell) -> None:
    assert printed(shell("getent hosts localhost | grep -c localhost; id -un")) == "1\nlamina"
