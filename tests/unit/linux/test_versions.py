"""Versions of tools: asked once for each file on disk, and again when the file is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.core.errors import HostError
from lamina.linux.versions import ToolVersions


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    return write(tmp_path / "tool", "1.0")


def write(path: Path, version: str) -> Path:
    """A tool that notes, beside itself, each time that it is asked."""
    path.write_text(
        f'#!/bin/sh\necho "$*" >> {path}.asked\necho "tool {version} "; echo "more of $1"\n'
    )
    path.chmod(0o755)
    return path


def asked(tool: Path) -> int:
    return len(Path(f"{tool}.asked").read_text().splitlines())


def test_the_answer_is_what_the_tool_prints(tool: Path, tmp_path: Path) -> None:
    versions = ToolVersions(tmp_path / "cache.json")

    assert versions.ask(tool, "--version") == "tool 1.0 \nmore of --version"
    assert versions.first_line(tool, "--version") == "tool 1.0"


def test_a_tool_is_asked_once_even_by_two_runs(tool: Path, tmp_path: Path) -> None:
    for _ in range(2):
        versions = ToolVersions(tmp_path / "cache.json")
        versions.ask(tool, "--version")
        versions.ask(tool, "--version")

    assert asked(tool) == 1


def test_another_question_is_asked_of_its_own(tool: Path, tmp_path: Path) -> None:
    versions = ToolVersions(tmp_path / "cache.json")

    assert versions.ask(tool, "-a") != versions.ask(tool, "-b")


def test_a_tool_that_was_replaced_is_asked_again(tool: Path, tmp_path: Path) -> None:
    ToolVersions(tmp_path / "cache.json").ask(tool)

    write(tool, "2.0.1")

    assert ToolVersions(tmp_path / "cache.json").first_line(tool) == "tool 2.0.1"


def test_a_link_is_known_by_the_tool_that_it_leads_to(tool: Path, tmp_path: Path) -> None:
    versions = ToolVersions(tmp_path / "cache.json")
    link = tmp_path / "link"
    link.symlink_to(tool)
    other = write(tmp_path / "other-tool", "3.1")

    assert versions.first_line(link) == "tool 1.0"
    link.unlink()
    link.symlink_to(other)

    assert versions.first_line(link) == "tool 3.1"


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[1]", b"5", b"null", b'{"a": 1}'])
def test_a_damaged_cache_is_asked_anew(tool: Path, tmp_path: Path, damage: bytes) -> None:
    cache = tmp_path / "cache.json"
    cache.write_bytes(damage)

    assert ToolVersions(cache).first_line(tool) == "tool 1.0"


def test_a_tool_that_fails_is_an_error_and_not_remembered(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    tool.chmod(0o755)

    with pytest.raises(HostError, match="`tool` failed with exit code 1: broken"):
        ToolVersions(tmp_path / "cache.json").ask(tool)

    assert not (tmp_path / "cache.json").exists()
