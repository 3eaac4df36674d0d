"""Opens the repository that a reference names."""

from __future__ import annotations

from functools import partial

from lamina.core.reference import Reference, parse
from lamina.store.local import LocalStore
from lamina.store.partial import Partials
from lamina.store.repository import Repository
from lamina.store.transport import Access


def open_repository(reference: Reference, access: Access) -> Repository:
    """A repository, of which nothing is known before it is asked."""
    if reference.is_layout:
        from lamina.store.layout import LayoutRepository

        return LayoutRepository(reference)
    if reference.is_archive:
        from lamina.store.archivefile import ArchiveRepository

        return ArchiveRepository(reference)
    from lamina.store.registry import RegistryRepository

    return RegistryRepository(reference, access)


def bring(reference: str, kind: str, wanted: str, store: LocalStore) -> None:
    """Bring a manifest (`kind` is `manifests`) or a blob (`blobs`) of an image into the store.

    `wanted` is its digest, `sha256:…`. Raises UserError for a reference that is none, and what the
    repository raises.
    """
    repository = open_repository(parse(reference), Access())
    try:
        if kind == "manifests":
            store.write(repository.manifest(wanted).data)
        else:
            digest = repository.find(wanted)
            Partials(store).fetch(digest, partial(repository.fetch, digest))
    finally:
        repository.close()
