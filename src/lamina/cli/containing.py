"""The options that put a program into a container, as Docker and podman call them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Package
    from lamina.node.contain import Keep
    from lamina.node.order import Order
    from lamina.node.remember import Seen
    from lamina.node.report import Report
    from lamina.node.walls import Walls
    from lamina.store.local import LocalStore

# Name of the argument -> (words, help text with its metavar before a colon, or none for a flag).
_VALUES = (
    ("memory", ("-m", "--memory"), "SIZE", "as much memory at most, as `512m`, `4g`"),
    ("cpus", ("--cpus",), "N", "as many processors' worth of time at most, as `1.5`"),
    ("pids", ("--pids", "--pids-limit"), "N", "as many processes and threads at most"),
    (
        "io_weight",
        ("--io-weight", "--blkio-weight"),
        "N",
        "share of disk, 1 to 10000 (others: 100)",
    ),
    ("network", ("--network", "--net"), "host|none|private", "which network (default: host)"),
    ("user", ("--user",), "UID[:GID]|NAME", "who the program is, for root"),
    ("workdir", ("--workdir",), "FOLDER", "where it starts"),
    ("hostname", ("--hostname",), "NAME", "what it takes for the machine's name"),
    ("shm_size", ("--shm-size",), "SIZE", "size of `/dev/shm`"),
    ("stop_timeout", ("--stop-timeout",), "SECONDS", "from SIGTERM to SIGKILL (default: 10)"),
    ("runtime", ("--runtime",), "crun|runc|bwrap", "what builds the walls (default: what works)"),
)
_LISTS = (
    ("mount", ("--mount",), "type=bind,src=A,dst=B", "show a file or folder of the machine"),
    ("volume", ("--volume",), "A:B[:ro]", "the same in fewer words"),
    ("tmpfs", ("--tmpfs",), "FOLDER[:size=1g]", "an empty folder in memory"),
    ("env", ("--env",), "NAME[=VALUE]", "a variable; without a value, or as `A*`, from outside"),
    ("ulimit", ("--ulimit",), "NAME=SOFT[:HARD]", "a limit of each process, as `nofile=4096`"),
    ("device", ("--device",), "/dev/X|vendor.com/class=name", "a device, by its node or by CDI"),
)
_FLAGS = (
    ("contain", ("--contain",), "run it in a container"),
    ("terminal", ("-t", "--tty"), "give it a terminal"),
    ("interactive", ("-i", "--interactive"), "accepted: standard input is always passed on"),
    ("read_only", ("--read-only",), "accepted: the root is read-only but for `--writable`"),
    ("require_limits", ("--require-limits",), "fail where a limit can not be had"),
    ("dry_run", ("--dry-run",), "print the `config.json` of the container, and run nothing"),
)
# Options that mean the same in each start, whatever is outside; all else is found out each time.
_STEADY_FLAGS = ("contain", "interactive", "read_only", "require_limits")
_STEADY_VALUES = (
    "memory", "cpus", "pids", "io_weight", "network", "workdir", "hostname", "shm_size",
    "stop_timeout", "runtime", "tmpfs", "env", "ulimit",
)  # fmt: skip
_ACCESS = (("--plain-http", False), ("--ca", True))  # to what is here already
# Options that `lamina run` has for the build: here only where they are not taken.
_NEED_NO_CONTAINER = ("contain", "interactive")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the options; any of them means a container."""
    group = parser.add_argument_group("container", "any of these puts the program into a container")
    taken = parser._option_string_actions
    for name, words, text in _FLAGS:
        free = [word for word in words if word not in taken]
        group.add_argument(*free, dest=name, action="store_true", help=text)
    for name, words, metavar, text in _VALUES:
        free = [word for word in words if word not in taken]
        group.add_argument(*free, dest=name, metavar=metavar, help=text)
    for name, words, metavar, text in _LISTS:
        group.add_argument(
            *words, dest=name, metavar=metavar, action="append", default=[], help=text
        )


def order(args: argparse.Namespace, usual: Mapping[str, Any] | None = None) -> Order | None:
    """What container is asked for; None where none is. `usual` is `[run]` of `lamina.toml`."""
    _take(args, usual or {})
    names = [name for name, *_ in (*_FLAGS, *_VALUES, *_LISTS) if name != "interactive"]
    if not any(getattr(args, name) for name in names):
        return None
    if args.read_only and args.writable is not None:
        raise UserError("`--read-only` and `--writable` contradict each other")
    return _order(args)


def is_steady(args: argparse.Namespace) -> bool:
    """Whether the words of a command say all of a container: then another is as this one is."""
    takes = dict(_ACCESS)
    for name, words, *_ in _FLAGS:
        takes |= dict.fromkeys(words, False) if name in _STEADY_FLAGS else {}
    for name, words, *_ in (*_VALUES, *_LISTS):
        takes |= dict.fromkeys(words, True) if name in _STEADY_VALUES else {}
    left = [word for word in reversed(args.words[1:]) if word != args.package]
    while left:
        word, equals, _ = left.pop().partition("=")
        if word not in takes or (equals and not takes[word]):
            return False
        if takes[word] and not equals:
            if not left:
                return False
            left.pop()
    return not args.driver and args.network != "private" and args.runtime != "bwrap"


