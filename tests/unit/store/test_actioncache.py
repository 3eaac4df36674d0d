"""The action cache: what it was told, unless anything about it is no longer so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.core.action import ActionResult
from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Symlink
from lamina.store.actioncache import ActionCache
from lamina.store.local import LocalStore

ACTION = Digest("ab" + "0" * 62, 100)


@pytest.fixture
def cache(store: LocalStore) -> ActionCache:
    return ActionCache(store)


@pytest.fixture
def result(store: LocalStore) -> ActionResult:
    outputs = (
        ("a.o", File(store.write(b"object"))),
        ("bin/a", File(store.write(b"program"), executable=True)),
        ("empty", Folder()),
        ("link", Symlink("a.o")),
    )
    return ActionResult(outputs, 0, b"said", b"warned")


def entry(store: LocalStore) -> Path:
    return store.folder / "actions/ab" / ("0" * 62)


def test_an_action_that_never_ran_is_not_known(cache: ActionCache) -> None:
    assert cache.get(ACTION) is None


def test_a_result_reads_back_also_by_the_next_process(
    cache: ActionCache, result: ActionResult, store: LocalStore
) -> None:
    cache.put(ACTION, result)

    assert cache.get(ACTION) == result
    assert ActionCache(store).get(ACTION) == result


def test_the_result_of_one_action_is_not_that_of_another(
    cache: ActionCache, result: ActionResult
) -> None:
    cache.put(ACTION, result)

    assert cache.get(Digest("ab" + "1" * 62, 100)) is None


def test_the_last_result_counts(cache: ActionCache, result: ActionResult) -> None:
    cache.put(ACTION, ActionResult((), 0, b"first"))
    cache.put(ACTION, result)

    assert cache.get(ACTION) == result


@pytest.mark.parametrize("name", ["a.o", "bin/a"])
def test_a_result_whose_blob_is_gone_is_a_miss(
    cache: ActionCache, result: ActionResult, store: LocalStore, name: str
) -> None:
    cache.put(ACTION, result)
    node = dict(result.outputs)[name]
    assert isinstance(node, File)

    store.path(node.digest).unlink()

    assert cache.get(ACTION) is None


@pytest.mark.parametrize("damage", [b"", b"\xff", b"no message", b"\x12\x04\x0a\x02/x"])
def test_a_damaged_entry_is_a_miss_that_the_next_result_mends(
    cache: ActionCache, result: ActionResult, store: LocalStore, damage: bytes
) -> None:
    cache.put(ACTION, result)
    entry(store).write_bytes(damage)

    assert cache.get(ACTION) is None
    cache.put(ACTION, result)

    assert cache.get(ACTION) == result


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_no_damage_raises_an_error(cache: ActionCache, store: LocalStore, data: bytes) -> None:
    entry(store).parent.mkdir(parents=True, exist_ok=True)
    entry(store).write_bytes(data)

    cache.get(ACTION)
