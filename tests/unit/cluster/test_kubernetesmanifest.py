from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.cluster import kubernetesmanifest as manifest
from lamina.cluster.kubernetesapi import yaml_of
from lamina.cluster.kubernetesmanifest import Where
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError
from lamina.core.job import Job, Resources, Spec
from tests.cluster.schemas import VERSIONS, check

PACKAGE = f"registry.site:5000/team/train@sha256:{'ab' * 32}"
CLUSTER = Cluster("prod", "kubernetes")
WHERE = Where("team", "mira")


def job(spec: Spec, **more: Any) -> Job:
    return Job(
        **{"id": "train-3f9a1c2e", "label": "//t:train", "package": PACKAGE, **more}, spec=spec
    )


def made(spec: Spec, cluster: Cluster = CLUSTER, **more: Any) -> dict[str, Any]:
    [found] = manifest.jobs(job(spec, **more), cluster, WHERE)
    return found


def pod(spec: Spec, cluster: Cluster = CLUSTER, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = made(spec, cluster, **more)["spec"]["template"]["spec"]
    return found


def container(spec: Spec, **more: Any) -> dict[str, Any]:
    [found] = pod(spec, **more)["containers"]
    return dict(found)


def variables(spec: Spec, **more: Any) -> dict[str, str]:
    return {
        each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in container(spec, **more)["env"]
    }


def expanded(text: str, known: dict[str, str]) -> str:
    """What a kubelet makes of a text: its rules for `$(NAME)` and `$$`, written down anew."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda found: "$" if found[1] == "$" else known.get(found[2], found[0]),
        text,
    )


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
paths = st.from_regex(r"/[a-z0-9/]{0,9}", fullmatch=True)
label_values = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    nodes = draw(st.integers(0, 40))
    claims = st.builds("pvc:{}:{}".format, label_values, paths)
    folders = st.builds("{}:{}:ro".format, paths, paths)
    limit = draw(st.sampled_from((0, 60, 86_400)))
    return Spec(
        arguments=tuple(draw(st.lists(texts, max_size=3))),
        environment=tuple(sorted(draw(st.dictionaries(names, texts, max_size=3)).items())),
        nodes=nodes,
        tasks=draw(st.sampled_from((0, max(nodes, 1), nodes + 3))),
        resources=Resources(
            draw(st.integers(0, 128)), draw(st.integers(0, 1 << 40)), draw(st.integers(0, 8))
        ),
        time_limit=limit,
        warning=draw(st.integers(0, max(limit - 1, 0))),
        retries=draw(st.integers(0, 9)),
        constraint=",".join(draw(st.lists(st.builds("{0}={0}".format, label_values), max_size=2))),
        exclusive=draw(st.booleans()),
        mounts=tuple(draw(st.lists(st.one_of(claims, folders), max_size=3))),
        setup=tuple(draw(st.lists(texts, max_size=2))),
        array=tuple(draw(st.lists(st.sampled_from(("", "--lr=1", "'a b' $(x)")), max_size=3))),
    )


@settings(deadline=None, max_examples=60)
@given(specs(), st.sampled_from(VERSIONS))
def test_what_is_sent_is_as_the_published_schemas_want_it(spec: Spec, version: str) -> None:
    documents = manifest.jobs(job(spec, entry_point=("/packages/A/A",)), CLUSTER, WHERE)
    services = [manifest.service(each, "u-1") for each in documents]
    sent = [*documents, *(each for each in services if each)]

    for document in sent:
        check(document, version)
    assert list(yaml.safe_load_all(yaml_of(sent))) == sent
    assert len(documents) == len(spec.elements)
    assert len({str(each["metadata"]) for each in sent}) == len(sent)


def test_the_schemas_refuse_what_is_no_field() -> None:
    document = made(Spec())
    document["spec"]["template"]["spec"]["containers"][0]["imagePullPolicies"] = "Never"

    with pytest.raises(jsonschema.ValidationError, match="imagePullPolicies"):
        check(document, "1.37")


@pytest.fixture(scope="module")
def kubectl() -> str:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")
    words = [program, "version", "--client", "-o", "json"]
    told = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    minor = int(re.sub(r"\D", "", told["clientVersion"]["minor"]))
    if minor < 29:
        pytest.skip(f"kubectl 1.{minor} does not know all fields: 1.29 does")
    return program


def test_kubectl_reads_it_without_losing_a_field(kubectl: str, tmp_path: Path) -> None:
    spec = Spec(("--lr", "$(x)"), tasks=3, retries=2, nodes=3, mounts=("pvc:d:/d:ro",),
                resources=Resources(2, 1 << 30, 1), time_limit=60, constraint="a=b",
                exclusive=True, setup=("true",))  # fmt: skip
    sent = made(spec, entry_point=("/a",))
    (tmp_path / "job.yaml").write_text(yaml_of([sent]))

    # It makes values of Kubernetes' own types of it, and prints those.
    done = subprocess.run(
        [kubectl, "label", "--local", "-f", "job.yaml", "seen=yes", "-o", "json"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    found = json.loads(done.stdout)
    assert found["metadata"]["labels"].pop("seen") == "yes"
    assert _without_unset(found["spec"]) == _without_unset(sent["spec"])


def _without_unset(found: Any) -> Any:
    """Without what Go leaves out or adds where nothing is set."""
    if isinstance(found, dict):
        kept = {key: _without_unset(each) for key, each in found.items()}
        return {k: v for k, v in kept.items() if v not in (None, False, {}, [])}
    return [_without_unset(each) for each in found] if isinstance(found, list) else found


@given(st.lists(texts, max_size=4), st.dictionaries(names, texts, max_size=4))
def test_a_kubelet_makes_of_words_and_variables_what_was_meant(
    words: list[str], given_variables: dict[str, str]
) -> None:
    spec = Spec(tuple(words), tuple(sorted(given_variables.items())))
    found = container(spec)
    known = {each["name"]: "wrong" for each in found["env"]}

    assert [expanded(word, known) for word in found.get("args", [])] == words
    by_name = {each["name"]: each.get("value", "") for each in found["env"]}
    for name, value in given_variables.items():
        if not re.match(r"LAMINA_|RANK|WORLD_SIZE|LOCAL_|GROUP_|MASTER_", name):
            assert expanded(by_name[name], known) == value


def test_each_task_knows_its_place_and_where_the_first_is() -> None:
    found = variables(Spec(tasks=4))

    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert [found[name] for name in ("RANK", "LAMINA_TASK_INDEX", "GROUP_RANK")] == [index] * 3
    assert found["WORLD_SIZE"] == found["LAMINA_TASK_COUNT"] == "4"
    assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == ("0", "1")
    assert found["MASTER_ADDR"] == "train-3f9a1c2e-0.train-3f9a1c2e.team.svc"
    assert found["MASTER_PORT"] == "29500"
    assert found["LAMINA_JOB_ID"] == "train-3f9a1c2e"


def test_no_variable_is_told_twice() -> None:
    names = ("RANK", "LAMINA_NODE", "LAMINA_ATTEMPT", "LAMINA_FAILURES", "MINE")
    spec = Spec(environment=tuple((name, "x") for name in names), retries=1)

    found = [each["name"] for each in container(spec)["env"]]

    assert len(found) == len(set(found))
    assert variables(spec)["MINE"] == "x"
    assert variables(spec)["LAMINA_NODE"] == "spec.nodeName"


def test_a_service_gives_the_tasks_names_and_goes_with_the_job() -> None:
    found = made(Spec(tasks=2))
    service: Any = manifest.service(found, "u-1")

    assert service["metadata"]["name"] == found["spec"]["template"]["spec"]["subdomain"]
    assert service["spec"]["clusterIP"] == "None"
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    [owner] = service["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "train-3f9a1c2e", "u-1")
    assert manifest.service(made(Spec()), "u-1") is None


def test_an_array_is_a_job_for_each_element() -> None:
    documents: Any = manifest.jobs(job(Spec(("a",), array=("--x=1", "--x=2"))), CLUSTER, WHERE)

    assert [each["metadata"]["name"] for each in documents] == [
        "train-3f9a1c2e-0", "train-3f9a1c2e-1",
    ]  # fmt: skip
    arguments = [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in documents]
    assert arguments == [["a", "--x=1"], ["a", "--x=2"]]
    labels = [each["metadata"]["labels"] for each in documents]
    assert [each["lamina.element"] for each in labels] == ["0", "1"]
    assert {each["lamina.job"] for each in labels} == {"train-3f9a1c2e"}


def test_resources_limits_and_retries() -> None:
    spec = Spec(tasks=2, resources=Resources(4, 1 << 30, 2), time_limit=600, warning=60, retries=3)
    found = made(spec)

    inner = found["spec"]["template"]["spec"]
    wanted = {"cpu": "4", "memory": "1073741824", "nvidia.com/gpu": "2"}
    assert inner["containers"][0]["resources"] == {"requests": wanted, "limits": wanted}
    assert inner["activeDeadlineSeconds"] == 540
    assert inner["terminationGracePeriodSeconds"] == 60
    assert found["spec"]["backoffLimit"] == 6
    assert found["spec"]["backoffLimitPerIndex"] == 3
    assert "backoffLimitPerIndex" not in made(Spec())["spec"]


def test_mounts_are_folders_of_nodes_or_claims() -> None:
    found = pod(Spec(mounts=("/data:/d:ro", "pvc:results:/out")))

    volumes = {each["name"]: each for each in found["volumes"]}
    assert volumes["mount-0"]["hostPath"] == {"path": "/data"}
    assert volumes["mount-1"]["persistentVolumeClaim"]["claimName"] == "results"
    seen = {
        each["mountPath"]: each.get("readOnly") for each in found["containers"][0]["volumeMounts"]
    }
    assert seen == {"/dev/shm": None, "/d": True, "/out": False}


def test_tasks_have_no_more_rights_than_they_need() -> None:
    found = pod(Spec())

    assert found["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert found["automountServiceAccountToken"] is False
    named = pod(Spec(), Cluster("c", "kubernetes", service_account="trainer"))
    assert named["serviceAccountName"] == "trainer"


def test_nodes_are_chosen_by_labels_and_kept_apart() -> None:
    found = pod(Spec(nodes=4, constraint="zone=a, site/kind=gpu", exclusive=True))

    assert found["nodeSelector"] == {"zone": "a", "site/kind": "gpu"}
    terms = found["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert {each["topologyKey"] for each in terms} == {"kubernetes.io/hostname"}
    assert terms[0]["labelSelector"]["matchLabels"]["lamina.job"] == "train-3f9a1c2e"
    assert "affinity" not in pod(Spec(tasks=4))


def test_lines_before_the_program_run_in_a_shell_and_hand_over_to_it() -> None:
    spec = Spec(("--n", "a b"), setup=("export X='$(date)'", "echo $X"))
    found = container(spec, entry_point=("/bin/echo", "got"))

    words = [expanded(word, {}) for word in [*found["command"], *found["args"]]]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "$(date)\ngot --n a b\n"


@pytest.mark.parametrize(
    ("package", "spec", "message"),
    [
        ("oci:/srv/x@sha256:" + "ab" * 32, Spec(), "cannot pull"),
        ("registry.site/x:v1", Spec(), "by their digests"),
        (PACKAGE, Spec(setup=("true",)), "a shell in its image"),
        (PACKAGE, Spec(constraint="fast"), "`fast` is no label"),
        (PACKAGE, Spec(constraint="a=b c"), "`a=b c` is no label"),
    ],
)
def test_what_kubernetes_cannot_do_is_told(package: str, spec: Spec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(spec, package=package)


@given(st.text(max_size=80))
def test_every_id_gives_names_that_services_may_have(text: str) -> None:
    found = manifest.name_of(text)

    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", found)
    assert len(f"{found}-9999-99999") <= 63


def test_ids_of_lamina_stay_as_they_are_and_others_do_not_meet() -> None:
    assert manifest.name_of("train-3f9a1c2e") == "train-3f9a1c2e"
    assert len({manifest.name_of(each) for each in ("a.b", "a-b", "A-b", "a_b")}) == 4
