"""What a process has that a fork of a server has from the server, as one digest.

A command is run by the server whose key is its own. The launcher finds the same
(`launcher/server.c`): a change of one is a change of both.
"""

from __future__ import annotations

import hashlib
import os

from lamina.linux import signals

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_FILES = (
    "cgroup",
    "limits",
    "oom_score_adj",
    "attr/current",
    "personality",
    "loginuid",
    "sessionid",
)
_STATUS = (
    b"Uid:",
    b"Gid:",
    b"Groups:",
    b"Cap",
    b"NoNewPrivs:",
    b"Seccomp",
    b"Speculation",
    b"Cpus_allowed:",
    b"Mems_allowed:",
    b"SigBlk:",
    b"SigIgn:",
)
_SCHEDULING = (
    19,
    40,
    41,
)  # nice value, priority and policy of the scheduler in `stat`, see proc(5)
# What the interpreter, or a library that it loads, reads but once.
_VARIABLES = (
    b"PYTHON",
    b"LANG",
    b"LC_",
    b"LD_",
    b"MALLOC_",
    b"GLIBC_TUNABLES=",
    b"TZ",
    b"HOME=",
    b"LOCPATH=",
    b"GCONV_PATH=",
    b"OPENSSL_",
    b"SSL_",
    b"PROTOCOL_BUFFERS_",
    b"CRYPTOGRAPHY_",
)
# Python's program changes how it meets these before anything else.
_CHANGED = (signals.SIGPIPE, signals.SIGXFSZ, signals.SIGCHLD)


def key(pid: int, launcher: str, usual: str) -> str:
    """The key of a process; OSError where not all of it can be read.

    `launcher` and `usual` are the two programs that lamina is.
    """
    return hashlib.blake2s(text(pid, launcher, usual)).hexdigest()


def text(pid: int, launcher: str, usual: str) -> bytes:
    """What the key is the digest of."""
    top = f"/proc/{pid}"
    parts = [*_namespaces(top), *_status(top)]
    for name in _FILES:
        parts += [f"{name}\n".encode(), _read_if_may(f"{top}/{name}")]
    fields = _read(f"{top}/stat").rpartition(b")")[2].split()
    parts += [fields[number - 3] + b"\n" for number in _SCHEDULING]
    root = os.stat(f"{top}/root")
    parts.append(f"{root.st_dev} {root.st_ino}\n".encode())
    parts += [_file(path) for path in (launcher, usual)]
    variables = _read(f"{top}/environ").split(b"\0")
    parts += [each + b"\0" for each in variables if each.startswith(_VARIABLES)]
    return b"".join(parts)


def _namespaces(top: str) -> list[bytes]:
    found = []
    for name in _NAMESPACES:
        try:
            found.append(os.readlink(f"{top}/ns/{name}".encode()) + b"\n")  # noqa: PTH115
        except FileNotFoundError:
            os.stat(f"{top}/ns")  # this kernel has none of those, or the process is gone
    return found


def _status(top: str) -> list[bytes]:
    found = []
    for line in _read(f"{top}/status").splitlines(keepends=True):
        if line.startswith(b"SigIgn:"):
            ignored = int(line.split()[1], 16)
            for number in _CHANGED:
                ignored &= ~(1 << (number - 1))
            found.append(b"SigIgn:\t%016x\n" % ignored)
        elif line.startswith(_STATUS):
            found.append(line)
    return found


def _file(path: str) -> bytes:
    found = os.stat(path)
    seconds, rest = divmod(found.st_mtime_ns, 1_000_000_000)
    told = f"{found.st_dev} {found.st_ino} {seconds}.{rest:09} {found.st_size} {path}\n"
    return os.fsencode(told)


def _read_if_may(path: str) -> bytes:
    try:
        return _read(path)
    except OSError:
        return b""


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(file, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)
