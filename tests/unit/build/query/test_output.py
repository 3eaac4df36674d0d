from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lamina.build.query.output import FORMS, Style, lines
from lamina.cli import querying

from .conftest import Ask, Asked

FILES = {
    "BUILD": """
genrule(name = "gen", srcs = ["in.txt"], outs = ["out.py"], cmd = "cp $< $@", env = {"A": "1"})
[python_library(name = "macro" + n, srcs = select({
    "//:on": [":out.py"], "//conditions:default": [],
}) + ["//p:x.py"], tags = ["a\\"b"], visibility = ["//visibility:public"]) for n in ["1"]]
config_setting(name = "on", values = {"cpu": "x"})
""",
    "in.txt": "",
    "p/BUILD": """
exports_files(["x.py"])
cxx_library(name = "p", exported_headers = {"h.h": "x.h"}, srcs = [("x.cc", ["-DX"])])
""",
    "p/x.py": "",
    "p/x.h": "",
    "p/x.cc": "",
}


@pytest.fixture
def asked(ask: Ask) -> Asked:
    return ask(FILES)


def shown(asked: Asked, query: str, style: Style) -> list[str]:
    asked(query)
    assert asked.answer is not None
    return list(lines(asked.answer, asked.graph, style))


def test_the_command_line_offers_every_form() -> None:
    assert tuple(FORMS) == querying.FORMS


def test_kinds(asked: Asked) -> None:
    assert shown(asked, "deps(//:macro1)", Style("label_kind")) == [
        "genrule rule //:gen",
        "source file //:in.txt",
        "python_library rule //:macro1",
        "config_setting rule //:on",
        "generated file //:out.py",
        "source file //p:x.py",
    ]


def test_packages_come_once(asked: Asked) -> None:
    assert shown(asked, "deps(//:macro1)", Style("package")) == ["", "p"]


def test_places_of_calls_files_and_of_what_a_loop_makes(asked: Asked, tmp_path: Path) -> None:
    assert shown(asked, "//:gen + //:macro1 + //:out.py + //p:x.py", Style("location")) == [
        f"{tmp_path}/BUILD:2:1: genrule rule //:gen",
        f"{tmp_path}/BUILD:3:2: python_library rule //:macro1",
        f"{tmp_path}/BUILD:2:1: generated file //:out.py",
        f"{tmp_path}/p/x.py:1:1: source file //p:x.py",
    ]


def test_a_target_is_written_as_in_a_build_file(asked: Asked, tmp_path: Path) -> None:
    assert "\n".join(shown(asked, "//:macro1 + //p", Style("build"))) == (
        f"""# {tmp_path}/BUILD:3:2
python_library(
    name = "macro1",
    visibility = ["//visibility:public"],
    srcs = select({{
        "//:on": ["//:out.py"],
        "//conditions:default": [],
    }}) + ["//p:x.py"],
    tags = ["a\\"b"],
)

# {tmp_path}/p/BUILD:3:1
cxx_library(
    name = "p",
    srcs = [("//p:x.cc", ["-DX"])],
    exported_headers = {{"h.h": "//p:x.h"}},
)
"""
    )


def test_what_is_written_loads_as_the_same_target(asked: Asked, ask: Ask) -> None:
    texts = {
        f"{folder}BUILD": "\n".join(shown(asked, f"//{folder.strip('/')}:all", Style("build")))
        for folder in ("", "p/")
    }
    before = shown(asked, "//...", Style("jsonl"))

    again = ask({**FILES, **texts, "p/BUILD": texts["p/BUILD"] + 'exports_files(["x.py"])\n'})

    assert shown(again, "//...", Style("jsonl")) == before


def test_json_has_rules_attributes_and_dependencies(asked: Asked) -> None:
    document = json.loads("\n".join(shown(asked, "//:gen + //:out.py + //:macro1", Style("json"))))

    assert document == [
        {
            "label": "//:gen",
            "kind": "rule",
            "rule": "genrule",
            "dependencies": ["//:in.txt"],
            "attributes": {
                "srcs": ["//:in.txt"],
                "outs": ["out.py"],
                "cmd": "cp $< $@",
                "env": {"A": "1"},
            },
        },
        {
            "label": "//:macro1",
            "kind": "rule",
            "rule": "python_library",
            "dependencies": ["//:out.py", "//p:x.py", "//:on"],
            "attributes": {
                "srcs": {
                    "__type": "concat",
                    "items": [
                        {
                            "__type": "selector",
                            "entries": {"//:on": ["//:out.py"], "//conditions:default": []},
                        },
                        ["//p:x.py"],
                    ],
                },
                "tags": ['a"b'],
                "visibility": ["PUBLIC"],
            },
        },
        {"label": "//:out.py", "kind": "generated file", "maker": "//:gen"},
    ]


def test_json_of_nothing_is_a_list(asked: Asked) -> None:
    assert shown(asked, "set()", Style("json")) == ["[]"]


def test_json_shows_the_attributes_that_are_asked_for(asked: Asked) -> None:
    style = Style("json", attributes=(re.compile("^name$"), re.compile("^test|licenses")))

    [target] = json.loads("".join(shown(asked, "//p", style)))

    assert target["attributes"] == {"name": "p", "testonly": False}


def test_a_graph_for_graphviz(asked: Asked) -> None:
    assert shown(asked, "deps(//:gen)", Style("graph")) == [
        "digraph lamina {",
        "  node [shape=box];",
        '  "//:gen"',
        '  "//:gen" -> "//:in.txt"',
        '  "//:in.txt"',
        "}",
    ]


def test_ranks(asked: Asked) -> None:
    assert shown(asked, "deps(//:macro1)", Style("maxrank")) == [
        "0 //:macro1", "1 //:on", "1 //:out.py", "1 //p:x.py", "2 //:gen", "3 //:in.txt",
    ]  # fmt: skip


def test_dependents_first(asked: Asked) -> None:
    found = shown(asked, "deps(//:macro1)", Style(order="deps"))

    assert found[0] == "//:macro1"
    assert found.index("//:out.py") < found.index("//:gen") < found.index("//:in.txt")


def test_xml_is_well_formed_and_tells_inputs_and_outputs(asked: Asked) -> None:
    text = "\n".join(shown(asked, "deps(//:macro1) + //p", Style("xml")))

    # The parser of the standard library knows version 1.0 alone, which this is too.
    root = ElementTree.fromstring(text.replace('version="1.1" ', 'version="1.0" '))
    gen = next(rule for rule in root.iter("rule") if rule.get("name") == "//:gen")
    assert [each.get("name") for each in gen.iter("rule-input")] == ["//:in.txt"]
    assert [each.get("name") for each in gen.iter("rule-output")] == ["//:out.py"]
    pairs = [string.get("value") for pair in gen.iter("pair") for string in pair]
    assert pairs == ["A", "1"]
    assert len(list(root.iter("source-file"))) == 2
