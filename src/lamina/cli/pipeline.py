"""From a target to a package: build its files, make its layers, name the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Package
from lamina.linux import process
from lamina.store import packages

if TYPE_CHECKING:
    from lamina.build.providers import Analysed
    from lamina.cli.session import Session
    from lamina.core.action import Action
    from lamina.core.label import Label
    from lamina.core.manifest import Layer
    from lamina.packaging.layers import OwnFiles


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package in the store, and which of its layers were made for it just now."""

    package: Package
    digest: Digest  # of the manifest
    made: frozenset[str]  # labels of the layers that were not there before

    def summary(self) -> str:
        """`1 layer made, 5 reused; 4.1 KiB new of 1.3 MiB`."""
        from lamina.cli import output

        layers = self.package.layers
        new = sum(layer.blob.size for layer in layers if layer.label in self.made)
        return (
            f"{output.plural(len(self.made), 'layer')} made, "
            f"{len(layers) - len(self.made)} reused; "
            f"{output.size(new)} new of {output.size(self.package.size)}"
        )


def package(session: Session, target: str, *, program: bool = False) -> Packaged:
    """The package of a target, from a record where nothing has changed, else made now.

    Raises UserError for a target without files of its own or below it, and with `program` for one
    that cannot be run.
    """
    found = _remembered(session, target) or _make(session, target, program=program)
    if program and not found.package.entry_point:
        raise _no_program(found.package.label)
    return found


def _no_program(label: str) -> UserError:
    return UserError(
        f"`{label}` is not a program", hint="a `python_binary` or a `cxx_binary` can be run"
    )


def _key(session: Session, target: str) -> str:
    return session.key("package", target)


def _remembered(session: Session, target: str) -> Packaged | None:
    from lamina.build import record

    known = record.load(session.state, _key(session, target), session.root)
    if known is None:
        return None
    digest = Digest.parse(str(known["package"]))
    try:
        found = packages.read(digest, session.store)
    except IntegrityError:
        return None
    if session.store.missing(layer.blob for layer in found.layers):
        return None
    return Packaged(found, digest, frozenset())


def _make(session: Session, target: str, *, program: bool) -> Packaged:
    from lamina.build import record
    from lamina.build.analysis import runtime_order
    from lamina.packaging import layers, versions

    label = session.label(target)
    analysed = session.analyse([label])
    if program and not analysed[label].runnable:
        raise _no_program(str(label))
    order = runtime_order(label, analysed)
    if not any(analysed[each].own for each in order):
        raise UserError(
            f"`{label}` has no files at run time, so there is nothing to package",
            hint="binaries and libraries can be packaged",
        )
    own = _own_files(session, [analysed[each] for each in order])
    layers.check(own)
    images, made = _images(session, own)
    seen = session.seen(str(path) for path in versions.watched(session.root))
    content = versions.content_of([f"{part.label} {layer.tree}" for part, layer in images])
    inputs = sorted(path for path in seen.files if not path.startswith("/"))
    version = versions.find(session.root, inputs, content)
    runnable = analysed[label].runnable
    found = Package(
        name=name_of(label),
        version=str(version),
        label=str(label),
        layers=tuple(layer for _, layer in images),
        entry_point=(runnable.entry_point,) if runnable else (),
        interpreter=runnable.interpreter if runnable else "",
        commit=version.commit,
        dirty=version.dirty,
    )
    digest = packages.put(found, session.store)
    state = record.capture(session.root, seen)
    key = _key(session, target)
    record.save(session.state, key, state, {"package": str(digest)}, session.store.scratch)
    return Packaged(found, digest, made)


def _own_files(session: Session, parts: list[Analysed]) -> list[OwnFiles]:
    """Build the own files of some targets; a target without any has no layer."""
    from lamina.core.tree import Node, below
    from lamina.packaging.layers import OwnFiles

    parts = [part for part in parts if part.own]
    built = session.engine.build(file for part in parts for file in part.own.values())
    found: list[OwnFiles] = []
    for part in parts:
        tree: dict[str, Node] = {}
        for path, artifact in part.own.items():
            node = built[artifact]
            tree.update({path: node[""]} if "" in node else below(path, node))
        launcher = part.runnable.entry_point if part.runnable else ""
        found.append(OwnFiles(str(part.label), dict(sorted(tree.items())), launcher))
    return found


def _images(
    session: Session, own: list[OwnFiles]
) -> tuple[list[tuple[OwnFiles, Layer]], frozenset[str]]:
    """Make the layer of each part, and tell which were not known before."""
    from lamina.packaging import layers

    toolchain = layers.identity(session.versions)
    session.toolchains.files.add(str(process.require("mksquashfs").resolve()))
    actions: dict[str, Action] = {part.label: layers.action(part, toolchain) for part in own}
    outputs = {label: action.output(layers.OUTPUT) for label, action in actions.items()}
    built = session.engine.build(outputs.values())
    images = [(part, layers.layer(part, built[outputs[part.label]][""])) for part in own]
    made = {label for label, action in actions.items() if action in session.engine.executed}
    return images, frozenset(made)


def name_of(label: Label) -> str:
    """The name of a target's package in a reference: `train/model/gpt`."""
    return f"{label.package}/{label.name}".lstrip("/")
