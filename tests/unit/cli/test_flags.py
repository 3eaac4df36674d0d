"""Flags of the command line and of `lamina.toml`, and the configuration they make."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.configuration import Configuration
from lamina.cli import arguments, flags
from lamina.core.errors import UserError


def configuration(tmp_path: Path, *words: str, settings: str = "") -> Configuration:
    """What the words of a command line make in a workspace with some settings."""
    (tmp_path / "lamina.toml").write_text(settings)
    parser = argparse.ArgumentParser()
    arguments.add_build(parser)
    args = parser.parse_args(arguments.normal(words, parser._option_string_actions))
    return flags.configuration(args.flags, workspace.read(tmp_path))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), Configuration(compiler="gcc")),
        (("-c", "opt"), Configuration("opt", compiler="gcc")),
        (("--compilation_mode=dbg",), Configuration("dbg", compiler="gcc")),
        (("-c", "opt", "-c", "dbg"), Configuration("dbg", compiler="gcc")),
        (("--platforms", "//p:x"), Configuration(platform="//p:x", compiler="gcc")),
        (("--target_platforms=//p:x",), Configuration(platform="//p:x", compiler="gcc")),
        (("--cpu=arm",), Configuration(cpu="arm", compiler="gcc")),
        (("-m", "//p:x"), Configuration(constraints=("//p:x",), compiler="gcc")),
        (
            ("--define", "a=1", "--define=b=2=3", "--define", "a=4"),
            Configuration(defines=(("a", "4"), ("b", "2=3")), compiler="gcc"),
        ),
        (
            ("--copt", "-g", "--copt=-O1", "--cxxopt", "-x", "--conlyopt=-y", "--linkopt", "-z"),
            Configuration(
                copts=("-g", "-O1"), cxxopts=("-x",), conlyopts=("-y",), linkopts=("-z",),
                compiler="gcc",
            ),
        ),
        (
            ("--//p:a=1", "--@//p:b", "--no//p:c", "--@x//p:d=2", "--flag", "//p:e=3"),
            Configuration(
                flags=(
                    ("//p:a", "1"), ("//p:b", "true"), ("//p:c", "false"), ("@x//p:d", "2"),
                    ("//p:e", "3"),
                ),
                compiler="gcc",
            ),
        ),
    ],
)  # fmt: skip
def test_words_in_the_spelling_of_either_dialect_make_a_configuration(
    tmp_path: Path, words: tuple[str, ...], expected: Configuration
) -> None:
    assert configuration(tmp_path, *words) == expected


CONFIGS = """
[build]
flags = ["-c", "opt", "--define=a=1"]
[config.asan]
flags = ["--copt", "-fsanitize=address", "--config=slow"]
[config.slow]
flags = ["-c", "dbg", "--define", "a=2"]
[config.loop]
flags = ["--config=loop"]
[config.wrong]
flags = ["--no-such-flag"]
"""


def test_flags_of_the_command_line_win_over_those_of_the_workspace(tmp_path: Path) -> None:
    plain = configuration(tmp_path, settings=CONFIGS)
    typed = configuration(tmp_path, "--define=a=3", settings=CONFIGS)

    assert (plain.compilation_mode, plain.defines) == ("opt", (("a", "1"),))
    assert (typed.compilation_mode, typed.defines) == ("opt", (("a", "3"),))


def test_a_config_stands_for_its_flags_and_those_of_other_configs(tmp_path: Path) -> None:
    made = configuration(tmp_path, "--config", "asan", "--define=a=3", settings=CONFIGS)

    assert made.copts == ("-fsanitize=address",)
    assert (made.compilation_mode, made.defines) == ("dbg", (("a", "3"),))


def test_the_compiler_is_that_of_the_workspace(tmp_path: Path) -> None:
    assert configuration(tmp_path, settings='[cxx]\ncompiler = "clang++-15"').compiler == "clang"


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("--config=asa", "no config `asa` in `lamina.toml`", "there are `asan`, `loop`, `slow`"),
        ("--config=loop", "a config of `lamina.toml` names itself: `loop -> loop`", ""),
        ("--config=wrong", "`flags` in `[config.wrong]` of `lamina.toml` has no", "known: "),
        ("--define=a", "`--define` takes `name=value`, not `a`", ""),
        ("--compilation-mode=fast", "`--compilation-mode` takes `opt`, `dbg`, `fastbuild`", ""),
        ("--no//p:x=1", "`--no//p:x` takes no value", ""),
        ("--platforms=a:b:c", "not a label: `a:b:c`", "names may not hold `:`"),
    ],
)
def test_what_is_no_flag_is_told(tmp_path: Path, word: str, message: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        configuration(tmp_path, word, settings=CONFIGS)

    assert caught.value.message.startswith(message)
    assert (caught.value.hint or "").startswith(hint)


def test_words_that_mean_nothing_here_are_left_alone() -> None:
    words = ["--//a:b", "--keep_going", "x_y", "--unknown_option=a_b", "--copt"]

    assert arguments.normal(words, {"--keep-going"}) == [
        "--//a:b", "--keep-going", "x_y", "--unknown_option=a_b", "--copt",
    ]  # fmt: skip
