"""The command line of `xarexec`."""

from __future__ import annotations

import pytest

from lamina.cli import xarexec


@pytest.mark.parametrize(
    ("arguments", "flags", "rest"),
    [
        (["f"], set(), ["f"]),
        (["-m", "f"], {"-m"}, ["f"]),
        (["-m", "-n", "f"], {"-m", "-n"}, ["f"]),
        (["f", "-m", "x"], set(), ["f", "-m", "x"]),
        (["-x"], {"-x"}, []),
    ],
)
def test_flags_before_the_file_are_ours_and_the_rest_the_programs(
    arguments: list[str], flags: set[str], rest: list[str]
) -> None:
    assert xarexec.parse(arguments) == xarexec.Options(frozenset(flags), rest)


def test_an_absent_file_is_134_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert xarexec.main(["-m", "/no/such.xar"]) == 134
    assert capsys.readouterr().err.startswith("error: can not open the image `/no/such.xar`")
