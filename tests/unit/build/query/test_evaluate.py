from __future__ import annotations

import pytest

from lamina.build.faults import FaultReport
from lamina.build.query.functions import FUNCTIONS
from lamina.build.query.graph import Edges
from lamina.build.query.syntax import QueryFault
from lamina.core.errors import UserError

from .conftest import Ask, Asked

FILES = {
    "app/BUILD": """
load("//tools:defs.bzl", "program")
program(name = "app")
python_test(name = "app_test", srcs = ["app_test.py"], deps = [":app"], size = "small",
            tags = ["slow", "net"])
test_suite(name = "all_tests", tests = [":app_test", "//lib:tests"])
""",
    "app/app.py": "",
    "app/app_test.py": "",
    "tools/BUILD": "exports_files(['shown.txt'])\nfilegroup(name = 'own', srcs = ['hidden.txt'])",
    "tools/defs.bzl": """
load(":more.bzl", "SRCS")
def program(name):
    native.python_binary(name = name, srcs = SRCS, deps = ["//lib:lib"])
""",
    "tools/more.bzl": "SRCS = ['app.py']",
    "tools/shown.txt": "",
    "tools/hidden.txt": "",
    "lib/BUILD": """
package(default_visibility = ["//app:__pkg__"])
py_library(name = "lib", srcs = ["lib.py", ":gen.py"], deps = ["//base"], testonly = False)
genrule(name = "gen", srcs = ["gen.txt"], outs = ["gen.py"], cmd = "cp $< $@", tools = [":tool"])
sh_binary(name = "tool", srcs = ["tool.sh"])
py_test(name = "one_test", srcs = ["one_test.py"], deps = [":lib"], size = "large")
py_test(name = "two_test", srcs = ["two_test.py"], tags = ["manual", "slow"])
test_suite(name = "tests")
test_suite(name = "quick", tests = ["one_test", "two_test"], tags = ["-slow"])
""",
    **{
        f"lib/{name}": "" for name in ("lib.py", "gen.txt", "tool.sh", "one_test.py", "two_test.py")
    },
    "base/BUILD": """
python_library(name = "base", srcs = glob(["*.py"]), visibility = ["PUBLIC"],
    deps = select({"//base:fast": [":quick"], "//conditions:default": [":plain"]}))
python_library(name = "quick")
python_library(name = "plain", base_module = "p")
config_setting(name = "fast", define_values = {"speed": "high"})
""",
    "base/base.py": "",
}


