"""The whole loop on a real Kubernetes: its scheduler, its controllers, its kubelets, containerd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import conftest, kubecluster
from tests.cluster.conftest import LAMINA, Bench
from tests.cluster.kubenodes import Kubernetes

PREFETCH = "lamina.prefetch"


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A Kubernetes of two nodes."""
    if why := kubecluster.lacks():
        pytest.skip(why)
    with kubecluster.cluster(tmp_path_factory.mktemp("kubernetes") / "k", 2) as found:
        yield found


@pytest.fixture
def on_kubernetes(kubernetes: Kubernetes, tmp_path: Path) -> Bench:
    """A workspace whose programs become images on a shell and Python."""
    settings = (
        f'[cluster.lab]\nlauncher = "kubernetes"\nregistry = "{kubernetes.registry}/team"\n'
        f'image = "{kubernetes.base}"\nplain_http = true\n'
    )
    found = conftest.make(tmp_path / "root", settings, "lab")
    found.words = kubernetes.words
    found.environment["KUBECONFIG"] = str(kubernetes.settings)
    return found


def until(see: Callable[[], Any], seconds: float = 200) -> Any:
    """What is seen once it is there. Kubelets of 1.20 may wait two minutes for a volume."""
    end = time.monotonic() + seconds
    while not (found := see()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def pods(kubernetes: Kubernetes, label: str, value: str = "") -> list[Any]:
    return [
        each
        for each in kubernetes.listed("pods")
        if (found := each["metadata"].get("labels", {}).get(label)) and value in ("", found)
    ]


def test_tasks_on_two_nodes_meet_by_name(on_kubernetes: Bench) -> None:
    job = on_kubernetes.submit("--nodes", "2", "--", "meet")

    on_kubernetes.call("wait", job)

    found = on_kubernetes.status(job)
    assert (found["state"], found["exit_code"]) == ("succeeded", 0)
    assert len({task["node"] for task in found["tasks"]}) == 2
    assert "0: met 1\n" in on_kubernetes.call("logs", job)


@pytest.mark.parametrize(
    ("words", "state", "code"),
    [
        (("--tasks", "2", "--", "fail"), "failed", 7),
        (("--", "signal"), "failed", 128 + signal.SIGSEGV),
        (("--tasks", "2", "--memory", "100M", "--", "memory"), "out of memory", 137),
        (("--time", "4s", "--", "sleep"), "timeout", 124),
        (("--retries", "1", "--setup", "true", "--", "flaky"), "succeeded", 0),
    ],
)
def test_how_it_ends_is_told(
    on_kubernetes: Bench, words: tuple[str, ...], state: str, code: int
) -> None:
    job = on_kubernetes.submit(*words)

    assert on_kubernetes.run("wait", job).returncode == code
    assert on_kubernetes.status(job)["state"] == state


def test_the_warning_comes_before_the_limit(on_kubernetes: Bench) -> None:
    job = on_kubernetes.submit("--time", "20s", "--warning", "10s", "--", "graceful")

    on_kubernetes.run("wait", job)

    assert "saved" in on_kubernetes.call("logs", job)


def test_what_is_cancelled_is_not_said_to_have_succeeded(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    job = on_kubernetes.submit("--", "graceful")  # it ends with 0 when it is told to
    on_kubernetes.until_printed(job, "ready")

    on_kubernetes.call("cancel", job)

    assert on_kubernetes.status(job)["state"] == "cancelled"
    assert "ready" in on_kubernetes.call("logs", job)
    assert not pods(kubernetes, "lamina.job", job)
    assert job not in {each["metadata"]["name"] for each in kubernetes.listed("jobs")}


def test_a_registry_that_is_away_is_told_and_waited_for(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    (on_kubernetes.root / "probe.py").write_text(f"print('at', {time.time_ns()})\n")  # a new image

    def cordon(is_closed: bool) -> None:
        for name in ("kn1", "kn2"):
            change = {"spec": {"unschedulable": is_closed}}
            kubernetes.ask("PATCH", f"/api/v1/nodes/{name}", change)

    cordon(True)
    job = on_kubernetes.submit()
    on_kubernetes.until(job, lambda found: "Unschedulable: 0/2 nodes" in found["reason"])
    none = on_kubernetes.run("prefetch", "//:probe", "--on", "lab", "-q")
    assert none.returncode == 3 and "is ready to pull" in none.stderr
    kubernetes.started[0].kill()
    kubernetes.started[0].wait()
    cordon(False)
    on_kubernetes.until(job, lambda found: "ImagePull" in found["reason"])
    kubecluster.start_registry(kubernetes)

    on_kubernetes.call("wait", job)

    assert on_kubernetes.call("logs", job).startswith("at ")


def test_an_array_has_an_end_for_each_element(on_kubernetes: Bench) -> None:
    job = on_kubernetes.submit(target="//:array")

    on_kubernetes.call("wait", job)

    assert [task["state"] for task in on_kubernetes.status(job)["tasks"]] == ["succeeded"] * 2
    printed = on_kubernetes.call("logs", job)
    assert "--lr=1" in printed and "--lr=2" in printed


def test_a_package_that_was_fetched_ahead_is_there(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    (on_kubernetes.root / "probe.py").write_text(f"print('at', {time.time_ns()})\n")  # a new image

    first = json.loads(on_kubernetes.call("prefetch", "//:probe", "--on", "lab", "-q", "--json"))
    package = first["reference"]
    assert [(each["node"], each["pulled"]) for each in first["nodes"]] == [
        ("kn1", True), ("kn2", True),
    ]  # fmt: skip
    assert all(package in kubernetes.images(number) for number in (1, 2))
    assert not [
        event["message"]
        for event in kubernetes.listed("events")
        if event["type"] == "Warning" and event["involvedObject"]["name"].startswith("prefetch-")
    ]  # what ran ended well

    again = json.loads(on_kubernetes.call("prefetch", package, "--on", "lab", "--json"))
    assert [each["seconds"] for each in again["nodes"]] == [None, None]

    def lacking() -> bool:
        rows = json.loads(on_kubernetes.call("nodes", package, "--on", "lab", "--json"))
        return [row["missing"] for row in rows] == [0, 0]

    until(lacking)  # kubelets tell it from time to time
    until(lambda: not nothing_of_it_stays(kubernetes))
    job = on_kubernetes.submit()
    on_kubernetes.call("wait", job)
    [pod] = pods(kubernetes, "lamina.job", job)
    told = {
        event["reason"]
        for event in kubernetes.listed("events")
        if event["involvedObject"].get("uid") == pod["metadata"]["uid"]
    }
    assert "Pulled" in told and "Pulling" not in told


def test_where_a_quota_wants_to_be_told_what_pods_take(
    kubernetes: Kubernetes, on_kubernetes: Bench, request: pytest.FixtureRequest
) -> None:
    path = "/api/v1/namespaces/default/resourcequotas"
    hard = {
        "requests.cpu": "0", "requests.memory": "0", "limits.cpu": "1", "limits.memory": "1Gi",
    }  # fmt: skip
    quota = {"metadata": {"name": "all"}, "spec": {"hard": hard}}
    kubernetes.ask("POST", path, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    request.addfinalizer(lambda: kubernetes.ask("DELETE", f"{path}/all"))
    # The controller fills it in; until then nothing is admitted.
    until(lambda: kubernetes.ask("GET", f"{path}/all").get("status", {}).get("used"))
    (on_kubernetes.root / "probe.py").write_text(f"print('at', {time.time_ns()})\n")

    done = json.loads(on_kubernetes.call("prefetch", "//:probe", "--on", "lab", "-q", "--json"))
    job = on_kubernetes.submit("--memory", "2G")
    on_kubernetes.until(job, lambda found: "must specify limits.cpu" in found["reason"])
    on_kubernetes.call("cancel", job)

    assert [each["pulled"] for each in done["nodes"]] == [True, True]


def nothing_of_it_stays(kubernetes: Kubernetes) -> list[str]:
    """What there still is of a prefetch."""
    return [
        each["metadata"]["name"]
        for plural in ("jobs", "pods", "configmaps")
        for each in kubernetes.listed(plural)
        if PREFETCH in each["metadata"].get("labels", {})
    ]


def test_labels_choose_the_nodes_that_fetch(kubernetes: Kubernetes, on_kubernetes: Bench) -> None:
    with (on_kubernetes.root / "BUILD").open("a") as build:
        build.write('job(name = "placed", binary = ":probe", constraint = "rack=r2")\n')
    with (on_kubernetes.root / "lamina.toml").open("a") as settings:
        settings.write('constraint = "rack=r1"\n')

    for target, node in {"//:probe": "kn1", "//:placed": "kn2"}.items():
        done = json.loads(on_kubernetes.call("prefetch", target, "--on", "lab", "-q", "--json"))
        assert [each["node"] for each in done["nodes"]] == [node]


def begun(on_kubernetes: Bench, kubernetes: Kubernetes) -> subprocess.Popen[bytes]:
    """A prefetch that goes on: of what is not there, as kubelets try that some times."""
    package = f"{kubernetes.registry}/team/absent@sha256:{'ab' * 32}"
    words = kubernetes.words(str(LAMINA), "prefetch", package, "--on", "lab")
    started = subprocess.Popen(
        words, cwd=on_kubernetes.root, env={**os.environ, **on_kubernetes.environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    until(lambda: len(pods(kubernetes, PREFETCH)) == 2)
    return started


def test_what_is_not_there_is_told_by_each_node(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    printed, _ = (started := begun(on_kubernetes, kubernetes)).communicate(timeout=150)

    assert started.returncode == 2
    for node in ("kn1", "kn2"):
        assert f"the node `{node}` has not pulled it: ErrImagePull: " in printed.decode()
    assert "not found" in printed.decode()
    until(lambda: not nothing_of_it_stays(kubernetes))


def test_who_interrupts_a_prefetch_leaves_nothing(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    started = begun(on_kubernetes, kubernetes)

    started.send_signal(signal.SIGINT)
    started.communicate(timeout=60)

    assert started.returncode == 130
    until(lambda: not nothing_of_it_stays(kubernetes))


def test_a_prefetch_whose_process_is_gone_is_removed_by_kubernetes(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    started = begun(on_kubernetes, kubernetes)
    started.kill()
    started.communicate()
    assert nothing_of_it_stays(kubernetes)

    [job] = [
        each["metadata"]["name"]
        for each in kubernetes.listed("jobs")
        if PREFETCH in each["metadata"]["labels"]
    ]
    soon = {"ttlSecondsAfterFinished": 1}  # not in an hour
    kubernetes.ask("PATCH", f"/apis/batch/v1/namespaces/default/jobs/{job}", {"spec": soon})

    until(lambda: not nothing_of_it_stays(kubernetes))


def test_a_task_outlives_its_kubelet(kubernetes: Kubernetes, on_kubernetes: Bench) -> None:
    job = on_kubernetes.submit("--", "graceful")
    on_kubernetes.until_printed(job, "ready")
    [number] = [int(name[2:]) for name in on_kubernetes.status(job)["nodes"]]

    kubernetes.stop_kubelet(number)
    assert on_kubernetes.status(job)["state"] == "running"
    told = on_kubernetes.run("logs", job)
    assert told.returncode == 2 and "connection refused" in told.stderr
    kubernetes.start_kubelet(number)

    until(lambda: "ready" in on_kubernetes.run("logs", job).stdout)
    kubernetes.await_ready(2)
    assert on_kubernetes.status(job)["attempt"] == 1
    on_kubernetes.call("cancel", job)


def test_a_task_whose_node_dies_runs_on_another(
    kubernetes: Kubernetes, on_kubernetes: Bench
) -> None:
    job = on_kubernetes.submit("--", "graceful")
    on_kubernetes.until_printed(job, "ready")
    [dead] = on_kubernetes.status(job)["nodes"]

    kubernetes.kill(int(dead[2:]))

    other = ({"kn1", "kn2"} - {dead}).pop()
    on_kubernetes.until(job, lambda found: found["tasks"][0]["node"] == other)
    on_kubernetes.until_printed(job, "ready")
    kubernetes.boot(int(dead[2:]))
    kubernetes.await_ready(2)
    on_kubernetes.call("cancel", job)
    assert not pods(kubernetes, "lamina.job", job)
