"""A lease on a package that was leased before (`leases`); nothing dear is imported here."""

from __future__ import annotations

import fcntl
import os

FOLDER, LOCK, USED = "leases", "gc.lock", "used"


def again(store: str, package: str) -> int:
    """The descriptor of a lease as `leases.lease_package` makes it, by a package's hash.

    It is noted that the package is used now. Raises OSError where the files of such a lease are not
    there, or may not be written.
    """
    lock = os.open(f"{store}/{LOCK}", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        descriptor = os.open(f"{store}/{FOLDER}/{package}", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            os.utime(f"{store}/{USED}/{package}")
        except OSError:
            os.close(descriptor)
            raise
    finally:
        os.close(lock)
    return descriptor
