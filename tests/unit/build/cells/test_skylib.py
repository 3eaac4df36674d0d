"""`@bazel_skylib//lib`, by what its documentation promises; paths also beside Python's own."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable

import pytest

Evaluate = Callable[..., list[str]]
PATHS = ("@bazel_skylib//lib:paths.bzl", "paths")
SOME = (
    "", "/", "//", "a", "a/b", "/a/b", "a/b/", "a//b", "./a", "a/./b", "a/../b", "../a",
    "a/../../b", "/..", "/../a", "a/b/..", "..", ".", "a.tar.gz", ".hidden",
    "a/.hidden", "a.b/c", "///a",
)  # fmt: skip


def test_paths_are_normalized_as_by_python(evaluate: Evaluate) -> None:
    found = evaluate(*PATHS, *(f'paths.normalize("{path}")' for path in SOME))

    assert found == [posixpath.normpath(path) for path in SOME]


@pytest.mark.parametrize("function", ["basename", "dirname"])
def test_parts_of_paths_are_those_of_python(evaluate: Evaluate, function: str) -> None:
    found = evaluate(*PATHS, *(f'paths.{function}("{path}")' for path in SOME))

    assert found == [getattr(posixpath, function)(path) for path in SOME]


def test_paths_are_split_and_joined_as_by_python(evaluate: Evaluate) -> None:
    split = evaluate(*PATHS, *(f'"|".join(paths.split_extension("{path}"))' for path in SOME))
    joined = evaluate(*PATHS, *(f'paths.join("x/y", "{path}", "z")' for path in SOME))

    assert split == ["|".join(posixpath.splitext(path)) for path in SOME]
    assert joined == [posixpath.join("x/y", path, "z") for path in SOME]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('paths.relativize("a/b/c", "a")', "b/c"),
        ('paths.relativize("a/b", "a/b")', "."),
        ('paths.relativize("a/b", "")', "a/b"),
        ('paths.replace_extension("a/b.c", ".d")', "a/b.d"),
        ('paths.is_absolute("/a")', "True"),
        ('paths.is_absolute("a")', "False"),
        ('paths.is_normalized("a/../b")', "False"),
        ('paths.is_normalized("a/./b", look_for_same_level_references = False)', "True"),
        ('paths.starts_with("a/b", "a")', "True"),
        ('paths.starts_with("ab", "a")', "False"),
        ('paths.starts_with("a/b", "")', "True"),
    ],
)
def test_paths(evaluate: Evaluate, expression: str, expected: str) -> None:
    assert evaluate(*PATHS, expression) == [expected]


def test_a_path_is_not_relative_to_one_beside_it(refused: Callable[..., str]) -> None:
    assert "path `a/c` is not below `a/b`" in refused(*PATHS, 'paths.relativize("a/c", "a/b")')


@pytest.mark.parametrize(
    ("file", "expression", "expected"),
    [
        ("dicts", 'dicts.add({"a": 1}, {"a": 2, "b": 3}, c = 4)', "{'a': 2, 'b': 3, 'c': 4}"),
        ("dicts", 'dicts.omit({"a": 1, "b": 2}, ["a"])', "{'b': 2}"),
        ("dicts", 'dicts.pick({"a": 1, "b": 2}, ["a", "z"])', "{'a': 1}"),
        ("collections", 'collections.after_each("-", [1, 2])', "[1, '-', 2, '-']"),
        ("collections", 'collections.before_each("-", [1, 2])', "['-', 1, '-', 2]"),
        ("collections", "collections.uniq([2, 1, 2])", "[2, 1]"),
        ("shell", 'shell.array_literal(["a", "b c"])', "('a' 'b c')"),
        ("structs", 'structs.to_dict(struct(b = 1, a = 2))["a"]', "2"),
        ("structs", "structs.merge(struct(a = 1), struct(a = 2, b = 3)).a", "2"),
        ("types", "types.is_list([])", "True"),
        ("types", "types.is_list(())", "False"),
        ("types", "types.is_tuple(())", "True"),
        ("types", 'types.is_string("")', "True"),
        ("types", "types.is_bool(0)", "False"),
        ("types", "types.is_int(0)", "True"),
        ("types", "types.is_none(None)", "True"),
        ("types", "types.is_dict({})", "True"),
        ("types", "types.is_function(types.is_dict)", "True"),
        ("types", "types.is_function(glob)", "True"),
        ("types", "types.is_depset([])", "False"),
        ("versions", 'versions.is_at_least("0.10.0", "0.9.9")', "False"),
        ("versions", 'versions.is_at_least("0.9.9", "0.10.0")', "True"),
        ("versions", 'versions.is_at_least("1.0", "")', "True"),
        ("versions", 'versions.is_at_most("1.2.0", "1.2.0")', "True"),
        ("versions", 'versions.parse("0.29.0rc1 abc")', "[0, 29, 0]"),
        ("versions", 'versions.check("99.0.0")', "None"),
        ("partial", "partial.call(partial.make(min, 4), 3)", "3"),
        ("partial", "partial.is_instance(partial.make(min))", "True"),
        ("partial", "partial.is_instance(struct(a = 1))", "False"),
        ("subpackages", "subpackages.supported()", "True"),
    ],
)
def test_a_function_of_the_library(
    evaluate: Evaluate, file: str, expression: str, expected: str
) -> None:
    assert evaluate(f"@bazel_skylib//lib:{file}.bzl", file, expression) == [expected]


@pytest.mark.parametrize("file", ["sets", "new_sets"])
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sets.to_list(sets.make([1, 2, 1]))", "[1, 2]"),
        ("sets.length(sets.make([1, 1]))", "1"),
        ("sets.contains(sets.make([1]), 1)", "True"),
        ("sets.to_list(sets.union(sets.make([1]), sets.make([2])))", "[1, 2]"),
        ("sets.to_list(sets.intersection(sets.make([1, 2]), sets.make([2, 3])))", "[2]"),
        ("sets.to_list(sets.difference(sets.make([1, 2]), sets.make([2])))", "[1]"),
        ("sets.is_equal(sets.make([1, 2]), sets.make([2, 1]))", "True"),
        ("sets.is_subset(sets.make([1]), sets.make([2, 1]))", "True"),
        ("sets.disjoint(sets.make([1]), sets.make([2]))", "True"),
        ("sets.to_list(sets.insert(sets.make([1]), 2))", "[1, 2]"),
        ("sets.to_list(sets.remove(sets.make([1, 2]), 1))", "[2]"),
        ("sets.str(sets.make([1]))", "[1]"),
    ],
)
def test_sets(evaluate: Evaluate, file: str, expression: str, expected: str) -> None:
    assert evaluate(f"@bazel_skylib//lib:{file}.bzl", "sets", expression) == [expected]


def test_what_is_quoted_for_a_shell_is_one_word(evaluate: Evaluate) -> None:
    words = ["", "a", "it's", "$HOME", "a b", "`x`", "'"]
    found = evaluate(
        "@bazel_skylib//lib:shell.bzl", "shell", *(f"shell.quote({w!r})" for w in words)
    )

    assert [shlex.split(text) for text in found] == [[word] for word in words]


def test_the_whole_library_is_loaded_by_one_file(evaluate: Evaluate) -> None:
    assert evaluate("@bazel_skylib//:lib.bzl", "paths", 'paths.join("a", "b")') == ["a/b"]
