"""From a package in the store to the file or folder that a user takes away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.classes import replace
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
    session: Session, package: Package, wish: Wish, folder: Path, base: Image | None = None
) -> Path:
    """Write a package into a folder in the form wished for; where it is.

    `base` is an image to put an image on, in place of the package's own. Raises UserError where
    the package cannot have that form.
    """
    target = folder / f"{package.title}{wish.form.suffix}"
    session.targets += [each for each in target.parents if each.is_dir()][:1]
    name = wish.form.name
    if name == forms.LAYERS:
        tree, small = _layers(package)
        _put(session, small)
        archives.write_folder(tree, session.store.open, target, _checked(session))
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
        archives.write_folder(found.tree, open_blob, target)
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
    # Another kind of action than a layer of the target: `lamina why` compares those of one kind.
    action = replace(layers.action(own, bases.toolchain(session, form), form), mnemonic="Xar")
    output = action.output(*action.outputs)
    image = session.engine.build([output])[output][""]
    assert isinstance(image, File)
    with archives.whole(target, 0o755) as file, session.store.open(image.digest) as blob:
        treearchive.copy(blob, file)


def files(session: Session, wish: Wish, base: Image | None) -> Callable[[Package], Iterable[Layer]]:
    """The layers of a package whose files are wanted to write it in a form."""
    from lamina.cli import pipeline

    if not wish.form.image:
        return pipeline.every_own

    def unknown(package: Package) -> Iterable[Layer]:
        from lamina.packaging import images

        runs = images.runs(package.own_layers, images.most_of_own(base or package.image))
        return images.Maker(package, session.store, wish.archive()).lacking(runs)

    return unknown


def image(session: Session, package: Package, wish: Wish, base: Image | None) -> ociimage.Image:
    """A package as an image, whose layers lie in the store."""
    from lamina.packaging import images

    if base is None:
        images.check(package, session.store)
        base = package.image
    runs = images.runs(package.own_layers, images.most_of_own(base))
    maker = images.Maker(package, session.store, wish.archive())
    return images.described(package, maker.make(runs, session.options.jobs), base)


def _write_image(
    session: Session, package: Package, wish: Wish, target: Path, base: Image | None
) -> None:
    from lamina.packaging import images

    tree, small = images.layout(image(session, package, wish, base), package)
    _put(session, small)
    if wish.form.name == forms.IMAGE:
        archives.write_folder(tree, session.store.open, target, _checked(session))
    else:
        archives.write_tar(tree, session.store.open, target, Compression("none"))


def base_at(session: Session, at: Path | None) -> Image | None:
    """The image that an image is to lie on, in place of the package's own."""
    if at is None:
        return None
    from lamina.cli import bases
    from lamina.formats import ociimage
    from lamina.formats.image import Choice

    choice = Choice("", ociimage.architecture(os.uname().machine))
    try:
        return bases.at(session, at, choice)
    except OSError as error:
        why = f"no base image in `{at}`: {error.strerror}"
        raise UserError(why, hint=f"it takes {_WANTED}") from error
    except LaminaError as error:
        why = f"no base image in `{at}`: {error.message}"
        raise UserError(why, hint=error.hint or f"it takes {_WANTED}") from error


_WANTED = "a folder in OCI layout, an archive by `docker save` or `skopeo`, or a root file system"


def _trees(session: Session, package: Package) -> list[Tree]:
    """What each layer holds, bottom first."""
    return [trees.read(layer.tree, session.store) for layer in package.own_layers]


def _checked(session: Session) -> Callable[[Digest], Path]:
    """Gives files of blobs: large ones are read once to compare them, not each time."""
    from lamina.store import verified

    return lambda digest: verified.path(digest, session.store)


def _first_bytes(session: Session, digest: Digest) -> bytes:
    with session.store.path(digest).open("rb") as file:
        return file.read(4)


def _put(session: Session, small: list[bytes] | tuple[bytes, ...]) -> None:
    for data in small:
        session.store.write(data, durable=False)
