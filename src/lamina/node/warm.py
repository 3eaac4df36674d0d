"""Starts a package that was started before, by what is known of that start (`store.starts`).

This is the way of most starts, so nothing dear is imported: to have the modules that find all out
takes longer than to mount and start. Where anything is not as it was, it is left to them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from lamina.core.errors import LaminaError
from lamina.linux import loop, namespaces
from lamina.linux.environment import inherited, reset_signals
from lamina.node import attach, served
from lamina.node.stack import stack
from lamina.store import claim, place, starts
from lamina.store.trust import places

_ELSEWHERE = ("LAMINA_REPORT", "_ARGCOMPLETE")  # with these there is more to do


def start(words: Sequence[str], warn: Callable[[str], None]) -> int | None:
    """Become the program of `lamina exec`, whose words these are, or run it in a container.

    Then the exit code comes back. None where it can not: then nothing has happened but that this
    process may have mounts of its own. Raises Failed for what became of a container.
    """
    if any(name in os.environ for name in _ELSEWHERE):
        return None
    end = words.index("--") if "--" in words else len(words)
    store = place.folder()
    known = starts.read(store, words[:end])
    if known is None:
        return None
    try:
        if places.in_force():
            return None
        lease = claim.again(store, known.package)
    except (OSError, LaminaError):
        return None
    try:
        if any(starts.fact(kind, of) != value for kind, of, value in known.facts):
            return None
        if known.walls:
            from lamina.node import warmwalls

            return warmwalls.run(known, words[end + 1 :], warn)
        _become(known, words[end + 1 :], lease)
    except (OSError, LaminaError):
        return None  # whoever finds out what is wrong tells it
    finally:
        os.close(lease)
    return None


class Failed(Exception):
    """Why a container that was started did not come to its end."""

    def __init__(self, cause: Exception) -> None:
        """The cause is for a person, if it is a LaminaError."""
        super().__init__(str(cause))
        self.cause = cause


def _become(known: starts.Start, words: Sequence[str], lease: int) -> None:
    mount = mounted(known)
    if mount is None:
        return
    namespaces.enter_root({known.title: mount})
    for note in known.notes:
        os.utime(note)
    variables = dict(text.partition("=")[::2] for text in known.variables)
    os.set_inheritable(lease, True)  # it ends with the program
    reset_signals()
    os.execve(known.arguments[0], [*known.arguments, *words], {**inherited(), **variables})


def mounted(known: starts.Start) -> int | None:
    """A detached mount of the images, in namespaces of this process; None where one has changed."""
    return _served(known) if known.server else _attached(known)


def _served(known: starts.Start) -> int | None:
    if any(starts.state(path) != state for path, _, _, state in known.images):
        return None
    return served.stacked(known.server, [(path, at) for path, _, at, _ in known.images])


def _attached(known: starts.Start) -> int | None:
    namespaces.own_mounts()
    devices = loop.bound()
    layers: list[int] = []
    try:
        for path, kind, offset, state in known.images:
            image = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if starts.of(os.fstat(image)) != state:
                    return None
                layers.append(attach.layer(image, kind, offset, path, devices))
            finally:
                os.close(image)
        return stack(layers)
    finally:
        for layer in layers:
            os.close(layer)
