"""`python -m bench application`: a large application as layers, as lamina's image, by Docker."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import machine, report
from bench.application import files, prepared, ways
from bench.application.files import SCENARIOS, STACKS, Application, Stack
from bench.application.ways import DOCKER, Way
from bench.lamina import Lamina
from bench.measure import SIZE, Row, Table
from tests.engines import servers

WORD = "application"
_MADE = "until it is in the registry"

Values = dict[tuple[str, str, str], list[float]]  # by scenario, figure and way


def main(words: Sequence[str]) -> int:
    """Measure, and print a table of seconds and one of bytes for each scenario."""
    args = _parser().parse_args(words)
    stack = prepared.stack(args.stack, args.torch)
    # Sockets want a short path.
    if args.folder:
        Path(args.folder).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="lamina-bench-", dir=args.folder or "/tmp"))
    try:
        found = machine.describe(folder)
        for name, value in found.items():
            print(f"{name:11} {value}")
        with _ways(folder, stack) as chosen:
            tables = _tables(stack, chosen, _measured(chosen, args.rounds))
    finally:
        servers.unmount_below(folder)
        shutil.rmtree(folder)
    for table in tables:
        print(f"\n{report.text(table)}")
    print(f"\nload at the end {machine.load()}")
    if args.json:
        document = {"machine": found, "tables": [report.document(table) for table in tables]}
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench application", description=__doc__)
    parser.add_argument("--stack", choices=STACKS, default="torch", help="what it is built on")
    parser.add_argument("--torch", default="", metavar="REQUIREMENT", help="as `torch==2.13.0+cpu`")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--folder", type=Path, help="where to put all files; a short path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    return parser


@contextmanager
def _ways(folder: Path, stack: Stack) -> Iterator[list[Way]]:
    """All that can be tried here, ready to begin; why others cannot is told."""
    wheels = prepared.wheels(folder / "wheels", stack)

    def application(name: str) -> Application:
        return Application(folder / name, stack, wheels)

    with ExitStack() as ends:
        registry = ends.enter_context(servers.registry(folder))
        found: list[Way] = [
            ways.Layers(Lamina(folder / "layers.store"), registry, application("layers"))
        ]
        try:
            docker = ends.enter_context(servers.docker(folder, prepared.client()))
        except servers.Absent as absent:
            print(f"no image is measured: {absent}")
            yield found
            return
        base = prepared.base(docker, folder, stack)
        store = Lamina(folder / "image.store")
        found.append(ways.Image(store, docker, registry, application("image"), base))
        found.append(ways.Docker(docker, registry, application("docker")))
        yield found


def _measured(chosen: Sequence[Way], rounds: int) -> Values:
    """Every way does each scenario in each round, another one first in each.

    What was made is run in the first round, and must print what the files say.
    """
    found: Values = {}
    for number in range(rounds):
        first = number % len(chosen)
        for scenario in SCENARIOS:
            for way in (*chosen[first:], *chosen[:first]):
                print(f"\rround {number + 1}: {scenario}, {way.name} ", end="", file=sys.stderr)
                if scenario == files.FIRST:
                    way.reset()
                way.application.edit(scenario, number + 1)
                seconds = way.make(requirement=scenario == files.REQUIREMENT)
                found.setdefault((scenario, _MADE, way.name), []).append(seconds)
                found.setdefault((scenario, SIZE, way.name), []).append(way.shipped())
                if number == 0:
                    _check(way)
    print(file=sys.stderr)
    return found


def _check(way: Way) -> None:
    answer, wanted = way.answer(), way.application.answer
    if answer is not None and answer != wanted:
        raise RuntimeError(f"{way.name}: the program prints `{answer}`, not `{wanted}`")


def _tables(stack: Stack, chosen: Sequence[Way], values: Values) -> list[Table]:
    titles = {_MADE: "{}: {}", SIZE: "{}: {}, to ship"}
    return [
        Table(
            title.format(stack.name, scenario),
            figure,
            tuple(Row(way.name, tuple(values[scenario, figure, way.name])) for way in chosen),
            (DOCKER,),
        )
        for scenario in SCENARIOS
        for figure, title in titles.items()
    ]
