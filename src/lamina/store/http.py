"""httpx without its command line, which would bring three more packages: a third of its start."""

from __future__ import annotations

import sys
from typing import Any, cast

# What is None there, the import system says is not installed.
cast("dict[str, Any]", sys.modules).setdefault("httpx._main", None)

import httpx  # noqa: E402

__all__ = ["httpx"]
