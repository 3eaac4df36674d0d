"""Every failure a user can meet, classed by who must act; the class decides the exit code."""

from __future__ import annotations


class LaminaError(Exception):
    """A failure with one message for a person: what is wrong, where, and what to do.

    `message` has no final full stop and may hold several lines when several faults are known.
    `hint` is the advice printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UserError(LaminaError):
    """A BUILD file, flag, label or input is wrong."""

    exit_code = 3


class ActionError(LaminaError):
    """An action (compile, genrule, test) failed, or several: `parts` are the errors of each."""

    exit_code = 1

    def __init__(
        self, message: str, *, hint: str | None = None, parts: tuple[LaminaError, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.parts = parts


class HostError(LaminaError):
    """A tool, a privilege or a kernel feature is missing on this machine."""

    exit_code = 2


class ServiceError(LaminaError):
    """A registry, build farm or scheduler failed; `retryable`: trying again may help."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class IntegrityError(LaminaError):
    """Bytes do not match their digest, or a format breaks its own rules."""

    exit_code = 4


class Untrusted(LaminaError):
    """A package has no good signature of a key that may sign it."""

    exit_code = 4


class Interrupted(BaseException):
    """The user or the system asked lamina to stop; `signal` is the number that did.

    No error: nothing that handles errors may take it for one and go on.
    """

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted")
        self.signal = signal
        self.exit_code = 128 + signal
