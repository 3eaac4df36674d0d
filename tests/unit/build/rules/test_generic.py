"""`genrule` and `filegroup`: real commands, real tools, in both dialects."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from lamina.core.tree import File, Node


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def text(self, label: str, path: str = "") -> str: ...
    def error(self, label: str) -> str: ...
    def run(self, label: str, *arguments: str) -> str: ...


def rule(command: str, more: str = "srcs = ['in.txt'], outs = ['o']") -> str:
    return f"genrule(name = 'g', {more}, cmd = '''{command}''')\n"


@pytest.mark.parametrize(
    "command",
    [
        "cat $< > $@",
        "cat $(SRCS) > $(OUTS)",
        "cat $(location in.txt) > $(location o)",
        "cat $(location :in.txt) > $(@D)/o",
        "cat $(locations //p:in.txt) > $(RULEDIR)/o",
        "cat $(execpath in.txt) > $(BINDIR)/p/o",
        "for x in $<; do cat $$x > $@; done",
        "cat $$SRCS > $$OUT",
    ],
)
def test_macros_of_bazel_name_the_files(project: Project, command: str) -> None:
    project.write({"p/BUILD": rule(command), "p/in.txt": "text"})

    assert project.text("//p:g") == "text"


@pytest.mark.parametrize(
    "command",
    [
        "cat $SRCS > $OUT",
        "cat ${SRCS} > ${OUT}",
        "cat $SRCDIR/in.txt > $OUT",
        "cat $(location :in.txt) > $OUT",
        "for x in $SRCS; do cat $x > $OUT; done",
        "cp $SRCS $TMP/x && mv $TMP/x $OUT",
        "echo -n $(cat $SRCS) > $OUT",
    ],
)
def test_macros_of_buck_name_the_files(project: Project, command: str) -> None:
    build = rule(command, "srcs = ['in.txt'], out = 'o'")
    project.write({"p/BUCK": build, "p/in.txt": "text"})

    assert project.text("//p:g") == "text"


def test_outputs_may_lie_in_folders(project: Project) -> None:
    build = rule("echo 1 > $(location a/b/1); echo 2 > $(location c/2)", "outs = ['a/b/1', 'c/2']")
    project.write({"p/BUILD": build})

    assert sorted(project.build("//p:g")) == ["p/a/b/1", "p/c/2"]


def test_an_output_may_be_a_folder(project: Project) -> None:
    project.write({"BUILD": rule("mkdir -p $OUT/x && touch $OUT/x/y", "out = 'o'")})

    assert list(project.build("//:g")) == ["o/x/y"]


@pytest.mark.parametrize(("flag", "expected"), [("True", True), ("False", False)])
def test_executable_sets_the_bit(project: Project, flag: str, expected: bool) -> None:
    project.write({"BUILD": rule("echo x > $@", f"outs = ['o'], executable = {flag}")})

    node = project.build("//:g")["o"]

    assert isinstance(node, File)
    assert node.executable is expected


def test_a_script_is_a_tool(project: Project) -> None:
    build = rule("$(location tool.sh) a > $@", "tools = ['tool.sh'], outs = ['o']")
    project.write({"p/BUILD": build, "p/tool.sh": "#!/bin/sh\necho tool $1\n"})
    (project.root / "p/tool.sh").chmod(0o755)

    assert project.text("//p:g") == "tool a\n"


def test_a_python_program_with_a_library_is_a_tool(project: Project) -> None:
    project.write(
        {
            "p/BUILD": rule("$(exe //t:tool) a > $@", "tools = ['//t:tool'], outs = ['o']"),
            "t/BUILD": """
