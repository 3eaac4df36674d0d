"""The command of a task, and the variables that tell it where it stands."""

from __future__ import annotations

import pytest

from lamina.cluster import command, environment
from lamina.cluster.environment import Place
from lamina.core.cluster import Cluster
from lamina.core.errors import UserError
from lamina.core.job import Job, Resources, Spec

PACKAGE = "host/p@sha256:" + "0" * 64


def words(spec: Spec, cluster: Cluster, *, limited: bool) -> list[str]:
    return command.words(Job("j", "//:j", PACKAGE, spec), cluster, ("e",), limited=limited)


def test_a_task_executes_the_package_by_its_digest() -> None:
    spec = Spec(arguments=("-a", "b c"), resources=Resources(1, 1, 1))

    assert words(spec, Cluster("c", "slurm", lamina="/opt/lamina"), limited=False) == [
        "/opt/lamina", "exec", PACKAGE, "--", "-a", "b c", "e",
    ]  # fmt: skip


def test_how_the_registry_is_reached_is_told() -> None:
    cluster = Cluster("c", "slurm", plain_http=True, ca="/ca.pem")

    assert words(Spec(), cluster, limited=False)[1:5] == ["exec", "--plain-http", "--ca", "/ca.pem"]


def test_bounds_that_the_scheduler_does_not_set_need_a_container() -> None:
    spec = Spec(resources=Resources(cpus=2, memory=1 << 30), mounts=("/a:/b:ro",))

    assert words(spec, Cluster("c", "local"), limited=True)[2:-3] == [
        "--contain", "--env", "*", "--memory", str(1 << 30), "--cpus", "2", "--volume", "/a:/b:ro",
    ]  # fmt: skip
    assert "--memory" not in words(spec, Cluster("c", "slurm"), limited=False)
    assert "--contain" not in words(
        Spec(resources=spec.resources), Cluster("c", "local", container="never"), limited=True
    )
    assert "--contain" in words(Spec(), Cluster("c", "slurm", container="always"), limited=False)


def test_mounts_where_no_containers_run_are_an_error() -> None:
    with pytest.raises(UserError, match="the cluster `c` runs no containers"):
        words(Spec(mounts=("/a:/b",)), Cluster("c", "slurm", container="never"), limited=False)


def test_a_task_finds_what_torch_wants() -> None:
    found = environment.variables("j-1", Place(5, 8, 1, 4, 1, 2, "10.0.0.1", 15_001, 3, 2))

    assert found == {
        "LAMINA_JOB_ID": "j-1", "LAMINA_TASK_INDEX": "5", "LAMINA_TASK_COUNT": "8",
        "LAMINA_NODE_INDEX": "1", "LAMINA_NODE_COUNT": "2", "LAMINA_ARRAY_INDEX": "3",
        "LAMINA_ATTEMPT": "2", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1", "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "15001",
    }  # fmt: skip
