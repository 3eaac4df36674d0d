"""Which wheels fit: against what packaging says of this interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.tags import sys_tags

from lamina.build.wheels.platform import Platform, ask
from lamina.core.errors import UserError
from lamina.formats.pylock import Archive
from lamina.linux.versions import ToolVersions

HERE = Platform(
    {"os_name": "posix", "python_version": "3.11", "extra": ""},
    {"cp311-cp311-linux": 0, "cp311-abi3-linux": 1, "py3-none-any": 2},
)


def best(*names: str) -> str:
    found = HERE.best([Archive(f"https://x/{name}", "") for name in names])
    return found.name if found else ""


def test_the_interpreter_is_asked(tmp_path: Path) -> None:
    import sys

    found = ask(Path(sys.executable), ToolVersions(tmp_path / "tools.json"))

    assert sorted(found.ranks, key=found.ranks.__getitem__) == [str(tag) for tag in sys_tags()]
    assert found.holds(f"python_version == '{sys.version_info[0]}.{sys.version_info[1]}'")


def test_the_best_tag_wins_then_the_build_number() -> None:
    assert best("a-1-py3-none-any.whl", "a-1-cp311-abi3-linux.whl") == "a-1-cp311-abi3-linux.whl"
    assert best("a-1-py2.py3-none-any.whl", "a-1-7b-py3-none-any.whl") == "a-1-7b-py3-none-any.whl"
    assert best("a-1-cp310-cp310-linux.whl", "a-1.tar.gz", "b.whl") == ""


def test_what_is_no_marker_is_told_of() -> None:
    assert HERE.holds("") and HERE.holds("os_name == 'posix'")
    with pytest.raises(UserError, match="not a marker: `maybe`"):
        HERE.holds("maybe")
