"""What is kept of jobs: it reads back, is found by its beginning, and is told where damaged."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.cluster import records
from lamina.cluster.records import Record
from lamina.core.errors import UserError
from lamina.core.job import Job, Resources, Spec

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
SPECS = st.builds(
    Spec,
    arguments=TEXTS,
    environment=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    nodes=st.integers(0, 9),
    resources=st.builds(Resources, st.integers(0, 9), st.integers(0, 1 << 50), st.integers(0, 9)),
    time_limit=st.integers(0, 1 << 30),
    exclusive=st.booleans(),
    mounts=TEXTS,
    setup=TEXTS,
    array=TEXTS,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def made(id_: str, where: str = "", spec: Spec | None = None) -> Record:
    job = Job(id_, "//:j", "p@sha256:0", spec or Spec())
    record = Record(
        job, "prod", "12", records.make_folder(id_, where), 5.5, {"launcher": "local"},
        {"build": 1.5}, {"blobs": 1, "bytes": 2},
    )  # fmt: skip
    records.write(record)
    return record


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SPECS)
def test_a_record_reads_back(home: Path, spec: Spec) -> None:
    record = Record(Job("j", "//:j", "p", spec), "c", "1", home, 1.0, {"a": ["b"]})
    records.write(record)

    assert records.read(home) == record


def test_ids_are_plain_and_differ() -> None:
    first, second = records.new_id("Ärger & Train_1!"), records.new_id("Ärger & Train_1!")

    assert first.rpartition("-")[0] == second.rpartition("-")[0] == "rger-train-1"
    assert first != second
    assert records.new_id("…").startswith("job-")


def test_a_job_is_found_by_its_id_and_by_a_beginning_that_no_other_has() -> None:
    one, other = made("train-12ab"), made("train-13cd")

    assert records.find("train-12ab") == one
    assert records.find("train-13") == other
    assert records.find("test") is None
    assert records.find("../train-12ab") is None
    with pytest.raises(UserError, match="several jobs begin with `train-1`"):
        records.find("train-1")


def test_an_id_that_others_begin_with_is_found() -> None:
    one = made("train-1")
    made("train-12")

    assert records.find("train-1") == one


def test_a_folder_that_all_nodes_see_is_found_too_and_forgotten(home: Path) -> None:
    record = made("far-1", str(home / "shared"))
    made("near-1")

    assert record.folder == home / "shared/far-1"
    assert {each.name for each in records.folders()} == {"far-1", "near-1"}
    records.forget(record)
    assert [each.name for each in records.folders()] == ["near-1"]
    assert [each.name for each in records.top().iterdir()] == ["near-1"]


def test_the_newest_comes_last() -> None:
    first, second = made("b-1"), made("a-1")
    for record, when in ((first, 10), (second, 20)):
        os.utime(record.folder / records.FILE, (when, when))

    assert [each.name for each in records.folders()] == ["b-1", "a-1"]


def test_a_folder_is_of_its_owner_alone() -> None:
    assert made("j-1").folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_names_the_setting(home: Path) -> None:
    (home / "file").write_text("")

    with pytest.raises(UserError) as caught:
        records.make_folder("j-1", str(home / "file"))

    assert "`logs` of the cluster" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        ('{"format": 2}', "was kept by another lamina"),
    ],
)
def test_what_cannot_be_read_is_told(home: Path, text: str, message: str) -> None:
    (home / records.FILE).write_text(text)

    with pytest.raises(UserError, match=message):
        records.read(home)


@pytest.mark.parametrize("key", ["job", "cluster", "native", "submitted", "settings"])
def test_what_lacks_a_part_is_told(key: str) -> None:
    record = made("j-1")
    path = record.folder / records.FILE
    document = json.loads(path.read_bytes())
    del document[key]
    path.write_text(json.dumps(document))

    with pytest.raises(UserError, match="is damaged"):
        records.read(record.folder)


def test_a_folder_without_a_record_is_no_job(home: Path) -> None:
    with pytest.raises(UserError, match="there is no job in"):
        records.read(home)


def test_every_field_of_a_job_is_kept() -> None:
    document = json.loads((made("j-1").folder / records.FILE).read_bytes())

    names = {each.name for each in dataclasses.fields(Spec)}
    assert set(document["job"]["spec"]) == names
