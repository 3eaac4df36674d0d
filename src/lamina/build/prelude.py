"""What BUILD and .bzl files see that is written in Starlark itself, because it makes structs.

A file is only given what it mentions, so that others are not slower for it.
"""

from __future__ import annotations

import os
import re

from lamina.build.markers import LABEL as FIELD

PATH = "<built-in>"  # in stack traces
SYMBOLS = frozenset({"Label", "host_info", "read_config", "read_root_config", "select", "str"})
NATIVE = ("host_info", "package_relative_label")  # also called `native.…`
_MENTION = re.compile(rf"\b({'|'.join(sorted(SYMBOLS))})\(")
_SETTLED = frozenset({"read_config", "read_root_config", "select"})  # BUILD files have them anyway
_TYPE = re.compile(r"(?::|->|\[|\|)\s*str\b(?!\()")  # `str` is a type as well

# A label cannot be a value of its own kind: a struct with its text in a field that tells it.
LABEL = """
def Label(text):
    return text if type(text) == "struct" else struct(**_label(text))
"""
_TEXT = f"""
def select(branches, no_match_error = ""):
    if type(branches) != "dict":
        return _select(branches, no_match_error)
    return _select([(key, value) for key, value in branches.items()], no_match_error)

def str(value):
    if type(value) == "struct" and hasattr(value, "{FIELD}"):
        return getattr(value, "{FIELD}")
    return "{{}}".format(value)

def package_relative_label(text):
    return text if type(text) == "struct" else struct(**_relative_label(text))

def host_info():
    return struct(
        os = struct(
            is_freebsd = False, is_linux = True, is_macos = False, is_unknown = False,
            is_windows = False,
        ),
        arch = struct(
            is_aarch64 = "%MACHINE%" == "aarch64", is_arm = False, is_armeb = False,
            is_i386 = False, is_mips = False, is_mips64 = False, is_mipsel = False,
            is_mipsel64 = False, is_powerpc = False, is_ppc64 = False, is_unknown = False,
            is_x86_64 = "%MACHINE%" == "x86_64",
        ),
    )

"""


def text() -> str:
    """The definitions."""
    return _TEXT.replace("%MACHINE%", os.uname().machine)


def wanted(source: str, bzl: bool) -> list[str]:
    """The names that a file is to be given; a .bzl file always sees `native`."""
    found = set(_MENTION.findall(source))
    if "str" in found and _TYPE.search(source):
        found.remove("str")
    return sorted(found | {"native"}) if bzl else sorted(found - _SETTLED)
