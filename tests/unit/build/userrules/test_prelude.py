"""What .bzl files see: values of rules, evaluated in the implementation of one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Evaluated = Callable[..., str]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("default", "1 2 3 4 5 6"),
        ("postorder", "1 2 3 4 5 6"),
        ("preorder", "5 6 2 3 1 4"),
        ("topological", "5 6 2 3 4 1"),
    ],
)
def test_a_depset_is_listed_in_its_order(evaluated: Evaluated, order: str, expected: str) -> None:
    # 5 6 -> (2 3 -> 1), (4 -> 1)
    body = f"""
def_order = "{order}"
one = depset([1], order = def_order)
left = depset([2, 3], order = def_order, transitive = [one])
right = depset([4], order = def_order, transitive = [one])
top = depset([5, 6], order = def_order, transitive = [left, right])
result = " ".join([str(n) for n in top.to_list()])
"""
    assert evaluated(body) == expected


def test_a_diamond_of_depsets_a_hundred_deep_is_listed_at_once(evaluated: Evaluated) -> None:
    body = """
d = depset(["leaf"])
for n in range(100):
    d = depset([n], transitive = [d, d])
result = len(d.to_list())
"""
    assert evaluated(body) == "101"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("depset([1, 1, 2]).to_list()", "[1, 2]"),
        ("depset().to_list()", "[]"),
        ("type(depset())", "depset"),
        ("type(ctx.label)", "Label"),
        ("type(struct())", "struct"),
        ("type(Info(value = 1))", "struct"),
        ("Info(value = 3).value", "3"),
        ('"%s" % ctx.label', "@@//:x"),
        ('"{} {a}".format(1, a = ctx.label)', "1 @@//:x"),
        ('"%s-%s" % (ctx.label.name, ctx.label.package)', "x-"),
        ('"%d%%" % 3', "3%"),
        ("7 % 4", "3"),
        ("str(ctx.label)", "@@//:x"),
        ("json.encode(Info(value = [struct(a = 1)]))", '{"value":[{"a":1}]}'),
        ('json.encode_indent({"a": [1]}, indent = " ")', '{\n "a": [\n  1\n ]\n}'),
        ('json.decode("nothing", None)', "None"),
        ("ctx.bin_dir.path", "out"),
        ("ctx.workspace_name", "_main"),
        ('ctx.var["COMPILATION_MODE"]', "fastbuild"),
        ("ctx.build_file_path", "BUILD"),
        ('ctx.expand_make_variables("c", "$(M) $$x $(BINDIR)", {"M": "m"})', "m $x out"),
        ("ctx.attr.name", "x"),
        ("ctx.attr.tags", "[]"),
        ('{"a": [1, 2]}["a"][0]', "1"),
        ('[k for k in ["a"] if k in {"a": 1}]', '["a"]'),
        ("DefaultInfo(files = depset([1])).files.to_list()", "[1]"),
        ("hasattr(OutputGroupInfo(a = depset([2])), 'a')", "True"),
    ],
)
def test_an_expression_is_worth(evaluated: Evaluated, expression: str, expected: str) -> None:
    assert evaluated(f"result = {expression}") == expected


FILES = ('"srcs": attr.label_list(allow_files = True)', 'srcs = ["a.txt", "//p:c.txt"]')


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[f.path for f in ctx.files.srcs]", '["a.txt", "p/c.txt"]'),
        ("ctx.files.srcs[1].short_path", "p/c.txt"),
        ("ctx.files.srcs[1].basename", "c.txt"),
        ("ctx.files.srcs[1].dirname", "p"),
        ("ctx.files.srcs[1].extension", "txt"),
        ("ctx.files.srcs[1].is_source", "True"),
        ("ctx.files.srcs[1].root.path", ""),
        ("ctx.files.srcs[1].owner.package", "p"),
        ("ctx.files.srcs[1]", "<source file p/c.txt>"),
        ("type(ctx.files.srcs[0])", "File"),
        ("type(ctx.attr.srcs[0])", "Target"),
        ("ctx.attr.srcs[1].label", "@@//p:c.txt"),
        ("ctx.attr.srcs[1][DefaultInfo].files.to_list()[0].path", "p/c.txt"),
        ("Info in ctx.attr.srcs[0]", "False"),
        ("Info not in ctx.attr.srcs[0]", "True"),
        ("[f.path for f in ctx.attr.srcs[0].files.to_list()]", '["a.txt"]'),
        (
            'ctx.expand_location("$(location //p:c.txt) $(rlocationpath a.txt)")',
            "p/c.txt _main/a.txt",
        ),
        ("len(depset(ctx.files.srcs + ctx.files.srcs).to_list())", "2"),
        ("len(ctx.runfiles(files = ctx.files.srcs).files.to_list())", "2"),
        (
            "len(ctx.runfiles(ctx.files.srcs[:1]).merge(ctx.runfiles(ctx.files.srcs)).files.to_list())",
            "2",
        ),
    ],
)
def test_an_expression_on_files_is_worth(
    evaluated: Evaluated, expression: str, expected: str
) -> None:
    assert evaluated(f"result = {expression}", *FILES) == expected


@pytest.mark.parametrize(
    ("attribute", "value", "expression", "expected"),
    [
        ("attr.string()", '"s"', "ctx.attr.a", "s"),
        ('attr.string(default = "d")', "None", "ctx.attr.a", "d"),
        ("attr.int()", "3", "ctx.attr.a + 1", "4"),
        ("attr.bool()", "True", "ctx.attr.a", "True"),
        ("attr.string_list()", '["p", "q"]', "ctx.attr.a", '["p", "q"]'),
        ("attr.int_list()", "[2, 1]", "sorted(ctx.attr.a)", "[1, 2]"),
        ("attr.string_dict()", '{"k": "v"}', "ctx.attr.a", '{"k": "v"}'),
        ("attr.string_list_dict()", '{"k": ["v"]}', 'ctx.attr.a["k"]', '["v"]'),
        ("attr.label(allow_single_file = True)", '"a.txt"', "ctx.file.a.path", "a.txt"),
        ("attr.label(allow_files = True)", "None", "ctx.attr.a", "None"),
        (
            "attr.label_keyed_string_dict(allow_files = True)",
            '{"a.txt": "v"}',
            "[(t.label.name, v) for t, v in ctx.attr.a.items()]",
            '[("a.txt", "v")]',
        ),
        (
            'attr.label(default = "//p:c.txt", allow_single_file = [".txt"])',
            "None",
            "ctx.file.a.path",
            "p/c.txt",
        ),
        (
            'attr.label(default = Label("//p:c.txt"), allow_single_file = True)',
            "None",
            "ctx.file.a.path",
            "p/c.txt",
        ),
        (
            "attr.string()",
            'select({"//conditions:default": "chosen"})',
            "ctx.attr.a",
            "chosen",
        ),
    ],
)
def test_an_attribute_is_given_to_the_implementation(
    evaluated: Evaluated, attribute: str, value: str, expression: str, expected: str
) -> None:
    result = evaluated(f"result = {expression}", f'"a": {attribute}', f"a = {value}")

    assert result == expected
