"""The command line as a whole: exit codes, help, errors, and commands that only look."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from lamina.cli.commandlist import COMMANDS, GROUPS

Done = subprocess.CompletedProcess[str]


class Lamina(Protocol):
    root: Path
    store: Path
    environment: dict[str, str]

    def write(self, files: dict[str, str]) -> None: ...
    def __call__(self, *words: str, at: str = "", switches: tuple[str, ...] = ()) -> Done: ...


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["build", "--help"], 0),
        ([], 3),
        (["no-such-command"], 3),
        (["build"], 3),
        (["build", "--no-such-option", "//..."], 3),
        (["build", "-j", "0", "//..."], 3),
        (["build", "//:absent"], 3),
        (["build", "//:bad"], 1),
        (["run", "//:bad"], 125),
        (["run", "//:absent"], 125),
        (["run", "//..."], 125),
        (["run"], 125),
        (["exec", "absent"], 125),
        (["package", "//:absent"], 3),
        (["targets", "//..."], 0),
        (["umount", "/"], 3),
    ],
)
def test_exit_codes(lamina: Lamina, words: list[str], code: int) -> None:
    lamina.write({"BUILD": "genrule(name = 'bad', outs = ['x'], cmd = 'exit 5')\n"})

    done = lamina(*words)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["test", "--test-timeout=--5", "//..."],
        ["test", "--test-timeout=²", "//..."],
        ["package", "--level=²", "//:x"],
        ["layers", "--replay=²", "//:x"],
        ["log", "show", "²"],
        ["cache", "gc", "--max-size=1e308T"],
        ["cache", "gc", "--max-age=²"],
    ],
)
def test_what_looks_like_a_number_is_told(lamina: Lamina, words: list[str]) -> None:
    done = lamina(*words)

    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("store", ["/proc/lamina", "/sys/lamina", "/dev/null"])
def test_a_store_where_none_can_be_is_no_fault_of_lamina(lamina: Lamina, store: str) -> None:
    lamina.environment["LAMINA_STORE"] = store

    done = lamina("build", "//...")

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot keep a store in `{store}`: ")


def test_a_place_that_may_not_be_written_is_no_fault_of_lamina(lamina: Lamina) -> None:
    done = lamina("init", "/sys")  # where not even root may

    assert done.returncode == 2
    assert done.stderr.startswith("error: may not use `/sys/lamina.toml`")
    assert "Traceback" not in done.stderr


def test_a_workspace_in_a_workspace_is_told_of(lamina: Lamina) -> None:
    (lamina.root / "a/b").mkdir(parents=True)

    done = lamina("init", "a/b")

    assert (done.returncode, done.stdout) == (0, "")
    words = f"it lies in the workspace `{lamina.root}`, which commands here mean no more"
    assert done.stderr == f"wrote `a/b/lamina.toml`\nwarning: {words}\n"


def test_an_error_and_its_hint_stand_on_lines_of_their_own(lamina: Lamina) -> None:
    done = lamina("build", "--jobs", "many", "//...")

    assert done.stdout == ""
    assert done.stderr == "error: `--jobs` takes a number from 1 upwards, not `many`\n"


@pytest.mark.parametrize("command", ["build", "package", "targets"])
def test_an_error_is_told_as_json(lamina: Lamina, command: str) -> None:
    done = lamina(command, "--json", "//absent:x")

    error = json.loads(done.stdout)["error"]
    assert set(error) == {"class", "message", "hint", "exit_code"}
    assert error["exit_code"] == done.returncode == 3
    assert done.stderr == ""


def test_what_is_for_the_program_does_not_make_errors_json(lamina: Lamina) -> None:
    done = lamina("run", "//absent:x", "--", "--json")

    assert done.stdout == ""
    assert done.stderr.startswith("error: ")


def test_an_action_that_fails_is_told_as_json(lamina: Lamina) -> None:
    lamina.write({"BUILD": "genrule(name = 'g', outs = ['x'], cmd = 'echo why >&2; exit 5')\n"})

    error = json.loads(lamina("build", "--json", "//:g").stdout)["error"]

    assert (error["class"], error["exit_code"]) == ("ActionError", 1)
    assert error["message"] == "`//:g`: Genrule x failed with exit code 5\nwhy"


def test_help_loads_no_command(lamina: Lamina) -> None:
    done = lamina("--help", switches=("-X", "importtime"))

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lamina.cli.main" in loaded
    assert not [name for name in loaded if name.startswith(("lamina.cli.commands", "lamina.build"))]
    assert not {"rich", "starlark", "google.protobuf", "subprocess", "importlib.metadata"} & loaded


def test_help_names_every_command(lamina: Lamina) -> None:
    printed = lamina("--help").stdout

    assert not set(COMMANDS) - set(printed.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(lamina: Lamina, command: str) -> None:
    done = lamina(command, "--help")

    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: lamina {command} [OPTION…]")
    assert done.stdout.splitlines()[1] == ""  # the usage is one line, however many options


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_completion_prints_a_script(lamina: Lamina, shell: str, word: str) -> None:
    printed = lamina("completion", shell).stdout

    assert word in printed
    assert "lamina" in printed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lamina bu", ["build"]),
        ("lamina build //p:", ["//p:one", "//p:two"]),
        ("lamina package //p:o", ["//p:one"]),
    ],
)
def test_words_are_completed(
    lamina: Lamina, line: str, expected: list[str], tmp_path: Path
) -> None:
    lamina.write({"p/BUILD": "filegroup(name = 'one')\nfilegroup(name = 'two')\n"})
    answer = tmp_path / "answer"
    lamina.environment |= {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
        "_ARGCOMPLETE_COMP_WORDBREAKS": "",
    }  # fmt: skip

    lamina()

    assert [word.strip().replace("\\", "") for word in answer.read_text().split("\n")] == expected


def test_targets_are_listed_by_pattern(lamina: Lamina) -> None:
    lamina.write({"BUILD": "filegroup(name = 'a')\n", "p/BUILD": "filegroup(name = 'b')\n"})

    assert lamina("targets").stdout == "//:a\n//p:b\n"
    assert lamina("targets", ":all", at="p").stdout == "//p:b\n"


def test_targets_are_told_as_json(lamina: Lamina) -> None:
    lamina.write({"p/BUILD": "py_library(name = 'a', deps = [':b'])\npy_library(name = 'b')\n"})

    first = json.loads(lamina("targets", "--json", "//p:a").stdout)[0]

    assert (first["label"], first["rule"]) == ("//p:a", "python_library")
    assert first["dependencies"] == ["//p:b"]


def test_doctor_tells_of_this_machine_as_json(lamina: Lamina) -> None:
    told = json.loads(lamina("doctor", "--json").stdout)

    assert "bwrap" in {feature["name"] for feature in told["features"]}
    assert set(told["mount_driver"]) == {"name", "reason"}


def test_package_tells_its_layers_as_json(lamina: Lamina) -> None:
    lamina.write({"BUILD": "python_binary(name = 'm', srcs = ['m.py'])\n", "m.py": ""})

    first = json.loads(lamina("package", "--json", "//:m").stdout)
    second = json.loads(lamina("package", "--json", "//:m").stdout)

    assert [layer["label"] for layer in first["layers"]] == ["//:m"]
    assert [told["layers"][0]["made"] for told in (first, second)] == [True, False]
    assert first["digest"] == second["digest"]


def test_init_makes_a_workspace_that_builds(lamina: Lamina) -> None:
    (lamina.root / "lamina.toml").unlink()
    lamina.write({"BUILD": "genrule(name = 'g', outs = ['x'], cmd = 'touch $@')\n"})

    codes = [lamina(*words).returncode for words in (["init"], ["build", "//..."], ["init"])]

    assert codes == [0, 0, 3]


def test_outside_of_a_workspace_is_told(lamina: Lamina) -> None:
    (lamina.root / "lamina.toml").unlink()

    done = lamina("build", "//...")

    assert done.returncode == 3
    assert "is in no workspace" in done.stderr


def test_a_store_that_cannot_be_made_is_told(lamina: Lamina) -> None:
    lamina.environment["LAMINA_STORE"] = str(lamina.root / "lamina.toml/store")

    done = lamina("build", "//...")

    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot ")


def test_a_store_of_another_format_is_told(lamina: Lamina) -> None:
    lamina.store.mkdir()
    (lamina.store / "VERSION").write_text("99\n")

    assert "has format 99" in lamina("build", "//...").stderr


def test_a_fault_of_lamina_itself_is_told_as_one(lamina: Lamina) -> None:
    program = (
        "from lamina.cli import main\n"
        "from lamina.cli.commands import init\n"
        "init.run = None\n"
        "raise SystemExit(main.main(['init']))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=lamina.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 70
    assert "TypeError: 'NoneType' object is not callable" in done.stderr
    assert "hint: please report it" in done.stderr


def test_the_version_is_that_of_the_distribution(lamina: Lamina) -> None:
    try:
        expected = importlib.metadata.version("lamina")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("lamina is not installed here")

    assert lamina("--version").stdout == f"lamina {expected}\n"


def test_a_target_without_files_at_run_time_is_not_packaged(lamina: Lamina) -> None:
    lamina.write({"BUILD": "genrule(name = 'g', outs = ['x'], cmd = 'exit 1')\n"})

    done = lamina("package", "//:g")

    assert (done.returncode, done.stdout) == (3, "")
    assert "there is nothing to package" in done.stderr


def test_init_of_a_folder_that_is_not_there_is_a_fault(lamina: Lamina) -> None:
    done = lamina("init", "absent")

    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "error: there is no folder `absent`",
    )


@pytest.mark.parametrize(
    ("at", "word", "label"),
    [
        ("", "top", "//:top"),
        ("", "a/b", "//a:b"),
        ("", "a", "//a:a"),
        ("a", "b", "//a:b"),
        ("", "a/c/d", "//a:c/d"),
    ],
)
def test_a_bare_path_names_a_target_where_it_is_no_build_package(
    lamina: Lamina, at: str, word: str, label: str
) -> None:
    rule = "genrule(name = '{0}', outs = ['{0}.out'], cmd = 'echo > $@')\n"
    lamina.write({"BUILD": rule.format("top"), "a/BUILD": "".join(map(rule.format, NAMES))})

    done = lamina("targets", word, at=at)

    assert done.stdout == f"{label}\n"


NAMES = ("a", "b", "c/d")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["submit", "-n", "0", "//:a"], "--tasks"),
        (["submit", "--gpus-per-task", "²", "//:a"], "--gpus-per-task"),
        (["logs", "--task", "x", "1"], "--task"),
        (["build", "--jobs", "-1", "//:a"], "--jobs"),
    ],
)
def test_a_number_that_is_none_is_told_with_its_option(
    lamina: Lamina, words: list[str], option: str
) -> None:
    done = lamina(*words)

    assert done.returncode == 3
    assert done.stderr.startswith(f"error: `{option}` takes a number from ")


def test_help_shows_commands_in_groups(lamina: Lamina) -> None:
    lines = lamina("--help").stdout.splitlines()

    assert [line[:-1] for line in lines if line.endswith(":")] == [*GROUPS, "options"]
