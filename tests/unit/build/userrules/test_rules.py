"""Rules and providers: how they are named, what targets of them hand to others."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.build.userrules.conftest import Workspace

# A rule that writes what it is told, and the numbers of its dependencies.
COUNT = """
Count, _count = provider(
    fields = ["n"],
    init = lambda n, more = 0: dict(n = n + more),
)

def _write(ctx, name, text):
    out = ctx.actions.declare_file(name)
    ctx.actions.write(out, text)
    return out

def _impl(ctx):
    n = 1
    for dep in ctx.attr.deps:
        n += dep[Count].n
    out = _write(ctx, ctx.label.name + ".n", "%d" % n)
    return [DefaultInfo(files = depset([out])), Count(n)]

_private = rule(implementation = _impl, attrs = {"deps": attr.label_list(providers = [Count])})
public = _private

def wrapped(name, **kwargs):
    _private(name = name, **kwargs)
"""


def test_a_private_rule_is_used_by_a_macro(ws: Workspace) -> None:
    build = """
load(":r.bzl", "wrapped")
wrapped("a")
wrapped("b", deps = [":a"])
wrapped("x", deps = [":a", ":b"])
"""

    assert ws.write(COUNT, build).build() == {"x.n": "4"}


def test_a_rule_is_known_by_its_first_name(ws: Workspace) -> None:
    build = 'load(":r.bzl", "public")\npublic(name = "x")\nprint(existing_rules()["x"]["kind"])'
    ws.write(COUNT, build).build()

    assert ws.prints == ("_private",)


def test_a_rule_is_loaded_through_another_file(ws: Workspace) -> None:
    files = {"other.bzl": 'load(":r.bzl", _p = "public")\nmine = _p\n'}
    build = 'load(":other.bzl", "mine")\nmine(name = "x")\n'

    assert ws.write(COUNT, build, files).text() == "1"


def test_a_function_of_another_file_makes_rules(ws: Workspace) -> None:
    factory = (
        COUNT
        + """
def make():
    return rule(implementation = _impl, attrs = {"deps": attr.label_list()})
"""
    )
    files = {"mine.bzl": 'load(":r.bzl", "make")\nmine = make()\n'}
    build = 'load(":mine.bzl", "mine")\nmine(name = "x")\n'

    assert ws.write(factory, build, files).text() == "1"


def test_a_provider_is_the_same_in_every_file(ws: Workspace) -> None:
    files = {
        "p/BUILD": "",
        "p/q.bzl": """
load("//:r.bzl", "Count")

def _impl(ctx):
    out = ctx.actions.declare_file("x.n")
    ctx.actions.write(out, str(ctx.attr.dep[Count].n) + str(Count in ctx.attr.dep))
    return DefaultInfo(files = depset([out]))

show = rule(implementation = _impl, attrs = {"dep": attr.label()})
""",
    }
    build = 'load(":r.bzl", "public")\nload("//p:q.bzl", "show")\n'
    build += 'public(name = "a")\nalias(name = "b", actual = "a")\nshow(name = "x", dep = ":b")\n'

    assert ws.write(COUNT, build, files).text() == "1True"


def test_outputs_that_are_declared_by_attributes_have_labels(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    ctx.actions.write(ctx.outputs.out, ctx.attr.out.name)
    ctx.actions.write(ctx.outputs.more[0], "more")
    ctx.actions.write(ctx.outputs.header, "header")

make = rule(
    implementation = _impl,
    attrs = {"out": attr.output(mandatory = True), "more": attr.output_list()},
    outputs = {"header": "%{name}.h"},
)
"""
    build = """
load(":r.bzl", "make")
make(name = "m", out = "d/o.txt", more = [":m.txt"])
genrule(name = "x", srcs = [":d/o.txt", "m.txt", "m.h"], outs = ["y"], cmd = "cat $(SRCS) > $@")
"""

    assert ws.write(rules, build).text() == "d/o.txtmoreheader"
    assert list(ws.build("m")) == ["d/o.txt", "m.txt", "m.h"]


