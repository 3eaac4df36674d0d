"""Where the actions of a target may run and be known: tags that limit it, with Bazel's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

NO_EXEC = "no-remote-exec"  # no build farm runs them
NO_CACHE = "no-remote-cache"  # no build farm knows their results
NO_RACE = "no-race"  # they run in one place only; a word of ours

_MEANS: Mapping[str, tuple[str, ...]] = {
    "local": (NO_EXEC,),
    "no-remote": (NO_EXEC, NO_CACHE),
    NO_EXEC: (NO_EXEC,),
    NO_CACHE: (NO_CACHE,),
    NO_RACE: (NO_RACE,),
}


def of(tags: Iterable[str]) -> tuple[str, ...]:
    """What some tags say of that, sorted: some of the three words above."""
    return tuple(sorted({word for tag in tags for word in _MEANS.get(tag, ())}))
