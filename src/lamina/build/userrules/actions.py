"""Makes the actions that an implementation asked for.

A command names a generated file by the same path whether it makes or reads it: `out/a/b.h`. But an
action writes in `out/` and reads elsewhere, so what it reads is staged at `.lamina/in/a/b.h` and
linked to from `out/a/b.h` before the command starts.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lamina.build.analysis import RuleFault
from lamina.build.rules import running
from lamina.build.userrules.files import Files, tool_root
from lamina.core.action import OUTPUT_FOLDER, Action, Artifact, Literal
from lamina.core.classes import dataclass, replace

if TYPE_CHECKING:
    from lamina.build.analysis import Context

_STAGED = ".lamina/in"
_SCRIPT = ".lamina/action.sh"
_LONG = 100_000  # characters of a command line, from where on a file of parameters is used


@dataclass(frozen=True, slots=True)
class Command:
    """An action as it was asked for; paths are those of `File.path`."""

    parts: tuple[Mapping[str, Any], ...]  # texts, and perhaps how they go into a file
    inputs: tuple[str, ...]
    tools: tuple[str, ...]
    outputs: tuple[str, ...]
    mnemonic: str
    environment: tuple[tuple[str, str], ...] = ()
    network: bool = False
    literals: tuple[tuple[str, Literal], ...] = ()  # files beside its inputs
    python: bool = False  # whether it is a script, to be run by the interpreter
    placement: tuple[str, ...] = ()  # what limits where it runs


# What makes an output: a command, the text itself, or the path of another file that it equals.
Made = Command | Literal | str


class Maker:
    """Turns what makes the outputs of one target into artifacts, each action once."""

    def __init__(
        self, ctx: Context, files: Files, made: Mapping[str, Made], executable: str
    ) -> None:
        """`executable` is an output that is started, whatever mode its action leaves it with."""
        self._ctx = ctx
        self._files = files
        self._made = made
        self._executable = executable
        self._actions: dict[int, Action] = {}
        self._open: list[str] = []

    def artifact(self, path: str) -> Artifact:
        """The artifact of a file; raises RuleFault where it needs itself to be made."""
        known = self._files.artifacts.get(path)
        if known is not None:
            return known
        if path in self._open:
            steps = " -> ".join([*self._open[self._open.index(path) :], path])
            raise RuleFault(f"its actions need each other: `{steps}`")
        made = self._made.get(path)
        if made is None:
            raise RuleFault(f"nothing makes the file `{path}` that it uses")
        self._open.append(path)
        artifact = self._artifact(path, made)
        self._open.pop()
        self._files.artifacts[path] = artifact
        return artifact

    def _artifact(self, path: str, made: Made) -> Artifact:
        if isinstance(made, str):
            return self.artifact(made)
        if isinstance(made, Literal):
            return replace(made, executable=made.executable or path == self._executable)
        action = self._actions.get(id(made))
        if action is None:
            action = self._actions[id(made)] = self._action(made)
        return action.output(_full(path))

    def _action(self, command: Command) -> Action:
        inputs, links = self._inputs(command)
        arguments = self._arguments(command, inputs)
        outputs = [_full(path) for path in command.outputs]
        program = arguments[0]
        if "/" not in program and program in inputs:
            arguments[0] = f"./{program}"
        python = self._ctx.toolchains.python if command.python else None
        if python:
            arguments = [python.command, "-I", "-S", *arguments]
        script = self._script(command, links)
        if script:
            inputs[_SCRIPT] = Literal(script.encode())
            arguments = ["/bin/bash", _SCRIPT, *arguments]
        action = self._ctx.action(
            command.mnemonic,
            arguments,
            inputs,
            outputs,
            toolchain=python.identity if python else "",
            subject=outputs[0],
            mounts=python.mounts if python else (),
            environment=dict(command.environment),
            roots=self._roots(command),
        )
        where = tuple(sorted({*action.placement, *command.placement}))
        return replace(action, network=command.network, placement=where)

    def _inputs(self, command: Command) -> tuple[dict[str, Artifact], list[str]]:
        """The files of an action by where they are staged, and those of them to link to."""
        inputs: dict[str, Artifact] = dict(command.literals)
        links: list[str] = []
        for path in dict.fromkeys((*command.inputs, *command.tools)):
            if path in self._files.tools:
                continue
            artifact = self.artifact(path)
            if path.startswith(f"{OUTPUT_FOLDER}/"):
                inputs[staged(path)] = artifact
                links.append(path)
            else:
                inputs[path] = artifact
        return inputs, links

    def _roots(self, command: Command) -> list[tuple[str, Artifact]]:
        """The package roots of programs, with all that they need when they run."""
        used = dict.fromkeys((*command.inputs, *command.tools))
        labels = [self._files.tools[path] for path in used if path in self._files.tools]
        found: list[tuple[str, Artifact]] = []
        for label in labels:
            root = tool_root(self._ctx, label)
            found += running.tool_files(self._ctx, self._ctx.analysed[label], root)
        return found

    def _arguments(self, command: Command, inputs: dict[str, Artifact]) -> list[str]:
        """The words of a command; long parts that may be are put into files of parameters."""
        length = sum(len(text) + 1 for part in command.parts for text in part["texts"])
        words: list[str] = []
        for number, part in enumerate(command.parts):
            if "file" not in part or not (part.get("always") or length > _LONG):
                words.extend(part["texts"])
                continue
            path = f".lamina/parameters-{number}"
            inputs[path] = Literal(_parameters(part["texts"], part.get("format", "shell")))
            words.append(part["file"].replace("%s", path))
        return words

    def _script(self, command: Command, links: Iterable[str]) -> str:
        """What is done before and after a command; "" where nothing is."""
        folders: dict[str, list[str]] = {}
        for path in links:
            folders.setdefault(posixpath.dirname(path), []).append(path)
        lines: list[str] = []
        if folders:
            lines.append(f"mkdir -p {shlex.join(folders)}")
        for folder, paths in folders.items():
            targets = [posixpath.relpath(staged(path), folder) for path in paths]
            lines.append(f"ln -s {shlex.join(targets)} {shlex.quote(folder)}/")
        if self._executable in command.outputs:
            lines += ['"$@"', f"chmod +x {shlex.quote(self._executable)}"]
        elif lines:
            lines.append('exec "$@"')
        return "\n".join(["set -e", *lines, ""]) if lines else ""


def staged(path: str) -> str:
    """Where an action has a generated file that it reads."""
    return f"{_STAGED}/{_full(path)}"


def _full(path: str) -> str:
    return path[len(OUTPUT_FOLDER) + 1 :]


def _parameters(texts: Iterable[str], format_: str) -> bytes:
    lines = texts if format_ != "shell" else map(shlex.quote, texts)
    return "".join(f"{line}\n" for line in lines).encode()
