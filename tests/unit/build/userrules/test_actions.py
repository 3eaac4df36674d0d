"""What implementations declare becomes files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.build.userrules.conftest import Workspace

BUILD = 'load(":r.bzl", "thing")\nthing(name = "x", srcs = ["a.txt", "b.txt"])\n'
FILES = {"a.txt": "a\n", "b.txt": "b\n"}


def rules(body: str, more: str = "") -> str:
    """A rule of some sources, whose implementation has the given body."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    return f"""{more}
def _impl(ctx):
{indented}
    return [DefaultInfo(files = depset([out]))]

thing = rule(
    implementation = _impl,
    attrs = {{
        "srcs": attr.label_list(allow_files = True),
        "tool": attr.label(executable = True, cfg = "exec", allow_files = True),
    }},
)
"""


def test_a_command_reads_its_inputs_and_writes_its_output(ws: Workspace) -> None:
    body = """
out = ctx.actions.declare_file("x.out")
ctx.actions.run_shell(
    outputs = [out],
    inputs = depset(ctx.files.srcs),
    arguments = [out.path] + [f.path for f in ctx.files.srcs],
    command = 'o=$1; shift; cat "$@" > $o; echo $WORD >> $o',
    env = {"WORD": "w"},
)"""

    assert ws.write(rules(body), BUILD, FILES).build() == {"x.out": "a\nb\nw\n"}


def test_a_file_has_one_path_where_it_is_made_and_where_it_is_read(ws: Workspace) -> None:
    body = """
mid = ctx.actions.declare_file("d/mid")
out = ctx.actions.declare_file("d/x.out")
command = "cat %s > %s" % (mid.path, out.path)
ctx.actions.run_shell(outputs = [out], inputs = [mid], command = command)
ctx.actions.write(mid, mid.path + " " + mid.short_path + " " + mid.root.path)"""

    assert ws.write(rules(body), BUILD, FILES).text() == "out/d/mid d/mid out"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('args.add("--x", f)', "--x a.txt"),
        ("args.add(f, format = '-I%s')", "-Ia.txt"),
        ("args.add_all(fs)", "a.txt b.txt"),
        ("args.add_all(depset(fs))", "a.txt b.txt"),
        ('args.add_all("-f", fs)', "-f a.txt b.txt"),
        ('args.add_all("-f", [])', ""),
        ('args.add_all("-f", [], omit_if_empty = False)', "-f"),
        ('args.add_all(fs, before_each = "-i")', "-i a.txt -i b.txt"),
        ('args.add_all(fs, format_each = "%s%%")', "a.txt% b.txt%"),
        ("args.add_all(fs, map_each = lambda f: f.basename[0])", "a b"),
        ("args.add_all(fs, map_each = lambda f: None)", ""),
        ("args.add_all([1, 1], uniquify = True)", "1"),
        ('args.add_all(fs, terminate_with = "--")', "a.txt b.txt --"),
        ('args.add_joined(fs, join_with = ":")', "a.txt:b.txt"),
        ('args.add_joined("-p", fs, join_with = ",", format_joined = "[%s]")', "-p [a.txt,b.txt]"),
        ('args.add("a").add("b")', "a b"),
        ('args.use_param_file("@%s"); args.add("short")', "short"),
    ],
)
def test_arguments_are_built(ws: Workspace, call: str, expected: str) -> None:
    body = f"""
out = ctx.actions.declare_file("x.out")
args = ctx.actions.args()
fs = ctx.files.srcs
f = fs[0]
{call}
ctx.actions.run_shell(
    outputs = [out],
    arguments = [args],
    command = 'printf "%s" "$*" > ' + out.path,
)"""

    assert ws.write(rules(body), BUILD, FILES).text() == expected


@pytest.mark.parametrize(
    ("format_", "expected"), [("shell", "'a b'\nc\n"), ("multiline", "a b\nc\n")]
)
def test_arguments_go_into_a_file(ws: Workspace, format_: str, expected: str) -> None:
    body = f"""
out = ctx.actions.declare_file("x.out")
args = ctx.actions.args()
args.use_param_file("--flags=%s", use_always = True)
args.set_param_file_format("{format_}")
args.add_all(["a b", "c"])
ctx.actions.run_shell(
    outputs = [out],
    arguments = ["first", args],
    command = 'cat "${{2#--flags=}}" > ' + out.path,
)"""

    assert ws.write(rules(body), BUILD, FILES).text() == expected


def test_a_template_is_expanded_one_text_after_the_other(ws: Workspace) -> None:
    body = """
