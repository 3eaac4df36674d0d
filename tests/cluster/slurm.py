"""A real Slurm on this machine: every node has namespaces of its own, and a link of limited speed.

A node is a set of network, UTS, pid, mount, ipc and cgroup namespaces with a `slurmd` in it. Links
go to a bridge in a namespace of its own, where the controller and whoever submits are. `/var/tmp`
is each node's own; all else of the file system they share, as a cluster shares its home folders.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.links import OWN_GROUPS, add_nodes, add_switch, do

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "sinfo", "ip", "tc")
MASTER = "10.99.0.254"
_PATIENCE = 60.0  # seconds for the nodes to be there
_CGROUPS = Path("/sys/fs/cgroup")

_SETTINGS = """\
ClusterName=lab
SlurmctldHost={host}({master})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={top}/munge.sock
CredType=cred/munge
SlurmctldPidFile={top}/slurmctld.pid
SlurmdPidFile={top}/%n/slurmd.pid
SlurmdSpoolDir={top}/%n/spool
StateSaveLocation={top}/state
SlurmctldLogFile={top}/slurmctld.log
SlurmdLogFile={top}/%n/slurmd.log
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=300
SchedulerParameters=sched_min_interval=1000,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdTimeout=3
SlurmctldTimeout=10
MinJobAge=300
KillWait=2
UnkillableStepTimeout=10
SlurmdParameters=config_overrides
MailProg=/bin/true
"""
_CGROUP_SETTINGS = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""
# The first process of a node; when it ends, the kernel ends all others.
_NODE = (
    OWN_GROUPS
    + """\
