"""The base image of a package: each layer of it is made a layer of the package, the lowest."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, UserError
from lamina.core.manifest import Image, ImageLayer
from lamina.core.tree import File
from lamina.formats import kept
from lamina.linux import filesystem, process
from lamina.store.blobs import BlobMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.build.providers import Analysed
    from lamina.build.snapshot import Part
    from lamina.cli.session import Session
    from lamina.core.action import Action
    from lamina.core.label import Label
    from lamina.core.manifest import Layer
    from lamina.formats.image import Choice
    from lamina.packaging.layerforms import LayerForm

PURPOSE = "base image"  # what a part is for
_FORMAT = "lamina base image 2"


@dataclass(frozen=True, slots=True)
class Base:
    """The layers of a base image, and how it is run."""

    part: Part
    layers: tuple[Layer, ...]
    image: Image
    made: frozenset[str]  # its label, where one of them was not there before


def make(session: Session, analysed: Mapping[Label, Analysed], label: Label) -> Base | None:
    """The base image of a target; its layers are made one by one, as others are."""
    from lamina.build import builtins
    from lamina.build.snapshot import Part
    from lamina.cli import incremental
    from lamina.formats.image import Choice
    from lamina.packaging import layerforms, layers
    from lamina.store import images, repositories

    name = analysed[label].base
    info = analysed[name].image if name else None
    if info is None:
        return None
    owner = str(name)
    choice = Choice(info.tag, info.architecture)
    part = Part(owner, PURPOSE, info.files)
    session.engine.build(file for _, file in info.files)
    tree = incremental.tree_of(session, part)
    try:
        if info.reference:
            found = images.pulled(info.reference, choice, session.store, repositories.bring)
        else:
            found = images.read(tree, choice, session.store)
    except BlobMissing:
        raise
    except LaminaError as error:
        raise UserError(f"`{owner}`: {error.message}", hint=error.hint) from error
    found = settled(session, owner, found)
    converted = [builtins.image_layer(owner, layer.blob, layer.diff_id) for layer in found.layers]
    tars = session.engine.build(each.output(builtins.LAYER) for each in converted)
    tools = toolchain(session, layerforms.DEFAULT)
    made: list[Layer] = []
    actions: list[Action] = []
    for each in converted:
        node = tars[each.output(builtins.LAYER)][""]
        assert isinstance(node, File)
        action = layers.base_action(owner, node.digest, tools)
        image = session.engine.build([action.output(layers.BASE_OUTPUT)])
        made.append(
            layers.base_layer(owner, node.digest, image[action.output(layers.BASE_OUTPUT)][""])
        )
        actions.append(action)
    new = any(action in session.engine.executed for action in actions)
    return Base(part, tuple(made), found, frozenset({owner} if new else ()))


def at(session: Session, path: Path, choice: Choice) -> Image:
    """The image in a folder or an archive; while its files stay as they are, it is read once.

    Raises OSError besides what `store.images` raises.
    """
    from lamina.formats import baseimage
    from lamina.store import images

    memory = session.state / "bases" / Digest.of(os.fsencode(path.absolute())).hash[:16]
    when, marks = time.time_ns(), _marks(path)
    form = (choice.tag, choice.architecture)
    known = kept.read(memory, _FORMAT)
    if known is not None and known[:2] == (marks, form):
        image = baseimage.decode(known[2])
        if not session.store.missing(layer.blob for layer in image.layers):
            return image
    image = settled(session, str(path), images.at(path, choice, session.store))
    if all(filesystem.settled(mark, when) for mark in marks.values()):
        kept.write(memory, _FORMAT, (marks, form, baseimage.encode(image)), session.store.scratch)
    return image


def _marks(path: Path) -> dict[str, filesystem.Identity]:
    """What `stat()` says of a file, or of all files in a folder."""
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return {str(each): filesystem.identity(each.stat()) for each in files}


def settled(session: Session, owner: str, image: Image) -> Image:
    """An image whose layers all are what images have: known by digest, compressed as they are."""
    from lamina.build import builtins
    from lamina.formats.ociimage import MEDIA_TYPES

    def layer(found: ImageLayer) -> ImageLayer:
        if found.diff_id and found.media_type:
            return found
        action = builtins.root_layer(owner, found.blob)
        outputs = [action.output(name) for name in (builtins.ROOT, builtins.ROOT_ID)]
        built = session.engine.build(outputs)
        blob, diff_id = (built[output][""] for output in outputs)
        assert isinstance(blob, File)
        assert isinstance(diff_id, File)
        digits = session.store.read(diff_id.digest).decode()
        if found.diff_id not in ("", digits):
            raise IntegrityError(
                f"a layer of `{owner}` is not the one that the image's configuration names"
            )
        return ImageLayer(blob.digest, digits, found.media_type or MEDIA_TYPES["gzip"])

    return replace(image, layers=tuple(map(layer, image.layers)))


def toolchain(session: Session, form: LayerForm) -> str:
    """The identity of the program that makes such layers; raises HostError where there is none."""
    from lamina.packaging import layerforms

    tool = layerforms.tool(form)
    found = layerforms.identity(form, session.versions)
    session.toolchains.files.update(process.candidates(tool, process.require(tool)))
    return found
