"""lamina inside containers of others that have no privileges: what can be had there is had, and
what can not is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import devices
from tests.engines import servers

from . import cages
from .cages import CAGES, Cage
from .conftest import NOBODY, PATH, new_area, wait_for_nothing

pytestmark = pytest.mark.root

BUILD = """\
python_library(name = 'low', srcs = ['low.py'], resources = ['grüße ☃.txt', 'tool.sh'])
python_binary(name = 'main', srcs = ['main.py'], deps = [':low'], env = {'MODE': 'own'})
"""
# Prints the tree of its package, or of the folder that it is told.
MAIN = """\
import hashlib, json, os, stat, sys
top = sys.argv[1] if len(sys.argv) > 1 else os.environ["LAMINA_PACKAGE"]
seen = {}
for folder, folders, files in os.walk(top):
    for name in folders + files:
        path = os.path.join(folder, name)
        status = os.lstat(path)
        data = open(path, "rb").read() if stat.S_ISREG(status.st_mode) else b""
        link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
        told = [oct(status.st_mode & ~0o222), hashlib.sha256(data).hexdigest(), link]
        seen[os.path.relpath(path, top)] = told
print(json.dumps(seen))
"""
# What is done in the container: all at once, as each takes a while to start.
INSIDE = """\
import json, os, subprocess, sys, time
from pathlib import Path
NAME, main = sys.argv[1:]
def lamina(*words):
    done = subprocess.run(
        [sys.executable, "-m", "lamina.cli", *words], capture_output=True, text=True, stdin=-3
    )
    return {"code": done.returncode, "out": done.stdout, "words": done.stderr}
def around():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:  # orphans come to process 1, which this may be
            pass
    except ChildProcessError:
        pass
    store = Path(os.environ["LAMINA_STORE"])
    places = (Path("/tmp"), store / "tmp", *Path("/run").glob("lamina/containers"))
    names = {str(each) for at in places if at.is_dir() for each in at.iterdir()}
    mounts = {line.split(" ", 2)[2] for line in open("/proc/self/mountinfo")}
    # Networks of tests beside this one come and go, and the machine passes them on to a cage.
    mounts = {line for line in mounts if " /run/netns/" not in line}
    commands = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.add(each.read_text())
        except OSError:
            pass
    return names | mounts | commands
lamina("doctor")  # makes the folder of its records
before = around()
told = {"doctor": lamina("doctor", "--json")}
told["exec"], told["again"] = lamina("exec", NAME), lamina("exec", NAME)
told["contained"] = lamina("exec", NAME, "--contain")
told["contained again"] = lamina("exec", NAME, "--contain")
told["written"] = lamina("exec", NAME, "--writable", "tmpfs")
told["mount"] = lamina("mount", NAME, "/tmp/at")
walked = subprocess.run([sys.executable, main, "/tmp/at"], capture_output=True, text=True)
told["mounted"] = walked.stdout
told["umount"] = lamina("umount", "/tmp/at")
deadline = time.monotonic() + 30
while (left := around() - before) and time.monotonic() < deadline:
    time.sleep(0.05)
told["left"] = sorted(left)
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Corpus:
    """A package in a store, and its tree as the kernel of this machine shows it."""

    name: str
    store: Path
    main: str
    tree: dict[str, list[str]]


@pytest.fixture(scope="module")
def corpus(area: Path) -> Corpus:
    root = area / "w"
    root.mkdir()
    for name, text in (
        ("lamina.toml", ""), ("BUILD", BUILD), ("main.py", MAIN), ("low.py", "LOW = 1\n"),
        ("grüße ☃.txt", "from below\n"), ("tool.sh", "#!/bin/sh\n"),
    ):  # fmt: skip
        (root / name).write_text(text)
    (root / "tool.sh").chmod(0o755)
    name, store = f"main:v{os.getpid()}", area / "corpus"
    environment = {**os.environ, "LAMINA_STORE": str(store), "PYTHONPATH": str(area / "src")}

    def lamina(*words: str) -> str:
        command = [sys.executable, "-m", "lamina.cli", *words]
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    lamina("package", "//:main", "--version", name.partition(":")[2])
    tree = json.loads(lamina("exec", name, "--driver", "kernel"))
    shutil.rmtree(store / "starts")  # those are of this machine's root
    return Corpus(name, store, str(root / "main.py"), tree)


