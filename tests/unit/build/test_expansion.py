"""The macros of a genrule's command, in Bazel's dialect (strict) and in Buck's."""

from __future__ import annotations

import pytest

from lamina.build.expansion import Scope, expand
from lamina.core.errors import UserError

PLACES = {":x": ("p/x.txt",), ":two": ("p/1", "p/2"), "//q:tool": ("tools/q/tool/tool",)}


def scope(sources: tuple[str, ...] = ("p/in",), outputs: tuple[str, ...] = ("out/p/o",)) -> Scope:
    return Scope(sources, outputs, PLACES.__getitem__, "out/p")


MANY = scope(("p/1", "p/2"), ("out/p/a", "out/p/d/b"))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cp $< $@", "cp p/in out/p/o"),
        ("cp $(<) $(@)", "cp p/in out/p/o"),
        ("cat $(SRCS) > $(OUTS)", "cat p/in > out/p/o"),
        ("cd $(@D)", "cd out/p"),
        ("cd $(RULEDIR)", "cd out/p"),
        ("cd $(GENDIR) $(BINDIR)", "cd out out"),
        ("cat $(location :x)", "cat p/x.txt"),
        ("cat $(execpath :x) $(rootpath :x)", "cat p/x.txt p/x.txt"),
        ("cat $(locations :two)", "cat p/1 p/2"),
        ("cat $(execpaths :two) $(rootpaths :two)", "cat p/1 p/2 p/1 p/2"),
        ("$(exe //q:tool) x", "tools/q/tool/tool x"),
        ("$(location  //q:tool )", "tools/q/tool/tool"),
        ("echo $SRCS ${OUT}", "echo $SRCS ${OUT}"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_macros_of_both_dialects(command: str, expected: str, strict: bool) -> None:
    assert expand(command, scope(), strict=strict) == expected


def test_sources_and_outputs_are_lists_of_words() -> None:
    assert expand("$(SRCS): $(OUTS)", MANY, strict=True) == "p/1 p/2: out/p/a out/p/d/b"


def test_the_folder_of_many_outputs_is_that_of_the_build_package() -> None:
    assert expand("$(@D)", MANY, strict=True) == "out/p"


def test_the_folder_of_one_output_is_its_own() -> None:
    assert expand("$(@D)", scope(outputs=("out/p/d/b",)), strict=True) == "out/p/d"


def test_two_dollars_are_one_of_the_shell_in_bazel() -> None:
    assert expand("for x in 1; do echo $$x $$(pwd); done", scope(), strict=True) == (
        "for x in 1; do echo $x $(pwd); done"
    )


def test_two_dollars_are_the_shells_own_in_buck() -> None:
    assert expand("echo $$", scope(), strict=False) == "echo $$"


def test_a_substitution_of_the_shell_is_left_alone_in_buck() -> None:
    assert expand("echo $(date) > $OUT", scope(), strict=False) == "echo $(date) > $OUT"


def test_an_unknown_variable_is_an_error_in_bazel() -> None:
    with pytest.raises(UserError, match=r"unknown variable `\$\(CC\)`") as caught:
        expand("$(CC) -c x", scope(), strict=True)

    assert "`$$`" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("$@", "`$@` in `cmd` needs exactly one output, there are 2"),
        ("$<", "`$<` in `cmd` needs exactly one source, there are 2"),
        ("$(<)", "`$(<)` in `cmd` needs exactly one source, there are 2"),
        ("$(location :two)", "`$(location :two)` stands for 2 files"),
    ],
)
def test_one_file_is_not_chosen_among_many(command: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        expand(command, MANY, strict=True)

    assert caught.value.message == expected
