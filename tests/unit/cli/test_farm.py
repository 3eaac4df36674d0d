"""Flags of a build farm over what `lamina.toml` says."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from lamina.build.workspace import Workspace
from lamina.cli import farm
from lamina.core.errors import UserError
from lamina.store.remote.settings import Farm

URL = "grpc://127.0.0.1:80"


def settings(*words: str, **table: object) -> Farm | None:
    parser = argparse.ArgumentParser()
    farm.add_flags(parser)
    found = parser.parse_args(words)
    return farm.settings(found.remote, Workspace(Path("/w"), "w", remote=table))


def told(*words: str, **table: object) -> Farm:
    found = settings(*words, **table)
    assert found is not None
    return found


def test_nothing_said_is_no_farm() -> None:
    assert settings() is None


def test_lamina_toml_is_enough() -> None:
    assert str(told(endpoint=URL).endpoint) == URL


def test_a_flag_wins_and_the_last_one_of_two() -> None:
    found = told("--remote-timeout=3", "--remote-timeout=4", endpoint=URL, timeout=9)

    assert found.timeout == 4


def test_the_farm_of_lamina_toml_can_be_left_alone() -> None:
    assert settings("--no-remote", endpoint=URL) is None
    assert settings("--no-remote", "--remote", endpoint=URL) is not None


def test_the_flags_of_bazel_are_known() -> None:
    found = told(
        "--remote-executor", URL, "--noremote-upload-local-results", "--remote-header=x=y=z",
        "--remote-default-exec-properties=OSFamily=linux", "--remote-instance-name=main",
        "--noremote-local-fallback", "--remote-download-all",
    )  # fmt: skip

    assert (found.executes, found.writes, found.fallback) == (True, False, False)
    assert (found.headers, found.platform) == ((("x", "y=z"),), (("OSFamily", "linux"),))
    assert (found.instance, found.download) == ("main", "all")


def test_a_race_and_its_delay() -> None:
    words = ("--remote-executor", URL)

    assert not told(*words).races
    assert told(*words, "--remote-race").race_delay == 1000
    assert told(*words, "--remote-race", "--remote-race-delay=0").race_delay == 0
    assert not told(*words, "--no-remote-race", race=True).races


def test_a_farm_that_is_asked_for_must_be_named() -> None:
    with pytest.raises(UserError, match="there is no build farm to use"):
        settings("--remote")


@pytest.mark.parametrize(
    "word",
    [
        "--remote-download-outputs=minimal",
        "--remote-timeout=soon",
        "--remote-jobs=0",
        "--remote-race-delay=-1",
        "--remote-header=x",
    ],
)
def test_a_wrong_value_names_the_flag(word: str) -> None:
    with pytest.raises(UserError, match=word.partition("=")[0]):
        settings(f"--remote-cache={URL}", word)
