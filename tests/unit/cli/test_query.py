"""`lamina query`, `graph` and `targets` as a person types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .conftest import Lamina

FILES = {
    "app/BUILD": "python_binary(name = 'app', srcs = ['app.py'], deps = ['//lib'])\n",
    "app/app.py": "",
    "lib/BUILD": """
print("loading lib")
python_library(name = "lib", srcs = ["lib.py"], deps = [":part"], visibility = ["PUBLIC"])
python_library(name = "part", srcs = ["part.py"], tags = ["manual"])
""",
    "lib/lib.py": "",
    "lib/part.py": "",
}


@pytest.fixture
def asked(lamina: Lamina) -> Lamina:
    lamina.write(FILES)
    return lamina


def given(lamina: Lamina, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        lamina.command(*words), cwd=lamina.root, env=lamina.environment, input=text,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_answers_go_to_stdout_and_what_build_files_print_does_not(asked: Lamina) -> None:
    done = asked("query", "deps(//app) ^ kind(library, //...)")

    assert (done.returncode, done.stdout) == (0, "//lib:lib\n//lib:part\n")
    assert done.stderr == "loading lib\n"


def test_words_are_relative_to_the_folder(asked: Lamina) -> None:
    assert asked("query", "deps(:lib, 1)", at="lib").stdout == (
        "//lib:lib\n//lib:lib.py\n//lib:part\n"
    )
    assert asked("query", "owner(part.py)", at="lib").stdout == "//lib:part\n"


def test_several_words_are_one_query(asked: Lamina) -> None:
    assert asked("query", "//app", "+", ":part", at="lib").stdout == "//app:app\n//lib:part\n"


def test_arguments_take_their_place_in_the_query(asked: Lamina) -> None:
    assert asked("query", "owner(%s)", "lib/lib.py", "app/app.py").stdout == (
        "//app:app\n//lib:lib\n"
    )
    assert asked("query", "rdeps(//..., %Ss, 1)", "//lib:part", "//lib").stdout == (
        "//app:app\n//lib:lib\n//lib:part\n"
    )
    done = asked("query", "owner('%s')")
    assert "no argument for the `%s` in the query" in done.stderr


def test_the_query_or_its_arguments_may_come_from_standard_input_or_a_file(asked: Lamina) -> None:
    asked.write({"query.txt": "kind(binary,\n  //...)\n", "files": "app/app.py\nlib/lib.py\n"})

    assert given(asked, "kind(binary, //...)", "query", "-").stdout == "//app:app\n"
    assert given(asked, "lib/part.py\n", "query", "owner(%s)", "-").stdout == "//lib:part\n"
    assert asked("query", "--query-file", "query.txt").stdout == "//app:app\n"
    assert asked("query", "owner(%s)", "@files").stdout == "//app:app\n//lib:lib\n"


def test_forms_of_output(asked: Lamina) -> None:
    assert (
        asked("query", "//app", "--output", "label_kind").stdout == "python_binary rule //app:app\n"
    )
    assert asked("query", "//app", "--output=location").stdout == (
        f"{asked.root}/app/BUILD:1:1: python_binary rule //app:app\n"
    )
    [found] = json.loads(asked("query", "//app", "--json", "-a", "^main").stdout)
    assert found["attributes"] == {"main": None, "main_module": "", "main_function": ""}
    assert asked("query", "//app", "--dot").stdout.startswith("digraph")
    assert '"//xx"' not in asked("query", "//app", "--output", "xml").stdout


def test_options_have_the_names_of_bazel_too(asked: Lamina) -> None:
    done = asked(
        "query", "deps(//app, 1)", "--noimplicit_deps", "--notool_deps", "--order_output=deps",
        "--keep_going", "--universe_scope=//...",
    )  # fmt: skip

    assert done.stdout == "//app:app\n//app:app.py\n//lib:lib\n", done.stderr


def test_a_mistake_points_into_the_query(asked: Lamina) -> None:
    done = asked("query", "deps(//app) + dep(//lib)")

    assert done.returncode == 3
    assert done.stderr == (
        "error: column 15: there is no function `dep`\n"
        "  deps(//app) + dep(//lib)\n"
        "                ^\n"
        "hint: did you mean `deps`?\n"
    )


def test_in_spite_of_faults_there_is_an_answer_and_an_exit_code(asked: Lamina) -> None:
    asked.write({"bad/BUILD": "python_library("})

    done = asked("query", "kind(binary, //...)", "--keep-going")

    assert (done.returncode, done.stdout) == (3, "//app:app\n")
    assert "error: bad/BUILD:1:" in done.stderr
    assert asked("query", "kind(binary, //...)").stdout == ""


def test_a_circle_can_be_looked_at(asked: Lamina) -> None:
    asked.write({"c/BUILD": "filegroup(name='a', srcs=[':b'])\nfilegroup(name='b', srcs=[':a'])\n"})

    assert asked("query", "somepath(//c:a, //c:b)").stdout == "//c:a\n//c:b\n"


def test_targets_are_listed_in_the_same_forms(asked: Lamina) -> None:
    assert asked("targets", "--output", "label_kind").stdout == (
        "python_binary rule //app:app\npython_library rule //lib:lib\n"
    )
    assert [each["label"] for each in json.loads(asked("targets", "--json").stdout)] == [
        "//app:app", "//lib:lib",
    ]  # fmt: skip


def test_a_picture_is_written_to_a_file(asked: Lamina) -> None:
    done = asked("graph", "//app", "-o", "out.svg")

    assert (done.returncode, done.stdout) == (0, "")
    picture = (asked.root / "out.svg").read_text()
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(picture).iter()]
    assert {"app", "lib", "part", "deps(//app)"} <= set(texts)


def test_a_picture_of_a_query_shows_what_it_gives(asked: Lamina) -> None:
    picture = asked("graph", "kind(binary, //...)", "--theme", "dark").stdout

    assert "1 target · 0 dependencies" in picture


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set()"], "`set()` gives no target to draw"),
        (["//nowhere"], "no build package `//nowhere`"),
        (["//app", "-o", "no/folder/x.svg"], "cannot write `no/folder/x.svg`: No such file"),
        (["//app", "--theme", "pink"], "pink"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_told(
    asked: Lamina, words: list[str], message: str
) -> None:
    done = asked("graph", *words)

    assert done.returncode == 3
    assert message in done.stderr
    assert done.stdout == ""
    assert not Path(asked.root / "no").exists()
