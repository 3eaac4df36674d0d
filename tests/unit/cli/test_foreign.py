"""What is said to options of other build tools."""

from __future__ import annotations

import pytest

from lamina.cli.foreign import advice
from lamina.cli.main import main


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--incompatible_strict_action_env", "leave it out"),
        ("--noincompatible_x", "leave it out"),
        ("--experimental_x=1", "leave it out"),
        ("--enable_bzlmod", "leave it out"),
        ("--color=no", "NO_COLOR"),
        ("--noshow_progress", "--console"),
        ("--test_output=errors", "lamina test"),
        ("--features=layering_check", "--copt"),
        ("--host_copt=-g", "leave `host_` out"),
        ("--action_env=PATH", "variables"),
        ("--crosstool_top=//x", "[cxx]"),
        ("--extra_toolchains=//x", "[cxx]"),
        ("--spawn_strategy=local", "sandbox"),
        ("--internal_spawn_scheduler", "--remote-race"),
        ("--prefer-local", "--remote-race"),
        ("-s", "lamina log ran"),
        ("--nobuild", "--dry-run"),
        ("--profile=x", "--trace"),
        ("--explain=x", "lamina why"),
        ("--disk_cache=/x", "LAMINA_STORE"),
        ("--remote_build_event_upload=all", "`[remote]`"),
        ("--override_repository=a=/x", "[cells]"),
        ("--stamp", "version"),
        ("--dynamic_mode=off", "linkstatic"),
        ("--flagfile", "--config NAME"),
        ("--num-threads", "--jobs"),
        ("--fail-fast", "--keep-going"),
    ],
)
def test_known_options_have_advice(option: str, word: str) -> None:
    assert word in advice(option)


@pytest.mark.parametrize("option", ["--jbos", "--verbos", "-x", "--cop=-g", "--definee=a=b", "--"])
def test_a_misspelt_option_of_ours_is_none_of_theirs(option: str) -> None:
    assert advice(option) == ""


def test_the_advice_is_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--nobuild", "//..."]) == 3

    assert capsys.readouterr().err == (
        "error: `lamina build` does not take `--nobuild`\n"
        "hint: `--dry-run` loads and analyses, and runs nothing\n"
    )
