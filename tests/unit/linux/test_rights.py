"""Rights of processes that are started with more or less of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.linux import rights

ASKED = ("may_mount", "may_become_root", "is_in_container", "in_user_namespace", "may_isolate")
ASK = f"""
import os, sys
from lamina.linux import namespaces, rights
exec(sys.argv[1])
print(*(name for name in {ASKED} if getattr(rights, name)()))
"""
# Becomes somebody else, whose `/proc/self` is its own, as after an exec.
NOBODY = """
import ctypes
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
"""

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights of root"),
    pytest.mark.skipif(
        rights.is_in_container(), reason="a container has fewer rights to begin with"
    ),
]


def answers(*before: str, code: str = "") -> set[str]:
    """Which of the questions are answered by yes, in a process that some words start."""
    done = subprocess.run(
        [*before, sys.executable, "-c", ASK, code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_root_of_a_machine_may_mount() -> None:
    assert answers() == {"may_mount", "may_become_root", "may_isolate"}


def test_an_ordinary_user_may_by_setuid_programs_and_namespaces() -> None:
    assert answers(code=NOBODY) == {"may_become_root", "may_isolate"}


def test_without_new_privileges_setuid_programs_give_none() -> None:
    assert answers("setpriv", "--no-new-privs", code=NOBODY) == {"may_isolate"}


def test_root_without_the_capability_is_like_any_user() -> None:
    found = answers("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")

    assert found == {"is_in_container", "may_isolate"}


def test_root_of_a_user_namespace_may_mount_there() -> None:
    found = answers("unshare", "--user", "--map-root-user", "--mount")

    assert found == {*ASKED}


def test_a_user_namespace_of_one_user_has_no_root_to_become() -> None:
    found = answers(code=f"{NOBODY}namespaces.own_user()")

    assert found == {"is_in_container", "in_user_namespace", "may_isolate"}


# The kernel gives no user namespace to who has another root than its mount namespace.
CHROOT = f"""{NOBODY}
from lamina.linux import syscalls
namespaces.own_user(as_root=True); namespaces.own_mounts()
syscalls.mount("/", "/mnt", None, 0x1000 | syscalls.MS_REC)
os.chroot("/mnt")
"""
FORBIDDEN = f"""{NOBODY}
namespaces.own_user(as_root=True)
open("/proc/sys/user/max_user_namespaces", "w").write("0")
"""


@pytest.mark.parametrize("code", [CHROOT, FORBIDDEN])
def test_who_is_refused_namespaces_finds_that_out(code: str) -> None:
    assert answers(code=code) == {*ASKED} - {"may_isolate"}


def test_other_rights_have_another_name() -> None:
    tell = "print(rights.context()); sys.exit()"
    ways = ((), ("setpriv", "--bounding-set=-sys_admin"), ("unshare", "--user", "--map-root-user"))
    names = [" ".join(answers(*words, code=tell)) for words in (*ways, ())]

    assert len(set(names)) == len(ways)
    assert names[0] == names[-1]
