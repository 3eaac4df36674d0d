"""On what the numbers were measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path


def describe(folder: Path) -> dict[str, str]:
    """The machine, its load, and what is measured; `folder` is where the files lie."""
    return {
        "processor": f"{os.cpu_count()} x {_field('/proc/cpuinfo', 'model name')}",
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "files": f"{_file_system(folder)} at {folder.parent}",
        "user": "root" if os.geteuid() == 0 else "an ordinary user",
        "python": f"{platform.python_version()} ({sys.executable})",
        "mksquashfs": _first_line("mksquashfs", "-version"),
        "lamina": _commit(),
        "load": load(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def load() -> str:
    """How busy the machine is, over one, five and fifteen minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _file_system(folder: Path) -> str:
    return _first_line("stat", "-f", "-c", "%T", str(folder))


def _commit() -> str:
    here = Path(__file__).parent
    commit = _first_line("git", "-C", str(here), "rev-parse", "--short=12", "HEAD")
    changed = _first_line("git", "-C", str(here), "status", "--porcelain", "../src")
    return commit + (" and changes to src" if changed else "")


def _first_line(tool: str, *args: str) -> str:
    if shutil.which(tool) is None:
        return "unknown"
    done = subprocess.run([tool, *args], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()
