"""`python -m bench starlark FOLDER`: Starlark's public conformance files, read as `.bzl` files.

In a file chunks stand between lines of `---`, each evaluated for itself. `### REGEX` in a chunk
says that it ends with an error, and what its message has; a false `assert_eq` or `assert_` does not
end it. So are the files of Bazel's own test of its evaluator, in its source below
`src/test/java/net/starlark/java/eval/testdata`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import starlark

from lamina.build.rule import registry
from lamina.build.starlark_globals import Interpreter

_FORK = multiprocessing.get_context("fork")
_PARTED = "\n---\n"
_EXPECTED = re.compile(r"###[ \t]*(.*)")
_ASSERTS = "asserts.bzl"
_LOAD = f'load("{_ASSERTS}", "assert_", "assert_eq")\n'
_TEXT = """
def assert_eq(x, y):
    if x != y:
        _fault("`{}` is not `{}`".format(repr(x), repr(y)))

def assert_(condition, message = "not true"):
    if not condition:
        _fault(message)
"""


class Result(Enum):
    """What became of a chunk."""

    PASSED = "passed"
    WORDED = "passed but for the words of the error"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file, and the line where it starts."""

    file: str
    line: int
    text: str

    @property
    def expected(self) -> list[str]:
        """What messages of its error have, one of them at least."""
        return [found.strip() for found in _EXPECTED.findall(self.text)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a chunk, and why if it is not all as it must be."""

    chunk: Chunk
    result: Result
    reason: str = ""


def main(words: list[str]) -> int:
    """Run the files of a folder; print what failed, and how many passed."""
    parser = argparse.ArgumentParser(prog="python -m bench starlark", description=__doc__)
    parser.add_argument("folder", type=Path, help="that has files `*.star`")
    folder: Path = parser.parse_args(words).folder
    files = sorted(folder.rglob("*.star"))
    if not files:
        parser.error(f"no file `*.star` in or below `{folder}`")
    outcomes = [
        run(chunk)
        for file in files
        for chunk in chunks(file.relative_to(folder).as_posix(), file.read_text(encoding="utf-8"))
    ]
    print(report(outcomes))
    return 1 if any(outcome.result is Result.FAILED for outcome in outcomes) else 0


def chunks(file: str, text: str) -> Iterator[Chunk]:
    """The chunks of a file, in order."""
    line = 1
    for part in text.split(_PARTED):
        yield Chunk(file, line, part)
        line += part.count("\n") + _PARTED.count("\n")


def run(chunk: Chunk) -> Outcome:
    """Evaluate a chunk in a process of its own, which the interpreter may bring down."""
    receiver, sender = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=lambda: sender.send(evaluate(chunk)))
    child.start()
    sender.close()
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        child.join()
        outcome = Outcome(chunk, Result.FAILED, f"the interpreter ended with {child.exitcode}")
    child.join()
    receiver.close()
    return outcome


def evaluate(chunk: Chunk) -> Outcome:
    """Evaluate a chunk as a `.bzl` file of its own."""
    interpreter = Interpreter(registry())
    faults: list[str] = []
    module = starlark.Module()
    module.add_callable("_fault", faults.append)
    interpreter.evaluate(module, _ASSERTS, _TEXT)
    asserts = module.freeze()
    loader = starlark.FileLoader(lambda _name: asserts)
    message = None
    try:
        interpreter.evaluate_bzl(chunk.file, _LOAD + chunk.text, loader)
    except starlark.StarlarkError as error:
        message = interpreter.read(error).message
    return judge(chunk, message, faults)


def judge(chunk: Chunk, message: str | None, faults: list[str]) -> Outcome:
    """Whether the error of a chunk, if it had one, is that which it was to have."""
    if faults:
        return Outcome(chunk, Result.FAILED, "; ".join(faults))
    if message is None:
        missing = f"no error, but `{chunk.expected[0]}` is expected" if chunk.expected else ""
        return Outcome(chunk, Result.FAILED if missing else Result.PASSED, missing)
    if not chunk.expected:
        return Outcome(chunk, Result.FAILED, message)
    if any(re.search(pattern, message) for pattern in chunk.expected):
        return Outcome(chunk, Result.PASSED)
    reason = f"`{chunk.expected[0]}` is expected, and it says `{message}`"
    return Outcome(chunk, Result.WORDED, reason)


def report(outcomes: Iterable[Outcome]) -> str:
    """What is not as it must be, a line each, and the counts."""
    outcomes = list(outcomes)
    lines = []
    for result in (Result.WORDED, Result.FAILED):
        found = [outcome for outcome in outcomes if outcome.result is result]
        lines += [f"{result.value}:"] if found else []
        for outcome in found:
            reason = " ".join(outcome.reason.split())
            lines.append(f"  {outcome.chunk.file}:{outcome.chunk.line}: {reason}")
    counts = Counter(outcome.result for outcome in outcomes)
    counted = ", ".join(f"{counts[result]} {result.value}" for result in Result if counts[result])
    return "\n".join([*lines, f"{len(outcomes)} chunks: {counted}"])
