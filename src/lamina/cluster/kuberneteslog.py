"""What the tasks of a job on Kubernetes have printed: all attempts, one after the other.

The API gives no bytes from a place on, only lines since a time, by whole seconds. So a place in
what a pod printed is remembered by the last line before it, with the time that stands there. A
kubelet keeps the newest of a long log alone; who follows it from the begin sees all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lamina.cluster.kubernetesapi import Api, Gone
from lamina.cluster.kubernetesmanifest import CONTAINER
from lamina.cluster.kubernetesstate import Pod, when
from lamina.cluster.launcher import State
from lamina.core.classes import dataclass
from lamina.core.errors import ServiceError

_TIME = re.compile(rb"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?(Z|[+-]\d+:\d+) ")


@dataclass(slots=True)
class _Place:
    """How far a pod's log was read."""

    size: int = 0  # bytes without times
    last: bytes = b""  # the last line, with its time
    is_whole: bool = False  # whether nothing more comes


class Logs:
    """Reads logs, and remembers places for who follows them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._places: dict[str, _Place] = {}

    def read(self, namespace: str, attempts: Sequence[Pod], begin: int) -> bytes:
        """What the pods of a task printed, from a byte on."""
        found = b""
        for pod in attempts:
            place = self._places.setdefault(pod.name, _Place())
            try:
                if begin >= place.size > 0:
                    begin -= place.size
                    data = b"" if place.is_whole else self._more(namespace, pod, place)
                else:
                    data = self._whole(namespace, pod, place)
            except ServiceError as error:
                if error.retryable or pod is attempts[-1]:
                    raise
                data = b""  # its node is gone, and so it was started again
            found += data[begin:]
            begin = max(begin - len(data), 0)
        return found

    def _whole(self, namespace: str, pod: Pod, place: _Place) -> bytes:
        lines = self._lines(namespace, pod, "")
        data = b"".join(without_time(line) for line in lines)
        place.size, place.last = len(data), lines[-1] if lines else b""
        place.is_whole = pod.state.is_over
        return data

    def _more(self, namespace: str, pod: Pod, place: _Place) -> bytes:
        """What came after a place, which moves behind that."""
        lines = self._lines(namespace, pod, _second(place.last))
        data = b"".join(after(lines, place.last))
        place.size, place.last = place.size + len(data), lines[-1] if data else place.last
        place.is_whole = pod.state.is_over
        return data

    def _lines(self, namespace: str, pod: Pod, since: str) -> list[bytes]:
        if not pod.started:
            return []
        try:
            data = self._api.log(namespace, pod.name, CONTAINER, since)
        except Gone:
            return []  # the pod was removed just now
        except ServiceError:
            if pod.state is State.NODE_FAILED:
                return []  # with its node
            raise
        return data.splitlines(keepends=True)


def without_time(line: bytes) -> bytes:
    """What was printed of a line."""
    return line.partition(b" ")[2]


def _second(line: bytes) -> str:
    """The second of a line, as the API takes it; empty where the line has no time."""
    found = _TIME.match(line)
    return (found[1] + found[3]).decode() if found else ""


def after(lines: Sequence[bytes], last: bytes) -> list[bytes]:
    """What was printed after a line that may be among some, and may have been cut off then."""
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith(last):
            rest = lines[number][len(last) :]
            return [rest, *(without_time(line) for line in lines[number + 1 :])]
    return [without_time(line) for line in lines if _key(line) > _key(last)]


def _key(line: bytes) -> tuple[float, bytes]:
    """The time of a line, by whole seconds and what is behind them."""
    found = _TIME.match(line)
    if found is None:
        return 0.0, b""
    return when(_second(line)), (found[2] or b".").ljust(10, b"0")
