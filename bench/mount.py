"""Mounting and stacking layers: by the drivers in this process, by programs, by `lamina exec`."""

from __future__ import annotations

import json
import os
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench import start, workspaces
from bench.lamina import Lamina
from bench.measure import Case, Figures, Table, measure
from bench.scale import Scale
from lamina.linux import namespaces
from lamina.node import mounts

_STACKED = "mounted and stacked"
_SHOWN = "and shown at /packages"
_PROGRAMS = "mount -o loop, mount -t overlay"
_SECONDS_TO_VANISH = 30.0


def suite(lamina: Lamina, folder: Path, scale: Scale) -> list[Table]:
    """Each number of layers in tables of its own."""
    for name in lamina.drivers:
        mounts.driver(name)  # imports what it needs, which is not to be measured here
    tables: list[Table] = []
    for layers in scale.stacks:
        root = workspaces.stack(folder / f"stack{layers}", layers)
        lamina.package("//:main", root)
        tables += _mounts(lamina, root, lamina.images("main"), scale)
        tables += _execs(lamina, root, layers, scale)
    return tables


def _mounts(lamina: Lamina, folder: Path, images: list[Path], scale: Scale) -> list[Table]:
    cases = [
        Case(
            f"driver {name}",
            partial(_apart, partial(_by_driver, name, images, lamina.store), lamina.store),
        )
        for name in lamina.drivers
    ]
    notes: list[str] = []
    if os.geteuid() == 0:
        cases.insert(0, _by_programs(lamina, folder, images))
    else:
        notes.append("the driver kernel and the program mount are for root")
    title = f"mount, layers: {len(images)}"
    return measure(title, cases, scale.mount_rounds, peers=(_PROGRAMS,), notes=notes)


def _by_driver(name: str, images: Sequence[Path], store: Path) -> Figures:
    os.environ["LAMINA_STORE"] = str(store)  # in a child: where it merges
    begun = time.perf_counter()
    driver = mounts.driver(name)
    driver.enter()
    stack = driver.stack(images)
    os.fstatvfs(stack)
    stacked = time.perf_counter()
    namespaces.enter_root({"bench": stack})
    os.statvfs("/packages/bench")
    return {_STACKED: stacked - begun, _SHOWN: time.perf_counter() - begun}


def _by_programs(lamina: Lamina, folder: Path, images: Sequence[Path]) -> Case:
    places = folder / "places"
    names = [f"{number:x}" for number in range(len(images))]
    for name in (*names, "stack"):
        (places / name).mkdir(parents=True)
    offsets = [mounts.offset(image) for image in images]
    commands = [
        ["mount", "-t", "squashfs", "-o", f"loop,ro,offset={offset}", str(image), name]
        for image, offset, name in zip(images, offsets, names, strict=True)
    ]
    # One lower folder alone is refused.
    lowers = ":".join(reversed(names)) if len(names) > 1 else f"{names[0]}:stack"
    commands.append(["mount", "-t", "overlay", "-o", f"ro,lowerdir={lowers}", "overlay", "stack"])
    # The option string is longer than what newer programs can give to the new mount calls.
    env = {**os.environ, "LIBMOUNT_FORCE_MOUNT2": "always"}

    def mounted() -> Figures:
        begun = time.perf_counter()
        namespaces.own_mounts()
        for command in commands:
            subprocess.run(command, cwd=places, env=env, check=True)
        os.statvfs(places / "stack")
        return {_STACKED: time.perf_counter() - begun}

    return Case(_PROGRAMS, partial(_apart, mounted, lamina.store))


def _execs(lamina: Lamina, folder: Path, layers: int, scale: Scale) -> list[Table]:
    floor, _, launcher = start.peers(lamina, folder, "main")
    execs = [
        Case(
            f"lamina exec --driver {name}",
            partial(lamina.first_line, "exec", "--driver", name, "main", cwd=folder),
        )
        for name in lamina.drivers
    ]
    title = f"lamina exec, layers: {layers}"
    peers = (launcher.name, floor.name)
    return measure(title, [floor, launcher, *execs], scale.mount_rounds, peers=peers)


def _apart(work: Callable[[], Figures], store: Path) -> Figures:
    """Do it in a child, whose mounts end with it, and wait until they have."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    _await_the_end_of_mounts(store)
    found = json.loads(answer)
    if "error" in found:
        raise RuntimeError(found["error"])
    return dict(found)


def _answer(work: Callable[[], Figures], writer: int) -> None:
    try:
        try:
            found: object = work()
        except BaseException:
            found = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(found).encode())
    finally:
        os._exit(0)


def _await_the_end_of_mounts(store: Path) -> None:
    """The kernel takes mounts down after their process has ended; that is not to disturb others."""
    until = time.monotonic() + _SECONDS_TO_VANISH
    while users := [*_loop_devices(store), *_servers(store)]:
        if time.monotonic() > until:
            raise RuntimeError(f"still there: {' '.join(users)}")
        time.sleep(0.005)


def _loop_devices(store: Path) -> list[str]:
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if file.read_text().startswith(str(store)):
                found.append(file.parts[3])
    return found


def _servers(store: Path) -> list[str]:
    needle = os.fsencode(store)
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = file.read_bytes()
            if words.startswith(b"/usr/bin/squashfuse") and needle in words:
                found.append(file.parts[2])
    return found
