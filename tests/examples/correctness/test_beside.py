"""Several commands at once, and edits while one runs: nobody breaks, and nothing is overlooked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

Process = subprocess.Popen[str]
COPY = "genrule(name = '{0}', srcs = {1}, outs = ['{0}.out'], cmd = '{2}cat $(SRCS) > $@')\n"
FILES = {
    "p/BUILD": "".join(COPY.format(f"g{n}", "['s.txt']", f"sleep 0.0{n}; ") for n in range(6))
    + COPY.format("all", "[':g%d' % n for n in range(6)]", "")
    + "python_binary(name = 'program', main = 'main.py', resources = [':all'])\n"
    "cxx_library(name = 'native', srcs = ['n.cc'])\n",
    "p/s.txt": "s\n",
    "p/main.py": "import sys, time\nprint('ready', flush=True)\nsys.stdin.read()\n",
    "p/n.cc": "int n;\n",
    "q/BUILD": COPY.format("above", "['//p:all', 't.txt']", ""),
    "q/t.txt": "t\n",
}
PATTERNS = ("//...", "//p:program")


def ended(process: Process) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


def test_builds_at_once_share_their_work(workspace: Workspace) -> None:
    workspace.write(FILES)
    processes = [workspace.start("build", *PATTERNS, "--json") for _ in range(3)]

    ran = [json.loads(ended(process))["actions_run"] for process in processes]

    found = workspace.outputs()
    shutil.rmtree(workspace.store)
    assert sum(ran) == workspace.build(*PATTERNS)
    assert found == workspace.outputs()


COMMANDS = [
    ("build", "//..."), ("build", "//p:program"), ("build", "-c", "opt", "//p:all", "//q:above"),
    ("package", "//p:program"), ("build", "-k", "//q/..."), ("query", "deps(//...)"),
    ("targets", "//..."),
]  # fmt: skip


def test_different_commands_at_once_do_not_break_each_other(workspace: Workspace) -> None:
    workspace.write(FILES)
    for number in range(2):
        workspace.write({"p/s.txt": f"{number}\n", "q/t.txt": f"{number}\n"})
        for process in [workspace.start(*words) for words in COMMANDS]:
            ended(process)
        workspace.build("//...", "//p:program")
        workspace.check(*PATTERNS)


def test_workspaces_share_a_store(
    workspace: Workspace, another: Callable[[str], Workspace]
) -> None:
    others = [another("same"), another("different")]
    for each in (workspace, *others):
        each.write(FILES)
    others[1].write({"p/s.txt": "different\n"})

    for process in [each.start("build", *PATTERNS) for each in (workspace, *others)]:
        ended(process)

    assert workspace.outputs() == others[0].outputs()
    for each in (workspace, *others):
        assert each.check(*PATTERNS) == 0


def test_cleaning_waits_for_a_build(workspace: Workspace) -> None:
    workspace.write(FILES)
    processes = [workspace.start(*words) for words in (("build", "//..."), ("clean",)) * 3]
    for process in processes:
        ended(process)

    workspace.check()


def test_a_program_that_runs_holds_nobody_up(workspace: Workspace) -> None:
    if os.geteuid() and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is closed to this user")
    workspace.write(FILES)
    process = workspace.start("run", "//p:program", given=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    workspace.write({"p/s.txt": "edited\n", "p/main.py": "print('other')\n"})
    workspace.check(*PATTERNS)
    assert ended(workspace.start("run", "//p:program")) == "other\n"

    assert process.poll() is None
    ended(process)


# Edits while a build runs: while it is slow, after it has read `a.txt`.

SLOW = (
    COPY.format("slow", "['a.txt']", "sleep 0.6; ")
    + COPY.format("again", "['a.txt', ':slow']", "")
    + COPY.format("later", "['b.txt', ':slow']", "")
    + "cxx_library(name = 'l', srcs = ['l.cc', 'other.cc'], hdrs = ['a.h', 'made.h'])\n"
    "genrule(name = 'h', srcs = [':slow'], outs = ['made.h'], cmd = 'sleep 0.1; touch $@')\n"
)
SLOW_FILES = {
    "p/BUILD": SLOW,
    "p/a.txt": "old\n",
    "p/b.txt": "old\n",
    "p/a.h": "#define A 1\n",
    "p/l.cc": '#include "p/a.h"\n#include "p/made.h"\nint l = A;\n',
    "p/other.cc": '#include "p/a.h"\nint other = A;\n',
}


@contextmanager
def building(workspace: Workspace, *words: str) -> Iterator[Process]:
    """A build that has begun with its slow action."""
    process = workspace.start("build", *(words or ("//...",)), "--json")
    end = time.monotonic() + 60
    while not list(workspace.store.glob("tmp/*/*/work/p/a.txt")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    yield process


@pytest.mark.parametrize("second", [False, True], ids=["anew", "going on"])
def test_sources_edited_meanwhile_are_as_they_were_read(workspace: Workspace, second: bool) -> None:
    workspace.write(SLOW_FILES)
    if second:
        workspace.build()
        workspace.write({"p/a.txt": "middle\n"})

    with building(workspace) as process:
        workspace.write({"p/a.txt": "new\n"})
        workspace.write({"p/b.txt": "new\n", "p/a.h": "#define A 2\n"})
    ended(process)

    read = workspace.output("p/slow.out")
    assert read == ("middle\n" if second else "old\n")
    assert workspace.output("p/again.out") == read + read
    assert workspace.output("p/later.out") in (f"old\n{read}", f"new\n{read}")
    assert workspace.check() > 0
    assert workspace.build() == 0


def test_an_edit_that_is_undone_meanwhile_changes_nothing(workspace: Workspace) -> None:
    workspace.write(SLOW_FILES)
    with building(workspace) as process:
        workspace.write({"p/a.txt": "new\n"})
        workspace.write({"p/a.txt": "old\n"})
    ended(process)

    assert workspace.check() == 0


def test_build_files_edited_meanwhile_are_noticed_the_next_time(workspace: Workspace) -> None:
    workspace.write(SLOW_FILES)
    with building(workspace) as process:
        workspace.write({"p/BUILD": SLOW.replace("['b.txt', ", "['b.txt', 'a.txt', ")})
        workspace.write({"q/BUILD": "genrule(name = 'n', outs = ['n'], cmd = 'touch $@')\n"})
    ended(process)

    assert workspace.output("p/later.out") == "old\nold\n"
    workspace.check()
    assert workspace.output("p/later.out") == "old\nold\nold\n"


def test_files_that_come_and_go_meanwhile_are_noticed(workspace: Workspace) -> None:
    glob = "glob(['*.txt'], exclude = ['a.txt'])"
    workspace.write(SLOW_FILES)
    workspace.write({"p/BUILD": SLOW + COPY.format("found", glob, ""), "p/c.txt": "c\n"})
    with building(workspace) as process:
        (workspace.root / "p/c.txt").rename(workspace.root / "p/d.txt")
    _, err = process.communicate(timeout=60)
    if process.returncode:
        assert "cannot read `p/c.txt`" in err

    workspace.check()


def test_an_output_edited_meanwhile_is_put_right(workspace: Workspace) -> None:
    workspace.write(SLOW_FILES)
    workspace.build()
    workspace.write({"p/a.txt": "middle\n"})
    with building(workspace) as process:
        (workspace.root / "lamina-out/p/made.h").unlink()
    ended(process)

    workspace.check()


def test_edits_all_the_time_never_lead_astray(workspace: Workspace) -> None:
    workspace.write(FILES)
    stop = threading.Event()

    def edit() -> None:
        number = 0
        while not stop.wait(0.013):
            number += 1
            file = workspace.root / ("p/s.txt", "q/t.txt", "p/n.cc", "p/BUILD")[number % 4]
            text = file.read_text().partition("//")[0].partition("#")[0]
            beside = file.with_name(".new")
            beside.write_text(f"{text}{'#' if file.name == 'BUILD' else '//'} {number}\n")
            beside.replace(file)

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        for _ in range(4):
            ended(workspace.start("build", *PATTERNS))
    finally:
        stop.set()
        thread.join()
    workspace.check(*PATTERNS)