PROGRAM = """
def _impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(script, '#!/bin/sh\\necho "$@" $WORD; cat "$(dirname "$0")/$1" || exit 3\\n')
    runfiles = ctx.runfiles(ctx.files.data).merge_all([d.default_runfiles for d in ctx.attr.data])
    return [
        DefaultInfo(executable = script, runfiles = runfiles),
        RunEnvironmentInfo(environment = {"WORD": "word"}),
    ]

program = rule(
    implementation = _impl,
    executable = True,
    attrs = {"data": attr.label_list(allow_files = True)},
)
program_test = rule(
    implementation = _impl,
    test = True,
    attrs = {"data": attr.label_list(allow_files = True)},
)
"""


def test_a_program_of_a_rule_starts_with_its_runfiles(ws: Workspace) -> None:
    build = 'load("//:r.bzl", "program")\nprogram(name = "x", data = ["a.txt"], args = ["a.txt"])\n'
    ws.write(PROGRAM, "", {"p/BUILD": build, "p/a.txt": "data\n"})

    assert ws.run("//p:x", "more") == "a.txt more word\ndata\n"


def test_a_program_called_like_its_folder_starts_alone_and_as_a_tool(ws: Workspace) -> None:
    """Its script lies at `x/x` of the package root, where the launcher would be the file `x`."""
    build = 'load("//:r.bzl", "program")\nprogram(name = "x", data = ["a.txt"], args = ["a.txt"])\n'
    tool = (
        'genrule(name = "y", tools = [":x"], outs = ["y.txt"], cmd = "$(location :x) a.txt > $@")'
    )
    ws.write(PROGRAM, "", {"x/BUILD": f"{build}{tool}\n", "x/a.txt": "data\n"})

    assert ws.run("//x:x", "more") == "a.txt more word\ndata\n"
    assert ws.text("//x:y") == "a.txt a.txt word\ndata\n"


