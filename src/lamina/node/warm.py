"""Starts a package that was started before, by what is known of that start (`store.starts`).

This is the way of most starts, so nothing dear is imported: to have the modules that find all out
takes longer than to mount and start. Where anything is not as it was, it is left to them.
"""

from __future__ import annotations

import os

from lamina.core.errors import LaminaError
from lamina.linux import loop, namespaces
from lamina.linux.environment import inherited, reset_signals
from lamina.node import attach, served
from lamina.node.stack import stack
from lamina.store import claim, place, starts
from lamina.store.trust import places

_ELSEWHERE = ("LAMINA_REPORT", "_ARGCOMPLETE")  # with these there is more to do


def start(words: list[str]) -> None:
    """Become the program of `lamina exec`, whose words these are; comes back if it can not.

    Then nothing has happened but that this process may have mounts of its own.
    """
    if not words or words[0].startswith("-") or words[1:2] not in ([], ["--"]):
        return
    if any(name in os.environ for name in _ELSEWHERE):
        return
    store = place.folder()
    known = starts.read(store, words[0])
    if known is None:
        return
    try:
        if places.in_force():
            return
        lease = claim.again(store, known.package)
    except (OSError, LaminaError):
        return
    try:
        _become(known, words[2:], lease)
    except (OSError, LaminaError):
        return  # whoever finds out what is wrong tells it
    finally:
        os.close(lease)


def _become(known: starts.Start, words: list[str], lease: int) -> None:
    if any(starts.state(path) != state for path, state in known.files):
        return
    mount = _served(known) if known.server else _mounted(known)
    if mount is None:
        return
    namespaces.enter_root({known.title: mount})
    for note in known.notes:
        os.utime(note)
    variables = dict(text.partition("=")[::2] for text in known.variables)
    os.set_inheritable(lease, True)  # it ends with the program
    reset_signals()
    os.execve(known.arguments[0], [*known.arguments, *words], {**inherited(), **variables})


def _served(known: starts.Start) -> int | None:
    """A detached mount of images that a program serves; None where one is not what it was."""
    if any(starts.state(path) != state for path, _, _, state in known.images):
        return None
    return served.stacked(known.server, [(path, at) for path, _, at, _ in known.images])


def _mounted(known: starts.Start) -> int | None:
    """A detached mount of images that the kernel reads; None where one is not what it was."""
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
