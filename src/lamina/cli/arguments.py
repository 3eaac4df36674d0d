"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.cli.session import Options


def add_build(parser: argparse.ArgumentParser) -> None:
    """How to build."""
    parser.add_argument(
        "-j", "--jobs", type=_jobs, default=os.cpu_count() or 1, metavar="N",
        help="actions at once (default: the number of cores)",
    )  # fmt: skip
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="go on with what does not depend on faults"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the whole command of a failed action"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Whether data is for programs."""
    parser.add_argument("--json", action="store_true", help="print data and errors as JSON")


def add_driver(parser: argparse.ArgumentParser) -> None:
    """How layers are mounted."""
    parser.add_argument(
        "--driver", metavar="kernel|fuse", type=_driver,
        help="how layers are mounted (default: what `lamina doctor` says)",
    )  # fmt: skip


def add_target(parser: argparse.ArgumentParser) -> None:
    """One target."""
    parser.add_argument("target", metavar="TARGET", help="a label: `//folder:name` or `:name`")
    _complete_labels(parser)


def add_patterns(parser: argparse.ArgumentParser, *, default: str = "") -> None:
    """Any number of target patterns."""
    parser.add_argument(
        "patterns", metavar="PATTERN", nargs="*" if default else "+",
        default=[default] if default else None,
        help="`//folder:name`, `//folder/...`, `:name`; after `--`, `-//folder:name` takes away",
    )  # fmt: skip
    _complete_labels(parser)


def options(args: argparse.Namespace) -> Options:
    """How to build, from parsed arguments."""
    from lamina.cli.session import Options  # `lamina exec` builds nothing, and starts faster

    return Options(args.jobs, args.keep_going, args.verbose, args.quiet)


def _driver(text: str) -> str:
    from lamina.linux import drivers

    return drivers.choose(text).driver


def _jobs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"`--jobs` takes a number from 1 upwards, not `{text}`")
    return int(text)


def _complete_labels(parser: argparse.ArgumentParser) -> None:
    parser._actions[-1].completer = _labels  # type: ignore[attr-defined]


def _labels(prefix: str, **_: Any) -> list[str]:
    """The targets of the workspace that a word may become; argcomplete shows no errors."""
    from lamina.cli.session import Options, Session

    with Session(Options(1, quiet=True)) as session:
        folder = prefix.partition(":")[0].rpartition("/")[0]
        patterns = [f"{folder}/..." if folder.strip("/") else "//..."]
        return [str(label) for label in session.labels(patterns)]
