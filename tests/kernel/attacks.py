"""What a hostile program tries in a container, run inside as a package's program.

It prints, as JSON, what came of each attempt: the name of the error, or `done` and more. It is read
by `test_attacks.py` and imports nothing of lamina: inside there is the machine's Python alone.
"""

import ctypes
import errno
import glob
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
AREA, HOST_PID = sys.argv[1], int(sys.argv[2])
ROOT = os.environ["LAMINA_PACKAGE"]
NEW_USER, NEW_NETWORK, NEW_MOUNTS = 0x10000000, 0x40000000, 0x00020000
# The numbers of x86_64 and, from 424 on, of all machines.
CALLS = {
    "acct": 163, "add_key": 248, "bpf": 321, "clone3": 435, "fsopen": 430, "init_module": 175,
    "io_uring_setup": 425, "kexec_load": 246, "keyctl": 250, "mount_setattr": 442,
    "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298, "pidfd_getfd": 438,
    "quotactl": 179, "reboot": 169, "request_key": 249, "settimeofday": 164, "swapon": 167,
    "syslog": 103, "userfaultfd": 323,
}  # fmt: skip
seen: dict[str, str] = {}


def attempt(name: str, action: Callable[[], object]) -> None:
    """Try something, and keep what came of it."""
    try:
        found = action()
    except OSError as error:
        seen[name] = errno.errorcode.get(error.errno or 0, repr(error))
    else:
        seen[name] = "done" if found is None else f"done: {found}"


def call(result: int) -> None:
    """Raise the error of a call of the C library that has failed."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def write(path: str) -> None:
    """Write over a file, or make one; what is the kernel's is opened for that, and left alone."""
    is_kernels = path.startswith(("/dev/", "/proc/sys", "/sys/"))
    descriptor = os.open(path, os.O_WRONLY | (0 if is_kernels else os.O_CREAT), 0o666)
    try:
        if not is_kernels:
            os.write(descriptor, b"attacked")
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read(100)


def make(number: int) -> None:
    """A system call without arguments that mean anything."""
    call(LIBC.syscall(number, 0, 0, 0, 0, 0))


def connect(family: int, address: str) -> None:
    with socket.socket(family) as made:
        made.connect(address)


def main() -> None:
    for name, path in {
        "write /etc": "/etc/lamina-attack",
        "write /usr": "/usr/lamina-attack",
        "write /": "/lamina-attack",
        "write the package": f"{ROOT}/lamina-attack",
        "write /packages": "/packages/lamina-attack",
        "write /proc/sys": "/proc/sys/kernel/hostname",
        "write core_pattern": "/proc/sys/kernel/core_pattern",
        "write sysrq": "/proc/sysrq-trigger",
        "write /sys": "/sys/kernel/mm/transparent_hugepage/enabled",
        "write outside": f"{AREA}/secret",
        "write by root link": f"/proc/1/root{AREA}/secret",
        "write by cwd link": f"/proc/1/cwd{AREA}/secret",
        "write by dots": f"/tmp/../../../../../..{AREA}/secret",
        "open /dev/mem": "/dev/mem",
        "open /dev/kmsg": "/dev/kmsg",
        "open a disk": "/dev/vda",
    }.items():
        attempt(name, partial(write, path))

    link = "/tmp/link"
    os.symlink(f"../../../..{AREA}/secret", link)
    attempt("read by symlink", lambda: read(link))
    attempt("read /proc/kcore", lambda: open("/proc/kcore", "rb").read(16))
    attempt("read /proc/keys", lambda: read("/proc/keys"))
    attempt("read the firmware's tables", lambda: read("/sys/firmware/dmi/tables/DMI"))
    for path in glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True)[:3]:
        attempt("leave the control group", partial(write, path))
    seen.setdefault("leave the control group", "ENOENT")
    seen["folders that are open"] = str(
        [fd for fd in os.listdir("/proc/self/fd") if is_foreign_folder(fd)]
    )

    attempt("mount", lambda: call(LIBC.mount(b"x", b"/tmp", b"tmpfs", 0, None)))
    attempt("remount", lambda: call(LIBC.mount(None, b"/", None, ctypes.c_ulong(32), None)))
    attempt("umount", lambda: call(LIBC.umount2(b"/etc", 2)))
    attempt("pivot_root", lambda: call(LIBC.syscall(155, b"/tmp", b"/tmp")))
    attempt("chroot", lambda: os.chroot("/tmp"))
    attempt("unshare user", lambda: call(LIBC.unshare(NEW_USER)))
    attempt("unshare network", lambda: call(LIBC.unshare(NEW_NETWORK)))
    attempt("clone user", lambda: call(LIBC.syscall(56, NEW_USER | 17, 0, 0, 0, 0)))
    attempt("setns", lambda: call(LIBC.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)))
    attempt("sethostname", lambda: socket.sethostname("attacked"))
    attempt("mknod", lambda: os.mknod("/tmp/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5)))
    for name, number in CALLS.items():
        attempt(name, partial(make, number))

    attempt("ptrace the host", lambda: call(LIBC.ptrace(16, HOST_PID, None, None)))
    attempt("signal the host", lambda: os.kill(HOST_PID, 9))
    attempt("read the host's memory", lambda: read(f"/proc/{HOST_PID}/mem"))
    seen["secrets of processes"] = str(secrets())

    attempt("device node in a layer", lambda: read(f"{ROOT}/device"))
    seen["setuid program in a layer"] = run(f"{ROOT}/setuid", "-u")
    attempt("become root", lambda: os.setuid(0 if os.getuid() else 1))
    attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    attempt("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768))
    attempt("vsock", lambda: socket.socket(socket.AF_VSOCK))
    attempt("ciphers of the kernel", lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET))
    attempt("socket of the host", lambda: connect(socket.AF_UNIX, f"{AREA}/socket"))
    attempt("socket in /run", lambda: connect(socket.AF_UNIX, "/run/docker.sock"))
    status = read_status()
    seen["rights"] = " ".join(status[key] for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp"))
    print(json.dumps(seen))


def is_foreign_folder(fd: str) -> bool:
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False
    return target.startswith("/") and os.path.isdir(target) and not target.startswith("/proc/")


def secrets() -> list[str]:
    """The processes that tell the secret that one outside has in its environment."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                if b"THE_SECRET=" in file.read():
                    found.append(path)
        except OSError:
            continue
    return found


def run(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))


def read_status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


if __name__ == "__main__":
    main()
