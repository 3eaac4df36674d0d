"""Rules that a workspace defines: a generator, a listing over a tree of targets, a test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(copy_of: Callable[..., Path]) -> Path:
    return copy_of("own-rules")


@pytest.mark.parametrize("program", ["hello_cc", "hello_py"])
def test_generated_code_runs_in_both_languages(lamina: Lamina, root: Path, program: str) -> None:
    done = lamina(root, "run", f"//:{program}")

    assert (done.returncode, done.stdout) == (0, "Hello from one file\n"), done.stderr


def test_what_targets_hand_on_is_listed_below_first(lamina: Lamina, root: Path) -> None:
    lamina(root, "build", "//greeting:all")

    listed = (root / "lamina-out/greeting/all.txt").read_text()
    assert listed == "1 greeting/places.msg\n2 greeting/greetings.msg\n3 total\n"


def test_a_test_rule_passes_and_fails(lamina: Lamina, root: Path) -> None:
    passed = lamina(root, "test", "//greeting:all_test")
    (root / "greeting/places.msg").write_text("HERE = a\nTHERE = b\n")
    failed = lamina(root, "test", "//greeting:all_test")

    assert passed.returncode == 0, passed.stderr
    assert failed.returncode != 0
    assert "+2 greeting/places.msg" in failed.stdout + failed.stderr


def test_an_edit_of_an_implementation_counts_wherever_it_is_used(
    lamina: Lamina, root: Path
) -> None:
    rules = root / "rules/inventory.bzl"
    lamina(root, "build", "//...")
    rules.write_text(rules.read_text().replace("wc -l", "wc -c"))

    again = lamina(root, "build", "//...")

    assert again.returncode == 0, again.stderr
    assert (root / "lamina-out/greeting/all.txt").read_text().startswith("20 greeting/places.msg")


def test_nothing_is_done_twice(lamina: Lamina, root: Path) -> None:
    lamina(root, "build", "//...")

    again = lamina(root, "build", "//...")

    assert "nothing to do" in again.stderr, again.stderr
