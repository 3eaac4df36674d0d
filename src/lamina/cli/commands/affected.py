"""`lamina affected`: list the targets whose result a change under version control can touch."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, querying
from lamina.cli.session import Options, Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.faults import Fault


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser, default="//...")
    parser.add_argument(
        "--since", default="", metavar="REV",
        help="the commit to compare files with, uncommitted edits included (default: the last);"
        " `REV...` is where the history parted from REV",
    )  # fmt: skip
    parser.add_argument(
        "--merge-base", action="store_true", help="compare with where the history parted from REV"
    )
    parser.add_argument("--tests", action="store_true", help="tests alone")
    parser.add_argument(
        "--because", action="store_true", help="after each label a changed file that touches it"
    )
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="answer in spite of faults in BUILD files"
    )
    querying.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the targets."""
    with Session(Options(jobs=1)) as session, tempfile.TemporaryDirectory() as scratch:
        history = _History(session, args.since, merge_base=args.merge_base)
        question = querying.Question(session, keep_going=True)
        chosen = _chosen(question, session, args.patterns)
        causes = _causes(question, chosen, history, Path(scratch))
        skipped = _faults(question, keep_going=args.keep_going)
        _show(question, _wanted(question, causes, chosen, tests=args.tests), causes, args)
    return querying.INCOMPLETE if skipped else 0


class _History:
    """What version control knows of a workspace, compared with one commit."""

    def __init__(self, session: Session, revision: str, *, merge_base: bool) -> None:
        """Raises UserError where there is no version control, or no such commit."""
        from lamina.build import past
        from lamina.linux import vcs

        self._workspace = session.workspace
        found = vcs.find(session.root)
        if found is None:
            raise UserError(
                f"`{session.root}` is under neither git nor Mercurial",
                hint="`git init`, and commit what there is",
            )
        self._repository = found
        name = revision.removesuffix("...") or ("HEAD" if found.tool == "git" else ".")
        self._commit = vcs.commit_of(found, name)
        if merge_base or revision.endswith("..."):
            self._commit = vcs.common_ancestor(found, self._commit)
        changes = vcs.changes(found, self._commit)
        self.difference = past.difference(self._workspace, found.folder, changes)

    def content(self, path: str) -> bytes:
        """What a file of the workspace held."""
        from lamina.linux import vcs

        file = Path(self._workspace.locate(path)).relative_to(self._repository.folder)
        return vcs.content(self._repository, self._commit, file.as_posix())


def _chosen(question: querying.Question, session: Session, patterns: list[str]) -> frozenset[int]:
    """The targets among which to look."""
    chosen: set[int] = set()
    for text in patterns:
        pattern = session.pattern(text)
        if pattern.subtract:
            chosen = {n for n in chosen if not pattern.matches(question.graph.labels[n])}
        else:
            chosen |= question.words.vertices(text)
    return frozenset(chosen)


def _causes(
    question: querying.Question, chosen: frozenset[int], history: _History, scratch: Path
) -> Mapping[int, str]:
    from lamina.build import past
    from lamina.build.affected import affected

    graph, difference = question.graph, history.difference
    vertices = frozenset(graph.closure(chosen))
    before = past.loader(graph.loader.workspace, difference, history.content, scratch)
    return affected(graph, vertices, difference, before)


def _faults(question: querying.Question, *, keep_going: bool) -> list[Fault]:
    """What cannot be loaded; raises FaultReport unless that is to be passed by."""
    from lamina.build.faults import FaultReport

    broken = [fault for report in question.graph.broken.values() for fault in report.faults]
    faults = list(dict.fromkeys([*question.words.skipped, *broken]))
    if faults and not keep_going:
        raise FaultReport(faults)
    querying.tell(faults)
    return faults


def _wanted(
    question: querying.Question, causes: Mapping[int, str], chosen: frozenset[int], *, tests: bool
) -> list[int]:
    from lamina.build.query.choices import is_test

    rule = question.graph.rule
    return [
        number for number in causes if number in chosen and (not tests or is_test(rule(number)))
    ]


def _show(
    question: querying.Question,
    found: list[int],
    causes: Mapping[int, str],
    args: argparse.Namespace,
) -> None:
    from lamina.build.query.evaluate import Answer

    labels = question.graph.labels
    if args.because and querying.form(args) == "label":
        for number in sorted(found, key=labels.__getitem__):
            output.data(f"{labels[number]}  {causes[number]}")
        return
    querying.show(Answer(found, False, [], []), question.graph, args, causes)
