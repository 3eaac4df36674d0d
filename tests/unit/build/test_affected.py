"""What a change touches, told from two states of a workspace."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.build import past, workspace
from lamina.build.affected import affected
from lamina.build.loader import Loader
from lamina.build.past import Difference
from lamina.build.query.graph import Form, Graph
from lamina.build.query.words import Words
from lamina.core.label import Pattern

Files = Mapping[str, str]


def write(root: Path, files: Files) -> None:
    for name, text in {"lamina.toml": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Change:
    """A workspace that held `before` and holds `after`."""

    def __init__(self, folder: Path, before: Files, after: Files) -> None:
        root = folder / "workspace"
        write(root, after)
        (folder / "scratch").mkdir()
        self.difference = Difference(
            frozenset(n for n in before.keys() & after.keys() if before[n] != after[n]),
            frozenset(after.keys() - before.keys()),
            frozenset(before.keys() - after.keys()),
        )
        self.graph = Graph(Loader(workspace.read(root)))
        self.past = past.loader(
            workspace.read(root),
            self.difference,
            lambda path: before[path].encode(),
            folder / "scratch",
        )

    def causes(self, pattern: str = "//...") -> dict[str, str]:
        words = Words(self.graph, Pattern.parse, "", keep_going=True)
        vertices = frozenset(self.graph.closure(words.vertices(pattern)))
        found = affected(self.graph, vertices, self.difference, self.past)
        return {
            str(self.graph.labels[number]): cause
            for number, cause in found.items()
            if self.graph.forms[number] is Form.RULE
        }


FILES = {
    "app/BUILD": "filegroup(name = 'app', srcs = ['main.txt', '//lib'])\n",
    "app/main.txt": "",
    "lib/BUILD": """
