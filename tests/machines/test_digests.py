"""What `compare.sh` compares on two machines, made twice on this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "article"
LAMINA = Path(sys.executable).with_name("lamina")


def digests(folder: Path, umask: int, zone: str) -> str:
    """A line for each file of each form."""
    done = subprocess.run(
        ["bash", HERE / "digests.sh", LAMINA, EXAMPLE, folder],
        env={**os.environ, "TZ": zone},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="compares what root makes")
def test_all_forms_are_the_same_in_another_folder(tmp_path: Path) -> None:
    one = digests(tmp_path / "one", 0o022, "UTC")
    other = digests(tmp_path / "another" / "place", 0o077, "Asia/Tokyo")

    assert len(one.splitlines()) > 80
    assert one == other
