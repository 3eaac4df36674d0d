"""From patterns to outputs in `lamina-out/`: the work of `lamina build`, without what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.cli import incremental
from lamina.core.classes import dataclass
from lamina.core.errors import ActionError

if TYPE_CHECKING:
    from lamina.build.providers import Analysed
    from lamina.build.snapshot import Part
    from lamina.cli.publish import Publisher
    from lamina.cli.session import Session
    from lamina.core.action import Artifact
    from lamina.core.label import Label
    from lamina.core.tree import Node

Outputs = dict[str, list[str]]  # label -> paths of its outputs, from the root

# What the files of a part are for.
_OUTPUTS = "outputs"  # they are published where they lie in the tree of sources
_PROGRAM = "program"  # they are published as a package root; followed by what starts it
_CHECKED = "checked"  # they are made, to see that they can be


def build(session: Session, patterns: Sequence[str], made: Outputs | None = None) -> Outputs:
    """Build what some patterns choose, and publish it; only what has to be done is done.

    Where not all could be made, `made` has what was: its outputs, and no entry for the others.
    A program that is chosen by its name gets its whole package root; one that a wildcard chose
    would cost as much for each, so of it only the outputs are made, unless these are a native
    program that could not start without the libraries beside it.
    """
    key = session.key("build", *patterns)

    def begin() -> Outputs:
        return _begin(session, key, patterns, {} if made is None else made)

    def go_on() -> Outputs:
        outputs = _continue(session, key)
        return begin() if outputs is None else outputs

    return incremental.healed(session, go_on, begin)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a build that begins anew has to make."""

    labels: tuple[Label, ...]
    named: frozenset[Label]  # programs that get their package root: those chosen by their name
    analysed: Mapping[Label, Analysed]
    parts: tuple[Part, ...]

    @property
    def files(self) -> list[Artifact]:
        """All files that are wanted."""
        return [file for part in self.parts for _, file in part.files]


def aim(session: Session, patterns: Sequence[str]) -> Aim:
    """Load and analyse what some patterns choose."""
    incremental.recall(session, session.key("build", *patterns))
    labels = session.labels(patterns)
    analysed = session.analyse(labels)
    labels = session.fitting(labels)
    named = session.named(patterns)
    named = {
        label
        for label in labels
        if analysed[label].runnable and (label in named or _loads(label, analysed))
    }
    parts = [part for label in labels for part in _parts(label, label in named, analysed)]
    return Aim(labels, frozenset(named), analysed, tuple(parts))


def _loads(label: Label, analysed: Mapping[Label, Analysed]) -> bool:
    """Whether a native program loads libraries of other targets when it starts."""
    target = analysed[label]
    native = target.runnable is not None and not target.runnable.interpreter
    return native and any(analysed[below].cxx for below in target.runtime if below in analysed)


def _begin(session: Session, key: str, patterns: Sequence[str], outputs: Outputs) -> Outputs:
    from lamina.cli.publish import Publisher

    found = aim(session, patterns)
    try:
        session.engine.build(found.files)
    except ActionError:
        if session.options.keep_going:
            _publish_rest(session, found, outputs)
        raise
    outputs.update({str(label): [] for label in found.labels})
    with Publisher(session) as publisher:
        for label in found.named:
            _check(session, label, found.analysed)
        _bring(session, found.parts)
        for part in found.parts:
            _publish(session, publisher, part, outputs)
        session.check_complete()
        publisher.remove(incremental.made(session, key))
    seen = session.seen(publisher.outputs)
    incremental.finish(session, key, found.parts, {"outputs": outputs}, seen)
    return outputs


def _bring(session: Session, parts: Sequence[Part]) -> None:
    """Bring at once what is to be published and lies in a build farm alone."""
    if session.farm is None:
        return
    from lamina.core.tree import File

    trees = [incremental.tree_of(session, part) for part in parts if part.purpose != _CHECKED]
    nodes = (node for tree in trees for node in tree.values() if isinstance(node, File))
    session.store.fetch(node.digest for node in nodes)


def _publish_rest(session: Session, found: Aim, outputs: Outputs) -> None:
    """Publish the targets that were made although others have failed."""
    from lamina.build.plan import plan
    from lamina.cli.publish import Publisher

    results = session.engine.results
    unmade = [part for part in found.parts if plan((f for _, f in part.files), results).actions]
    lost = {part.name for part in unmade}
    outputs.update({str(label): [] for label in found.labels if str(label) not in lost})
    with Publisher(session) as publisher:
        for part in found.parts:
            if part.purpose == _OUTPUTS and part not in unmade:
                _publish(session, publisher, part, {} if part.name in lost else outputs)


