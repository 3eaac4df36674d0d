"""A clock that is wrong by a year, to either side."""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.store import gc, leases, packages
from lamina.store.local import LocalStore
from tests import servers
from tests.reliability import made


@dataclass(frozen=True, slots=True)
class Node:
    """A store with a package that was pulled by the right clock, `v1`; a folder has `v2` too."""

    store: Path
    place: str
    wrong: tuple[str, ...]  # starts what is to have the wrong clock

    def exec(self, version: str, by: Sequence[str] = ()) -> tuple[int, str]:
        return made.run(self.store, "exec", f"{self.place}:{version}", by=by)

    def has(self, version: str) -> bool:
        store = LocalStore(self.store)
        try:
            found = {each.version: each.digest for each in packages.kept(store)}
            return version in found and packages.is_whole(found[version], store)
        finally:
            store.close()

    def digest(self, version: str) -> Digest:
        store = LocalStore(self.store)
        try:
            return packages.resolve(f"main:{version}", store)
        finally:
            store.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made.programs(tmp_path_factory.mktemp("clock"), "v1", "v2")


@pytest.fixture(params=["-365d", "+365d"])
def node(request: pytest.FixtureRequest, place: str, tmp_path: Path) -> Node:
    faketime = servers.need("faketime")
    code, told = made.run(tmp_path / "node", "pull", f"{place}:v1")
    assert code == 0, told
    # What the kernel writes to files is right.
    wrong = ("env", "NO_FAKE_STAT=1", faketime, "-f", request.param)
    return Node(tmp_path / "node", place, wrong)


def test_all_runs_under_a_wrong_clock_and_the_right_one_after_it(node: Node) -> None:
    first = node.exec("v1", by=node.wrong)
    second = node.exec("v2", by=node.wrong)
    verified = made.run(node.store, "cache", "verify", by=node.wrong)
    swept = made.run(node.store, "cache", "gc", "--max-size", "0", by=node.wrong)
    gone = not node.has("v1") and not node.has("v2")
    again = node.exec("v1")

    assert [each[0] for each in (first, second, verified, swept, again)] == [0] * 5, (
        first, second, verified, swept, again,
    )  # fmt: skip
    told = second[1].splitlines()[0].split()
    real = float(again[1].splitlines()[0].split()[1])
    assert (told[0], abs(float(told[1]) - real) > 3e7) == ("v2", True)  # it was a wrong clock
    assert gone


def test_what_was_used_last_stays_under_a_wrong_clock(node: Node) -> None:
    assert node.exec("v2")[0] == 0
    assert node.exec("v1", by=node.wrong)[0] == 0
    store = LocalStore(node.store)
    size = sum(each.size for each in gc.usage(store) if each.kind == "blobs")
    store.close()

    done = made.run(node.store, "cache", "gc", "--max-size", str(size - 1), by=node.wrong)

    assert done[0] == 0
    assert [node.has("v1"), node.has("v2")] == [True, False]


def test_what_is_leased_or_being_fetched_stays_under_a_wrong_clock(node: Node) -> None:
    parts = [node.store / "partial" / (letter * 64) for letter in "ab"]
    for part in parts:
        part.write_bytes(b"begin")
    with parts[0].open("rb") as file, leases.leased_package(node.store, node.digest("v1")):
        fcntl.flock(file, fcntl.LOCK_EX)
        done = made.run(node.store, "cache", "gc", "--max-size", "0", by=node.wrong)
        ran = node.exec("v1", by=node.wrong)

        assert (done[0], ran[0]) == (0, 0), (done, ran)
        assert node.has("v1")
    assert [part.exists() for part in parts] == [True, False]
    parts[0].unlink()
