"""From a package in the store to the file or folder that a user takes away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.written import Written
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError, UserError
from lamina.core.tree import File, Node, Tree
from lamina.formats import oci, treearchive
from lamina.packaging import archives, forms, roots
from lamina.packaging.archives import Compression
from lamina.store import trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.cli.session import Session
    from lamina.core.manifest import Image, Layer, Package
    from lamina.formats import ociimage
    from lamina.packaging.forms import Wish
    from lamina.packaging.roots import Root


def write(
    session: Session, package: Package, wish: Wish, folder: Path, base: Path | None = None
) -> Path:
    """Write a package into a folder in the form wished for; where it is.

    `base` is an image to put an image on, in place of the package's own: a layout folder, or an
    archive. Raises UserError where the package cannot have that form.
    """
    target = folder / f"{package.title}{wish.form.suffix}"
    name = wish.form.name
    if name == forms.LAYERS:
        tree, small = _layers(package)
        _put(session, small)
        _write_folder(session, tree, target)
    elif wish.form.image:
        _write_image(session, package, wish, target, base)
    else:
        _write_root(session, package, wish, target)
    return target


def _layers(package: Package) -> tuple[Tree, list[bytes]]:
    """The layers under their titles, and the two documents that list them."""
    documents = {
        "config.json": oci.encode_config(package),
        "manifest.json": oci.encode_manifest(package),
    }
    tree: dict[str, Node] = {path: File(Digest.of(data)) for path, data in documents.items()}
    tree |= {layer.title: File(layer.blob) for layer in package.layers}
    return tree, list(documents.values())


def _write_root(session: Session, package: Package, wish: Wish, target: Path) -> None:
    """The forms that hold the package root as one."""
    found = roots.root(package, _trees(session, package))
    name, open_blob = wish.form.name, session.store.open
    if name == forms.XAR:
        _write_xar(session, found, wish, target)
        return
    if name == "zip":
        _put(session, found.small)  # it looks into all files
        found = roots.for_zip(found, lambda digest: _first_bytes(session, digest))
    _put(session, found.small)
    if name == "zip":
        archives.write_zip(found.tree, open_blob, target, wish.archive())
    elif name == forms.FOLDER:
        _write_folder(session, found.tree, target)
    else:
        archives.write_tar(found.tree, open_blob, target, wish.archive())


def _write_xar(session: Session, found: Root, wish: Wish, target: Path) -> None:
    """One image of all files, made by an action as layers are."""
    from lamina.cli import bases, pipeline
    from lamina.packaging import layers
    from lamina.packaging.layers import OwnFiles

    package = found.package
    if not package.entry_point:
        hint = "package a binary target, or take another form"
        raise UserError(f"`{package.label}` is not a program, which a XAR has to be", hint=hint)
    console = roots.scripts(found.tree, session.store.read)
    found, launcher, names = roots.for_xar(found, console)
    _put(session, found.small)
    own = OwnFiles(package.label, found.tree, launcher, package.version, names)
    form = pipeline.layer_form(session, wish.whole)
    action = layers.action(own, bases.toolchain(session, form), form)
    output = action.output(*action.outputs)
    image = session.engine.build([output])[output][""]
    assert isinstance(image, File)
    with archives.whole(target, 0o755) as file, session.store.open(image.digest) as blob:
        treearchive.copy(blob, file)


def files(session: Session, wish: Wish, base: Path | None) -> Callable[[Package], Iterable[Layer]]:
    """The layers of a package whose files are wanted to write it in a form."""
    from lamina.cli import pipeline

    if not wish.form.image or base is not None:
        return pipeline.every_own

    def unknown(package: Package) -> Iterable[Layer]:
        from lamina.packaging import images

        runs = images.runs(package.own_layers, images.most_of_own(package.image))
        return images.Maker(package, session.store, wish.archive()).lacking(runs)

    return unknown


def image(session: Session, package: Package, wish: Wish, base_at: Path | None) -> ociimage.Image:
    """A package as an image, whose layers lie in the store."""
    from lamina.packaging import images

    base = package.image if base_at is None else _other_base(session, base_at)
    if base_at is None:
        images.check(package, session.store)
    runs = images.runs(package.own_layers, images.most_of_own(base))
    maker = images.Maker(package, session.store, wish.archive())
    return images.described(package, maker.make(runs, session.options.jobs), base)


def _write_image(
    session: Session, package: Package, wish: Wish, target: Path, base_at: Path | None
) -> None:
    from lamina.packaging import images

    tree, small = images.layout(image(session, package, wish, base_at), package)
    _put(session, small)
    if wish.form.name == forms.IMAGE:
        _write_folder(session, tree, target)
    else:
        archives.write_tar(tree, session.store.open, target, Compression("none"))


def _other_base(session: Session, at: Path) -> Image:
    from lamina.cli import bases
    from lamina.formats import ociimage
    from lamina.formats.image import Choice
    from lamina.store import images

    choice = Choice("", ociimage.architecture(os.uname().machine))
    try:
        found = images.at(at, choice, session.store)
    except OSError as error:
        why = f"no base image in `{at}`: {error.strerror}"
        raise UserError(why, hint=f"it takes {_WANTED}") from error
    except LaminaError as error:
        why = f"no base image in `{at}`: {error.message}"
        raise UserError(why, hint=error.hint or f"it takes {_WANTED}") from error
    return bases.settled(session, str(at), found)


_WANTED = "a folder in OCI layout, an archive by `docker save` or `skopeo`, or a root file system"


def _trees(session: Session, package: Package) -> list[Tree]:
    """What each layer holds, bottom first."""
    return [trees.read(layer.tree, session.store) for layer in package.own_layers]


def _write_folder(session: Session, tree: Tree, target: Path) -> None:
    """Write a folder; files that were left there the last time, and not touched since, stay."""
    memory = session.state / "folders" / Digest.of(os.fsencode(target.absolute())).hash[:16]
    written = Written(memory, target, session.store.scratch)
    archives.write_folder(tree, session.store.open, target, written.earlier)
    written.keep(tree)


def _first_bytes(session: Session, digest: Digest) -> bytes:
    with session.store.path(digest).open("rb") as file:
        return file.read(4)


def _put(session: Session, small: list[bytes] | tuple[bytes, ...]) -> None:
    for data in small:
        session.store.write(data, durable=False)
