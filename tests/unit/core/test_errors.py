"""Errors: the class says who must act, and so gives the exit code."""

from __future__ import annotations

import pytest

from lamina.core import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ActionError, 1),
        (errors.HostError, 2),
        (errors.ServiceError, 2),
        (errors.UserError, 3),
        (errors.IntegrityError, 4),
        (errors.Untrusted, 4),
    ],
)
def test_each_class_has_its_exit_code_and_keeps_message_and_hint(
    kind: type[errors.LaminaError], code: int
) -> None:
    error = kind("no such thing", hint="make one")

    assert (error.exit_code, error.message, error.hint) == (code, "no such thing", "make one")
    assert str(error) == "no such thing"


def test_a_service_error_says_whether_to_try_again() -> None:
    assert errors.ServiceError("busy", retryable=True).retryable
    assert not errors.ServiceError("gone").retryable


@pytest.mark.parametrize(("signal", "code"), [(2, 130), (15, 143)])
def test_an_interruption_ends_as_a_shell_reports_it(signal: int, code: int) -> None:
    assert errors.Interrupted(signal).exit_code == code
