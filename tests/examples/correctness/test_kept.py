"""What is kept of earlier builds may be lost, damaged or old: that costs time, and nothing else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

FILES = {
    "words.bzl": "WORD = 'word'\n",
    "p/BUILD": "load('//:words.bzl', 'WORD')\n"
    "genrule(name = 'low', srcs = ['a.txt'], outs = ['low.out'],\n"
    "    cmd = 'cat $< > $@; echo ' + WORD + ' >> $@')\n"
    "genrule(name = 'high', srcs = [':low', 'b.txt'], tools = ['join.sh'], outs = ['high.out'],\n"
    "    cmd = '$(location join.sh) $(SRCS) > $@')\n"
    "python_binary(name = 'program', main = 'main.py', resources = [':high'])\n"
    "cxx_library(name = 'native', srcs = ['n.cc'], hdrs = ['n.h', 'other.h'])\n",
    "p/main.py": "print('main')\n",
    "p/join.sh": '#!/bin/sh\ncat "$@"\n',
    "p/a.txt": "a\n",
    "p/b.txt": "b\n",
    "p/n.cc": '#include "p/n.h"\nint n() { return N; }\n',
    "p/n.h": "#define N 1\n",
    "p/other.h": "",
}
PATTERNS = ("//...", "//p:program")


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    workspace.write(FILES)
    (workspace.root / "p/join.sh").chmod(0o755)
    return workspace


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data[: len(data) // 2])


def emptied(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for at in range(0, len(data), max(1, len(data) // 40)):
        data[at] ^= 1
    file.write_bytes(data)


LOSSES: list[Callable[[Path], None]] = [Path.unlink, cut, emptied]
KEPT = {
    "blobs": "blobs/*/*",
    "executables": "executables/*/*",
    "results of actions": "actions/*",
    "records": "workspaces/*/records/*[0-9a-f]",
    "graphs": "workspaces/*/records/*.graph",
    "memories": "workspaces/*/records/*.memo",
    "loaded packages": "workspaces/*/packages",
    "digests of sources": "workspaces/*/sources.json",
    "marks of outputs": "workspaces/*/outputs",
    "versions of tools": "tools.json",
}


REMEMBERED = {name: KEPT[name] for name in KEPT if name not in ("blobs", "executables")}
CASES = [
    *(
        pytest.param(lose, KEPT[name], id=f"{lose.__name__}-{name}")
        for lose in LOSSES
        for name in KEPT
    ),
    *(pytest.param(flipped, REMEMBERED[name], id=f"flipped-{name}") for name in REMEMBERED),
]


@pytest.mark.parametrize(("lose", "pattern"), CASES)
def test_what_is_lost_is_found_out_again(
    workspace: Workspace, pattern: str, lose: Callable[[Path], None]
) -> None:
    workspace.build(*PATTERNS)

    before = workspace.outputs()
    assert list(workspace.store.glob(pattern))

    def losing() -> None:
        for file in workspace.store.glob(pattern):
            lose(file)

    losing()
    shutil.rmtree(workspace.root / "lamina-out")
    workspace.build(*PATTERNS)
    assert workspace.outputs() == before

    losing()
    workspace.write({"p/b.txt": "edited\n", "p/n.h": "#define N 2\n"})
    workspace.build(*PATTERNS)
    assert workspace.output("p/program.root/p/high.out") == "a\nword\nedited\n"

    losing()
    workspace.write({"words.bzl": "WORD = 'other'\n"})
    workspace.check(*PATTERNS)

    losing()
    assert workspace.json("package", "//p:program")["layers"]


@pytest.mark.parametrize("lose", LOSSES, ids=["gone", "cut", "empty"])
def test_a_single_blob_that_is_lost_is_made_again(
    workspace: Workspace, lose: Callable[[Path], None]
) -> None:
    workspace.build(*PATTERNS)

    for number, blob in enumerate(sorted(workspace.store.glob("blobs/*/*"))):
        if blob.exists():
            lose(blob)
        workspace.write({"p/b.txt": f"{number}\n"})
        workspace.build(*PATTERNS)

    workspace.check(*PATTERNS)


def test_a_damaged_blob_is_found_out_where_it_is_read(workspace: Workspace) -> None:
    workspace.build(*PATTERNS)
    before = workspace.outputs()
    shutil.rmtree(workspace.store / "actions")
    for record in records(workspace, ""):
        record.unlink()
    source = sha256(FILES["p/main.py"].encode()).hexdigest()
    blob = workspace.store / "blobs" / source[:2] / source[2:]
    blob.parent.mkdir(exist_ok=True)
    blob.write_text(FILES["p/main.py"].replace("main", "niam"))

    workspace.build(*PATTERNS)  # the resident compiler of Python is handed what was read

    assert workspace.outputs() == before
    assert not blob.exists() or blob.read_text() == FILES["p/main.py"]


def records(workspace: Workspace, suffix: str) -> list[Path]:
    return sorted(workspace.store.glob(f"workspaces/*/records/*{suffix}"))


@pytest.mark.parametrize("suffix", ["[0-9a-f]", ".graph", ".memo"])
@pytest.mark.parametrize("command", ["build", "package"])
def test_what_a_kill_has_left_of_two_times_is_not_mixed(
    workspace: Workspace, suffix: str, command: str
) -> None:
    def run() -> str:
        words = ("build", *PATTERNS) if command == "build" else ("package", "//p:program")
        return str(workspace.json(*words).get("digest"))

    run()
    old = [(file, file.read_bytes()) for file in records(workspace, suffix)]
    assert old
    workspace.write({"p/a.txt": "edited\n"})
    run()
    for file, data in old:
        file.write_bytes(data)
    workspace.write({"p/b.txt": "edited too\n"})
    found = run()

    if command == "build":
        workspace.check(*PATTERNS)
    shutil.rmtree(workspace.store)
    assert run() == found


def test_packages_kept_before_the_record_do_not_tell_what_reads_a_file(
    workspace: Workspace,
) -> None:
    made = "genrule(name = 'x', outs = ['x'], cmd = 'echo ' + WORD + ' > $@')\n"
    workspace.write({"one.bzl": "WORD = 'one'\n", "two.bzl": "WORD = 'one'\n"})
    workspace.write({"p/BUILD": f"load('//:one.bzl', 'WORD')\n{made}"})
    workspace.write({"q/BUILD": "load('//:two.bzl', 'WORD')\n"})
    workspace.build()
    [packages] = workspace.store.glob("workspaces/*/packages")
    old = packages.read_bytes()
    workspace.write({"p/BUILD": f"load('//:two.bzl', 'WORD')\n{made}"})
    time.sleep(0.06)  # so long that its time is trusted
    workspace.build()
    packages.write_bytes(old)  # a query that ran beside may have written what it had read before

    workspace.write({"two.bzl": "WORD = 'two'\n"})

    workspace.check()
    assert workspace.output("p/x") == "two\n"
