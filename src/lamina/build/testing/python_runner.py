"""Runs Python tests in their own process: finds them, takes a shard's share, reports each case.

This file is copied into every Python test, beside its bootstrap, and runs in the test's own
interpreter: it imports nothing of lamina, and of the standard library little before it is needed.
What it is asked for stands in the environment, in the variables that Bazel has for it.
"""

# ruff: noqa: PTH118, PTH120, PTH123
# (pathlib takes its time to load)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing takes its time to load
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def main(root: str, modules: Sequence[str], framework: str) -> int:
    """Run the tests in modules, named by their paths in the package root; the exit code."""
    _measure(root)
    names = [_module(path) for path in modules if path.endswith(".py")]
    if framework == "pytest" or (not framework and _has("pytest")):
        if not _has("pytest"):
            sys.stderr.write("there is no pytest: add a target that brings it to `deps`\n")
            return 1
        paths = [path for path in modules if not path.endswith(("/__init__.py", "conftest.py"))]
        return _run_pytest(root, [os.path.join(root, path) for path in paths])
    names = [name for name in names if name.rpartition(".")[2] != "conftest"]
    return int(_unittest().run(names))


def prepare(root: str, main: str) -> None:
    """Before a test's own main file: measure it, and report what it runs through unittest."""
    _measure(root)
    with open(main, "rb") as file:
        mentioned = b"unittest" in file.read()
    if mentioned:
        import unittest

        unittest.main = _unittest().Program


def _module(path: str) -> str:
    return path[: -len(".py")].replace("/", ".").replace(".__init__", "")


def _has(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def shard() -> tuple[int, int]:
    """This process's number and how many there are; tells that the tests are split."""
    total = int(os.environ.get("TEST_TOTAL_SHARDS") or 1)
    status = os.environ.get("TEST_SHARD_STATUS_FILE")
    if total > 1 and status:
        with open(status, "w"):
            pass
    return int(os.environ.get("TEST_SHARD_INDEX") or 0), total


def chosen() -> str:
    return os.environ.get("TESTBRIDGE_TEST_ONLY", "")


def may_be_empty() -> bool:
    """Whether it is no fault that there is no test to run."""
    return bool(chosen()) or int(os.environ.get("TEST_TOTAL_SHARDS") or 1) > 1


def _unittest() -> Any:
    """The module beside this one."""
    sys.path.insert(0, os.path.dirname(__file__))
    try:
        import lamina_testing_unittest  # type: ignore[import-not-found]
    finally:
        del sys.path[0]
    return lamina_testing_unittest


class _Share:
    """A plugin that takes this shard's tests."""

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        index, total = shard()
        if total > 1:
            taken = items[index::total]
            config.hook.pytest_deselected(items=[item for item in items if item not in taken])
            items[:] = taken


def _run_pytest(root: str, files: list[str]) -> int:
    import pytest

    words = ["-p", "no:cacheprovider", "--color=no", f"--rootdir={root}"]
    words += ["--import-mode=importlib"]
    if getattr(pytest, "version_tuple", (0,)) >= (8, 1):
        words += ["-o", "consider_namespace_packages=true"]
    report = os.environ.get("XML_OUTPUT_FILE")
    if report:
        words += [f"--junit-xml={report}"]
    if chosen():
        words += ["-k", _keyword(chosen())]
    code = int(pytest.main([*words, *sys.argv[1:], *files], plugins=[_Share()]))
    return 0 if code == 5 and may_be_empty() else code


def _keyword(chosen: str) -> str:
    """`Class.test_it`, as unittest has it, in the words of pytest."""
    parts = chosen.replace("::", ".").split(".")
    return " and ".join(parts) if all(part.isidentifier() for part in parts) else chosen


class _Finder:
    """Finds coverage.py in a folder, and nothing else that lies there."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> Any:
        from importlib.machinery import PathFinder

        if name == "coverage":
            return PathFinder.find_spec(name, [self._folder])
        return None


def _measure(root: str) -> None:
    """Measure which lines run, where that is asked for; told when the process ends."""
    folder, place = os.environ.get("COVERAGE_DIR"), os.environ.get("LAMINA_PYTHON_COVERAGE")
    if not (folder and place):
        return
    import atexit

    sys.meta_path.append(_Finder(place))
    import coverage  # type: ignore[import-not-found,unused-ignore]

    data = os.path.join(os.environ.get("TEST_TMPDIR", "/tmp"), ".coverage")
    omitted = [os.path.join(root, ".lamina", "*"), os.path.join(root, "site-packages", "*")]
    measured = coverage.Coverage(
        data_file=data, include=[os.path.join(root, "*")], omit=omitted, config_file=False
    )
    measured.start()

    def tell() -> None:
        measured.stop()
        if measured.get_data().measured_files():
            report = os.path.join(str(folder), "python.lcov")
            measured.lcov_report(outfile=report, ignore_errors=True)

    atexit.register(tell)
