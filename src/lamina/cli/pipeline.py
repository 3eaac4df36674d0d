"""From a target to a package: build its files, make its layers, name the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lamina.cli import bases
from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.manifest import Image, Package, is_version
from lamina.core.tree import File, content_size
from lamina.store import packages
from lamina.store.blobs import BlobMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.build.providers import Analysed
    from lamina.build.snapshot import Part
    from lamina.cli.incremental import Continuation
    from lamina.cli.session import Session
    from lamina.core.label import Label
    from lamina.core.manifest import Layer
    from lamina.core.tree import Node
    from lamina.packaging.grouping import Member
    from lamina.packaging.layerforms import LayerForm
    from lamina.packaging.layers import OwnFiles


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package in the store, and which of its layers were made for it just now."""

    package: Package
    digest: Digest  # of the manifest
    made: frozenset[str]  # labels of the layers that were not there before
    order: tuple[Analysed, ...] = ()  # the targets in it, bottom first; where they were analysed
    members: tuple[Member, ...] = ()  # the same as grouping sees them
    sizes: tuple[int, ...] = ()  # of the own files of each, bytes

    def summary(self) -> str:
        """`1 layer made, 5 reused; 4.1 KiB new of 1.3 MiB`."""
        from lamina.cli import output

        layers = self.package.layers
        new = [layer.blob.size for layer in layers if layer.label in self.made]
        return (
            f"{output.plural(len(new), 'layer')} made, {len(layers) - len(new)} reused; "
            f"{output.size(sum(new))} new of {output.size(self.package.size)}"
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a package besides its target."""

    program: bool = False  # that it can be run
    form: LayerForm | None = None  # of its layers; what it leaves open `lamina.toml` says
    # those of its layers whose files the store must have, and be able to tell
    files: Callable[[Package], Iterable[Layer]] | None = None
    version: str = ""  # in place of the one that was found
    far: bool = False  # whether its layers may stay in the build farm: it has no name here then


USUAL = Order()


def every_own(package: Package) -> Iterable[Layer]:
    """For orders: all layers but those of the base image."""
    return package.own_layers


def package(session: Session, target: str, order: Order = USUAL) -> Packaged:
    """The package of a target, from a record where nothing has changed, else made now.

    Raises UserError for a target without files of its own or below it, for one that cannot be run
    and should be, and for layers of a form that there is not.
    """
    from lamina.cli import incremental

    if order.version and not is_version(order.version):
        raise UserError(
            f"not a version: `{order.version}`",
            hint="up to 128 letters, digits, `_`, `.` and `-`, the last two not in the beginning",
        )

    def make() -> Packaged:
        return _make(session, target, order)

    def attempt() -> Packaged:
        return _remembered(session, target, order) or make()

    found = incremental.healed(session, attempt, make)
    if order.program and not found.package.entry_point:
        raise _no_program(found.package.label)
    return _called(session, found, order) if order.version else found


def sent(
    session: Session, target: str, order: Order, send: Callable[[Packaged], T]
) -> tuple[Packaged, T]:
    """Package a target and send it somewhere; layers in a build farm go from there to there.

    What the farm loses in between is made anew, and is here then.
    """
    made = package(session, target, replace(order, far=True))
    is_far = bool(session.store.far(layer.blob for layer in made.package.layers))
    try:
        return made, send(made)
    except IntegrityError as error:
        # Somebody may collect garbage until there is a lease.
        if not is_far and not isinstance(error, BlobMissing):
            raise
    session.engine.forget()
    made = package(session, target, order)
    return made, send(made)


def layer_form(session: Session, asked: LayerForm | None) -> LayerForm:
    """The form of layers that a command line and `lamina.toml` ask for together."""
    from lamina.packaging.layerforms import LayerForm

    workspace = session.workspace
    kept = LayerForm(
        workspace.layer_format,
        workspace.layer_compression,
        workspace.layer_level or None,
        workspace.layer_block_size,
    )
    try:
        usual = kept.settled()
    except UserError as error:
        message = f"`[layers]` of `lamina.toml`: {error.message}"
        raise UserError(message, hint=error.hint) from error
    return asked.over(kept).settled() if asked else usual


def _called(session: Session, found: Packaged, order: Order) -> Packaged:
    """The same package under another version; its layers know of none."""
    package = replace(found.package, version=order.version)
    return replace(found, package=package, digest=_kept(session, package, order))


def _no_program(label: str) -> UserError:
    return UserError(
        f"`{label}` is not a program",
        hint="a `python_binary` or a `cxx_binary` can be run; `lamina submit` starts a `job`",
    )


def _key(session: Session, target: str, order: Order) -> str:
    """Of the record; `lamina.toml` is a file that the record knows."""
    options = session.options
    form = order.form.words if order.form else ()
    return session.key("package", target, options.grouping, str(options.most_layers), *form)


def _remembered(session: Session, target: str, order: Order) -> Packaged | None:
    """The package from where the last time ended; None where it must be made from the beginning."""
    from lamina.cli import incremental

    # What is on record as made are the files of version control: they only change the version.
    known = incremental.go_on(session, _key(session, target, order), remade=True)
    if known is None:
        return None
    if known.failure:
        raise known.failure
    digest = Digest.parse(str(known.result["package"]))
    try:
        found = session.packages[digest] = packages.read(digest, session.store)
    except IntegrityError:
        return None
    if session.store.missing(layer.blob for layer in found.layers):
        return None
    if known.same:
        made: Packaged | None = Packaged(found, digest, frozenset())
    else:
        made = _renewed(session, found, known, order)
    if made is None or order.files is None or _tells(session, made.package, order.files):
        return made
    return None


def _tells(session: Session, found: Package, files: Callable[[Package], Iterable[Layer]]) -> bool:
    """Whether the store has what a form is made of."""
    return _tells_base(session, found) and _tells_files(session, files(found))


def _tells_files(session: Session, layers: Iterable[Layer]) -> bool:
    """Whether the store has the trees of some layers, and all files in them."""
    from lamina.store import trees  # brings protobuf

    for layer in layers:
        try:
            tree = trees.read(layer.tree, session.store)
        except IntegrityError:
            return False
        if session.store.missing(node.digest for node in tree.values() if isinstance(node, File)):
            return False
    return True


def _tells_base(session: Session, found: Package) -> bool:
    """Whether the store has the layers of its base image as others know them."""
    layers = found.image.layers
    known = len(layers) == found.base_layers  # an older lamina has not told them
    return known and not session.store.missing(layer.blob for layer in layers)


def _renewed(session: Session, old: Package, known: Continuation, order: Order) -> Packaged | None:
    """The package with new layers for those targets that hold something else now."""
    from lamina.cli import incremental, layering
    from lamina.packaging import layers, versions
    from lamina.packaging.layers import OwnFiles

    if any(part.purpose == bases.PURPOSE for part in known.parts):
        return None  # it may have other layers, and as many as it likes
    groups = known.result.get("groups", [])
    if known.result.get("basis", []) != layering.basis(session):
        return None  # what there is to learn from is more now
    changed = {part.name for part in known.parts}
    if not changed.isdisjoint(known.result.get("crossings", changed)):
        return None  # only all targets together tell whether two write one path
    beside = (group for group in groups if not changed.isdisjoint(group))
    parts = known.named(changed.union(*beside))
    own = [
        OwnFiles(part.name, dict(sorted(incremental.tree_of(session, part).items())), part.purpose)
        for part in parts
    ]
    sizes = known.result.get("sizes", {})
    for part, files in zip(parts, own, strict=True):
        if sizes.get(part.name, 0) != layering.learnt_size(session, part.files, files.tree):
            return None  # it may come into another layer now
    own = layers.grouped(own, groups)
    images, made = _images(session, own, order) if own else ([], frozenset[str]())
    new = {layer.label: layer for _, layer in images}
    found = replace(old, layers=tuple(new.get(layer.label, layer) for layer in old.layers))
    found = _versioned(session, found, known.result["inputs"])
    digest = _kept(session, found, order, later=True)
    watched = [str(path) for path in versions.watched(session.root)]
    known.save_later({**known.result, "package": str(digest)}, watched)
    return Packaged(found, digest, made)


def _kept(session: Session, found: Package, order: Order, *, later: bool = False) -> Digest:
    """Keep a package; raises BlobMissing where a layer that was known is in the store no more.

    Where it can be named `later`, it is at the end of the command: that waits for the disk.
    """
    store, blobs = session.store, [layer.blob for layer in found.layers]
    # What an earlier build has found out is believed without asking the farm for it.
    store.look_up(blobs) if order.far else store.fetch(blobs)
    for gone in store.missing(blobs):
        raise BlobMissing(gone)
    if store.far(blobs):
        digest = packages.put_unnamed(found, store)
    elif later:
        digest, session.later[f"the name of {found.name}"] = packages.put_later(found, store)
    else:
        digest = packages.put(found, store)
    session.packages[digest] = found
    return digest


def survey(session: Session, target: str) -> Packaged:
    """The package of a target, with what there is to know of the targets in it."""
    return _make(session, target, USUAL, survey=True)


def _make(session: Session, target: str, order: Order, *, survey: bool = False) -> Packaged:
    from lamina.build.analysis import runtime_order
    from lamina.build.snapshot import Part
    from lamina.cli import incremental, layering
    from lamina.packaging import layers, versions

    incremental.recall(session, _key(session, target, order))
    label = session.label(target)
    analysed = session.analyse([label])
    if order.program and not analysed[label].runnable:
        raise _no_program(str(label))
    stack = [analysed[each] for each in runtime_order(label, analysed) if analysed[each].own]
    if not stack:
        raise UserError(
            f"`{label}` has no files at run time, so there is nothing to package",
            hint="binaries and libraries can be packaged",
        )
    parts = [Part(str(each.label), _launcher(each), tuple(each.own.items())) for each in stack]
    own, crossing = _own_files(session, parts)
    layers.check(own)
    members = layering.members(session, stack, own) if survey or layering.groups(session) else ()
    groups = layering.layout(session, members)
    images, made = _images(session, layers.grouped(own, groups), order)
    base = bases.make(session, analysed, label)
    if base is not None:
        parts.append(base.part)
        made |= base.made
    seen = session.seen(str(path) for path in versions.watched(session.root))
    inputs = sorted(path for path in {*seen.files, *seen.sources} if not path.startswith("/"))
    runnable = analysed[label].runnable
    found = Package(
        name=name_of(label),
        version="",
        label=str(label),
        layers=(*(base.layers if base else ()), *(layer for _, layer in images)),
        base=base.part.name if base else "",
        base_layers=len(base.layers) if base else 0,
        image=base.image if base else Image(),
        entry_point=(runnable.entry_point,) if runnable else (),
        program=runnable.program if runnable else (),
        interpreter=runnable.interpreter if runnable else "",
    )
    found = _versioned(session, found, inputs)
    digest = _kept(session, found, order)
    result = {
        "package": str(digest),
        "inputs": inputs,
        "crossings": crossing,
        "groups": groups,
        "basis": layering.basis(session),
        "sizes": {member.name: member.made for member in members if layering.learns(session)},
    }
    incremental.finish(session, _key(session, target, order), parts, result, seen)
    content = tuple(content_size(files.tree) for files in own)
    return Packaged(found, digest, made, tuple(stack), members, content)


def _launcher(target: Analysed) -> str:
    return target.runnable.entry_point if target.runnable else ""


def _versioned(session: Session, package: Package, inputs: list[str]) -> Package:
    """The package under the version that its inputs and content have now."""
    from lamina.packaging import versions

    content = versions.content_of([f"{layer.label} {layer.tree}" for layer in package.layers])
    version = versions.find(session.root, inputs, content)
    return replace(package, version=str(version), commit=version.commit, dirty=version.dirty)


def _own_files(session: Session, parts: list[Part]) -> tuple[list[OwnFiles], list[str]]:
    """Build the own files of some targets; also those whose paths may come to cross others'."""
    from lamina.core.tree import place
    from lamina.packaging.layers import OwnFiles

    built = session.engine.build(file for part in parts for _, file in part.files)
    found: list[OwnFiles] = []
    owners: dict[str, str] = {}
    crossing: set[str] = set()
    for part in parts:
        tree: dict[str, Node] = {}
        for path, artifact in part.files:
            tree |= place(path, built[artifact])
            if "" not in built[artifact]:
                crossing.add(part.name)  # a folder may hold other files another time
        for path in tree:
            other = owners.setdefault(path, part.name)
            if other != part.name:
                crossing |= {other, part.name}
        found.append(OwnFiles(part.name, dict(sorted(tree.items())), part.purpose))
    return found, sorted(crossing)


def _images(
    session: Session, own: list[OwnFiles], order: Order
) -> tuple[list[tuple[OwnFiles, Layer]], frozenset[str]]:
    """Make the layer of each part, and tell which were not known before."""
    from lamina.packaging import layers

    form = layer_form(session, order.form)
    tool = bases.toolchain(session, form)
    actions = {part.label: layers.action(part, tool, form) for part in own}
    outputs = {label: action.output(*action.outputs) for label, action in actions.items()}
    built = session.engine.build(outputs.values())
    images = [(part, layers.layer(part, built[outputs[part.label]][""], form)) for part in own]
    made = {label for label, action in actions.items() if action in session.engine.executed}
    _tell_files(session, images, whole=order.files is not None)
    return images, frozenset(made)


def _tell_files(
    session: Session, images: list[tuple[OwnFiles, Layer]], *, whole: bool = False
) -> None:
    """Keep what each layer holds, file by file: the package tells it when its sources are gone.

    A root is written last, so where it is the rest was too; with `whole` that is looked after.
    """
    from lamina.store import trees

    for part, layer in images:
        if whole or not session.store.has(layer.tree):
            # Not synced: a sync for each folder of a large wheel takes seconds, and it can be told
            # again.
            for blob in trees.encode(part.tree)[1]:
                session.store.write(blob, durable=False)


def name_of(label: Label) -> str:
    """The name of a target's package in a reference: `train/model/gpt`."""
    return f"{label.package}/{label.name}".lstrip("/")
