"""What this process may do, which its user id does not tell; nothing dear is imported here.

Root in a container lacks most capabilities, and a filter of system calls may refuse what is left:
capabilities(7), user_namespaces(7), seccomp(2).
"""

from __future__ import annotations

import os

from lamina.core.errors import LaminaError

_SYS_ADMIN = 1 << 21  # the capability that mounts want
_ALL_USERS = ["0", "0", "4294967295"]  # the map of the first user namespace, which has all

TO_ALLOW = (
    "the container around lamina does not allow it: as it is, programs run without `--contain`, by "
    "the driver `copy`; for more, start it with `--device /dev/fuse` and, each after "
    "`--security-opt`, `seccomp=unconfined`, `apparmor=unconfined` and `systempaths=unconfined` "
    "(podman: `unmask=ALL`)"
)


def may_mount() -> bool:
    """Whether this process is root and may mount, without a user namespace of its own."""
    return os.geteuid() == 0 and bool(_mask("CapEff") & _SYS_ADMIN)


def may_become_root() -> bool:
    """Whether a setuid program of root's, such as fusermount3, may mount for this process."""
    if os.geteuid() == 0:
        return may_mount()
    fields = _status()
    has_root = any(line.split()[0] == "0" for line in _text("/proc/self/uid_map").splitlines())
    return has_root and fields.get("NoNewPrivs") != "1" and bool(_mask("CapBnd") & _SYS_ADMIN)


def is_in_container() -> bool:
    """Whether this process seems to be in one: it may less than its user may on a machine."""
    is_filtered = _status().get("Seccomp") == "2"
    return is_filtered or in_user_namespace() or (os.geteuid() == 0 and not may_mount())


def in_user_namespace() -> bool:
    """Whether this is another user namespace than the machine's."""
    return _text("/proc/self/uid_map").split() not in ([], _ALL_USERS)


def context() -> str:
    """A name for all this: where it is another one, other things are allowed."""
    fields = _status()
    return "-".join([fields.get("CapEff", ""), fields.get("Seccomp", ""), _user_namespace()])


def _user_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/user").st_ino)
    except OSError:
        return ""


def may_isolate() -> bool:
    """Whether this process may have namespaces of users and mounts of its own, and mount there.

    The kernel is asked only where something speaks against it, as that takes a process.
    """
    if any(_text(path).strip() == value for path, value in _FORBIDDING):
        return False
    if _text(_RESTRICTED).strip() != "1" and not is_in_container():
        return True
    return _tried()


_FORBIDDING = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
)
_RESTRICTED = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


def _tried() -> bool:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            from lamina.linux import namespaces

            namespaces.own_user()
            namespaces.own_mounts()
            os.close(namespaces.detached("tmpfs", {}, 0))
            code = 0
        except (OSError, LaminaError):
            code = 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _mask(name: str) -> int:
    return int(_status().get(name, "0"), 16)


def _status() -> dict[str, str]:
    """What the kernel tells of this process; see proc_pid_status(5)."""
    pairs = (line.partition(":") for line in _text("/proc/self/status").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _text(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123 - pathlib is dear
            return file.read()
    except OSError:
        return ""
