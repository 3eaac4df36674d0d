"""The action graph of a finished build, kept so that the next one need not make it again.

As long as only the content of source files has changed, the graph is the same. Then the changed
files lead to the actions that read them, those to the actions that read their outputs, and only
these few are made into actions again; all others stay as bytes. Actions are numbered, each after
those it needs.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.build.memo import Memo
from lamina.build.plan import plan
from lamina.core import classes
from lamina.core.action import Action, Artifact, Literal, Output, Source, Stored
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import kept

_FORMAT = "lamina snapshot 6"
_MEMO = "lamina memo 4"

# The fields of an action that it has for itself, besides its inputs, and those that many share.
_OWN = ("mnemonic", "owner", "arguments", "outputs", "depfile", "subject")
_SHARED = tuple(name for name in classes.names(Action) if name not in (*_OWN, "inputs"))

# Artifacts in plain types: a source is its path, an output (number of the action, path), a literal
# the number of its row in a table, a node as below.
_Ref = Any
# Nodes: a file (hash, size, executable), a link (target,), an empty folder ().
_Plain = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Files that a build was for: those of one target, under one purpose."""

    name: str
    purpose: str
    files: tuple[tuple[str, Artifact], ...]


@dataclass(slots=True)
class Snapshot:
    """Actions, what they gave, and which of them a changed file concerns."""

    actions: list[bytes]
    literals: list[tuple[bytes, bool]]
    shared: list[tuple[Any, ...]]  # what many actions have in common
    results: list[bytes]  # a tree in plain types, as marshal has it: most are not looked at
    used: dict[int, tuple[str, ...]]
    readers: dict[str, list[int]]  # source -> actions
    dependents: dict[int, list[int]]
    parts: list[tuple[str, str, tuple[tuple[str, _Ref], ...]]]
    mark: str = ""  # tells the record that goes with it

    @classmethod
    def of(
        cls,
        parts: Sequence[Part],
        results: Mapping[Action, Mapping[str, Node]],
        used: Mapping[Action, tuple[str, ...]],
    ) -> Snapshot:
        """The snapshot of a build that has succeeded."""
        order = plan(file for part in parts for _, file in part.files).actions
        writer = _Writer({action: number for number, action in enumerate(order)})
        snapshot = cls(
            actions=[writer.action(action) for action in order],
            literals=writer.literals,
            shared=writer.shared,
            results=[marshal.dumps(_plain_tree(results[action])) for action in order],
            used={writer.numbers[action]: used[action] for action in order if action in used},
            readers={},
            dependents={},
            parts=[
                (part.name, part.purpose, tuple((p, writer.ref(f)) for p, f in part.files))
                for part in parts
            ],
        )
        for number, action in enumerate(order):
            refs = [(path, writer.ref(artifact)) for path, artifact in action.inputs]
            snapshot._connect(number, refs, snapshot.used.get(number))
        return snapshot

    def _connect(
        self, number: int, refs: Iterable[tuple[str, _Ref]], used: tuple[str, ...] | None
    ) -> None:
        """Note what an action reads: of its inputs, those it has used where it tells that."""
        read = None if used is None else _with_parents(used)
        for path, ref in refs:
            if read is not None and path not in read:
                continue
            if isinstance(ref, str):
                self.readers.setdefault(ref, []).append(number)
            elif (maker := _maker(ref)) is not None:
                others = self.dependents.setdefault(maker, [])
                if not others or others[-1] != number:
                    others.append(number)

    def affected(self, sources: Iterable[str]) -> list[int]:
        """The actions that a change of these sources may concern, each after those it needs."""
        found: set[int] = set()
        waiting = [number for path in sources for number in self._readers(path)]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting.extend(self.dependents.get(number, ()))
        return sorted(found)

    def _readers(self, path: str) -> list[int]:
        """The actions that read a source, itself or as part of a folder."""
        readers: list[int] = []
        while path:
            readers += self.readers.get(path, ())
            path = path.rpartition("/")[0]
        return readers

    def restore(self, numbers: Iterable[int]) -> dict[int, Action]:
        """Actions made of their bytes; what they need of others is there already."""
        made: dict[int, Action] = {}
        for number in sorted(numbers):
            made[number] = self._action(number, made)
        return made

    def _action(self, number: int, made: Mapping[int, Action]) -> Action:
        inputs, own, shared = marshal.loads(self.actions[number])
        values = dict(zip(_OWN, own, strict=True)) | dict(
            zip(_SHARED, self.shared[shared], strict=True)
        )
        restored = (item for path, ref in inputs for item in self._restored(path, ref, made))
        return Action(inputs=tuple(restored), **values)

    def _restored(
        self, path: str, ref: _Ref, made: Mapping[int, Action]
    ) -> Iterable[tuple[str, Artifact]]:
        """The artifact at a path; a folder that is there already comes file by file."""
        if isinstance(ref, str):
            yield path, Source(ref)
        elif isinstance(ref, int):
            yield path, Literal(*self.literals[ref])
        elif len(ref) == 2:
            number, output = ref
            if number in made:
                yield path, Output(made[number], output)
                return
            for inner, node in self.result(number):
                if inner == output:
                    yield path, Stored(_node(node))
                elif inner.startswith(f"{output}/"):
                    yield path + inner[len(output) :], Stored(_node(node))
        else:
            yield path, Stored(_node(ref))

    def result(self, number: int) -> tuple[tuple[str, _Plain], ...]:
        """What an action gave, by path."""
        found: tuple[tuple[str, _Plain], ...] = marshal.loads(self.results[number])
        return found

    def has_same_names(
        self, made: Mapping[int, Action], results: Mapping[Action, Mapping[str, Node]]
    ) -> bool:
        """Whether restored actions gave files under the names that they had.

        Else there is more to it than content: a header may have come that lies before another.
        """
        return all(
            {path for path, _ in self.result(number)} == results[action].keys()
            for number, action in made.items()
        )

    def update(
        self,
        made: Mapping[int, Action],
        results: Mapping[Action, Mapping[str, Node]],
        used: Mapping[Action, tuple[str, ...]],
    ) -> set[int]:
        """Take over what restored actions gave; the numbers of those that gave something else."""
        changed = set()
        for number, action in made.items():
            found = _plain_tree(results[action])
            if found != self.result(number):
                self.results[number] = marshal.dumps(found)
                changed.add(number)
            if action in used and used[action] != self.used.get(number):
                self._disconnect(number)
                self.used[number] = used[action]
                inputs = marshal.loads(self.actions[number])[0]
                self._connect(number, inputs, used[action])
        return changed

    def _disconnect(self, number: int) -> None:
        for _, ref in marshal.loads(self.actions[number])[0]:
            if isinstance(ref, str) and number in (readers := self.readers.get(ref, [])):
                readers.remove(number)
            elif (maker := _maker(ref)) is not None:
                others = self.dependents.get(maker, [])
                if number in others:
                    others.remove(number)

    def parts_of(self, sources: Iterable[str], numbers: Iterable[int]) -> list[int]:
        """The parts that hold one of these sources, or an output of one of these actions."""
        paths, makers = set(sources), set(numbers)
        return [
            index
            for index, (_, _, files) in enumerate(self.parts)
            if any(
                ref in paths if isinstance(ref, str) else _maker(ref) in makers for _, ref in files
            )
        ]

    def part(self, index: int) -> Part:
        """A part whose outputs are all there."""
        name, purpose, files = self.parts[index]
        restored = (item for path, ref in files for item in self._restored(path, ref, {}))
        return Part(name, purpose, tuple(restored))

    def save(self, path: Path, scratch: Path) -> None:
        """Write it down."""
        values = (
            self.actions,
            self.literals,
            self.shared,
            self.results,
            self.used,
            self.readers,
            self.dependents,
            self.parts,
            self.mark,
        )
        kept.write(path, _FORMAT, values, scratch)


