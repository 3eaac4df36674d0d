"""A hostile program does not get out of its container, by any runtime, as root or not."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Person
from .contained import Containers, every, need, somebody, wait_for_no_container

ATTACKS = Path(__file__).with_name("attacks.py")
REFUSED = {"EPERM", "ENOSYS"}  # by the filter of system calls, or for want of a capability
ABSENT = {"ENOENT", "ENOTDIR"}
CLOSED = {"EROFS", "EACCES", "EPERM"}
GONE = {"ESRCH", "ENOENT"}

EXPECTED = {
    "write /etc": CLOSED, "write /usr": CLOSED, "write /": CLOSED, "write the package": CLOSED,
    "write /packages": CLOSED, "write /proc/sys": CLOSED, "write core_pattern": CLOSED,
    "write sysrq": CLOSED | ABSENT, "write /sys": CLOSED | ABSENT, "write outside": ABSENT,
    "write by root link": ABSENT | CLOSED, "write by cwd link": ABSENT | CLOSED,
    "write by dots": ABSENT, "open /dev/mem": ABSENT | CLOSED, "open /dev/kmsg": ABSENT | CLOSED,
    "open a disk": ABSENT | CLOSED, "read by symlink": ABSENT,
    "read /proc/kcore": {"done: b''", *CLOSED, *ABSENT},
    "read /proc/keys": {"done: ", *CLOSED, *ABSENT},
    "read the firmware's tables": ABSENT | CLOSED, "leave the control group": CLOSED | ABSENT,
    "folders that are open": {"[]"}, "clone user": REFUSED, "setns": REFUSED,
    "mknod": {"EPERM"}, "ptrace the host": {"ESRCH", "EPERM"}, "signal the host": {"ESRCH"},
    "read the host's memory": GONE, "secrets of processes": {"[]"},
    "device node in a layer": {"EACCES"}, "become root": {"EPERM", "EINVAL"},
    "raw socket": {"EPERM"}, "packet socket": {"EPERM"}, "vsock": REFUSED,
    "ciphers of the kernel": REFUSED, "socket of the host": ABSENT, "socket in /run": ABSENT,
}  # fmt: skip
CALLS = (
    "mount", "remount", "umount", "pivot_root", "chroot", "unshare user", "unshare network",
    "sethostname", "acct", "add_key", "bpf", "clone3", "fsopen", "init_module", "io_uring_setup",
    "kexec_load", "keyctl", "mount_setattr", "open_by_handle_at", "open_tree", "perf_event_open",
    "pidfd_getfd", "quotactl", "reboot", "request_key", "settimeofday", "swapon", "syslog",
    "userfaultfd",
)  # fmt: skip
NONE = "0000000000000000"  # of the capabilities

pytestmark = [
    pytest.mark.root,  # to make layers with devices and setuid programs
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the attacks know its system calls"),
]


@pytest.fixture(params=every())
def containers(request: pytest.FixtureRequest, area: Path) -> Containers:
    runtime, who = request.param
    need(runtime)
    person: Person = request.getfixturevalue(who)
    return Containers(runtime, somebody(who, person, person))


@pytest.fixture
def hostile(area: Path) -> Path:
    """A layer with the attacks, a program that is setuid root, and a device node."""
    if os.geteuid():
        pytest.skip("only root makes setuid programs and devices")
    tree = area / "hostile"
    tree.mkdir()
    tree.chmod(0o755)
    (tree / "run").write_text(f"#!/usr/bin/python3\n{ATTACKS.read_text()}")
    (tree / "run").chmod(0o755)
    shutil.copy("/usr/bin/id", tree / "setuid")
    (tree / "setuid").chmod(0o4755)
    image = area / "hostile.squashfs"
    words = [
        "mksquashfs",
        str(tree),
        str(image),
        "-quiet",
        "-no-progress",
        "-p",
        "device c 666 0 0 1 5",
    ]
    subprocess.run(words, check=True, capture_output=True)
    return image


@pytest.fixture
def victim(containers: Containers, area: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user outside, with a secret, beside a file and a socket of theirs."""
    uid = containers.person.uid
    (area / "secret").write_text("secret")
    os.chown(area / "secret", uid, uid)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(area / "socket"))
        listening.listen()
        (area / "socket").chmod(0o777)
        process = subprocess.Popen(
            ["sleep", "1000"], user=uid, group=uid, extra_groups=[], env={"THE_SECRET": "x"}
        )
        yield process
        process.kill()
        process.wait()


def test_no_attack_succeeds(
    containers: Containers, hostile: Path, victim: subprocess.Popen[bytes], area: Path
) -> None:
    seen = json.loads(containers.output([hostile], str(area), str(victim.pid)))

    expected = {**EXPECTED, **dict.fromkeys(CALLS, REFUSED)}
    # As root, bwrap leaves what could be had by programs that bring it: there are none.
    bounds = seen["rights"].split()[1] if containers.runtime == "bwrap" else NONE
    expected["rights"] = {f"{NONE} {bounds} 1 2"}
    expected["setuid program in a layer"] = {str(containers.inside)}
    assert seen.keys() == expected.keys()
    assert {key: found for key, found in seen.items() if found not in expected[key]} == {}
    assert victim.poll() is None
    assert (area / "secret").read_text() == "secret"
    assert not Path("/etc/lamina-attack").exists()
    wait_for_no_container(area)


def test_who_kills_all_kills_the_container_alone(
    containers: Containers, hostile: Path, victim: subprocess.Popen[bytes], area: Path
) -> None:
    tree = area / "killer"
    tree.mkdir()
    (tree / "run").write_text("#!/bin/sh\nkill -9 -1; kill -9 1; echo still here\n")
    (tree / "run").chmod(0o755)
    image = area / "killer.squashfs"
    subprocess.run(["mksquashfs", tree, image, "-quiet"], check=True, capture_output=True)

    ended = containers.run([image])

    assert ended.out in ("still here\n", "")
    assert victim.poll() is None
    wait_for_no_container(area)
