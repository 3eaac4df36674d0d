"""A wait for an action that a build farm runs, as others see it."""

from __future__ import annotations

from lamina.core.cancellation import Cancellation


class Waiting(Cancellation):
    """Another thread may look how the action stands, and end the wait."""

    is_queued = True  # whether no worker has taken it, as far as the farm tells
