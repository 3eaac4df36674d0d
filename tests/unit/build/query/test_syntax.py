from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.query.syntax import (
    KEYWORDS,
    Call,
    Chain,
    Expression,
    Let,
    QueryFault,
    SetOf,
    Variable,
    Word,
    parse,
)

_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in KEYWORDS
)
_WORDS = st.builds(
    Word,
    st.one_of(
        st.sampled_from(["//...", "//a:b", ":all", "//a:all-targets", "a/b.c", "let", "x+y", "-a"]),
        st.text(st.characters(exclude_characters='"', exclude_categories=["C"]), min_size=1),
        st.text(st.characters(exclude_characters="'", exclude_categories=["C"]), min_size=1),
    ),
)


def _larger(smaller: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    pairs = st.tuples(st.sampled_from("+-^"), smaller)
    return st.one_of(
        st.builds(Call, _NAMES, st.lists(smaller, max_size=3).map(tuple)),
        st.builds(Let, _NAMES, smaller, smaller),
        st.builds(Chain, smaller, st.lists(pairs, min_size=1, max_size=3).map(tuple)),
    )


_EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(
        _WORDS,
        st.builds(Variable, _NAMES),
        st.builds(SetOf, st.lists(_WORDS, max_size=3).map(tuple)),
    ),
    _larger,
    max_leaves=12,
)


@given(_EXPRESSIONS)
def test_what_is_printed_reads_the_same(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@given(st.text(st.sampled_from("abdeps(),+-^=$ '\"//:...letinset\n"), max_size=40))
def test_any_text_is_read_or_is_a_fault(text: str) -> None:
    try:
        parse(text)
    except QueryFault as fault:
        assert "^" in fault.message.splitlines()[-1]


def test_operators_bind_alike_from_left_to_right() -> None:
    assert parse("a + b intersect c except d") == Chain(
        Word("a"), (("+", Word("b")), ("^", Word("c")), ("-", Word("d")))
    )


def test_a_let_takes_all_that_follows() -> None:
    expression = parse("let x = a in $x + b")

    assert expression == Let("x", Word("a"), Chain(Variable("x"), (("+", Word("b")),)))


def test_a_hyphen_within_a_word_is_part_of_it() -> None:
    assert parse("//a:b-c - //d:all-targets") == Chain(
        Word("//a:b-c"), (("-", Word("//d:all-targets")),)
    )


def test_quotes_make_words_of_anything() -> None:
    assert parse("""kind("a|b+", 'set')""") == Call("kind", (Word("a|b+"), Word("set")))


def test_thousands_of_operands_are_no_matter() -> None:
    expression = parse(" + ".join(["a"] * 50_000))

    assert isinstance(expression, Chain)
    assert len(expression.rest) == 49_999


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: the query is empty"),
        ("deps(//a", "column 9: `,` or `)` is expected here"),
        ("//a //b", "column 5: `//b` is not expected here"),
        ("//a + ", "column 6: the end stands where a target or function should"),
        ("//a)", "column 4: `)` is not expected here"),
        ("set(//a, //b)", "column 8: `)` is expected here, not `,`"),
        ("let 1 = a in b", "column 5: a name is expected after `let`"),
        ("let x a in b", "column 7: `=` is expected here, not `a`"),
        ('filter("x', "column 8: the quotes are not closed"),
        ("a & b", "column 3: `&` has no meaning here"),
        ("*a", "column 1: a word does not start with `*`"),
        ("(" * 200 + "a", "column 101: the query is nested too deeply"),
        ("deps(//a) +\n  in", "line 2, column 3: `in` stands where a target or function should"),
    ],
)
def test_a_fault_says_where_it_is(text: str, message: str) -> None:
    with pytest.raises(QueryFault) as caught:
        parse(text)

    assert caught.value.message.splitlines()[0] == message


def test_the_caret_stands_below_the_fault() -> None:
    with pytest.raises(QueryFault) as caught:
        parse("//a ++ //b")

    assert caught.value.message.splitlines()[1:] == ["  //a ++ //b", "       ^"]


def test_of_a_long_query_the_part_around_the_fault_is_shown() -> None:
    with pytest.raises(QueryFault) as caught:
        parse(" + ".join(["//some/package:target"] * 40) + " + ) + //a" * 20)

    line, caret = caught.value.message.splitlines()[1:]
    assert len(line) < 80
    assert line[caret.index("^")] == ")"
