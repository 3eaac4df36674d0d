"""Flags as BUILD files write them: variables and `$(location x)` replaced, words split.

Attributes of Bazel (`copts`, `defines`, `linkopts` …) are split as a Bourne shell would, and `$$`
stands for `$`; those of Buck (`compiler_flags` …) are taken word for word, but for `$(location x)`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.build.conditions import host_cpu
from lamina.core.action import Artifact
from lamina.core.errors import UserError
from lamina.core.label import Label

_MACRO = re.compile(r"\$\$|\$\(([^()]*)\)")
_LOCATIONS = frozenset(
    {
        "location", "locations", "execpath", "execpaths", "rootpath", "rootpaths",
        "rlocationpath", "rlocationpaths",
    }
)  # fmt: skip
# What Bazel's toolchain defines for this compiler; sources and generated files lie in one tree.
_FIXED = {"BINDIR": ".", "GENDIR": ".", "STACK_FRAME_UNLIMITED": "", "CC_FLAGS": ""}
_QUOTE = re.compile(r"[\s'\"]")
# As in `-Iexternal/zlib/src`, `-L./external/…` or `--sysroot=external/…`.
_CELL = re.compile(
    r"(^(?:-(?:I|L|isystem|iquote|idirafter|include))?|[=,])(?:\./)?external/([\w.+~-]+)(?=/|$)"
)


class Flags:
    """Reads the flags of one target; keeps the files that they name."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.inputs: dict[str, Artifact] = {}  # by path in an action

    def tokens(self, *names: str) -> list[str]:
        """The words of attributes of Bazel."""
        split = "no_copts_tokenization" not in self._ctx.texts("features")
        found: list[str] = []
        for name in names:
            for text in self._ctx.texts(name):
                if "$" not in text and "\\" not in text and not _QUOTE.search(text):
                    found.append(text)
                elif split:
                    found.extend(self._split(text, name))
                else:
                    found.append(self._expanded(text, name, bazel=True))
        return self._placed(found)

    def words(self, *names: str) -> list[str]:
        """The words of attributes of Buck."""
        return self._placed(
            self._expanded(text, name, bazel=False) if "$" in text else text
            for name in names
            for text in self._ctx.texts(name)
        )

    def by_language(self, name: str, languages: Iterable[str]) -> list[str]:
        """Of an attribute that is a dict of language to flags, those of some languages."""
        wanted = set(languages)
        value = self._ctx.target.attributes[name]
        assert isinstance(value, tuple)
        return [flag for language, flags in value if language in wanted for flag in flags]

    def linkopts(self, *names: str) -> list[str]:
        """As `tokens`; a word that is a label of one of the target's files stands for its path."""
        return [self._file(word) for word in self.tokens(*names)]

    def add(self, label: Label) -> tuple[str, ...]:
        """Make the files of a label inputs, and return their paths."""
        files = self._ctx.files(label)
        self.inputs.update((file.full, file.artifact) for file in files)
        return tuple(file.full for file in files)

    def _placed(self, words: Iterable[str]) -> list[str]:
        """Words with the folders of cells in place of those where Bazel has them."""
        return [_CELL.sub(self._folder, word) if "external/" in word else word for word in words]

    def _folder(self, match: re.Match[str]) -> str:
        cells = self._ctx.cells
        cell = cells.names.get(match[2], match[2])
        if cell and not cells.has(cell):
            return match[0]
        return match[1] + (cells.folder(cell) or ".")

    def _file(self, word: str) -> str:
        if word.startswith("-") or word.endswith((".a", ".so", ".o")):
            return word
        label = self._label(word)
        return " ".join(self.add(label)) if label else word

    def _label(self, text: str) -> Label | None:
        """The label that a text is, where the target mentions it."""
        ctx = self._ctx
        try:
            label = ctx.cells.home(ctx.label.cell, ctx.label.package).label(text)
        except UserError:
            return None
        return label if label in ctx.target.dependencies() else None

    def _split(self, text: str, attribute: str) -> list[str]:
        try:
            return shlex.split(self._expanded(text, attribute, bazel=True))
        except ValueError as error:
            raise RuleFault(
                f"`{text}` in `{attribute}` is no list of shell words: {str(error).lower()}",
                hint='quotes are paired; a quote that is meant as such is written `\\\\"`',
                attribute=attribute,
            ) from error

    def _expanded(self, text: str, attribute: str, *, bazel: bool) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$" if bazel else "$$"
            name, _, argument = match[1].strip().partition(" ")
            if name in _LOCATIONS and argument.strip():
                return self._location(name, argument.strip(), attribute)
            return self._variable(match[1], attribute) if bazel else match[0]

        return _MACRO.sub(replace, text)

    def _location(self, name: str, text: str, attribute: str) -> str:
        label = self._label(text)
        if label is None:
            raise RuleFault(
                f"`$({name} {text})` in `{attribute}` names none of its files",
                hint=f"add `{text}` to its `deps` or `additional_linker_inputs`",
                attribute=attribute,
            )
        paths = self.add(label)
        if len(paths) != 1 and not name.endswith("s"):
            raise RuleFault(
                f"`$({name} {text})` stands for {len(paths)} files",
                hint=f"use `$({name}s {text})`",
                attribute=attribute,
            )
        return " ".join(paths)

    def _variable(self, name: str, attribute: str) -> str:
        configuration = self._ctx.configuration
        known = {
            **_FIXED,
            "RULEDIR": self._ctx.folder or ".",
            "COMPILATION_MODE": configuration.compilation_mode,
            "TARGET_CPU": configuration.cpu or host_cpu(),
            **dict(configuration.defines),
        }
        if name not in known:
            raise RuleFault(
                f"unknown variable `$({name})` in `{attribute}`",
                hint=f"`--define {name}=value` sets it; `$$` is a plain `$`",
                attribute=attribute,
            )
        return known[name]


def is_target(ctx: Context, source: SourceFile) -> bool:
    """Whether a file comes from a target, and was not named itself."""
    return ctx.dep(source.label) is not None
