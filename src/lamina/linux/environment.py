"""The environment of this process as it was given; without the modules that start programs."""

from __future__ import annotations

import os

# What Python sets LC_CTYPE to where the locale is C (PEP 538).
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


def inherited() -> dict[str, str]:
    """The environment for a program that takes our place: without what Python changed in ours."""
    environment = dict(os.environ)
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
