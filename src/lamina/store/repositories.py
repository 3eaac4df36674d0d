"""Opens the repository that a reference names."""

from __future__ import annotations

from lamina.core.reference import Reference
from lamina.store.repository import Repository
from lamina.store.transport import Access


def open_repository(reference: Reference, access: Access) -> Repository:
    """A repository, of which nothing is known before it is asked."""
    if reference.is_layout:
        from lamina.store.layout import LayoutRepository

        return LayoutRepository(reference)
    from lamina.store.registry import RegistryRepository

    return RegistryRepository(reference, access)
