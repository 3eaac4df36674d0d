"""Which system calls a container may make: the `linux.seccomp` part of the OCI runtime spec.

https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp

`seccomp.json` lists them by name. What is refused gets EPERM; of what is in neither list, and so
may be newer than it, a program hears ENOSYS, as from an older kernel, and takes another way.

It is in the spirit of containerd's default, for a program without capabilities. Debuggers work, on
what runs in the container. Policies of memory on NUMA are allowed: they concern the caller alone,
and what computes wants them.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("seccomp.json")
_ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64", "riscv64": "SCMP_ARCH_RISCV64",
    "ppc64le": "SCMP_ARCH_PPC64LE", "s390x": "SCMP_ARCH_S390X",
}  # fmt: skip

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET
_NEW_NAMESPACES = 0x7E020000
_LEGAL_PERSONALITIES = (0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_ALG, _AF_VSOCK = 38, 40  # the kernel's ciphers, often faulty; the way to a hypervisor

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
EQUAL, MASKED, LESS, GREATER = "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_LT", "SCMP_CMP_GT"


def profile(machine: str) -> dict[str, Any]:
    """The filter for a machine, as `uname -m` calls it; of unknown ones the runtime's own."""
    listed = json.loads(_FILE.read_bytes())
    allowed = [name for name in listed["allowed"] if name != "clone"]
    native = _ARCHITECTURES.get(machine)
    return {
        "defaultAction": ERRNO,
        "defaultErrnoRet": errno.ENOSYS,
        **({"architectures": [native]} if native else {}),
        "syscalls": [
            {"names": allowed, "action": ALLOW},
            {"names": listed["refused"], "action": ERRNO, "errnoRet": errno.EPERM},
            _clone(machine),
            *_when("personality", 0, ((EQUAL, value) for value in _LEGAL_PERSONALITIES)),
            *_when("socket", 0, ((LESS, _AF_ALG), (EQUAL, 39), (GREATER, _AF_VSOCK))),
        ],
    }


def _clone(machine: str) -> dict[str, Any]:
    """Processes and threads, but no namespaces.

    What clone3 is to do lies in memory, where no filter can see it. It is in no list, so it is not
    there, and the C library takes clone.
    """
    flags = 1 if machine == "s390x" else 0
    condition = {"index": flags, "value": _NEW_NAMESPACES, "valueTwo": 0, "op": MASKED}
    return {"names": ["clone"], "action": ALLOW, "args": [condition]}


def _when(name: str, index: int, conditions: Any) -> list[dict[str, Any]]:
    """One rule for each condition, any of which allows the call."""
    return [
        {
            "names": [name],
            "action": ALLOW,
            "args": [{"index": index, "value": value, "op": operation}],
        }
        for operation, value in conditions
    ]
