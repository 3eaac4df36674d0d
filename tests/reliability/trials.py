"""Trials that the tests make a few times, and `python -m tests.reliability` often."""

from __future__ import annotations

import filecmp
import random
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError
from lamina.node.pull import pull
from lamina.store import gc, leases, packages
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.transport import Access
from tests.reliability import made

_SIZES = (100_000, 900_000, 5000, 40_000)


def cut_power(folder: Path, source: LocalStore, times: int, seed: int) -> list[str]:
    """Copy the device below a store so many times while pulls write to it, as a power cut does.

    Needs the rights of root.
    """
    chance = random.Random(seed)
    place = f"oci:{folder}/r"
    image, node, copy, after = (folder / each for each in ("disk", "node", "copy", "after"))
    node.mkdir()
    after.mkdir()
    with image.open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop,commit=1", str(image), str(node)], check=True)
    wrong: list[str] = []
    done: list[Digest] = []  # were told to be here before the cut
    try:
        for number in range(times):
            tag = f"v{number}"
            digest = made.push(source, place, tag, _SIZES, seed * 1_000_003 + number)
            child = made.start(node / "store", "pull", f"{place}:{tag}")
            if number % 4 == 0:
                child.wait()
                done.append(digest)  # also if the cut comes at once
            else:
                time.sleep(chance.uniform(0.1, 0.6))
            child.send_signal(signal.SIGSTOP)
            # Equal after a copy took its time: so it is of one instant.
            while not (shutil.copyfile(image, copy) and filecmp.cmp(image, copy, shallow=False)):
                time.sleep(0.01)
            child.send_signal(signal.SIGCONT)
            _, told = child.communicate(timeout=60)
            if child.returncode:
                return [*wrong, f"pull {tag} failed: {told}"]
            wrong += _after_cut(copy, after, done[-40:], digest, f"{place}:{tag}")
            if digest not in done:
                done.append(digest)
            if number % 40 == 39:  # the disk is small
                made.run(node / "store", "cache", "gc", "--max-size", "0")
                done.clear()
    finally:
        subprocess.run(["umount", str(node)], check=True)
    return wrong


def _after_cut(image: Path, at: Path, done: list[Digest], digest: Digest, wanted: str) -> list[str]:
    """What is wrong with a store after the power came back."""
    wrong = []
    subprocess.run(["fsck.ext4", "-fy", str(image)], check=False, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        store = LocalStore(at / "store")
        try:
            wrong += [f"{wanted}: {each} is wrong" for each in gc.verify(store).wrong]
            wrong += [f"{wanted}: {each} went" for each in done if not _is_kept(each, store)]
        finally:
            store.close()
        code, told = made.run(at / "store", "pull", wanted)
        store = LocalStore(at / "store")
        if code or not packages.is_whole(digest, store) or gc.verify(store).wrong:
            wrong.append(f"{wanted}: not healed: {told}")
        store.close()
    except LaminaError as error:
        wrong.append(f"{wanted}: {error.message}")
    finally:
        subprocess.run(["umount", str(at)], check=True)
    return wrong


def _is_kept(digest: Digest, store: LocalStore) -> bool:
    named = {each.digest for each in packages.kept(store)}
    return digest in named and packages.is_whole(digest, store)


def race(folder: Path, source: LocalStore, times: int, seed: int) -> list[str]:
    """So many pulls and leases by twenty, beside two that remove all they may; what was wrong."""
    place = f"oci:{folder}/r"
    digests = [made.push(source, place, f"v{n}", [20_000] * 4, n) for n in range(6)]
    node = folder / "node"
    ended = threading.Event()
    store = LocalStore(node)
    gc_most = 5 * 4 * 4096
    pull(open_repository(reference.parse(f"{place}:v0"), Access()), store)
    gc.pin(store, digests[0], "p/a:v0")

    def sweep() -> None:
        while not ended.is_set():
            gc.sweep(store, gc.Bounds(most=gc_most))

    def use(number: int) -> list[str]:
        chance = random.Random(seed * 1_000_003 + number)
        version = chance.randrange(len(digests))
        digest = digests[version]
        with leases.leased_package(store.folder, digest):
            pull(open_repository(reference.parse(f"{place}:v{version}"), Access()), store)
            for _ in range(3):
                if not packages.is_whole(digest, store):
                    return [f"operation {number}: v{version} went while it was leased"]
                time.sleep(chance.uniform(0, 0.01))
        if not packages.is_whole(digests[0], store):
            return [f"operation {number}: the pinned package went"]
        return []

    with ThreadPoolExecutor(22) as pool:
        sweeps = [pool.submit(sweep) for _ in range(2)]
        uses = [pool.submit(use, number) for number in range(times)]
        wrong = [text for each in uses for text in each.result()]
        ended.set()
        for each in sweeps:
            each.result()
    bound = 40 * 4096  # holds what is pinned
    done = gc.sweep(store, gc.Bounds(most=bound))
    if done.excess or done.used > bound:
        wrong.append(f"the bound does not hold: {done}")
    if gc.verify(store).wrong:
        wrong.append("wrong blobs")
    store.close()
    return wrong
