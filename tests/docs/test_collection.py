"""No folder of tests is passed by: pytest leaves out some names, such as `build`, unless told."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest


def test_every_folder_with_tests_is_collected(pytestconfig: pytest.Config) -> None:
    tests = Path(__file__).parents[1]
    folders = {
        part for path in tests.rglob("test_*.py") for part in path.relative_to(tests).parts[:-1]
    }

    left_out = pytestconfig.getini("norecursedirs")

    assert [name for name in folders for pattern in left_out if fnmatch(name, pattern)] == []
