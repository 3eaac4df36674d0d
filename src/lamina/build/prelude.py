"""What BUILD and .bzl files see that is written in Starlark itself, because it makes structs.

A file is only given what it mentions, so that others are not slower for it.
"""

from __future__ import annotations

import os
import re

from lamina.build.markers import LABEL as FIELD

PATH = "<built-in>"  # in stack traces
SYMBOLS = frozenset(
    {"Label", "host_info", "json", "read_config", "read_root_config", "select", "str"}
)
RENAMED = {"json": "lamina_json"}  # what has another name where it is defined
NATIVE = ("host_info", "package_relative_label")  # also called `native.…`
_MENTION = re.compile(rf"\b({'|'.join(sorted(SYMBOLS - {'json'}))})\(|\b(json)\.")
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

def _plain(value):
    # The interpreter writes structs, and keys of any kind; the call stack ends before its own does.
    kind = type(value)
    if kind == "struct":
        if hasattr(value, "{FIELD}"):
            return getattr(value, "{FIELD}")
        fields = [name for name in dir(value) if not name.startswith("lamina_")]
        return {{name: _plain(getattr(value, name)) for name in fields}}
    if kind in ("list", "tuple"):
        return [_plain(element) for element in value]
    if kind == "dict":
        for key in value:
            if type(key) != "string":
                fail("a key of an object in JSON is a string, not `{{}}`".format(repr(key)))
        return {{key: _plain(element) for key, element in value.items()}}
    if kind == "function":
        fail("a function cannot be written as JSON")
    return value

def _encode(value):
    return json.encode(_plain(value))

def _decode(text, *positional, **named):
    if not _json_fault(text):
        return json.decode(text)
    if positional or named:
        return positional[0] if positional else named["default"]
    fail(_json_fault(text))

def _encode_indent(value, *, prefix = "", indent = "\t"):
    return _json_indent(_encode(value), prefix, indent)

lamina_json = struct(
    decode = _decode,
    encode = _encode,
    encode_indent = _encode_indent,
    indent = lambda text, *, prefix = "", indent = "\t": _json_indent(text, prefix, indent),
)

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
    found = {name for match in _MENTION.findall(source) for name in match if name}
    if "str" in found and _TYPE.search(source):
        found.remove("str")
    return sorted(found | {"native"}) if bzl else sorted(found - _SETTLED)
