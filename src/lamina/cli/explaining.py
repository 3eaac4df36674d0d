"""Telling how a package would be mounted: by which driver, which layers merged, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lamina.cli import output
from lamina.core.manifest import Package
from lamina.linux import drivers
from lamina.node import laid, plan


def explain(
    package: Package, images: Sequence[Path], driver: str | None, *, stays: bool = False
) -> int:
    """Print the plan for a package, the base image and its own layers each for itself.

    What an ordinary user mounts so that it `stays` is one image.
    """
    choice = (drivers.choose_to_stay if stays else drivers.choose)(driver)
    output.data(f"driver {choice.driver}: {choice.reason}")
    base = package.base_layers
    stacks = {"base image": range(base), "package": range(base, len(images))}
    for title, numbers in stacks.items():
        if not numbers:
            continue
        names = {images[n]: package.layers[n].title for n in numbers}
        if choice.driver not in plan.BY_DRIVER:
            output.data(f"{title}: {len(numbers)} layers, {_HOW[choice.driver]}")
            continue
        costs = plan.BY_DRIVER[choice.driver]
        if stays and choice.driver == drivers.FUSE:
            costs = plan.ALL_AS_ONE
        chosen = plan.of([images[n] for n in numbers], costs)
        for number, line in enumerate(plan.explained(chosen, names, _folders(chosen))):
            output.data(line if number else f"{title}: {line}")
    return 0


def _folders(chosen: plan.Plan) -> list[Path]:
    """The lowest layers of the parts for which folders are stacked."""
    from lamina.node import merge
    from lamina.store import local

    folder = local.default_folder()
    found = []
    for part in chosen.parts if chosen.has_large else ():
        image = part.paths[0]
        if part.merged:
            image = merge.kept(part.paths, folder, is_bottom=part.is_bottom) or image
        if laid.stacked(image, folder) != image:
            found.append(part.paths[0])
    return found


_HOW = {
    drivers.BTRFS: "each unpacked once; the package is a snapshot of subvolumes",
    drivers.COPY: "each unpacked once; the package is a folder with links to their files",
}
