"""Images into the caches of nodes: a pod on each makes its kubelet pull one, and ends at once.

Nothing else makes a kubelet pull. The image's own program must not run for that, and the image may
have no other; so what runs is a file of some bytes that ends at once, which a ConfigMap brings.

All of it belongs to a Job that has nothing to do, and so is over at once. Who waits deletes that;
where nobody is left to do so, Kubernetes removes it some time after its end, with all that is its.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Generator, Mapping, Sequence

from lamina.cluster import records
from lamina.cluster.kubernetesapi import Api, items
from lamina.cluster.kubernetesmanifest import (
    CONTAINER,
    GPU,
    Object,
    Where,
    part,
    pullable,
    selector,
)
from lamina.cluster.kubernetesstate import HARMLESS, said, when
from lamina.cluster.launcher import Fetched
from lamina.core.classes import dataclass
from lamina.core.cluster import Cluster
from lamina.core.errors import ServiceError, UserError
from lamina.formats import elf

LABEL = "lamina.prefetch"
LONGEST = 3600  # seconds after which it ends, done or not
_KEPT = LONGEST + 60  # seconds for which Kubernetes keeps it where nobody deletes it
_PATIENCE = 60.0  # seconds for which a kubelet may fail: it tries some times, as registries do
_NOBODY = 65534  # the user of what needs no rights
_PLACE = "/.lamina-prefetch"
# Why a container does not run though its image is there: kubelets pull before they make one.
_PULLED = frozenset(("CreateContainerConfigError", "CreateContainerError", "RunContainerError"))
_BACK_OFF = "ImagePullBackOff"  # says less than what went before
_KEEPING_OFF = frozenset(("NoSchedule", "NoExecute"))  # effects of taints


def wanted(nodes: Sequence[Object], constraint: str) -> list[Object]:
    """The nodes on which a job may come, as they are now."""
    labels = selector(constraint)
    return [
        node
        for node in nodes
        if labels.items() <= part(node, "metadata", "labels").items() and _is_open(node)
    ]


def _is_open(node: Object) -> bool:
    taints = [
        each
        for each in items(node, "spec", "taints")
        if each.get("effect") in _KEEPING_OFF and each.get("key") != GPU
    ]
    return (
        _condition(node, "Ready").get("status") == "True"
        and not part(node, "spec").get("unschedulable")
        and not taints
    )  # fmt: skip


def held(nodes: Sequence[Object], package: str) -> dict[str, tuple[int, int]]:
    """The nodes that tell they have all of an image: bytes that they lack, of how many.

    Kubelets list their largest images, 50 of them by default, once or twice in a minute: a node
    that is not here may have the image, or a part of it.
    """
    digest = f"@{pullable(package).digest}"
    found = {}
    for node in nodes:
        for image in items(node, "status", "images"):
            names = image.get("names")
            known = names if isinstance(names, list) else []
            if any(str(name).endswith(digest) for name in known):
                size = image.get("sizeBytes")
                found[_name(node)] = 0, size if isinstance(size, int) else 0
    return found


def _condition(found: Object, kind: str) -> Object:
    """What is said of one of the conditions of a node or a pod."""
    conditions = items(found, "status", "conditions")
    return next((each for each in conditions if each.get("type") == kind), {})


def _name(found: Object) -> str:
    return str(part(found, "metadata").get("name"))


def owner(name: str, package: str, where: Where) -> Object:
    """The Job that all belongs to.

    Without a pod its own time limit would not begin, at least until 1.20; with nothing to complete
    it is complete, and from then on it is kept for a time.
    """
    containers = [{"name": CONTAINER, "image": package}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": where.namespace, "labels": {LABEL: name}},
        "spec": {
            "completions": 0,
            "ttlSecondsAfterFinished": _KEPT,
            "template": {"spec": {"restartPolicy": "Never", "containers": containers}},
        },
    }


def programs(name: str, where: Where, uid: str) -> Object:
    """What the pods run, for each kind of node."""
    files = {each: base64.b64encode(elf.ending(each)).decode() for each in elf.ARCHITECTURES}
    metadata = _metadata(name, name, where, uid)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": files}


# Nothing is kept for it, so a busy node gets the image as well; but quotas want to be told.
_RESOURCES: Object = {
    "requests": {"cpu": "0", "memory": "0"},
    "limits": {"cpu": "100m", "memory": "64Mi"},
}


def pod(
    name: str, number: int, node: Object, package: str, cluster: Cluster, where: Where, uid: str
) -> Object:
    """What makes the kubelet of a node pull.

    The scheduler places it, so that what keeps jobs away from a node keeps it away too.
    """
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [_name(node)]}]}]
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "activeDeadlineSeconds": LONGEST,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
            }
        },
        # Those who ask for GPUs are told so by most clusters themselves.
        "tolerations": [{"key": GPU, "operator": "Exists"}],
        "containers": [
            {
                "name": CONTAINER,
                "image": package,
                "imagePullPolicy": "IfNotPresent",  # one digest is one image
                "command": [f"{_PLACE}/{_architecture(node)}"],
                "workingDir": "/",
                "resources": _RESOURCES,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [{"name": "programs", "mountPath": _PLACE, "readOnly": True}],
            }
        ],
        "volumes": [{"name": "programs", "configMap": {"name": name, "defaultMode": 0o555}}],
    }
    if cluster.service_account:  # whose secrets the registry may want
        spec["serviceAccountName"] = cluster.service_account
    spec["automountServiceAccountToken"] = False
    metadata = _metadata(f"{name}-{number}", name, where, uid)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _architecture(node: Object) -> str:
    """Where no program is for it, none starts; but not before the image is there."""
    return str(part(node, "status", "nodeInfo").get("architecture") or elf.ARCHITECTURES[0])


def _metadata(name: str, job: str, where: Where, uid: str) -> Object:
    above = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}
    return {
        "name": name, "namespace": where.namespace, "labels": {LABEL: job},
        "ownerReferences": [above],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a pod is."""

    has_image: bool = False
    is_over: bool = False  # nothing more comes of it
    why: str = ""  # it has no image yet


