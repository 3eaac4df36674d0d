"""What is there before anything is measured: wheels, a Docker client, a base image."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.application import files
from bench.application.files import STACKS, Stack
from tests.engines import servers


def stack(name: str, torch: str) -> Stack:
    """A stack by its name, with a version of PyTorch where one is wanted."""
    found = STACKS[name]
    if not torch:
        return found
    more = (each for each in found.requirements if each != "torch")
    return replace(found, requirements=(torch, *more))


def wheels(folder: Path, stack: Stack) -> Path:
    """All wheels that are required, and pip's own, as `pip.whl` too: fetched once, by pip."""
    once, again = files.VERSIONS
    for wanted in ((*stack.requirements, once), (again,), ("pip",)):
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:",
                "--python-version", files.version(), "--dest", folder, *wanted,
            ],
            check=True,
        )  # fmt: skip
    (pip,) = folder.glob("pip-*.whl")
    (folder / "pip.whl").symlink_to(pip.name)
    total = sum(path.stat().st_size for path in folder.glob("*-*.whl"))
    print(f"wheels      {total / 1e6:,.1f} MB")
    return folder


def client() -> str:
    """A Docker client that has BuildKit built in, or has the plug-in for it."""
    for place in dict.fromkeys(os.environ["PATH"].split(":")):
        client = Path(place) / "docker"
        if not os.access(client, os.X_OK):
            continue
        told = servers.call(client, "--version").removeprefix("Docker version ")
        plugin = subprocess.run([client, "buildx", "version"], capture_output=True, check=False)
        if int(told.partition(".")[0]) < 23 or not plugin.returncode:
            os.environ["DOCKER_BUILDKIT"] = "1"
            return str(client)
    raise servers.Absent("no Docker client with BuildKit is installed")


def base(docker: Callable[..., str], folder: Path, stack: Stack) -> Path:
    """An image of this machine's shell and Python; also all wheels, as an image."""
    docker("import", servers.small_root(folder, stack.libraries), "base:1")
    servers.call("tar", "-C", folder / "wheels", "-cf", folder / "wheels.tar", ".")
    docker("import", folder / "wheels.tar", "wheels:1")
    docker("save", "--output", folder / "base.tar", "base:1")
    return folder / "base.tar"
