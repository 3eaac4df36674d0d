"""TOML from people and other tools: whatever is wrong with it is one kind of error.

https://toml.io/en/v1.0.0; the parser is that of the standard library, which lets what its own calls
raise pass through: a number of thousands of digits, and lists in lists without end.
"""

from __future__ import annotations

import tomllib
from typing import Any

Fault = tomllib.TOMLDecodeError


def loads(text: str) -> dict[str, Any]:
    """The document; raises Fault."""
    try:
        return tomllib.loads(text)
    except Fault:
        raise
    except (RecursionError, MemoryError):
        raise Fault("values lie too deep in each other") from None
    except ValueError:
        raise Fault("a number has too many digits") from None
