"""Reads the text of a StarlarkError: the message, its place, and the calls that led there.

Traceback (most recent call last):
  * p/BUILD:4, in <module>
      m(name='x')
error: fail: no way
 --> tools/m.bzl:2:3
"""

from __future__ import annotations

import ast
import re

from lamina.build import prelude
from lamina.build.faults import Fault, Place
from lamina.core.classes import dataclass

_PLACE = re.compile(r"^ *--> (.+):(\d+):(\d+)$", re.MULTILINE)
_FRAME = re.compile(r"^  \* (.+):(\d+), in (.+)$", re.MULTILINE)
_MESSAGE = re.compile(r"^error: (.*?)(?=^ *--> |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Trace:
    """A StarlarkError in parts; the frames come from the outermost call inwards."""

    message: str
    place: Place
    frames: tuple[Place, ...]  # without columns

    def line_in(self, path: str) -> Place:
        """Where a file comes into it: the error's own place, or the outermost call in the file."""
        if self.place.path == path:
            return self.place
        return next((frame for frame in self.frames if frame.path == path), Place(path))

    @property
    def caller(self) -> str:
        """A hint at the file from where the failing one was called, or ""."""
        callers = [frame for frame in self.frames if frame.path != self.place.path]
        return f"called from `{callers[0]}`" if callers else ""


def read(text: str) -> Trace:
    """The parts of the text of a StarlarkError."""
    found = _PLACE.search(text)
    message = _MESSAGE.search(text)
    place = Place(found[1], int(found[2]), int(found[3])) if found else Place("")
    frames = [Place(frame[1], int(frame[2])) for frame in _FRAME.finditer(text)]
    frames = [frame for frame in frames if frame.path != prelude.PATH]
    if place.path == prelude.PATH and frames:
        place = frames[-1]  # who called what is built in
    return Trace(message[1].strip() if message else text.strip(), place, tuple(frames))


def fault(trace: Trace, build_file: str, text: str) -> Fault:
    """The fault that an error of Starlark itself stands for, in the words of this program."""
    if trace.message.startswith("Parse error: "):
        return _syntax(trace, text)
    if trace.message.startswith("fail: "):
        return _failed(trace, build_file)
    message, comma, meant = trace.message.partition(", did you mean ")
    hint = f"did you mean {meant}" if comma else trace.caller
    return Fault(trace.place, message[:1].lower() + message[1:], hint)


def _failed(trace: Trace, build_file: str) -> Fault:
    """`fail()` in a macro speaks to the author of the BUILD file."""
    inner = trace.place
    place = trace.line_in(build_file)
    hint = f"`fail` is called at `{inner}`" if inner.path != place.path else ""
    return Fault(place, trace.message.removeprefix("fail: "), hint)


def _syntax(trace: Trace, text: str) -> Fault:
    message = trace.message.removeprefix("Parse error: ").partition(", expected one of")[0]
    unclosed = _never_closed(trace.place.path, text)
    if unclosed:
        return unclosed
    hint = next((hint for word, hint in _SYNTAX_HINTS if word in message), "")
    return Fault(trace.place, f"syntax error: {message}", hint)


_SYNTAX_HINTS = (
    ("keyword `import`", "Starlark has no modules of Python: write `load(…)`"),
    ("keyword `class`", "Starlark has no classes: write `struct(…)`"),
    ("keyword `while`", "Starlark has no `while`: write `for`"),
    ("unexpected string literal", "is a comma missing? strings are joined by `+`"),
    ("unexpected identifier", "is a comma or bracket missing before it?"),
    ("tabs are not allowed", "indent by spaces"),
)


def _never_closed(path: str, text: str) -> Fault | None:
    """Starlark tells of an open bracket only where the file ends; Python's parser says which."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        if "was never closed" in error.msg:
            place = Place(path, error.lineno or 0, error.offset or 0)
            return Fault(place, "syntax error: this bracket is never closed")
    except (ValueError, RecursionError, MemoryError):  # it is too deep for Python's parser
        return None
    return None
