"""Devices that tests open to ordinary users, as distributions do."""

from __future__ import annotations

import contextlib
import fcntl
import stat
from collections.abc import Iterator
from pathlib import Path

FUSE = Path("/dev/fuse")


@contextlib.contextmanager
def open_to_all(device: Path) -> Iterator[None]:
    """Widen a device's mode; the last of several test processes puts it back."""
    with Path("/tmp/lamina-test-fuse.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            lock.write(str(stat.S_IMODE(device.stat().st_mode)))
            lock.flush()
        device.chmod(0o666)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.seek(0)
            device.chmod(int(lock.read()))
            lock.truncate(0)