def _continue(session: Session, key: str) -> Outputs | None:
    """The same from where the last time ended; None where only the whole way is safe."""
    from lamina.cli import publish
    from lamina.cli.publish import Publisher

    known = incremental.go_on(session, key)
    if known is None:
        return None
    outputs: Outputs = dict(known.result["outputs"])
    if not known.parts and publish.is_unfinished(session.root):
        with Publisher(session):
            pass  # who writes outputs clears away first what a killed process left
    if known.same:
        return outputs
    if known.failure:
        with Publisher(session) as publisher:
            for part in known.parts:
                if part.purpose == _OUTPUTS:
                    _publish(session, publisher, part, outputs)
        raise known.failure
    if not known.parts:
        known.save({"outputs": outputs})
        return outputs
    if not all(_is_sound(session, part) for part in known.parts if _is_program(part)):
        return None
    gone: set[str] = set()
    with Publisher(session) as publisher:
        _bring(session, known.parts)
        for part in known.parts:
            _publish(session, publisher, part, outputs)
            if _is_program(part):
                gone.update(known.made_below(_root(session, part)))
    known.save({"outputs": outputs}, publisher.outputs, gone - publisher.outputs)
    return outputs


def _parts(label: Label, named: bool, analysed: Mapping[Label, Analysed]) -> list[Part]:
    """What is to be made of a target."""
    from lamina.build.analysis import runtime_order
    from lamina.build.snapshot import Part
    from lamina.core.action import Output

    target, name = analysed[label], str(label)
    if named and target.runnable:
        order = [analysed[each] for each in runtime_order(label, analysed)]
        own = tuple(item for each in order for item in each.own.items())
        return [Part(name, f"{_PROGRAM} {target.runnable.entry_point}", own)]
    made = tuple((path, file) for path, file in target.files if isinstance(file, Output))
    parts = [Part(name, _OUTPUTS, made)]
    # The shared form of a C++ library is made for who loads it; its outputs are its other form.
    if target.cxx is None:
        own = tuple((path, file) for path, file in target.own.items() if isinstance(file, Output))
        parts.append(Part(name, _CHECKED, own))
    return [part for part in parts if part.files]


def _is_program(part: Part) -> bool:
    return part.purpose.startswith(_PROGRAM)


def _root(session: Session, part: Part) -> str:
    """The folder, from the root, of a program's package root."""
    from lamina.cli.publish import FOLDER
    from lamina.core.label import Label

    label = Label.parse(part.name)
    folder = session.workspace.cells.folder(label.cell, label.package)
    return "/".join(filter(None, (FOLDER, folder, f"{label.name}.root")))


def _publish(session: Session, publisher: Publisher, part: Part, outputs: Outputs) -> None:
    from lamina.cli.publish import FOLDER

    if part.purpose == _CHECKED:
        return
    tree = incremental.tree_of(session, part)
    if not _is_program(part):
        publisher.write(tree, [path for path, _ in part.files if path not in tree])
        outputs[part.name] = [f"{FOLDER}/{path}" for path in sorted(tree)]
        return
    root = _root(session, part)
    inner = root.removeprefix(f"{FOLDER}/")
    publisher.write({f"{inner}/{path}": node for path, node in tree.items()}, [inner])
    entry_point = part.purpose.removeprefix(f"{_PROGRAM} ")
    outputs[part.name] = [f"{root}/{entry_point}"]


def _check(session: Session, label: Label, analysed: Mapping[Label, Analysed]) -> None:
    """Raises UserError where two targets of a program write the same path differently."""
    from lamina.build.analysis import runtime_order
    from lamina.build.snapshot import Part
    from lamina.packaging import layers

    own = []
    for each in runtime_order(label, analysed):
        part = Part(str(analysed[each].label), "", tuple(analysed[each].own.items()))
        own.append(layers.OwnFiles(part.name, incremental.tree_of(session, part)))
    layers.check(own)


def _is_sound(session: Session, part: Part) -> bool:
    """Whether no two files of a package root are in each other's way."""
    from lamina.build.snapshot import Part
    from lamina.core.tree import conflicts

    known: dict[str, Node] = {}
    for path, file in part.files:
        found = incremental.tree_of(session, Part("", "", ((path, file),)))
        if any(known.setdefault(inner, node) != node for inner, node in found.items()):
            return False
    return not conflicts(known)