def load(path: Path) -> Snapshot | None:
    """A snapshot that was written down; None where there is none that can be used."""
    values = kept.read(path, _FORMAT)
    return None if values is None else Snapshot(*values)


def save_memo(memo: Memo, path: Path, scratch: Path) -> None:
    """Keep what a build found out, for one whose graph is another."""
    outputs = {key: tuple((p, _plain(n)) for p, n in found) for key, found in memo.outputs.items()}
    kept.write(path, _MEMO, (outputs, memo.used), scratch)


def load_memo(path: Path) -> Memo:
    """What was kept; nothing where there is none that can be used."""
    values = kept.read(path, _MEMO)
    if values is None:
        return Memo()
    outputs, used = values
    found = {key: tuple([(p, _node(n)) for p, n in nodes]) for key, nodes in outputs.items()}
    return Memo(found, used)


class _Writer:
    """Actions and artifacts to plain values, with tables of what they share."""

    def __init__(self, numbers: dict[Action, int]) -> None:
        self.numbers = numbers
        self.literals: list[tuple[bytes, bool]] = []
        self.shared: list[tuple[Any, ...]] = []
        self._literals: dict[Literal, int] = {}
        self._shared: dict[tuple[Any, ...], int] = {}

    def action(self, action: Action) -> bytes:
        inputs = [(path, self.ref(artifact)) for path, artifact in action.inputs]
        own: Any = tuple(getattr(action, name) for name in _OWN)
        return marshal.dumps((inputs, own, self._share(action)))

    def ref(self, artifact: Artifact) -> _Ref:
        if isinstance(artifact, Source):
            return artifact.path
        if isinstance(artifact, Output):
            return (self.numbers[artifact.action], artifact.path)
        if isinstance(artifact, Stored):
            return _plain(artifact.node)
        number = self._literals.get(artifact)
        if number is None:
            number = self._literals[artifact] = len(self.literals)
            self.literals.append((artifact.data, artifact.executable))
        return number

    def _share(self, action: Action) -> int:
        key = tuple(getattr(action, name) for name in _SHARED)
        number = self._shared.get(key)
        if number is None:
            number = self._shared[key] = len(self.shared)
            self.shared.append(key)
        return number


def _maker(ref: _Ref) -> int | None:
    """The number of the action whose output this is."""
    return ref[0] if isinstance(ref, tuple) and len(ref) == 2 else None


def _with_parents(paths: Iterable[str]) -> set[str]:
    """The paths and the folders they lie in."""
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _plain_tree(tree: Mapping[str, Node]) -> tuple[tuple[str, _Plain], ...]:
    return tuple((path, _plain(node)) for path, node in sorted(tree.items()))


def _plain(node: Node) -> _Plain:
    if isinstance(node, File):
        return (node.digest.hash, node.digest.size, node.executable)
    return (node.target,) if isinstance(node, Symlink) else ()


def _node(plain: _Plain) -> Node:
    if len(plain) == 3:
        return File(Digest(plain[0], plain[1]), plain[2])
    return Symlink(plain[0]) if plain else Folder()
