"""The variables that tell a task where it stands: lamina's own, and those of torch.distributed.

torch's meaning: https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables.
"""

from __future__ import annotations

from lamina.core.classes import dataclass

FIRST_PORT, PORTS = (
    15_000,
    16_000,
)  # where ports of rendezvous lie, below those of the kernel's choice


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task stands among those of its job."""

    index: int
    count: int
    local_index: int
    local_count: int
    node: int  # which of the machines
    nodes: int
    master: str  # name or address of the machine with task 0
    port: int  # on that machine, for the rendezvous
    element: int = 0  # of an array
    attempt: int = 1


def variables(job: str, place: Place) -> dict[str, str]:
    """What a task finds in its environment."""
    return {
        "LAMINA_JOB_ID": job,
        "LAMINA_TASK_INDEX": str(place.index),
        "LAMINA_TASK_COUNT": str(place.count),
        "LAMINA_NODE_INDEX": str(place.node),
        "LAMINA_NODE_COUNT": str(place.nodes),
        "LAMINA_ARRAY_INDEX": str(place.element),
        "LAMINA_ATTEMPT": str(place.attempt),
        "RANK": str(place.index),
        "WORLD_SIZE": str(place.count),
        "LOCAL_RANK": str(place.local_index),
        "LOCAL_WORLD_SIZE": str(place.local_count),
        "GROUP_RANK": str(place.node),
        "MASTER_ADDR": place.master,
        "MASTER_PORT": str(place.port),
    }
