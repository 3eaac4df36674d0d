"""Evaluates expressions over what the cells that come with the program are loaded for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.loader import Loader
from lamina.core.errors import UserError

Evaluate = Callable[..., list[str]]


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    """`evaluate(file, symbol, *expressions)`: what `print` shows of each, in a BUILD file."""

    def run(file: str, symbol: str, *expressions: str) -> list[str]:
        lines = [f'load("{file}", "{symbol}")', *(f"print({text})" for text in expressions)]
        (tmp_path / "lamina.toml").write_text("")
        (tmp_path / "BUILD").write_text("\n".join(lines))
        loader = Loader(workspace.read(tmp_path))
        loader.package("")
        return list(loader.prints)

    return run


@pytest.fixture
def refused(evaluate: Evaluate) -> Callable[..., str]:
    """What a person reads when an expression fails."""

    def run(file: str, symbol: str, expression: str) -> str:
        with pytest.raises(UserError) as caught:
            evaluate(file, symbol, expression)
        return caught.value.message

    return run
