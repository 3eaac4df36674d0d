"""Plans: what runs before what, decided without a disk."""

from __future__ import annotations

from lamina.build.plan import plan
from lamina.core.action import Action, Artifact, Literal, Output, Source


def action(name: str, *needs: Action) -> Action:
    inputs: list[tuple[str, Artifact]] = [
        (need.outputs[0], need.output(need.outputs[0])) for need in needs
    ]
    return Action("Test", f"//:{name}", ("true",), tuple(inputs), (name,))


def out(made: Action) -> Output:
    return made.output(made.outputs[0])


def test_an_action_stands_after_those_it_reads_from() -> None:
    bottom = action("bottom")
    left, right = action("left", bottom), action("right", bottom)
    top = action("top", left, right)

    assert plan([out(top)]).actions == (bottom, left, right, top)


def test_an_action_that_two_need_is_planned_once() -> None:
    shared = action("shared")

    found = plan([out(action("a", shared)), out(action("b", shared))])

    assert [str(each) for each in found.actions] == ["Test //:shared", "Test //:a", "Test //:b"]


def test_dependents_are_those_who_wait() -> None:
    bottom = action("bottom")
    left, right = action("left", bottom), action("right", bottom)

    found = plan([out(left), out(right)])

    assert found.dependents[bottom] == (left, right)
    assert found.dependents[left] == ()


def test_needs_are_the_direct_makers_alone() -> None:
    bottom = action("bottom")
    middle = action("middle", bottom)
    top = action("top", middle)

    found = plan([out(top)])

    assert found.needs[top] == {middle}
    assert found.needs[bottom] == frozenset()


def test_what_nobody_asked_for_is_not_planned() -> None:
    bottom = action("bottom")
    action("unasked", bottom)

    assert plan([out(bottom)]).actions == (bottom,)


def test_sources_and_literals_need_no_action() -> None:
    assert plan([Source("a.txt"), Literal(b"x")]).actions == ()


def test_siblings_keep_the_order_in_which_they_were_asked_for() -> None:
    first, second = action("z"), action("a")

    assert plan([out(first), out(second)]).actions == (first, second)


def test_a_chain_longer_than_the_recursion_limit_is_planned() -> None:
    chain = [action("0")]
    for number in range(1, 3000):
        chain.append(action(str(number), chain[-1]))

    assert plan([out(chain[-1])]).actions == tuple(chain)
