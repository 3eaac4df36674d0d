"""Every file of the cells that come with the program can be loaded, every BUILD file resolves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.build import cellmap, workspace
from lamina.build.loader import Loader
from lamina.core.errors import UserError

ROOT = Path(cellmap.__file__).parent / "cells"
# What public repositories load most.
LOADED = {
    "@bazel_skylib//:bzl_library.bzl": ["bzl_library"],
    "@bazel_skylib//lib:selects.bzl": ["selects"],
    "@bazel_skylib//lib:unittest.bzl": ["asserts", "analysistest", "unittest"],
    "@bazel_skylib//rules:build_test.bzl": ["build_test"],
    "@bazel_skylib//rules:common_settings.bzl": ["BuildSettingInfo", "bool_flag", "string_flag"],
    "@bazel_skylib//rules:copy_file.bzl": ["copy_file"],
    "@bazel_skylib//rules:diff_test.bzl": ["diff_test"],
    "@bazel_skylib//rules:native_binary.bzl": ["native_binary", "native_test"],
    "@bazel_skylib//rules:run_binary.bzl": ["run_binary"],
    "@bazel_skylib//rules:write_file.bzl": ["write_file"],
    "@bazel_tools//tools/build_defs/repo:http.bzl": ["http_archive", "http_file"],
    "@bazel_tools//tools/build_defs/repo:utils.bzl": ["maybe"],
    "@bazel_tools//tools/cpp:toolchain_utils.bzl": ["find_cpp_toolchain", "use_cpp_toolchain"],
    "@platforms//host:constraints.bzl": ["HOST_CONSTRAINTS"],
    "@rules_cc//cc:action_names.bzl": ["ACTION_NAMES"],
    "@rules_cc//cc:cc_library.bzl": ["cc_library"],
    "@rules_cc//cc:defs.bzl": ["CcInfo", "cc_binary", "cc_common", "cc_library", "cc_test"],
    "@rules_cc//cc:find_cc_toolchain.bzl": ["find_cc_toolchain", "use_cc_toolchain"],
    "@rules_cc//cc/common:cc_common.bzl": ["cc_common"],
    "@rules_cc//cc/common:cc_info.bzl": ["CcInfo"],
    "@rules_foreign_cc//foreign_cc:defs.bzl": ["cmake", "configure_make", "make"],
    "@rules_license//rules:license.bzl": ["license"],
    "@rules_python//python:defs.bzl": ["PyInfo", "py_binary", "py_library", "py_test"],
    "@rules_python//python:packaging.bzl": ["py_wheel"],
    "@rules_python//python:pip.bzl": ["compile_pip_requirements"],
    "@rules_shell//shell:sh_test.bzl": ["sh_test"],
}


@pytest.mark.parametrize(
    "file", sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.bzl"))
)
def test_a_file_can_be_loaded(file: str, tmp_path: Path) -> None:
    cell, _, path = file.partition("/")
    folder, _, name = path.rpartition("/")
    (tmp_path / "lamina.toml").write_text("")
    (tmp_path / "BUILD").write_text(f'load("@{cell}//{folder}:{name}", "no_such_symbol")')

    with pytest.raises(UserError, match="has no symbol `no_such_symbol`"):
        Loader(workspace.read(tmp_path)).package("")


@pytest.mark.parametrize("file", LOADED)
def test_a_file_has_what_is_loaded_from_it(file: str, tmp_path: Path) -> None:
    symbols = ", ".join(f'"{symbol}"' for symbol in LOADED[file])
    (tmp_path / "lamina.toml").write_text("")
    (tmp_path / "BUILD").write_text(f'load("{file}", {symbols})')

    Loader(workspace.read(tmp_path)).package("")


def test_every_target_resolves(tmp_path: Path) -> None:
    (tmp_path / "lamina.toml").write_text("")
    loader = Loader(workspace.read(tmp_path))
    places = [path.parent.relative_to(ROOT).parts for path in ROOT.rglob("BUILD")]
    packages = [loader.package("/".join(rest), cell) for cell, *rest in places]

    loader.closure(target.label for package in packages for target in package.targets.values())


@pytest.mark.parametrize(
    "label",
    [
        "@platforms//os:linux",
        "@platforms//os:macos",
        "@platforms//cpu:x86_64",
        "@platforms//cpu:arm64",
        "@platforms//host",
        "@platforms//:incompatible",
        "@bazel_tools//platforms:windows",
        "@bazel_tools//src/conditions:windows",
        "@bazel_tools//src/conditions:darwin",
        "@bazel_tools//tools/cpp:compiler",
        "@bazel_tools//tools/cpp:toolchain_type",
        "@rules_cc//cc/compiler:clang",
        "@rules_cc//cc/compiler:msvc-cl",
        "@rules_cc//cc/runfiles",
        "@rules_python//python/runfiles",
        "@bazel_skylib//lib:paths",
    ],
)
def test_a_label_that_public_repositories_name_is_there(label: str, tmp_path: Path) -> None:
    (tmp_path / "lamina.toml").write_text("")
    loader = Loader(workspace.read(tmp_path))

    home = loader.cells.home("", "")
    assert loader.closure([home.label(label)])


@pytest.mark.parametrize(
    ("load", "call", "expected"),
    [
        (
            '"@rules_python//python:packaging.bzl", "py_wheel"',
            'py_wheel(name = "w")',
            "`py_wheel` is not there: `lamina package` makes packages that run as they are",
        ),
        (
            '"@rules_cc//cc:defs.bzl", "cc_static_library"',
            'cc_static_library(name = "w")',
            "`cc_static_library` is not there: a `cc_library` is an archive already",
        ),
        (
            '"@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive"',
            'http_archive(name = "w")',
            '`http_archive` does not fetch anything: write `w = "its/folder"` below `[cells]`',
        ),
    ],
)
def test_what_is_not_there_says_what_to_do(
    load: str, call: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "lamina.toml").write_text("")
    (tmp_path / "BUILD").write_text(f"load({load})\n{call}\n")

    with pytest.raises(UserError) as caught:
        Loader(workspace.read(tmp_path)).package("")
    assert expected in caught.value.message
    assert caught.value.message.startswith("BUILD:2:1: ")
