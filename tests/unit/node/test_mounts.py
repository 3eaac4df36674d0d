"""Images: where their squashfs starts, and which faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.core.errors import IntegrityError, UserError
from lamina.formats import xar
from lamina.node import mounts

HEADER = xar.encode(xar.Header("ab" * 32, "run"))


def test_no_layers_are_refused() -> None:
    with pytest.raises(UserError, match="without layers"):
        mounts.check_count([])


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", HEADER, HEADER + b"sqsh" * 24])
def test_a_file_without_squashfs_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "faulty.xar"
    path.write_bytes(data)

    with pytest.raises(IntegrityError, match=f"`{path}`: "):
        mounts.offset(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can not open the image .*: No such file"):
        mounts.offset(tmp_path / "absent")