@pytest.fixture(scope="module")
def area(libraries: Path) -> Iterator[Path]:
    if os.geteuid():
        pytest.skip("needs the rights of root, to start Docker and to be somebody else")
    with new_area(libraries) as made:
        shutil.copytree(libraries, made / "libraries")  # nothing else of `/tmp` is shown there
        yield made


@pytest.fixture(scope="module")
def enter(area: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """`enter(cage, area, words…)` runs words in a cage; what all of a kind share is made once."""
    made: dict[str, cages.Enter] = {}
    with contextlib.ExitStack() as held:
        held.enter_context(devices.open_to_all(devices.FUSE))

        def run(cage: Cage, at: Path, *words: str) -> subprocess.CompletedProcess[str]:
            if cage.kind not in made:
                place = held.enter_context(cages.folder())
                made[cage.kind] = held.enter_context(cages.KINDS[cage.kind](place))
            return made[cage.kind](at, cage.options, *words)

        yield run


@pytest.fixture(scope="module", params=CAGES, ids=str)
def cage(request: pytest.FixtureRequest) -> Cage:
    found: Cage = request.param
    return found


@pytest.fixture(scope="module")
def told(
    cage: Cage, corpus: Corpus, area: Path, enter: Callable[..., subprocess.CompletedProcess[str]]
) -> dict[str, Any]:
    """What came of all that is done in a cage."""
    place = area / str(cage)
    place.mkdir()
    shutil.copytree(corpus.store, place / "store")
    if cage.is_user:
        for folder, _, files in os.walk(place):
            for path in (folder, *(f"{folder}/{file}" for file in files)):
                os.chown(path, NOBODY, NOBODY)
    words = [
        "env", f"HOME={place}", f"LAMINA_STORE={place}/store", f"PATH={PATH}",
        f"PYTHONPATH={area}/libraries:{area}/src", str(servers.PYTHON), "-B", "-c", INSIDE,
        corpus.name, corpus.main,
    ]  # fmt: skip
    try:
        done = enter(cage, area, *words)
    except servers.Absent as absent:
        pytest.skip(str(absent))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_doctor_tells_what_is_used(cage: Cage, told: dict[str, Any]) -> None:
    found = json.loads(told["doctor"]["out"])

    works = {each["name"] for each in found["features"] if each["found"]}
    assert found["mount_driver"]["name"] == cage.driver
    assert f"driver `{cage.driver}`" in works
    assert (found["runtime"] != "none") == cage.contains
    assert "Traceback" not in told["doctor"]["words"]


@pytest.mark.parametrize("name", ["exec", "again", "written"])
def test_a_program_starts_and_finds_the_same_tree(
    cage: Cage, told: dict[str, Any], corpus: Corpus, name: str
) -> None:
    ran = told[name]

    assert ran["code"] == 0, ran["words"]
    assert json.loads(ran["out"]) == corpus.tree
    assert {"main.py", "low.py", "grüße ☃.txt", "tool.sh"} <= set(corpus.tree)
    assert ("files are unpacked" in ran["words"]) == (cage.driver == "copy")


def test_a_package_can_be_looked_at(cage: Cage, told: dict[str, Any], corpus: Corpus) -> None:
    assert told["mount"]["code"] == 0, told["mount"]["words"]
    assert told["mount"]["out"] == "/tmp/at\n"
    assert ("files are unpacked" in told["mount"]["words"]) == (cage.stays == "copy")
    assert json.loads(told["mounted"]) == corpus.tree
    assert (told["umount"]["code"], told["umount"]["words"]) == (0, "")


@pytest.mark.parametrize("name", ["contained", "contained again"])
def test_a_container_inside_is_had_or_one_error_tells_what_to_do(
    cage: Cage, told: dict[str, Any], corpus: Corpus, name: str
) -> None:
    ran = told[name]

    if cage.contains:
        assert ran["code"] == 0, ran["words"]
        assert json.loads(ran["out"]) == corpus.tree
        return
    assert (ran["code"], ran["out"]) == (125, "")
    lines = [line for line in ran["words"].splitlines() if "files are unpacked" not in line]
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"], ran["words"]
    assert "no runtime of containers works here: " in lines[0]
    assert "the container around lamina does not allow it" in lines[1]


def test_nothing_is_left(told: dict[str, Any], area: Path) -> None:
    assert told["left"] == [], told["left"]
    wait_for_nothing(area)
