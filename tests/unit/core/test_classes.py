"""Data classes behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core import classes


def both(make: Callable[[Any], Any]) -> list[Any]:
    """What comes of the same with the standard library, and with lamina's."""
    return [make(module) for module in (dataclasses, classes)]


def point(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True, order=True)
    class Point:
        """A place."""

        unit: ClassVar[str] = "m"
        x: int
        y: int = 2
        names: list[str] = module.field(default_factory=list, compare=False)

        def moved(self, by: int) -> Point:
            """Another place."""
            moved: Point = module.replace(self, x=self.x + by)
            return moved

    return Point


def counter(module: Any) -> Any:
    @module.dataclass(slots=True)
    class Counter:
        count: int = 0
        step: int = module.field(default=1, repr=False, kw_only=True)
        total: int = module.field(init=False, repr=False)

        def __post_init__(self) -> None:
            self.total = self.count * self.step

    return Counter


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    a: int
    b: tuple[str, ...] = ()


@classes.dataclass(frozen=True, slots=True)
class Lean:
    a: int
    b: tuple[str, ...] = ()


@classes.dataclass(frozen=True, slots=True)
class Leaner(Lean):
    c: str = "c"


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_they_are_equal_hashed_and_ordered_alike(a: int, b: int, c: int, d: int) -> None:
    told = []
    for kind in both(point):
        one, other = kind(a, b, ["x"]), kind(c, d)
        told.append(
            (one == other, hash(one) == hash(other), one < other, one <= other, one > other,
             one >= other, repr(one), one != other, one == (a, b), hash(kind(1)) == hash(kind(1)))
        )  # fmt: skip

    assert told[0] == told[1]


def test_they_are_made_and_changed_alike() -> None:
    for kind in both(point):
        made = kind(1, names=["a"])
        assert (made.x, made.y, made.names, kind(1).names, kind.unit) == (1, 2, ["a"], [], "m")
        assert made.moved(4) == kind(5, 2)
        assert kind(1).names is not kind(1).names
        assert kind.__doc__ == "A place."
        assert kind.__match_args__ == ("x", "y", "names")
        with pytest.raises(AttributeError, match="x"):
            made.x = 2
        with pytest.raises(AttributeError, match="x"):
            del made.x
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            kind(1, 2, [], 3)
        with pytest.raises(TypeError):
            kind(1, z=1)
        with pytest.raises((AttributeError, TypeError)):
            made.other = 1


def test_what_changes_has_no_hash_and_fields_of_its_own() -> None:
    told = []
    for kind in both(counter):
        made = kind(3, step=2)
        before = made.total
        made.count = 4
        with pytest.raises(TypeError):
            hash(made)
        with pytest.raises(TypeError):
            kind(3, 2)
        told.append((before, made.count, repr(made).rpartition(".")[2], kind() == kind(0)))

    assert told[0] == told[1]


def test_the_library_takes_them_for_its_own() -> None:
    one, other = Standard(1, ("x",)), Lean(1, ("x",))

    assert dataclasses.is_dataclass(Lean)
    assert dataclasses.asdict(other) == dataclasses.asdict(one)
    assert dataclasses.replace(other, a=2) == Lean(2, ("x",))
    told = [
        [(each.name, each.type, each.default) for each in dataclasses.fields(kind)]
        for kind in (Standard, Lean)
    ]
    assert told[0] == told[1]
    assert classes.names(Leaner) == ("a", "b", "c")
    assert [each.name for each in dataclasses.fields(Leaner)] == ["a", "b", "c"]
    assert classes.replace(one, a=3) == Standard(3, ("x",))


def test_one_that_extends_another_has_the_fields_of_both() -> None:
    made = Leaner(1, c="d")

    assert (made.a, made.b, made.c) == (1, (), "d")
    assert made != Lean(1)
    assert repr(made) == "Leaner(a=1, b=(), c='d')"


def test_they_are_copied_and_pickled() -> None:
    for made in (Lean(1, ("x",)), Leaner(1)):
        assert copy.copy(made) == made
        assert copy.deepcopy(made) == made
        assert pickle.loads(pickle.dumps(made)) == made


def test_they_match() -> None:
    match Lean(1, ("x",)):
        case Lean(a, b=(first,)):
            assert (a, first) == (1, "x")
        case _:
            pytest.fail("it does not match")


def test_what_a_class_has_itself_stays() -> None:
    @classes.dataclass(frozen=True, slots=True)
    class Own:
        a: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __hash__(self) -> int:
            return 5

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2)
    assert (hash(Own(1)), repr(Own(1))) == (5, "own")


def test_to_have_them_does_not_take_the_library() -> None:
    code = (
        "import sys\nfrom lamina.core.digest import Digest\n"
        "Digest('0' * 64, 1) == Digest('1' * 64, 1)\n"
        "print({'dataclasses', 'inspect'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_as_plain_data() -> None:
    def make(module: Any) -> Any:
        @module.dataclass(frozen=True, slots=True)
        class Inner:
            n: int

        @module.dataclass(frozen=True, slots=True)
        class Outer:
            one: Inner
            many: tuple[Inner, ...]
            named: dict[str, list[Inner]]
            place: Path

        inner: Any = Inner
        outer: Any = Outer
        return module.asdict(outer(inner(1), (inner(2), inner(3)), {"a": [inner(4)]}, Path("/x")))

    ours, theirs = both(make)
    assert ours == theirs
    assert isinstance(ours["many"], tuple)


def test_what_is_made_at_first_use_can_be_made_before() -> None:
    made = point(classes)
    assert made.__init__.__name__ == "begin"

    classes.complete(made)

    assert made.__init__.__name__ == "__init__"
    assert made(1, 2) == made(1, 2)
    classes.complete(made)
    classes.complete(int)
