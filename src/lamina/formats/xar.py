"""The text header of a XAR file: `NAME="VALUE"` lines before a squashfs image.

https://github.com/facebookincubator/xar (XarParser.cpp and XarHelpers.cpp are the two upstream
readers). They disagree; what is written here both accept, what either accepts is read here.
"""

from __future__ import annotations

import re

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError, UserError

SIZE = 4096  # bytes of a header that is written
LARGEST = 65536  # bytes of a header that is still read; upstream writes 4096 or 8192

_SHEBANG = b"#!"
_STOP = b"#xar_stop"
_END = b"\n" + _STOP + b"\n"
_TRAMPOLINE = "invoke_xar_via_trampoline"  # a list of names must hold this one
_GUARD = ("echo 'a XAR file is not a shell script: run it with xarexec'", "exit 1")
_UUID = re.compile(r"[0-9A-Fa-f]{1,128}")  # what upstream's runner wants; it becomes a path
_NUMBER = re.compile(r"[0-9]{1,9}")
_LINE = re.compile(r'([^=]+)="(.*)"', re.DOTALL)
# One upstream reader splits at every `=`, the other ends a value at any `"`.
_PLAIN = re.compile(r"[^\"=\x00-\x1f\x7f\ud800-\udfff]*")
_NAME = re.compile(r"[^\"'=\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Header:
    """What a XAR says of itself."""

    uuid: str  # hexadecimal digits; names the contents: two XARs with one UUID share a mount
    target: str = ""  # path in the image of the sh script that runs it
    version: str = ""
    trampolines: tuple[str, ...] = ()
    offset: int = SIZE  # where the image starts
    mount_root: str = ""  # folder to mount below; empty: the reader's own


def encode(header: Header) -> bytes:
    """The header as exactly 4,096 bytes; UserError where a value can not be written safely."""
    _check(header)
    lines = [
        "#!/usr/bin/env xarexec_fuse",
        _assign("OFFSET", str(SIZE)),
        _assign("UUID", header.uuid),
        _assign("VERSION", header.version),
        _assign("DEPENDENCIES", ""),
        _assign("XAREXEC_TARGET", header.target),
    ]
    if header.mount_root:
        lines.append(_assign("MOUNT_ROOT", header.mount_root))
    if header.trampolines:
        lines.append(_assign("XAREXEC_TRAMPOLINE_NAMES", _quoted(header.trampolines)))
    text = "\n".join([*lines, _STOP.decode(), *_GUARD, ""]).encode()
    if len(text) > SIZE:
        raise UserError(f"a XAR header holds {SIZE} bytes, and {len(text)} are wanted")
    return text.ljust(SIZE, b"\n")


def _check(header: Header) -> None:
    if header.offset != SIZE:
        raise UserError(f"a XAR header is written with offset {SIZE}, not {header.offset}")
    if not _UUID.fullmatch(header.uuid):
        raise UserError(f"not hexadecimal digits, so no UUID of a XAR: `{header.uuid}`")


def _assign(name: str, value: str) -> str:
    if not _PLAIN.fullmatch(value):
        raise UserError(f"a XAR header can not hold this {name}: {value!r}")
    return f'{name}="{value}"'


def _quoted(names: tuple[str, ...]) -> str:
    bad = [name for name in names if not _NAME.fullmatch(name)]
    if bad:
        raise UserError(f"a XAR header can not hold this trampoline name: {bad[0]!r}")
    if _TRAMPOLINE not in names:
        raise UserError(f"trampoline names of a XAR must include `{_TRAMPOLINE}`")
    return _join(names)


def is_whole(first_bytes: bytes) -> bool:
    """Whether the header ends in these bytes, with the mark that all but old ones have."""
    return not first_bytes.startswith(_SHEBANG) or _END in first_bytes


def decode(first_bytes: bytes) -> Header:
    """Read the header at the start of a XAR; IntegrityError for anything malformed.

    The caller gives at least the first 4,096 bytes, and up to `LARGEST`.
    """
    values = _values(_lines(first_bytes))
    return Header(
        uuid=_uuid(values),
        target=values.get("XAREXEC_TARGET", ""),
        version=values.get("VERSION", ""),
        trampolines=_trampolines(values.get("XAREXEC_TRAMPOLINE_NAMES", "")),
        offset=_offset(values),
        mount_root=values.get("MOUNT_ROOT", ""),
    )


def _lines(first_bytes: bytes) -> list[str]:
    """The lines between the shebang and the stop mark; comments and blank lines left out.

    One upstream reader does without the mark, and takes all of the first 4,096 bytes.
    """
    if not first_bytes.startswith(_SHEBANG):
        raise IntegrityError("not a XAR file: it does not start with `#!`")
    head, found, _ = first_bytes[:LARGEST].partition(_END)
    try:
        lines = (head if found else head[:SIZE]).decode().split("\n")[1:]
    except UnicodeDecodeError as error:
        raise IntegrityError("the header of this XAR is not UTF-8 text") from error
    if any("\0" in line for line in lines):
        raise IntegrityError("the header of this XAR has a NUL in it")
    return [line for line in lines if line and not line.startswith("#")]


def _values(lines: list[str]) -> dict[str, str]:
    """What each name was given last, as upstream's runner takes it."""
    values: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise IntegrityError(f'not `NAME="VALUE"` in the header of a XAR: {line[:80]!r}')
        values[match[1]] = match[2]
    return values


def _offset(values: dict[str, str]) -> int:
    text = values.get("OFFSET")
    if text is None:
        raise IntegrityError("the header of this XAR has no OFFSET")
    offset = int(text) if _NUMBER.fullmatch(text) else 0
    if not 0 < offset <= LARGEST or offset % SIZE:
        raise IntegrityError(
            f"the OFFSET of a XAR is a multiple of {SIZE} up to {LARGEST}, not {text!r}"
        )
    return offset


def _uuid(values: dict[str, str]) -> str:
    uuid = values.get("UUID", "")
    if not _UUID.fullmatch(uuid):
        raise IntegrityError(f"the UUID of a XAR is made of hexadecimal digits, not {uuid!r}")
    return uuid


def _trampolines(text: str) -> tuple[str, ...]:
    """The names in a list; none for a malformed list, which upstream's runner does not look at."""
    names = tuple(text[1:-1].split("' '"))
    whole = _join(names) == text and all(map(_NAME.fullmatch, names))
    return names if whole and _TRAMPOLINE in names else ()


def _join(names: tuple[str, ...]) -> str:
    return " ".join(f"'{name}'" for name in names)
