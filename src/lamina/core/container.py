"""A container as it is asked for: what its program sees, how much of the machine it may have.

Words and forms are those of `docker run`: `--memory 1g`, `--mount type=bind,src=/a,dst=/b`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from lamina.core.classes import dataclass
from lamina.core.errors import UserError

HOST, NONE, PRIVATE = "host", "none", "private"
NETWORKS = (HOST, NONE, PRIVATE)
STOP_TIMEOUT = 10.0  # seconds

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
_LEAST_MEMORY = 16 << 20  # bytes: a container runtime needs some of it itself
_RLIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a container may use; None: as much as there is."""

    memory: int | None = None  # bytes, swap included
    cpus: float | None = None  # processors' worth of time
    pids: int | None = None  # processes and threads
    io_weight: int | None = None  # 1 to 10,000; others have 100

    def __bool__(self) -> bool:
        return any(each is not None for each in self.named().values())

    def named(self) -> dict[str, float | None]:
        """The limits by the names of their options."""
        return {
            "memory": self.memory, "cpus": self.cpus, "pids": self.pids,
            "io-weight": self.io_weight,
        }  # fmt: skip


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of this machine, shown in the container."""

    source: str  # absolute
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """An empty folder in memory, for the container alone."""

    target: str
    size: int | None = None  # bytes; None: half of the machine's memory
    mode: int = 0o1777


@dataclass(frozen=True, slots=True)
class Device:
    """A device node of this machine, shown in the container."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A limit of each process, as setrlimit(2) knows it; -1: no limit."""

    name: str  # `nofile`
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class User:
    """Who the program is, by numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """A program, and the walls around it.

    `arguments` is the whole argv; `environment` all of it, in order.
    """

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    folder: str = "/"
    user: User = User(0, 0)
    hostname: str = ""
    network: str = HOST
    limits: Limits = NO_LIMITS
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    devices: tuple[Device, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    terminal: bool = False
    shm_size: int | None = None  # bytes of /dev/shm; None: half of the machine's memory


def parse_size(text: str, option: str) -> int:
    """Bytes of `512m`, `1.5g`, `100MiB`; units are powers of 1,024. Raises UserError."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if size < 1:
        raise UserError(f"`{option}` takes a size such as `512m` or `2g`, not `{text}`")
    return size


def parse_memory(text: str) -> int:
    """A limit of memory in bytes; raises UserError, also for one in which nothing can start."""
    size = parse_size(text, "--memory")
    if size < _LEAST_MEMORY:
        raise UserError(f"`--memory {text}` is too little to start anything", hint="16m at least")
    return size


def parse_cpus(text: str) -> float:
    """Processors' worth of time: `2`, `0.5`."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.01 <= found <= 1_000_000:
        raise UserError(f"`--cpus` takes a number from 0.01 upwards, not `{text}`")
    return found


def parse_number(text: str, option: str, least: int, most: int) -> int:
    """A whole number within bounds; raises UserError."""
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UserError(f"`{option}` takes a number from {least} to {most}, not `{text}`")
    return int(text)


def parse_mount(text: str) -> Bind | Tmpfs:
    """`type=bind,src=/a,dst=/b,readonly` or `type=tmpfs,dst=/c,tmpfs-size=1g`."""
    fields = {}
    for word in text.split(","):
        key, _, value = word.partition("=")
        fields[_KEYS.get(key, key)] = value
    kind = fields.pop("type", "bind")
    target = fields.pop("target", "")
    read_only = fields.pop("readonly", "false") in ("", "true", "1")
    if kind == "bind":
        source = fields.pop("source", "")
        _no_more(fields, text)
        return bind(source, target, text, read_only=read_only)
    if kind == "tmpfs":
        size = fields.pop("tmpfs-size", "")
        mode = fields.pop("tmpfs-mode", "1777")
        _no_more(fields, text)
        return tmpfs(target, size, mode)
    raise UserError(f"`--mount` knows no type `{kind}`", hint="`bind` or `tmpfs`")


_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def _no_more(fields: Iterable[str], text: str) -> None:
    for key in fields:
        raise UserError(
            f"`--mount {text}`: no key is called `{key}`",
            hint="`type=bind,src=/a,dst=/b,readonly`, `type=tmpfs,dst=/c,tmpfs-size=1g`",
        )


def parse_volume(text: str) -> Bind:
    """`/a:/b` or `/a:/b:ro`."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if mode not in ("", "ro", "rw"):
        raise UserError(f"`--volume {text}`: `{mode}` is neither `ro` nor `rw`")
    return bind(source, target or source, text, read_only=mode == "ro")


