"""System calls: errors carry errno and the path."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from lamina.linux import syscalls


def test_an_unmount_of_nothing_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        syscalls.umount(str(tmp_path / "nothing"))

    assert caught.value.filename == str(tmp_path / "nothing")
    assert caught.value.errno in (errno.ENOENT, errno.EPERM)


@pytest.mark.root
def test_an_unknown_file_system_is_named() -> None:
    with pytest.raises(OSError) as caught:
        syscalls.fsopen("nosuchfs")

    assert caught.value.filename == "nosuchfs"
    assert caught.value.errno in (errno.ENODEV, errno.EPERM)


def test_no_signal_on_the_parents_end_can_be_asked_for() -> None:
    syscalls.die_with_parent(0)

    with pytest.raises(OSError, match="Invalid argument"):
        syscalls.die_with_parent(signal.NSIG + 1)
