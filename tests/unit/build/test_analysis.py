"""From targets to what they hand out: order, labels of outputs, faults."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from lamina.build.analysis import Context, RuleFault, analyse, runtime_order
from lamina.build.attributes import Attribute, Kind
from lamina.build.faults import FaultReport, Place, Tolerance
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.build.target import Target
from lamina.build.toolchains import Toolchains
from lamina.build.workspace import Workspace
from lamina.core.action import Literal
from lamina.core.label import Label
from lamina.linux.versions import ToolVersions

Implementation = Callable[[Context], Analysed]


def label(name: str) -> Label:
    return Label.parse(name, "p")


def target(name: str, *deps: str, by: Implementation) -> Target:
    rule = Rule("test", {"deps": Attribute(Kind.LABEL_LIST)}, by)
    return Target(label(name), rule, {"deps": tuple(label(dep) for dep in deps)}, ())


def run(*targets: Target, tolerance: Tolerance | None = None) -> dict[Label, Analysed]:
    toolchains = Toolchains(Workspace(Path("/nowhere"), "w"), ToolVersions(Path("/nowhere/x")))
    named = {each.label: each for each in targets}
    order = TopologicalSorter({each.label: each.dependencies() for each in targets}).static_order()
    found = {label: named[label] for label in order if label in named}
    place = Place("p/BUILD", 1, 1)
    return analyse(found, toolchains, lambda *_: place, tolerance=tolerance)


def plain(ctx: Context) -> Analysed:
    return Analysed(ctx.label, runtime=tuple(dep.label for dep in ctx.deps("deps")))


def order(root: str, graph: Mapping[str, str]) -> str:
    """The runtime order of a graph of one-letter targets, as one word."""
    analysed = run(*(target(name, *deps, by=plain) for name, deps in graph.items()))
    return "".join(each.name for each in runtime_order(label(root), analysed))


def test_the_stack_of_the_article_is_f_d_b_e_c_a_from_below() -> None:
    assert order("A", {"A": "BC", "B": "D", "C": "E", "D": "F", "E": "F", "F": ""}) == "FDBECA"


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": ""}, "a"),
        ({"a": "bc", "b": "", "c": ""}, "bca"),
        ({"a": "cb", "b": "", "c": ""}, "cba"),
        ({"a": "bc", "b": "c", "c": ""}, "cba"),
        ({"a": "b", "b": "", "z": "a"}, "ba"),
    ],
)
def test_dependencies_lie_below_and_siblings_keep_their_order(
    graph: dict[str, str], expected: str
) -> None:
    assert order("a", graph) == expected


def test_a_chain_longer_than_the_recursion_limit_is_ordered() -> None:
    names = [f"t{number}" for number in range(3000)]
    targets = [target(a, b, by=plain) for a, b in itertools.pairwise(names)]

    analysed = run(*targets, target(names[-1], by=plain))

    assert [each.name for each in runtime_order(label("t0"), analysed)] == names[::-1]


def test_each_target_is_analysed_once_after_its_dependencies() -> None:
    seen: list[str] = []

    def note(ctx: Context) -> Analysed:
        seen.append(ctx.label.name)
        return plain(ctx)

    run(target("a", "b", "c", by=note), target("b", "c", by=note), target("c", by=note))

    assert seen == ["c", "b", "a"]


def test_one_output_is_named_by_its_own_label() -> None:
    def maker(ctx: Context) -> Analysed:
        action = ctx.action("Test", ["true"], {}, ["p/gen.h", "p/d/x"])
        return Analysed(ctx.label, tuple((path, action.output(path)) for path in action.outputs))

    analysed = run(target("g", by=maker))

    assert analysed[label("gen.h")].files == analysed[label("g")].files[:1]
    assert analysed[label("d/x")].files == analysed[label("g")].files[1:]


def test_an_output_can_be_depended_on() -> None:
    def maker(ctx: Context) -> Analysed:
        action = ctx.action("Test", ["true"], {}, ["p/gen.h"])
        return Analysed(ctx.label, (("p/gen.h", action.output("p/gen.h")),))

    user = target("a", "gen.h", by=plain)
    analysed = run(target("g", by=maker), user)

    assert analysed[user.label].runtime == (label("gen.h"),)


def test_all_faults_are_told_at_once() -> None:
    def fail(ctx: Context) -> Analysed:
        raise RuleFault("it makes no sense", hint="try another")

    with pytest.raises(FaultReport) as caught:
        run(target("a", by=fail), target("b", "a", by=plain), target("c", by=fail))

    assert caught.value.message.count("it makes no sense") == 2
    assert "`//p:a`" in caught.value.message
    assert "`//p:c`" in caught.value.message


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", ""])
def test_a_file_outside_of_the_package_is_a_fault(path: str) -> None:
    def lead_out(ctx: Context) -> Analysed:
        return Analysed(ctx.label, own={path: Literal(b"")})

    with pytest.raises(FaultReport, match="would lie outside of the package"):
        run(target("a", by=lead_out))


def test_inputs_and_variables_of_an_action_are_in_one_order() -> None:
    actions = []

    def maker(ctx: Context) -> Analysed:
        inputs = {"b": Literal(b""), "a": Literal(b"")}
        environment = {"Z": "1", "A": "2"}
        actions.append(ctx.action("Test", ["true"], inputs, ["p/x"], environment=environment))
        return Analysed(ctx.label)

    run(target("a", by=maker))

    assert [path for path, _ in actions[0].inputs] == ["a", "b"]
    assert actions[0].environment == (("A", "2"), ("Z", "1"))
    assert actions[0].owner == "//p:a"


def wrong(_: Context) -> Analysed:
    raise RuleFault("no")


def test_what_depends_on_a_fault_has_none_of_its_own() -> None:
    with pytest.raises(FaultReport) as caught:
        run(target("a", by=wrong), target("b", "a", by=wrong))

    assert [fault.message for fault in caught.value.faults] == ["`//p:a`: no"]


def test_of_what_has_faults_there_is_nothing_where_they_are_put_up_with() -> None:
    tolerance = Tolerance()

    targets = [target("a", by=wrong), target("b", "a", by=plain), target("c", by=plain)]
    found = run(*targets, tolerance=tolerance)

    assert list(found) == [label("c")]
    assert tolerance.lost == {label("a"), label("b")}
