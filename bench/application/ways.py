"""Ways to make something of the application that can be shipped."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from bench.application import files
from bench.application.files import Application
from bench.lamina import Lamina
from lamina.core.manifest import Package
from lamina.packaging import difference
from lamina.store import packages
from lamina.store.local import LocalStore
from tests.engines.servers import Registry, Run

DOCKER = "docker build, BuildKit"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

Blobs = Mapping[str, int]  # by digest, with their sizes


class Way(Protocol):
    """One way, with files and a state of its own."""

    name: str
    application: Application

    def reset(self) -> None:
        """Forget all that was made."""

    def make(self, *, requirement: bool) -> float:
        """Make it of the files as they are; seconds. `requirement`: another is required now."""

    def shipped(self) -> int:
        """Bytes that who has what was made before lacks of what was made last."""

    def answer(self) -> str | None:
        """What it prints when it is run; None where it is not run."""


class Layers:
    """`lamina package`: layers in the store."""

    name = "lamina package"

    def __init__(self, lamina: Lamina, application: Application) -> None:
        self.application = application
        self._lamina = lamina
        self._before: Package | None = None

    def reset(self) -> None:
        shutil.rmtree(self._lamina.store, ignore_errors=True)
        self._before = None
        _lock(self._lamina, self.application)

    def make(self, *, requirement: bool) -> float:
        with _timed() as seconds:
            if requirement:
                _lock(self._lamina, self.application)
            self._lamina("package", "-q", files.TARGET, cwd=self.application.folder)
        return seconds[0]

    def shipped(self) -> int:
        with closing(LocalStore(self._lamina.store)) as store:
            new = packages.read(packages.resolve("app/main", store), store)
        old = self._before or replace(new, version="0", layers=())
        self._before = new
        return difference.difference(old, new, lambda _: None).bytes

    def answer(self) -> str | None:
        return self._lamina("exec", "app/main", cwd=self.application.folder).strip()


class Image:
    """`lamina package --format oci`: an image in a folder, on the base that Docker has too."""

    name = "lamina package --format oci"

    def __init__(self, lamina: Lamina, application: Application, base: Path, out: Path) -> None:
        self.application = application
        self._lamina, self._base, self._out = lamina, base, out
        self._made = Path()
        self._before: Blobs = {}

    def reset(self) -> None:
        shutil.rmtree(self._lamina.store, ignore_errors=True)
        self._before = {}
        _lock(self._lamina, self.application)

    def make(self, *, requirement: bool) -> float:
        shutil.rmtree(self._out, ignore_errors=True)
        words = ("--format", "oci", "--base", str(self._base), "-o", str(self._out))
        with _timed() as seconds:
            if requirement:
                _lock(self._lamina, self.application)
            folder = self.application.folder
            self._made = Path(
                self._lamina("package", "-q", *words, files.TARGET, cwd=folder).strip()
            )
        return seconds[0]

    def shipped(self) -> int:
        index = json.loads((self._made / "index.json").read_bytes())
        (entry,) = index["manifests"]
        manifest = (self._made / "blobs/sha256" / entry["digest"].partition(":")[2]).read_bytes()
        shipped, self._before = _lacking(json.loads(manifest), len(manifest), self._before)
        return shipped

    def answer(self) -> str | None:
        return None


class Docker:
    """`docker build`, pushed to a registry to see what has to move; the push takes no part."""

    name = DOCKER

    def __init__(self, docker: Run, registry: Registry, application: Application) -> None:
        self.application = application
        self._docker, self._registry = docker, registry
        self._before: Blobs = {}
        self._image = f"{registry.place}/app:1"

    def reset(self) -> None:
        self._before = {}
        self._docker("builder", "prune", "--all", "--force")
        if self._docker("images", "-q", self._image).strip():
            self._docker("rmi", "--force", self._image)

    def make(self, *, requirement: bool) -> float:
        del requirement  # pip finds out itself
        with _timed() as seconds:
            folder = self.application.folder
            self._docker("build", "--network", "none", "--tag", self._image, folder)
        return seconds[0]

    def shipped(self) -> int:
        self._docker("push", self._image)
        request = urllib.request.Request(
            f"http://{self._registry.place}/v2/app/manifests/1", headers={"Accept": _MANIFEST}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            manifest = answer.read()
        shipped, self._before = _lacking(json.loads(manifest), len(manifest), self._before)
        return shipped

    def answer(self) -> str | None:
        return self._docker("run", "--rm", "--network", "host", self._image).strip()


def _lacking(manifest: Mapping[str, Any], size: int, before: Blobs) -> tuple[int, Blobs]:
    """Bytes of an image that are new, its manifest with them; and all its blobs.

    Who has nothing of it has its base, which is the lowest layer.
    """
    layers = {each["digest"]: each["size"] for each in manifest["layers"]}
    known = before or dict(list(layers.items())[:1])
    every = {**layers, manifest["config"]["digest"]: manifest["config"]["size"]}
    return size + sum(every[each] for each in every.keys() - known.keys()), every


def _lock(lamina: Lamina, application: Application) -> None:
    """Lock for this machine alone: there are no wheels for others."""
    words = ("--platform", f"linux_{os.uname().machine}", "--python-version", files.version())
    lamina("lock", *words, files.REQUIREMENTS, cwd=application.folder)


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Holds the seconds that the block took when it is left."""
    found: list[float] = []
    begun = time.perf_counter()
    yield found
    found.append(time.perf_counter() - begun)
