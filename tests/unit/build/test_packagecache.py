"""Loaded packages on disk: the same as if loaded again, and loaded again when they must be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.buildpackage import BuildPackage
from lamina.build.loader import Loader
from lamina.build.packagecache import Codec
from lamina.build.rule import registry

BUILD = """
load("//t:m.bzl", "m")
m(name = "a", srcs = glob(["*.txt"]) + ["//q:x.txt", ":out.txt"])
filegroup(
    name = "b",
    srcs = select({"//c:on": [":a", "@other//:z"], "//conditions:default": ["b.txt"]}) + ["c.txt"],
    visibility = ["//q/...", "//:__pkg__"],
    tags = ["x", "manual"],
)
genrule(name = "g", outs = ["out.txt"], cmd = "echo $@" + select({"//c:on": "1"}), testonly = True)
python_library(name = "p", srcs = {"n.py": "m.py"}, base_module = "")
exports_files(["c.txt"])
"""
FILES = {
    "lamina.toml": "",
    "p/BUILD": BUILD,
    "p/d.txt": "",
    "t/BUILD": "",
    "t/m.bzl": "load(':n.bzl', 'n')\ndef m(name, **kw):\n    n(name, **kw)\n",
    "t/n.bzl": "def n(name, **kw):\n    native.filegroup(name = name, **kw)\n",
}
Load = Callable[[], tuple[BuildPackage, bool]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        file = tmp_path / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    age(tmp_path / "root")
    return tmp_path / "root"


def age(root: Path) -> None:
    """Let what was just written be old enough to be trusted by its times."""
    del root
    time.sleep(0.06)


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Load:
    """Load `//p` as a new run does, and tell whether it had to evaluate anything."""

    def run() -> tuple[BuildPackage, bool]:
        loader = Loader(workspace.read(root), cache=tmp_path / "cache")
        package = loader.package("p")
        evaluated = loader._evaluator is not None
        loader.save(tmp_path)
        return package, evaluated

    return run


def test_a_package_is_the_same_from_its_bytes(load: Load) -> None:
    package, _ = load()
    codec = Codec(registry())
    payload = codec.encode(package)
    assert payload is not None

    assert codec.decode(payload, package.inputs, package.directories) == package
    assert codec.encode(codec.decode(payload, frozenset(), frozenset())) == payload


def test_an_unchanged_package_is_not_evaluated(load: Load) -> None:
    first, _ = load()
    second, evaluated = load()

    assert not evaluated
    assert second == first


@pytest.mark.parametrize(
    "path", ["p/BUILD", "t/m.bzl", "t/n.bzl", "p/new.txt", "p/BUCK", "lamina.toml", "MODULE.bazel"]
)
def test_what_may_have_changed_it_evaluates_it_again(root: Path, load: Load, path: str) -> None:
    load()
    file = root / path
    file.write_text((file.read_text() if file.exists() else "") + "\n")
    age(root)

    assert load()[1]
    assert not load()[1]


@pytest.mark.parametrize("path", ["q/new.txt", "p/sub/x.txt", "t/o.bzl"])
def test_what_it_did_not_look_at_does_not(root: Path, load: Load, path: str) -> None:
    (root / "p/sub").mkdir()
    age(root)
    load()
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text("")
    age(root)

    assert not load()[1]


def test_one_edit_of_a_loaded_file_counts_for_all_that_load_it(root: Path, tmp_path: Path) -> None:
    (root / "q").mkdir()
    (root / "q/BUILD").write_text("load('//t:m.bzl', 'm')\nm(name = 'x')\n")
    age(root)

    def names(*packages: str) -> list[list[str]]:
        loader = Loader(workspace.read(root), cache=tmp_path / "cache")
        found = [list(loader.package(name).targets) for name in packages]
        loader.save(tmp_path)
        return found

    assert names("p", "q")[1] == ["x"]
    (root / "t/n.bzl").write_text("def n(name, **kw):\n    native.filegroup(name = name + 'y')\n")
    age(root)

    assert names("p")[0][0] == "ay"
    assert names("q") == [["xy"]]


def test_a_file_of_this_moment_is_not_trusted(root: Path, load: Load) -> None:
    (root / "p/BUILD").write_text("filegroup(name = 'a')")
    load()
    before = os.stat(root / "p/BUILD")
    (root / "p/BUILD").write_text("filegroup(name = 'b')")
    os.utime(root / "p/BUILD", ns=(before.st_atime_ns, before.st_mtime_ns))

    assert list(load()[0].targets) == ["b"]


def test_a_damaged_cache_is_as_none(load: Load, tmp_path: Path) -> None:
    first, _ = load()
    data = (tmp_path / "cache").read_bytes()
    for broken in (b"", b"nonsense", data[: len(data) // 2]):
        (tmp_path / "cache").write_bytes(broken)

        assert load() == (first, True)


def test_a_package_with_rules_of_its_own_is_evaluated_again_and_known_as_a_reader(
    root: Path, tmp_path: Path, load: Load
) -> None:
    (root / "t/n.bzl").write_text("n = rule(implementation = lambda ctx: [])\n")
    (root / "t/m.bzl").write_text("load(':n.bzl', 'n')\ndef m(name, **kw):\n    n(name = name)\n")
    age(root)
    load()

    assert load()[1]
    cache = Loader(workspace.read(root), cache=tmp_path / "cache").cache
    assert cache is not None
    assert cache.readers("t/n.bzl") == ["p"]
    assert cache.digest("p") == ""
