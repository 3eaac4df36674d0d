"""What the machine refuses, told as what it is: no fault of lamina, and none of who types."""

from __future__ import annotations

import errno
import os

from lamina.core.errors import HostError
from lamina.linux import filesystem, process
from lamina.store import local

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def fault(error: Exception) -> HostError | None:
    """What to tell of an error that the machine is the cause of; None for any other."""
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return _too_many_processes()
    return _of_limits(error) or _of_disk(error) if isinstance(error, OSError) else None


def _of_limits(error: OSError) -> HostError | None:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        whose = "this process" if error.errno == errno.EMFILE else "the machine"
        return HostError(
            f"{whose} may open no more files: {error.strerror}",
            hint="raise the limit, as by `ulimit -n 4096`, or let less run at once: `--jobs 1`",
        )
    # Python has other words where a stream would block.
    if error.errno == errno.EAGAIN and error.strerror == os.strerror(errno.EAGAIN):
        return _too_many_processes()
    if error.errno == errno.ENOMEM:
        return HostError(
            f"the machine gives no more memory: {error.strerror}",
            hint="free some, raise the limit of the control group, or let less run at once",
        )
    return None


def _too_many_processes() -> HostError:
    return HostError("no more processes can be started", hint=process.TOO_MANY)


def _of_disk(error: OSError) -> HostError | None:
    """Where a disk is full, or what it holds may not be read or written."""
    store = local.default_folder()
    if filesystem.is_full(error):
        return HostError(
            f"no space is left on the disk: {error.filename or store}",
            hint="make room there, as by `lamina cache gc --min-free SIZE`, and run the same again",
        )
    is_ours = str(error.filename or "").startswith(f"{store}/")
    hint = "`LAMINA_STORE` may name a folder that you may write"
    if is_ours and error.errno == errno.EROFS:
        return HostError(
            f"may not write to the store `{store}`: {error.strerror}",
            hint=f"what is there runs; {hint}",
        )
    if is_ours and error.errno in (errno.EACCES, errno.EPERM):
        return HostError(
            f"may not use the store `{store}`: {error.strerror}: `{error.filename}`", hint=hint
        )
    if isinstance(error.filename, str) and error.errno in _CLOSED:
        return HostError(
            f"may not use `{error.filename}`: {error.strerror}",
            hint="let your user do so, or name another place",
        )
    return None
