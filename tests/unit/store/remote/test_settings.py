"""`[remote]`: what it may say, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lamina.core.errors import UserError
from lamina.store.remote import settings
from lamina.store.remote.settings import Endpoint, Farm


@pytest.mark.parametrize(
    "text",
    ["grpc://farm:80", "grpcs://farm.example:443", "grpc://127.0.0.1:1", "grpcs://[::1]:65535"],
)
def test_an_address_reads_back(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "farm:80", "http://farm:80", "grpc://farm", "grpc://farm:0", "grpc://farm:65536",
     "grpc://:80", "grpc://farm:80/path", "grpc://a b:80"],
)  # fmt: skip
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(UserError, match="not the address of a build farm"):
        Endpoint.parse(text)


def test_all_keys_are_read() -> None:
    table = {
        "endpoint": "grpcs://farm:443", "executor": "grpcs://runs:443", "instance": "main",
        "cache": "read", "execution": True, "platform": {"b": ["2", "1"], "a": "x"},
        "fallback": False, "jobs": 5, "timeout": 3, "queue_timeout": 1.5, "retries": 0,
        "race": True, "race_delay": 0,
        "compression": False, "download": "all", "ca": "ca.pem", "certificate": "c.pem",
        "key": "k.pem", "headers": {"x-team": "ml"}, "token_file": "t", "credential_helper": "h",
    }  # fmt: skip

    assert list(settings.faults(table)) == []
    farm = settings.read(table, Path("/w"))

    assert farm.platform == (("a", "x"), ("b", "1"), ("b", "2"))
    assert (farm.reads, farm.writes, farm.executes) == (True, False, True)
    assert farm.file("ca.pem") == Path("/w/ca.pem")


def test_without_an_endpoint_there_is_no_farm() -> None:
    farm = settings.read({"cache": "read-write", "execution": True}, Path("/w"))

    assert not farm.is_used


def test_an_executor_alone_keeps_the_blobs_too() -> None:
    executor = Endpoint.parse("grpc://farm:80")

    assert Farm(executor=executor, execution=True).checked().endpoint == executor


@pytest.mark.parametrize(
    ("more", "races"),
    [
        ({}, True),
        ({"race": False}, False),
        ({"fallback": False}, False),
        ({"execution": False}, False),
    ],
)
def test_actions_race_where_both_places_may_run_them(more: dict[str, bool], races: bool) -> None:
    table = {"endpoint": "grpc://farm:80", "execution": True, "race": True, **more}

    assert settings.read(table, Path("/w")).races == races


@pytest.mark.parametrize(
    ("key", "value"),
    [("jobs", 0), ("jobs", True), ("jobs", 1.5), ("timeout", "60"), ("cache", "write"),
     ("execution", 1), ("platform", ["a"]), ("headers", {"a": 1}), ("endpoint", 80),
     ("race", "yes"), ("race_delay", -1), ("retries", -1), ("nothing", 1)],
)  # fmt: skip
def test_a_wrong_value_is_a_fault_of_its_key(key: str, value: object) -> None:
    ((found, message),) = settings.faults({key: value})

    assert found == key
    assert f"`{key}`" in message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"certificate": "c"}, "belong together"),
        ({"ca": "c"}, "certificates are of no use"),
        ({"token_env": "T"}, "in the open"),
        ({"token_env": "T", "token_file": "t"}, "not both"),
    ],
)
def test_what_cannot_all_hold_is_told(more: dict[str, str], message: str) -> None:
    farm = Farm(endpoint=Endpoint.parse("grpc://farm:80"))

    with pytest.raises(UserError, match=message):
        replace(farm, **more).checked()  # type: ignore[arg-type]


def test_a_token_may_go_to_this_machine_in_the_open() -> None:
    farm = Farm(endpoint=Endpoint.parse("grpc://127.0.0.1:80"), token_env="T")

    assert farm.checked() == farm
