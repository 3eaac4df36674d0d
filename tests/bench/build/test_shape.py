"""Generated shapes are like real repositories, and the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.build.shape import LAYERS, PACKAGE, Rule, Shape, needs, shape


@pytest.fixture(scope="module", params=[(200, True), (1_000, True), (10_000, False)])
def found(request: pytest.FixtureRequest) -> Shape:
    targets, mixed = request.param
    return shape(targets, mixed=mixed)


@given(st.integers(100, 500), st.booleans(), st.integers(0, 100))
def test_all_that_a_target_needs_comes_before_it(targets: int, mixed: bool, seed: int) -> None:
    found = shape(targets, mixed=mixed, seed=seed)

    assert [target.index for target in found.targets] == list(range(targets))
    assert all(dep < target.index for target in found.targets for dep in needs(target))


def test_the_same_seed_gives_the_same_shape() -> None:
    assert shape(300, mixed=True, seed=7) == shape(300, mixed=True, seed=7)
    assert shape(300, mixed=True, seed=7) != shape(300, mixed=True, seed=8)


def test_no_target_depends_on_another_language(found: Shape) -> None:
    for target in found.targets:
        assert {found.targets[dep].rule.cxx for dep in needs(target)} <= {target.rule.cxx}


def test_packages_are_full(found: Shape) -> None:
    assert {len(targets) for targets in found.packages.values()} == {PACKAGE}


def test_dependencies_are_about_ten_deep(found: Shape) -> None:
    depths: list[int] = []
    for target in found.targets:
        depths.append(1 + max((depths[dep] for dep in needs(target)), default=0))

    assert LAYERS <= max(depths) <= LAYERS + 2


def test_a_few_percent_are_programs_and_genrules(found: Shape) -> None:
    count = len(found.targets)

    assert 0.01 < sum(target.rule.program for target in found.targets) / count < 0.05
    assert 0.005 < sum(target.rule.genrule for target in found.targets) / count < 0.04


def test_many_depend_on_a_hub_and_one_program_on_a_leaf(found: Shape) -> None:
    for cxx in (True, False):
        if found.has(cxx=cxx):
            assert len(found.dependents[found.hub(cxx=cxx).index]) > len(found.targets) / 20
            assert len(found.above(found.leaf(cxx=cxx).index)) == 2


def test_programs_have_closures_of_tens_of_targets_and_not_of_all() -> None:
    found = shape(10_000, mixed=False)
    needed = [1] * len(found.targets)
    for target in found.targets:
        below, waiting = {target.index}, [target.index]
        if not target.rule.program:
            continue
        while waiting:
            for dep in needs(found.targets[waiting.pop()]):
                if dep not in below:
                    below.add(dep)
                    waiting.append(dep)
        needed[target.index] = len(below)

    assert 10 < max(needed) < 1_000


@pytest.mark.parametrize("targets", [200, 1_000])
def test_who_includes_a_header_does_so_through_headers_too(targets: int) -> None:
    found = shape(targets, mixed=True)
    hub = found.hub(cxx=True)
    direct = {hub.index, *found.dependents[hub.index]}

    assert direct < found.includers(hub.index) < found.above(hub.index)
    assert all(found.targets[each].rule.cxx for each in found.includers(hub.index))


def test_some_libraries_have_a_generated_source() -> None:
    tables = [each.table for each in shape(1_000, mixed=True).targets if each.table is not None]

    assert {shape(1_000, mixed=True).targets[table].rule for table in tables} == {
        Rule.CXX_GENRULE,
        Rule.PYTHON_GENRULE,
    }