def seen(found: Object) -> Seen:
    """Read a pod."""
    status = part(found, "status")
    container = next(items(status, "containerStatuses"), {})
    if ended := part(container, "state", "terminated"):
        # One that did not start was to start from its image.
        if ended.get("exitCode") == 0 or container.get("imageID"):
            return Seen(has_image=True, is_over=True)
        return Seen(is_over=True, why=said(str(ended.get("reason")), ended.get("message")))
    if "running" in part(container, "state"):
        return Seen(has_image=True)
    why, message = str(status.get("reason") or ""), status.get("message")
    if status.get("phase") == "Failed":
        return Seen(is_over=True, why=said(why or "Failed", message))
    waiting = part(container, "state", "waiting")
    word = str(waiting.get("reason") or "")
    if word in _PULLED:
        return Seen(has_image=True)
    if word and word not in HARMLESS:
        return Seen(why=said(word, waiting.get("message")))
    scheduled = _condition(found, "PodScheduled")
    if scheduled.get("status") == "False":
        return Seen(why=said(str(scheduled.get("reason")), scheduled.get("message")))
    return Seen()


def seconds(found: Object, events: Sequence[Object]) -> float | None:
    """How long the image took to come to the node of a pod; None where it was there.

    Kubelets tell of that in events, which not everybody may read and which may be lost: else it is
    the time from the node to the first process. Both are whole seconds.
    """
    times: dict[object, float] = {}
    for event in events:
        first = event.get("firstTimestamp") or event.get("eventTime")
        times.setdefault(event.get("reason"), when(first))
    if pulled := times.get("Pulled"):
        return pulled - times["Pulling"] if "Pulling" in times else None
    container = next(items(found, "status", "containerStatuses"), {})
    state = part(container, "state")
    begun = part(state, "terminated").get("startedAt") or part(state, "running").get("startedAt")
    scheduled = _condition(found, "PodScheduled").get("lastTransitionTime")
    return max(when(begun) - when(scheduled), 0.0) if begun else 0.0


