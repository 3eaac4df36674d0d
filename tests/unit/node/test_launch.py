"""Starting a package: what is decided before anything is mounted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lamina.core.errors import UserError
from lamina.core.manifest import Package
from lamina.node import launch

PACKAGE = Package("a/b", "v1", "//a:b", (), ("run",), (("HOME", "/own"), ("X", "1")))


def test_the_packages_variables_win_over_the_callers_and_laminas_over_both() -> None:
    outer = {"HOME": "/outer", "PATH": "/bin", "LAMINA_VERSION": "outer"}

    assert launch.variables(PACKAGE, "/packages/b-v1", outer) == {
        "HOME": "/own",
        "PATH": "/bin",
        "X": "1",
        "LAMINA_PACKAGE": "/packages/b-v1",
        "LAMINA_VERSION": "v1",
    }


def test_nothing_happens_before_the_package_is_known_to_be_startable() -> None:
    with pytest.raises(UserError, match="`//a:b` has no entry point"):
        launch.launch(Package("a/b", "v1", "//a:b", ()), [Path("x")], [])
    with pytest.raises(UserError, match="without layers"):
        launch.launch(PACKAGE, [], [])
    with pytest.raises(UserError, match="no mount driver is called"):
        launch.launch(PACKAGE, [Path("x")], [], driver="none")


def test_the_import_of_launch_brings_no_dear_module() -> None:
    code = "import sys, lamina.node.launch; print(*sys.modules)"

    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()

    dear = {"argparse", "subprocess", "rich", "grpc", "google", "starlark", "json", "tempfile"}
    assert dear.isdisjoint(modules)


def test_the_kernel_driver_brings_nothing_of_other_drivers_or_of_merging() -> None:
    code = (
        "import sys, lamina.node.launch; from lamina.node import mounts;"
        "mounts.driver('kernel'); print(*sys.modules)"
    )

    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()

    others = {
        *("zstandard", "sqlite3", "json", "subprocess", "lamina.linux.btrfs"),
        *("lamina.formats.squashreader", "lamina.formats.squashwriter", "lamina.store.local"),
        *(f"lamina.node.{name}" for name in ("merge", "fuse", "lay", "copied", "subvolumes")),
    }
    assert others.isdisjoint(modules)
