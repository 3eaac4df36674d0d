"""What a lock declares, and how loading goes about it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.loader import Loader
from lamina.build.wheels.declared import calls
from lamina.core.errors import UserError
from lamina.core.label import Label, Pattern
from lamina.formats import pylock
from lamina.formats.pylock import Archive, Distribution, Lock

WHEEL = Archive("https://x.invalid/a-1-py3-none-any.whl", "0" * 64, 5)


def declared(*found: Distribution, **more: dict[str, list[str]]) -> dict[str, dict[str, object]]:
    builds_with, exclude = more.get("builds_with", {}), more.get("exclude", {})
    return dict(calls("all", Lock(found), "", builds_with, exclude))


def deps(*found: Distribution) -> dict[str, object]:
    return {name: attributes["deps"] for name, attributes in declared(*found).items()}


def test_one_target_needs_another_under_the_markers_of_all_its_ways() -> None:
    found = deps(
        Distribution("a", "1", requires=("b ; os_name == 'x'", "b ; os_name == 'y'", "c")),
        Distribution("b", "1"),
        Distribution("c", "1", marker="os_name == 'z'"),
    )

    both = """(os_name == "x") or (os_name == "y")"""
    assert found["a"] == {":b": both, ":c": ""}
    assert found["all"] == {":a": "", ":b": "", ":c": "os_name == 'z'"}


def test_an_extra_that_the_lock_does_not_know_adds_nothing() -> None:
    found = deps(
        Distribution("a", "1", requires=("b[x,unknown]",)),
        Distribution("b", "1", extras={"x": ("c",)}),
        Distribution("c", "1"),
    )

    assert found["a"] == {":b[x]": ""}
    assert found["b[x]"] == {":b": "", ":c": ""}


def test_a_circle_is_cut_open() -> None:
    found = deps(
        Distribution("a", "1", requires=("b", "below")),
        Distribution("b", "1", requires=("a",)),
        Distribution("below", "1"),
    )

    assert found["a"] == found["b"] == {":a.only": "", ":below": "", ":b.only": ""}
    assert found["a.only"] == {}


def test_archives_are_told_by_address_or_by_label() -> None:
    local = Archive("wheels/a-1-py3-none-any.whl", "1" * 64, local=True)
    lock = Lock((Distribution("a", "1", (WHEEL, local)),))

    (_, found), _ = calls("all", lock, "locks", {}, {"a": ["x/*"]})

    assert found["wheels"] == {WHEEL.place: f"{'0' * 64}/5"}
    assert found["wheel_files"] == {"locks/wheels/a-1-py3-none-any.whl": "1" * 64}
    assert found["exclude"] == ["x/*"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Distribution("a", "1", requires=("gone",)), "the lock lacks `gone`"),
        (Distribution("a", "1", requires=("=",)), "not a requirement: `=`"),
        (Distribution("all", "1"), "a distribution of the lock is called `all` too"),
    ],
)
def test_what_does_not_fit_together_is_told_of(found: Distribution, words: str) -> None:
    with pytest.raises(UserError) as caught:
        declared(found)

    assert words in caught.value.message


def test_a_lock_is_read_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"lamina.toml": "", "BUILD": "python_requirements(tags = [])"}.items():
        (tmp_path / name).write_text(text)
    store = tmp_path.with_name(f"{tmp_path.name}.store")
    store.mkdir()
    read: list[str] = []
    decode = pylock.decode

    def watched(text: str) -> Lock:
        read.append(text)
        return decode(text)

    def names() -> set[str]:
        loader = Loader(workspace.read(tmp_path), cache=store / "packages")
        found = {label.name for label in loader.resolve([Pattern.parse("//...")])}
        assert loader.inputs == {"BUILD", "pylock.toml"}
        loader.save(store)
        return found

    monkeypatch.setattr(pylock, "decode", watched)
    (tmp_path / "pylock.toml").write_text(pylock.encode(Lock((Distribution("a", "1", (WHEEL,)),))))
    time.sleep(0.06)  # old enough to be trusted by their times

    assert names() == {"a", "python"}
    assert names() == {"a", "python"}
    assert len(read) == 1
    (tmp_path / "pylock.toml").write_text(pylock.encode(Lock((Distribution("b", "1", (WHEEL,)),))))
    assert names() == {"b", "python"}
    assert len(read) == 2


def test_patterns_choose_no_distribution(tmp_path: Path) -> None:
    (tmp_path / "lamina.toml").write_text("")
    (tmp_path / "BUILD").write_text("python_requirements()\nfilegroup(name = 'x')")
    (tmp_path / "pylock.toml").write_text(pylock.encode(Lock((Distribution("a", "1", (WHEEL,)),))))

    loader = Loader(workspace.read(tmp_path))

    assert loader.resolve([Pattern.parse("//...")]) == (Label.parse("//:x"),)
    assert loader.resolve([Pattern.parse("//:a")]) == (Label.parse("//:a"),)