@pytest.fixture
def asked(ask: Ask) -> Asked:
    return ask(FILES)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("//lib:gen.py", "//lib:gen.py"),
        ("deps(//lib:gen.py, 1)", "//lib:gen //lib:gen.py"),
        ("deps(//lib:lib, 1)", "//base:base //lib:gen.py //lib:lib //lib:lib.py"),
        ("deps(//base, 1) - //base:base", "//base:base.py //base:fast //base:plain //base:quick"),
        ("kind(py_library, //lib:all)", "//lib:lib"),
        ("kind('^python_library$', //lib:all)", "//lib:lib"),
        ("kind('_test rule', //lib:all)", "//lib:one_test //lib:two_test"),
        ("kind('source file', //app:*)", "//app:BUILD //app:app.py //app:app_test.py"),
        ("kind('generated file', //lib:all-targets)", "//lib:gen.py"),
        ("filter('base$', //...)", "//base:base"),
        ("attr(tags, '[\\[ ]slow[,\\]]', //...)", "//app:app_test //lib:two_test"),
        ("attr(labels, slow, //...)", "//app:app_test //lib:quick //lib:two_test"),
        ("attr(testonly, 0, //lib:lib + //lib:gen)", "//lib:gen //lib:lib"),
        ("attr(deps, '//base:quick', //base:all)", "//base:base"),
        ("attr(name, '^t', //lib:all)", "//lib:tests //lib:tool //lib:two_test"),
        ("attr(visibility, PUBLIC, //...)", "//base:base"),
        ("attrfilter(base_module, p, //base:all)", "//base:plain"),
        ("attrfilter(deps, //base:base, //lib:all)", "//lib:lib"),
        ("nattrfilter(tags, slow, kind(_test, //...))", "//lib:one_test"),
        ("attrregexfilter(tags, '^ne', //...)", "//app:app_test"),
        ("labels(srcs, //lib:lib)", "//lib:gen.py //lib:lib.py"),
        ("labels(outs, //lib:gen)", "//lib:gen.py"),
        ("labels(deps, //base)", "//base:plain //base:quick"),
        ("inputs(//lib:lib)", "//lib:lib.py"),
        ("owner('lib/gen.txt')", "//lib:gen"),
        ("owner(base/base.py, lib/lib.py)", "//base:base //lib:lib"),
        ("owner(set(base/base.py //lib:lib.py))", "//base:base //lib:lib"),
        ("tests(//app:all_tests)", "//app:app_test //lib:one_test"),
        ("tests(//lib:quick)", "//lib:one_test"),
        ("tests(//lib:all)", "//lib:one_test //lib:two_test"),
        ("testsof(//lib:lib)", "//lib:one_test"),
        ("executables(//lib:all + //base:all)", "//lib:one_test //lib:tool //lib:two_test"),
        ("visible(//app, //lib:lib + //base:quick + //base)", "//base:base //lib:lib"),
        ("visible(//lib, //app:app)", ""),
        ("visible(//app, //tools:shown.txt + //tools:hidden.txt)", "//tools:shown.txt"),
        ("siblings(//tools:own) - //tools:own",
         "//tools:BUILD //tools:hidden.txt //tools:shown.txt"),
        ("buildfile(//app)", "//app:BUILD"),
        ("loadfiles(//app)", "//tools:defs.bzl //tools:more.bzl"),
        ("buildfiles(//app)", "//app:BUILD //tools:BUILD //tools:defs.bzl //tools:more.bzl"),
        ("rbuildfiles(tools/more.bzl)", "//app:BUILD"),
        ("rbuildfiles(lib/BUILD, tools/BUILD)", "//lib:BUILD //tools:BUILD"),
        ("targets_in_buildfile('tools/BUILD')", "//tools:own"),
        ("some(//lib:all, 2)", "//lib:gen //lib:lib"),
        ("some(//lib:two_test)", "//lib:two_test"),
        ("let x = //lib:all in $x - kind(test, $x)", "//lib:gen //lib:lib //lib:tool"),
        ("deps(//lib:gen, 9, first_order_deps() - //lib:tool)", "//lib:gen //lib:gen.txt"),
        ("deps(//lib:gen, 1, kind(rule, target_deps()))", "//lib:gen //lib:tool"),
        ("allrdeps(//base:quick, 1)", "//base:base //base:quick"),
        ("set()", ""),
        ("app/app.py", "//app:app.py"),
    ],
)  # fmt: skip
def test_functions(asked: Asked, query: str, expected: str) -> None:
    assert asked(query) == expected.split()


def test_words_are_relative_to_the_current_folder(asked: Asked) -> None:
    assert asked(":gen + lib.py", here="lib") == ["//lib:gen", "//lib:lib.py"]
    assert asked("owner(gen.txt)", here="lib") == ["//lib:gen"]


def test_a_path_that_is_some_way_is_told_in_its_order(asked: Asked) -> None:
    assert asked("somepath(//app, //lib:tool)") == [
        "//app:app", "//lib:lib", "//lib:gen.py", "//lib:gen", "//lib:tool",
    ]  # fmt: skip


def test_edges_of_tools_can_be_left_out(asked: Asked) -> None:
    assert asked("deps(//lib:gen)", edges=Edges(tools=False)) == ["//lib:gen", "//lib:gen.txt"]


def test_the_universe_can_be_narrowed(asked: Asked) -> None:
    assert asked("kind(rule, allrdeps(//base, 1))", scope="//base/..., //app:app") == [
        "//base:base", "//lib:lib",
    ]  # fmt: skip


