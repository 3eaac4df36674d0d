"""A program as an image for a cluster that runs images: on its base, and sent to a registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import forms, pipeline
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError, UserError
from lamina.packaging import forms as kinds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.cli.moving import Progress
    from lamina.cli.pipeline import Packaged
    from lamina.cli.session import Session
    from lamina.core.cluster import Cluster
    from lamina.core.manifest import Image as Base
    from lamina.core.manifest import Layer, Package
    from lamina.formats.ociimage import Image
    from lamina.store.replicate import Copied
    from lamina.store.repository import Repository


@dataclass(frozen=True, slots=True)
class Made:
    """A program as an image, whose layers lie in the store."""

    packaged: Packaged
    image: Image
    digest: Digest  # of its manifest
    has_base: bool


def make(session: Session, target: str, cluster: Cluster) -> Made:
    """The image of a program, on the base of its own rule, else on the one of the cluster.

    Raises UserError where it would lack what it needs to start.
    """
    from lamina.packaging import images

    wish = kinds.wish(kinds.IMAGE, "", None, 0)
    usual = _base(session, cluster)

    def base(package: Package) -> Base | None:
        return None if package.base else usual

    def files(package: Package) -> Iterable[Layer]:
        return forms.files(session, wish, base(package))(package)

    order = pipeline.Order(program=True, form=wish.layers, files=files)
    made = pipeline.package(session, target, order)
    package = made.package
    has_base = bool(package.base or usual)
    if not has_base and not package.program:
        raise UserError(
            f"`{package.label}` needs an image below it: nothing in its own starts it",
            hint=f"`image` in `[cluster.{cluster.name}]`, or `base_image` in its rule",
        )
    image = forms.image(session, package, wish, base(package))
    _, manifest = images.documents(image)
    return Made(made, image, Digest.of(manifest), has_base)


def _base(session: Session, cluster: Cluster) -> Base | None:
    """The image that the cluster's settings name: in a registry by digest, or at a path."""
    name = cluster.image
    if not name:
        return None
    if "@sha256:" not in name:
        return forms.base_at(session, session.root / Path(name).expanduser())
    from lamina.core import reference
    from lamina.formats import ociimage
    from lamina.formats.image import Choice
    from lamina.store import images, repositories

    where = f"`image` of the cluster `{cluster.name}`"
    choice = Choice("", ociimage.architecture(os.uname().machine))
    try:
        reference.parse(name)
        return images.pulled(name, choice, session.store, repositories.bring)
    except LaminaError as error:
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error


def send(
    session: Session, image: Image, repository: Repository, tag: str, progress: Progress
) -> Copied:
    """Send what a repository lacks of an image."""
    from lamina.formats import oci
    from lamina.packaging import images
    from lamina.store import replicate
    from lamina.store.repository import Manifest

    config, manifest = images.documents(image)
    session.store.write(config, durable=False)
    blobs = [*(layer.blob for layer in image.layers), Digest.of(config)]
    return replicate.send(
        Manifest(manifest, oci.MANIFEST), blobs, repository, session.store, tag=tag,
        planned=progress.planned, moved=progress.moved,
    )  # fmt: skip