load("//tools:names.bzl", "NAMES")
filegroup(name = "lib", srcs = glob(["*.txt"]) + ["//base:file.txt"], visibility = ["PUBLIC"])
filegroup(name = "named", srcs = NAMES)
filegroup(name = "else", srcs = [":lib"])
""",
    "lib/a.txt": "",
    "tools/BUILD": "",
    "tools/names.bzl": "NAMES = ['a.txt']\nOTHER = 1\n",
    "base/BUILD": "exports_files(['file.txt'])\nfilegroup(name = 'base')\n",
    "base/file.txt": "",
    "README": "",
}


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({"README": "x"}, ""),
        ({"app/main.txt": "x"}, "app"),
        ({"lib/a.txt": "x"}, "app else lib named"),
        ({"base/file.txt": "x"}, "app else lib"),
        ({"lib/new.txt": ""}, "app else lib"),
        ({"lib/new.md": ""}, ""),
        ({"lib/a.txt": None}, "app else lib named"),
        ({"lib/BUILD": FILES["lib/BUILD"] + "# a comment\n"}, ""),
        ({"lib/BUILD": FILES["lib/BUILD"].replace("[':lib']", "")}, ""),
        ({"lib/BUILD": FILES["lib/BUILD"].replace('[":lib"]', '["a.txt"]')}, "else"),
        ({"lib/BUILD": FILES["lib/BUILD"] + "filegroup(name = 'new')\n"}, "new"),
        ({"tools/names.bzl": "NAMES = ['a.txt']\nOTHER = 2\n"}, ""),
        ({"tools/names.bzl": "NAMES = []\n"}, "named"),
        ({"base/BUILD": "filegroup(name = 'base')\n"}, "app else lib"),
        ({"base/BUILD": None}, "app else lib"),
        ({"lib/a.txt/BUILD": None, "lib/sub/BUILD": "", "lib/sub/b.txt": ""}, ""),
        ({"lib/BUILD": None, "lib/BUCK": FILES["lib/BUILD"]}, ""),
        ({"lamina.toml": "# other\n"}, "app base else lib named"),
    ],
)
def test_a_change_touches_what_rests_on_it(
    tmp_path: Path, edits: Mapping[str, str | None], expected: str
) -> None:
    before = {"lamina.toml": "", **FILES}
    after = {name: text for name, text in {**before, **edits}.items() if text is not None}

    causes = Change(tmp_path, before, after).causes()

    assert sorted(label.rpartition(":")[2] for label in causes) == expected.split()


def test_each_target_comes_with_a_file_that_touches_it(tmp_path: Path) -> None:
    after = {**FILES, "app/main.txt": "x", "base/file.txt": "x"}

    assert Change(tmp_path, FILES, after).causes() == {
        "//app:app": "app/main.txt",
        "//lib:lib": "base/file.txt",
        "//lib:else": "base/file.txt",
    }


def test_what_is_below_a_pattern_counts_and_what_is_above_does_not(tmp_path: Path) -> None:
    after = {**FILES, "base/file.txt": "x"}

    assert Change(tmp_path, FILES, after).causes("//lib:lib") == {"//lib:lib": "base/file.txt"}


def test_all_below_a_folder_of_which_no_more_is_known_is_touched(tmp_path: Path) -> None:
    change = Change(tmp_path, FILES, FILES)
    change.difference = Difference(folders=frozenset({"base"}))

    assert change.causes() == dict.fromkeys(
        ["//app:app", "//base:base", "//lib:else", "//lib:lib"], "base"
    )


def test_a_former_build_file_with_faults_tells_nothing(tmp_path: Path) -> None:
    before = {**FILES, "lib/BUILD": "filegroup("}

    assert sorted(Change(tmp_path, before, FILES).causes()) == [
        "//app:app", "//lib:else", "//lib:lib", "//lib:named",
    ]  # fmt: skip


def test_a_rule_of_a_bzl_file_is_another_when_the_file_is(tmp_path: Path) -> None:
    rule = "def _make(ctx):\n    return [{}]\nmine = rule(implementation = _make)\n"
    before = {"BUILD": "load('//:r.bzl', 'mine')\nmine(name = 'm')\nfilegroup(name = 'f')\n"}
    before["r.bzl"] = rule.format("")

    causes = Change(tmp_path, before, {**before, "r.bzl": rule.format("DefaultInfo()")}).causes()

    assert causes == {"//:m": "r.bzl"}


_NAMES = ("a.txt", "b.txt", "sub/c.txt")


@st.composite
def _states(draw: st.DrawFn) -> Files:
    """Three build packages; targets take files and targets of build packages before their own."""
    files: dict[str, str] = {"defs.bzl": f"EXTRA = {draw(st.sampled_from(['[]', '[1]']))}\n"}
    files["BUILD"] = ""
    for number in range(3):
        here = f"p{number}"
        names = draw(st.sets(st.sampled_from(_NAMES), min_size=1))
        files.update({f"{here}/{name}": draw(st.sampled_from("xy")) for name in names})
        if draw(st.booleans()):
            files[f"{here}/sub/BUILD"] = ""
        text = "load('//:defs.bzl', 'EXTRA')\n" + draw(st.sampled_from(["", "# note\n"]))
        for target in range(2):
            globbed = draw(st.sampled_from(["[]", "['*.txt']", "['**']", "['sub/*']"]))
            deps = [f"//p{other}:t{target}" for other in range(number) if draw(st.booleans())]
            tags = draw(st.sampled_from(["[]", "['x']", "['x'] if EXTRA else []"]))
            text += (
                f"filegroup(name = 't{target}', visibility = ['PUBLIC'],"
                f" srcs = glob({globbed}) + {deps}, tags = {tags})\n"
            )
        files[f"{here}/BUILD"] = text
    return files


def _results(files: Files) -> dict[str, object]:
    """What each target is worth, by all that it rests on."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), files)
        loader = Loader(workspace.read(Path(folder)))
        found: dict[str, object] = {}
        for number in range(3):
            for target in loader.package(f"p{number}").targets.values():
                parts = [
                    (str(label), found.get(str(label)) or files[label.path])
                    for label in target.dependencies()
                ]
                found[str(target.label)] = (target.attributes["tags"], *parts)
        return found


@settings(max_examples=50)
@given(_states(), _states())
def test_exactly_those_are_touched_that_are_worth_something_else(
    before: Files, after: Files
) -> None:
    was, now = _results(before), _results(after)

    with tempfile.TemporaryDirectory() as folder:
        causes = Change(Path(folder), before, after).causes()

    assert sorted(causes) == sorted(label for label in now if was[label] != now[label])
