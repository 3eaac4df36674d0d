"""`lamina diff`: tell what differs between two packages, and what has to be shipped."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.cli import arguments, output
from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.store import packages

if TYPE_CHECKING:
    from lamina.core.digest import Digest
    from lamina.core.manifest import Layer, Package
    from lamina.core.tree import Node, Tree
    from lamina.packaging.difference import Difference, FileChange, LayerChange
    from lamina.store.local import LocalStore

_SHOWN = 20  # files of a layer
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two packages."""

    package: Package
    digest: Digest

    @property
    def name(self) -> str:
        return f"{self.package.name}:{self.package.version}"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    text = "a package of the store, or a label, which is packaged now"
    parser.add_argument("old", metavar="OLD", help=text)
    parser.add_argument("new", metavar="NEW", nargs="?", help="the same")
    parser.add_argument(
        "--since", default="", metavar="REV",
        help="in place of NEW: compare a label at a commit of git or Mercurial with what it is now",
    )  # fmt: skip
    parser.add_argument("--files", action="store_true", help="list all files, of all layers")
    arguments.add_build(parser)
    arguments.add_grouping(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, and tell; the exit code says nothing of what was found."""
    from lamina.packaging import difference
    from lamina.store import local

    _check(args)
    with contextlib.closing(local.LocalStore(local.default_folder())) as store:
        old, new = _sides(args, store)
        base = {layer.tree for side in (old, new) for layer in _base_layers(side.package)}

        def tree_of(layer: Layer) -> Tree | None:
            return None if layer.tree in base else _tree(layer, store)

        found = difference.difference(old.package, new.package, tree_of)
    if args.json:
        output.document(_document(old, new, found))
    else:
        _tell(old, new, found, every_file=args.files)
    return 0


def _check(args: argparse.Namespace) -> None:
    if bool(args.new) == bool(args.since):
        message = "`lamina diff` compares two packages, or a label with what it was"
        raise UserError(message, hint="`lamina diff OLD NEW`, `lamina diff LABEL --since REV`")
    if args.since and not _is_label(args.old):
        hint = "a label is `//folder:name` or `:name`"
        raise UserError(f"`--since` goes with a label, which `{args.old}` is not", hint=hint)


def _is_label(word: str) -> bool:
    return "//" in word or word.startswith(":")


def _sides(args: argparse.Namespace, store: LocalStore) -> tuple[_Side, _Side]:
    if args.since:
        return _was(args, store), _packaged(args, args.old)
    old, new = (
        _packaged(args, word) if _is_label(word) else _stored(word, store)
        for word in (args.old, args.new)
    )
    return old, new


def _was(args: argparse.Namespace, store: LocalStore) -> _Side:
    """The package that a label was at a commit."""
    from lamina.cli import past

    with past.checked_out(args.since, store) as here, contextlib.chdir(here.root):
        return _packaged(args, f"//{here.folder}{args.old}" if args.old[0] == ":" else args.old)


def _packaged(args: argparse.Namespace, target: str) -> _Side:
    from lamina.cli import pipeline
    from lamina.cli.session import Session

    with Session(arguments.options(args)) as session:
        made = pipeline.package(session, target, pipeline.Order(files=pipeline.every_own))
    return _Side(made.package, made.digest)


def _stored(reference: str, store: LocalStore) -> _Side:
    digest = packages.resolve(reference, store)
    return _Side(packages.read(digest, store), digest)


def _base_layers(package: Package) -> tuple[Layer, ...]:
    return package.layers[: package.base_layers]


def _tree(layer: Layer, store: LocalStore) -> Tree | None:
    """What a layer holds, or None where the store no longer tells."""
    from lamina.store import trees
    from lamina.store.blobs import BlobMissing

    try:
        return trees.read(layer.tree, store)
    except BlobMissing:
        return None


def _tell(old: _Side, new: _Side, found: Difference, *, every_file: bool) -> None:
    differing = [each for each in found.layers if each.kind != "same"]
    output.data(f"{old.name} -> {new.name}\n")
    if differing:
        _tell_layers(differing)
    same = [each.layer.blob.size for each in found.layers if each.kind == "same"]
    output.data(f"{output.plural(len(same), 'layer')} in both, {output.size(sum(same))}")
    for each in differing:
        if every_file or each.kind == "changed":
            _tell_files(each, None if every_file else _SHOWN)
    lines = [(f"{each.name}:", each.old, each.new) for each in found.settings]
    lines = [(each.name, each.old, each.new) for each in found.releases] + lines
    if lines:
        output.data("")
    for name, before, after in lines:
        output.data(f"{name} {before or 'none'} -> {after or 'none'}")
    output.note(_summary(new, found))


def _tell_layers(differing: Sequence[LayerChange]) -> None:
    output.table(
        ("layer", "change", "size", "to ship", "files"),
        [
            (
                each.layer.name,
                each.kind,
                output.size(each.layer.blob.size),
                output.size(each.layer.blob.size) if each.ships else "-",
                _counts(each),
            )
            for each in differing
        ],
        right=(2, 3),
    )


def _counts(each: LayerChange) -> str:
    if each.files is None:
        return "not known"
    counts = Counter(file.kind for file in each.files)
    told = ", ".join(f"{counts[kind]:,} {kind}" for kind in _SIGNS if counts[kind])
    return told or "the same, written otherwise"


def _tell_files(each: LayerChange, most: int | None) -> None:
    if not each.files:
        return
    output.data(f"\n{each.layer.name}")
    for file in each.files[:most]:
        output.data(f"  {_SIGNS[file.kind]} {file.path}  {_sizes(file)}")
    if most is not None and len(each.files) > most:
        output.data(f"  … {len(each.files) - most:,} more: `--files` lists them")


def _sizes(file: FileChange) -> str:
    return " -> ".join(_word(node) for node in (file.old, file.new) if node is not None)


def _word(node: Node) -> str:
    """What a person wants to know of a file: its size, or what else it is."""
    from lamina.core.tree import File, Symlink

    if isinstance(node, Symlink):
        return f"link to {node.target}"
    if not isinstance(node, File):
        return "folder"
    return output.size(node.digest.size) + (", executable" if node.executable else "")


def _summary(new: _Side, found: Difference) -> str:
    ships = sum(each.ships for each in found.layers)
    count = len(new.package.layers)
    return (
        f"{output.size(found.bytes)} to ship to who has the old one: {ships} of "
        f"{output.plural(count, 'layer')}, {output.size(found.layer_bytes)} of "
        f"{output.size(new.package.size)}; "
        f"manifest and config, {output.size(found.documents)}"
    )


def _document(old: _Side, new: _Side, found: Difference) -> dict[str, object]:
    return {
        "old": _side(old),
        "new": _side(new),
        "layers": [
            {
                "label": each.layer.label,
                "change": each.kind,
                "old": _layer(each.old),
                "new": _layer(each.new),
                "ships": each.ships,
                "files": None if each.files is None else [_file(file) for file in each.files],
            }
            for each in found.layers
        ],
        "distributions": [
            {"name": each.name, "old": each.old or None, "new": each.new or None}
            for each in found.releases
        ],
        "settings": [
            {"name": each.name, "old": each.old or None, "new": each.new or None}
            for each in found.settings
        ],
        "ship": {
            "bytes": found.bytes,
            "layer_bytes": found.layer_bytes,
            "document_bytes": found.documents,
            "layers": sum(each.ships for each in found.layers),
        },
    }


def _side(side: _Side) -> dict[str, object]:
    package = side.package
    return {
        "name": package.name,
        "version": package.version,
        "digest": side.digest.oci,
        "label": package.label,
        "size": package.size,
        "layers": len(package.layers),
    }


def _layer(layer: Layer | None) -> dict[str, object] | None:
    if layer is None:
        return None
    return {"digest": layer.blob.oci, "size": layer.blob.size, "tree": layer.tree.oci}


def _file(file: FileChange) -> dict[str, object]:
    return {
        "path": file.path,
        "change": file.kind,
        "old_size": _size(file.old),
        "new_size": _size(file.new),
    }


def _size(node: Node | None) -> int | None:
    """Bytes of a regular file; None for all else."""
    from lamina.core.tree import File

    return node.digest.size if isinstance(node, File) else None
