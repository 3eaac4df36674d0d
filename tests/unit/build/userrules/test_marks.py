from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.faults import Place
from lamina.build.userrules.marks import mark

names = st.sampled_from(["a", "dep", "Info", "ctx.attr.é", "m.Info", '"é"', "(a or b)", "[1]"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda p: f"({p[0]})[{p[1]}]"),
        pair.map(lambda p: f"({p[0]} in {p[1]})"),
        pair.map(lambda p: f'"%s%s" % ({p[0]}, {p[1]})'),
        pair.map(lambda p: f'"{{}}".format({p[0]}, x = {p[1]})'),
        pair.map(lambda p: f"f({p[0]},\n  {p[1]})"),
    )


expressions = st.recursive(names, grown, max_leaves=12)


@given(st.lists(expressions, min_size=1, max_size=3))
def test_marks_leave_lines_and_make_no_syntax_error(parts: list[str]) -> None:
    text = "\n".join(f"x = {part}" for part in parts)

    marked = mark(text)

    assert marked.text.count("\n") == text.count("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is no sense, only syntax
        compile(marked.text, "x", "exec")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = dep[Info]", "x = lamina_at(dep, Info)[Info]"),
        ("x = deps[0][m.Info].a", "x = lamina_at(deps[0], m.Info)[m.Info].a"),
        ("x = Info in dep", "x = Info in lamina_at(dep)"),
        ("x = Info not in a[b]", "x = Info not in lamina_at(lamina_at(a, b)[b])"),
        ('x = "%s" % label', 'x = "%s" % lamina_text(label)'),
        ('x = "%s %s" % (a, b)', 'x = "%s %s" % lamina_text((a, b))'),
        (
            'x = "{}".format(a, *b, c = d)',
            'x = "{}".format(lamina_text(a), *b, c = lamina_text(d))',
        ),
        ("x[Info] = 1", "x[Info] = 1"),
        ("x = y[0]", "x = y[0]"),
        ("x = 7 % 3", "x = 7 % 3"),
        ("x = a[", "x = a["),
    ],
)
def test_what_a_text_becomes(text: str, expected: str) -> None:
    assert mark(text).text == expected


@pytest.mark.parametrize("word", ["Info", "boom", "last"])
def test_columns_are_those_of_the_text(word: str) -> None:
    text = 'x = ["é", dep[Info], a[b] % boom("%s" % c), last]'
    marked = mark(text)

    place = marked.original(Place("x", 1, marked.text.rindex(word) + 1))

    assert place.column == text.rindex(word) + 1
