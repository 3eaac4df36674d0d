"""Tests of every language: a program, and how it is tried; it passes by exit code 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed, Runnable, TestInfo
from lamina.build.rule import Rule
from lamina.build.rules import cxx, shell
from lamina.build.rules.running import RUNNING
from lamina.core.action import Artifact, Literal
from lamina.core.classes import replace

# What a size says of the time a test takes, in seconds; and the words for these times.
SIZES = {"small": 60, "medium": 300, "large": 900, "enormous": 3600}
_TIMEOUTS = {"short": 60, "moderate": 300, "long": 900, "eternal": 3600}
_MOST_SHARDS = 50  # as in Bazel

TEST: Mapping[str, Attribute] = MappingProxyType(
    {
        **RUNNING,
        "env_inherit": Attribute(
            Kind.STRING_LIST, doc="variables that it takes from the environment of `lamina test`"
        ),
        "size": Attribute(
            Kind.STRING, "medium", doc="`small`, `medium`, `large` or `enormous`: 1, 5, 15, 60 min"
        ),
        "timeout": Attribute(
            Kind.STRING, doc="`short`, `moderate`, `long` or `eternal`, in place of the size's"
        ),
        "test_rule_timeout_ms": Attribute(Kind.INTEGER, doc="the same in milliseconds"),
        "flaky": Attribute(Kind.BOOLEAN, doc="tried three times before it has failed"),
        "shard_count": Attribute(Kind.INTEGER, doc="processes that its test cases are split over"),
        "local": Attribute(Kind.BOOLEAN, doc="it may use the network"),
        "exec_group_compatible_with": Attribute(Kind.ANY),
        "needed_coverage": Attribute(Kind.ANY),
        "additional_coverage_targets": Attribute(Kind.ANY),
        "remote_execution": Attribute(Kind.ANY),
        "run_test_separately": Attribute(Kind.ANY),
    }
)


def info(ctx: Context, language: str) -> TestInfo:
    """How a target with the attributes of TEST is tried; raises RuleFault."""
    tags = ctx.texts("tags")
    return TestInfo(
        size=_choice(ctx, "size", SIZES),
        timeout=_timeout(ctx),
        flaky=ctx.flag("flaky") or "flaky" in tags,
        shards=_shards(ctx),
        inherited=ctx.texts("env_inherit"),
        tags=(*tags, "local") if ctx.flag("local") else tags,
        language=language,
    )


def _timeout(ctx: Context) -> int:
    milliseconds = ctx.number("test_rule_timeout_ms")
    if milliseconds > 0:
        return -(-milliseconds // 1000)
    if ctx.text("timeout"):
        return _TIMEOUTS[_choice(ctx, "timeout", _TIMEOUTS)]
    return SIZES[_choice(ctx, "size", SIZES)]


def _choice(ctx: Context, name: str, known: Mapping[str, int]) -> str:
    given = ctx.text(name)
    if given not in known:
        words = ", ".join(f'"{word}"' for word in known)
        raise RuleFault(f'no test has `{name} = "{given}"`', hint=f"one of {words}", attribute=name)
    return given


def _shards(ctx: Context) -> int:
    count = ctx.number("shard_count")
    if not -1 <= count <= _MOST_SHARDS:
        hint = f"give it from 1 to {_MOST_SHARDS}"
        message = f"it cannot be split over {count} shards"
        raise RuleFault(message, hint=hint, attribute="shard_count")
    return max(count, 1)


def cxx_test(ctx: Context) -> Analysed:
    """`cxx_test`: a native program."""
    return replace(cxx.binary(ctx), test=info(ctx, "cc"))


def sh_test(ctx: Context) -> Analysed:
    """`sh_test`: a script."""
    return replace(shell.binary(ctx), test=info(ctx, "sh"))


def build_test(ctx: Context) -> Analysed:
    """`build_test`: passes by being made, as its targets must be before."""
    built: list[Artifact] = []
    for target in ctx.deps("targets"):
        built += [file for _, file in target.files]
        if target.cxx is None:  # of a C++ library the shared form too is made for who loads it
            built += [file for part in ctx.runtime_closure(target) for file in part.own.values()]
    name = ctx.program_name
    return Analysed(
        ctx.label,
        own={name: Literal(b"#!/bin/sh\n", executable=True)},
        runnable=Runnable(name),
        test=replace(info(ctx, "build"), built=tuple(dict.fromkeys(built))),
    )


def _rule(
    name: str,
    attributes: Mapping[str, Attribute],
    implementation: Callable[[Context], Analysed],
    aliases: Mapping[str, str],
    doc: str,
    *names: str,
) -> Rule:
    return Rule(name, attributes, implementation, aliases, names, doc)


RULES = (
    _rule(
        "cxx_test",
        {
            **cxx.BINARY,
            **TEST,
            "framework": Attribute(Kind.ANY),
            "use_default_test_main": Attribute(Kind.ANY),
        },
        cxx_test,
        cxx.ALIASES,
        "A C or C++ program that tests: with GoogleTest, or by its exit code.",
        "cc_test",
    ),
    _rule(
        "sh_test",
        {**shell.SCRIPTS, **TEST},
        sh_test,
        {"data": "resources", "test": "main"},
        "A script that tests.",
    ),
    _rule(
        "build_test",
        {"targets": Attribute(Kind.LABEL_LIST, doc="what is to be built"), **TEST},
        build_test,
        {},
        "A test that passes once its targets are built.",
    ),
)
