"""Cells: where their folders are, under which names, and that labels find their way there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.faults import FaultReport
from lamina.build.loader import Loader
from lamina.core.label import Label, Pattern

Make = Callable[[dict[str, str]], Loader]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(files: dict[str, str]) -> Loader:
        for path, text in files.items():
            file = tmp_path / "root" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return Loader(workspace.read(tmp_path / "root"))

    return write


def test_a_label_leads_into_the_folder_of_its_cell(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\nabsl = "third_party/absl"\n',
            "BUILD": "filegroup(name='a', srcs=['@absl//base:x'])",
            "third_party/absl/base/BUILD": (
                "filegroup(name='x', srcs=['x.h', '//base:y'], visibility=['PUBLIC'])\n"
                "filegroup(name='y')"
            ),
            "third_party/absl/base/x.h": "",
        }
    )

    found = loader.closure([Label("", "", "a")])

    assert [str(label) for label in found] == ["@absl//base:y", "@absl//base:x", "//:a"]
    assert loader.path(Label("absl", "base", "x.h")) == "third_party/absl/base/x.h"


def test_a_root_is_known_by_the_name_that_its_module_file_gives_it(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\nabsl = "absl"\n',
            "MODULE.bazel": 'module(\n    name = "mine",\n    version = "1",\n)\n',
            "BUILD": "filegroup(name='a', srcs=['@mine//:b', '@com_google_absl//:x'])\n"
            "filegroup(name='b')",
            "absl/WORKSPACE": 'workspace(name = "com_google_absl")\n',
            "absl/BUILD": "filegroup(name='x', visibility=['@mine//:__pkg__'], "
            "srcs=['@com_google_absl//:y'])\nfilegroup(name='y')",
        }
    )

    found = loader.closure([Label("", "", "a")])

    assert [str(label) for label in found] == ["//:b", "@absl//:y", "@absl//:x", "//:a"]


def test_a_cell_may_lie_outside_of_the_workspace(make: Make, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "BUILD").write_text("filegroup(name='x', srcs=['x.txt'])")
    (other / "x.txt").write_text("")
    loader = make({"lamina.toml": '[cells]\nother = "../other"\n'})

    found = loader.resolve([Pattern.parse("@other//...")])

    assert [str(label) for label in found] == ["@other//:x"]
    assert loader.path(Label("other", "", "x.txt")) == "external/other/x.txt"
    assert loader.workspace.locate("external/other/x.txt") == str(other / "x.txt")


def test_patterns_of_the_workspace_do_not_enter_its_cells(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\nx = "x"\n',
            "BUILD": "filegroup(name='a', srcs=glob(['**']))",
            "x/BUILD": "filegroup(name='b')",
            "x/f": "",
        }
    )

    assert [str(label) for label in loader.resolve([Pattern.parse("//...")])] == ["//:a"]
    assert loader.package("").globs[0].files == ("BUILD", "lamina.toml")


def test_loads_in_a_cell_start_from_its_own_root(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\nx = "x"\n',
            "x/a/BUILD": "load('//b:m.bzl', 'm')\nm('t')",
            "x/b/m.bzl": "load(':n.bzl', 'n')\ndef m(name):\n    n(name)\n",
            "x/b/n.bzl": "def n(name):\n    native.filegroup(name = name)\n",
        }
    )

    assert list(loader.package("a", "x").targets) == ["t"]
    assert loader.package("a", "x").loads == ("x/b/m.bzl", "x/b/n.bzl")


def test_an_unknown_cell_tells_how_to_map_it(make: Make) -> None:
    loader = make({"lamina.toml": "", "BUILD": "filegroup(name='a', srcs=['@foo//:b'])"})

    with pytest.raises(FaultReport) as caught:
        loader.closure([Label("", "", "a")])

    assert caught.value.message == "BUILD:1:27: no repository `@foo`"
    assert "[cells]" in (caught.value.hint or "")


def test_the_folder_of_a_cell_must_be_a_path(make: Make) -> None:
    with pytest.raises(FaultReport, match=r"lamina.toml:2:1: `x` in `\[cells\]` takes the path"):
        make({"lamina.toml": "[cells]\nx = 1\n"})


@pytest.mark.parametrize(
    "written", ["ours/zlib.BUILD", "//ours:zlib.BUILD", "@//ours:zlib.BUILD", "./ours/zlib.BUILD"]
)
def test_a_cell_can_have_its_build_file_elsewhere(make: Make, tmp_path: Path, written: str) -> None:
    (tmp_path / "zlib/sub").mkdir(parents=True)
    (tmp_path / "zlib/BUILD").write_text("not(this")
    (tmp_path / "zlib/zlib.h").write_text("")
    loader = make(
        {
            "lamina.toml": f'[cells]\nzlib = {{ folder = "../zlib", build_file = "{written}" }}\n',
            "ours/zlib.BUILD": "filegroup(name='z', srcs=glob(['*.h']), visibility=['PUBLIC'])",
            "BUILD": "filegroup(name='a', srcs=['@zlib//:z'])",
        }
    )

    found = loader.closure([Label("", "", "a")])

    assert [str(label) for label in found] == ["@zlib//:z", "//:a"]
    assert found[Label("zlib", "", "z")].dependencies() == (Label("zlib", "", "zlib.h"),)
    assert "ours/zlib.BUILD" in loader.inputs
    assert loader.resolve([Pattern.parse("@zlib//...")]) == (Label("zlib", "", "z"),)


def test_what_is_wrong_in_a_build_file_elsewhere_is_told_there(make: Make, tmp_path: Path) -> None:
    (tmp_path / "zlib").mkdir()
    loader = make(
        {
            "lamina.toml": '[cells]\nzlib = { folder = "../zlib", build_file = "z.BUILD" }\n',
            "z.BUILD": "filegroup(name='z', srcs=['absent.h'])",
        }
    )

    with pytest.raises(FaultReport) as caught:
        loader.closure([Label("zlib", "", "z")])

    assert caught.value.message == "z.BUILD:1:27: no target or file `@zlib//:absent.h`"


@pytest.mark.parametrize(
    "value", ["3", "true", '""', "{}", '{ folder = "" }', '{ folder = "x", other = "y" }']
)
def test_what_says_where_no_cell_is_a_fault(make: Make, value: str) -> None:
    with pytest.raises(FaultReport) as caught:
        make({"lamina.toml": f"[cells]\nz = {value}\n"})

    assert caught.value.message == "lamina.toml:2:1: `z` in `[cells]` takes the path of a folder"


def test_a_cell_whose_folder_is_the_root_is_another_name_of_the_workspace(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\nmine = "."\nalso = "../root"\n',
            "a/BUILD": "filegroup(name='x', srcs=['@mine//b:y', '@also//b:z'])",
            "b/BUILD": "filegroup(name='y', visibility=['PUBLIC'])\n"
            "filegroup(name='z', srcs=['z.h'], visibility=['PUBLIC'])",
            "b/z.h": "",
        }
    )

    found = loader.closure([Label("", "a", "x")])

    assert [str(label) for label in found] == ["//b:y", "//b:z", "//a:x"]
    assert loader.path(Label("", "b", "z.h")) == "b/z.h"


def test_the_workspace_itself_may_be_given_a_build_file(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\nmine = { folder = ".", build_file = "support/root.BUILD" }\n',
            "support/root.BUILD": "filegroup(name='x', srcs=['x.h'])",
            "x.h": "",
        }
    )

    assert list(map(str, loader.closure([Label("", "", "x")]))) == ["//:x"]


def test_all_cells_that_are_not_named_may_be_absent(make: Make) -> None:
    loader = make(
        {
            "lamina.toml": '[cells]\n"*" = false\nhere = "here"\n',
            "here/BUILD": "filegroup(name='x', visibility=['PUBLIC'])",
            "BUILD": (
                "load('@rules_go//go:def.bzl', 'go_library')\n"
                "load('@bazel_skylib//lib:paths.bzl', 'paths')\n"
                "go_library(name='go')\n"
                "filegroup(name='needs_go', srcs=['@npm//:x'])\n"
                "filegroup(name=paths.basename('a/good'), srcs=['@here//:x'])"
            ),
        }
    )

    pattern = Pattern.parse("//...")
    found = loader.closure(loader.resolve([pattern]))

    assert [str(label) for label in found] == ["@here//:x", "//:good"]
    assert loader.skipped == {
        Label("", "", "go"): "`@rules_go` is not here",
        Label("", "", "needs_go"): "`@npm` is not here",
    }
