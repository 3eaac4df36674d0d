"""The colour of each rule: the same in every picture, to be seen on light and on dark."""

from __future__ import annotations

from zlib import crc32

_BLUE, _ORANGE, _GREEN, _VIOLET = "#3b82f6", "#f08c00", "#2f9e44", "#9c5de0"
_TEAL, _RED, _GREY, _BROWN, _PINK = "#0ca5a5", "#e03131", "#868e96", "#a9744f", "#d6408c"
_OTHERS = (_PINK, _BROWN, _TEAL, _VIOLET, _RED)
_KNOWN = (
    ("cxx_python_extension", _TEAL),
    ("python", _BLUE),
    ("py_", _BLUE),
    ("cxx", _ORANGE),
    ("cc_", _ORANGE),
    ("prebuilt_cxx", _ORANGE),
    ("prebuilt_python", _BLUE),
    ("sh_", _GREEN),
    ("genrule", _VIOLET),
    ("filegroup", _GREY),
    ("export_file", _GREY),
    ("alias", _GREY),
    ("file", _GREY),
    ("test_suite", _GREEN),
    ("config_setting", _BROWN),
    ("constraint", _BROWN),
    ("platform", _BROWN),
)


def colour(rule: str) -> str:
    """The colour of a rule's family."""
    for start, found in _KNOWN:
        if rule.startswith(start):
            return found
    return _OTHERS[crc32(rule.encode()) % len(_OTHERS)]


def shape(rule: str) -> str:
    """How a rule's boxes are drawn: "program" with a strong edge, "test" with a broken one."""
    if rule.endswith("_binary"):
        return "program"
    return "test" if rule.endswith(("_test", "test_suite")) else "plain"
