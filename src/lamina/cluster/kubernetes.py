"""Jobs through Kubernetes: its API is told of Jobs, and asked for them and for their pods.

The package is an image that the kubelets pull, of which they have most layers already. Nothing of
lamina runs there.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

from lamina.cluster import kubernetesmanifest as manifest
from lamina.cluster import kubernetesprefetch as prefetching
from lamina.cluster import kubernetesstate as states
from lamina.cluster import records
from lamina.cluster.kubernetesapi import Api, items, quantity, yaml_of
from lamina.cluster.kuberneteslog import Logs
from lamina.cluster.kubernetesmanifest import Object, Where, part
from lamina.cluster.kubernetesstate import Pod
from lamina.cluster.launcher import Fetched, Found, Node, State, Status
from lamina.cluster.local import read_log, read_state, write_state
from lamina.cluster.records import Record
from lamina.core.classes import replace
from lamina.core.cluster import Cluster
from lamina.core.errors import ServiceError, UserError
from lamina.core.job import Job
from lamina.linux import filesystem

_CANCELLED = "cancelled"  # a file in the folder of a job


class KubernetesLauncher:
    """Starts jobs on a cluster with Kubernetes, as settings of kubectl tell of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._api = Api(cluster.context)
        self._logs = Logs(self._api)
        self._pods: dict[str, list[Pod]] = {}  # by job, as they were seen last
        self._versions: dict[str, str] = {}  # by job, of what was seen last
        self._cancelled: set[str] = set()

    def plan(self, job: Job) -> Mapping[str, str]:
        """The objects, of which only the uid of a Job is known to Kubernetes alone."""
        found: list[Object] = []
        for each in manifest.jobs(job, self.cluster, self._where(job.spec.partition)):
            service = manifest.service(each, manifest.UNKNOWN_UID)
            found += [each, service] if service else [each]
        return {"manifest": yaml_of(found)}

    def submit(self, job: Job, folder: Path) -> str:
        """Make the objects, all of them or none."""
        where = self._where(job.spec.partition)
        wanted = manifest.jobs(job, self.cluster, where)
        (folder / "manifest.yaml").write_text(yaml_of(wanted), encoding="utf-8")
        made: list[str] = []

        def make(each: Object) -> None:
            name = str(part(each, "metadata")["name"])
            made.append(name)
            try:
                found = self._api.create(each)
            except ServiceError as error:
                if not error.retryable:  # else nobody knows whether it is there
                    made.remove(name)
                raise
            if service := manifest.service(each, str(part(found, "metadata")["uid"])):
                self._api.create(service)

        try:
            self._api.all_of(make, wanted)
        except BaseException:
            with contextlib.suppress(ServiceError):  # what went wrong first is told
                self._api.all_of(lambda name: self._api.delete_job(where.namespace, name), made)
            raise
        return f"{where.namespace}/{manifest.name_of(job.id)}"

    def _where(self, partition: str = "") -> Where:
        namespace = partition or self._namespace
        try:
            return Where(namespace, getpass.getuser())
        except (KeyError, OSError):  # nobody is known by this number
            return Where(namespace, "")

    @property
    def _namespace(self) -> str:
        return self.cluster.partition or self._api.namespace

    def foreign(self, native: str) -> Record:
        """A job that was submitted elsewhere, by `[NAMESPACE/]NAME`."""
        namespace, _, name = native.rpartition("/")
        namespace = namespace or self._namespace
        found, _ = self._api.jobs(namespace, _labels(name))
        if not found:
            raise UserError(
                f"Kubernetes knows no job `{name}` by lamina in the namespace `{namespace}`",
                hint=f"`lamina jobs --on {self.cluster.name}` lists them; "
                "it forgets them a week after their end",
            )
        found.sort(key=states.element_of)
        job = _described(name, found)
        place = Path(self.cluster.logs or ".") / job.id
        submitted = states.when(part(found[0], "metadata").get("creationTimestamp"))
        return Record(job, self.cluster.name, f"{namespace}/{name}", place, submitted)

    def status(self, record: Record) -> Status:
        """What Kubernetes says; where it has forgotten the job, what was seen of it last."""
        namespace, name = _place(record)
        jobs, version = self._api.jobs(namespace, _labels(name))
        listed, _ = self._api.pods(namespace, _labels(name))
        read = (states.pod(each) for each in listed)
        pods = [pod for pod in read if pod is not None]
        self._pods[record.job.id], self._versions[record.job.id] = pods, version
        gone = State.CANCELLED if self._was_cancelled(record) else State.LOST
        if not jobs and (kept := _kept(record)) is not None:
            return kept
        spec = record.job.spec
        found = states.status(jobs, pods, spec.count, len(spec.elements), gone)
        if found.state is State.PENDING and not found.reason and not pods:
            found = _with_reason(found, self._why_no_pods(namespace, jobs))
        if found.state.is_over and jobs and record.folder.is_dir():
            write_state(record.folder, found)
        return found

    def _was_cancelled(self, record: Record) -> bool:
        return record.job.id in self._cancelled or (record.folder / _CANCELLED).exists()

    def _why_no_pods(self, namespace: str, jobs: Sequence[Object]) -> str:
        """What keeps Kubernetes from making pods: a quota, a policy."""
        for job in jobs[:1]:
            uid = str(part(job, "metadata").get("uid"))
            for event in self._api.events(namespace, uid):
                if event.get("type") == "Warning":
                    return f"{event.get('reason')}: {event.get('message')}"
        return ""

    def await_change(self, record: Record, seconds: float) -> None:
        """Let Kubernetes tell of a change; where it does not, wait before it is asked again."""
        namespace, name = _place(record)
        begun = time.monotonic()
        try:
            version = self._versions.get(record.job.id, "")
            if self._api.await_change(namespace, _labels(name), version, seconds):
                return
        except ServiceError as error:
            if not error.retryable:
                raise
        time.sleep(max(min(1.0, seconds) - (time.monotonic() - begun), 0.0))

    def cancel(self, record: Record) -> None:
        """Delete it, once what it has printed is kept; its tasks get SIGTERM, SIGKILL later."""
        namespace, name = _place(record)
        jobs, _ = self._api.jobs(namespace, _labels(name))
        if not jobs:
            return
        if record.folder.is_dir():
            self._keep_logs(record)
            filesystem.write_atomic(record.folder / _CANCELLED, b"")
        self._cancelled.add(record.job.id)
        names = [str(part(job, "metadata")["name"]) for job in jobs]
        self._api.all_of(lambda each: self._api.delete_job(namespace, each), names)

    def _keep_logs(self, record: Record) -> None:
        """Keep what was printed: it is lost with the pods."""
        self.status(record)
        spec = record.job.spec

        def keep(task: int) -> None:
            with contextlib.suppress(ServiceError):  # its node may be what is wrong
                if data := self.log(record, task, 0):
                    (record.folder / f"task-{task}.log").write_bytes(data)

        self._api.all_of(keep, range(spec.count * len(spec.elements)))

    def log(self, record: Record, task: int, begin: int) -> bytes:
        """What a task has printed in all its attempts, from a byte on."""
        if record.job.id not in self._pods:
            self.status(record)
        wanted = divmod(task, record.job.spec.count)
        found = [
            pod for pod in self._pods[record.job.id] if (pod.element, pod.index) == wanted
        ]  # fmt: skip
        if not found:
            return read_log(record.folder / f"task-{task}.log", begin)
        found.sort(key=lambda pod: (pod.created, pod.name))
        return self._logs.read(_place(record)[0], found, begin)

    def jobs(self) -> Sequence[Found]:
        """Those in the namespace, of all users, that lamina submitted and that are not over."""
        found: dict[str, Found] = {}
        listed, _ = self._api.jobs(self._namespace, f"{manifest.MANAGER}=lamina")
        for job in listed:
            metadata = part(job, "metadata")
            notes, name = (
                part(metadata, "annotations"),
                str(part(metadata, "labels").get("lamina.job")),
            )
            state = states.roughly(job)
            if state.is_over:
                continue
            known = found.get(name)
            if known is not None and known.state is State.RUNNING:
                continue
            found[name] = Found(
                id=str(notes.get(manifest.ID) or name),
                native=f"{self._namespace}/{name}",
                name=str(notes.get(manifest.LABEL) or ""),
                state=state,
                user=str(notes.get(manifest.USER) or ""),
                submitted=states.when(metadata.get("creationTimestamp")),
            )
        return list(found.values())

    def nodes(self) -> Sequence[Node]:
        """The nodes; their labels are what a job may ask for."""
        return sorted((_node(each) for each in self._api.nodes()), key=lambda node: node.name)

    def prefetch(self, package: str) -> Generator[Fetched, None, None]:
        """Let the kubelets pull an image."""
        return prefetching.run(self._api, self.cluster, self._where(), package)

    def held(self, package: str) -> Mapping[str, tuple[int, int]]:
        """The nodes that tell they have all of an image."""
        return prefetching.held(self._api.nodes(), package)

    def each_node(self, words: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """There is no lamina on these nodes."""
        raise UserError(
            f"the nodes of Kubernetes run images, and no `lamina {' '.join(words[:1])}`",
            hint="their kubelets pull what they lack; `lamina prefetch` has them do so",
        )


def _labels(name: str) -> str:
    return f"{manifest.JOB}={name}"


def _place(record: Record) -> tuple[str, str]:
    """The namespace and the name of a job."""
    namespace, _, name = record.native.rpartition("/")
    return namespace, name


def _kept(record: Record) -> Status | None:
    """What was seen of a job that was over."""
    return read_state(record.folder) if record.folder.is_dir() else None


def _with_reason(status: Status, reason: str) -> Status:
    return replace(status, reason=reason)


def _described(name: str, found: Sequence[Object]) -> Job:
    """The job that annotations of its Jobs tell of; raises UserError where they do not."""
    notes = [part(job, "metadata", "annotations") for job in found]
    first = notes[0]
    try:
        spec = json.loads(str(first[manifest.SPEC]))
        spec["array"] = [str(each[manifest.ARRAY]) for each in notes if manifest.ARRAY in each]
        names = {"id": manifest.ID, "label": manifest.LABEL, "package": manifest.PACKAGE}
        return records.job_of(
            {**{name: str(first[note]) for name, note in names.items()}, "spec": spec}
        )
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"what Kubernetes keeps of the job `{name}` is damaged: {error!r}"
        ) from error


def _node(found: Object) -> Node:
    conditions = {
        str(each.get("type")): each.get("status") for each in items(found, "status", "conditions")
    }
    state = "ready" if conditions.get("Ready") == "True" else "not ready"
    if part(found, "spec").get("unschedulable"):
        state += ", cordoned"
    has = part(found, "status", "allocatable")
    labels = part(found, "metadata", "labels")
    return Node(
        name=str(part(found, "metadata").get("name")),
        state=state,
        cpus=quantity(has.get("cpu")),
        memory=quantity(has.get("memory")),
        gpus=quantity(has.get(manifest.GPU)),
        features=tuple(f"{key}={value}" for key, value in sorted(labels.items())),
    )
