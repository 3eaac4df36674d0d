"""Nodes pull an image: what is sent, how pods are read, and that nothing stays."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lamina.cluster import kubernetesprefetch as prefetching
from lamina.cluster.kubernetes import KubernetesLauncher
from lamina.cluster.kubernetesapi import Api
from lamina.cluster.kubernetesmanifest import Where
from lamina.cluster.kubernetesprefetch import Seen
from lamina.cluster.launcher import Caching, Fetched
from lamina.core.cluster import Cluster
from lamina.core.errors import ServiceError, UserError
from lamina.formats import elf
from tests.cluster.kubernetes import Lab
from tests.cluster.schemas import VERSIONS, check

PACKAGE = f"registry.site:5000/team/train@sha256:{'ab' * 32}"
CLUSTER = Cluster("prod", "kubernetes")
WHERE = Where("team", "mira")
NODE = {
    "metadata": {"name": "n1", "labels": {"zone": "a"}}, "spec": {},
    "status": {"nodeInfo": {"architecture": "arm64"},
               "conditions": [{"type": "Ready", "status": "True"}]},
}  # fmt: skip


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "uid": "u"}, "status": status}


def container(state: Mapping[str, Any], image: str = "") -> dict[str, Any]:
    return pod(containerStatuses=[{"name": "task", "imageID": image, "state": state}])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_sent_is_as_the_published_schemas_want_it(version: str) -> None:
    with_account = Cluster("prod", "kubernetes", service_account="runner")
    for cluster in (CLUSTER, with_account):
        check(prefetching.pod("p", 0, NODE, PACKAGE, cluster, WHERE, "u-1"), version)
    check(prefetching.owner("p", PACKAGE, WHERE), version)
    check(prefetching.programs("p", WHERE, "u-1"), version)


def test_what_runs_is_no_part_of_the_image_and_fits_the_node() -> None:
    sent = prefetching.pod("p", 0, NODE, PACKAGE, CLUSTER, WHERE, "u-1")
    [run] = sent["spec"]["containers"]  # type: ignore[index]

    assert run["image"] == PACKAGE
    [mount] = run["volumeMounts"]
    assert run["command"] == [f"{mount['mountPath']}/arm64"]
    files = prefetching.programs("p", WHERE, "u-1")["binaryData"]
    assert base64.b64decode(files["arm64"]) == elf.ending("arm64")  # type: ignore[index]


def test_the_job_above_goes_by_itself_and_all_else_is_its() -> None:
    job = prefetching.owner("p", PACKAGE, WHERE)

    assert job["spec"]["completions"] == 0  # type: ignore[index]
    assert job["spec"]["ttlSecondsAfterFinished"] > prefetching.LONGEST  # type: ignore[index]
    for each in (
        prefetching.pod("p", 0, NODE, PACKAGE, CLUSTER, WHERE, "u-1"),
        prefetching.programs("p", WHERE, "u-1"),
    ):
        [owner] = each["metadata"]["ownerReferences"]  # type: ignore[index]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "p", "u-1")


@pytest.mark.parametrize(
    ("change", "constraint", "is_wanted"),
    [
        ({}, "", True),
        ({}, "zone=a", True),
        ({}, "zone=b", False),
        ({"spec": {"unschedulable": True}}, "", False),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, "", False),
        ({"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}, "", False),
        ({"spec": {"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}}, "", True),
        ({"spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}}, "", True),
    ],
)
def test_nodes_on_which_a_job_may_come_are_wanted(
    change: dict[str, Any], constraint: str, is_wanted: bool
) -> None:
    assert bool(prefetching.wanted([{**NODE, **change}], constraint)) is is_wanted


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        (pod(phase="Pending"), Seen()),
        (container({"waiting": {"reason": "ContainerCreating"}}), Seen()),
        (
            container({"waiting": {"reason": "ErrImagePull", "message": "no such host\nmore"}}),
            Seen(why="ErrImagePull: no such host"),
        ),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                             "message": "Too many pods"}]),
            Seen(why="Unschedulable: Too many pods"),
        ),
        (container({"running": {}}), Seen(has_image=True)),
        (container({"terminated": {"exitCode": 0}}), Seen(has_image=True, is_over=True)),
        (  # no program is for this kind of node
            container({"terminated": {"exitCode": 128, "reason": "StartError"}}, "sha256:ab"),
            Seen(has_image=True, is_over=True),
        ),
        (container({"waiting": {"reason": "RunContainerError"}}), Seen(has_image=True)),
        (
            container({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}),
            Seen(is_over=True, why="ContainerStatusUnknown"),
        ),
        (
            pod(phase="Failed", reason="Evicted", message="low on disk"),
            Seen(is_over=True, why="Evicted: low on disk"),
        ),
    ],
)  # fmt: skip
def test_how_far_a_pod_is(found: dict[str, Any], seen: Seen) -> None:
    assert prefetching.seen(found) == seen


def test_events_tell_whether_and_how_long_it_was_pulled() -> None:
    pulled: dict[str, object] = {"reason": "Pulled", "firstTimestamp": "2030-01-01T00:01:07Z"}
    pulling: dict[str, object] = {"reason": "Pulling", "firstTimestamp": "2030-01-01T00:00:00Z"}
    ran = pod(
        conditions=[{"type": "PodScheduled", "status": "True",
                     "lastTransitionTime": "2030-01-01T00:00:00Z"}],
        containerStatuses=[{"state": {"terminated": {"startedAt": "2030-01-01T00:00:09Z"}}}],
    )  # fmt: skip

    assert prefetching.seconds(ran, [pulling, pulled]) == 67
    assert prefetching.seconds(ran, [pulled]) is None
    assert prefetching.seconds(ran, []) == 9  # events are not for everybody


def test_a_kubelet_that_tries_anew_is_given_time() -> None:
    def told(reason: str, second: int) -> dict[str, Any]:
        return {"reason": reason, "lastTimestamp": f"2030-01-01T00:00:{second:02}Z"}

    assert prefetching.is_pulling([told("Pulling", 9), told("Failed", 4), told("BackOff", 5)])
    assert not prefetching.is_pulling([told("Pulling", 9), told("Failed", 10)])
    assert not prefetching.is_pulling([])


def test_a_node_that_lists_the_image_lacks_nothing_and_others_do_not_tell() -> None:
    digest = PACKAGE.partition("@")[2]
    listing = [
        {"metadata": {"name": name}, "status": {"images": images}}
        for name, images in {
            "has": [{"names": ["x:1"], "sizeBytes": 1},
                    {"names": [f"mirror.site/t@{digest}", "mirror.site/t:2"], "sizeBytes": 77}],
            "other": [{"names": [f"x@sha256:{'cd' * 32}"], "sizeBytes": 5}, {"names": None}],
            "none": None,
        }.items()
    ]  # fmt: skip

    assert prefetching.held(listing, PACKAGE) == {"has": (0, 77)}


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("registry.site/team/train:1", "by their digests"),
        ("train@sha256:" + "ab" * 32, "cannot pull"),
        ("oci:/packages:1", "cannot pull"),
    ],
)
def test_what_kubelets_cannot_pull_for_certain_is_refused(package: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prefetching.held([], package)


Kubelet = Callable[[Lab, str], None]
NOW = datetime.now(UTC).replace(microsecond=0)


def pulls(lab: Lab, name: str) -> None:
    lab.tell(name, "Pulling", NOW)
    lab.tell(name, "Pulled", NOW + timedelta(seconds=3))
    lab.end(name, 0)


def has_it(lab: Lab, name: str) -> None:
    lab.tell(name, "Pulled", NOW)
    lab.end(name, 0)


def fails(lab: Lab, name: str) -> None:
    lab.wait(name, "ErrImagePull", "no such image")
    lab.tell(name, "Failed", NOW, "Failed to pull image: no such image")
    lab.tell(name, "Failed", NOW, "Error: ErrImagePull")
    lab.wait(name, "ImagePullBackOff", 'Back-off pulling image "x"')


def is_deleted(lab: Lab, name: str) -> None:
    namespace, _, pod_name = name.partition("/")
    lab.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{pod_name}", {"gracePeriodSeconds": 0})


def comes_late(lab: Lab, name: str) -> None:
    lab.wait(name, "ErrImagePull", "busy")
    lab.tell(name, "Failed", NOW)
    lab.tell(name, "Pulling", NOW + timedelta(seconds=5))
    time.sleep(1.5)  # longer than somebody waits who does not ask
    lab.end(name, 0)


@contextlib.contextmanager
def kubelets(lab: Lab, acting: Mapping[str, Kubelet]) -> Iterator[None]:
    """Kubelets by the names of their nodes, each of which acts once."""
    left = dict(acting)

    def place(found: dict[str, Any]) -> str:
        affinity = found["spec"]["affinity"]["nodeAffinity"]
        [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        [node] = term["matchFields"][0]["values"]
        return str(node)

    def play() -> None:
        until = time.monotonic() + 60
        while left and time.monotonic() < until:
            for each in lab.listed("pods"):
                if "lamina.prefetch" in each["metadata"].get("labels", {}):
                    act = left.pop(place(each), None)
                    if act is not None:
                        act(lab, f"default/{each['metadata']['name']}")
            time.sleep(0.05)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        left.clear()
        thread.join()


def fetched(lab: Lab, acting: Mapping[str, Kubelet], cluster: Cluster = CLUSTER) -> list[Fetched]:
    with kubelets(lab, acting):
        found = prefetching.run(Api(""), cluster, Where("default", "mira"), PACKAGE, patience=0.5)
        return sorted(found, key=lambda each: each.node)


def left_of_it(lab: Lab) -> list[str]:
    lab.collect()
    return [
        each["metadata"]["name"]
        for kind in ("jobs", "pods", "configmaps")
        for each in lab.listed(kind)
        if each["metadata"]["name"].startswith("prefetch-")
    ]


def test_a_node_pulls_and_nothing_stays(lab: Lab) -> None:
    assert fetched(lab, {"n1": pulls}) == [Fetched("n1", 3.0)]
    assert left_of_it(lab) == []


def test_each_node_has_its_own_end(small_lab: Lab) -> None:
    acting = {"n1": has_it, "n2": pulls, "n3": fails, "n4": is_deleted, "n5": comes_late}
    for name in [*acting, "cordoned"][1:]:
        small_lab.add_node(name)
    small_lab.ask("PATCH", "/api/v1/nodes/cordoned", {"spec": {"unschedulable": True}})

    found = fetched(small_lab, acting)

    assert found[:2] == [Fetched("n1"), Fetched("n2", 3.0)]
    assert found[2].node == "n3" and "no such image" in found[2].why
    assert found[3] == Fetched("n4", why="it was deleted")
    assert (found[4].node, found[4].why) == ("n5", "")
    assert left_of_it(small_lab) == []


def test_labels_say_which_nodes(small_lab: Lab) -> None:
    small_lab.add_node("n2", zone="b")
    cluster = Cluster("prod", "kubernetes", constraint="zone=b")

    assert fetched(small_lab, {"n2": has_it}, cluster) == [Fetched("n2")]

    none = Cluster("prod", "kubernetes", constraint="zone=c")
    with pytest.raises(UserError, match="no node of the cluster `prod` is ready"):
        fetched(small_lab, {}, none)


def test_who_has_seen_enough_leaves_nothing(small_lab: Lab) -> None:
    small_lab.add_node("n2")
    launcher = KubernetesLauncher(CLUSTER)
    assert isinstance(launcher, Caching)
    with (
        kubelets(small_lab, {"n1": has_it}),
        contextlib.closing(launcher.prefetch(PACKAGE)) as all_,
    ):
        assert next(all_) == Fetched("n1")
        assert not launcher.jobs()  # it is none of a user's

    assert left_of_it(small_lab) == []


def test_what_cannot_be_made_leaves_nothing(small_lab: Lab) -> None:
    assert small_lab.kept is not None
    small_lab.kept.forbidden.add(("POST", "pods"))

    with pytest.raises(ServiceError, match="cannot create resource"):
        fetched(small_lab, {})

    assert left_of_it(small_lab) == []


def lamina(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """The command line, in a folder whose settings name the cluster."""
    (tmp_path / "lamina.toml").write_text('[cluster.prod]\nlauncher = "kubernetes"\n')
    return subprocess.Popen(
        [sys.executable, "-m", "lamina.cli", *words, "--on", "prod"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_the_command_tells_of_each_node(small_lab: Lab, tmp_path: Path) -> None:
    small_lab.add_node("n2")
    small_lab.add_node("n3")

    with kubelets(small_lab, {"n1": has_it, "n2": pulls, "n3": is_deleted}):
        done = lamina(tmp_path, "prefetch", PACKAGE)
        printed, said = done.communicate(timeout=60)
    assert done.returncode == 2
    assert [line.split() for line in printed.splitlines()] == [
        ["node", "image", "time"], ["n1", "had", "it", "-"], ["n2", "pulled", "3", "s"],
    ]  # fmt: skip
    assert "warning: the node `n3` has not pulled it: it was deleted" in said
    assert "error: 1 node did not pull: n3" in said

    assert left_of_it(small_lab) == []
    small_lab.ask("DELETE", "/api/v1/nodes/n3")
    with kubelets(small_lab, {"n1": has_it, "n2": pulls}):
        done = lamina(tmp_path, "prefetch", PACKAGE, "--json")
        assert json.loads(done.communicate(timeout=60)[0]) == {
            "reference": PACKAGE, "failed": [],
            "nodes": [{"node": "n1", "pulled": False, "seconds": None},
                      {"node": "n2", "pulled": True, "seconds": 3.0}],
        }  # fmt: skip


def test_who_interrupts_leaves_nothing(small_lab: Lab, tmp_path: Path) -> None:
    begun = lamina(tmp_path, "prefetch", PACKAGE)
    until = time.monotonic() + 60
    while not small_lab.listed("pods"):
        assert begun.poll() is None and time.monotonic() < until, begun.communicate()
        time.sleep(0.05)

    begun.send_signal(signal.SIGINT)
    begun.communicate(timeout=60)

    assert begun.returncode == 130
    assert left_of_it(small_lab) == []


def test_which_nodes_have_it_is_told_where_they_tell_it(small_lab: Lab, tmp_path: Path) -> None:
    small_lab.add_node("n2")
    images = [{"names": [PACKAGE], "sizeBytes": 77}]
    small_lab.ask("PATCH", "/api/v1/nodes/n2/status", {"status": {"images": images}})

    told, said = lamina(tmp_path, "nodes", PACKAGE).communicate(timeout=60)
    rows = json.loads(lamina(tmp_path, "nodes", PACKAGE, "--json").communicate(timeout=60)[0])

    assert [line.split()[:3] for line in told.splitlines()] == [
        ["node", "state", "lacks"], ["n1", "ready", "unknown"], ["n2", "ready", "nothing"],
    ], said  # fmt: skip
    assert {row["name"]: row["missing"] for row in rows} == {"n1": None, "n2": 0}
