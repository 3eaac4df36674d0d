"""Which layers are merged: small ones, in runs that stay when others change."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.node import plan
from lamina.node.plan import ALL_AS_ONE, FUSE, KERNEL, Costs, Layer, Plan

SMALL, LARGE = 4096, 50 << 20


def layers(count: int, *, large: int = 0, seed: int = 1) -> list[Layer]:
    """As many layers, each `large`-th of them a large one."""
    chance = random.Random(seed)
    return [
        Layer(
            Path(f"{number}"),
            LARGE if large and number % large == 0 else SMALL,
            is_erofs=False,
            mark=chance.getrandbits(32),
        )
        for number in range(count)
    ]


def paths(found: Plan) -> list[Path]:
    return [path for part in found.parts for path in part.paths]


@pytest.mark.parametrize("costs", [KERNEL, FUSE, ALL_AS_ONE])
@pytest.mark.parametrize("count", [1, 2, 7, 127, 501, 5000, 20_000])
@pytest.mark.parametrize("large", [0, 1, 3])
def test_every_layer_is_in_its_place_and_there_are_not_too_many_images(
    costs: Costs, count: int, large: int
) -> None:
    given = layers(count, large=large)

    found = plan.choose(given, costs)

    assert paths(found) == [layer.path for layer in given]
    assert len(found.parts) <= costs.most
    assert [part.is_bottom for part in found.parts] == [True] + [False] * (len(found.parts) - 1)
    assert all(part.merged or len(part.layers) == 1 for part in found.parts)


def test_few_layers_are_not_merged_by_the_kernel_driver() -> None:
    found = plan.choose(layers(8), KERNEL)

    assert len(found.parts) == 8
    assert not any(part.merged for part in found.parts)
    assert found.reason.endswith("is not worth merging")


def test_large_layers_stay_alone_and_small_ones_get_few_servers() -> None:
    found = plan.choose(layers(64, large=16), FUSE)

    assert [part.size for part in found.parts if not part.merged and part.size > SMALL] == [
        LARGE
    ] * 4
    assert len(found.parts) < 16


@pytest.mark.parametrize("count", [100, 1000, 5000])
def test_a_changed_layer_changes_no_run_but_those_it_touches(count: int) -> None:
    before = layers(count)
    merged = {part.paths for part in plan.choose(before, KERNEL).parts if part.merged}
    for changed in range(0, count, count // 10):
        after = list(before)
        after[changed] = replace(after[changed], path=Path("new"), mark=changed * 7919)
        again = {part.paths for part in plan.choose(after, KERNEL).parts if part.merged}

        assert len(again - merged) <= 2


def test_erofs_is_left_alone_by_the_kernel_and_merged_where_it_can_not_be_mounted() -> None:
    given = [replace(layer, is_erofs=True) for layer in layers(300)]

    assert not any(part.merged for part in plan.choose(given, KERNEL).parts)
    assert all(part.merged for part in plan.choose(given, FUSE).parts)
    assert FUSE.erofs == math.inf
    assert len(plan.choose(given * 2, KERNEL).parts) <= KERNEL.most


def test_layers_of_both_kinds_are_never_in_one_run() -> None:
    given = [replace(layer, is_erofs=n % 10 < 5) for n, layer in enumerate(layers(1000))]

    for part in plan.choose(given, replace(FUSE, most=500)).parts:
        assert len({layer.is_erofs for layer in part.layers}) == 1


def test_longer_runs_are_made_of_shorter_ones() -> None:
    given = layers(4000)

    def ends(count: int) -> set[int]:
        at = 0
        return {at := at + len(part.layers) for part in plan.choose(given[:count], KERNEL).parts}

    assert {end for end in ends(4000) if end < 500} <= ends(500)
    assert {end for end in ends(500) if end < 100} <= ends(100)


def test_it_is_explained_top_first() -> None:
    given = layers(40, large=20)

    lines = list(plan.explained(plan.choose(given, KERNEL), {Path("0"): "the lowest"}))

    assert lines[0].startswith("layers: 40, images to mount: ")
    assert lines[-1] == f"  alone: the lowest, {LARGE:,} bytes"
    assert any(" merged: " in line for line in lines)
