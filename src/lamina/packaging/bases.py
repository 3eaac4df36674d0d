"""The image below: a layout folder or an archive of OCI, or what `docker save` writes.

Layers are taken as they are, blob by blob, so that a registry that has the base need not get it
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.formats import ociimage
from lamina.formats.ociimage import Base, ImageLayer
from lamina.linux import filesystem
from lamina.store.local import LocalStore

_WANTED = "a folder in OCI image layout, or an archive of `docker save` or `skopeo`"
_INDEXES = (ociimage.INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")

# What reading raises for files that are no image, or documents that do not say what they should.
_FAULTS = (
    OSError, tarfile.TarError, LookupError, TypeError, ValueError, AttributeError, RecursionError,
)  # fmt: skip


class _Files(Protocol):
    """The files of a layout, in a folder or in an archive."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A file; raises KeyError where there is none."""


def read(at: Path, store: LocalStore) -> Base:
    """Put the layers of an image into the store, and tell what is known of it.

    Raises UserError for what is no image, IntegrityError where a digest does not match.
    """
    try:
        if at.is_dir():
            return _read(_Folder(at), store)
        with tarfile.open(at) as archive:
            return _read(_Archive(archive), store)
    except _FAULTS as error:
        if isinstance(error, tarfile.TarError):
            why = "it is neither a folder nor a tar archive"
        else:
            why = error.strerror or "" if isinstance(error, OSError) else f"{error!r:.80}"
        raise UserError(f"no base image in `{at}`: {why}", hint=f"it takes {_WANTED}") from error


def _read(files: _Files, store: LocalStore) -> Base:
    try:
        index = json.loads(_small(files, "index.json"))
    except KeyError:
        return _saved(files, store)
    manifest = _blob(files, _descriptor(index, files))
    document = json.loads(manifest)
    base = ociimage.decode_base(manifest, _blob(files, document["config"]))
    for layer in base.layers:
        if not store.has(layer.blob):
            _take(files, ociimage.place(layer.blob.hash), store, layer.blob)
    return base


def _descriptor(index: Mapping[str, object], files: _Files) -> Mapping[str, object]:
    """The manifest for this machine."""
    manifests = index["manifests"]
    if not isinstance(manifests, list) or not manifests:
        raise ValueError("an index without manifests")
    here = ociimage.architecture(os.uname().machine)
    fitting = [each for each in manifests if _architecture(each) in ("", here)]
    if not fitting:
        raise ValueError(f"no image for {here}")
    found: Mapping[str, object] = fitting[0]
    if found["mediaType"] in _INDEXES:
        return _descriptor(json.loads(_blob(files, found)), files)
    return found


def _architecture(descriptor: Mapping[str, object]) -> str:
    platform = descriptor.get("platform")
    return str(platform.get("architecture", "")) if isinstance(platform, dict) else ""


def _saved(files: _Files, store: LocalStore) -> Base:
    """An archive of `docker save` that is no layout: plain tars, named by the image's config."""
    (entry, *_) = json.loads(_small(files, "manifest.json"))
    config = _small(files, entry["Config"])
    known = ociimage.decode_settings(config)
    layers = []
    diffs = json.loads(config)["rootfs"]["diff_ids"]
    for path, diff in zip(entry["Layers"], diffs, strict=True):
        blob = _take(files, path, store, None)
        plain = Digest.from_oci(diff, 0).hash
        kind = "none" if blob.hash == plain else _packed(blob, path, store)
        layers.append(ImageLayer(blob, plain, ociimage.MEDIA_TYPES[kind], "base image"))
    return Base(tuple(layers), known.environment, known.settings)


def _packed(blob: Digest, path: str, store: LocalStore) -> str:
    """How a layer is compressed that is not the plain tar of its name."""
    with store.path(blob).open("rb") as file:
        first = file.read(4)
    for kind, magic in _MAGIC.items():
        if first.startswith(magic):
            return kind
    raise IntegrityError(f"a layer of the base image does not match its digest, `{path}`")


_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def _small(files: _Files, path: str) -> bytes:
    with files.open(path) as file:
        return file.read()


def _blob(files: _Files, descriptor: Mapping[str, object]) -> bytes:
    digest = Digest.from_oci(str(descriptor["digest"]), 0)
    data = _small(files, ociimage.place(digest.hash))
    if hashlib.sha256(data).hexdigest() != digest.hash:
        raise IntegrityError(f"a blob of the base image does not match its name, `{digest.hash}`")
    return data


def _take(files: _Files, path: str, store: LocalStore, wanted: Digest | None) -> Digest:
    """Put a file into the store; IntegrityError unless it is the one that is wanted."""
    with filesystem.temporary_beside(store.scratch / "base") as temporary:
        hasher = hashlib.sha256()
        with files.open(path) as file, temporary.open("wb") as out:
            while piece := file.read(1 << 20):
                hasher.update(piece)
                out.write(piece)
        if wanted is not None and hasher.hexdigest() != wanted.hash:
            raise IntegrityError(f"a layer of the base image does not match its name, `{path}`")
        return store.take(temporary)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        try:
            file = (self._folder / path).open("rb")
        except FileNotFoundError as error:
            raise KeyError(path) from error
        with file:
            yield file


class _Archive:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        file = self._archive.extractfile(path)
        if file is None:
            raise KeyError(path)
        with file:
            yield file
