"""Finds the package that a reference names: in the store, else in a repository, which is pulled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lamina.core import reference
from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.reference import Reference
from lamina.linux import filesystem
from lamina.store import packages
from lamina.store.local import LocalStore

MISSING, ALWAYS, NEVER = "missing", "always", "never"
POLICIES = (MISSING, ALWAYS, NEVER)  # when a repository is asked


def find(
    text: str, store: LocalStore, pull: Callable[[Reference], Digest], policy: str = MISSING
) -> Digest:
    """The manifest of the package that a reference names, which is in the store then.

    A tag that was pulled before is not asked for again unless the policy is `always`: what is
    here is run, also without a network. Raises UserError, and what `pull` raises.
    """
    if not reference.is_remote(text):
        return packages.resolve(text, store)
    wanted = reference.parse(text)
    if policy != ALWAYS and (known := _known(wanted, store)) is not None:
        return known
    if policy == NEVER:
        raise UserError(
            f"`{wanted}` is not in the store `{store.folder}`",
            hint="`lamina pull` brings it there",
        )
    found = pull(wanted)
    remember(wanted, found, store)
    return found


def places(text: str, store: LocalStore) -> list[Path]:
    """The files of the store that tell which package a reference names, as far as any does."""
    if not reference.is_remote(text):
        return packages.places(text, store)
    wanted = reference.parse(text)
    return [] if wanted.digest else [_place(wanted, store)]


def remember(wanted: Reference, found: Digest, store: LocalStore) -> None:
    """Know what a tag stood for when it was pulled."""
    if not wanted.digest:
        data = f"{found} {wanted}\n".encode()
        path = _place(wanted, store)
        filesystem.write_atomic(path, data, scratch=store.scratch)


def _known(wanted: Reference, store: LocalStore) -> Digest | None:
    """The package, if all of it is here."""
    if wanted.digest:
        found = store.find(wanted.digest.removeprefix("sha256:"))
    else:
        try:
            words = _place(wanted, store).read_text(errors="replace").split()
            found = Digest.parse(words[0]) if words[1:] == [str(wanted)] else None
        except (FileNotFoundError, IndexError, UserError):
            return None
    return found if found is not None and packages.is_whole(found, store) else None


def _place(wanted: Reference, store: LocalStore) -> Path:
    return store.folder / "pulled" / Digest.of(str(wanted).encode()).hash[:32]
