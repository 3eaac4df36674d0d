"""Limits where control groups are version 2, for each kind of group that lamina may be started in.

Few machines that run tests have them: `tests/machines/limits.sh` makes one.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lamina.linux import cgroups
from lamina.linux.group import Group
from lamina.node.runtimes import NAMES

from .conftest import PATH, Person, new_area
from .contained import Containers, need, somebody, wait_for_no_container

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or cgroups.layout().name != "v2",
        reason="needs root, and all controllers in control groups of version 2",
    ),
]

Image = Callable[..., Path]
SHELL = ('#!/bin/sh\neval "$1"\n', 0o755)
TOP = Path("/sys/fs/cgroup")
ALL = "'limits': Limits(memory=64 << 20, cpus=0.5, pids=20, io_weight=300)"


@dataclass(frozen=True)
class Placed(Person):
    """Somebody whose processes start in a control group."""

    group: Path = field(default=TOP)

    def start(self, code: str, *args: str, **options: object) -> subprocess.Popen[bytes]:
        """Only root may bring somebody else's process into another's group, so a shell does."""
        who = str(self.uid)
        become = ["setpriv", "--reuid", who, "--regid", who, "--clear-groups"] if self.uid else []
        words = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.group), *become]
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            [*words, self.python, "-c", code, *args],
            **{"stdin": -3, "stdout": -1, "stderr": -1, **options},
            cwd=self.area,
            env={"PATH": PATH, "PYTHONPATH": str(self.area / "src"), **self.environment},
        )


@pytest.fixture(scope="module")
def area(libraries: Path) -> Iterator[Path]:
    with new_area(libraries) as made:
        yield made


@pytest.fixture
def groups() -> Iterator[Path]:
    """A group below which groups have all controllers; gone in the end with all in it."""
    top = Path(tempfile.mkdtemp(prefix="lamina-test-", dir=TOP))
    top.chmod(0o755)
    for folder in (TOP, top):
        for each in cgroups.CONTROLLERS:
            (folder / "cgroup.subtree_control").write_text(f"+{each}")
    yield top
    assert Group([("memory", str(top))]).remove()


# Where lamina is started: who may do what there differs.
WITH_LIMITS = ("topmost", "alone", "crowded", "delegated")
HOLDING = pytest.mark.parametrize("group", WITH_LIMITS, indirect=True)
FOREIGN = pytest.mark.parametrize("group", ["foreign"], indirect=True)
ANYWHERE = pytest.mark.parametrize("group", [*WITH_LIMITS, "foreign"], indirect=True)


@pytest.fixture
def group(request: pytest.FixtureRequest, groups: Path) -> Iterator[Path]:
    """One of these groups."""
    if request.param == "topmost":
        yield TOP
        return
    made = groups / request.param
    made.mkdir()
    if request.param == "delegated":
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(made / name, 65534, 65534)
    if request.param != "crowded":
        yield made
        return
    other = subprocess.Popen(["sleep", "1000"])
    (made / "cgroup.procs").write_text(str(other.pid))
    yield made
    other.kill()
    other.wait()


@pytest.fixture(params=NAMES)
def containers(
    request: pytest.FixtureRequest, area: Path, group: Path, root: Person, user: Person
) -> Iterator[Containers]:
    need(request.param)
    is_user = group.name in ("delegated", "foreign")
    person = somebody("user", user, None) if is_user else root
    fields = {name: getattr(person, name) for name in ("uid", "python", "area", "environment")}
    yield Containers(request.param, Placed(**fields, group=group))
    wait_for_no_container(area)
    left = [path for at in (group, TOP / "lamina") for path in at.glob("lamina-????????????")]
    assert left == []


@pytest.fixture
def shell(image: Image, area: Path) -> Path:
    return image({"run": SHELL})


USAGE = """
import sys
from lamina.node import running
(record,) = [each for each in running.every() if each.title == sys.argv[1]]
print(running.usage(record))
print(*dict(record.group).values(), sep=":")
"""


@HOLDING
def test_a_program_that_wants_more_memory_is_killed_and_told_of(
    containers: Containers, shell: Path
) -> None:
    hog = "/usr/bin/python3 -c 'x = bytearray(300 << 20)'; exit $?"

    ended = containers.run([shell], hog, order=f"{{{ALL}}}")

    assert ended.code == 137, ended.words
    assert "out of memory" in ended.words
    assert "64 MiB" in ended.words
    assert "no effect" not in ended.words


@HOLDING
def test_processes_are_bounded(containers: Containers, shell: Path) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 1; echo survived"

    ended = containers.run([shell], bomb, order=f"{{{ALL}}}")

    assert ended.code in (0, 2)  # of the shell, where it could not fork itself
    assert "fork" in ended.words.lower()


@HOLDING
def test_the_processor_is_bounded_and_what_is_used_is_told(
    containers: Containers, shell: Path
) -> None:
    busy = "echo ready; while :; do :; done"
    started = containers.start([shell], busy, order=f"{{{ALL}, 'stop_timeout': 1}}")
    assert started.stdout is not None
    assert started.stderr is not None
    assert started.stdout.readline() == b"ready\n", started.stderr.read()

    title = f"any-{containers.person.area.name}"
    told, folders = outside(containers).run(USAGE, title).splitlines()
    own = Path(folders.split(":")[0])
    wait_for(lambda: "nr_throttled 0\n" not in (own / "cpu.stat").read_text())
    values = {file: (own / file).read_text().strip() for file in ("cpu.max", "pids.max")}
    weights = [file.read_text() for file in own.glob("io.*weight")]
    started.terminate()
    started.communicate(timeout=60)

    found = dict(re.findall(r"(\w+)=([\d.]+)", told))
    assert values["cpu.max"] == "50000 100000"
    assert int(values["pids.max"]) == 20 + {"runc": 25}.get(containers.runtime, 2)
    assert any("300" in text for text in weights)
    assert (found["memory_limit"], found["pids_limit"]) == (str(64 << 20), "20")
    assert 100_000 < int(found["memory"]) < 64 << 20
    assert float(found["cpu"]) > 0
    assert int(found["pids"]) >= 1


def outside(containers: Containers) -> Person:
    """The same person, in no group of the test's."""
    found = containers.person
    return Person(found.uid, found.python, found.area, found.environment)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@FOREIGN