mount --bind "$TOP/$NAME/tmp" /var/tmp
slurmd -D -f "$TOP/slurm.conf" -N "$NAME" >>"$TOP/$NAME/slurmd.out" 2>&1 &
exec sleep infinity
"""
)


@dataclass(slots=True)
class Slurm:
    """A cluster that runs."""

    top: Path
    count: int
    rate: str
    prefix: str
    boots: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's programs want to know."""
        return {**os.environ, "SLURM_CONF": str(self.top / "slurm.conf")}

    @property
    def switch(self) -> str:
        """The network namespace of who submits."""
        return f"{self.prefix}sw"

    def words(self, *words: str) -> list[str]:
        """A command as one that runs beside the controller."""
        return ["nsenter", f"--net=/run/netns/{self.switch}", "--", *words]

    def run(
        self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command beside the controller."""
        return subprocess.run(
            self.words(*words), cwd=cwd, env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def call(self, *words: str) -> str:
        """What a command of Slurm prints."""
        done = self.run(*words)
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stderr}")
        return done.stdout

    def on_node(self, number: int, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespaces of a node, outside of any job."""
        pid = str(first_child(self.boots[number].pid))
        inside = ["nsenter", "--target", pid, "--mount", "--uts", "--pid", "--net", "--", *words]
        return subprocess.run(
            inside, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )

    def boot(self, number: int) -> None:
        """Start a node."""
        name = f"en{number}"
        for folder in ("spool", "tmp"):
            (self.top / name / folder).mkdir(parents=True, exist_ok=True)
        (self.top / name / "tmp").chmod(0o1777)
        here = controllers()
        groups = [group(each, self.prefix, name) for each in (*here, "unified")]
        groups = [each for each in groups if each is not None]
        begin = "".join(f"echo $$ >{group}/cgroup.procs\n" for group in groups)
        namespaces = "--uts --mount --pid --ipc --cgroup --fork --kill-child --mount-proc"
        begin += (
            f"exec nsenter --net=/run/netns/{self.prefix}{number} "
            f'unshare {namespaces} -- /bin/sh -ec "$NODE"'
        )
        self.boots[number] = subprocess.Popen(
            ["/bin/sh", "-ec", begin],
            env={
                **self.environment, "NAME": name, "TOP": str(self.top), "NODE": _NODE,
                "CONTROLLERS": " ".join(here),
            },
            stdin=subprocess.DEVNULL,
            stdout=(self.top / name / "boot.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def kill(self, number: int) -> None:
        """Let a node die at once, with all that runs on it."""
        self.boots[number].kill()
        self.boots[number].wait()

    def is_idle(self, nodes: int) -> bool:
        """Whether so many nodes wait for work."""
        done = self.run("sinfo", "-h", "-t", "idle", "-o", "%D")
        return done.stdout.strip() == str(nodes)


@contextlib.contextmanager
def cluster(top: Path, count: int, rate: str = "1gbit", memory: int = 4000) -> Iterator[Slurm]:
    """Start a cluster, and stop it; raises RuntimeError where its nodes do not come up.

    Each has `memory` MiB for jobs, which all of them may say of the same.
    """
    found = Slurm(top, count, rate, f"l{os.getpid()}n")
    top.mkdir(parents=True)
    top.chmod(0o755)
    try:
        _network(found)
        _configure(found, memory)
        _controller(found)
        for number in range(1, count + 1):
            found.boot(number)
        until = time.monotonic() + _PATIENCE
        while not found.is_idle(count):
            if time.monotonic() > until:
                logs = [path.read_text()[-2000:] for path in top.rglob("slurmd.*")]
                raise RuntimeError(f"the nodes do not come up: {found.call('sinfo')}\n{logs}")
            time.sleep(0.1)
        yield found
    finally:
        stop(found)


def lacks() -> str:
    """Why there can be no cluster here; empty where there can."""
    if os.geteuid() != 0:
        return "only root can make the namespaces of nodes"
    gone = [program for program in PROGRAMS if shutil.which(program) is None]
    if gone:
        return f"not installed: {', '.join(gone)}"
    if not (_CGROUPS / "memory").is_dir():
        return "the controllers of cgroup v1 are not here, which Debian 12's Slurm is set up for"
    return ""


def _network(found: Slurm) -> None:
    add_switch(found.switch, MASTER)
    for _, node, port in add_nodes(found.switch, found.prefix, found.count, "10.99.0"):
        shape = ("root", "tbf", "rate", found.rate, "burst", "256kb", "latency", "20ms")
        do("tc", "-n", node, "qdisc", "add", "dev", "eth0", *shape)
        do("tc", "-n", found.switch, "qdisc", "add", "dev", port, *shape)


def _configure(found: Slurm, memory: int) -> None:
    top = found.top
    (top / "state").mkdir()
    key = top / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    text = _SETTINGS.format(host=os.uname().nodename, master=MASTER, top=top)
    for number in range(1, found.count + 1):
        text += f"NodeName=en{number} NodeAddr=10.99.0.{number} CPUs=2 RealMemory={memory}\n"
    text += f"PartitionName=main Nodes=en[1-{found.count}] Default=YES State=UP\n"
    (top / "slurm.conf").write_text(text)
    (top / "cgroup.conf").write_text(_CGROUP_SETTINGS)


def _controller(found: Slurm) -> None:
    top = found.top
    do(
        "munged", "--force", f"--key-file={top}/munge.key", f"--socket={top}/munge.sock",
        f"--pid-file={top}/munged.pid", f"--log-file={top}/munged.log",
        f"--seed-file={top}/munge.seed",
    )  # fmt: skip
    found.call("slurmctld", "-f", str(top / "slurm.conf"), "-c")


def stop(found: Slurm) -> None:
    """End all that there may be of a cluster, also of one whose process was killed."""
    for boot in found.boots.values():
        boot.kill()
        boot.wait()
    for daemon in ("slurmctld", "munged"):
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            number = int((found.top / f"{daemon}.pid").read_text())
            # It may have ended long ago, and its number be that of another now.
            if Path(f"/proc/{number}/comm").read_text().strip() == daemon:
                os.kill(number, signal.SIGTERM)
    for name in (found.switch, *(f"{found.prefix}{n}" for n in range(1, found.count + 1))):
        pids_there = subprocess.run(
            ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
        ).stdout.split()
        for pid in pids_there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    remove_groups(found.prefix)


def remove_groups(prefix: str) -> None:
    """Remove the control groups of nodes that have ended."""
    time.sleep(0.2)  # until the kernel has let the groups go
    for each in (*controllers(), "unified"):
        top = _CGROUPS / each / prefix
        for folder in sorted(top.rglob("*"), reverse=True) if top.is_dir() else ():
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()
        with contextlib.suppress(OSError):
            top.rmdir()


def controllers() -> list[str]:
    """The controllers of cgroup v1 that are here."""
    wanted = ("freezer", "memory", "cpuset", "pids", "cpu", "cpuacct", "devices", "blkio")
    return [each for each in wanted if (_CGROUPS / each).is_dir()]


def group(controller: str, prefix: str, name: str) -> Path | None:
    """The control group of a node."""
    top = _CGROUPS / controller
    if not top.is_dir():
        return None
    for group in (top / prefix, top / prefix / name):
        group.mkdir(exist_ok=True)
        if controller == "cpuset":
            for setting in ("cpuset.cpus", "cpuset.mems"):
                (group / setting).write_text((top / setting).read_text())
    return top / prefix / name


def first_child(pid: int) -> int:
    """The first process of a node: the child of `unshare`."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


def main(words: Sequence[str]) -> int:
    """`python -m tests.cluster.slurm [N]`: a cluster to play with, until the shell in it ends."""
    import tempfile

    if why := lacks():
        sys.exit(f"no cluster can be made: {why}")
    with (
        tempfile.TemporaryDirectory(prefix="lamina-slurm-") as folder,
        cluster(Path(folder) / "s", int(words[0]) if words else 4) as found,
    ):
        shell = found.words(os.environ.get("SHELL", "/bin/sh"))
        return subprocess.run(shell, env=found.environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
