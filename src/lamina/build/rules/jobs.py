"""Jobs: how a program is run by the scheduler of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed, JobInfo
from lamina.build.rule import Rule
from lamina.core import job, quantity
from lamina.core.errors import UserError
from lamina.core.job import Resources, Spec

T = TypeVar("T")


def job_rule(ctx: Context) -> Analysed:
    """`job`: a binary, and what a scheduler is told of it."""
    label = ctx.label_of("binary")
    assert label is not None
    if ctx.usable(label).runnable is None:
        raise RuleFault(
            f"`{label}` is not a program",
            hint="`binary` takes a `python_binary`, a `cxx_binary` or the like",
            attribute="binary",
        )
    numbers = {
        name: _count(ctx, name)
        for name in ("nodes", "tasks_per_node", "tasks", "cpus", "gpus", "retries")
    }
    spec = Spec(
        arguments=ctx.texts("args"),
        environment=tuple(sorted(ctx.pairs("env"))),
        nodes=numbers["nodes"],
        tasks_per_node=numbers["tasks_per_node"],
        tasks=numbers["tasks"],
        resources=Resources(numbers["cpus"], _read(ctx, "memory", quantity.size), numbers["gpus"]),
        time_limit=_read(ctx, "time_limit", quantity.duration),
        warning=_read(ctx, "warning", quantity.duration),
        retries=numbers["retries"],
        partition=ctx.text("partition"),
        constraint=ctx.text("constraint"),
        exclusive=ctx.flag("exclusive"),
        mounts=ctx.texts("mounts"),
        setup=ctx.texts("setup"),
        array=_array(ctx),
    )
    try:
        job.check(spec)
    except UserError as error:
        raise RuleFault(error.message, hint=error.hint) from error
    return Analysed(ctx.label, runtime=(label,), job=JobInfo(label, spec))


def _count(ctx: Context, name: str) -> int:
    found = ctx.number(name)
    if found < 0:
        raise RuleFault(f"`{name}` is {found}", hint="a number from 0 upwards", attribute=name)
    return found


def _read(ctx: Context, name: str, parse: Callable[[str], int]) -> int:
    text = ctx.text(name)
    try:
        return parse(text) if text else 0
    except UserError as error:
        raise RuleFault(error.message, hint=error.hint, attribute=name) from error


def _array(ctx: Context) -> tuple[str, ...]:
    given = ctx.texts("array")
    parameters = ctx.lists("parameters")
    if given and parameters:
        raise RuleFault(
            "it has both an `array` and `parameters`", hint="give one", attribute="array"
        )
    try:
        return job.product(parameters) or job.elements(given)
    except UserError as error:
        raise RuleFault(error.message, hint=error.hint, attribute="array") from error


RULES = (
    Rule(
        "job",
        {
            "binary": Attribute(Kind.LABEL, required=True, doc="the program"),
            "args": Attribute(Kind.STRING_LIST, doc="its arguments"),
            "env": Attribute(Kind.STRING_DICT, doc="variables of its environment"),
            "nodes": Attribute(Kind.INTEGER, doc="how many machines"),
            "tasks_per_node": Attribute(Kind.INTEGER, doc="processes on each; by default 1"),
            "tasks": Attribute(
                Kind.INTEGER, doc="processes in all, wherever they fit, in place of both"
            ),
            "cpus": Attribute(Kind.INTEGER, doc="processors for each task"),
            "memory": Attribute(Kind.STRING, doc="memory for each task: `4G`"),
            "gpus": Attribute(Kind.INTEGER, doc="GPUs for each task"),
            "time_limit": Attribute(Kind.STRING, doc="`1h30m`, `2d`, `12:00:00`"),
            "warning": Attribute(
                Kind.STRING, doc="how long before the limit tasks get SIGTERM: `60s`"
            ),
            "retries": Attribute(Kind.INTEGER, doc="how often it is started again when it fails"),
            "partition": Attribute(Kind.STRING, doc="the queue; on Kubernetes the namespace"),
            "constraint": Attribute(
                Kind.STRING, doc="what nodes must have: a feature; on Kubernetes `label=value`"
            ),
            "exclusive": Attribute(Kind.BOOLEAN, doc="no other job on the same nodes"),
            "mounts": Attribute(
                Kind.STRING_LIST,
                doc="folders of the nodes: `/data:/data:ro`; on Kubernetes `pvc:CLAIM:/data` too",
            ),
            "setup": Attribute(
                Kind.STRING_LIST, doc="lines of shell that each task runs before the program"
            ),
            "array": Attribute(
                Kind.STRING_LIST,
                doc="a job for each: further arguments; `0-9` are ten without any",
            ),
            "parameters": Attribute(
                Kind.LIST_DICT, doc='the same as options: `{"lr": ["0.1", "0.01"]}`'
            ),
        },
        job_rule,
        doc="A program as a job of a cluster, for `lamina submit`.",
    ),
)
