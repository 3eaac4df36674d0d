"""Actions that run in a real farm and here: the first whole result counts, the other side ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests import farms
from tests.farm.conftest import Machine
from tests.farms import Casd, Failure, Proxy

Machines = Callable[[str], Machine]

HERE = '[ "$$(id -u)" = 1000 ]'  # actions of lamina have this user, those of the farm another


@pytest.fixture
def ada(machine: Machines) -> Machine:
    made = machine("ada")
    made.write({"lamina.toml": "[workspace]\n"})
    return made


def racing(farm: Casd | Proxy, *words: str, delay: int = 100) -> tuple[str, ...]:
    return (
        "build", "//...", "--console=none", f"--remote-executor={farm.url}", "--remote-timeout=5",
        "--remote-race", f"--remote-race-delay={delay}", *words,
    )  # fmt: skip


def rule(name: str, cmd: str, *srcs: str) -> str:
    return (
        f"genrule(name = '{name}', srcs = {list(srcs)}, outs = ['{name}.out'], cmd = '''{cmd}''')\n"
    )


def processes(mark: str) -> list[str]:
    """Commands that run on this machine, in the farm or here, and have a word in them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in words and int(folder.name) != os.getpid():
            found.append(words)
    return found


def is_gone(mark: str, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while processes(mark):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def scratch(machine: Machine) -> list[Path]:
    return list((machine.store / "tmp").glob("*"))


def test_this_machine_wins_and_the_farm_is_told(proxy: Proxy, ada: Machine) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} || sleep 97.25; id -u > $@")})

    said = ada.lamina(*racing(proxy))

    assert "1 action run, 0 cached; 1 raced, 0 remote and 1 local first" in said.err
    assert ada.outputs() == {"x.out": b"1000\n"}
    assert proxy.counts["CancelOperation"] >= 1
    assert is_gone("97.25")


def test_the_farm_wins_and_nothing_is_left_here(casd: Casd, ada: Machine) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} && sleep 98.25; sleep 1; id -u > $@")})

    said = ada.lamina(*racing(casd))

    assert "1 action run (1 remote), 0 cached; 1 raced, 1 remote and 0 local first" in said.err
    assert ada.outputs()["x.out"] != b"1000\n"
    assert not processes("98.25")
    assert scratch(ada) == []
