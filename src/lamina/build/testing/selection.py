"""Which of the tests that patterns choose are run: by tags, sizes and languages."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lamina.build.target import Target
from lamina.core.classes import dataclass

_LANGUAGES = {"python": "py", "cxx": "cc"}


@dataclass(frozen=True, slots=True)
class Filters:
    """Words of the command line; one with `-` in front takes away."""

    tags: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def admit(self, target: Target) -> bool:
        """Whether a test is run."""
        tags = target.attributes["tags"]
        assert isinstance(tags, tuple)
        size = target.attributes.get("size")
        language = target.rule.name.removesuffix("_test")
        return (
            _passes(self.tags, tags)
            and _passes(self.sizes, [str(size)])
            and _passes(self.languages, [_LANGUAGES.get(language, language)])
        )


def words(texts: Sequence[str]) -> tuple[str, ...]:
    """The words of options that take several, parted by commas."""
    return tuple(word for text in texts for word in text.split(",") if word)


def _passes(wanted: Sequence[str], having: Collection[str]) -> bool:
    """Whether one of the wanted words is there, if there are any, and none with `-`."""
    plus = [word.removeprefix("+") for word in wanted if not word.startswith("-")]
    minus = [word[1:] for word in wanted if word.startswith("-")]
    return not any(w in having for w in minus) and (not plus or any(w in having for w in plus))


def in_suite(suite: Target, test: Target) -> bool:
    """Whether a `test_suite` without a list of tests, or with tags, takes a test of its own."""
    tags, own = test.attributes["tags"], suite.attributes["tags"]
    assert isinstance(tags, tuple)
    assert isinstance(own, tuple)
    wanted = [tag for tag in own if tag != "manual"]
    plus = [tag.removeprefix("+") for tag in wanted if not tag.startswith("-")]
    return all(tag in tags for tag in plus) and not any(
        tag[1:] in tags for tag in wanted if tag.startswith("-")
    )


def is_test(target: Target) -> bool:
    """Whether a target is a test: the names of such rules, and of no others, end in `_test`."""
    return target.rule.name.endswith("_test")
