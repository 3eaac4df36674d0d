"""bwrap as a runtime of containers: where neither crun nor runc works."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.core.container import Container
from lamina.core.errors import HostError, UserError
from lamina.formats import bubblewrap, runtimespec, seccomp
from lamina.formats.runtimespec import Surroundings
from lamina.linux import seccomp as compiler
from lamina.linux.group import Group
from lamina.node import supervise
from lamina.node.runtimes import Runtime

FILTER = "filter.bpf"  # in the bundle: the compiled filter, which `lamina enter` applies too


def start(
    runtime: Runtime,
    container: Container,
    around: Surroundings,
    bundle: Path,
    group: Group,
    network: int | None,
) -> int:
    """Start bwrap; its id outside."""
    _check(container, around)
    (bundle / FILTER).write_bytes(compiler.compiled(seccomp.profile(around.machine)))
    hidden = [path for path in runtimespec.MASKED if Path(path).exists()]
    options = bubblewrap.options(
        container,
        around,
        filter_=3,
        hidden_files=[path for path in hidden if not Path(path).is_dir()],
        hidden_folders=[path for path in hidden if Path(path).is_dir()],
        closed=[path for path in runtimespec.READ_ONLY if Path(path).exists()],
    )
    words = "".join(f"{word}\0" for word in options).encode(errors="surrogateescape")
    told = os.open(bundle / "log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    descriptors = [os.open(bundle / FILTER, os.O_RDONLY | os.O_CLOEXEC), _pipe_of(words), told]
    # The environment is among the options: on the command line all users could read it.
    command = [str(runtime.path), "--args", "4", "--json-status-fd", "5", "--"]
    command += bubblewrap.command(container, around)
    try:
        return supervise.start(supervise.Start(
            command, group, network=network, descriptors=descriptors,
            rlimits=[rlimit(each.name, each.soft, each.hard) for each in container.rlimits],
        ))  # fmt: skip
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _check(container: Container, around: Surroundings) -> None:
    if container.terminal:
        raise HostError("`-t` can not be had from `bwrap`", hint="install `crun`")
    identity = around.identity
    inside = identity.uid if identity.inside is None else identity.inside
    if container.user.uid != inside:
        raise UserError("`--user` can not be had from `bwrap`", hint="install `crun`")


def _pipe_of(data: bytes) -> int:
    """A file without a name that holds some bytes, to be read from its beginning."""
    descriptor = os.memfd_create("lamina-options", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def rlimit(name: str, soft: int, hard: int) -> tuple[int, tuple[int, int]]:
    """A limit as setrlimit(2) takes it."""
    import resource

    number: int = getattr(resource, f"RLIMIT_{name.upper()}")
    return number, (soft, hard)


def complaint(bundle: Path) -> str:
    """What to tell where bwrap has ended before there was a program, or nothing."""
    try:
        said = (bundle / "log").read_text(errors="replace")
    except OSError:
        return ""
    return "" if '"exit-code"' in said else "it has ended before the program began"