def test_collected_data_comes_along(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    out = ctx.actions.declare_file("x")
    ctx.actions.write(out, "#!/bin/sh\\ncat ${0%/*}/../a.txt ${0%/*}/../b.txt\\n", True)
    return [DefaultInfo(executable = out, runfiles = ctx.runfiles(collect_data = True))]

program = rule(
    implementation = _impl,
    attrs = {"data": attr.label_list(allow_files = True)},
    executable = True,
)
"""
    build = """
load(":r.bzl", "program")
filegroup(name = "b", srcs = ["b.txt"])
program(name = "x", data = ["a.txt", ":b"])
"""

    assert ws.write(rules, build, {"a.txt": "a", "b.txt": "b"}).run() == "ab"


def test_a_test_rule_gives_a_test(ws: Workspace) -> None:
    build = 'load(":r.bzl", "program_test")\n'
    build += 'program_test(name = "x", size = "small", data = ["a.txt"], args = ["a.txt"])\n'
    target, _ = ws.write(PROGRAM, build, {"a.txt": ""}).analyse()

    assert target.test is not None
    assert target.test.timeout == 60


def test_a_rule_reads_and_brings_python(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    out = ctx.actions.declare_file("made.py")
    below = depset(transitive = [d[PyInfo].transitive_sources for d in ctx.attr.deps])
    names = [f.short_path for f in below.to_list()]
    ctx.actions.write(out, "from lib import WORD\\nNAMES = WORD + ' ' + " + repr(" ".join(names)))
    return [
        DefaultInfo(files = depset([out])),
        PyInfo(transitive_sources = depset([out], transitive = [below]), imports = depset(["i"])),
    ]

made_library = rule(implementation = _impl, attrs = {"deps": attr.label_list(providers = [PyInfo])})
"""
    build = """
load(":r.bzl", "made_library")
python_library(name = "lib", srcs = ["lib.py"])
made_library(name = "made", deps = [":lib"])
python_binary(name = "x", srcs = ["main.py"], deps = [":made"])
"""
    files = {"lib.py": "WORD = 'from'\n", "main.py": "from made import NAMES\nprint(NAMES)\n"}

    assert ws.write(rules, build, files).run() == "from lib.py\n"
    assert ws.analyse("made")[0].imports == ("i",)


def test_a_rule_reads_and_brings_headers(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    header = ctx.actions.declare_file("inc/made.h")
    below = cc_common.merge_cc_infos(cc_infos = [d[CcInfo] for d in ctx.attr.deps])
    names = [f.short_path for f in below.compilation_context.headers.to_list()]
    ctx.actions.write(header, '#include "%s"\\n#define MADE LIB + SEEN\\n' % names[0])
    own = CcInfo(compilation_context = cc_common.create_compilation_context(
        headers = depset([header]),
        includes = depset([header.dirname]),
        defines = depset(["SEEN=1"]),
    ))
    return [
        DefaultInfo(files = depset([header])),
        cc_common.merge_cc_infos(direct_cc_infos = [own], cc_infos = [below]),
    ]

made_header = rule(implementation = _impl, attrs = {"deps": attr.label_list(providers = [CcInfo])})
"""
    build = """
load(":r.bzl", "made_header")
cc_library(name = "lib", hdrs = ["lib.h"])
made_header(name = "made", deps = [":lib"])
cc_binary(name = "x", srcs = ["main.cc"], deps = [":made"])
"""
    main = '#include <made.h>\n#include <cstdio>\nint main() { std::printf("%d", MADE); }\n'
    files = {"lib.h": "#define LIB 41\n", "main.cc": main}

    assert ws.write(rules, build, files).run() == "42"


def test_a_build_setting_of_a_rule_has_a_value(ws: Workspace) -> None:
    rules = """
load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")

Level = provider(fields = ["level"])

level = rule(
    implementation = lambda ctx: Level(level = ctx.build_setting_value),
    build_setting = config.int(flag = True),
)

def _impl(ctx):
    out = ctx.actions.declare_file("o")
    level, word = ctx.attr._level[Level].level, ctx.attr._word[BuildSettingInfo].value
    ctx.actions.write(out, "%d %s" % (level, word))
    return DefaultInfo(files = depset([out]))

show = rule(
    implementation = _impl,
    attrs = {
        "_level": attr.label(default = ":level"),
        "_word": attr.label(default = Label("//:word")),
    },
)
"""
    build = """
load("@bazel_skylib//rules:common_settings.bzl", "string_flag")
load(":r.bzl", "level", "show")
level(name = "level", build_setting_default = 3)
string_flag(name = "word", build_setting_default = "w")
show(name = "x")
"""

    assert ws.write(rules, build).text() == "3 w"


def test_a_symbolic_macro_fills_its_attributes_in(ws: Workspace) -> None:
    rules = (
        COUNT
        + """
def _macro(name, visibility, count):
    for n in range(count):
        _private(name = "%s%d" % (name, n), visibility = visibility)

many = macro(implementation = _macro, attrs = {"count": attr.int(default = 2)})
"""
    )
    build = 'load(":r.bzl", "many")\nmany(name = "x")\n'

    assert ws.write(rules, build).text("x1") == "1"


def test_what_a_rule_needs_itself_may_be_private_to_it(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    out = ctx.actions.declare_file("o")
    ctx.actions.symlink(output = out, target_file = ctx.file._a)
    return DefaultInfo(files = depset([out]))

thing = rule(
    implementation = _impl,
    attrs = {"_a": attr.label(default = "//p:a.txt", allow_single_file = True)},
)
"""
    files = {"p/BUILD": "", "p/q.bzl": rules, "p/a.txt": "a"}

    assert ws.write("", 'load("//p:q.bzl", "thing")\nthing(name = "x")', files).text() == "a"


@pytest.mark.parametrize(
    ("rules", "call", "expected"),
    [
        (
            "def make(**kw):\n    return rule(implementation = lambda ctx: [])(**kw)",
            "make",
            "r.bzl:2:12: `rule` is called by a BUILD file\n"
            "hint: call it at the top of a .bzl file, for a name",
        ),
        (
            "RULES = {'a': rule(implementation = lambda ctx: [])}\n"
            "def make(**kw):\n    RULES['a'](**kw)",
            "make",
            "this rule has no name\nhint: give it one at the top of its file: `my_rule = rule(…)`",
        ),
        (
            "tried = rule(implementation = lambda ctx: [], test = True)",
            "tried",
            "BUILD:2:1: the test rule `tried` is not called like one\nhint: call it `tried_test`",
        ),
        (
            "t = transition(implementation = lambda s, a: {}, inputs = [], outputs = [])\n"
            "moved = rule(implementation = lambda ctx: [], cfg = t)",
            "moved",
            "`//:x` is a `moved`: there are no rules with a transition on a rule",
        ),
        (
            "fetch = repository_rule(implementation = lambda ctx: None)",
            "fetch",
            "`a repository rule` is not there: write `name",
        ),
    ],
)
def test_what_cannot_be_is_told(ws: Workspace, rules: str, call: str, expected: str) -> None:
    build = f'load(":r.bzl", "{call}")\n{call}(name = "x")\n'

    assert expected in ws.write(rules, build).error()


def test_a_file_may_be_declared_again(ws: Workspace) -> None:
    rules = (
        "def _impl(ctx):\n"
        "    ctx.actions.declare_file('x.txt')\n"
        "    ctx.actions.write(ctx.actions.declare_file('x.txt'), 'text')\n"
        "    return DefaultInfo(files = depset([ctx.actions.declare_file('x.txt')]))\n"
        "made = rule(implementation = _impl)\n"
    )

    ws.write(rules, 'load(":r.bzl", "made")\nmade(name = "x")\n')

    assert ws.text("x") == "text"


def test_fields_of_the_struct_that_older_rules_return_are_seen(ws: Workspace) -> None:
    rules = (
        "def _low(ctx):\n"
        "    out = ctx.actions.declare_file('low.txt')\n"
        "    ctx.actions.write(out, 'low')\n"
        "    proto = struct(flags = ['-I' + ctx.label.name])\n"
        "    return struct(files = depset([out]), proto = proto)\n"
        "def _high(ctx):\n"
        "    out = ctx.actions.declare_file('high.txt')\n"
        "    dep = ctx.attr.deps[0]\n"
        "    words = dep.proto.flags + ['%s' % hasattr(dep, 'proto')]\n"
        "    ctx.actions.write(out, ' '.join(words + [f.basename for f in dep.files.to_list()]))\n"
        "    return struct(files = depset([out]))\n"
        "low = rule(implementation = _low)\n"
        "high = rule(implementation = _high, attrs = {\n"
        "    'deps': attr.label_list(providers = ['proto'])})\n"
    )
    build = 'load(":r.bzl", "high", "low")\nlow(name = "l")\nhigh(name = "x", deps = [":l"])\n'

    assert ws.write(rules, build).text() == "-Il True low.txt"


def test_a_target_without_the_field_that_is_asked_for_is_told(ws: Workspace) -> None:
    rules = (
        "r = rule(implementation = lambda ctx: [], attrs = {\n"
        "    'deps': attr.label_list(providers = ['proto'])})\n"
    )
    build = 'load(":r.bzl", "r")\nfilegroup(name = "l")\nr(name = "x", deps = [":l"])\n'

    assert '`//:l` in `deps` has no provider `"proto"`' in ws.write(rules, build).error()


def test_each_of_several_targets_that_a_loop_declares_is_told_what_is_wrong(ws: Workspace) -> None:
    rules = "def _impl(ctx):\n    fail('no ' + ctx.label.name)\n\nr = rule(_impl)\n"
    build = 'load(":r.bzl", "r")\n[r(name = n) for n in ["a", "b"]]\n'
    build += 'filegroup(name = "x", srcs = [":a", ":b"])\n'

    told = ws.write(rules, build).error()

    assert "`//:a`: no a" in told
    assert "`//:b`: no b" in told


def test_a_mandatory_attribute_may_be_chosen_to_be_false_or_nought(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    out = ctx.actions.declare_file("x.txt")
    ctx.actions.write(out, "%s %d" % (ctx.attr.flag, ctx.attr.count))
    return [DefaultInfo(files = depset([out]))]

r = rule(
    implementation = _impl,
    attrs = {"flag": attr.bool(mandatory = True), "count": attr.int(mandatory = True)},
)
"""
    choice = 'select({"//conditions:default": %s})'
    build = f"""
load(":r.bzl", "r")
r(name = "x", flag = {choice % "False"}, count = {choice % "0"})
"""

    assert ws.write(rules, build).build() == {"x.txt": "False 0"}


def test_two_files_that_hold_the_same_both_come_along(ws: Workspace) -> None:
    rules = """
def _file(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(out, "same")
    return [DefaultInfo(files = depset([out]), runfiles = ctx.runfiles([out]))]

def _impl(ctx):
    out = ctx.actions.declare_file("x")
    ctx.actions.write(out, "#!/bin/sh\\ncat ${0%/*}/../a.txt ${0%/*}/../b.txt\\n", True)
    return [DefaultInfo(executable = out, runfiles = ctx.runfiles(ctx.files.data))]

file = rule(implementation = _file)
program = rule(
    implementation = _impl,
    attrs = {"data": attr.label_list(allow_files = True)},
    executable = True,
)
"""
    build = """
load(":r.bzl", "file", "program")
file(name = "a")
file(name = "b")
program(name = "x", data = [":a", ":b"])
"""

    assert ws.write(rules, build).run() == "samesame"


@pytest.mark.parametrize(("success", "code"), [(True, 0), (False, 1)])
def test_a_test_may_be_over_when_its_target_is_analysed(
    ws: Workspace, success: bool, code: int
) -> None:
    rules = f"""
def _impl(ctx):
    return [AnalysisTestResultInfo(success = {success}, message = "it's\\nso")]

r_test = rule(implementation = _impl, analysis_test = True)
"""
    build = 'load(":r.bzl", "r_test")\nr_test(name = "x")\n'
    ws.write(rules, build)
    target, _ = ws.analyse()

    assert target.test is not None
    [script] = [text for path, text in ws.build().items() if path == "x.result"]
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("it's\nso\n", code)


def test_a_tool_is_resolved_to_what_it_needs(ws: Workspace) -> None:
    rules = """
def _impl(ctx):
    inputs, manifests = ctx.resolve_tools(tools = [ctx.attr.tool])
    ctx.actions.run(
        executable = ctx.executable.tool,
        arguments = [ctx.outputs.out.path],
        tools = inputs,
        input_manifests = manifests,
        outputs = [ctx.outputs.out],
    )

r = rule(
    implementation = _impl,
    attrs = {
        "tool": attr.label(executable = True, cfg = "exec", allow_files = True),
        "out": attr.output(),
    },
)
"""
    build = """
load(":r.bzl", "r")
sh_binary(name = "t", srcs = ["t.sh"], data = ["a.txt"])
r(name = "x", tool = ":t", out = "o.txt")
"""
    files = {"t.sh": 'cat "$BUCK_PROJECT_ROOT/a.txt" > "$1"', "a.txt": "a"}

    assert ws.write(rules, build, files).build() == {"o.txt": "a"}


TOOLCHAINS = """
TYPE = "//:kind"

def _toolchain(ctx):
    return [platform_common.ToolchainInfo(word = ctx.attr.word)]

def _impl(ctx):
    out = ctx.actions.declare_file("x.txt")
    ctx.actions.write(out, ctx.toolchains[TYPE].word)
    return [DefaultInfo(files = depset([out]))]

word_toolchain = rule(implementation = _toolchain, attrs = {"word": attr.string()})
r = rule(implementation = _impl, toolchains = [config_common.toolchain_type(TYPE)])
"""
USING = """
load(":r.bzl", "r", "word_toolchain")
toolchain_type(name = "kind")
word_toolchain(name = "one", word = "one")
word_toolchain(name = "two", word = "two")
filegroup(name = "none")
r(name = "x")
"""


@pytest.mark.parametrize("chosen", ["one", "two"])
def test_a_rule_is_given_the_toolchain_that_the_workspace_chooses(
    ws: Workspace, chosen: str
) -> None:
    settings = f'[toolchains]\n"//:kind" = "//:{chosen}"\n'

    assert ws.write(TOOLCHAINS, USING, {"lamina.toml": settings}).build() == {"x.txt": chosen}


def test_a_toolchain_that_nobody_chooses_is_told(ws: Workspace) -> None:
    told = ws.write(TOOLCHAINS, USING).error()

    assert "there is no toolchain for `//:kind`" in told
    assert 'write `"//:kind" = "//its:target"` below `[toolchains]` in `lamina.toml`' in told


def test_a_target_that_is_no_toolchain_is_told(ws: Workspace) -> None:
    settings = '[toolchains]\n"//:kind" = "//:none"\n'

    told = ws.write(TOOLCHAINS, USING, {"lamina.toml": settings}).error()

    assert "`//:none`" in told
    assert "has no provider `ToolchainInfo`" in told


@pytest.mark.parametrize("returned", ["NowhereInfo(a = 1)", "[NowhereInfo(a = 1)]"])
def test_a_provider_of_a_cell_that_is_not_here_is_told(ws: Workspace, returned: str) -> None:
    rules = f"""
load("@nowhere//:info.bzl", "NowhereInfo")

r = rule(implementation = lambda ctx: {returned})
"""
    build = 'load(":r.bzl", "r")\nr(name = "x")\n'

    told = ws.write(rules, build, {"lamina.toml": "[cells]\nnowhere = false\n"}).error()

    assert "it needs `@nowhere//:NowhereInfo`, which is not here" in told
