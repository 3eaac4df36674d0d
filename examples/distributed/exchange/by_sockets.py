"""Sums over all tasks by plain sockets: each sends its numbers to the first, which sends sums back.

Tasks find each other by the variables that torch.distributed uses, which every job of lamina has:
RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

import array
import os
import socket
import struct
import time

NAME = "sockets"
_PATIENCE = 60.0  # seconds until all tasks are there


class Group:
    """All tasks of the job."""

    def __init__(self):
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._others = _accept(place, self.size - 1) if self.rank == 0 else [_connect(place)]

    def sum(self, values):
        """The sum of the values of all tasks, the same for each of them."""
        mine = array.array("d", values)
        if self.rank:
            self._others[0].sendall(mine.tobytes())
            return _receive(self._others[0], len(mine)).tolist()
        every = [mine, *(_receive(other, len(mine)) for other in self._others)]
        total = array.array("d", map(sum, zip(*every, strict=True)))
        for other in self._others:
            other.sendall(total.tobytes())
        return total.tolist()

    def close(self):
        for other in self._others:
            other.close()


def _accept(place, count):
    """The other tasks, by their rank: sums of floats depend on the order."""
    found = {}
    with socket.create_server(("", place[1]), backlog=max(count, 1)) as server:
        server.settimeout(_PATIENCE)
        while len(found) < count:
            other, _ = server.accept()
            other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            (rank,) = struct.unpack("!I", other.recv(4, socket.MSG_WAITALL))
            found[rank] = other
    return [found[rank] for rank in sorted(found)]


def _connect(place):
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            found = socket.create_connection(place, timeout=_PATIENCE)
        except OSError:  # the first task is not there yet
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.sendall(struct.pack("!I", int(os.environ["RANK"])))
            return found


def _receive(other, count):
    data = bytearray()
    while len(data) < 8 * count:
        part = other.recv(8 * count - len(data))
        if not part:
            raise ConnectionError("a task has gone")
        data += part
    return array.array("d", bytes(data))
