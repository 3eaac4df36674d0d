"""Tags that limit where actions run."""

from __future__ import annotations

import pytest

from lamina.build import placement


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ((), ()),
        (("manual", "requires-network"), ()),
        (("local",), ("no-remote-exec",)),
        (("no-remote",), ("no-remote-cache", "no-remote-exec")),
        (("no-race", "no-remote-cache", "no-race"), ("no-race", "no-remote-cache")),
    ],
)
def test_tags_tell_where_actions_run(tags: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert placement.of(tags) == found
