"""The action cache: what it was told, unless anything about it is no longer so."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.core.action import ActionResult
from lamina.core.digest import Digest
from lamina.core.errors import HostError
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


def file_of(store: LocalStore) -> Path:
    return store.folder / "actions" / "results.db"


def test_an_action_that_never_ran_is_not_known(cache: ActionCache) -> None:
    assert cache.get(ACTION) is None


def test_a_result_reads_back_also_by_the_next_process(
    cache: ActionCache, result: ActionResult, store: LocalStore
) -> None:
    cache.put(ACTION, result)

    assert cache.get(ACTION) == result
    cache.close()
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
    with closing(sqlite3.connect(file_of(store), isolation_level=None)) as database:
        assert database.execute("UPDATE entries SET value = ?", (damage,)).rowcount == 1

    assert cache.get(ACTION) is None
    cache.put(ACTION, result)

    assert cache.get(ACTION) == result


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000, b"SQLite format 3\0" + b"x" * 9000])
def test_a_file_that_is_no_database_is_replaced(
    result: ActionResult, store: LocalStore, damage: bytes
) -> None:
    file_of(store).parent.mkdir(parents=True)
    file_of(store).write_bytes(damage)

    with ActionCache(store) as cache:
        assert cache.get(ACTION) is None
        cache.put(ACTION, result)

    assert ActionCache(store).get(ACTION) == result


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1)
)
def test_no_damage_gives_a_wrong_result(
    result: ActionResult, store: LocalStore, damage: list[tuple[float, int]]
) -> None:
    file_of(store).unlink(missing_ok=True)
    with ActionCache(store) as cache:
        cache.put(ACTION, result)
    content = bytearray(file_of(store).read_bytes())
    for place, bits in damage:
        content[int(place * len(content))] ^= bits
    file_of(store).write_bytes(content)

    with ActionCache(store) as cache:
        assert cache.get(ACTION) in (None, result)
        cache.put(ACTION, result)
        assert cache.get(ACTION) == result
    assert ActionCache(store).get(ACTION) == result


def test_one_that_another_process_replaced_is_opened_anew(
    result: ActionResult, store: LocalStore
) -> None:
    with ActionCache(store) as cache:
        cache.put(ACTION, ActionResult((), 0, b"first"))
        cache.flush()
        file_of(store).unlink()
        cache.put(ACTION, result)
        cache.flush()

        assert ActionCache(store).get(ACTION) == result


def test_results_wait_for_others_but_not_for_long(result: ActionResult, store: LocalStore) -> None:
    others = [Digest(f"{number:064x}", 1) for number in range(1, 200)]
    with ActionCache(store) as cache:
        for other in others:
            cache.put(other, result)
        time.sleep(0.06)
        cache.settle()
        beside = ActionCache(store)

        assert [beside.get(other) for other in others] == [result] * len(others)


def test_several_write_at_once(result: ActionResult, store: LocalStore) -> None:
    def work(first: int) -> None:
        with ActionCache(store) as cache:
            for number in range(first, first + 50):
                cache.put(Digest(f"{number:064x}", 1), result)
                cache.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 200, 50)))

    with ActionCache(store) as cache:
        assert all(cache.get(Digest(f"{number:064x}", 1)) == result for number in range(200))


def test_a_folder_that_cannot_be_written_is_named(result: ActionResult, store: LocalStore) -> None:
    (store.folder / "actions").mkdir()
    file_of(store).mkdir()

    with pytest.raises(HostError, match="cannot use the action cache"), ActionCache(store) as cache:
        cache.put(ACTION, result)


def test_the_sets_of_paths_read_back(cache: ActionCache, store: LocalStore) -> None:
    cache.put_used(b"key", [("a", "b"), ()])
    cache.flush()

    assert ActionCache(store).used(b"key") == [("a", "b"), ()]
    assert cache.used(b"other") == []
