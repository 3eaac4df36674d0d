"""Jobs through Slurm: `sbatch` is told of them, `scontrol` and `sacct` are asked.

Each task is `srun lamina exec` with the package by its digest. What tasks print and how they end
they write into the job's folder, which all nodes have to see.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lamina.cluster import features, slurmscript, slurmstate
from lamina.cluster.launcher import Found, Node, State, Status, Task
from lamina.cluster.local import read_log, read_times
from lamina.cluster.records import Record
from lamina.cluster.slurmstate import Element
from lamina.core.classes import replace
from lamina.core.cluster import Cluster
from lamina.core.errors import HostError, ServiceError, UserError
from lamina.core.job import Job, Spec
from lamina.linux import process

_MARK = "lamina:"  # in the comment of a job, before its id
_FORGOTTEN = "Invalid job id"
_OOM = re.compile(r"oom-kill event|oom_kill|Out Of Memory", re.IGNORECASE)
_NONE_FIT = "Requested node configuration is not available"
_AT_ONCE = 32  # nodes that are asked something


class SlurmLauncher:
    """Starts jobs on a cluster with Slurm, whose programs are on this machine."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._waiting: subprocess.Popen[bytes] | None = None  # an `sbatch` that has no script yet

    def prepare(self) -> None:
        """Start an `sbatch`: it has its settings and plugins when there is a script for it."""
        program = process.find("sbatch")
        if program is not None and self._waiting is None:
            pipe = subprocess.PIPE
            self._waiting = process.spawn(
                [str(program), "--parsable"],
                env=_environment(),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
            )

    def dismiss(self) -> None:
        """End that `sbatch`."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.kill()  # before its input ends
            waiting.communicate()

    def plan(self, job: Job) -> Mapping[str, str]:
        """The script for `sbatch`."""
        folder = Path(self.cluster.logs or "FOLDER") / job.id
        return {"sbatch": slurmscript.script(job, self.cluster, folder, self._preferred(job))}

    def submit(self, job: Job, folder: Path) -> str:
        """Hand the script to `sbatch`; the number of the job."""
        feature = self._preferred(job)
        try:
            return self._submit(slurmscript.script(job, self.cluster, folder, feature), folder)
        except ServiceError as error:
            if not (feature and _NONE_FIT in error.message):
                raise
        # What it takes for a wish alone some versions of Slurm refuse.
        return self._submit(slurmscript.script(job, self.cluster, folder), folder)

    def _submit(self, text: str, folder: Path) -> str:
        (folder / "sbatch").write_text(text, encoding="utf-8")
        waiting, data = self._waiting, text.encode()
        if waiting is not None and len(data) <= _room(waiting):
            done = _handed(waiting, data)
            self._waiting = None  # who is interrupted before ends it
            printed = _printed("sbatch", done)
        else:
            printed = self._call("sbatch", "--parsable", str(folder / "sbatch"))
        return printed.strip().partition(";")[0]

    def _preferred(self, job: Job) -> str:
        """The feature of nodes that have most of the package, where enough have it for the job."""
        if not self.cluster.prefer_warm:
            return ""
        feature = features.of(job.package)
        warm = [node for node in self.nodes() if feature in node.features]
        return feature if len(warm) >= max(job.spec.nodes, 1) else ""

    def label(self, package: str, warm: Mapping[str, bool]) -> Sequence[str]:
        """Let features tell which nodes have most of a package; those that have changed."""
        feature = features.of(package)
        known = {node.name: node.features for node in self.nodes()}
        done = []
        for new, names in features.changed(known, feature, warm).items():
            lists = [
                f"{which}={','.join(new)}" for which in ("AvailableFeatures", "ActiveFeatures")
            ]
            self._call("scontrol", "update", f"NodeName={','.join(names)}", *lists)
            done += names
        return done

    def foreign(self, native: str) -> Record:
        """A job that was submitted elsewhere, by its number."""
        if not native.isdecimal():
            raise UserError(f"`{native}` is no number of a job")
        found = self._elements(native)
        if not found:
            raise UserError(f"Slurm knows no job {native}", hint="it forgets those that are over")
        comment = found[0].comment
        if not comment.startswith(_MARK):
            raise UserError(f"the job {native} was not submitted by lamina")
        job = Job(comment.removeprefix(_MARK), found[0].name, "", Spec())
        return Record(job, self.cluster.name, native, Path(self.cluster.logs or ".") / job.id, 0.0)

    def status(self, record: Record) -> Status:
        """What Slurm says; where it has forgotten the job, what that has written itself."""
        spec, folder = record.job.spec, record.folder
        found = self._elements(record.native) or self._accounted(record.native)
        states: dict[int, Element] = {}
        for element in found:
            states.update(dict.fromkeys(element.indices, element))
        for index in range(len(spec.elements)):
            if index not in states:
                states[index] = _from_files(folder, index)
        said = [_own_output(folder, spec, index) for index in sorted(states)]
        each = [_refined(states[index], said[index]) for index in sorted(states)]
        state = slurmstate.merged([element.state for element in each])
        ends = [slurmstate.ends(text) for text in said]
        places = (divmod(number, spec.count) for number in range(_total(spec)))
        tasks = tuple(
            _task(record, each[index], ends[index], index * spec.count + rank)
            for index, rank in places
        )
        first = next((element for element in each if element.state not in _FINE), None)
        codes = list(filter(None, (code for end in ends for code in end.values())))
        code = None
        if state is State.SUCCEEDED:
            code = 0
        elif state.is_over:
            code = codes[0] if codes else (first.exit_code if first else None)
        names = ",".join(dict.fromkeys(element.nodes for element in each if element.nodes))
        return Status(
            state,
            code,
            reason=_reason(first, ends),
            nodes=tuple(self._hosts(names)),
            attempt=max(element.restarts for element in each) + 1,
            started=min((e.started for e in each if e.started), default=0.0),
            ended=max(e.ended for e in each),
            tasks=tasks,
        )

    def cancel(self, record: Record) -> None:
        """Tell Slurm to end it; its tasks get SIGTERM, and SIGKILL after Slurm's `KillWait`."""
        self._call("scancel", record.native)

    def log(self, record: Record, task: int, begin: int) -> bytes:
        """What a task has printed; what Slurm itself says of the job before all tasks began."""
        return read_log(record.folder / f"task-{task}.log", begin)

    def jobs(self) -> Sequence[Found]:
        """Those in the queue, of all users, that lamina submitted."""
        printed = self._call("squeue", "-h", "-a", "-o", "%A|%T|%u|%V|%k|%j")
        found = []
        for line in printed.splitlines():
            native, state, user, submitted, comment, name = line.split("|", 5)
            if comment.startswith(_MARK):
                when = slurmstate.when(submitted)
                found.append(
                    Found(
                        comment.removeprefix(_MARK), native, name,
                        slurmstate.state_of(state), user, when,
                    )
                )  # fmt: skip
        return list({each.native: each for each in found}.values())

    def nodes(self) -> Sequence[Node]:
        """The nodes of the partition that the cluster's settings name, or all."""
        words = ["-N", "-h", "-o", "%N|%T|%c|%m|%G|%f"]
        if self.cluster.partition:
            words += ["-p", self.cluster.partition]
        found = {}
        for line in self._call("sinfo", *words).splitlines():
            name, state, cpus, memory, gpus, told = line.split("|", 5)
            kept = () if told.strip() in ("", "(null)") else tuple(told.split(","))
            count = sum(int(each) for each in re.findall(r"gpu(?::[^:,(]+)?:(\d+)", gpus))
            found[name] = Node(name, state, int(cpus), int(memory) << 20, count, kept)
        return [found[name] for name in sorted(found)]

    def each_node(self, words: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Run a command of lamina once on each node that is up, as a step of its own."""
        from concurrent.futures import ThreadPoolExecutor, as_completed  # dear

        names = [node.name for node in self.nodes() if _is_up(node.state)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            work = {pool.submit(self._on_node, name, words): name for name in names}
            for done in as_completed(work):
                code, text = done.result()
                yield work[done], code, text

    def _on_node(self, name: str, words: Sequence[str]) -> tuple[int, str]:
        script = f'{slurmscript.store(self.cluster)}exec "$@"'
        options = ["-N1", "-n1", "-w", name, "--immediate=60", "--mem=0", "--overcommit"]
        if self.cluster.partition:
            options.append(f"--partition={self.cluster.partition}")
        done = process.run(
            "srun", *options, "/bin/sh", "-c", script, "sh", self.cluster.lamina, *words,
            ok=range(256),
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def _elements(self, native: str) -> list[Element]:
        """What the controller knows of a job; nothing where it has forgotten it."""
        try:
            return slurmstate.elements(self._call("scontrol", "-o", "show", "job", native))
        except ServiceError as error:
            if _FORGOTTEN in error.message:
                return []
            raise

    def _accounted(self, native: str) -> list[Element]:
        """What the accounting knows of a job, where the site keeps any."""
        try:
            printed = self._call(
                "sacct", "-X", "-n", "-P", "-j", native, "-o", "JobID,State,ExitCode,NodeList"
            )
        except (ServiceError, HostError):
            return []
        found = []
        for line in printed.splitlines():
            job, state, code, nodes = line.split("|", 3)
            index = int(job.partition("_")[2] or 0) if job.partition("_")[2].isdecimal() else 0
            found.append(
                Element(slurmstate.state_of(state), (index,), slurmstate.exit_code(code), "", nodes)
            )
        return found

    def _hosts(self, names: str) -> list[str]:
        if not names:
            return []
        if not re.search(r"[\[,]", names):
            return [names]
        return self._call("scontrol", "show", "hostnames", names).split()

    def _call(self, tool: str, *words: str) -> str:
        """What one of Slurm's programs prints; raises ServiceError with what it complains of."""
        program = process.find(tool)
        if program is None:
            raise HostError(
                f"Slurm's `{tool}` is not on this machine",
                hint="submit from a login node of the cluster; on Debian: "
                "`apt-get install slurm-client`",
            )
        return _printed(tool, process.run(program, *words, env=_environment(), ok=range(256)))


def _environment() -> dict[str, str]:
    """Of Slurm's programs: times are those of this machine, words English."""
    return {**os.environ, "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}


def _room(sbatch: subprocess.Popen[bytes]) -> int:
    """Bytes that its empty input takes: less than usual for who has many pipes."""
    assert sbatch.stdin is not None
    return fcntl.fcntl(sbatch.stdin.fileno(), fcntl.F_GETPIPE_SZ)


def _handed(sbatch: subprocess.Popen[bytes], script: bytes) -> subprocess.CompletedProcess[bytes]:
    """What becomes of a script that one which waits is given.

    It goes into the empty pipe by one call, or not at all: else who is killed meanwhile would
    leave the beginning of a script, which is submitted then.
    """
    assert sbatch.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended, and said why
        os.write(sbatch.stdin.fileno(), script)
    out, words = sbatch.communicate()
    return subprocess.CompletedProcess(sbatch.args, sbatch.returncode, out, words)


def _printed(tool: str, done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise ServiceError(f"`{tool}`: {said}", hint="`sinfo` tells whether Slurm is there")
    return done.stdout.decode(errors="replace")


_FINE = (State.SUCCEEDED, State.RUNNING)


def _total(spec: Spec) -> int:
    return spec.count * len(spec.elements)


def _is_up(state: str) -> bool:
    return not re.match(
        r"(down|drain|fail|maint|power|reboot|unk|no_resp|invalid)", state.lower()
    ) and not state.endswith(("*", "$"))


def _own_output(folder: Path, spec: Spec, index: int) -> str:
    """What Slurm and the script said in the last attempt of an element."""
    name = "batch.log" if len(spec.elements) == 1 else f"batch-{index}.log"
    text = read_log(folder / name, 0).decode(errors="replace")
    return text.rpartition(f"{slurmscript.MARK} ")[2]


def _node(folder: Path, number: int) -> str:
    """Where a task has begun; empty where it has not."""
    return read_log(folder / f"task-{number}.node", 0).decode(errors="replace").strip()


def _from_files(folder: Path, index: int) -> Element:
    """How an element ended that Slurm has forgotten."""
    try:
        code = int((folder / f"exit-{index}").read_text())
    except (FileNotFoundError, ValueError):
        return Element(State.LOST, (index,), reason="Slurm has forgotten it, and it told nothing")
    state = State.SUCCEEDED if code == 0 else State.FAILED
    return Element(state, (index,), code)


def _refined(element: Element, said: str) -> Element:
    """A failure that was a want of memory, as Slurm says in the job's own output."""
    if element.state is State.FAILED and _OOM.search(said):
        return replace(element, state=State.OUT_OF_MEMORY)
    return element


def _task(record: Record, element: Element, ends: Mapping[int, int], number: int) -> Task:
    index = number % record.job.spec.count
    node = _node(record.folder, number)
    code = ends.get(index)
    state = element.state
    if state is State.PENDING:
        code, node = None, ""  # what is there is of an attempt before
    elif code is not None:
        state = element.state if element.state not in _FINE else State.FAILED
        if state is State.OUT_OF_MEMORY and code != slurmstate.KILLED:
            state = State.FAILED
    elif state is State.RUNNING and not node:
        state = State.PENDING
    elif state is State.SUCCEEDED:
        code = 0
    # Slurm tells whole seconds, rounded down.
    ended = max(element.ended, _written(record.folder / f"task-{number}.log"))
    times = read_times(record.folder / f"task-{number}.json")
    return Task(number, state, code, node, times, ended if state.is_over else 0.0)


def _written(path: Path) -> float:
    """When a file was written last, in seconds since the epoch; 0 where it is not there."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _reason(first: Element | None, ends: Sequence[Mapping[int, int]]) -> str:
    if first is None:
        return ""
    if first.reason:
        return first.reason
    # The first that Slurm told of: the others ended because of it.
    task, code = next((each for end in ends for each in end.items()), (0, 0))
    return f"task {task} ended with {code}" if code else ""
