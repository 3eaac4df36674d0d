"""protobuf without its second implementation where the first, in C, is there: a third of its start.

`google.protobuf.descriptor_pool` imports both, and uses one.
"""

from __future__ import annotations

import sys
from types import ModuleType

from google.protobuf.internal import api_implementation

_PURE = "google.protobuf.internal.python_message"

if api_implementation.Type() == "upb":
    sys.modules.setdefault(_PURE, ModuleType(_PURE))

from google.protobuf.message import DecodeError, Message  # noqa: E402

__all__ = ["DecodeError", "Message"]
