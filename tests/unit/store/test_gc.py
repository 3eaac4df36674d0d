"""A store within its bounds: the least recently used goes first, and never what is in use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.manifest import Layer, Package
from lamina.store import gc, leases, packages, verified
from lamina.store.gc import Bounds
from lamina.store.local import LocalStore

BLOCK = 4096


def blob(store: LocalStore, number: int, used: float) -> Digest:
    """A blob of one block that was last used at a time."""
    digest = store.write(bytes([number]) * BLOCK)
    os.utime(store.path(digest), (used, used))
    return digest


def package(store: LocalStore, version: str, *layers: Digest) -> Digest:
    made = Package(
        "p/a", version, "//p:a", tuple(Layer("//p:a", layer, layer) for layer in layers), ("a",)
    )
    digest = packages.put(made, store)
    for path in (store.folder / "blobs").rglob("*"):
        if path.is_file() and path.stat().st_mtime > 1e6:
            os.utime(path, (1000, 1000))
    return digest


def test_the_least_recently_used_goes_first(store: LocalStore) -> None:
    blobs = [blob(store, number, 100 + number) for number in range(4)]

    done = gc.sweep(store, Bounds(most=2 * BLOCK))

    assert [store.has(each) for each in blobs] == [False, False, True, True]
    assert (done.removed, done.freed, done.used, done.excess) == (2, 2 * BLOCK, 2 * BLOCK, 0)


def test_nothing_goes_from_a_store_within_its_bounds(store: LocalStore) -> None:
    kept = blob(store, 1, 100)

    done = gc.sweep(store, Bounds(most=BLOCK, free=1))

    assert (done.removed, done.excess) == (0, 0)
    assert store.has(kept)


def test_room_is_made_on_the_disk(store: LocalStore) -> None:
    blobs = [blob(store, number, 100 + number) for number in range(3)]
    room = os.statvfs(store.folder)

    gc.sweep(store, Bounds(free=room.f_bavail * room.f_frsize * 2))

    assert not any(map(store.has, blobs))


def test_what_was_read_lately_stays(store: LocalStore) -> None:
    old, read = blob(store, 1, 100), blob(store, 2, 100)
    os.utime(store.path(read), (900, 100))

    gc.sweep(store, Bounds(most=BLOCK))

    assert [store.has(old), store.has(read)] == [False, True]


def test_the_layers_of_a_package_that_was_started_lately_stay(store: LocalStore) -> None:
    first, second, other = (blob(store, number, 100 + number) for number in range(3))
    run = package(store, "v1", first, second)
    leases.lease_package(store.folder, run).end()

    gc.sweep(store, Bounds(most=4 * BLOCK))

    assert packages.is_whole(run, store)
    assert not store.has(other)


@pytest.mark.parametrize("keep", ["lease", "package", "pin"])
def test_what_is_needed_stays_whatever_the_bounds(store: LocalStore, keep: str) -> None:
    layer, other = blob(store, 1, 100), blob(store, 2, 200)
    digest = package(store, "v1", layer)
    if keep == "lease":
        lease = leases.leased(store.folder, [layer])
        lease.__enter__()
    elif keep == "package":
        leases.lease_package(store.folder, digest)
        os.utime(store.folder / "used" / digest.hash, (1, 1))
    else:
        gc.pin(store, digest, "p/a:v1")

    done = gc.sweep(store, Bounds(most=0))

    assert store.has(layer)
    assert not store.has(other)
    assert done.excess > 0
    assert packages.is_whole(digest, store) == (keep != "lease")


def test_a_package_that_is_unpinned_goes(store: LocalStore) -> None:
    digest = package(store, "v1", blob(store, 1, 100))
    gc.pin(store, digest, "p/a:v1")
    assert gc.pins(store) == {digest.hash}

    assert gc.unpin(store, digest)
    assert not gc.unpin(store, digest)
    gc.sweep(store, Bounds(most=0))

    assert not packages.is_whole(digest, store)


def test_what_is_used_meanwhile_stays(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = blob(store, 1, 100)
    kept = gc._kept

    def use_first(found: LocalStore) -> set[str]:
        os.utime(store.path(digest))
        return kept(found)

    monkeypatch.setattr(gc, "_kept", use_first)
    gc.sweep(store, Bounds(most=0))

    assert store.has(digest)


def test_all_is_compared_with_its_name(store: LocalStore) -> None:
    good, bad = store.write(b"good"), store.write(b"bad one")
    executable = store.path(store.write(b"program"), executable=True)
    for path in (store.path(bad), executable):
        path.chmod(0o644)
        path.write_bytes(b"altered"[: path.stat().st_size])

    done = gc.verify(store)

    assert set(done.wrong) == {bad.hash, Digest.of(b"program").hash}
    assert (done.blobs, store.has(good), store.has(bad)) == (4, True, False)
    assert not executable.exists()
    assert gc.verify(store).wrong == ()


def test_reading_all_is_no_use_of_it(store: LocalStore) -> None:
    path = store.path(blob(store, 1, 100))

    gc.verify(store)

    assert path.stat().st_atime == 100


def test_what_takes_room_is_told(store: LocalStore) -> None:
    blob(store, 1, 100)

    found = {each.kind: (each.files, each.size) for each in gc.usage(store)}

    assert found["blobs"] == (1, BLOCK)
    assert found["merged"] == (0, 0)


def test_the_environment_sets_bounds() -> None:
    words = {"LAMINA_CACHE_SIZE": "1G", "LAMINA_CACHE_MIN_FREE": "5M"}

    assert gc.bounds_of(words) == Bounds(1 << 30, 5 << 20)
    assert gc.bounds_of({}) == Bounds()


def test_the_begin_of_a_blob_goes_when_nobody_goes_on_with_it(
    store: LocalStore, tmp_path: Path
) -> None:
    folder = store.folder / "partial"
    folder.mkdir()
    for name, when in (("a" * 64, 100.0), ("b" * 64, None)):
        (folder / name).write_bytes(b"begin")
        if when:
            os.utime(folder / name, (when, when))

    assert gc.sweep(store, Bounds(most=1 << 40)).freed == 5
    assert [path.name for path in folder.iterdir()] == ["b" * 64]


def test_what_killed_processes_left_goes_whatever_the_bounds(store: LocalStore) -> None:
    digest = blob(store, 1, 100)
    left = store.folder / "tmp" / "1-dead"
    left.mkdir(parents=True)
    (left / ".new-1").write_bytes(b"half")
    dead = store.folder / "leases" / ".new-1"
    dead.parent.mkdir()
    dead.write_text(f"{digest.hash}\n")

    gc.sweep(store, Bounds(most=1 << 40))

    assert not left.exists()
    assert not dead.exists()
    assert store.has(digest)


def test_what_was_noted_of_a_blob_goes_with_it(store: LocalStore) -> None:
    layer = store.write(b"layer")
    digest = package(store, "v1", layer)
    leases.lease_package(store.folder, digest).end()
    time.sleep(0.06)  # what changed just now is not noted
    verified.path(layer, store)
    noted = [path for kind in ("verified", "used") for path in (store.folder / kind).rglob("*")]
    assert len([path for path in noted if path.is_file()]) == 2

    gc.sweep(store, Bounds(most=0))

    assert not any(path.is_file() for path in noted)


@pytest.mark.parametrize("off", [-1, 1])
def test_the_order_stays_when_the_clock_was_set_by_a_year(store: LocalStore, off: int) -> None:
    """Wrongly ahead at first, then right; or right at first, then wrongly back: both look alike."""
    now = time.time()
    before = [blob(store, number, now + off * 31_536_000 + number) for number in range(2)]
    since = [blob(store, number, now - 60 + number) for number in range(2, 4)]

    for gone in range(1, 4):
        gc.sweep(store, Bounds(most=(4 - gone) * BLOCK))
        assert [store.has(each) for each in (*before, *since)] == [
            number >= gone for number in range(4)
        ]


def test_what_was_begun_before_the_clock_went_back_goes(store: LocalStore) -> None:
    part = store.folder / "partial" / ("a" * 64)
    part.parent.mkdir()
    part.write_bytes(b"begin")
    os.utime(part, (time.time() + 31_536_000,) * 2)

    gc.sweep(store, Bounds(most=1 << 40))

    assert not part.exists()
