"""Actions and their results, as values."""

from __future__ import annotations

import pytest

from lamina.core.action import Action, ActionResult, Output
from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Symlink


def compile_action(subject: str = "") -> Action:
    return Action("CxxCompile", "//a:b", ("g++",), (), ("b.o",), subject=subject)


def test_an_action_is_shown_by_what_it_works_on_or_else_its_target() -> None:
    assert str(compile_action("a/b.cc")) == "CxxCompile a/b.cc"
    assert str(compile_action()) == "CxxCompile //a:b"


def test_an_output_names_its_action_and_path() -> None:
    action = compile_action()

    assert action.output("b.o") == Output(action, "b.o")


def test_an_output_that_was_not_declared_is_our_own_fault() -> None:
    with pytest.raises(AssertionError):
        compile_action().output("c.o")


def test_two_actions_with_equal_fields_stay_two() -> None:
    assert len({compile_action(), compile_action()}) == 2


def test_the_blobs_of_a_result_are_those_of_its_files() -> None:
    first, second = Digest.of(b"1"), Digest.of(b"2")
    result = ActionResult(
        (("a", File(first)), ("b", Symlink("a")), ("c", Folder()), ("d", File(second, True)))
    )

    assert result.blobs() == [first, second]