def test_where_nothing_is_delegated_that_is_told(containers: Containers, shell: Path) -> None:
    warned = containers.run([shell], "echo ran", order=f"{{{ALL}}}")
    refused = containers.run([shell], "echo ran", order=f"{{{ALL}, 'require_limits': True}}")

    assert (warned.code, warned.out) == (0, "ran\n"), warned.words
    for option in ("memory", "cpus", "pids", "io-weight"):
        sentence = f"`--{option}` has no effect: no control group is delegated to this user"
        assert f"warning: {sentence}" in warned.words
        assert sentence in refused.words
    assert (refused.code, refused.out) == (125, "")
    assert "systemd-run --user --scope -p Delegate=yes" in refused.words


@ANYWHERE
def test_without_limits_nothing_is_said_and_what_is_used_is_known(
    containers: Containers, shell: Path
) -> None:
    started = containers.start([shell], "echo ready; read line", stdin=-1)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    told = outside(containers).run(USAGE, f"any-{containers.person.area.name}")
    _, words = started.communicate(b"\n", timeout=60)

    assert (started.returncode, words) == (0, b"")
    found = dict(re.findall(r"(\w+)=([\d.]+)", told))
    assert int(found["memory"]) > 100_000
    assert int(found["pids"]) >= 1


@ANYWHERE
def test_all_of_a_killed_start_goes(containers: Containers, shell: Path) -> None:
    code = "setsid sleep 1000 & echo ready; sleep 1000"
    started = containers.start([shell], code, order=f"{{{ALL}}}")
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    started.kill()

    started.wait(30)


@HOLDING
def test_two_at_once_from_one_group_each_have_their_limits(
    containers: Containers, group: Path, shell: Path
) -> None:
    first = containers.start([shell], "echo ready; read line", stdin=-1, order=f"{{{ALL}}}")
    assert first.stdout is not None
    assert first.stdout.readline() == b"ready\n"

    # Where the first has moved to a leaf, that is where all are that it is started by or starts.
    leaf = group / "lamina"
    place = leaf if leaf.is_dir() and group != TOP else group
    assert isinstance(containers.person, Placed)
    other = Containers(containers.runtime, replace(containers.person, group=place))
    second = other.run([shell], "echo ran", order=f"{{{ALL}}}")
    _, words = first.communicate(b"\n", timeout=60)

    assert (second.code, second.out, second.words) == (0, "ran\n", "")
    assert (first.returncode, words) == (0, b"")
