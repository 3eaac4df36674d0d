"""One call of a rule's implementation: what it declares, and what becomes of it.

Files and actions may be declared in any order, so actions are only made when the call is over, each
after those whose files it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.build import placement
from lamina.build.analysis import RuleFault
from lamina.build.evaluation import CallFault
from lamina.build.providers import Analysed, CxxInfo, Runnable, TestInfo
from lamina.build.rules import running
from lamina.build.userrules import expansion, flags
from lamina.build.userrules.actions import Command, Made, Maker
from lamina.build.userrules.files import Files, Parts, generated
from lamina.core.action import OUTPUT_FOLDER, Artifact, Literal
from lamina.core.errors import IntegrityError
from lamina.core.label import Label
from lamina.core.tree import check_path
from lamina.formats.launcher import native_launcher

if TYPE_CHECKING:
    from lamina.build.analysis import Context
    from lamina.build.userrules.rules import UserRule


class Implementation:
    """Takes down what an implementation calls; paths are those of `File.path`."""

    def __init__(self, rule: UserRule, ctx: Context, files: Files) -> None:
        self._rule = rule
        self._ctx = ctx
        self._files = files
        self._program = generated(ctx.in_package(ctx.label.name)) if rule.executable else ""
        named = rule.named_outputs(ctx.target)
        self._declared = {
            generated(ctx.in_package(path)): False for paths in named.values() for path in paths
        }
        self._made: dict[str, Made] = {}
        self._finished: dict[str, Any] = {}

    # What the prelude calls, by the same names.

    def declare(self, name: str, sibling: str, folder: bool) -> Parts:
        """Another output: beside a file, or in the build package."""
        beside = sibling.removeprefix(f"{OUTPUT_FOLDER}/").rpartition("/")[0]
        full = f"{beside}/{name}".lstrip("/") if sibling else self._ctx.in_package(name)
        try:
            check_path(full)
        except IntegrityError:
            raise CallFault(f"not a path for an output: `{name}`") from None
        path = generated(full)
        if self._declared.setdefault(path, folder) != folder:
            raise CallFault(f"the output `{full}` is declared twice: as a file and as a folder")
        return [path, full, False, folder]

    def action(self, given: dict[str, Any]) -> None:
        """`run` and `run_shell`."""
        if not given["outputs"]:
            raise CallFault("an action has outputs: `outputs = […]`")
        command = Command(
            parts=tuple(given["arguments"]),
            inputs=tuple(given["inputs"]),
            tools=tuple(given["tools"]),
            outputs=tuple(given["outputs"]),
            mnemonic=given["mnemonic"],
            environment=tuple(given["env"].items()),
            network="requires-network" in given["requirements"],
            placement=placement.of(given["requirements"]),
        )
        for path in given["outputs"]:
            self._make(path, command)

    def write(self, path: str, content: str, executable: bool) -> None:
        """`write`: the file is known at once, and no action."""
        self._make(path, Literal(content.encode(), executable))

    def same(self, path: str, other: str) -> None:
        """`symlink`: one file under two names."""
        self._make(path, other)

    def template(
        self, template: str, path: str, substitutions: list[list[str]], executable: bool
    ) -> None:
        """`expand_template`."""
        self._make(path, expansion.template(template, path, substitutions, executable))

    def is_made(self, path: str) -> bool:
        """Whether something makes a file so far."""
        return path in self._made

    def tool(self, path: str) -> Parts:
        """The program of this target, as dependents start it."""
        name = self._ctx.launcher_name((self._place(path),), ())
        return self._files.add_tool(self._ctx, self._ctx.label, name)

    def expand_location(self, text: str) -> str:
        """`ctx.expand_location`."""
        return expansion.locations(self._ctx, self._files, self._rule, text)

    def expand_variables(self, attribute: str, text: str, variables: dict[str, str]) -> str:
        """`ctx.expand_make_variables`."""
        return expansion.variables(attribute, text, variables)

    def has_constraint(self, label: str) -> bool:
        """`ctx.target_platform_has_constraint`."""
        return expansion.has_constraint(self._ctx, label)

    def blame(self, attribute: str, label: str, message: str) -> None:
        """What is wrong is in the BUILD file, where it mentions a label."""
        mention = Label.parse(label.removeprefix("@@"))
        raise RuleFault(message, mention=mention, attribute=attribute)

    def finish(self, result: str) -> None:
        """What the implementation returned, as JSON."""
        self._finished = json.loads(result)

    # What becomes of it.

    def analysed(self) -> Analysed:
        """The target as others see it; raises RuleFault."""
        result, ctx = self._finished, self._ctx
        maker = Maker(ctx, self._files, self._made, result["executable"])
        for path in self._declared:
            if path not in self._made:
                raise RuleFault(
                    f"no action makes its output `{path[len(OUTPUT_FOLDER) + 1 :]}`",
                    hint="give it to `ctx.actions.run`, `run_shell`, `write` or `symlink`",
                )
            self._files.artifacts[path] = maker.artifact(path)
        own, runtime = self._runtime(maker)
        runnable = None
        if result["executable"]:
            program = self._place(result["executable"])
            if program == ctx.program_name:
                program = f"bin/{program}"
            own[program] = maker.artifact(result["executable"])
            name = ctx.launcher_name(own, runtime)
            own[name] = Literal(self._launcher(program), executable=True)
            runnable = Runnable(name)
        return Analysed(
            ctx.label,
            files=tuple((self._place(path), maker.artifact(path)) for path in result["files"]),
            own=own,
            runtime=runtime,
            imports=self._imports(),
            cxx=self._cxx(maker),
            runnable=runnable,
            test=self._test(),
        )

    def _launcher(self, program: str) -> bytes:
        """What starts its program, with the arguments and environment of the BUILD file."""
        environment = dict(self._finished["environment"])
        words: tuple[str, ...] = ()
        if self._is_implicit("env"):
            environment |= running.environment(self._ctx)
        if self._is_implicit("args"):
            words = running.arguments(self._ctx)
        return native_launcher(program, environment, words)

    def _is_implicit(self, name: str) -> bool:
        """Whether the rule has an attribute because its targets are started."""
        return self._rule.attributes[name] is running.RUNNING[name]

    def _test(self) -> TestInfo | None:
        if not self._rule.test:
            return None
        from lamina.build.rules import testing

        return testing.info(self._ctx, "")

    def _make(self, path: str, made: Made) -> None:
        shown = path.removeprefix(f"{OUTPUT_FOLDER}/")
        if path not in self._declared:
            if path != self._program:
                raise CallFault(
                    f"`{shown}` is no output of this target",
                    "`ctx.actions.declare_file` gives one",
                )
            self._declared[path] = False
        if path in self._made:
            raise CallFault(f"two actions make `{shown}`")
        self._made[path] = made

    def _place(self, path: str) -> str:
        """The path of a file from the root of the workspace."""
        return path.removeprefix(f"{OUTPUT_FOLDER}/")

    def _runtime(self, maker: Maker) -> tuple[dict[str, Artifact], tuple[Label, ...]]:
        """Its own files in the package root, and the targets whose layers bring the others.

        A target that is neither started nor has runfiles or modules has none: those who need it at
        run time take its outputs.
        """
        result = self._finished
        python = result["python"]
        targets = dict.fromkeys(map(Label.parse, result["targets"]))
        paths: Iterable[str] = python["sources"] if python else ()
        if result["needs_runfiles"]:
            paths = [*paths, *result["runfiles"]]
        elif not python:
            return {}, ()
        brought = self._brought()
        own: dict[str, Artifact] = {}
        for path in dict.fromkeys(paths):
            if path in self._files.tools:
                targets[self._files.tools[path]] = None
                continue
            artifact = maker.artifact(path)
            bringer = brought.get(_identity(self._place(path), artifact))
            if bringer is not None:
                targets[bringer] = None
            else:
                own[self._place(path)] = artifact
        for place, path in result["symlinks"]:
            own[place.removeprefix("_main/")] = maker.artifact(path)
        return own, tuple(label for label in targets if label != self._ctx.label)

    def _brought(self) -> dict[tuple[str, Artifact], Label]:
        """The files that layers of dependencies have, with the dependency that brings each."""
        found: dict[tuple[str, Artifact], Label] = {}
        for label in self._ctx.target.dependencies():
            target = self._ctx.dep(label)
            if target is not None and (target.own or target.runtime):
                for part in self._ctx.runtime_closure(target):
                    for place, artifact in part.own.items():
                        found.setdefault(_identity(place, artifact), target.label)
        return found

    def _imports(self) -> tuple[str, ...]:
        python = self._finished["python"]
        own = re.compile(rf"^(?:_main|{re.escape(self._ctx.label.cell or '_main')})/")
        return tuple(own.sub("", path) for path in python["imports"]) if python else ()

    def _cxx(self, maker: Maker) -> CxxInfo | None:
        given = self._finished["cxx"]
        if given is None:
            return None
        below = [self._ctx.analysed.get(Label.parse(text)) for text in given["targets"]]
        headers = [(self._place(path), maker.artifact(path)) for path in given["headers"]]
        deps = [target.cxx for target in below if target is not None and target.cxx is not None]
        return flags.library(self._ctx.root, headers, given, deps)


def _identity(place: str, artifact: Artifact) -> tuple[str, Artifact]:
    """What tells a file from others: two that are known at once may hold the same."""
    return (place if isinstance(artifact, Literal) else "", artifact)
