from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.cellmap import NO_CELLS
from lamina.build.discovery import build_packages
from lamina.build.disk import Disk, View
from lamina.core.errors import UserError


def marked(root: Path, text: str = "") -> Path:
    (root / "lamina.toml").write_text(text)
    return root


def test_the_root_is_found_from_a_folder_below(tmp_path: Path) -> None:
    marked(tmp_path, '[workspace]\nname = "w"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    found = workspace.find(below)

    assert (found.root, found.name) == (tmp_path.resolve(), "w")
    assert found.package_of(below) == "a/b"
    assert found.package_of(tmp_path) == ""


def test_outside_of_any_workspace_the_hint_is_init(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is in no workspace: no `lamina\.toml`") as caught:
        workspace.find(tmp_path)

    assert caught.value.hint == "`lamina init` makes a folder the root of a workspace"


def test_a_folder_elsewhere_is_in_no_build_package(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    found = workspace.read(marked(tmp_path / "w"))

    with pytest.raises(UserError, match="is not inside the workspace"):
        found.package_of(tmp_path)


def test_init_writes_a_file_that_reads_back(tmp_path: Path) -> None:
    path = workspace.init(tmp_path)

    assert path == tmp_path / "lamina.toml"
    assert workspace.read(tmp_path).name == tmp_path.name


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    marked(tmp_path, "# mine\n")

    with pytest.raises(UserError, match="exists already"):
        workspace.init(tmp_path)

    assert (tmp_path / "lamina.toml").read_text() == "# mine\n"


def test_every_setting_is_read(tmp_path: Path) -> None:
    text = """
[workspace]
name = "w"
ignore = ["third_party/x/"]
[python]
interpreter = "python3.12"
[cxx]
compiler = "clang++"
c_compiler = "clang"
archiver = "llvm-ar"
compiler_flags = ["-O2"]
linker_flags = ["-fuse-ld=lld"]
[layers]
format = "erofs"
compression = "lz4"
level = 9
block_size = 4096
[[trust.rule]]
packages = ["train/*"]
keys = ["release.pub"]
"""

    found = workspace.read(marked(tmp_path, text))

    assert found.cells.names == {"w": ""}
    assert replace(found, cells=NO_CELLS, files=("lamina.toml",)) == workspace.Workspace(
        root=tmp_path.resolve(),
        name="w",
        ignore=("third_party/x",),
        python_interpreter="python3.12",
        cxx_compiler="clang++",
        c_compiler="clang",
        archiver="llvm-ar",
        compiler_flags=("-O2",),
        layer_format="erofs",
        layer_compression="lz4",
        layer_level=9,
        layer_block_size=4096,
        linker_flags=("-fuse-ld=lld",),
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            '[cxx]\ncompiler_flag = ["-O2"]\n',
            "lamina.toml:2:1: unknown key `compiler_flag` in `[cxx]`",
            "did you mean `compiler_flags`?",
        ),
        (
            "[pyhton]\n",
            "lamina.toml:1:1: unknown section or key `pyhton`",
            "did you mean `[python]`?",
        ),
        (
            'name = "x"\n',
            "lamina.toml:1:1: unknown section or key `name`",
            "known: `workspace`, `build`, `layers`, `python`, `cxx`",
        ),
        (
            "[layers]\nlevel = true\n",
            "lamina.toml:2:1: `level` in `[layers]` takes a number from 1 upwards",
            None,
        ),
        (
            '[cxx]\n  compiler_flags = "-O2"\n',
            "lamina.toml:2:3: `compiler_flags` in `[cxx]` takes a list of strings",
            None,
        ),
        (
            "[python]\ninterpreter = 3\n",
            "lamina.toml:2:1: `interpreter` in `[python]` takes a string",
            None,
        ),
        (
            '[[trust.rule]]\npackages = ["*"]\nkey = ["k.pub"]\n',
            "lamina.toml:1:1: `keys` in `[[trust.rule]]` takes a list of strings\n"
            "lamina.toml:3:1: unknown key `key` in `[[trust.rule]]`",
            None,
        ),
        ("[cxx]\nx = \n", "lamina.toml:2:5: syntax error: invalid value", None),
    ],
)
def test_faults_of_the_file_have_their_place(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    with pytest.raises(UserError) as caught:
        workspace.read(marked(tmp_path, text))

    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_discovery_passes_by_what_is_not_of_the_workspace(tmp_path: Path) -> None:
    for name in (
        "BUILD",
        "a/BUILD.bazel",
        "a/c/BUCK",
        "b/x/BUILD",
        ".venv/BUILD",
        ".git/BUILD",
        "lamina-out/BUILD",
        "nested/BUILD",
        "nested/lamina.toml",
        "nested/below/BUILD",
        "ignored/BUILD",
        "__pycache__/BUILD",
        "notes/BUILD.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "folder" / "BUILD").mkdir(parents=True)
    view = View(Disk(tmp_path, ("ignored",)))

    assert list(build_packages(view)) == ["", "a", "a/c", "b/x"]
    assert list(build_packages(view, "a")) == ["a", "a/c"]
    assert {"", "a", "a/c", "b", "b/x", "notes", "folder"} <= view.directories


def test_the_order_of_build_file_names(tmp_path: Path) -> None:
    view = View(Disk(tmp_path))
    for name in ("BUCK", "BUILD.bazel", "BUILD"):
        (tmp_path / name).touch()
        assert View(Disk(tmp_path)).build_file("") == name

    assert view.build_file("") == "BUILD"
