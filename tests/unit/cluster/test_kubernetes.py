"""The launcher against an API server: the small one, and a real one where there is one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lamina.cluster import kubernetesapi, records
from lamina.cluster.kubernetes import KubernetesLauncher
from lamina.cluster.launcher import State
from lamina.cluster.records import Record
from lamina.core.cluster import Cluster
from lamina.core.errors import ServiceError, UserError
from lamina.core.job import Job, Spec
from tests.cluster.apiserver import WITHOUT_RIGHTS
from tests.cluster.kubernetes import REAL, Lab

PACKAGE = f"registry.site:5000/team/train@sha256:{'ab' * 32}"
CLUSTER = Cluster("prod", "kubernetes")


def submitted(launcher: KubernetesLauncher, spec: Spec, name: str = "") -> Record:
    """A job that was told to Kubernetes, and is on record."""
    job = Job(name or records.new_id("train"), "//t:train", PACKAGE, spec)
    folder = records.make_folder(job.id, "")
    native = launcher.submit(job, folder)
    record = Record(job, launcher.cluster.name, native, folder, time.time())
    records.write(record)
    return record


@pytest.fixture
def launcher(lab: Lab) -> KubernetesLauncher:
    return KubernetesLauncher(CLUSTER)


def test_a_real_server_is_asked_the_same() -> None:
    if REAL not in os.environ:
        pytest.skip(f"no kube-apiserver is here: `{REAL}` names the folder of one")
    assert (Path(os.environ[REAL]) / "kube-apiserver").is_file()


def test_what_is_sent_is_what_the_plan_prints(lab: Lab, launcher: KubernetesLauncher) -> None:
    spec = Spec(("--n", "$(x)"), tasks=2, retries=1)
    record = submitted(launcher, spec)

    planned = list(yaml.safe_load_all(launcher.plan(record.job)["manifest"]))

    assert list(yaml.safe_load_all((record.folder / "manifest.yaml").read_text())) == planned[:1]
    job, service = lab.job(record.job.id), lab.listed("services")[-1]
    assert job["metadata"]["annotations"].items() >= planned[0]["metadata"]["annotations"].items()
    sent = job["spec"]["template"]["spec"]["containers"][0]
    assert sent["args"] == planned[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert service["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    if lab.kept is not None:
        planned[1]["metadata"]["ownerReferences"][0]["uid"] = job["metadata"]["uid"]
        assert lab.kept.bodies[-2:] == planned


def test_a_job_waits_runs_and_succeeds(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec(tasks=2))
    assert launcher.status(record).state is State.PENDING

    job = lab.job(record.job.id)
    pods = [lab.pod(job, index) for index in range(2)]
    assert launcher.status(record).state is State.PENDING
    lab.start(pods[0])
    running = launcher.status(record)
    assert running.state is State.RUNNING
    assert [task.state for task in running.tasks] == [State.RUNNING, State.PENDING]
    assert running.nodes == ("n1",)
    assert [name for name, _ in running.tasks[0].times] == ["begin", "pulled"]

    for pod in pods:
        lab.end(pod, 0)
    lab.close(record.job.id, "Complete")
    done = launcher.status(record)
    assert (done.state, done.exit_code) == (State.SUCCEEDED, 0)
    assert [task.exit_code for task in done.tasks] == [0, 0]
    assert done.ended >= done.started > 0


def test_the_exit_code_is_that_of_the_first_task_that_failed(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    record = submitted(launcher, Spec(tasks=3))
    job = lab.job(record.job.id)
    first, second = lab.pod(job, 0), lab.pod(job, 1)
    lab.start(first)
    lab.end(second, 7)
    time.sleep(1.1)  # times of the API are whole seconds
    lab.end(first, 143)
    lab.close(record.job.id, "Failed", "BackoffLimitExceeded")

    found = launcher.status(record)

    assert (found.state, found.exit_code) == (State.FAILED, 7)
    assert found.reason == "task 1 ended with 7"
    assert [task.state for task in found.tasks] == [
        State.FAILED, State.FAILED, State.CANCELLED,
    ]  # fmt: skip


EndingOf = Callable[[Lab, str], None]


@pytest.mark.parametrize(
    ("ending", "state", "reason"),
    [
        (lambda lab, pod: lab.end(pod, 137, "OOMKilled"), State.OUT_OF_MEMORY, "no more memory"),
        (
            lambda lab, pod: lab.set(pod, "Failed", reason="Evicted", message="low on disk"),
            State.NODE_FAILED, "Evicted: low on disk",
        ),
        (
            lambda lab, pod: lab.end(pod, 137, conditions=[
                {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                 "message": "its node is gone"}
            ]),
            State.NODE_FAILED, "its node is gone",
        ),
        (
            lambda lab, pod: lab.set(pod, "Failed", reason="DeadlineExceeded"),
            State.TIMEOUT, "time was over",
        ),
        (lambda lab, pod: lab.end(pod, 3), State.FAILED, "ended with 3"),
        (
            lambda lab, pod: lab.end(pod, 128, "StartError"), State.FAILED, "StartError",
        ),
    ],
)  # fmt: skip
def test_why_a_task_failed_is_why_the_job_did(
    lab: Lab, launcher: KubernetesLauncher, ending: EndingOf, state: State, reason: str
) -> None:
    record = submitted(launcher, Spec())
    ending(lab, lab.pod(lab.job(record.job.id), 0))
    lab.close(record.job.id, "Failed", "BackoffLimitExceeded")

    found = launcher.status(record)

    assert found.state is state
    assert reason in found.reason


def test_why_it_waits_is_told(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec())
    pod = lab.pod(lab.job(record.job.id), 0, node="")
    lab.set(pod, "Pending", conditions=[{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    }])  # fmt: skip
    found = launcher.status(record)
    assert found.state is State.PENDING
    assert found.reason.startswith("Unschedulable: 0/3 nodes are available")

    lab.wait(pod, "ImagePullBackOff", 'Back-off pulling image "x"')
    assert launcher.status(record).reason == 'ImagePullBackOff: Back-off pulling image "x"'


def test_why_there_are_no_pods_is_told(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec())
    metadata = lab.job(record.job.id)["metadata"]
    lab.ask("POST", "/api/v1/namespaces/default/events", {
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedCreate",
        "message": "pods is forbidden: exceeded quota", "metadata": {
            "name": f"{record.job.id}.1", "namespace": "default"},
        "involvedObject": {"kind": "Job", "namespace": "default", "name": record.job.id,
                           "uid": metadata["uid"]},
    })  # fmt: skip

    assert launcher.status(record).reason == "FailedCreate: pods is forbidden: exceeded quota"


def test_a_task_that_is_started_again_waits_and_its_log_goes_on(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    record = submitted(launcher, Spec(retries=2))
    job = lab.job(record.job.id)
    first = lab.pod(job, 0)
    lab.print(first, b"one\n")
    lab.end(first, 1)
    assert launcher.status(record).tasks[0].state is State.PENDING

    time.sleep(1.1)  # times of the API are whole seconds
    second = lab.pod(job, 0, failures=1)
    lab.start(second)
    lab.print(second, b"two\n")

    found = launcher.status(record)
    assert (found.state, found.attempt) == (State.RUNNING, 2)
    assert launcher.log(record, 0, 0) == b"one\ntwo\n"
    assert launcher.log(record, 0, 4) == b"two\n"
    assert launcher.log(record, 0, 8) == b""


def test_who_follows_a_log_sees_each_byte_once(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec())
    pod = lab.pod(lab.job(record.job.id), 0)
    launcher.status(record)
    assert launcher.log(record, 0, 0) == b""  # nothing has begun
    lab.start(pod)
    at, seen, printed = time.time(), b"", b""
    for number, text in enumerate(
        (b"a\nb\n", b"half", b" a line\nc\n", b"", b"\xff\x00\n", b"end")
    ):
        printed += text
        lab.print(pod, text, at + number * 0.4)
        launcher.status(record)
        seen += launcher.log(record, 0, len(seen))
        assert seen == printed
    lab.end(pod, 0)
    launcher.status(record)
    assert launcher.log(record, 0, len(seen)) == b""
    assert KubernetesLauncher(CLUSTER).log(record, 0, 3) == printed[3:]
    assert any(lab.kubelet.asked[-5:])  # not the whole again and again


def test_a_log_whose_begin_the_kubelet_threw_away_goes_on(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    record = submitted(launcher, Spec())
    pod = lab.pod(lab.job(record.job.id), 0)
    lab.start(pod)
    at = time.time()
    lab.print(pod, b"1\n2\n", at)
    launcher.status(record)
    assert launcher.log(record, 0, 0) == b"1\n2\n"

    lab.kubelet.lines[pod].clear()
    lab.print(pod, b"3\n", at + 5)

    assert launcher.log(record, 0, 4) == b"3\n"


def test_an_array_has_a_job_for_each_element_and_one_state(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    record = submitted(launcher, Spec(tasks=2, array=("--x=1", "--x=2")))
    names = [f"{record.job.id}-{number}" for number in range(2)]
    pods = [lab.pod(lab.job(name), index) for name in names for index in range(2)]
    for pod in pods[:2]:
        lab.end(pod, 0)
    lab.close(names[0], "Complete")
    assert launcher.status(record).state is State.RUNNING

    lab.start(pods[2])
    lab.print(pods[2], b"third\n")
    launcher.status(record)
    assert launcher.log(record, 2, 0) == b"third\n"
    lab.end(pods[3], 9)
    lab.close(names[1], "Failed", "BackoffLimitExceeded")

    found = launcher.status(record)
    assert (found.state, found.exit_code) == (State.FAILED, 9)
    assert [task.state for task in found.tasks][:2] == [State.SUCCEEDED] * 2


def test_cancel_keeps_what_was_printed_and_leaves_nothing(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    record = submitted(launcher, Spec(tasks=2))
    pod = lab.pod(lab.job(record.job.id), 1)
    lab.start(pod)
    lab.print(pod, b"so far\n")

    launcher.cancel(record)

    assert lab.job(record.job.id)["metadata"]["finalizers"] == ["foregroundDeletion"]
    ending = launcher.status(record)
    assert (ending.state, ending.reason) == (State.RUNNING, "it is being cancelled")
    lab.collect()
    assert launcher.status(record).state is State.CANCELLED
    assert KubernetesLauncher(CLUSTER).status(record).state is State.CANCELLED
    assert launcher.log(record, 1, 3) == b"far\n"
    named = [each["metadata"]["name"] for kind in ("jobs", "pods", "services")
             for each in lab.listed(kind)]  # fmt: skip
    assert not [name for name in named if name.startswith(record.job.id)]
    launcher.cancel(record)  # it is over


def test_what_kubernetes_forgot_is_known_where_it_was_seen(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    seen, unseen = submitted(launcher, Spec()), submitted(launcher, Spec())
    for record in (seen, unseen):
        lab.end(lab.pod(lab.job(record.job.id), 0), 5)
        lab.close(record.job.id, "Failed", "BackoffLimitExceeded")
    before = launcher.status(seen)
    for record in (seen, unseen):
        where = f"/apis/batch/v1/namespaces/default/jobs/{record.job.id}"
        lab.ask("DELETE", where, {"propagationPolicy": "Foreground"})
    lab.collect()

    assert launcher.status(seen).exit_code == before.exit_code == 5
    found = launcher.status(unseen)
    assert found.state is State.LOST
    assert "no longer knows" in found.reason


def test_another_machine_finds_a_job_by_its_name(lab: Lab, launcher: KubernetesLauncher) -> None:
    spec = Spec(("a b",), (("X", "1"),), tasks=3, array=("--x=1", "'y z'"))
    record = submitted(launcher, spec)

    found = launcher.foreign(record.native)

    assert found.job == record.job
    assert launcher.foreign(record.job.id).native == record.native
    assert launcher.status(found).state is State.PENDING
    with pytest.raises(UserError, match="knows no job `absent` by lamina"):
        launcher.foreign("absent")


def test_jobs_that_are_not_over_are_listed(lab: Lab) -> None:
    launcher = KubernetesLauncher(Cluster("prod", "kubernetes", partition="team"))
    waiting = submitted(launcher, Spec(array=("1", "2")))
    over = submitted(launcher, Spec())
    lab.close(over.job.id, "Complete", namespace="team")

    found = {each.id: each for each in launcher.jobs()}

    assert found[waiting.job.id].native == f"team/{waiting.job.id}"
    assert found[waiting.job.id].state is State.PENDING
    assert found[waiting.job.id].name == "//t:train"
    assert over.job.id not in found


def test_the_namespace_is_the_jobs_the_clusters_or_the_contexts(lab: Lab) -> None:
    by_context = KubernetesLauncher(Cluster("c", "kubernetes", context="team"))
    assert submitted(by_context, Spec()).native.startswith("team/")
    by_job = KubernetesLauncher(CLUSTER)
    assert submitted(by_job, Spec(partition="team")).native.startswith("team/")


def test_nodes_have_what_they_can_give(lab: Lab, launcher: KubernetesLauncher) -> None:
    [node] = launcher.nodes()

    assert (node.name, node.state, node.cpus, node.memory, node.gpus) == (
        "n1", "ready", 3, 16 << 30, 1,
    )  # fmt: skip
    assert "zone=a" in node.features


def test_a_change_wakes_who_waits(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec())
    launcher.status(record)
    begun = time.monotonic()
    threading.Timer(0.5, lab.close, (record.job.id, "Complete")).start()

    launcher.await_change(record, 50)

    assert launcher.status(record).state is State.SUCCEEDED
    assert time.monotonic() - begun < 50
    launcher.await_change(record, 1)  # nothing more comes


def test_who_waits_outlives_the_restart_of_a_server(small_lab: Lab) -> None:
    assert small_lab.kept is not None
    launcher = KubernetesLauncher(CLUSTER)
    record = submitted(launcher, Spec())
    small_lab.kept.broken = 2
    assert launcher.status(record).state is State.PENDING
    assert small_lab.kept.broken == 0

    small_lab.kept.broken = 2
    with pytest.raises(ServiceError, match="shutting down"):
        KubernetesLauncher(CLUSTER).status(record)  # for whom it never was there
    assert small_lab.kept.broken == 1


def test_a_version_that_is_forgotten_is_asked_anew(small_lab: Lab) -> None:
    launcher = KubernetesLauncher(CLUSTER)
    record = submitted(launcher, Spec())
    launcher.status(record)
    assert small_lab.kept is not None
    small_lab.kept.oldest = small_lab.kept.version + 1

    launcher.await_change(record, 30)

    assert launcher.status(record).state is State.PENDING


def test_many_objects_come_in_pages(small_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.cluster.kubernetesapi._PAGE", 2)
    launcher = KubernetesLauncher(CLUSTER)
    record = submitted(launcher, Spec(array=("1", "2", "3", "4", "5")))

    assert [task.state for task in launcher.status(record).tasks] == [State.PENDING] * 5


def test_a_name_twice_is_refused(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec())

    with pytest.raises(ServiceError, match="already exists"):
        launcher.submit(record.job, record.folder)

    assert launcher.status(record).state is State.PENDING  # the first is as it was


def test_a_namespace_that_is_not_there_is_named(lab: Lab, launcher: KubernetesLauncher) -> None:
    with pytest.raises(ServiceError, match="absent"):
        submitted(launcher, Spec(partition="absent"))


def test_who_may_not_is_told_so(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.settings(tmp_path, token=WITHOUT_RIGHTS)
    with pytest.raises(ServiceError, match=r"forbidden.*cannot create resource") as refused:
        submitted(KubernetesLauncher(CLUSTER), Spec())
    assert "may" in str(refused.value.hint)

    lab.settings(tmp_path, token="nobody's")
    with pytest.raises(ServiceError, match="Unauthorized"):
        submitted(KubernetesLauncher(CLUSTER), Spec())


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('pods "x" is forbidden: failed quota: all: must specify limits.cpu', "describe quota"),
        ('pods "x" is forbidden: User "a" cannot create resource "pods"', "auth can-i"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "not a role"),
    ],
)
def test_what_is_forbidden_has_the_hint_that_helps(said: str, hint: str) -> None:
    body = json.dumps({"message": said}).encode()

    refused = kubernetesapi._refused("/api/v1/pods", 403, "Forbidden", body)

    assert refused.message == f"Kubernetes: {said}"
    assert hint in str(refused.hint)


def test_a_job_without_its_service_is_taken_back(small_lab: Lab) -> None:
    assert small_lab.kept is not None
    small_lab.kept.forbidden.add(("POST", "services"))

    with pytest.raises(ServiceError, match="services is forbidden"):
        submitted(KubernetesLauncher(CLUSTER), Spec(tasks=2))

    [job] = small_lab.listed("jobs")
    assert job["metadata"]["deletionTimestamp"]


def test_a_server_that_is_not_there_is_named(lab: Lab, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        lab.settings(tmp_path, address=f"https://127.0.0.1:{free.getsockname()[1]}")

        with pytest.raises(ServiceError, match=r"`https://127.*does not answer: .*refused") as away:
            submitted(KubernetesLauncher(CLUSTER), Spec())

    assert away.value.retryable


def test_settings_that_are_not_there_are_named(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no context `absent`") as wrong:
        submitted(KubernetesLauncher(Cluster("c", "kubernetes", context="absent")), Spec())
    assert "`lab`" in str(wrong.value.hint)

    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="no cluster of Kubernetes is known here"):
        submitted(KubernetesLauncher(CLUSTER), Spec())


def test_a_damaged_note_is_no_traceback(lab: Lab, launcher: KubernetesLauncher) -> None:
    record = submitted(launcher, Spec())
    lab.ask("PATCH", f"/apis/batch/v1/namespaces/default/jobs/{record.job.id}", {
        "metadata": {"annotations": {"lamina.spec": json.dumps({"tasks": [1]})}}
    })  # fmt: skip

    with pytest.raises(UserError, match="is damaged"):
        launcher.foreign(record.job.id)


def test_commands_on_nodes_are_refused(lab: Lab, launcher: KubernetesLauncher) -> None:
    with pytest.raises(UserError, match="no `lamina prefetch`"):
        list(launcher.each_node(("prefetch", "x")))


def test_an_answer_that_was_lost_leaves_nothing(
    lab: Lab, launcher: KubernetesLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = launcher._api.create

    def create_and_lose_the_answer(body: dict[str, object]) -> dict[str, object]:
        create(body)
        raise ServiceError("the answer was lost", retryable=True)

    monkeypatch.setattr(launcher._api, "create", create_and_lose_the_answer)
    job = Job(records.new_id("train"), "//t:train", PACKAGE, Spec())
    with pytest.raises(ServiceError, match="the answer was lost"):
        launcher.submit(job, records.make_folder(job.id, ""))

    lab.collect()
    assert job.id not in {each["metadata"]["name"] for each in lab.listed("jobs")}


def test_a_job_is_cancelled_though_its_node_tells_no_log(
    lab: Lab, launcher: KubernetesLauncher
) -> None:
    record = submitted(launcher, Spec())
    lab.start(lab.pod(lab.job(record.job.id), 0, node="n2"))  # which nobody knows

    launcher.cancel(record)

    assert lab.job(record.job.id)["metadata"]["deletionTimestamp"]
    lab.collect()


def test_without_the_client_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes" / "__init__.py").write_text("raise ImportError('as if')")
    program = (
        "from lamina.cluster.kubernetes import KubernetesLauncher\n"
        "from lamina.core.cluster import Cluster\n"
        "from lamina.core.errors import HostError\n"
        "try:\n    KubernetesLauncher(Cluster('c', 'kubernetes')).jobs()\n"
        "except HostError as error:\n    print(error.hint)\n"
    )
    sources = Path(__file__).parents[3] / "src"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{sources}"},
    )  # fmt: skip

    command = f"{sys.executable} -m pip install 'lamina[kubernetes]'"
    assert done.stdout == f"`{command}` brings it\n"