package(default_visibility = ["//visibility:public"])
python_binary(name = "tool", srcs = ["tool.py"], deps = [":lib"])
python_library(name = "lib", srcs = ["lib.py"])
""",
            "t/tool.py": "import sys\nfrom t import lib\nprint(lib.word, sys.argv[1:])\n",
            "t/lib.py": "word = 'library'\n",
        }
    )

    assert project.text("//p:g") == "library ['a']\n"


def test_a_folder_is_a_source_with_all_that_is_in_it(project: Project) -> None:
    build = rule("cat $(location d)/a $(location d)/b/c > $@", "srcs = ['d'], outs = ['o']")
    project.write({"p/BUILD": build, "p/d/a": "a\n", "p/d/b/c": "c\n"})
    before = project.text("//p:g")
    project.write({"p/d/b/c": "new\n"})

    assert (before, project.text("//p:g")) == ("a\nc\n", "a\nnew\n")


def test_the_data_of_a_tool_lies_where_bazel_has_its_runfiles(project: Project) -> None:
    runfiles = "$(execpath //t:tool).runfiles"
    command = f"cat {runfiles}/_main/t/d.txt {runfiles}/other/e.txt {runfiles}/mine/t/d.txt > $@"
    project.write(
        {
            "lamina.toml": '[workspace]\nname = "mine"\n\n[cells]\nother = "cells/other"\n',
            "p/BUILD": rule(command, "tools = ['//t:tool'], outs = ['o']"),
            "t/BUILD": "sh_binary(name = 'tool', srcs = ['t.sh'],"
            " data = ['d.txt', '@other//:e'], visibility = ['PUBLIC'])\n",
            "t/t.sh": "",
            "t/d.txt": "d\n",
            "cells/other/BUILD": "filegroup(name = 'e', srcs = ['e.txt'], visibility = ['PUBLIC'])",
            "cells/other/e.txt": "e\n",
        }
    )

    assert project.text("//p:g") == "d\ne\nd\n"


def test_a_native_program_with_a_library_is_a_tool(project: Project) -> None:
    project.write(
        {
            "BUILD": rule("$(location :tool) > $@", "tools = [':tool'], outs = ['o']")
            + "cc_binary(name = 'tool', srcs = ['tool.c'], deps = [':lib'])\n"
            + "cc_library(name = 'lib', srcs = ['lib.c'])\n",
            "tool.c": "int number(void);\n#include <stdio.h>\n"
            'int main(void) { printf("%d\\n", number()); }\n',
            "lib.c": "int number(void) { return 41; }\n",
        }
    )

    assert project.text("//:g") == "41\n"


def test_an_output_of_one_is_the_source_of_another(project: Project) -> None:
    project.write(
        {
            "BUILD": "genrule(name = 'a', outs = ['x', 'y'], cmd = 'echo x>out/x; echo y>out/y')\n"
            "genrule(name = 'whole', srcs = [':a'], outs = ['w'], cmd = 'cat $(SRCS) > $@')\n"
            "genrule(name = 'part', srcs = [':y'], outs = ['p'], cmd = 'cat $< > $@')\n"
        }
    )

    assert project.text("//:whole") == "x\ny\n"
    assert project.text("//:part") == "y\n"


def test_a_filegroup_stands_for_its_files(project: Project) -> None:
    build = rule("cat $(SRCS) > $@; echo $(locations :f) >> $@", "srcs = [':f'], outs = ['o']")
    group = "filegroup(name = 'f', srcs = ['b', 'a', ':n'])\nfilegroup(name = 'n', srcs = ['c'])\n"
    project.write({"p/BUILD": build + group, "p/a": "a", "p/b": "b", "p/c": "c"})

    assert project.text("//p:g") == "bacp/b p/a p/c\n"


def test_the_environment_of_a_command_can_be_set(project: Project) -> None:
    build = rule("echo $$WORD > $@", "outs = ['o'], env = {'WORD': 'a b'}")
    project.write({"BUILD": build})

    assert project.text("//:g") == "a b\n"


def test_a_command_stops_at_its_first_failure(project: Project) -> None:
    project.write({"BUILD": rule("false | true; echo x > $@", "outs = ['o']")})

    assert project.error("//:g").startswith("`//:g`: Genrule o failed with exit code 1")


def test_an_undeclared_file_cannot_be_read(project: Project) -> None:
    build = rule("cat p/secret.txt > $@", "outs = ['o']")
    project.write({"p/BUILD": build, "p/secret.txt": "x"})

    words = project.error("//p:g")

    assert "it reads `p/secret.txt`, which `//p:g` does not declare" in words
    assert "hint: declare `p/secret.txt` in `//p:g`" in words


def test_an_undeclared_module_of_a_tool_is_named(project: Project) -> None:
    project.write(
        {
            "BUILD": rule("$(location :tool) > $@", "tools = [':tool'], outs = ['o']")
            + "python_binary(name = 'tool', srcs = ['tool.py'])\n",
            "tool.py": "import helper\n",
            "helper.py": "",
        }
    )

    assert "it reads `helper.py`, which `//:g` does not declare" in project.error("//:g")


def test_a_file_with_a_space_in_its_name_can_be_made(project: Project) -> None:
    project.write({"BUILD": rule('echo x > "out/d e/f g"', "outs = ['d e/f g']")})

    assert list(project.build("//:g")) == ["d e/f g"]


def test_an_executable_with_a_space_in_its_name_can_be_made(project: Project) -> None:
    build = rule('echo x > "out/f g"', "outs = ['f g'], executable = True")
    project.write({"BUILD": build})

    assert list(project.build("//:g")) == ["f g"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("echo $(COMPILATION_MODE) > $@", "fastbuild\n"),
        ("$(CC) -dumpversion > /dev/null && echo $(CC_FLAGS)x > $@", "x\n"),
        ("$(PYTHON3) -c 'print(1)' > $@", "1\n"),
        ("echo $(rlocationpath in.txt) > $@", "_main/p/in.txt\n"),
    ],
)
def test_variables_are_those_of_the_configuration_and_the_toolchains(
    project: Project, command: str, expected: str
) -> None:
    project.write({"p/BUILD": rule(command), "p/in.txt": ""})

    assert project.text("//p:g") == expected


def test_named_outputs_are_used_by_their_name(project: Project) -> None:
    project.write(
        {
            "p/BUCK": rule("echo x > $OUT/x; echo y > $OUT/y", "outs = {'a': ['x'], 'b': ['y']}")
            + "filegroup(name = 'b', srcs = [':g[b]'])\n"
        }
    )

    assert sorted(project.build("//p:g")) == ["p/x", "p/y"]
    assert project.text("//p:b") == "y\n"


def test_in_bucks_dialect_a_macro_is_a_dependency(project: Project) -> None:
    build = rule("cat $(location //q:f) $(location :x) > $OUT", "out = 'o', env = {}")
    files = "filegroup(name = 'x', srcs = ['x.txt'])\n"
    other = "filegroup(name = 'f', srcs = ['f.txt'], visibility = ['PUBLIC'])\n"
    project.write({"p/BUCK": build + files, "p/x.txt": "x", "q/BUCK": other, "q/f.txt": "f"})

    assert project.text("//p:g") == "fx"


@pytest.mark.parametrize("actual", ["in.txt", ":made", ":files", ":made.txt"])
def test_an_alias_stands_for_a_file_or_a_target(project: Project, actual: str) -> None:
    build = rule("cat $(location :a) > $@", "srcs = [':a'], outs = ['o']")
    others = (
        f"alias(name = 'a', actual = '{actual}')\n"
        "genrule(name = 'made', outs = ['made.txt'], cmd = 'echo -n text > $@')\n"
        "filegroup(name = 'files', srcs = ['in.txt'])\n"
    )
    project.write({"p/BUILD": build + others, "p/in.txt": "text"})

    assert project.text("//p:g") == "text"


def test_an_alias_of_a_program_is_a_tool(project: Project) -> None:
    build = rule("$(location :a) > $@", "tools = [':a'], outs = ['o']")
    others = "alias(name = 'a', actual = ':s')\nsh_binary(name = 's', srcs = ['s.sh'])\n"
    project.write({"BUILD": build + others, "s.sh": "echo run\n"})

    assert project.text("//:g") == "run\n"


@pytest.mark.parametrize(
    ("attributes", "path"),
    [("", "p/f.txt"), ("src = 'f.txt'", "p/f.txt"), ("src = 'f.txt', out = 'd/g'", "p/d/g")],
)
def test_an_exported_file_is_a_target_of_its_own_name(
    project: Project, attributes: str, path: str
) -> None:
    build = f"export_file(name = 'f.txt', {attributes})\n"
    project.write({"p/BUCK": build, "p/f.txt": "text"})

    assert list(project.build("//p:f.txt")) == [path]


def test_a_suite_is_built_with_its_members(project: Project) -> None:
    build = rule("echo x > $@", "outs = ['o']") + "test_suite(name = 's', tests = [':g'])\n"
    project.write({"BUILD": build})

    assert list(project.build("//:s")) == ["o"]
