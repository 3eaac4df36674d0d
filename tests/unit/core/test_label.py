from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import UserError
from lamina.core.label import Label, Pattern

segment = st.from_regex(r"[A-Za-z0-9_+.@=,~-]{1,8}", fullmatch=True).filter(
    lambda text: text not in (".", "..", "...")
)
path = st.lists(segment, min_size=1, max_size=4).map("/".join)
cell = st.just("") | st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
labels = st.builds(Label, cell, st.just("") | path, path)
patterns = st.builds(
    Pattern,
    cell,
    st.just("") | path,
    path.filter(lambda name: name != "all"),
    st.just(False),
    st.booleans(),
) | st.builds(Pattern, cell, st.just("") | path, st.just(""), st.booleans(), st.booleans())


@given(labels)
def test_a_label_reads_back_what_it_prints(label: Label) -> None:
    assert Label.parse(str(label)) == label


@given(patterns)
def test_a_pattern_reads_back_what_it_prints(pattern: Pattern) -> None:
    assert Pattern.parse(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("//a/b:c", Label("", "a/b", "c")),
        ("//a/b", Label("", "a/b", "b")),
        ("//:c", Label("", "", "c")),
        (":c", Label("", "p/q", "c")),
        ("c", Label("", "p/q", "c")),
        ("sub/c.cc", Label("", "p/q", "sub/c.cc")),
        ("@cell//a:b", Label("cell", "a", "b")),
        ("@cell", Label("cell", "", "cell")),
        ("@//a:b", Label("", "a", "b")),
        ("@@//a:b", Label("", "a", "b")),
    ],
)
def test_the_forms_of_a_label(text: str, expected: Label) -> None:
    assert Label.parse(text, "p/q") == expected


def test_the_cell_of_a_build_file_holds_for_its_labels() -> None:
    assert Label.parse("//a:b", "p", "cell") == Label("cell", "a", "b")
    assert Label.parse(":b", "p", "cell") == Label("cell", "p", "b")
    assert Label.parse("@//a:b", "p", "cell") == Label("", "a", "b")


def test_a_relative_label_without_a_build_package_gets_a_proposal() -> None:
    with pytest.raises(UserError, match="not a label: `a`") as caught:
        Label.parse("a")

    assert caught.value.hint == "did you mean `//a` or `//:a`?"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "the name of the target is missing"),
        ("//a:", "the name of the target is missing"),
        ("//", "the name of the target is missing"),
        ("//a//b:c", "there is an empty segment between two slashes or at the end"),
        ("//a/:c", "a build package neither starts nor ends with `/`"),
        ("///a:c", "a build package neither starts nor ends with `/`"),
        ("//a:b/", "there is an empty segment between two slashes or at the end"),
        ("../b", "labels do not contain `..`: write the path from the root, `//a/b:c`"),
        ("//a/./b:c", "labels do not contain `.`: write the path from the root, `//a/b:c`"),
        ("//a/...", "`...` is for patterns on the command line, a label names one target"),
        ("//a:b:c", "names may not hold `:`"),
        ("//a\\b:c", "names may not hold `\\`"),
        ("/etc/passwd", "names are relative to their build package: no `/` at the start"),
        ("cell//a:b", "a label starts with `//`, `:` or `@cell//`"),
    ],
)
def test_a_malformed_label_is_refused_with_the_reason(text: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        Label.parse(text, "p")

    assert caught.value.message == f"not a label: `{text}`"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("//...", "//..."),
        ("...", "//p/..."),
        ("//a/...", "//a/..."),
        ("//a/...:all", "//a/..."),
        ("a/b/...", "//p/a/b/..."),
        ("//a:all", "//a:all"),
        ("//a:*", "//a:all"),
        ("//a:", "//a:all"),
        (":", "//p:all"),
        (":x", "//p:x"),
        ("//a", "//a:a"),
        ("a/b:c", "//p/a/b:c"),
        ("a/b", "//p/a/b:b"),
        ("-//a/b", "-//a/b:b"),
        ("-//a/...", "-//a/..."),
        ("@cell//...", "@cell//..."),
    ],
)
def test_the_forms_of_a_pattern(text: str, expected: str) -> None:
    assert str(Pattern.parse(text, "p")) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "//", "//a//b", "//a/.../b", "a//b", "//a:b:c", "//../x"]
)
def test_a_malformed_pattern_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a target pattern") as caught:
        Pattern.parse(text)

    assert caught.value.hint


def test_what_patterns_match() -> None:
    label = Label("", "a/b", "c")

    assert Pattern.parse("//...").matches(label)
    assert Pattern.parse("//a/...").matches(label)
    assert Pattern.parse("//a/b/...").matches(label)
    assert Pattern.parse("//a/b:all").matches(label)
    assert Pattern.parse("-//a/b:c").matches(label)
    assert not Pattern.parse("//a:all").matches(label)
    assert not Pattern.parse("//a/b").matches(label)
    assert not Pattern.parse("//a/bb/...").matches(label)
    assert not Pattern.parse("@cell//...").matches(label)
