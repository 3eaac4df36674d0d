"""Builds over BuildGrid, an independent server with an older API and smaller batches."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import buildgrid
from tests.farm.conftest import Machine
from tests.farm.test_builds import PROJECT
from tests.farms import Absent, secured
from tests.servers import make_tls

Machines = Callable[[str], Machine]

# Blobs above and at the bounds of batches, and many small ones.
_LARGE = """
genrule(name = "large", outs = ["large"], cmd = "head -c 9000000 /dev/zero | tr '\\\\0' x > $@")
genrule(name = "edge", outs = ["edge"], cmd = "head -c 4193280 /dev/zero | tr '\\\\0' y > $@")
[genrule(name = "n%d" % i, outs = ["n%d.out" % i], cmd = "echo %d > $@" % i) for i in range(100)]
"""


@pytest.fixture(params=["plain", "tls"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Options that reach one that runs, by an instance with a name."""
    with contextlib.ExitStack() as held:
        try:
            port = held.enter_context(buildgrid.cache(tmp_path / "grid", "main/one"))
        except Absent as absent:
            pytest.skip(str(absent))
        if request.param == "plain":
            yield f"--remote-cache=grpc://127.0.0.1:{port}", "--remote-instance-name=main/one"
            return
        tls = make_tls(tmp_path / "tls")
        door = held.enter_context(secured(port, tls))
        yield (
            f"--remote-cache={door}", "--remote-instance-name=main/one",
            f"--tls-certificate={tls.ca}",
        )  # fmt: skip


def test_a_second_checkout_finds_everything_and_runs_nothing(
    url: tuple[str, ...], machine: Machines, tmp_path: Path
) -> None:
    files = {**PROJECT, "BUILD": PROJECT["BUILD"] + _LARGE}
    ada, bob = machine("ada"), machine("bobby")
    for each in (ada, bob):
        each.write(files)
    words = ("build", "//...", "--console", "none", *url)

    first = ada.lamina(*words)
    second = bob.lamina(*words, "--remote-download-all")

    assert first.ran > 100
    assert second.ran == 0
    assert bob.outputs() == ada.outputs()
    assert (bob.root / "lamina-out/large").stat().st_size == 9_000_000
    assert "warning" not in first.err + second.err
    shutil.rmtree(bob.store)
    _damage(tmp_path / "grid/cas", b"x" * 9_000_000)
    third = bob.lamina(*words, "--remote-download-all")
    assert third.ran >= 1  # what is not what its digest says is made anew
    assert (bob.root / "lamina-out/large").read_bytes() == b"x" * 9_000_000


def _damage(folder: Path, data: bytes) -> None:
    """Let a blob be another one of the same length."""
    hash_ = hashlib.sha256(data).hexdigest()
    (found,) = [path for path in folder.rglob("*") if path.is_file() and hash_ in _name(path)]
    found.chmod(0o644)
    found.write_bytes(b"z" * len(data))


def _name(path: Path) -> str:
    return path.parent.name + path.name + " " + path.name
