"""`lamina layers`: show how a package is cut into layers, and what other ways would ship."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import arguments, output, pipeline
from lamina.cli.pipeline import Packaged
from lamina.cli.session import Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.cli.surveying import Shown
    from lamina.packaging.replay import Shipped

_NAMED = 8  # targets of a layer that are told in a picture


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    arguments.add_grouping(parser)
    parser.add_argument("-o", "--out", default="", metavar="FILE", help="draw them: an SVG")
    parser.add_argument(
        "--replay", type=_steps, default=0, metavar="N",
        help="what each way of grouping ships for the last N commits, learnt from those before",
    )  # fmt: skip
    arguments.add_build(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show the layers, or what they would have shipped."""
    from lamina.cli import surveying

    with Session(arguments.options(args)) as session:
        made = pipeline.survey(session, args.target)
        shipped = surveying.replayed(session, made, args.replay) if args.replay else []
        shown = surveying.shown(session, made)
    if args.out:
        _draw(made, shown, args.out)
    if args.json:
        output.document(_document(made, shown, shipped))
    elif shipped:
        _tell_shipped(shipped)
    elif not args.out:
        _tell(shown)
    return 0


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"`--replay` takes a number of commits from 1 upwards, not `{text}`")
    return int(text)


def _tell(shown: Sequence[Shown]) -> None:
    output.table(
        ("layer", "targets", "size", "changed in", "a commit"),
        [
            (
                each.layer.name,
                str(len(each.layer.held)),
                output.size(each.layer.blob.size),
                f"{each.churn * 100:.1f} %",
                output.size(round(each.expected)),
            )
            for each in shown
        ],
        right=(1, 2, 3, 4),
    )
    total = sum(each.expected for each in shown)
    commits = output.plural(shown[0].commits, "commit")
    output.note(
        f"{output.plural(len(shown), 'layer')}; by the last {commits} "
        f"one ships {output.size(round(total))} on average"
    )


def _tell_shipped(shipped: Sequence[Shipped]) -> None:
    base = shipped[0]
    output.table(
        ("grouping", "layers", "bytes a commit", "median", "layers sent", "ratio"),
        [
            (
                each.name,
                str(each.layers),
                output.size(round(each.mean)),
                output.size(round(each.median)),
                f"{each.blobs:.1f}",
                f"{each.ratio(base):.2f}",
            )
            for each in shipped
        ],
        right=(1, 2, 3, 4, 5),
    )


def _draw(made: Packaged, shown: Sequence[Shown], file: str) -> None:
    from lamina.packaging import picture

    boxes = [
        picture.Box(
            title=each.layer.name,
            size=each.layer.blob.size,
            churn=each.churn,
            lines=(
                output.size(each.layer.blob.size),
                f"changed in {each.churn * 100:.1f} % of commits",
                *each.layer.held[: -_NAMED - 1 : -1],
            ),
            parts=each.sizes,
        )
        for each in shown
    ]
    found = made.package
    title = f"{found.name}: {output.plural(len(boxes), 'layer')}, {output.size(found.size)}"
    try:
        Path(file).write_text(picture.draw(title, boxes), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write `{file}`: {error.strerror}") from error
    output.note(f"written: {file}")


def _document(
    made: Packaged, shown: Sequence[Shown], shipped: Sequence[Shipped]
) -> dict[str, object]:
    return {
        "name": made.package.name,
        "version": made.package.version,
        "digest": made.digest.oci,
        "layers": [
            {
                "label": each.layer.label,
                "labels": list(each.layer.held),
                "digest": each.layer.blob.oci,
                "size": each.layer.blob.size,
                "churn": each.churn,
                "bytes_per_commit": each.expected,
            }
            for each in shown
        ],
        "commits": shown[0].commits,
        "replay": [
            {
                "grouping": each.name,
                "layers": each.layers,
                "bytes_per_commit": each.mean,
                "median": each.median,
                "layers_per_commit": each.blobs,
            }
            for each in shipped
        ],
    }