def is_pulling(events: Sequence[Object]) -> bool:
    """Whether a kubelet that failed tries anew right now: its pod does not tell that."""
    times = {event.get("reason"): when(event.get("lastTimestamp")) for event in events}
    return times.get("Pulling", 0.0) > max(times.get("Failed", 0.0), times.get("BackOff", 0.0))


def cause(events: Sequence[Object]) -> str:
    """Why an image could not be pulled, where the pod only tells that it waits."""
    failed = [str(event.get("message")) for event in events if event.get("reason") == "Failed"]
    return next((text for text in reversed(failed) if not text.startswith("Error: ")), "")


def run(
    api: Api, cluster: Cluster, where: Where, package: str, *, patience: float = _PATIENCE
) -> Generator[Fetched, None, None]:
    """Have the kubelets pull an image; each node once it is known what became of that there.

    Whatever happens, nothing stays but the image. Raises UserError where no node is wanted.
    """
    pullable(package)
    nodes = wanted(api.nodes(), cluster.constraint)
    if not nodes:
        raise UserError(
            f"no node of the cluster `{cluster.name}` is ready to pull",
            hint=f"`lamina nodes --on {cluster.name}` tells their states and labels",
        )
    name = records.new_id("prefetch")
    try:
        made = api.create(owner(name, package, where))
        uid = str(part(made, "metadata")["uid"])
        api.create(programs(name, where, uid))
        pods = [
            pod(name, number, node, package, cluster, where, uid)
            for number, node in enumerate(nodes)
        ]
        api.all_of(api.create, pods)
        places = {_name(each): _name(node) for each, node in zip(pods, nodes, strict=True)}
        yield from _watched(api, where.namespace, name, places, patience)
    except BaseException:
        with contextlib.suppress(ServiceError):  # what went wrong first is told
            api.delete_job(where.namespace, name)
        raise
    api.delete_job(where.namespace, name)


def _watched(
    api: Api, namespace: str, name: str, places: Mapping[str, str], patience: float
) -> Generator[Fetched, None, None]:
    """Tell of each pod once; `places` are their nodes."""
    waiting = dict(places)
    failing: dict[str, tuple[float, str]] = {}  # since when, and why
    until = time.monotonic() + LONGEST

    def events_of(each: Object) -> list[Object]:
        return api.events(namespace, str(part(each, "metadata").get("uid")))

    while True:
        listed, version = api.pods(namespace, f"{LABEL}={name}")
        found = {_name(each): each for each in listed}
        now = time.monotonic()
        for each in list(waiting):
            there = seen(found[each]) if each in found else Seen(is_over=True, why="it was deleted")
            if there.has_image:
                took = seconds(found[each], events_of(found[each]))
                yield Fetched(waiting.pop(each), took)
                continue
            begun, why = failing.pop(each, (now, ""))
            if not why or not there.why.startswith(_BACK_OFF):
                why = there.why
            if there.is_over or now >= until:
                yield Fetched(waiting.pop(each), None, why or "its kubelet tells nothing")
            elif why and now - begun < patience:
                failing[each] = begun, why
            elif why and not is_pulling(events := events_of(found[each])):
                telling = not why.startswith(_BACK_OFF)
                yield Fetched(waiting.pop(each), None, why if telling else cause(events) or why)
        if not waiting:
            return
        begun = time.monotonic()
        api.await_change(namespace, f"{LABEL}={name}", version, min(patience / 4, 15.0), "Pod")
        time.sleep(max(min(0.2, patience) - (time.monotonic() - begun), 0.0))
