"""Variables that a program gets from outside."""

from __future__ import annotations

import pytest

from lamina.core import variables
from lamina.core.errors import UserError


def test_variables_come_from_the_command_line_or_from_outside() -> None:
    outside = [("SLURM_JOB", "1"), ("SLURM_NODE", "2"), ("HOME", "/h")]

    found = variables.chosen(["A=b=c", "HOME", "SLURM_*", "NONE"], outside)

    assert found == {"A": "b=c", "HOME": "/h", "SLURM_JOB": "1", "SLURM_NODE": "2"}
    with pytest.raises(UserError, match="not the name of a variable"):
        variables.chosen(["=x"], outside)
