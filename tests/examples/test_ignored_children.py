"""Who starts lamina may ignore the end of children, and processes inherit that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_SOURCES = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize(
    ("command", "code"), [(["build", "//:fails"], 1), (["build", "//:works"], 0)]
)
def test_how_actions_end_is_seen(tmp_path: Path, command: list[str], code: int) -> None:
    (tmp_path / "lamina.toml").write_text("")
    (tmp_path / "BUILD").write_text(
        'genrule(name = "fails", outs = ["a"], cmd = "echo > $@; exit 3")\n'
        'genrule(name = "works", outs = ["b"], cmd = "echo > $@")\n'
    )

    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli", *command],
        cwd=tmp_path,
        env={**os.environ, "LAMINA_STORE": str(tmp_path / "s"), "PYTHONPATH": str(_SOURCES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        restore_signals=False,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )

    assert done.returncode == code, done.stderr
    assert ("failed with exit code 3" in done.stderr) == bool(code)
