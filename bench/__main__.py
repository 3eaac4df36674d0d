"""`python -m bench`: measure, and print medians and ratios; docs/benchmarks.md says what of."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import (
    conformance,
    forms,
    grouping,
    imports,
    installed,
    layers,
    machine,
    mount,
    report,
    start,
)  # fmt: skip
from bench.application import command as application
from bench.build import command as build
from bench.cluster import command as cluster
from bench.compat import command as compat
from bench.lamina import Lamina
from bench.measure import Table
from bench.remote import command as remote
from bench.running import command as running
from bench.scale import FULL, QUICK, SMOKE
from bench.transfer import command as transfer

_SUITES = {
    "start": start.suite,
    "mount": mount.suite,
    "imports": imports.suite,
    "layers": layers.suite,
    "forms": forms.suite,
}
_ALONE = {
    application.WORD: application.main,
    cluster.WORD: cluster.main,
    "compat": compat.main,
    "starlark": conformance.main,
    grouping.WORD: grouping.main,
    installed.WORD: installed.main,
    remote.WORD: remote.main,
    running.WORD: running.main,
    "transfer": transfer.main,
}


def main() -> None:
    """Run the suites that were asked for; what is measured beside Bazel has options of its own."""
    if sys.argv[1:2] and sys.argv[1] in build.WORDS:
        sys.exit(build.main(sys.argv[1:]))
    if sys.argv[1:2] and sys.argv[1] in _ALONE:
        sys.exit(_ALONE[sys.argv[1]](sys.argv[2:]))
    args = _parser().parse_args()
    scale = SMOKE if args.smoke else QUICK if args.quick else FULL
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="lamina-bench-", dir=args.folder) as temporary:
        folder = Path(temporary)
        found = machine.describe(folder)
        for name, value in found.items():
            print(f"{name:11} {value}")
        for name in args.suites or _SUITES:
            place = folder / name
            place.mkdir()
            for table in _SUITES[name](Lamina(place / "store"), place, scale):
                print(f"\n{report.text(table)}", flush=True)
                tables.append(table)
    if args.markdown:
        print(f"\n{forms.markdown(tables)}")
    found["load at the end"] = machine.load()
    print(f"\nload at the end {found['load at the end']}")
    if args.json:
        document = {"machine": found, "tables": [report.document(table) for table in tables]}
        args.json.write_text(json.dumps(document, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    help_ = f"of: {', '.join(_SUITES)} (and, each alone: {', '.join((*build.WORDS, *_ALONE))})"
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=help_)
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="fewer rounds, smaller files")
    scale.add_argument("--smoke", action="store_true", help="only to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    help_ = "print what `forms` measures of layers as a table for docs/packages.md too"
    parser.add_argument("--markdown", action="store_true", help=help_)
    parser.add_argument(
        "--folder", type=Path, help="where to put what is measured (default: the temporary folder)"
    )
    return parser


if __name__ == "__main__":
    main()
