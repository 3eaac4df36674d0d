"""Goes on from where the same command ended the last time.

What has changed since is told by stat() alone. If it is only the content of sources, the action
graph is as it was, and just the actions that those concern are looked at. If BUILD files, or files
that they load, have changed too, they are loaded: as long as all targets come out as they were, the
same holds. Anything else starts from the beginning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lamina.build import record
from lamina.build.record import Changes, Record, Seen
from lamina.core.classes import dataclass
from lamina.core.errors import ActionError, IntegrityError
from lamina.store.blobs import BlobMissing

if TYPE_CHECKING:
    from lamina.build.snapshot import Part, Snapshot
    from lamina.cli.session import Session
    from lamina.core.action import Artifact
    from lamina.core.tree import Node

T = TypeVar("T")
_GRAPH, _MEMO = ".graph", ".memo"
# In a result:
_MORE = 3  # times that what is missing is made anew, besides the last
_PACKAGES = "packages"  # what tells the targets of each package that was loaded
_MARK = "graph"  # what tells the snapshot that goes with it


@dataclass(slots=True)
class Continuation:
    """What is known of a command whose graph of actions is the same, after what had to run ran."""

    result: Mapping[str, Any]  # of the last time
    parts: Sequence[Part] = ()  # that hold something else now
    failure: ActionError | None = None  # what could not be made, with `--keep-going`
    _session: Session | None = None
    _key: str = ""
    _record: Record | None = None
    _changes: Changes | None = None
    _graph: Snapshot | None = None

    @property
    def same(self) -> bool:
        """Whether nothing at all has changed."""
        return self._changes is None

    def made_below(self, folder: str) -> set[str]:
        """The files below a folder that the command made the last time."""
        made = self._record.state["made"] if self._record is not None else {}
        return {path for path in made if path.startswith(f"{folder}/")}

    def named(self, names: Collection[str]) -> list[Part]:
        """All parts of some names, changed or not; what they are made of is there."""
        graph = self._graph
        if graph is None:
            return []
        numbers = (n for n, (name, _, _) in enumerate(graph.parts) if name in names)
        return [graph.part(number) for number in numbers]

    def save(
        self, result: Mapping[str, Any], made: Iterable[str] = (), gone: Iterable[str] = ()
    ) -> None:
        """Keep what the command leads to now; `made` are the files it wrote, `gone` the removed."""
        session, kept, changes = self._session, self._record, self._changes
        if session is None or kept is None or changes is None:
            return  # nothing has changed
        assert self.failure is None
        disk_path = session.workspace.cells.disk_path
        read = {disk_path(path): node for path, node in session.sources.read.items()}
        sources = {path: read[path] for path in changes.sources if path in read}
        files, looked = dict.fromkeys(changes.files), {}
        if session.has_loaded:  # else no BUILD file was looked at, and no folder
            loader = session.loader
            files |= dict.fromkeys(map(disk_path, loader.inputs))
            looked = {path: loader.view.folder(path) for path in changes.folders}
            looked |= {disk_path(path): item for path, item in loader.listings.items()}
        seen = Seen(session.begun, files, looked, frozenset(made), sources)
        state = record.renew(kept.state, session.root, seen, gone)
        result = {**result, _PACKAGES: kept.result[_PACKAGES], _MARK: kept.result[_MARK]}
        if self._graph is not None:
            result[_MARK] = _save_graph(session, self._key, self._graph)
        record.save(session.state, self._key, state, result, session.store.scratch)

    def save_later(self, result: Mapping[str, Any], made: Iterable[str] = ()) -> None:
        """The same at the end of the command: who submits a job need not wait for it."""
        if self._session is not None:
            self._session.later[self._key] = partial(self.save, result, made)


def go_on(session: Session, key: str, *, remade: bool = False) -> Continuation | None:
    """Build what a command wants from where it ended the last time; None where it must begin anew.

    With `remade`, files on record as made by the command may have changed. Raises ActionError for
    what fails, like any build; with `--keep-going` that is in the answer.
    """
    kept = record.read(session.state, key)
    if kept is None:
        return None
    changes = kept.changes(session.root)
    if not changes:
        return Continuation(kept.result)
    if session.alone():  # another has just built here: it may be known already
        return go_on(session, key, remade=remade)
    if (changes.made and not remade) or not _has_same_graph(session, kept, changes):
        return None
    if not changes.sources:
        return Continuation(kept.result, (), None, session, key, kept, changes)
    return _built(session, key, kept, changes)


def _built(session: Session, key: str, kept: Record, changes: Changes) -> Continuation | None:
    from lamina.build import snapshot

    if not all((session.root / path).is_file() for path in changes.sources):
        return None  # one is gone, or a folder now
    if any(path.startswith("/") for path in changes.sources):
        return None
    graph = snapshot.load(record.path_of(session.state, key, _GRAPH))
    if graph is None or graph.mark != kept.result[_MARK]:
        return None
    made, failure = graph.restore(graph.affected(changes.sources)), None
    try:
        session.engine.build(a.output(path) for a in made.values() for path in a.outputs)
    except ActionError as error:
        if not session.options.keep_going:
            raise
        failure = error
    for path in changes.sources:
        session.sources.tree(path)
    results = session.engine.results
    done = {number: action for number, action in made.items() if action in results}
    if not graph.has_same_names(done, results):
        return None
    changed = graph.update(done, results, session.engine.used)
    lacking = set(graph.parts_of((), made.keys() - done.keys()))
    indices = graph.parts_of(changes.sources, changed)
    parts = [graph.part(index) for index in indices if index not in lacking]
    return Continuation(kept.result, parts, failure, session, key, kept, changes, graph)


def _has_same_graph(session: Session, kept: Record, changes: Changes) -> bool:
    """Whether what changed, besides sources, leaves every target as it was."""
    if not (changes.files or changes.folders):
        return True
    from lamina.build.faults import FaultReport

    loader = session.loader
    cache = loader.cache
    if cache is None or any(path.startswith("/") for path in (*changes.files, *changes.folders)):
        return False
    folder_of = loader.view.folder
    if not all(kept.has_same_packages(path, folder_of(path)) for path in changes.folders):
        return False
    digests: Mapping[str, str] = kept.result[_PACKAGES]
    # What is kept of a package may be of another time than the record: then nothing else tells
    # whether it has read what has changed.
    packages = {folder for folder, known in digests.items() if cache.digest(folder) != known}
    for path in changes.files:
        readers = cache.readers(path)
        if not readers:
            return False  # no BUILD file, and none that one loads: a tool, a setting
        packages.update(readers)
    for path in changes.folders:
        packages.update(cache.lookers(path))
    for folder in sorted(packages & digests.keys()):
        cell, package = loader.cells.owner(folder)
        try:
            loader.package(package, cell)
        except FaultReport:
            return False  # the whole way tells of it
        if not digests[folder] or cache.digest(folder) != digests[folder]:
            return False
    return True


def finish(
    session: Session,
    key: str,
    parts: Sequence[Part],
    result: Mapping[str, Any],
    seen: Seen,
) -> None:
    """Keep what a command that began anew has led to."""
    from lamina.build import snapshot

    engine = session.engine
    session.later.pop(key, None)  # what this one has found out is more
    graph = snapshot.Snapshot.of(parts, engine.results, engine.used)
    mark = _save_graph(session, key, graph)
    take_down(session, key)
    result = {**result, _PACKAGES: session.loader.digests(), _MARK: mark}
    state = record.capture(session.root, seen)
    record.save(session.state, key, state, result, session.store.scratch)


def _save_graph(session: Session, key: str, graph: Snapshot) -> str:
    """Keep a snapshot, before the record that goes with it alone; returns what tells it.

    Who is killed between the two leaves a record of other sources than the snapshot's: going on
    from these would take what has changed for unchanged.
    """
    graph.mark = os.urandom(8).hex()
    graph.save(record.path_of(session.state, key, _GRAPH), session.store.scratch)
    return graph.mark


def made(session: Session, key: str) -> set[str]:
    """The files that a command made the last time, whatever has changed since."""
    kept = record.read(session.state, key)
    return set() if kept is None else set(kept.state["made"])


def take_down(session: Session, key: str) -> None:
    """Keep what a command has found out, for `recall`."""
    from lamina.build import snapshot

    path = record.path_of(session.state, key, _MEMO)
    snapshot.save_memo(session.engine.memo, path, session.store.scratch)


def healed(session: Session, attempt: Callable[[], T], again: Callable[[], T]) -> T:
    """What an attempt gives; where the store lacks something that was known, or has it damaged,
    that is forgotten, and the other attempt makes it anew.

    Somebody may collect the garbage of the store meanwhile, and what nobody has leased yet is some:
    so what is missing then is made once more.
    """
    try:
        return attempt()
    except IntegrityError:
        session.engine.forget()
    for _ in range(_MORE):
        try:
            return again()
        except BlobMissing:
            session.engine.forget()
    return again()


def recall(session: Session, key: str) -> None:
    """Let a command that begins anew know what it found out the last time."""
    from lamina.build import snapshot

    session.engine.remember(snapshot.load_memo(record.path_of(session.state, key, _MEMO)))


def tree_of(session: Session, part: Part) -> dict[str, Node]:
    """The files of a part that is there."""
    from lamina.core.tree import place

    wanted: list[Artifact] = [file for _, file in part.files]
    built = session.engine.build(wanted)
    tree: dict[str, Node] = {}
    for path, file in part.files:
        tree |= place(path, built[file])
    return tree
