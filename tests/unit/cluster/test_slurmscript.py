"""The script for `sbatch`: a shell takes it, and words reach the program as they were given.

A folder of stand-ins for Slurm's programs runs it here; on a real Slurm tests/cluster does.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.cluster import slurmscript
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError
from lamina.core.job import Job, Resources, Spec

CLUSTER = Cluster("prod", "slurm", "host/team", store="/var/tmp/s t")
PACKAGE = "host/team/p@sha256:" + "0" * 64
WORD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
WORDS = st.lists(WORD, max_size=4)


def script(spec: Spec, cluster: Cluster = CLUSTER, folder: Path = Path("/jobs/j 1")) -> str:
    return slurmscript.script(Job("train-1", "//a:train", PACKAGE, spec), cluster, folder)


def directives(spec: Spec, cluster: Cluster = CLUSTER) -> list[str]:
    job = Job("train-1", "//a:train", PACKAGE, spec)
    return list(slurmscript.directives(job, cluster, Path("/jobs/train-1")))


def is_valid(text: str) -> bool:
    return subprocess.run(["sh", "-n"], input=text.encode(), check=False).returncode == 0


_SRUN = """\
#!/bin/sh
while [ "$1" != /bin/sh ]; do
    shift
done
exec "$@"
"""
# Tells what reaches the program; not by a name of the shell's choice.
_LAMINA = f"""\
#!{sys.executable}
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stand-ins for `srun`, `scontrol` and lamina."""
    folder = tmp_path_factory.mktemp("s")
    scontrol = '#!/bin/sh\n[ $2 = hostnames ] && echo r1n1x || echo " NodeAddr=at.$4 "\n'
    for name, text in (("srun", _SRUN), ("scontrol", scontrol), ("lamina it's", _LAMINA)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    yield folder


def run(
    place: Path, spec: Spec, carried: str = "", **variables: str
) -> tuple[list[str], Mapping[str, str]]:
    """What the program is given, by the shell of this machine."""
    folder = place / "job"
    folder.mkdir(exist_ok=True)
    (folder / "task-0.log").unlink(missing_ok=True)
    cluster = Cluster("p", "slurm", store=str(place / "store"), lamina=str(place / "lamina it's"))
    job = Job("train-1", "//a:train", PACKAGE, spec, carried=carried)
    text = slurmscript.script(job, cluster, folder)
    given = {
        "PATH": f"{place}:{os.environ['PATH']}", "SLURM_JOB_ID": "16001",
        "SLURM_JOB_NODELIST": "en[1-2]", "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
        "SLURM_NODEID": "0", "SLURM_NNODES": "2", "SLURM_LOCALID": "0", "LC_ALL": "C.UTF-8",
        "SLURM_STEP_TASKS_PER_NODE": "1", "SLURMD_NODENAME": "en1", **variables,
    }  # fmt: skip
    # The text is none for the log, which some arguments would have broken.
    subprocess.run(["sh"], input=text.encode(), env=given, check=True, capture_output=True)
    number = variables.get("SLURM_ARRAY_TASK_ID", "0")
    words, environment = json.loads((folder / f"task-{number}.log").read_bytes().splitlines()[-1])
    return words, environment


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    WORDS,
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{3,9}", fullmatch=True), WORD, max_size=3),
)
def test_words_and_variables_reach_the_program_as_they_are(
    place: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    kept = {f"OF_{name}": value for name, value in environment.items()}
    spec = Spec(arguments=tuple(arguments), environment=tuple(sorted(kept.items())))

    words, found = run(place, spec)

    assert words == ["exec", PACKAGE, "--", *arguments]
    assert {name: found[name] for name in kept} == kept


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(st.lists(WORDS, min_size=2, max_size=3))
def test_each_element_of_an_array_has_its_own_words(place: Path, elements: list[list[str]]) -> None:
    spec = Spec(arguments=("all",), array=tuple(map(shlex.join, elements)))

    found = [run(place, spec, SLURM_ARRAY_TASK_ID=str(n))[0] for n in range(len(elements))]

    assert found == [["exec", PACKAGE, "--", "all", *element] for element in elements]


@given(WORDS, WORDS, WORDS)
def test_any_words_are_a_valid_script(
    arguments: list[str], elements: list[str], options: list[str]
) -> None:
    spec = Spec(arguments=tuple(arguments), array=tuple(map(shlex.quote, elements)))
    cluster = Cluster("p", "slurm", lamina="/opt/it's", options=("--exclusive",))

    assert is_valid(script(spec, cluster, Path("/jobs/it's $HOME")))


def test_no_variable_of_the_job_or_of_who_submits_is_changed(place: Path) -> None:
    own = {"folder": "/mine", "index": "7", "element": "H", "part": "a", "rest": "b"}
    around = {
        "code": "x",
        "try": "no",
        "address": "here",
        "first": "1st",
        "nodes": "n",
        "many": "m",
    }

    _, found = run(place, Spec(environment=tuple(own.items())), **around)

    assert {name: found[name] for name in own | around} == own | around
    assert [name for name in found if name.startswith("lamina_")] == []
    assert (place / "job/exit-0").read_text() == "0\n"


def test_a_task_knows_its_place(place: Path) -> None:
    _, found = run(
        place, Spec(), SLURM_NTASKS="3", SLURM_NODEID="1", SLURM_STEP_TASKS_PER_NODE="2,1",
        SLURM_RESTART_COUNT="1",
    )  # fmt: skip

    expected = {
        "RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
        "GROUP_RANK": "1", "MASTER_ADDR": "at.en1", "MASTER_PORT": "15001",
        "LAMINA_JOB_ID": "train-1", "LAMINA_TASK_INDEX": "0", "LAMINA_TASK_COUNT": "3",
        "LAMINA_NODE_INDEX": "1", "LAMINA_NODE_COUNT": "2", "LAMINA_ARRAY_INDEX": "0",
        "LAMINA_ATTEMPT": "2", "LAMINA_STORE": str(place / "store"),
        "LAMINA_REPORT": str(place / "job/task-0.json"),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("counts", "node", "found"),
    [
        ("2(x3),1", 0, "2"),
        ("2(x3),1", 2, "2"),
        ("2(x3),1", 3, "1"),
        ("4", 0, "4"),
        ("1,3", 1, "3"),
        ("1(x9),12(x900),3", 908, "12"),
        ("1(x9),12(x900),3", 909, "3"),
    ],
)
def test_how_many_tasks_are_on_a_node(place: Path, counts: str, node: int, found: str) -> None:
    variables = {"SLURM_STEP_TASKS_PER_NODE": counts, "SLURM_NODEID": str(node)}

    assert run(place, Spec(), **variables)[1]["LOCAL_WORLD_SIZE"] == found


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ("en[1-4]", "en1"), ("en[03,07-09]", "en03"), ("en3", "en3"), ("a,b", "a"),
        ("a,en[1-2]", "a"), ("en[1-2],a", "en1"), ("gpu-a[001-128]", "gpu-a001"),
        ("r[1-2]n[1-3]x", "r1n1x"), ("n[1-3]-ib", "r1n1x"), ("n[7]", "n7"),
    ],
)  # fmt: skip
def test_the_first_node_is_the_master(place: Path, names: str, first: str) -> None:
    assert run(place, Spec(), SLURM_JOB_NODELIST=names)[1]["MASTER_ADDR"] == f"at.{first}"


def test_lines_of_the_job_come_before_its_program(place: Path) -> None:
    _, found = run(place, Spec(setup=("export A=1", "export B=$((A + 1))")))

    assert (found["A"], found["B"]) == ("1", "2")


def test_a_line_that_fails_ends_the_task(place: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run(place, Spec(setup=("false",)))


def test_what_is_new_comes_to_lamina_and_not_to_the_lines_before(place: Path) -> None:
    blobs = "1:" + "A/+b" * 16_000 + "=="
    spec = Spec(setup=("export A=$(env | grep -c LAMINA_CARRIED)",), retries=1)

    _, plain = run(place, Spec(), blobs)
    _, found = run(place, spec, blobs)
    _, empty = run(place, spec)

    assert plain["LAMINA_CARRIED"] == found["LAMINA_CARRIED"] == blobs
    assert found["A"] == empty["A"] == "0"
    assert "LAMINA_CARRIED" not in empty


def test_a_job_is_told_as_sbatch_wants_it() -> None:
    spec = Spec(
        nodes=2, tasks_per_node=4, resources=Resources(cpus=2, memory=3 << 30, gpus=1),
        time_limit=5430, warning=60, partition="gpu", constraint="a&b", exclusive=True,
    )  # fmt: skip

    assert directives(spec, Cluster("p", "slurm", account="us", options=("--mail-type=END",))) == [
        "--job-name=train",
        "--comment=lamina:train-1",
        "--output=/jobs/train-1/batch.log",
        "--open-mode=append",
        "--nodes=2",
        "--ntasks-per-node=4",
        "--cpus-per-task=2",
        "--mem-per-cpu=1536M",
        "--gpus-per-task=1",
        "--time=90:30",
        "--signal=TERM@60",
        "--partition=gpu",
        "--account=us",
        "--constraint='a&b'",
        "--exclusive",
        "--requeue",
        "--mail-type=END",
    ]


def test_an_array_is_told_as_sbatch_wants_it() -> None:
    found = directives(Spec(array=("", "", "")))

    assert "--array=0-2" in found
    assert "--output=/jobs/train-1/batch-%a.log" in found


def test_mounts_need_containers() -> None:
    spec = Spec(mounts=("/data:/data:ro",))

    assert "--contain --env '*' --volume /data:/data:ro" in script(spec)
    with pytest.raises(UserError, match="runs no containers"):
        script(spec, Cluster("p", "slurm", container="never"))
