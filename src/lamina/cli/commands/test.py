"""`lamina test`: build tests, run them in the sandbox, and tell what became of them."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.build import record
from lamina.build.testing.results import Attempt, Result, summary
from lamina.cli import arguments, output
from lamina.cli.session import Session
from lamina.core.classes import asdict, replace
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.testing.selection import Filters
    from lamina.build.testing.trials import Settings, Trial
    from lamina.cli.testing import Run
    from lamina.core.errors import LaminaError

_OUTPUT = ("summary", "errors", "all", "streamed")
_SIZES = 4  # that `--test-timeout` may tell apart


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser)
    _add_choice(parser.add_argument_group("which tests"))
    _add_running(parser.add_argument_group("how they run"))
    _add_showing(parser.add_argument_group("what is shown of them"))
    arguments.add_build(parser)
    arguments.add_json(parser)


def _add_choice(group: Any) -> None:
    group.add_argument(
        "--test-filter", default="", metavar="TEXT",
        help="test cases: for GoogleTest `Suite.Case*`, for pytest and unittest as of `-k`",
    )  # fmt: skip
    for name, words in (
        ("tag", "with one of these tags, `-` in front for without"),
        ("size", "of these sizes"),
        ("lang", "of these languages: `py`, `cc`, `sh`"),
    ):
        group.add_argument(
            f"--test-{name}-filters", action="append", default=[], metavar="WORD,…", help=words
        )
    group.add_argument("--include", action="append", default=[], metavar="TAG", help="as above")
    group.add_argument("--exclude", action="append", default=[], metavar="TAG", help="without it")
    group.add_argument(
        "--build-tests-only", action="store_true", help="do not build what is no test"
    )


def _add_running(group: Any) -> None:
    group.add_argument(
        "--test-arg", action="append", default=[], metavar="WORD", help="argument for each test"
    )
    group.add_argument(
        "--test-env", action="append", default=[], metavar="NAME[=VALUE]",
        help="variable for each test; without a value that of this environment",
    )  # fmt: skip
    group.add_argument(
        "--runs-per-test",
        type=arguments.count("--runs-per-test"),
        default=1,
        metavar="N",
        help="run each so often",
    )
    group.add_argument(
        "--flaky-attempts", "--flaky-test-attempts", type=arguments.count("--flaky-attempts"),
        default=1, metavar="N",
        help="try each up to so often; those that are `flaky` are tried three times anyway",
    )  # fmt: skip
    group.add_argument(
        "--test-timeout", type=_timeouts, default=(), metavar="S[,S,S,S]",
        help="seconds a test has, or those of the four sizes",
    )  # fmt: skip
    group.add_argument(
        "--nocache-test-results", "--no-cache-test-results", action="store_true",
        help="run tests that have passed again",
    )  # fmt: skip
    group.add_argument("--run-under", default="", metavar="COMMAND", help="run tests by a command")
    group.add_argument(
        "--coverage",
        action="store_true",
        help="tell which lines ran, in `lamina-out/coverage.lcov`",
    )


def _add_showing(group: Any) -> None:
    group.add_argument(
        "--test-output", choices=_OUTPUT, default="errors", metavar="|".join(_OUTPUT),
        help="of which tests the log is shown (default: errors)",
    )  # fmt: skip
    group.add_argument("--junit-xml", metavar="FILE", help="write a report of all test cases")


def run(args: argparse.Namespace) -> int:
    """Run the tests; 1 if one of them failed or could not be built."""
    begun = time.perf_counter()
    options = replace(arguments.options(args), keep_going=True)
    if args.coverage:
        from lamina.cli import coverage

        options = replace(options, flags=(*options.flags, *coverage.FLAGS))
    with Session(options) as session:
        known = _remembered(session, args)
        errors: Sequence[LaminaError] = ()
        if known is not None:
            results = known
        else:
            results, errors = _healed(session, args)
        passed = not errors and all(result.passed for result in results)
        session.logbook.result = "succeeded" if passed else "failed"
        session.settle()
    _report(results, errors, args)
    if not args.json:
        output.note(f"{summary(results)}; {time.perf_counter() - begun:.2f} s")
    return 0 if passed else 1


def _healed(
    session: Session, args: argparse.Namespace
) -> tuple[list[Result], Sequence[LaminaError]]:
    """The same as `_test`; again from the beginning where the store lacks what was known."""
    from lamina.cli import incremental

    def again() -> tuple[list[Result], Sequence[LaminaError]]:
        session.forget_engine()
        return _test(session, args)

    return incremental.healed(session, lambda: _test(session, args), again)


def _test(session: Session, args: argparse.Namespace) -> tuple[list[Result], Sequence[LaminaError]]:
    from lamina.cli import incremental, testing
    from lamina.cli.publish import Publisher

    streamed = args.test_output == "streamed"
    chosen = testing.choose(session, args.patterns, _filters(args))
    settings = _settings(args)
    if args.coverage:
        from lamina.cli import coverage

        settings = coverage.prepare(session, settings, chosen.tests)
    run = testing.Run(
        session,
        settings,
        attempts=args.flaky_attempts,
        alone=streamed,
        tell=_teller(args),
        followed=streamed,
    )
    if args.build_tests_only:
        chosen = replace(chosen, others=())
    incremental.recall(session, _key(session, args))
    results = run.run(chosen)
    try:
        session.check_complete()
    except UserError as error:
        run.errors.append(error)
    incremental.take_down(session, _key(session, args))
    made: dict[str, bytes] = {}
    with Publisher(session) as publisher:
        results = testing.publish(run, results, publisher)
        if args.coverage:
            coverage.publish(run, publisher, quiet=args.json)
    if args.junit_xml:
        from lamina.build.testing import junit

        made[args.junit_xml] = junit.merged(testing.reports(run))
    _write(made)
    if not run.errors and all(result.status == "PASSED" for result in results) and not streamed:
        _remember(session, args, run, results, publisher.outputs)
    return results, run.errors


def _write(made: Mapping[str, bytes]) -> None:
    from pathlib import Path

    for name, data in made.items():
        path = Path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise UserError(f"cannot write `{name}`: {error.strerror}") from error


def _settings(args: argparse.Namespace) -> Settings:
    from lamina.build.testing.trials import Settings

    return Settings(
        runs=args.runs_per_test,
        chosen=args.test_filter,
        arguments=tuple(args.test_arg),
        environment=_environment(args.test_env),
        timeouts=args.test_timeout,
        remembered=not args.nocache_test_results,
        under=args.run_under,
    )


def _environment(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE`, and `NAME` for what this process has."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise UserError(f"`--test-env {word}` names no variable", hint="write `NAME=VALUE`")
        if equals or name in os.environ:
            found[name] = value if equals else os.environ[name]
    return tuple(found.items())


def _filters(args: argparse.Namespace) -> Filters:
    from lamina.build.testing.selection import Filters, words

    excluded = [f"-{word}" for word in words(args.exclude)]
    return Filters(
        (*words(args.test_tag_filters), *words(args.include), *excluded),
        words(args.test_size_filters),
        words(args.test_lang_filters),
    )


# What is remembered.


def _key(session: Session, args: argparse.Namespace) -> str:
    """All that the result depends on, apart from files."""
    shown = ("json", "quiet", "verbose", "jobs", "test_output", "junit_xml", "keep_going")
    asked = {name: value for name, value in sorted(vars(args).items()) if name not in shown}
    return session.key("test", repr(asked), repr(_environment(args.test_env)))


def _remembered(session: Session, args: argparse.Namespace) -> list[Result] | None:
    """The results of before, where all tests have passed and nothing has changed."""
    if args.nocache_test_results or args.junit_xml or args.test_output in ("all", "streamed"):
        return None
    known = record.load(session.state, _key(session, args), session.root)
    if known is None:
        return None
    inherited: Mapping[str, str | None] = known["inherited"]
    if any(os.environ.get(name) != value for name, value in inherited.items()):
        return None
    results: list[dict[str, Any]] = known["results"]
    return [_cached(result) for result in results]


def _cached(result: dict[str, Any]) -> Result:
    runs = [[Attempt(**{**each, "cached": True}) for each in known] for known in result["runs"]]
    return Result(result["label"], tuple(tuple(known) for known in runs))


def _remember(
    session: Session,
    args: argparse.Namespace,
    run: Run,
    results: Sequence[Result],
    made: set[str],
) -> None:
    infos = [run.analysed[label].test for label in run.done]
    if args.nocache_test_results or not all(info and info.remembered for info in infos):
        return
    names = {name for info in infos if info for name in info.inherited}
    state = record.capture(session.root, session.seen(made))
    document = {
        "results": [asdict(result) for result in results],
        "inherited": {name: os.environ.get(name) for name in sorted(names)},
    }
    key = _key(session, args)
    record.save(session.state, key, state, document, session.store.scratch)


# What is shown.


def _teller(args: argparse.Namespace) -> Any:
    """What is told of an attempt as soon as it is over."""

    def tell(trial: Trial, attempt: Attempt, log: bytes) -> None:
        shown = args.test_output == "all" or (args.test_output == "errors" and attempt.failure)
        if not shown or args.json:
            return
        part = f" ({trial.folder.replace('/', ', ').replace('_', ' ')})" if trial.folder else ""
        head = f"FAILED: {attempt.reason}" if attempt.failure else "PASSED"
        text = log.decode(errors="replace").rstrip()
        output.note(f"==== {trial.label}{part} {head}")
        output.note(f"{text}\n====" if text else "==== it printed nothing")

    return tell


def _report(
    results: Sequence[Result], errors: Sequence[LaminaError], args: argparse.Namespace
) -> None:
    if args.json:
        output.document(_document(results, errors))
        return
    width = max((len(result.label) for result in results), default=0)
    for result in results:
        output.data(f"{result.label.ljust(width)}  {result.words()}")
        for attempt in result.failed:
            output.data(f"    {attempt.log}")
    for error in errors:
        output.error(error, as_json=False)


def _document(results: Sequence[Result], errors: Sequence[LaminaError]) -> dict[str, Any]:
    tests = [
        {
            "label": result.label,
            "status": result.status,
            "cached": result.cached,
            "seconds": result.seconds,
            "runs": [[asdict(attempt) for attempt in attempts] for attempts in result.runs],
        }
        for result in results
    ]
    return {"tests": tests, "errors": [error.message for error in errors]}


def _timeouts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    are_numbers = all(part.removeprefix("-").isdecimal() for part in parts)
    if len(parts) not in (1, _SIZES) or not are_numbers:
        raise UserError(
            f"`--test-timeout` takes seconds, not `{text}`", hint="one number, or four with commas"
        )
    return tuple(int(part) for part in parts)
