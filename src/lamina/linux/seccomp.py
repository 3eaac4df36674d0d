"""Compiles a system call filter by libseccomp, for what takes only compiled ones.

The library is there wherever crun, runc, bwrap's users or systemd are; seccomp(3).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

from lamina.core.errors import HostError

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_COMPARISONS = {"SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
_UNKNOWN = -1  # __NR_SCMP_ERROR


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def compiled(profile: Mapping[str, Any]) -> bytes:
    """The program of a `linux.seccomp` object of the OCI runtime spec; raises HostError."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        hint = "on Debian or Ubuntu: `apt-get install libseccomp2`"
        raise HostError("libseccomp is not on this machine", hint=hint) from error
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_action(profile, "defaultErrnoRet", "default")))
    try:
        for rule in profile["syscalls"]:
            _add(library, context, rule)
        descriptor = os.memfd_create("lamina-filter", os.MFD_CLOEXEC)
        try:
            _check(library.seccomp_export_bpf(context, descriptor))
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)
    finally:
        library.seccomp_release(context)


def _action(rule: Mapping[str, Any], code: str, kind: str = "") -> ctypes.c_uint32:
    word = rule[f"{kind}Action" if kind else "action"]
    return ctypes.c_uint32(_ALLOW if word == "SCMP_ACT_ALLOW" else _ERRNO | int(rule[code]))


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: Mapping[str, Any]) -> None:
    found = [
        _Comparison(each["index"], _COMPARISONS[each["op"]], each["value"], each.get("valueTwo", 0))
        for each in rule.get("args", ())
    ]
    conditions = (_Comparison * len(found))(*found)
    action = _action(rule, "errnoRet")
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN:  # newer than the library, or of another machine
            continue
        _check(library.seccomp_rule_add_array(context, action, number, len(found), conditions))


def _check(result: int) -> None:
    if result < 0:
        raise HostError(f"libseccomp can not compile the filter: {os.strerror(-result)}")
