"""Blobs that came with a job: what a package has that its nodes can be expected to lack.

The variable LAMINA_CARRIED has them, as `formats/carried` writes them. They are a help, not more: a
pull looks among them for what it would ask a repository for. No program sees the variable. Nothing
dear is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    from lamina.core.digest import Digest

VARIABLE = "LAMINA_CARRIED"


def taken(environment: MutableMapping[str, str]) -> str:
    """What came, if anything did; nobody who is started from here finds it."""
    return environment.pop(VARIABLE, "")


def is_coming(text: str) -> bool:
    """Whether what did not come, and the registry does not have, is on its way there."""
    if not text:
        return False
    from lamina.formats import carried

    return carried.is_coming(text)


def blobs(text: str, warn: Callable[[str], None]) -> dict[Digest, bytes]:
    """The blobs by their digests; none, and a warning, where they cannot be read."""
    if not text:
        return {}
    from lamina.core.digest import Digest
    from lamina.core.errors import IntegrityError
    from lamina.formats import carried

    try:
        return {Digest.of(data): data for data in carried.decode(text)}
    except IntegrityError as error:
        warn(f"{error.message}; the registry is asked")
        return {}
