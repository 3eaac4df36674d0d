"""`python -m bench installed`: importing large distributions from PyPI, through the stack."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import machine, report
from bench.application import prepared
from bench.application.files import STACKS, TARGET, Application
from bench.application.ways import lock
from bench.imports import UNPACKED, cold, drop_caches
from bench.lamina import Lamina, environment, to_the_end
from bench.measure import Case, Table, measure

WORD = "installed"
_PLAIN = "plain folder"


def main(words: Sequence[str]) -> int:
    """Measure from the program's start to its end, in memory and cold, and print tables."""
    args = _parser().parse_args(words)
    stack = prepared.stack(args.stack, args.torch)
    with tempfile.TemporaryDirectory(prefix="lamina-bench-", dir=args.folder) as temporary:
        folder = Path(temporary)
        found = machine.describe(folder)
        for name, value in found.items():
            print(f"{name:11} {value}")
        application = Application(folder / "files", stack, prepared.wheels(folder / "w", stack))
        cases = _cases(Lamina(folder / "store"), application)
        title = f"start of a program that imports {', '.join(stack.imported)}"
        tables = measure(f"{title}, all in memory", cases, args.rounds, peers=(_PLAIN,))
        if drop_caches():
            again = [Case(case.name, partial(cold, case.once)) for case in cases]
            tables += measure(f"{title}, cold", again, args.rounds, peers=(_PLAIN,))
    for table in tables:
        print(f"\n{report.text(table)}")
    print(f"\nload at the end {machine.load()}")
    if args.json:
        _write(args.json, found, tables)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m bench {WORD}", description=__doc__)
    parser.add_argument("--stack", choices=STACKS, default="scipy", help="what is imported")
    parser.add_argument("--torch", default="", metavar="REQUIREMENT", help="as `torch==2.13.0+cpu`")
    parser.add_argument("--rounds", type=int, default=7, help="(default: 7)")
    parser.add_argument("--folder", type=Path, help="where to put all files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    return parser


def _cases(lamina: Lamina, application: Application) -> list[Case]:
    """The plain folder is what lamina makes of the same package."""
    root = application.folder
    lock(lamina, application)
    made = lamina.package(TARGET, root)
    plain = root.with_name("plain")
    lamina("package", "--quiet", "--format", "dir", "--output", str(plain), TARGET, cwd=root)
    (launcher,) = plain.rglob("main")
    cases = [Case(_PLAIN, partial(to_the_end, [str(launcher)], root, environment()))]
    ways: dict[str, tuple[str, ...]] = {"lamina exec": ()}  # as it is the second time and later
    if os.geteuid() == 0:
        ways["exec --driver fuse"] = ("--driver", "fuse")
    # What the last start came to is kept in the store: of starts with the same words.
    stores = {word: _copy(lamina, word) for word in UNPACKED}
    for way, options in ways.items():
        for word, more in UNPACKED.items():
            own = stores[word]
            argv = [*own.command, "exec", *options, f"{made['name']}@{made['digest']}"]
            around = {**own.environment, "LAMINA_UNPACK": word}
            cases.append(Case(f"{way}{more}", partial(to_the_end, argv, root, around)))
    return cases


def _copy(lamina: Lamina, word: str) -> Lamina:
    """The same with a store for itself."""
    store = lamina.store.with_name(f"{lamina.store.name}-{word}")
    subprocess.run(["cp", "-a", lamina.store, store], check=True)
    return replace(lamina, store=store)


def _write(file: Path, found: dict[str, str], tables: Sequence[Table]) -> None:
    document = {"machine": found, "tables": [report.document(table) for table in tables]}
    file.write_text(json.dumps(document, indent=1) + "\n")
