"""Distributions of the index that this machine's pip is set to: locked, fetched, built, run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]
INPUT = "third_party/python/requirements.in"
LOCK = "third_party/python/pylock.toml"


@pytest.fixture
def locked(lamina: Lamina, copy_of: Callable[..., Path]) -> Path:
    """The example, with a lock made now."""
    root = copy_of("third-party")
    ok(lamina(root, "lock", INPUT))
    return root


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_locked_built_run_and_told_of(lamina: Lamina, locked: Path) -> None:
    assert ok(lamina(locked, "run", "//:areas", "--", "3", "4")) == "2 squares, 25 in all\n"
    assert "1 passes" in lamina(locked, "test", "//...").stderr
    assert ok(lamina(locked, "run", "//:numpy-config", "--", "--version"))[:1].isdigit()
    layers = json.loads(ok(lamina(locked, "package", "--json", "//:areas")))["layers"]
    names = [layer["label"].removeprefix("//third_party/python:") for layer in layers]
    assert sorted(names) == ["//:areas", "//:shapes", "attrs", "click", "numpy"]

    again = lamina(locked, "lock", "--output", LOCK)
    assert "is as it was" in again.stderr
    ok(lamina(locked, "lock", "--output", LOCK, "--check"))
    _check_bills(lamina, locked)


def _check_bills(lamina: Lamina, root: Path) -> None:
    cyclonedx = json.loads(ok(lamina(root, "sbom", "//:areas", "--format", "cyclonedx")))
    parts = {part["name"]: part for part in cyclonedx["components"]}
    assert sorted(parts) == ["attrs", "click", "numpy"]
    assert parts["attrs"]["licenses"] == [{"license": {"id": "MIT"}}]
    lock = (root / LOCK).read_text()
    for part in parts.values():
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["hashes"][0]["content"] in lock
    spdx = json.loads(ok(lamina(root, "sbom", "//:areas", "--format", "spdx")))
    assert {package["name"] for package in spdx["packages"]} == {"areas", *parts}
    assert ok(lamina(root, "sbom", "//:areas")) == ok(lamina(root, "sbom", "//:areas"))


def test_a_lock_that_no_longer_fits_is_told_of_and_made_anew(lamina: Lamina, locked: Path) -> None:
    before = (locked / LOCK).read_text()
    with (locked / INPUT).open("a") as file:
        file.write("click < 8.1  # for the sake of change\n")

    checked = lamina(locked, "lock", "--output", LOCK, "--check")

    assert (checked.returncode, (locked / LOCK).read_text()) == (1, before)
    assert re.search(r"click: \S+ -> 8\.0\.4", lamina(locked, "lock", INPUT).stderr)
    ok(lamina(locked, "build", "//third_party/python:click"))
