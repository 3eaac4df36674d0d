"""Commands that are killed, at any instant: the next one gives what a clean build gives."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

COPY = "genrule(name = '{0}', srcs = {1}, outs = {2}, cmd = '{3}')\n"
FILES = {
    "p/BUILD": "".join(
        COPY.format(f"g{n}", "['s.txt']", f"['g{n}']", "cat $< > $@") for n in (1, 2)
    )
    + COPY.format("slow", "['s.txt']", "['slow']", "sleep 0.2; cat $< > $@")
    + COPY.format("folder", "['s.txt']", "['d']", "mkdir $@; touch $@/`head -c 3 $<`")
    + COPY.format("header", "[':slow']", "['h.h']", 'echo "#define H `head -c 1 $<`" > $@')
    + "python_library(name = 'l', srcs = ['l.py'], resources = [':g1', ':g2'])\n"
    "python_binary(name = 'program', main = 'main.py', deps = [':l'])\n"
    "cxx_binary(name = 'native', srcs = ['n.cc', 'o.cc'], deps = [':lib'])\n"
    "cxx_library(name = 'lib', hdrs = ['h.h'])\n",
    "p/s.txt": "100\n",
    "p/l.py": "L = 1\n",
    "p/main.py": "import p.l\nprint(p.l.L)\n",
    "p/n.cc": '#include "p/h.h"\nint main() { return H; }\n',
    "p/o.cc": "int o = 1;\n",
}
PATTERNS = ("//...", "//p:program", "//p:native")
COMMANDS = [("build", *PATTERNS), ("build", "-c", "opt", *PATTERNS), ("package", "//p:program")]


def edit(workspace: Workspace, chance: random.Random) -> None:
    number = chance.randrange(100, 110)
    build = FILES["p/BUILD"]
    edits: list[dict[str, str]] = [
        {"p/s.txt": f"{number}\n"},
        {"p/s.txt": f"{number}\n", "p/l.py": f"L = {number}\n"},
        {"p/l.py": f"L = {number}\n", "p/o.cc": f"int o = {number};\n"},
        {"p/main.py": f"print({number})\n"},
        {"p/BUILD": build.replace("'d'", "'d/e'").replace("mkdir", "mkdir -p")},
        {"p/BUILD": build.replace("['g1']", "['g1/x']")},
        {"p/BUILD": build.replace("cat $<", f"echo {number}; cat $<")},
        {"p/BUILD": build},
    ]
    workspace.write(chance.choice(edits))


def verify(workspace: Workspace) -> None:
    """What comes next gives what a clean build gives."""
    workspace.check(*PATTERNS)
    found = workspace.json("package", "//p:program")["digest"]
    assert not list(workspace.store.glob("tmp/*"))

    clean = workspace.store.parent / "clean.store"
    kept, workspace.store = workspace.store, clean
    shutil.rmtree(clean, ignore_errors=True)
    assert workspace.json("package", "//p:program")["digest"] == found
    workspace.store = kept


def strays(workspace: Workspace) -> list[str]:
    """The processes that see the store in their mounts or command line, but for this one."""
    place = "/".join(workspace.store.parts[-3:])
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text()
            mounts = (folder / "mountinfo").read_text()
        except OSError:
            continue
        if place in words + mounts and int(folder.name) != os.getpid():
            found.append(words.replace("\0", " "))
    return found


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def kill_at_random(workspace: Workspace, chance: random.Random) -> None:
    """Edit, build, kill; then the scratch of a process that could, and all of its own, is gone."""
    edit(workspace, chance)
    number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    process = workspace.start(*chance.choice(COMMANDS))
    if chance.random() < 0.8:  # while it works; else at any time, also while Python starts
        wait_for(lambda: process.poll() is not None or list(workspace.store.glob("tmp/*/*")))
    time.sleep(chance.uniform(0, 0.5))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode in (0, -number, 128 + number), err
    wait_for(lambda: not strays(workspace))
    if process.returncode == 128 + number:
        assert "Traceback" not in err
        assert not list(workspace.store.glob("tmp/*"))


@pytest.mark.parametrize("change", [{}, {"p/BUILD": f"{FILES['p/BUILD']}# more\n"}])
def test_what_a_killed_process_was_writing_goes(
    workspace: Workspace, change: dict[str, str]
) -> None:
    workspace.write(FILES)
    workspace.build(*PATTERNS)
    workspace.write({"lamina-out/.unfinished/output": "half", **change})

    workspace.check(*PATTERNS)


def test_what_a_killed_process_was_about_to_write_is_written(workspace: Workspace) -> None:
    workspace.write(FILES)
    workspace.build(*PATTERNS)
    (state,) = (workspace.store / "workspaces").iterdir()
    (state / "outputs.new").write_bytes(b"p/g1\0")
    (workspace.root / "lamina-out" / "p" / "g1").unlink()

    workspace.check(*PATTERNS)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_build_after_kills_is_as_a_clean_one(workspace: Workspace, seed: int) -> None:
    chance = random.Random(seed)
    workspace.write(FILES)
    for _ in range(2):
        for _ in range(chance.randint(1, 3)):
            kill_at_random(workspace, chance)
        verify(workspace)


# A process that ends at once when it is about to change the disk for the n-th time.
CRASHING = """
import os, sys
left, place = int(sys.argv[1]), sys.argv[2]
CHANGES = {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.chmod"}

def hook(event, words):
    global left
    if event == "open":
        path, _, flags = words
        changes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
    else:
        path, changes = words[0] if words else "", event in CHANGES
    if changes and isinstance(path, str | os.PathLike) and place in os.fspath(path):
        left -= 1
        if left == 0:
            os._exit(9)

from lamina.cli.main import main
sys.addaudithook(hook)
code = main(sys.argv[3:])
print("left", left)
sys.exit(code)
"""


def crash(workspace: Workspace, count: int, *words: str) -> int:
    """Let a command end at its n-th change of the disk; how many more it would have made."""
    done = subprocess.run(
        [sys.executable, "-c", CRASHING, str(count), str(workspace.store.parent), *words],
        cwd=workspace.root,
        env={
            **os.environ,
            "LAMINA_STORE": str(workspace.store),
            "PYTHONPATH": str(Path(__file__).parents[3] / "src"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 9:
        return 0
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_build_after_a_crash_at_any_change_of_the_disk_is_as_a_clean_one(
    workspace: Workspace, seed: int
) -> None:
    chance = random.Random(seed)
    workspace.write(FILES)
    most = 100_000
    changes = most - crash(workspace, most, *COMMANDS[0])
    assert changes > 100

    for _ in range(4):
        edit(workspace, chance)
        count = chance.randint(1, changes // 2)
        while not crash(workspace, count, *chance.choice(COMMANDS)) and chance.random() < 0.5:
            count = chance.randint(1, changes // 2)
        if chance.random() < 0.5:
            edit(workspace, chance)
        verify(workspace)
