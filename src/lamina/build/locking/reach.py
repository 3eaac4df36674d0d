"""Under which conditions each distribution of a lock is needed at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement

from lamina.formats.pylock import Distribution

Key = tuple[str, str]  # name and version


def markers(roots: Iterable[str], found: Sequence[Distribution]) -> dict[Key, str]:
    """Name and version -> marker, "" where it is always needed; what is never is not in it."""
    walk = _Walk(found)
    for text in roots:
        walk.need(text, ())
    walk.run()
    return {key: walk.told(key) for key in walk.paths}


class _Walk:
    """Goes from the roots to all that they need, conditions in hand.

    A distribution that is needed on several ways is needed where one of them is open. Ways are
    followed as long as they say something new, so circles end.
    """

    def __init__(self, found: Sequence[Distribution]) -> None:
        self._by_name: dict[str, list[Distribution]] = {}
        for each in found:
            self._by_name.setdefault(each.name, []).append(each)
        self.paths: dict[Key, list[frozenset[str]]] = {}
        self._extras: dict[tuple[Key, str], list[frozenset[str]]] = {}
        self._waiting: list[tuple[str, tuple[str, ...]]] = []

    def need(self, text: str, conditions: tuple[str, ...]) -> None:
        """Note that something is needed where some conditions hold."""
        self._waiting.append((text, conditions))

    def run(self) -> None:
        """Follow all ways."""
        while self._waiting:
            text, conditions = self._waiting.pop()
            wanted = Requirement(text)
            more = (str(wanted.marker),) if wanted.marker else ()
            way = frozenset((*conditions, *more))
            for each in self._by_name.get(wanted.name, ()):
                if not wanted.specifier or f"=={each.version}" == str(wanted.specifier):
                    self._enter(each, tuple(wanted.extras), way)

    def _enter(self, each: Distribution, extras: tuple[str, ...], way: frozenset[str]) -> None:
        key = (each.name, each.version)
        if _add(self.paths.setdefault(key, []), way):
            for text in each.requires:
                self.need(text, tuple(sorted(way)))
        for extra in extras:
            if _add(self._extras.setdefault((key, extra), []), way):
                for text in each.extras.get(extra, ()):
                    self.need(text, tuple(sorted(way)))

    def told(self, key: Key) -> str:
        """The marker of a distribution."""
        ways = self.paths[key]
        if frozenset() in ways:
            return ""
        if len(ways) == 1 and len(ways[0]) == 1:
            return next(iter(ways[0]))
        texts = sorted(" and ".join(f"({each})" for each in sorted(way)) for way in ways)
        return " or ".join(texts)


def _add(ways: list[frozenset[str]], way: frozenset[str]) -> bool:
    """Add a way, unless one that asks for less is there; those that ask for more go."""
    if any(known <= way for known in ways):
        return False
    ways[:] = [known for known in ways if not way <= known]
    ways.append(way)
    return True
