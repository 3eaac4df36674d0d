"""What is asked of the server of commands itself: what it is like, and that it ends.

`forkserver` is the other side.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass

REQUEST = struct.Struct("=8sIII")  # magic, number of words, bytes of all texts, umask
ASK = b"laminaQ\0"  # in place of the magic of a command: tell of the server
END = b"laminaE\0"  # end the server
FACTS = struct.Struct("=iidq")  # pid, commands served, seconds since the epoch, bytes of memory
_PATIENCE = 10.0  # seconds: who asks for the server itself has no other way
_PEER = struct.Struct("=iII")  # pid, uid, gid


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server tells of itself."""

    pid: int
    served: int
    since: float
    memory: int


def address(key: str) -> str:
    """The abstract name of the server of processes with a key."""
    return f"\0lamina-{os.getuid()}-{key}"


def facts(key: str) -> Facts | None:
    """What the server with a key tells; None where there is none."""
    answer = _conversation(key, ASK, FACTS.size)
    return Facts(*FACTS.unpack(answer)) if len(answer) == FACTS.size else None


def end(key: str) -> bool:
    """End the server with a key; whether there was one."""
    if _conversation(key, END, 1) != b"E":
        return False
    limit = time.monotonic() + _PATIENCE
    while _is_there(key) and time.monotonic() < limit:
        time.sleep(0.005)
    return True


def _connected(key: str) -> socket.socket | None:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(_PATIENCE)
    try:
        made.connect(address(key))
        if peer(made)[1] == os.getuid():  # anybody may take such a name
            return made
    except OSError:
        pass
    made.close()
    return None


def _is_there(key: str) -> bool:
    made = _connected(key)
    if made is not None:
        made.close()
    return made is not None


def _conversation(key: str, magic: bytes, size: int) -> bytes:
    """The answer, which has so many bytes: how the fork that gave it has ended may come too."""
    made = _connected(key)
    if made is None:
        return b""
    with made:
        try:
            made.sendall(REQUEST.pack(magic, 0, 0, 0))
            return made.recv(size, socket.MSG_WAITALL)
        except OSError:
            return b""


def peer(connection: socket.socket) -> tuple[int, int]:
    """The process that made the other end of a connection, and its user."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(found)
    return pid, uid