def parse_tmpfs(text: str) -> Tmpfs:
    """`/c` or `/c:size=1g,mode=700`."""
    target, _, rest = text.partition(":")
    fields = dict(word.partition("=")[::2] for word in rest.split(",") if word)
    size, mode = fields.pop("size", ""), fields.pop("mode", "1777")
    # Words of mount(8) that all folders in memory have anyhow here.
    for word in ("rw", "nosuid", "nodev"):
        fields.pop(word, None)
    if fields:
        raise UserError(f"`--tmpfs {text}`: only `size=` and `mode=` may follow the folder")
    return tmpfs(target, size, mode)


def bind(source: str, target: str, text: str, *, read_only: bool) -> Bind:
    """A checked bind; whether its source is there is found out when it is mounted."""
    if not source.startswith("/"):
        raise UserError(f"`{text}` needs an absolute path as its source", hint="`src=/a,dst=/b`")
    return Bind(source, place(target or source), read_only)


def tmpfs(target: str, size: str, mode: str) -> Tmpfs:
    """A checked tmpfs."""
    if not re.fullmatch(r"[0-7]{3,4}", mode):
        raise UserError(f"not a mode: `{mode}`", hint="in octal, as `1777`")
    bytes_ = parse_size(size, "--tmpfs") if size else None
    return Tmpfs(place(target), bytes_, int(mode, 8))


_TAKEN = ("/", "/proc", "/sys", "/dev", "/packages")


def place(target: str) -> str:
    """A place in the container as it is written, checked to be one that may be covered."""
    path = PurePosixPath(target)
    if not path.is_absolute() or ".." in path.parts or "\0" in target:
        raise UserError(f"not an absolute path in the container: `{target}`")
    found = "/" + str(path).strip("/")
    if found in _TAKEN or found.startswith(("/proc/", "/sys/", "/packages/")):
        raise UserError(f"`{found}` of a container can not be covered")
    return found


def parse_device(text: str) -> Device:
    """`/dev/fuse` or `/dev/fuse:/dev/other`; access is what the node's mode gives."""
    source, _, rest = text.partition(":")
    target, _, access = rest.partition(":")
    if not target.startswith("/") and not access:
        target, access = "", target
    if not source.startswith("/dev/") or ".." in source.split("/") or set(access) - set("rwm"):
        raise UserError(
            f"not a device: `{text}`", hint="`/dev/fuse`, or `vendor.com/class=name` of CDI"
        )
    if target and (not target.startswith("/dev/") or ".." in target.split("/")):
        raise UserError(f"`--device {text}`: devices are shown below `/dev/`")
    return Device(source, target or source)


def parse_ulimit(text: str) -> Rlimit:
    """`nofile=1024` or `nofile=1024:4096`; `-1` and `unlimited` are no limit."""
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    if name not in _RLIMITS:
        raise UserError(f"no limit is called `{name}`", hint=f"one of: {', '.join(_RLIMITS)}")
    try:
        numbers = [-1 if each == "unlimited" else int(each) for each in (soft, hard or soft)]
    except ValueError:
        numbers = [-2]
    if (
        min(numbers) < -1
        or (-1 != numbers[-1] < numbers[0])
        or numbers == [-1, numbers[-1]] != [-1, -1]
    ):
        raise UserError(f"`--ulimit {text}`: a number, or two, the first not above the second")
    return Rlimit(name, numbers[0], numbers[1])


def parse_hostname(text: str) -> str:
    """A name as gethostname(2) may tell it."""
    if not _HOSTNAME.fullmatch(text):
        raise UserError(f"not a host name: `{text}`", hint="letters, digits, `-` and `.`")
    return text
