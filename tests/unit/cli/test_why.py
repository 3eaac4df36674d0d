"""`lamina why`: why the actions of a target ran."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

Done = subprocess.CompletedProcess[str]


class Lamina(Protocol):
    store: Path

    def write(self, files: dict[str, str]) -> None: ...
    def actions(self, *words: str) -> int: ...
    def __call__(self, *words: str, at: str = "") -> Done: ...


PROGRAM = """
cxx_library(name = "u", srcs = ["u.cc"], hdrs = ["u.h"])
cxx_binary(name = "m", srcs = ["m.cc"], deps = [":u"])
genrule(name = "g", srcs = ["g.txt"], outs = ["g"], cmd = "cat $< > $@")
"""


@pytest.fixture
def built(lamina: Lamina) -> Lamina:
    lamina.write(
        {
            "BUILD": PROGRAM,
            "u.h": "int u();\n",
            "u.cc": '#include "u.h"\nint u() { return 0; }\n',
            "m.cc": '#include "u.h"\nint main() { return u(); }\n',
            "g.txt": "1",
        }
    )
    lamina.actions()
    return lamina


def why(lamina: Lamina, label: str) -> str:
    """What is told, without the digests."""
    done = lamina("why", label)
    assert done.returncode == 0, done.stderr
    return re.sub(r"\b[0-9a-f]{16}\b", "#", done.stdout)


def test_what_ran_for_the_first_time_is_new(built: Lamina) -> None:
    assert why(built, "//:g") == (
        "`//:g` ran in build 1, `lamina build //...`\n"
        "\n"
        "Genrule g\n"
        "  it is not known to have run before\n"
    )


def test_an_edited_file_is_named_and_what_it_led_to(built: Lamina) -> None:
    built.write({"u.h": "int u(); struct S;\n", "u.cc": '#include "u.h"\nint u() { return 1; }\n'})
    built.actions()

    assert why(built, "//:m") == (
        "`//:m` ran in build 2, `lamina build //...`\n"
        "\n"
        "CxxCompile m.cc\n"
        "  since build 1:\n"
        "  input u.h changed: # -> #\n"
        "\n"
        "CxxLink bin/m\n"
        "  since build 1:\n"
        "  input libu.a changed: # -> #\n"
        "      made by CxxArchive libu.a of //:u\n"
        "\n"
        "behind it\n"
        "  input u.cc changed: # -> #\n"
        "  input u.h changed: # -> #\n"
    )


def test_a_layer_is_not_compared_with_a_xar_of_the_whole(built: Lamina) -> None:
    assert built("package", "//:m", "--format", "xar").returncode == 0
    built.write({"m.cc": '#include "u.h"\nint main() { return u() + 1; }\n'})
    assert built("package", "//:m").returncode == 0

    told = why(built, "//:m")

    assert "Layer //:m\n" in told
    assert "input root/bin/m changed" in told
    assert "that is gone" not in told


def test_a_flag_is_named(built: Lamina) -> None:
    built.actions("//:u", "--copt=-DNEW")

    assert "CxxCompile u.cc\n  since build 1:\n  new argument: -DNEW\n" in why(built, "//:u")


def test_builds_without_the_target_do_not_matter(built: Lamina) -> None:
    for number in range(3):
        built.write({"g.txt": f"other {number}"})
        built.actions()
    built.write({"m.cc": "int main() {}\n"})
    built.actions()

    told = why(built, "//:m")

    assert "ran in build 5" in told
    assert "since build 1:\n  input m.cc changed" in told
    assert why(built, "//:g").startswith("`//:g` last ran in build 4")


def test_a_result_that_went_out_of_the_store_is_told(built: Lamina) -> None:
    for folder in (built.store / "actions", *built.store.glob("workspaces/*/records")):
        shutil.rmtree(folder)

    told = "nothing has changed, but its result was no longer in the store"
    assert told in built("build", "//:g", "-n").stdout
    built.actions("//:g")
    assert told in why(built, "//:g")


def test_what_failed_tells_that_it_runs_each_time(built: Lamina) -> None:
    built.write({"BUILD": PROGRAM.replace("cat $<", "echo no; false")})
    for _ in range(2):
        assert built("build", "//:g").returncode == 1

    assert "Genrule g, and failed\n  it had failed in build 2, and" in why(built, "//:g")


def test_why_as_json_has_all_of_it(built: Lamina) -> None:
    built.write({"g.txt": "2"})
    built.actions()

    told = json.loads(built("why", "--json", "//:g").stdout)

    assert (told["target"], told["build"], told["command"]) == ("//:g", 2, ["build", "//..."])
    [action] = told["actions"]
    assert (action["action"], action["verdict"], action["since_build"]) == (
        "Genrule g",
        "changed",
        1,
    )
    assert [change["name"] for change in action["changes"]] == ["g.txt"]


def test_a_target_without_actions_is_told(built: Lamina) -> None:
    built.write({"f/BUILD": "filegroup(name = 'f')\n"})

    done = built("why", "//f")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: no action of `//f:f` is on record\nhint: ")