mid = ctx.actions.declare_file("mid")
out = ctx.actions.declare_file("x.sh")
ctx.actions.run_shell(outputs = [mid], command = "echo '@A@ is @B@' > " + mid.path)
ctx.actions.expand_template(
    template = mid,
    output = out,
    substitutions = {"@A@": "x @B@", "@B@": "y"},
    is_executable = True,
)"""

    assert ws.write(rules(body), BUILD, FILES).text() == "x y is y\n"


def test_a_link_is_the_same_file(ws: Workspace) -> None:
    body = """
out = ctx.actions.declare_file("x.out")
mid = ctx.actions.declare_file("mid")
ctx.actions.symlink(output = out, target_file = mid)
ctx.actions.symlink(output = mid, target_file = ctx.files.srcs[0])"""

    assert ws.write(rules(body), BUILD, FILES).build() == {"x.out": "a\n"}


def test_a_folder_is_one_output(ws: Workspace) -> None:
    body = """
folder = ctx.actions.declare_directory("many")
out = ctx.actions.declare_file("x.out")
ctx.actions.run_shell(
    outputs = [folder],
    command = "mkdir -p %s; for n in 1 2; do echo $n > %s/$n; done" % (folder.path, folder.path),
)
ctx.actions.run_shell(
    outputs = [out], inputs = [folder], command = "cat %s/* > %s" % (folder.path, out.path)
)"""

    assert ws.write(rules(body), BUILD, FILES).text() == "1\n2\n"


TOOL = """
out = ctx.actions.declare_file("x.out")
ctx.actions.run(
    outputs = [out],
    inputs = ctx.files.srcs,
    executable = ctx.executable.tool,
    arguments = [out.path] + [f.path for f in ctx.files.srcs],
)"""


def test_a_script_of_the_workspace_is_run(ws: Workspace) -> None:
    build = """
load(":r.bzl", "thing")
thing(name = "x", srcs = ["a.txt", "b.txt"], tool = "tool.sh")
"""
    files = {**FILES, "tool.sh": '#!/bin/sh\no=$1; shift; cat "$@" > $o\n'}
    ws.write(rules(TOOL), build, files)
    (ws.root / "tool.sh").chmod(0o755)

    assert ws.text() == "a\nb\n"


def test_a_program_is_run_with_all_it_needs(ws: Workspace) -> None:
    build = """
load(":r.bzl", "thing")
python_library(name = "lib", srcs = ["lib.py"], data = ["b.txt"])
python_binary(name = "tool", srcs = ["main.py"], deps = [":lib"])
thing(name = "x", srcs = ["a.txt"], tool = ":tool")
"""
    main = "import sys, lib\nopen(sys.argv[1], 'w').write(lib.read() + open(sys.argv[2]).read())\n"
    lib = (
        "import pathlib\ndef read(): return pathlib.Path(__file__).with_name('b.txt').read_text()\n"
    )

    ws.write(rules(TOOL), build, {**FILES, "main.py": main, "lib.py": lib})

    assert ws.text() == "b\na\n"


def test_a_program_of_such_a_rule_is_run_as_a_tool(ws: Workspace) -> None:
    more = """
def _program(ctx):
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [script],
        command = "printf '#!/bin/sh\\\\ncat \\"${0%%/*}/../b.txt\\" > $1' > " + script.path,
    )
    return DefaultInfo(executable = script, runfiles = ctx.runfiles(ctx.files.data))

program = rule(
    implementation = _program,
    executable = True,
    attrs = {"data": attr.label_list(allow_files = True)},
)
"""
    build = """
load(":r.bzl", "program", "thing")
program(name = "tool", data = ["b.txt"])
thing(name = "x", srcs = ["a.txt"], tool = ":tool")
"""

    assert ws.write(rules(TOOL, more), build, FILES).text() == "b\n"


def test_what_is_declared_beside_a_file_lies_there(ws: Workspace) -> None:
    body = """
out = ctx.actions.declare_file("x.out", sibling = ctx.files.srcs[0])
ctx.actions.write(out, out.short_path)"""
    build = 'load("//:r.bzl", "thing")\nthing(name = "x", srcs = ["d/a.txt"])\n'

    ws.write(rules(body), "", {"p/BUILD": build, "p/d/a.txt": ""})

    assert ws.build("//p:x") == {"p/d/x.out": "p/d/x.out"}


def test_the_same_target_gives_the_same_action(ws: Workspace) -> None:
    body = """
out = ctx.actions.declare_file("x.out")
ctx.actions.run_shell(outputs = [out], command = "date +%N > " + out.path)"""
    ws.write(rules(body), BUILD, FILES)

    assert ws.text() == ws.text()
