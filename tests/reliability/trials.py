"""Pulls and leases beside those who remove all they may."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lamina.core import reference
from lamina.node.pull import pull
from lamina.store import gc, leases, packages
from lamina.store.local import LocalStore
from lamina.store.repositories import open_repository
from lamina.store.transport import Access
from tests.reliability import made


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
