"""What this process was given, for a program in its place; nothing dear is imported here."""

from __future__ import annotations

import os

from lamina.linux.signals import SIG_DFL, SIGPIPE, SIGXFSZ, signal

# What Python sets LC_CTYPE to where the locale is C (PEP 538).
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


# Python ignores these from its start on; what it handles, exec puts back by itself.
_IGNORED_BY_PYTHON = (SIGPIPE, SIGXFSZ)


def reset_signals() -> None:
    """Let the program meet the signals that Python ignores, as it would from a shell."""
    for number in _IGNORED_BY_PYTHON:
        signal(number, SIG_DFL)


def inherited() -> dict[str, str]:
    """The environment for a program that takes our place: without what Python changed in ours."""
    environment = dict(os.environ)
    environment.pop("", None)  # of `=value`, which Python hands on to nobody
    if environment.get("LC_CTYPE") in _COERCED:
        del environment["LC_CTYPE"]
        environment.update(_at_start("LC_CTYPE"))
    return environment


def _at_start(name: str) -> dict[str, str]:
    """A variable as it was when this process was started; empty if there was none."""
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - pathlib is dear
            words = file.read().split(b"\0")
    except OSError:
        return {name: os.environ[name]}
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {key: value for key, _, value in pairs if key == name}
