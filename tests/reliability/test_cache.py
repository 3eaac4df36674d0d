"""A node's store under stress: full and read-only disks, power cuts, many pulls and sweeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.node.pull import pull
from lamina.store import gc, packages
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.repository import NotThere
from lamina.store.transport import Access
from tests import devices, faults, servers
from tests.reliability import interrupted, made, power, trials

root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
LARGE = 64 << 20
RESENT = 8 << 20  # bytes that may come twice after a kill


@pytest.fixture
def fuse() -> Iterator[None]:
    """For ordinary users, as distributions give it."""
    if os.geteuid() or not devices.FUSE.exists():
        pytest.skip("needs the rights of root, and /dev/fuse")
    with devices.open_to_all(devices.FUSE):
        yield


@pytest.fixture
def source(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "source")
    yield store
    store.close()


def is_sound(store: Path) -> bool:
    """Whether nothing in a store has another content than its name says."""
    opened = LocalStore(store)
    try:
        return gc.verify(opened).wrong == ()
    finally:
        opened.close()


def scratch(store: Path) -> list[Path]:
    return [path for path in (store / "tmp").glob("*") if any(path.iterdir())]


@root
@pytest.mark.parametrize("kib", [200, 700, 1300])
def test_a_pull_to_a_full_disk_leaves_nothing_wrong_and_succeeds_with_more_room(
    tmp_path: Path, source: LocalStore, kib: int
) -> None:
    place = f"oci:{tmp_path}/r"
    digest = made.push(source, place, "v1", [300_000] * 5, 1)
    node = tmp_path / "node"
    node.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(node)], check=True)
    try:
        code, told = made.run(node / "store", "pull", f"{place}:v1")
        assert (code, "Traceback" in told) == (2, False), told
        assert "pace" in told  # `no space is left …`, or the system's `No space left …`

        subprocess.run(["mount", "-o", "remount,size=8m", str(node)], check=True)
        assert is_sound(node / "store")
        code, told = made.run(node / "store", "pull", f"{place}:v1")
        assert code == 0, told
        store = LocalStore(node / "store")
        assert packages.is_whole(digest, store)
        assert gc.verify(store).wrong == ()
        store.close()
        assert scratch(node / "store") == []
    finally:
        subprocess.run(["umount", str(node)], check=True)


@root
def test_a_pull_to_a_full_disk_makes_room_where_a_bound_is_set(
    tmp_path: Path, source: LocalStore
) -> None:
    place = f"oci:{tmp_path}/r"
    made.push(source, place, "v1", [300_000] * 5, 1)
    second = made.push(source, place, "v2", [300_000] * 5, 2)
    node = tmp_path / "node"
    node.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2500k", "none", str(node)], check=True)
    try:
        assert made.run(node / "store", "pull", f"{place}:v1")[0] == 0
        code, told = made.run(node / "store", "pull", f"{place}:v2", LAMINA_CACHE_SIZE="1600K")
        assert code == 0, told
        store = LocalStore(node / "store")
        assert packages.is_whole(second, store)
        store.close()
    finally:
        subprocess.run(["umount", str(node)], check=True)


@root
def test_a_store_that_may_only_be_read_says_so(tmp_path: Path, source: LocalStore) -> None:
    place = f"oci:{tmp_path}/r"
    made.push(source, place, "v1", [1000], 1)
    made.push(source, place, "v2", [1000], 2)
    node = tmp_path / "node"
    assert made.run(node, "pull", f"{place}:v1")[0] == 0
    subprocess.run(["mount", "--bind", str(node), str(node)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(node)], check=True)
        code, told = made.run(node, "pull", f"{place}:v2")
        listed = made.run(node, "cache", "ls")
    finally:
        subprocess.run(["umount", str(node)], check=True)

    assert code == 2, told
    assert f"may not write to the store `{node}`" in told
    assert listed[0] == 0
    assert "v1" in listed[1]


@root
def test_what_is_in_a_store_that_may_only_be_read_runs(tmp_path: Path) -> None:
    place = made.programs(tmp_path, "v1")
    node = tmp_path / "node"
    assert made.run(node, "pull", f"{place}:v1")[0] == 0
    shutil.rmtree(tmp_path / "programs")
    subprocess.run(["mount", "--bind", str(node), str(node)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(node)], check=True)
        ran = [
            made.run(node, "exec", "--driver", driver, f"{place}:v1")
            for driver in ("kernel", "fuse")
        ]
        shown = made.run(node, "mount", "main:v1", str(tmp_path / "at"))
        words = (tmp_path / "at/words.py").read_text()
        made.run(node, "umount", str(tmp_path / "at"))
    finally:
        subprocess.run(["umount", str(node)], check=True)

    assert [(code, told.split()[0]) for code, told in ran] == [(0, "v1"), (0, "v1")], ran
    assert (shown[0], words) == (0, "WORD = 'v1'\n"), shown


@root
def test_wrong_bytes_in_a_store_that_may_only_be_read_are_told_and_not_run(tmp_path: Path) -> None:
    place = made.programs(tmp_path, "v1")
    node = tmp_path / "node"
    assert made.run(node, "pull", f"{place}:v1")[0] == 0
    spoilt = max(node.glob("blobs/*/*"), key=lambda path: path.stat().st_size)
    spoilt.chmod(0o644)
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    name = spoilt.parent.name + spoilt.name
    subprocess.run(["mount", "--bind", str(node), str(node)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(node)], check=True)
        ran = made.run(node, "exec", "main:v1")
        verified = made.run(node, "cache", "verify")
    finally:
        subprocess.run(["umount", str(node)], check=True)

    assert (ran[0], name in ran[1]) == (125, True), ran
    assert (verified[0], f"wrong: {name}" in verified[1]) == (IntegrityError.exit_code, True)


@root
@pytest.mark.parametrize("what", power.COMMANDS)
def test_a_power_cut_takes_nothing_back_that_was_told_to_be_there(
    tmp_path: Path, what: str
) -> None:
    assert power.cut(tmp_path, 3, 1, what) == []


def test_many_pulls_of_one_layer_are_one_download(tmp_path: Path, source: LocalStore) -> None:
    with (
        servers.registry(tmp_path / "registry") as registry,
        faults.proxy(registry.host) as between,
    ):
        digest = made.push(source, f"{registry.host}/p", "v1", [LARGE], 1)
        node = tmp_path / "node"
        children = [made.start(node, "pull", f"{between.host}/p:v1") for _ in range(32)]
        for child in children:
            _, told = child.communicate(timeout=240)
            assert child.returncode == 0, told

        asked = between.of("GET", "/blobs/")
        assert sum(each.sent for each in asked) < LARGE + (1 << 20)
        store = LocalStore(node)
        assert packages.is_whole(digest, store)
        store.close()


@pytest.mark.parametrize("way", interrupted.WAYS)
def test_a_pull_that_ends_at_half_moves_little_again(tmp_path: Path, way: str) -> None:
    """`python -m tests.reliability --only halves` does it with 256 MiB."""
    ended = interrupted.interrupt(tmp_path, LARGE, way)

    assert ended.wrong == ""
    assert 0 <= ended.again <= RESENT
    if way == interrupted.WAYS[1]:  # who waited saw how far the other one was
        assert "32.0 MiB of 64.0 MiB" in ended.shown, ended.shown


def test_what_is_leased_is_never_removed(tmp_path: Path, source: LocalStore) -> None:
    assert trials.race(tmp_path, source, 300, 1) == []


def test_wrong_bytes_of_the_right_size_are_found_and_fetched_again(
    tmp_path: Path, source: LocalStore
) -> None:
    place = f"oci:{tmp_path}/r"
    digest = made.push(source, place, "v1", [5000, 100_000], 1)
    node = tmp_path / "node"
    made.run(node, "pull", f"{place}:v1")
    layer = packages.read(digest, source).layers[1].blob
    file = node / "blobs" / layer.hash[:2] / layer.hash[2:]
    file.chmod(0o644)
    file.write_bytes(bytes(layer.size))

    code, told = made.run(node, "cache", "verify")
    assert (code, layer.hash in told) == (IntegrityError.exit_code, True)
    assert made.run(node, "pull", f"{place}:v1")[0] == 0
    store = LocalStore(node)
    assert store.read(layer) == source.read(layer)
    store.close()


def test_times_in_the_future_harm_nothing(tmp_path: Path, source: LocalStore) -> None:
    place = f"oci:{tmp_path}/r"
    digest = made.push(source, place, "v1", [5000, 100_000], 1)
    node = tmp_path / "node"
    assert made.run(node, "pull", f"{place}:v1")[0] == 0
    ahead = time.time() + 1e7
    for path in node.rglob("*"):
        os.utime(path, (ahead, ahead))

    assert made.run(node, "cache", "gc", "--max-size", "0")[0] == 0
    store = LocalStore(node)
    assert not packages.is_whole(digest, store)
    store.close()
    assert made.run(node, "pull", f"{place}:v1")[0] == 0
    assert is_sound(node)


@pytest.fixture(params=["registry", "folder"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield f"oci:{tmp_path}/r"
        return
    with servers.registry(tmp_path / "registry") as found:
        yield f"{found.host}/p"


def test_one_tag_pushed_by_many_at_once_is_always_a_whole_package(
    tmp_path: Path, anywhere: str
) -> None:
    """Three times each of six, and a pull after another."""
    place = f"{anywhere}:main"
    stores = [LocalStore(tmp_path / f"s{number}") for number in range(6)]

    def push_often(number: int) -> Digest:
        for version in range(3):
            sizes = [3000, 50_000 + number, 200_000]
            last = made.push(stores[number], place, "main", sizes, 10 * number + version)
        return last

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(push_often, number) for number in range(6)]
        seen = 0
        while not all(each.done() for each in work):
            seen += _pulled(place, tmp_path / f"n{seen}") is not None
        digests = {each.result() for each in work}
    last = _pulled(place, tmp_path / "last")

    assert last in digests
    assert seen > 0
    for store in stores:
        store.close()


def _pulled(place: str, folder: Path) -> Digest | None:
    """What a pull finds, which must be whole; None before the first push has ended."""
    store = LocalStore(folder)
    repository = open_repository(reference.parse(place), Access())
    try:
        found = pull(repository, store).digest
        assert packages.is_whole(found, store)
    except NotThere:
        return None
    finally:
        repository.close()
        store.close()
    assert is_sound(folder)
    return found


@root
def test_wrong_permissions_are_told_and_run_nothing_wrong(fuse: None) -> None:
    with tempfile.TemporaryDirectory(prefix="lamina-shared-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        place = made.programs(folder, "v1", "v2")
        node = folder / "node"
        assert made.run(node, "pull", f"{place}:v1")[0] == 0

        def run(*words: str) -> tuple[int, str]:
            return made.run(node, *words, user=40_001, HOME=str(folder))

        ours = [run("exec", f"{place}:v1"), run("pull", f"{place}:v2")]
        node.chmod(0o700)
        closed = [run("exec", f"{place}:v1"), run("pull", f"{place}:v1")]
        node.chmod(0o755)
        for path in (node, *node.rglob("*")):
            os.chown(path, 40_001, 40_001)
        for path in node.glob("blobs/*/*"):
            path.chmod(0)
        unread = [run("exec", f"{place}:v1"), run("cache", "verify"), run("exec", f"{place}:v1")]

    assert [each[0] for each in ours] == [0, 2], ours
    assert [each[0] for each in closed] == [125, 2], closed
    assert [each[0] for each in unread] == [125, IntegrityError.exit_code, 0], unread
    for told in (ours[1], *closed, unread[0]):
        assert "Permission denied" in told[1]
        assert "Traceback" not in told[1]


@root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_two_users_of_one_group_share_a_store(fuse: None, source: LocalStore, umask: int) -> None:
    with tempfile.TemporaryDirectory(prefix="lamina-shared-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        place = f"oci:{folder}/r"
        digests = [made.push(source, place, f"v{n}", [1000, 300_000], n) for n in range(2)]
        programs = made.programs(folder, "v1")
        node = folder / "node"
        node.mkdir()
        os.chown(node, 0, 40_000)
        node.chmod(0o2775)
        layer = packages.read(digests[1], source).layers[1].blob

        def run(user: int, *words: str) -> tuple[int, str]:
            return made.run(node, *words, user=user, umask=umask, HOME=str(folder))

        first = run(40_001, "pull", f"{place}:v0")
        part = node / "partial" / layer.hash
        part.write_bytes(b"begun by the first")
        os.chown(part, 40_001, 40_000)
        part.chmod(0o664)
        done = [
            first,
            run(40_002, "pull", f"{place}:v1"),
            run(40_002, "pull", f"{place}:v0"),
            run(40_001, "exec", f"{programs}:v1"),
            run(40_002, "exec", f"{programs}:v1"),
            run(40_002, "cache", "pin", "main:v1"),
            run(40_001, "cache", "unpin", "main:v1"),
            run(40_001, "cache", "verify"),
            run(40_002, "cache", "gc", "--max-size", "0"),
            run(40_001, "pull", f"{place}:v1"),
        ]

        assert [each[0] for each in done] == [0] * len(done), done
        closed = [
            path for path in (node, *node.rglob("*"))
            if path.is_dir() and path.stat().st_mode & 0o2070 != 0o2070
        ]  # fmt: skip
        assert closed == []
        store = LocalStore(node)
        assert [packages.is_whole(each, store) for each in digests] == [False, True]
        store.close()


@root
def test_two_users_of_one_group_build_in_one_store() -> None:
    with tempfile.TemporaryDirectory(prefix="lamina-shared-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made.programs(folder, "v1")
        for shared in (folder / "node", folder / "workspace", folder / "pushed"):
            shared.mkdir(exist_ok=True)
            for path in (shared, *shared.rglob("*")):
                os.chown(path, 0, 40_000)
            shared.chmod(0o2775)

        def push(user: int) -> tuple[int, str]:
            words = ("push", "//:main", f"oci:{folder}/pushed:v{user}", "--version", "v7")
            at, home = folder / "workspace", str(folder)
            return made.run(folder / "node", *words, user=user, umask=0o022, at=at, HOME=home)

        done = [push(user) for user in (40_001, 40_002)]

        assert [each[0] for each in done] == [0, 0], done
        assert "0 reused" not in done[1][1], done  # what the first made is of use to the second
        pushed = f"oci:{folder}/pushed:v40002"
        assert made.run(folder / "other", "pull", pushed)[0] == 0
