"""Buck's attributes of platforms."""

from __future__ import annotations

import pytest

from lamina.build.platforms import settled

KNOWN = {"srcs", "exported_headers", "platform_known"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"srcs": ["a"]}, {"srcs": ["a"]}),
        (
            {"srcs": ["a"], "platform_srcs": [("linux", ["b"]), ("^windows", ["c"]), ("", ["d"])]},
            {"srcs": ["a", "b", "d"]},
        ),
        ({"platform_srcs": [["default|linux", ["b"]]]}, {"srcs": ["b"]}),
        ({"platform_srcs": [("android", ["b"])]}, {"srcs": None}),
        (
            {"exported_headers": {"a.h": "x"}, "exported_platform_headers": [("", {"b.h": "y"})]},
            {"exported_headers": {"a.h": "x", "b.h": "y"}},
        ),
        ({"platform_unknown": [("", ["b"])]}, {"platform_unknown": [("", ["b"])]}),
        ({"platform_known": [("", ["b"])]}, {"platform_known": [("", ["b"])]}),
        ({"platform_srcs": ["b"]}, {"platform_srcs": ["b"]}),
        ({"platform_srcs": [("(", ["b"])]}, {"platform_srcs": [("(", ["b"])]}),
    ],
)
def test_what_holds_for_the_platform_is_put_to_what_holds_for_all(
    given: dict[str, object], expected: dict[str, object]
) -> None:
    assert settled(given, KNOWN) == expected
