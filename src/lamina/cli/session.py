"""One command's way through the stages: a workspace, a store, and what they lead to.

Nothing is loaded before it is needed: a command on an unchanged tree is answered from a record.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import output
from lamina.cli.logbook import Logbook
from lamina.core.classes import dataclass
from lamina.core.errors import HostError, LaminaError, UserError
from lamina.linux import filesystem
from lamina.store import local

if TYPE_CHECKING:
    from lamina.build.configuration import Configuration
    from lamina.build.engine import Engine
    from lamina.build.events import Listener
    from lamina.build.loader import Loader
    from lamina.build.providers import Analysed
    from lamina.build.record import Seen
    from lamina.build.remote import Remote
    from lamina.build.sources import Sources
    from lamina.build.target import Target
    from lamina.build.toolchains import Toolchains
    from lamina.build.workspace import Workspace
    from lamina.cli.console import Console
    from lamina.core.digest import Digest
    from lamina.core.label import Home, Label, Pattern
    from lamina.core.manifest import Package
    from lamina.linux.versions import ToolVersions
    from lamina.store.remote.service import Service

MARKER = "lamina.toml"
_FAULTY = "faults in BUILD files"  # why targets are left out


@dataclass(frozen=True, slots=True)
class Options:
    """How to build, as the command line says."""

    jobs: int
    keep_going: bool = False
    verbose: bool = False
    quiet: bool = False
    flags: tuple[str, ...] = ()  # what to build for, each as `--name=value`
    console: str = "auto"  # how progress is shown: `console.MODES`
    words: tuple[str, ...] = ()  # of the command line; empty for what is no build
    dry: bool = False  # whether actions are only looked up
    grouping: str = ""  # of targets into layers; empty for what `lamina.toml` says
    most_layers: int = 0  # the same with their number
    lenient: bool = False  # whether faults in BUILD files cost only what they concern
    remote: tuple[str, ...] = ()  # flags of the build farm, each as `key=value`


class Session:
    """The workspace of the current folder and the store; a context that closes both."""

    def __init__(self, options: Options) -> None:
        """Raises UserError outside of a workspace."""
        self.options = options
        self.begun = time.time_ns()
        self.root = find_root(Path.cwd())
        self.store = local.LocalStore(local.default_folder())
        self.logbook = Logbook(options.words, options.jobs)
        self._build_lock: int | None = None
        self.farm: Service | None = None  # the build farm, from when it is first asked
        self.targets: list[Path] = []  # folders that this writes to besides
        # What the engine tells, it tells to this; whoever wants to hear it too puts itself between.
        self.watch: Callable[[Listener], Listener] = lambda listener: listener
        # Those that this command has read or made, by their manifests.
        self.packages: dict[Digest, Package] = {}
        # What is kept once this command has done its work, also where it has failed then; in this
        # order, each by what it is.
        self.later: dict[str, Callable[[], None]] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raises HostError where the disk was full."""
        try:
            self.settle()
            if self.farm is not None:
                from lamina.cli import farm

                farm.leave(self.farm, self, error)
            if filesystem.is_full(error):
                raise self._full() from error
            self._do_later()
            self._keep(error)
        finally:
            if "lamina.build.workers" in sys.modules:
                from lamina.build import workers

                workers.dismiss()  # else they were children of what this process may become
            if self.farm is not None:
                self.farm.stop()
            if self._build_lock is not None:
                os.close(self._build_lock)
            self.store.close()

    def _do_later(self) -> None:
        try:
            for what in list(self.later):
                self.later.pop(what)()
        except OSError as fault:
            if not filesystem.is_full(fault):
                raise
            raise self._full() from fault

    def _keep(self, error: BaseException | None) -> None:
        """Keep for the next command what was found out."""
        if isinstance(error, LaminaError) and "console" in self.__dict__:
            self.console.summary()
        try:
            if "sources" in self.__dict__:
                self.sources.save()
            if self.has_loaded:
                self.loader.save(self.store.scratch)
        except OSError as fault:
            if not filesystem.is_full(fault):
                raise
            output.warning(f"what was found out is not kept: {self._full().message}")
        self.logbook.close(self.history, self.store, error)

    def _full(self) -> HostError:
        """What to tell of a full disk; a write does not say which it is."""
        place = min(self.root, self.store.folder, *self.targets, key=filesystem.room)
        advice = "make room there, and run the same again: what is made stays made"
        if place == self.store.folder:
            advice += (
                "; `LAMINA_STORE` may name another folder, `lamina clean --expunge` empties it"
            )
        return HostError(f"no space is left on the file system of `{place}`", hint=advice)

    @property
    def state(self) -> Path:
        """The folder of the store that keeps what is known of this workspace."""
        return state_of(self.root, self.store)

    @property
    def history(self) -> Path:
        """The folder that keeps what the last builds did."""
        return self.state / "history"

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace with its settings; reads `lamina.toml`."""
        from lamina.build import workspace

        return workspace.read(self.root)

    @cached_property
    def configuration(self) -> Configuration:
        """What to build for, as `lamina.toml` and the command line say."""
        from lamina.cli import flags

        return flags.configuration(self.options.flags, self.workspace)

    @cached_property
    def loader(self) -> Loader:
        """What evaluates BUILD files."""
        from lamina.build.loader import Loader

        gc.enable()
        gc.set_threshold(50_000, 20, 20)  # what loading makes, it keeps
        cache = self.state / "packages"
        loader = Loader(self.workspace, configuration=self.configuration, cache=cache)
        if self.options.lenient:
            from lamina.build.faults import Tolerance

            loader.tolerance = Tolerance()
        return loader

    @property
    def has_loaded(self) -> bool:
        """Whether BUILD files were asked for."""
        return "loader" in self.__dict__

    @cached_property
    def versions(self) -> ToolVersions:
        """What the tools of this machine say they are."""
        from lamina.linux.versions import ToolVersions

        return ToolVersions(self.store.folder / "tools.json", self.store.scratch)

    @cached_property
    def toolchains(self) -> Toolchains:
        """The compilers and interpreters."""
        from lamina.build.toolchains import Toolchains

        return Toolchains(self.workspace, self.versions)

    @cached_property
    def sources(self) -> Sources:
        """The files of the workspace by digest."""
        from lamina.build.sources import Sources

        locate = self.workspace.locate
        return Sources(self.root, self.store, self.state / "sources.json", locate)

    @cached_property
    def engine(self) -> Engine:
        """What carries out actions."""
        from lamina.build.engine import Engine
        from lamina.build.events import Listeners

        self.alone()
        return Engine(
            self.root,
            self.store,
            self.sources,
            self.watch(Listeners(self.console, self.logbook.recorder)),
            jobs=self.options.jobs,
            keep_going=self.options.keep_going,
            show_commands=self.options.verbose,
            owners=lambda path: self.loader.owners(path),
            cells=self.workspace.cells,
            dry=self.options.dry,
            remote=self._remote(),
        )

    def _remote(self) -> Remote | None:
        """The build farm that is asked before anything runs here; None for none."""
        if not (self.options.remote or self.workspace.remote) or self.options.dry:
            return None
        from lamina.cli import farm

        return farm.enter(self)

    def forget_engine(self) -> None:
        """Let there be another one, to which others may listen."""
        self.__dict__.pop("engine", None)

    @property
    def actions_run(self) -> int:
        """How many actions ran so far, and were not just looked up."""
        return len(self.engine.executed) if "engine" in self.__dict__ else 0

    @property
    def tally(self) -> str:
        """What was done so far: `12 actions run, 88 cached`."""
        known = "console" in self.__dict__ and self.console.tally.done
        return self.console.tally.counts() if known else "nothing to do"

    def alone(self) -> bool:
        """Wait until no other builds in this workspace, until the end; whether one had to be."""
        if self._build_lock is not None:
            return False
        path = self.state / "build.lock"
        filesystem.make_folder(path.parent)
        self._build_lock = filesystem.open_shared(path)
        if filesystem.try_lock(self._build_lock):
            return False
        if not self.options.quiet:
            output.note("waiting for another lamina that builds in this workspace")
        filesystem.lock(self._build_lock)
        return True

    @cached_property
    def console(self) -> Console:
        """What shows how the work goes on."""
        from lamina.cli import console

        return console.choose(mode=self.options.console, quiet=self.options.quiet)

    @contextlib.contextmanager
    def phase(self, name: str, detail: Callable[[], str] = str) -> Iterator[None]:
        """Show and take down that something is done now; `detail` tells how far it is."""
        self.console.phase(name, detail)
        try:
            with self.logbook.phase(name):
                yield
        finally:
            self.console.phase("")

    def settle(self) -> None:
        """End the progress."""
        if "console" in self.__dict__:
            self.console.close()

    @property
    def here(self) -> str:
        """The build package that relative labels start from: that of the current folder."""
        relative = Path.cwd().resolve().relative_to(self.root).as_posix()
        return "" if relative == "." else relative

    def labels(self, patterns: Sequence[str]) -> tuple[Label, ...]:
        """The targets that some patterns choose."""
        with self._loading():
            return self.loader.resolve([self.pattern(text) for text in patterns])

    def _loading(self) -> contextlib.AbstractContextManager[None]:
        return self.phase("loading", lambda: output.plural(self.loader.count, "build package"))

    def named(self, patterns: Sequence[str]) -> set[Label]:
        """The targets among them that a pattern names, rather than finds."""
        chosen = [self.pattern(text) for text in patterns]
        named = [pattern for pattern in chosen if pattern.label and not pattern.subtract]
        return set(self.loader.resolve(named))

    def pattern(self, text: str) -> Pattern:
        """A pattern as typed; a bare path that is no build package names a target, as in Bazel."""
        from lamina.core.label import Pattern

        pattern = self._home.pattern(text)
        path = pattern.package
        if "//" in text or ":" in text or pattern.recursive or self.loader.is_package(path):
            return pattern
        folder = path.rpartition("/")[0]
        while folder and not self.loader.is_package(folder):
            folder = folder.rpartition("/")[0]
        name = path.removeprefix(f"{folder}/")
        if not self.loader.is_package(folder) or not self.loader.has(folder, name):
            return pattern  # whose fault is told
        return Pattern.parse(f"{'-' * pattern.subtract}//{folder}:{name}")

    @property
    def _home(self) -> Home:
        """Where what is typed is written: in the cell that the current folder lies in."""
        cells = self.loader.cells
        return cells.home(*cells.owner(self.here))

    def label(self, text: str) -> Label:
        """The one target that a word names; raises UserError where it is a pattern of many."""
        pattern = self.pattern(text)
        if pattern.label is None:
            hint = f"`lamina targets {text}` lists them"
            raise UserError(f"`{text}` names many targets, one is wanted", hint=hint)
        return self.loader.resolve([pattern])[0]

    def analyse(self, labels: Iterable[Label]) -> dict[Label, Analysed]:
        """Load and analyse some targets and all they depend on."""
        labels = tuple(labels)
        from lamina.build.analysis import analyse
        from lamina.build.providers import Analysed

        with self._loading():
            targets: Mapping[Label, Target] = self.loader.closure(labels)
        for line in (*self.loader.prints, *self.loader.warnings.values()):
            output.note(line)
        with self.phase("analysing", lambda: output.plural(len(targets), "target")):
            analysed = analyse(
                targets,
                self.toolchains,
                self.loader.place,
                self.configuration,
                self.loader.cells,
                self.loader.tolerance,
            )
        self.tell_faults()
        self._leave_out_unfit(labels, analysed)
        # What cannot be built here is there, and has nothing.
        return {label: Analysed(label) for label in self._left_out} | analysed

    def _leave_out_unfit(self, labels: Iterable[Label], analysed: Mapping[Label, Analysed]) -> None:
        """Pass by what nobody here can use; a fault where it was asked for by name."""
        for label in labels:
            target = analysed.get(label)
            if target is None or not target.unfit:
                continue
            if label not in self.loader.chosen:
                raise UserError(f"`{label}`: {target.unfit}")
            self.loader.skipped[label] = "not for this interpreter"

    def fitting(self, labels: Sequence[Label]) -> tuple[Label, ...]:
        """Those of some analysed targets that can be built here; of the others it is told why."""
        left_out = self._left_out
        reasons = Counter(left_out[each] for each in labels if each in left_out)
        for reason, count in sorted(reasons.items()):
            output.note(f"{output.plural(count, 'target')} left out: {reason}")
        return tuple(label for label in labels if label not in left_out)

    @property
    def _left_out(self) -> Mapping[Label, str]:
        tolerance = self.loader.tolerance
        lost = dict.fromkeys(tolerance.lost, _FAULTY) if tolerance else {}
        return lost | self.loader.skipped

    def tell_faults(self) -> None:
        """Report faults that do not stop the rest, before that takes its time."""
        tolerance = self.loader.tolerance
        if tolerance is not None and tolerance.faults:
            from lamina.build.faults import FaultReport

            output.error(FaultReport(tolerance.faults), as_json=False)

    def check_complete(self) -> None:
        """Raises UserError where faults in BUILD files were put up with."""
        tolerance = self.loader.tolerance
        if tolerance is not None and tolerance.faults:
            faults = output.plural(len(set(tolerance.faults)), "fault")
            raise UserError(f"not all was built: {faults} in BUILD files, as told above")

    def seen(self, made: Iterable[str] = ()) -> Seen:
        """Every file and folder that loading and building have looked at so far."""
        from lamina.build.record import Seen

        disk_path = self.loader.cells.disk_path
        read = [*self.workspace.files, *self.loader.inputs]
        files = {*map(disk_path, read), *self.toolchains.files}
        sources = {disk_path(path): node for path, node in self.sources.read.items()}
        listings = {disk_path(path): item for path, item in self.loader.listings.items()}
        return Seen(self.begun, dict.fromkeys(files), listings, frozenset(made), sources)

    def key(self, *words: str) -> str:
        """Names the record of a command: all that it depends on and that is no file."""
        return "\n".join((*words, *self.options.flags, self.here, os.environ.get("PATH", "")))


def state_of(root: Path, store: local.LocalStore) -> Path:
    """The folder of a store that keeps what is known of a workspace."""
    return store.folder / "workspaces" / sha256(str(root).encode()).hexdigest()[:16]


def find_root(start: Path) -> Path:
    """The root of the workspace that a folder lies in; raises UserError outside of any."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / MARKER).exists():
            return folder
    from lamina.build import workspace  # its search gives the message

    return workspace.find(start).root