def _take(args: argparse.Namespace, usual: Mapping[str, Any]) -> None:
    """Let what a workspace says hold where the command line says nothing."""
    for name, value in usual.items():
        if isinstance(value, list):
            setattr(args, name, [*value, *getattr(args, name)])
        elif not getattr(args, name):
            setattr(args, name, value)


def _order(args: argparse.Namespace) -> Order:
    from lamina.core import container as parse
    from lamina.node.order import Order

    devices, binds, extra = _devices(args.device)
    binds = [*binds, *map(parse.parse_volume, args.volume)]
    tmpfs = [parse.parse_tmpfs(text) for text in args.tmpfs]
    for text in args.mount:
        found = parse.parse_mount(text)
        if isinstance(found, parse.Bind):
            binds.append(found)
        else:
            tmpfs.append(found)
    timeout = parse.STOP_TIMEOUT
    if args.stop_timeout is not None:
        timeout = _seconds(args.stop_timeout)
    network = args.network or parse.HOST
    if network not in parse.NETWORKS:
        hint = f"one of: {', '.join(parse.NETWORKS)}"
        raise UserError(f"no network is called `{network}`", hint=hint)
    return Order(
        limits=_limits(args),
        binds=tuple(_absolute(binds)),
        tmpfs=tuple(tmpfs),
        devices=tuple(devices),
        rlimits=tuple(map(parse.parse_ulimit, args.ulimit)),
        environment=extra,
        words=tuple(args.env),
        network=network,
        hostname=parse.parse_hostname(args.hostname) if args.hostname else "",
        user=args.user or "",
        folder=_folder(args.workdir),
        terminal=args.terminal,
        shm_size=parse.parse_size(args.shm_size, "--shm-size") if args.shm_size else None,
        runtime=args.runtime,
        stop_timeout=timeout,
        require_limits=args.require_limits,
        writable=args.writable,
    )


def _limits(args: argparse.Namespace) -> Any:
    from lamina.core import container as parse

    return parse.Limits(
        memory=parse.parse_memory(args.memory) if args.memory else None,
        cpus=parse.parse_cpus(str(args.cpus)) if args.cpus else None,
        pids=parse.parse_number(str(args.pids), "--pids", 1, 1 << 22) if args.pids else None,
        io_weight=(
            parse.parse_number(str(args.io_weight), "--io-weight", 1, 10_000)
            if args.io_weight
            else None
        ),
    )


def _seconds(text: str | float) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1_000_000:
        raise UserError(f"`--stop-timeout` takes seconds, not `{text}`")
    return found


def _folder(text: str | None) -> str:
    if text and (not text.startswith("/") or ".." in text.split("/")):
        raise UserError(f"`--workdir {text}`: not an absolute path")
    return text or ""


def _absolute(binds: Sequence[Any]) -> list[Any]:
    """Sources with their links followed: what is shown is what they lead to now."""
    from lamina.core.classes import replace

    return [replace(each, source=str(Path(each.source).resolve())) for each in binds]


def _devices(words: Sequence[str]) -> tuple[list[Any], list[Any], dict[str, str]]:
    """Devices, and what CDI shows with them: binds and variables."""
    if not words:
        return [], [], {}
    from lamina.core import container as parse
    from lamina.formats import cdi

    named = [word for word in words if cdi.is_name(word)]
    devices = [parse.parse_device(word) for word in words if word not in named]
    if not named:
        return devices, [], {}
    edits = cdi.find(named, cdi.FOLDERS)
    return [*devices, *edits.devices], list(edits.binds), dict(edits.environment)


def run(
    wanted: Order,
    package: Package,
    digest: Digest,
    images: Sequence[Path],
    args: argparse.Namespace,
    ready: Callable[[], None] | None = None,
    *,
    report: Report | None = None,
    keep: Keep | None = None,
) -> int:
    """Run a package in a container, or print what that would be; the exit code."""
    from lamina.cli import output
    from lamina.core.classes import replace
    from lamina.node import contain

    words = args.program_arguments or ()
    if args.dry_run:
        output.document(contain.plan(package, words, wanted, driver=args.driver))
        return 0
    told = contain.Told(output.warning)
    if ready is not None:
        told = replace(told, ready=ready)
    if report is not None:
        told = replace(
            told, mounted=report.mounted, ready=report.ready, out_of_memory=report.out_of_memory
        )
    return contain.run(
        package, images, words, wanted, told, digest=str(digest), driver=args.driver, keep=keep
    )


def keeper(
    seen: Seen | None,
    package: Package,
    digest: Digest,
    images: Sequence[Path],
    store: LocalStore,
    driver: str | None,
    mounted: Sequence[Path] | None,
) -> Keep | None:
    """Keeps how the container runs for the next start by the same words; None without words.

    `mounted` is what is mounted of the images, where that is known.
    """
    if seen is None:
        return None

    def keep(walls: Walls, variables: dict[str, str]) -> None:
        from lamina.node import remember, steady

        contained = remember.Contained(walls, variables, tuple(steady.reasons(walls)))
        remember.remember(seen, package, digest, images, store, driver, contained, mounted)

    return keep
