"""Which layers are mounted alone, and which are merged before: chosen by what each costs.

Small layers next to each other are merged in runs. Where runs end depends on the layers' digests
alone, as in `formats/oci`: a changed layer changes the run that it is in, sometimes parts it or
joins it to the next, and all others stay what they are, which are merged already.

A run is as long as costs least: with N layers in runs of R, a start mounts N / R images, and a
change merges R layers anew. With `STARTS` starts for each change, R = sqrt(STARTS N alone / merge).
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from lamina.core.classes import dataclass, replace
from lamina.linux import drivers
from lamina.node import mounts
from lamina.node.laying import LEAST

# Seconds, on the machine and by the means that docs/mounting.md tells (`python -m bench mount`).
MERGE_LAYER = 0.00025  # to merge one small layer, which is in the page cache
MERGE_RUN = 0.0025  # to make one merged image besides: most of it is for the disk
MERGE_BYTE = 1 / 300e6  # to write one byte of it to the disk
REPACK_LAYER = 0.015  # to unpack and pack again what can not be read here, such as EROFS
STARTS = 4  # of a package between two changes of a layer in a run; a guess, on the low side


@dataclass(frozen=True, slots=True)
class Costs:
    """What a driver's mounts cost."""

    squashfs: float  # seconds for an image alone
    erofs: float  # likewise; infinite where it must be repacked
    worth: float  # seconds for all alone from which on anything is merged
    most: int  # images that may be mounted


KERNEL = Costs(squashfs=0.0006, erofs=0.00025, worth=0.015, most=mounts.MOST_LAYERS)
# A process for each image, with 3.4 MB of memory: there is a reason to merge however few there are.
FUSE = Costs(squashfs=0.003, erofs=math.inf, worth=0.0, most=64)
ALL_AS_ONE = replace(FUSE, most=1)
BY_DRIVER = {drivers.KERNEL: KERNEL, drivers.FUSE: FUSE}  # those that mount images


@dataclass(frozen=True, slots=True)
class Layer:
    """What counts of a layer's image."""

    path: Path
    size: int  # bytes
    is_erofs: bool
    mark: int  # evenly spread, and the same for the same content

    def alone(self, costs: Costs) -> float:
        """Seconds to mount it alone."""
        return costs.erofs if self.is_erofs else costs.squashfs

    @property
    def merging(self) -> float:
        """Seconds to merge it with others."""
        return (REPACK_LAYER if self.is_erofs else MERGE_LAYER) + self.size * MERGE_BYTE


@dataclass(frozen=True, slots=True)
class Part:
    """One image to be mounted: a layer, or several merged."""

    layers: tuple[Layer, ...]
    merged: bool
    is_bottom: bool

    @property
    def paths(self) -> tuple[Path, ...]:
        """The images of its layers, bottom first."""
        return tuple(layer.path for layer in self.layers)

    @property
    def size(self) -> int:
        """Bytes of its layers."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts, bottom first, and why it is these."""

    parts: tuple[Part, ...]
    reason: str

    @property
    def has_large(self) -> bool:
        """Whether its images may be folders (`laid`)."""
        return any(each.size >= LEAST for part in self.parts for each in part.layers)


def layer(path: Path) -> Layer:
    """What counts of an image file."""
    hexadecimal = path.name[-8:]
    try:
        mark = int(hexadecimal, 16)
    except ValueError:  # no blob of a store
        mark = zlib.crc32(os.fsencode(path))
    return Layer(path, mounts.size(path), mounts.is_erofs(path), mark)


def of(images: Sequence[Path], costs: Costs) -> Plan:
    """How images, bottom first, are best mounted."""
    return choose([layer(path) for path in images], costs)


