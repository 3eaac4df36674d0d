"""What servers answer: read within bounds, and what is wrong told for people."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: httpx.Headers
    data: bytes


def body_of(response: httpx.Response, limit: int) -> bytes:
    """The content of an answer; raises IntegrityError where it has no end."""
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) > limit:
            raise IntegrityError(f"the registry answers with more than {limit} bytes")
    return bytes(data)


def reason(data: bytes) -> str:
    """What an error answer says, for people; empty where it says nothing."""
    first = next(iter(_errors(data)), {})
    detail = first.get("detail")
    if isinstance(detail, dict):
        detail = ", ".join(f"{key} {value}" for key, value in detail.items())
    text = f"{first.get('message') or first.get('code') or ''} {detail or ''}".strip()
    return f": {text}"[:300] if text else ""


def codes(data: bytes) -> set[object]:
    """The faults that an error answer names, as of the specification."""
    return {each.get("code") for each in _errors(data)}


def _errors(data: bytes) -> list[dict[str, object]]:
    try:
        return [each for each in json.loads(data)["errors"] if isinstance(each, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def asked_pause(response: httpx.Response) -> float:
    """The seconds after which the registry wants to be asked again."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    if text:
        import email.utils  # dear, and seldom used

        with contextlib.suppress(ValueError, TypeError):
            return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return 0.0
