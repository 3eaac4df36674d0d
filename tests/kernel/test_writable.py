"""Packages that a program may write to, and programs on packages that are not mounted at all."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from .conftest import Launcher, btrfs, leftovers

Image = Callable[..., Path]
SHELL = ('#!/bin/sh\ncd "${0%/*}"; eval "$1"\n', 0o755)
WAYS = ("kernel", "fuse", "btrfs-user", "copy-user")
ALL_WAYS = (*WAYS, "btrfs", "copy")


@pytest.fixture(params=WAYS)
def writer(request: pytest.FixtureRequest, area: Path, clean: None) -> Iterator[Launcher]:
    """Starts packages by every driver, as those who may use it."""
    driver, _, who = request.param.partition("-")
    is_user = who == "user" or driver == "fuse"
    person = request.getfixturevalue("user" if is_user else "root")
    with contextlib.ExitStack() as held:
        if driver == "btrfs":
            store = held.enter_context(btrfs(area)) / "store"
            person = replace(person, environment={**person.environment, "LAMINA_STORE": str(store)})
        yield Launcher(driver, person)
        wait_for_no_copy(person.environment["LAMINA_STORE"])


def wait_for_no_copy(store: str) -> None:
    """Own copies of jobs are removed soon after these have ended."""
    deadline = time.monotonic() + 10
    while left := [*Path(store, "tmp").glob("job-*")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@pytest.fixture
def layers(image: Image) -> list[Path]:
    return [
        image({"run": SHELL, "same": "lower", "d/old": "old"}),
        image({"same": "upper", "to": Path("same")}),
    ]


@pytest.mark.parametrize("writer", ALL_WAYS, indirect=True)
def test_a_program_runs_by_every_driver(writer: Launcher, layers: list[Path]) -> None:
    seen = writer.output(
        layers, "cat to; echo; test $LAMINA_PACKAGE = $PWD && echo here; test -w . || echo closed"
    )

    words = ["upper", "here", "closed"]
    if writer.driver == "copy" and not writer.person.uid:
        words.remove("closed")  # from root, nothing but a mount is closed
    assert seen.split() == words


@pytest.mark.parametrize("writer", ALL_WAYS, indirect=True)
def test_what_it_writes_is_seen_by_it_alone_and_gone_with_it(
    writer: Launcher, layers: list[Path]
) -> None:
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if writer.driver == "fuse" and release < (6, 6):
        pytest.skip("a tmpfs of this kernel keeps no mark of a user's that a folder is removed")
    change = "echo new > new && echo changed > same && rm -r d && echo in > to && cat same && ls"

    seen = writer.output(layers, change, writable="tmpfs")

    assert seen.split() == ["in", "new", "run", "same", "to"]
    assert writer.output(layers, "cat same; ls", writable="tmpfs").split() == [
        *("upperd", "run", "same", "to")
    ]


def test_a_folder_keeps_what_was_written(writer: Launcher, layers: list[Path], area: Path) -> None:
    folder = area / "kept"
    if writer.driver == "btrfs":
        folder = area / "btrfs" / "kept"

    writer.output(layers, "echo new > new; rm d/old", writable=folder)

    assert writer.output(layers, "ls; ls d", writable=folder).split() == [
        *("d", "new", "run", "same", "to")
    ]
    assert "new" not in writer.output(layers, "ls")


def test_of_two_programs_one_may_write_in_a_folder(
    writer: Launcher, layers: list[Path], area: Path
) -> None:
    folder = area / ("btrfs/kept" if writer.driver == "btrfs" else "kept")
    first = writer.start(layers, "echo ready; read line", stdin=-1, writable=folder)
    assert first.stdout is not None
    assert first.stdout.readline() == b"ready\n"

    second = writer.start(layers, "true", writable=folder)
    words = second.communicate(timeout=30)[1].decode()

    assert second.returncode == 125
    assert f"another program writes in the folder `{folder}`" in words
    assert first.communicate(b"\n", timeout=30)[1] == b""


def test_the_program_is_who_started_it_without_capabilities(
    writer: Launcher, layers: list[Path]
) -> None:
    seen = writer.output(
        layers, "id -u; touch new; stat -c %u new; grep CapEff /proc/self/status", writable="tmpfs"
    ).split()

    assert seen[:2] == [str(writer.person.uid)] * 2
    if writer.person.uid:
        assert int(seen[3], 16) == 0


def test_tmp_is_its_own_unless_it_works_there(writer: Launcher, layers: list[Path]) -> None:
    """The working folder of these tests lies in /tmp; `before` goes away from there."""
    look = "ls /tmp | wc -l; touch /tmp/mine && echo fine"
    if writer.driver == "copy":
        look = "echo 0; echo fine"  # no mount, no other /tmp

    seen = writer.output(layers, look, before="import os; os.chdir('/')", writable="tmpfs")
    stays = writer.output(layers, "ls -d /tmp/lamina-test-*", writable="tmpfs")

    assert seen.split() == ["0", "fine"]
    assert str(writer.person.area) in stays


def test_a_kill_leaves_nothing(writer: Launcher, layers: list[Path], area: Path) -> None:
    started = writer.start(layers, "touch new; echo ready; read line", stdin=-1, writable="tmpfs")
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    started.kill()

    assert started.wait(30) == -signal.SIGKILL
    wait_for_no_copy(writer.person.environment["LAMINA_STORE"])


OLD_KERNEL = """
import errno
from lamina.node import stack
def refuse(*args, **options): raise OSError(errno.EINVAL, "as an older kernel")
stack._by_descriptors = refuse
"""


@pytest.mark.parametrize("writer", ["kernel", "fuse"], indirect=True)
@pytest.mark.parametrize("where", ["tmpfs", "kept"])
def test_older_kernels_can_be_written_on_too(
    writer: Launcher, layers: list[Path], area: Path, where: str
) -> None:
    folder = where if where == "tmpfs" else area / where

    seen = writer.output(layers, "echo 1 > new; ls", before=OLD_KERNEL, writable=folder)

    assert seen.split() == ["d", "new", "run", "same", "to"]


@pytest.mark.parametrize("writer", ["copy-user"], indirect=True)
def test_a_copy_needs_no_call_of_linux_alone(writer: Launcher, layers: list[Path]) -> None:
    """As on another POSIX system: what only Linux has is not there."""
    elsewhere = (
        "import sys, os, fcntl; sys.platform = 'darwin'\n"
        "from lamina.linux import syscalls; syscalls._libc = None\n"
        "for name in ('copy_file_range', 'unshare', 'setns', 'memfd_create', 'sendfile',\n"
        "             'setxattr', 'getxattr', 'O_PATH', 'pidfd_open', 'posix_fallocate'):\n"
        "    vars(os).pop(name, None)\n"
        "real = open\n"
        "def guarded(path, *rest, **more):\n"
        "    if str(path).startswith(('/proc', '/sys')): raise FileNotFoundError(path)\n"
        "    return real(path, *rest, **more)\n"
        "import builtins, io; builtins.open = io.open = guarded\n"
    )

    seen = writer.output(layers, "cat to", before=elsewhere)

    assert seen == "upper"
    seen = writer.output(layers, "echo 1 > new; cat new", before=elsewhere, writable="tmpfs")
    assert seen == "1\n"


@pytest.mark.parametrize("writer", ["copy-user", "copy"], indirect=True)
def test_a_copy_that_was_changed_is_made_again(writer: Launcher, layers: list[Path]) -> None:
    change = "chmod 700 . && chmod 600 same && echo spoilt > same; chmod 400 same; chmod 555 ."

    writer.output(layers, change)

    assert writer.output(layers, "cat same") == "upper"
    assert leftovers(writer.person.area) == []
