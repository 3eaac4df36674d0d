"""Ways to bring the application into a registry."""

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
from typing import Protocol

from bench.application import files
from bench.application.files import Application
from bench.lamina import Lamina
from lamina.core.manifest import Package
from lamina.formats.oci import MANIFEST
from lamina.packaging import difference
from lamina.store import packages
from lamina.store.local import LocalStore
from tests.engines.servers import Registry, Run

DOCKER = "docker build + push, BuildKit"
_MANIFESTS = f"application/vnd.docker.distribution.manifest.v2+json, {MANIFEST}"

Blobs = Mapping[str, int]  # by digest, with their sizes


class Way(Protocol):
    """One way, with files and a state of its own."""

    name: str
    application: Application

    def reset(self) -> None:
        """Forget all that was made."""

    def make(self, *, requirement: bool) -> float:
        """Make it of the files as they are and push it; seconds.

        With `requirement` another is required now.
        """

    def shipped(self) -> int:
        """Bytes that who has what was made before lacks of what was made last."""

    def answer(self) -> str | None:
        """What it prints when it is run; None where it is not run."""


class Layers:
    """`lamina push`: layers, packaged and sent."""

    name = "lamina push"

    def __init__(self, lamina: Lamina, registry: Registry, application: Application) -> None:
        self.application = application
        self._lamina, self._registry = lamina, registry
        self._before: Package | None = None

    def reset(self) -> None:
        shutil.rmtree(self._lamina.store, ignore_errors=True)
        self._before = None
        lock(self._lamina, self.application)

    def make(self, *, requirement: bool) -> float:
        with _timed() as seconds:
            if requirement:
                lock(self._lamina, self.application)
            words = ("push", "-q", files.TARGET, f"{self._registry.place}/layers:1")
            self._lamina(*words, cwd=self.application.folder)
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
    """`lamina push --format oci`: an image on the base that Docker has too."""

    name = "lamina push --format oci"

    def __init__(
        self, lamina: Lamina, docker: Run, registry: Registry, application: Application, base: Path
    ) -> None:
        self.application = application
        self._lamina, self._docker, self._registry = lamina, docker, registry
        self._base = base
        self._before: Blobs = {}

    def reset(self) -> None:
        shutil.rmtree(self._lamina.store, ignore_errors=True)
        self._before = {}
        lock(self._lamina, self.application)

    def make(self, *, requirement: bool) -> float:
        words = ("--format", "oci", "--base", str(self._base), files.TARGET)
        with _timed() as seconds:
            if requirement:
                lock(self._lamina, self.application)
            place = f"{self._registry.place}/image:1"
            self._lamina("push", "-q", *words, place, cwd=self.application.folder)
        return seconds[0]

    def shipped(self) -> int:
        shipped, self._before = _lacking(self._registry, "image", self._before)
        return shipped

    def answer(self) -> str | None:
        image = f"{self._registry.place}/image:1"
        self._docker("pull", "--quiet", image)
        return _run(self._docker, image)


class Docker:
    """`docker build` and `docker push`."""

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
            self._docker("push", self._image)
        return seconds[0]

    def shipped(self) -> int:
        shipped, self._before = _lacking(self._registry, "app", self._before)
        return shipped

    def answer(self) -> str | None:
        return _run(self._docker, self._image)


def _run(docker: Run, image: str) -> str:
    return docker("run", "--rm", "--network", "host", image).strip()


def _lacking(registry: Registry, name: str, before: Blobs) -> tuple[int, Blobs]:
    """Bytes of an image in a registry that are new, its manifest with them; and all its blobs.

    Who has nothing of it has its base, which is the lowest layer.
    """
    request = urllib.request.Request(
        f"http://{registry.place}/v2/{name}/manifests/1", headers={"Accept": _MANIFESTS}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        data = answer.read()
    manifest = json.loads(data)
    layers = {each["digest"]: each["size"] for each in manifest["layers"]}
    known = before or dict(list(layers.items())[:1])
    every = {**layers, manifest["config"]["digest"]: manifest["config"]["size"]}
    return len(data) + sum(every[each] for each in every.keys() - known.keys()), every


def lock(lamina: Lamina, application: Application) -> None:
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
