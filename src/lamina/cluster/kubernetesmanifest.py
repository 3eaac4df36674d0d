"""What Kubernetes is told of a job: a batch/v1 Job with an index for each task, and how they meet.

Each element of an array is a Job of its own: its arguments are others, and so a task finds its rank
in the index, without a shell in the image. The reference of the API:
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from lamina.cluster import environment
from lamina.cluster.environment import Place
from lamina.core import reference
from lamina.core.classes import asdict, dataclass
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError
from lamina.core.job import Job, Mount, Spec, mount_of

Object: TypeAlias = dict[str, object]

MANAGER = "app.kubernetes.io/managed-by"  # a label, of which `lamina` is the value
JOB, ELEMENT = "lamina.job", "lamina.element"  # labels
ID, LABEL, PACKAGE, SPEC, ARRAY, USER = (  # annotations
    "lamina.id", "lamina.label", "lamina.package", "lamina.spec", "lamina.array", "lamina.user",
)  # fmt: skip
INDEX = "batch.kubernetes.io/job-completion-index"  # an annotation of pods
CONTAINER = "task"
UNKNOWN_UID = "known-once-the-job-is-there"  # in what `--dry-run` prints
_FAILURES = "batch.kubernetes.io/job-index-failure-count"  # an annotation of pods
_HOST = "kubernetes.io/hostname"
_GPU = "nvidia.com/gpu"
_PORT = 29_500  # for the rendezvous, on the address that each pod has for itself
_KEPT = 7 * 86_400  # seconds for which a job that is over is known, with what it printed
_GRACE = 30  # seconds from SIGTERM to SIGKILL
_MOST_NAME = 45  # with an element and an index behind it, no longer than a label of DNS
_LABEL_KEY = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True, slots=True)
class Where:
    """Where jobs go, and on whose behalf."""

    namespace: str
    user: str


def name_of(job: str) -> str:
    """What the objects of a job are called: its id, made a name that services may have too."""
    plain = re.sub(r"[^a-z0-9]+", "-", job.lower()).strip("-")
    if not plain or not plain[0].isalpha():
        plain = f"job-{plain}".rstrip("-")
    if plain != job or len(plain) > _MOST_NAME:
        tail = hashlib.sha256(job.encode()).hexdigest()[:8]
        plain = f"{plain[: _MOST_NAME - 9].rstrip('-')}-{tail}"
    return plain


def names(job: Job) -> list[str]:
    """The names of the Jobs of a job: one, or one for each element of an array."""
    name = name_of(job.id)
    if not job.spec.array:
        return [name]
    return [f"{name}-{element}" for element in range(len(job.spec.elements))]


def jobs(job: Job, cluster: Cluster, where: Where) -> list[Object]:
    """The Jobs; raises UserError for what Kubernetes cannot do."""
    _check(job)
    return [
        _job(job, cluster, where, element, name)
        for element, name in enumerate(names(job))
    ]  # fmt: skip


def service(job: Mapping[str, object], uid: str) -> Object | None:
    """What gives the tasks of a Job names to find one another by; goes with the Job, of that uid.

    None where a task is alone.
    """
    metadata, spec = part(job, "metadata"), part(job, "spec")
    if spec["completions"] == 1:
        return None
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": uid}
    labels = part(metadata, "labels")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "clusterIP": "None",  # names alone: nothing stands between the tasks
            "publishNotReadyAddresses": True,
            "selector": {JOB: labels[JOB], ELEMENT: labels[ELEMENT]},
            "ports": [{"name": "rendezvous", "port": _PORT, "protocol": "TCP"}],
        },
    }


def part(found: Mapping[str, object], *names: str) -> dict[str, object]:
    """What lies inside of an object; empty where it is not there."""
    for name in names:
        inner = found.get(name)
        found = inner if isinstance(inner, dict) else {}
    return dict(found)


def _check(job: Job) -> None:
    spec = job.spec
    place = reference.parse(job.package) if reference.is_remote(job.package) else None
    if place is None or place.is_layout or not place.digest:
        raise UserError(
            f"Kubernetes cannot pull `{job.package}`",
            hint='`registry = "host/repository"` in the settings of the cluster',
        )
    if spec.setup and not job.entry_point:
        raise UserError("lines of `setup` need a program that is known, and a shell in its image")


def _job(job: Job, cluster: Cluster, where: Where, element: int, name: str) -> Object:
    spec = job.spec
    labels = {MANAGER: "lamina", JOB: name_of(job.id), ELEMENT: str(element)}
    found: Object = {
        "completionMode": "Indexed",
        "completions": spec.count,
        "parallelism": spec.count,
        "backoffLimit": spec.retries * spec.count,
        "ttlSecondsAfterFinished": _KEPT,
        # A node that goes away, or is wanted for others, is no fault of the job.
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [
                {"type": "DisruptionTarget", "status": "True"}
            ]}]
        },
        "template": {
            "metadata": {"labels": labels},
            "spec": _pod(job, cluster, where, element, name),
        },
    }  # fmt: skip
    if spec.retries:  # each task so often, and the whole has failed with the first that has
        found["backoffLimitPerIndex"] = spec.retries
        found["maxFailedIndexes"] = 0
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": where.namespace,
            "labels": labels,
            "annotations": _annotations(job, where, element),
        },
        "spec": found,
    }


def _annotations(job: Job, where: Where, element: int) -> dict[str, str]:
    """What tells another machine of the job."""
    spec = asdict(job.spec)
    spec.pop("array")
    found = {
        ID: job.id,
        LABEL: job.label,
        PACKAGE: job.package,
        SPEC: json.dumps(spec, separators=(",", ":")),
        USER: where.user,
    }
    if job.spec.array:
        found[ARRAY] = job.spec.array[element]
    return found


def _pod(job: Job, cluster: Cluster, where: Where, element: int, name: str) -> Object:
    spec = job.spec
    mounts = [mount_of(text) for text in spec.mounts]
    found: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": spec.warning or _GRACE,
        "enableServiceLinks": False,
        # The first process of a namespace does not hear SIGTERM unless it asks for it.
        "shareProcessNamespace": True,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(job, element, name, where, mounts)],
        # What processes share their memory through has 64 MiB otherwise.
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            *(_volume(number, mount) for number, mount in enumerate(mounts)),
        ],
    }
    if spec.count > 1:
        found["subdomain"] = name
    if spec.time_limit:
        # Of the pod, not of the Job, whose clock also runs while it waits for a node.
        found["activeDeadlineSeconds"] = max(spec.time_limit - spec.warning, 1)
    if cluster.service_account:
        found["serviceAccountName"] = cluster.service_account
    else:
        found["automountServiceAccountToken"] = False
    if selector := _selector(spec.constraint or cluster.constraint):
        found["nodeSelector"] = selector
    if terms := _apart(job, element):
        found["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}
        }
    return found


def _container(
    job: Job, element: int, name: str, where: Where, mounts: Sequence[Mount]
) -> Object:  # fmt: skip
    spec = job.spec
    arguments = [*spec.arguments, *spec.elements[element]]
    resources = _resources(spec)
    found: Object = {
        "name": CONTAINER,
        "image": job.package,
        "imagePullPolicy": "IfNotPresent",  # one digest is one image
        "env": _variables(job, element, name, where),
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            *(_mounted(number, mount) for number, mount in enumerate(mounts)),
        ],
    }
    if spec.setup:
        attempt = ["export LAMINA_ATTEMPT=$((LAMINA_FAILURES + 1))"] if spec.retries else []
        lines = "\n".join([*attempt, *spec.setup, 'exec "$@"'])
        words = ["/bin/sh", "-ec", lines, "sh", *job.entry_point]
        found["command"] = [literal(word) for word in words]
    if arguments:
        found["args"] = [literal(word) for word in arguments]
    return found


def literal(text: str) -> str:
    """A text as the API has to be told it, where `$(NAME)` is a variable and `$$` is `$`."""
    return text.replace("$", "$$")


def _variables(job: Job, element: int, name: str, where: Where) -> list[Object]:
    count = job.spec.count
    master = f"{name}-0.{name}.{where.namespace}.svc" if count > 1 else "127.0.0.1"
    # Each task has a pod, which is a machine of its own to it. Its index is only known there.
    known = environment.variables(job.id, Place(0, count, 0, 1, 0, count, master, _PORT, element))
    ranks = ("RANK", "GROUP_RANK", "LAMINA_TASK_INDEX", "LAMINA_NODE_INDEX")
    told_there = (*ranks, "LAMINA_ATTEMPT", "LAMINA_FAILURES", "LAMINA_NODE")
    given = {**dict(job.spec.environment), **known}
    found: list[Object] = [
        {"name": variable, "value": literal(value)}
        for variable, value in given.items()
        if variable not in told_there
    ]
    found += [_from(f"metadata.annotations['{INDEX}']", variable) for variable in ranks]
    if job.spec.retries:
        found.append(_from(f"metadata.annotations['{_FAILURES}']", "LAMINA_FAILURES"))
    else:
        found.append({"name": "LAMINA_ATTEMPT", "value": "1"})
    return [*found, _from("spec.nodeName", "LAMINA_NODE")]


def _from(path: str, variable: str) -> Object:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _resources(spec: Spec) -> Object:
    wanted = spec.resources
    found = {"cpu": wanted.cpus, "memory": wanted.memory, _GPU: wanted.gpus}
    return {name: str(value) for name, value in found.items() if value}


def _volume(number: int, mount: Mount) -> Object:
    name = f"mount-{number}"
    if mount.is_claim:
        return {
            "name": name,
            "persistentVolumeClaim": {"claimName": mount.source, "readOnly": mount.read_only},
        }
    return {"name": name, "hostPath": {"path": mount.source}}


def _mounted(number: int, mount: Mount) -> Object:
    return {"name": f"mount-{number}", "mountPath": mount.target, "readOnly": mount.read_only}


def _selector(constraint: str) -> dict[str, str]:
    """The labels that nodes must have: `label=value,label=value`."""
    found = {}
    for word in filter(None, (each.strip() for each in constraint.split(","))):
        key, equals, value = word.partition("=")
        if not equals or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise UserError(
                f"`{word}` is no label of a node", hint="on Kubernetes: `label=value,label=value`"
            )
        found[key] = value
    return found


def _apart(job: Job, element: int) -> list[Object]:
    """Which pods may not be on the same node."""
    spec = job.spec
    found: list[Object] = []
    if spec.nodes > 1 and spec.count == spec.nodes:
        same = {JOB: name_of(job.id), ELEMENT: str(element)}
        found.append({"labelSelector": {"matchLabels": same}, "topologyKey": _HOST})
    if spec.exclusive:
        others = {"key": JOB, "operator": "NotIn", "values": [name_of(job.id)]}
        found.append(
            {
                "labelSelector": {
                    "matchLabels": {MANAGER: "lamina"},
                    "matchExpressions": [others],
                },
                "namespaceSelector": {},
                "topologyKey": _HOST,
            }
        )
    return found
