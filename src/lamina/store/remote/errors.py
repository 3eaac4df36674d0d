"""What may come of asking a build farm, by what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.digest import Digest
from lamina.core.errors import ServiceError


class FarmError(ServiceError):
    """A request failed for good, after all that could be tried; `code` is gRPC's word for why."""

    def __init__(self, message: str, code: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, retryable=code in PASSING)
        self.code = code


class FarmRefuses(FarmError):
    """It will not have us, or is no farm for us: no build gets further by trying again."""


class FarmGone(FarmError):
    """It has failed so often that it is not asked for a while."""


class Absent(FarmError):
    """Blobs, or a result, that are not there."""

    def __init__(self, message: str, digests: Sequence[Digest] = ()) -> None:
        super().__init__(message, "NOT_FOUND")
        self.digests = tuple(digests)


class Stopped(Exception):
    """The request was given up as the whole build is being ended."""


# What may go well another time.
PASSING = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNKNOWN"}
)
REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})
