"""Clusters as settings describe them: every fault has its line and says what is wanted."""

from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest

from lamina.core import cluster
from lamina.core.cluster import Cluster

GOOD = """\
[cluster.prod]
launcher = "slurm"
registry = "registry.site/team"
plain_http = true
options = ["--exclusive"]
container = "never"
"""


def faults(text: str) -> list[tuple[int, str]]:
    return cluster.faults(tomllib.loads(text).get("cluster", {}), text)


def test_a_table_is_a_cluster() -> None:
    table = tomllib.loads(GOOD)["cluster"]["prod"]

    assert faults(GOOD) == []
    assert cluster.of_table("prod", table) == Cluster(
        "prod", "slurm", "registry.site/team", options=("--exclusive",), container="never",
        plain_http=True,
    )  # fmt: skip


def test_every_field_may_be_set() -> None:
    values = {"str": '"x"', "bool": "true", "tuple[str, ...]": '["x"]'}
    words = {"transfer": '"pull"', "container": '"auto"'}
    lines = [
        f"{each.name} = {words.get(each.name) or values[str(each.type)]}"
        for each in fields(Cluster)
        if each.name != "name"
    ]

    assert faults("\n".join(["[cluster.a]", *lines])) == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{GOOD}partion = 'a'", 7, "unknown key `partion` (did you mean `partition`?)"),
        (f"{GOOD}partition = 1", 7, "`partition` takes a string"),
        (f"{GOOD}transfer = 'x'", 7, "`transfer` takes `pull`, `broadcast`, `auto`"),
        (GOOD.replace("true", "1"), 4, "`plain_http` takes true or false"),
        (GOOD.replace('["--exclusive"]', "[1]"), 5, "`options` takes a list of strings"),
        ("[build]\n[cluster.a]\n", 2, "`[cluster.a]` has no `launcher`"),
        ("[cluster]\na = 1\n", 1, "a cluster is a table: `[cluster.a]`"),
        ("[cluster.'a b']\nlauncher = 'local'\n", 1, "`a b` is no name of a cluster"),
        ("cluster = 1\n", 1, "clusters are tables: `[cluster.NAME]`"),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, line: int, message: str) -> None:
    found = faults(text)

    assert [(at, told[: len(message)]) for at, told in found] == [(line, message)]
