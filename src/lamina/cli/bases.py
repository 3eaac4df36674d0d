"""The base image of a package: each layer of it is made a layer of the package, the lowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.core.errors import LaminaError, UserError
from lamina.core.manifest import Image
from lamina.core.tree import File
from lamina.linux import process
from lamina.store.blobs import BlobMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.build.providers import Analysed
    from lamina.build.snapshot import Part
    from lamina.cli.session import Session
    from lamina.core.action import Action
    from lamina.core.label import Label
    from lamina.core.manifest import Layer
    from lamina.packaging.layerforms import LayerForm

PURPOSE = "base image"  # what a part is for


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
    from lamina.store import images

    name = analysed[label].base
    info = analysed[name].image if name else None
    if info is None:
        return None
    owner = str(name)
    part = Part(owner, PURPOSE, info.files)
    session.engine.build(file for _, file in info.files)
    tree = incremental.tree_of(session, part)
    try:
        found = images.read(tree, Choice(info.tag, info.architecture), session.store)
    except BlobMissing:
        raise
    except LaminaError as error:
        raise UserError(f"`{owner}`: {error.message}", hint=error.hint) from error
    converted = [builtins.image_layer(owner, *layer) for layer in found.layers]
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
    return Base(part, tuple(made), found.config, frozenset({owner} if new else ()))


def toolchain(session: Session, form: LayerForm) -> str:
    """The identity of the program that makes such layers; raises HostError where there is none."""
    from lamina.packaging import layerforms

    tool = layerforms.tool(form)
    found = layerforms.identity(form, session.versions)
    session.toolchains.files.update(process.candidates(tool, process.require(tool)))
    return found
