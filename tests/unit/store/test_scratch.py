"""Scratch folders of several processes in one place."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lamina.linux import filesystem
from lamina.store.scratch import Scratch


def test_what_dead_processes_have_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "tmp/77-ab").mkdir(parents=True)

    Scratch(tmp_path / "tmp", tmp_path / "tmp.lock").sweep()

    assert list((tmp_path / "tmp").iterdir()) == []


def test_all_may_be_removed_while_a_sweep_waits_for_its_turn(tmp_path: Path) -> None:
    parent, lock = tmp_path / "tmp", tmp_path / "tmp.lock"
    parent.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with filesystem.locked(lock):
            swept = pool.submit(Scratch(parent, lock).sweep)
            time.sleep(0.2)  # until it waits
            parent.rmdir()

        assert swept.result() is None
