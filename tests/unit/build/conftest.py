"""A workspace in a temporary folder, and a few rules, so that loading is tested on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.attributes import Attribute, Kind
from lamina.build.loader import Loader
from lamina.build.rule import Rule, index
from lamina.build.rules import config, generic
from lamina.core.errors import UserError
from lamina.core.label import Pattern

Write = Callable[[Mapping[str, str]], Loader]
Complain = Callable[..., str]


def nothing(*_arguments: object) -> object:
    return None


RULES = index(
    [
        Rule(
            "python_library",
            {
                "srcs": Attribute(Kind.SOURCES, doc="modules"),
                "deps": Attribute(Kind.LABEL_LIST),
                "resources": Attribute(Kind.SOURCES),
                "base_module": Attribute(Kind.STRING),
                "env": Attribute(Kind.STRING_DICT),
            },
            nothing,
            aliases={"data": "resources"},
            names=("py_library",),
        ),
        Rule(
            "python_binary",
            {
                "main": Attribute(Kind.SOURCE, required=True, doc="the file to run"),
                "deps": Attribute(Kind.LABEL_LIST),
                "jobs": Attribute(Kind.INTEGER, default=1),
                "strip": Attribute(Kind.BOOLEAN),
            },
            nothing,
            names=("py_binary",),
        ),
        *generic.RULES,
        *config.RULES,
    ]
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a fresh workspace and give its loader."""

    def write_files(files: Mapping[str, str]) -> Loader:
        for name, text in {"lamina.toml": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Loader(workspace.read(tmp_path), RULES)

    return write_files


@pytest.fixture
def complaint(write: Write) -> Complain:
    """Write files, load what patterns choose, and give what a person reads: message and hint."""

    def complain(files: Mapping[str, str], *patterns: str) -> str:
        loader = write(files)
        with pytest.raises(UserError) as caught:
            loader.closure(loader.resolve([Pattern.parse(text) for text in patterns or ["//..."]]))
        hint = caught.value.hint
        return caught.value.message + (f"\nhint: {hint}" if hint else "")

    return complain
