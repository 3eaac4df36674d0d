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

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    from lamina.node.report import Report

_Warn = Callable[[str], None]


def start(words: Sequence[str], warn: _Warn) -> int | None:
    """Become the program of `lamina exec`, whose words these are, or run it in a container.

    Then the exit code comes back. None where it can not: then nothing has happened but that this
    process may have mounts of its own. Raises Failed for what became of a container.
    """
    if "_ARGCOMPLETE" in os.environ:
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
    asked = os.environ.get(_REPORT)
    carried = os.environ.pop(_CARRIED, None)  # nothing is missing here
    try:
        return _start(known, words[end + 1 :], store, lease, warn)
    except (OSError, LaminaError):
        return None  # whoever finds out what is wrong tells it
    finally:
        os.close(lease)
        if asked is not None:
            os.environ[_REPORT] = asked
        if carried is not None:
            os.environ[_CARRIED] = carried


# Of `report` and `carried`, which are not imported for that.
_REPORT, _CARRIED = "LAMINA_REPORT", "LAMINA_CARRIED"


def _start(
    known: starts.Start, words: Sequence[str], store: str, lease: int, warn: _Warn
) -> int | None:
    told = None
    if _REPORT in os.environ:
        from lamina.node import report

        told = report.wanted(os.environ, warn)
    if any(starts.fact(kind, of) != value for kind, of, value in known.facts):
        return None
    if any(os.path.lexists(place) for _, place in known.large):
        return None
    if known.large:
        from lamina.node import laying

        laying.begin(store, [image for image, _ in known.large])
    if told is not None:
        told.told("pulled")
    if known.walls:
        from lamina.node import warmwalls

        return warmwalls.run(known, words, told, warn)
    _become(known, words, told, lease)
    return None


class Failed(Exception):
    """Why a container that was started did not come to its end."""

    def __init__(self, cause: Exception) -> None:
        """The cause is for a person, if it is a LaminaError."""
        super().__init__(str(cause))
        self.cause = cause


def _become(known: starts.Start, words: Sequence[str], told: Report | None, lease: int) -> None:
    mount = mounted(known)
    if mount is None:
        return
    if told is not None:
        told.mounted()
    namespaces.enter_root({known.title: mount})
    for note in known.notes:
        os.utime(note)
    variables = dict(text.partition("=")[::2] for text in known.variables)
    os.set_inheritable(lease, True)  # it ends with the program
    if told is not None:
        told.ready()
    reset_signals()
    os.execve(known.arguments[0], [*known.arguments, *words], {**inherited(), **variables})


def mounted(known: starts.Start) -> int | None:
    """A detached mount of the images, in namespaces of this process; None where one has changed."""
    return _served(known) if known.server else _attached(known)


def _served(known: starts.Start) -> int | None:
    if any(starts.state(path) != state for path, _, _, state in known.images):
        return None
    return served.stacked(known.server, [image[:3] for image in known.images])


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