def choose(layers: Sequence[Layer], costs: Costs) -> Plan:
    """How layers, bottom first, are best mounted."""
    if costs.most == 1:
        return Plan(_whole(layers), "nothing stacks them here")
    total = sum(each.alone(costs) for each in layers)
    is_forced = len(layers) > costs.most or total == math.inf
    if not is_forced and total < costs.worth:
        return Plan(
            tuple(Part((each,), False, not at) for at, each in enumerate(layers)),
            f"to mount them alone takes {_milliseconds(total)}, "
            f"and less than {_milliseconds(costs.worth)} is not worth merging",
        )
    small = [_is_small(each, costs) for each in layers]
    parts = _parts(layers, small, costs)
    if len(parts) <= costs.most:
        limit = max(
            (each.size for each, is_so in zip(layers, small, strict=True) if is_so), default=0
        )
        return Plan(
            parts,
            f"a layer is merged where that takes less than {STARTS} starts with it alone"
            + (f"; the largest such one has {limit:,} bytes" if limit else ""),
        )
    bound = 1 << 16
    while len(parts) > costs.most:
        small = [is_so or each.size <= bound for each, is_so in zip(layers, small, strict=True)]
        parts = _parts(layers, small, costs)
        if all(small) and len(parts) > costs.most:
            return Plan(_whole(layers), f"more than {costs.most} images can not be stacked")
        bound *= 2
    return Plan(
        parts,
        f"at most {costs.most} images are stacked, so layers up to {bound // 2:,} bytes are merged",
    )


def _whole(layers: Sequence[Layer]) -> tuple[Part, ...]:
    return (Part(tuple(layers), merged=True, is_bottom=True),)


def _is_small(each: Layer, costs: Costs) -> bool:
    return STARTS * each.alone(costs) > each.merging


def _parts(layers: Sequence[Layer], small: Sequence[bool], costs: Costs) -> tuple[Part, ...]:
    found = []
    at = 0
    for run in _runs(layers, small, _length(small, costs)):
        if _pays(run, costs) or (len(layers) > costs.most and len(run) > 1):
            found.append(Part(run, merged=True, is_bottom=at == 0))
        else:
            found += [Part((each,), False, at == 0 and not n) for n, each in enumerate(run)]
        at += len(run)
    return tuple(found)


def _pays(run: Sequence[Layer], costs: Costs) -> bool:
    """Whether a run is mounted faster when it is merged, over the starts until it changes."""
    alone = sum(each.alone(costs) for each in run)
    if alone == math.inf:
        return True
    merging = MERGE_RUN + sum(each.merging for each in run)
    return len(run) > 1 and STARTS * (alone - costs.squashfs) > merging


def _length(small: Sequence[bool], costs: Costs) -> int:
    """The layers of a run, about: a power of two, so that longer runs are made of shorter ones."""
    count = sum(small)
    ideal = math.sqrt(STARTS * max(count, 1) * costs.squashfs / MERGE_LAYER)
    while count / ideal > costs.most / 4:  # others are mounted beside them
        ideal *= 2
    return 1 << round(math.log2(ideal))


def _runs(
    layers: Sequence[Layer], small: Sequence[bool], length: int
) -> Iterator[tuple[Layer, ...]]:
    """Cut layers into runs of small ones of one kind, and single large ones."""
    run: list[Layer] = []
    for each, is_small in zip(layers, small, strict=True):
        if run and (not is_small or run[-1].is_erofs != each.is_erofs):
            yield tuple(run)
            run = []
        run.append(each)
        if not is_small or each.mark % length == 0:
            yield tuple(run)
            run = []
    if run:
        yield tuple(run)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def explained(
    plan: Plan, names: Mapping[Path, str], folders: Collection[Path] = ()
) -> Iterator[str]:
    """The plan for people, top first, a line for each part; `names` are those of its layers.

    For the parts of which some of these are the lowest, `folders` are stacked in their place.
    """
    alone = sum(not part.merged for part in plan.parts)
    layers = sum(len(part.layers) for part in plan.parts)
    yield f"layers: {layers}, images to mount: {len(plan.parts)}, layers alone: {alone}"
    yield f"because {plan.reason}"
    for part in reversed(plan.parts):
        own = [names.get(path, str(path)) for path in part.paths]
        shown = own[0] if len(own) == 1 else f"{own[0]} .. {own[-1]}"
        how = f"{len(own)} merged" if part.merged else "alone"
        if part.paths[0] in folders:
            how = f"{how} and unpacked" if part.merged else "unpacked"
        yield f"  {how}: {shown}, {part.size:,} bytes"
