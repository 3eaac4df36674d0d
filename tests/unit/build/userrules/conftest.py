"""Real builds of targets whose rules a test writes into `r.bzl`, at the root of a workspace."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.analysis import analyse, runtime_order
from lamina.build.configuration import DEFAULT, Configuration
from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.loader import Loader
from lamina.build.providers import Analysed
from lamina.build.sources import Sources
from lamina.build.toolchains import Toolchains
from lamina.core.action import Action, Artifact
from lamina.core.errors import LaminaError
from lamina.core.label import Label
from lamina.core.tree import File, place
from lamina.linux.versions import ToolVersions
from lamina.store.local import LocalStore


class Silent:
    def planned(self, actions: int) -> None: ...
    def started(self, action: Action) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def failed(self, action: Action, error: LaminaError) -> None: ...


class Workspace:
    """A workspace whose root package loads all of `r.bzl` that its BUILD file names."""

    def __init__(self, root: Path, store: LocalStore) -> None:
        self.root = root
        self.configuration: Configuration = DEFAULT
        self._store = store
        self._loader: Loader | None = None

    def write(self, rules: str, build: str, files: Mapping[str, str] | None = None) -> Workspace:
        for path, text in {
            "lamina.toml": "",
            "r.bzl": rules,
            "BUILD": build,
            **(files or {}),
        }.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return self

    def analyse(self, name: str = "x") -> tuple[Analysed, Mapping[Label, Analysed]]:
        """The target of a name in the root package, or of a label."""
        loader = Loader(workspace.read(self.root), configuration=self.configuration)
        label = Label.parse(name, "")
        targets = loader.closure([label])
        self._loader = loader
        toolchains = Toolchains(loader.workspace, ToolVersions(self._store.folder / "tools.json"))
        analysed = analyse(targets, toolchains, loader.place, self.configuration, loader.cells)
        return analysed[label], analysed

    def build(self, name: str = "x") -> dict[str, str]:
        """What the outputs of a target hold, by path."""
        return self._made(dict(self.analyse(name)[0].files))

    def text(self, name: str = "x") -> str:
        """What the one output of a target holds."""
        [text] = self.build(name).values()
        return text

    def run(self, name: str = "x", *arguments: str) -> str:
        """What the program of a target prints, from its laid-out package root."""
        target, analysed = self.analyse(name)
        folder = self.root.parent / "package"
        for part in runtime_order(target.label, analysed):
            self._made(dict(analysed[part].own), folder)
        assert target.runnable is not None
        program = folder / target.runnable.entry_point
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def error(self, name: str = "x") -> str:
        """What a person reads when a target cannot be built: message and hint."""
        with pytest.raises(LaminaError) as caught:
            self.build(name)
        hint = caught.value.hint
        return caught.value.message + (f"\nhint: {hint}" if hint else "")

    @property
    def prints(self) -> tuple[str, ...]:
        assert self._loader is not None
        return self._loader.prints

    def _made(self, files: Mapping[str, Artifact], at: Path | None = None) -> dict[str, str]:
        sources = Sources(self.root, self._store, self.root.parent / "sources.json")
        engine = Engine(self.root, self._store, sources, Silent(), jobs=2)
        made = engine.build(files.values())
        found: dict[str, str] = {}
        for start, artifact in files.items():
            for path, node in place(start, made[artifact]).items():
                assert isinstance(node, File)
                data = self._store.read(node.digest)
                found[path] = data.decode(errors="replace")
                if at is not None:
                    target = at / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
                    target.chmod(0o755 if node.executable else 0o644)
        return found


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    root = tmp_path / "workspace"
    with contextlib.closing(LocalStore(tmp_path / "store")) as store:
        yield Workspace(root, store)


@pytest.fixture
def evaluated(ws: Workspace) -> Callable[[str, str], str]:
    """Write a rule whose implementation has the given body; what it calls `result` is its output.

    `values` is the rest of the rule's call, as `srcs = ["a.txt"]`.
    """

    def evaluate(body: str, attributes: str = "", values: str = "") -> str:
        indented = "\n".join(f"    {line}" for line in body.splitlines())
        rules = f"""
Info = provider(fields = ["value"])

def _impl(ctx):
{indented}
    out = ctx.actions.declare_file(ctx.label.name + ".out")
    ctx.actions.write(out, str(result))
    return [DefaultInfo(files = depset([out])), Info(value = ctx.label.name)]

thing = rule(implementation = _impl, attrs = {{{attributes}}})
"""
        files = {"a.txt": "a", "b.txt": "b", "p/BUILD": 'exports_files(["c.txt"])', "p/c.txt": "c"}
        build = f'load(":r.bzl", "thing")\nthing(name = "x", {values})\n'
        return ws.write(rules, build, files).text()

    return evaluate