def test_every_function_has_a_line_of_its_own(asked: Asked) -> None:
    assert all(function.doc.endswith(".") for function in FUNCTIONS.values())


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ("dep(//...)", "column 1: there is no function `dep`", "did you mean `deps`?"),
        ("deps()", "column 1: `deps` takes 1 to 3 arguments, not 0",
         "`deps(x, depth?, filter?)`: The targets, and all that they depend on."),
        ("deps(//base, x)", "column 14: a number from 0 upwards is expected, not `x`", None),
        ("kind('(', //...)",
         "column 6: not a regular expression: `(`:"
         " missing ), unterminated subpattern at position 0",
         "`.` stands for any character, a backslash takes a sign its meaning"),
        ("kind(a + b, //...)",
         "column 6: `regex` of `kind` is a regular expression, not an expression",
         'a text with signs in it needs quotes: `"…"`'),
        ("//bsae", "column 1: no build package `//bsae`, needed for `//bsae:bsae`",
         "did you mean `//base`?"),
        ("deps(//lib:libs)", "column 6: no target or file `//lib:libs`",
         "did you mean `//lib:lib`?"),
        ("$x", "column 1: there is no variable `$x`", "`let x = … in …` gives one"),
        ("let one = //base in $oen", "column 21: there is no variable `$oen`",
         "did you mean `$one`?"),
        ("owner(nothing.py)", "column 1: no file `nothing.py`, or none of a build package", None),
        ("targets_in_buildfile(lib/lib.py)",
         "column 1: `lib/lib.py` is no BUILD file of a build package", None),
        ("'-//lib'", "column 1: `-//lib` takes away", "write `… - …`"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(
    asked: Asked, query: str, message: str, hint: str | None
) -> None:
    with pytest.raises(QueryFault) as caught:
        asked(query)

    assert (caught.value.message.splitlines()[0], caught.value.hint) == (message, hint)


def test_an_attribute_that_no_target_has_is_noted(asked: Asked) -> None:
    assert asked("attr(scrs, x, //lib:all)") == []

    assert asked.answer is not None
    assert asked.answer.notes == [
        "none of these targets has an attribute `scrs`", "hint: did you mean `srcs`?",
    ]  # fmt: skip


BROKEN = {
    "a/BUILD": "filegroup(name = 'a', srcs = ['//b', '//c:none', 'x.txt'])",
    "a/x.txt": "",
    "b/BUILD": "filegroup(",
    "c/BUILD": "filegroup(name = 'c')",
}


def test_all_that_is_missing_is_told_with_the_place_of_its_mention(ask: Ask) -> None:
    with pytest.raises(FaultReport) as caught:
        ask(BROKEN)("deps(//a)")

    places = [str(fault.place) for fault in caught.value.faults]
    assert places == ["a/BUILD:1:38", "b/BUILD:1:10"]


def test_the_rest_is_answered_in_spite_of_faults(ask: Ask) -> None:
    asked = ask(BROKEN)

    assert asked("deps(//...)", keep_going=True) == ["//a:a", "//a:x.txt", "//c:c"]
    assert asked.answer is not None
    assert len(asked.answer.skipped) == 2


def test_what_only_a_branch_of_a_select_names_may_be_missing(ask: Ask) -> None:
    branches = "{'//:on': ['@windows//:x'], '//conditions:default': []}"
    text = f"filegroup(name = 'a', srcs = select({branches}))\n"
    asked = ask({"BUILD": text + "config_setting(name = 'on', values = {'cpu': 'x'})"})

    assert asked("deps(//:a)") == ["//:a", "//:on"]
    assert asked.answer is not None
    assert asked.answer.notes[0].startswith("warning: BUILD:1:")


def test_a_circle_is_walked_once(ask: Ask) -> None:
    text = "filegroup(name = 'a', srcs = [':b'])\nfilegroup(name = 'b', srcs = [':a'])\n"

    assert ask({"BUILD": text})("deps(//:a)") == ["//:a", "//:b"]


def test_the_words_of_a_wrong_pattern_are_blamed(ask: Ask) -> None:
    with pytest.raises(UserError) as caught:
        ask({})("deps(//a//b)")

    assert caught.value.message.startswith("column 6: not a target pattern: `//a//b`")


def test_a_folder_is_a_source_file(ask: Ask) -> None:
    asked = ask({"BUILD": "filegroup(name = 'f', srcs = ['data'])", "data/a": "", "data/b": ""})

    assert asked("deps(//:f)") == ["//:data", "//:f"]
    assert asked("kind('source file', deps(//:f))") == ["//:data"]
