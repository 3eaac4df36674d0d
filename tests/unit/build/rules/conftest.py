"""Real builds of small workspaces: each test writes its files and looks at what comes out."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.analysis import analyse, runtime_order
from lamina.build.configuration import DEFAULT
from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.loader import Loader
from lamina.build.providers import Analysed
from lamina.build.sources import Sources
from lamina.build.toolchains import Toolchains
from lamina.core.action import Action, Artifact
from lamina.core.errors import LaminaError
from lamina.core.label import Label
from lamina.core.tree import File, Node, Symlink, place
from lamina.linux.versions import ToolVersions
from lamina.store.local import LocalStore


class Silent:
    """A listener that keeps what the tools printed."""

    def __init__(self) -> None:
        self.printed = b""

    def planned(self, actions: int) -> None: ...
    def started(self, action: Action) -> None: ...

    def finished(self, outcome: Outcome) -> None:
        self.printed += outcome.printed

    def failed(self, action: Action, error: LaminaError) -> None: ...


class Project:
    """A workspace, its store, and ways to look at what is built in it."""

    def __init__(self, root: Path, store: LocalStore) -> None:
        self.root = root
        self._store = store
        self._listener = Silent()
        self.configuration = DEFAULT
        self.write({"lamina.toml": ""})

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def analyse(self, label: str) -> tuple[Label, dict[Label, Analysed]]:
        loader = Loader(workspace.read(self.root), configuration=self.configuration)
        wanted = Label.parse(label)
        targets = loader.closure([wanted])
        toolchains = Toolchains(loader.workspace, ToolVersions(self._store.folder / "tools.json"))
        return wanted, analyse(targets, toolchains, loader.place, self.configuration, loader.cells)

    def build(self, label: str) -> dict[str, Node]:
        """The outputs of a target, by path from the root of the workspace."""
        wanted, analysed = self.analyse(label)
        return self._make(dict(analysed[wanted].files))

    def text(self, label: str, path: str = "") -> str:
        """The content of an output; of the only one where no path is given."""
        made = self.build(label)
        node = made[path] if path else next(iter(made.values()))
        assert isinstance(node, File)
        return self._store.read(node.digest).decode()

    def error(self, label: str) -> str:
        """What a person reads when neither outputs nor own files can be made."""
        with pytest.raises(LaminaError) as caught:
            wanted, analysed = self.analyse(label)
            self._make(dict(analysed[wanted].files) | dict(analysed[wanted].own))
        return caught.value.message + (f"\nhint: {caught.value.hint}" if caught.value.hint else "")

    def package(self, label: str, at: Path | None = None) -> Path:
        """Lay a target's whole package root out in a folder; returns its launcher."""
        wanted, analysed = self.analyse(label)
        at = at or self.root.parent / "package"
        for part in runtime_order(wanted, analysed):
            for path, node in self._make(analysed[part].own).items():
                self._lay(node, at / path)
        runnable = analysed[wanted].runnable
        return at / (runnable.entry_point if runnable else "")

    def run(self, label: str, *arguments: str) -> str:
        """What a program prints, run from its laid-out package root."""
        return output(self.package(label), *arguments)

    @property
    def warnings(self) -> str:
        return self._listener.printed.decode()

    def _make(self, files: Mapping[str, Artifact]) -> dict[str, Node]:
        sources = Sources(self.root, self._store, self.root.parent / "sources.json")
        engine = Engine(self.root, self._store, sources, self._listener, jobs=2)
        made = engine.build(files.values())
        return {
            path: node
            for start, artifact in files.items()
            for path, node in place(start, made[artifact]).items()
        }

    def _lay(self, node: Node, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(node, File):
            shutil.copyfile(self._store.path(node.digest), target)
            target.chmod(0o755 if node.executable else 0o644)
        elif isinstance(node, Symlink):
            target.symlink_to(node.target)
        else:
            target.mkdir()


def output(*command: Path | str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """Make a workspace with a store of its own in some folder."""
    with contextlib.ExitStack() as stack:

        def make(folder: str) -> Project:
            root = tmp_path / folder / "workspace"
            root.mkdir(parents=True)
            store = stack.enter_context(contextlib.closing(LocalStore(root.parent / "store")))
            return Project(root, store)

        yield make


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    return make_project(".")
