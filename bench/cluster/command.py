"""`python -m bench cluster`: from an edit to programs that run on every node, through Slurm.

The cluster is a real Slurm whose nodes are namespaces with links of 1 Gbit/s. Beside it, on the
same nodes and links in the same run: Docker, and a compressed archive.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench import machine
from bench.application import files, prepared
from bench.application.files import STACKS, Application, Stack
from bench.cluster import ways
from bench.cluster.ways import Taken, Way
from bench.lamina import Lamina
from bench.report import aligned
from tests.cluster import slurm
from tests.cluster.registry import registry
from tests.cluster.slurm import Slurm
from tests.engines import servers

WORD = "cluster"
SCENARIOS = (files.PROGRAM, files.LOW, files.BELOW)
_RATE = "1gbit"
_MEMORY = 8000  # MiB of each node
_REST = 3.0  # seconds
_GLANCE, _QUIET, _PATIENCE = (
    0.2,
    0.8,
    20.0,
)  # seconds, the share of them with nothing to do, seconds
_SETTINGS = """
[cluster.{name}]
launcher = "slurm"
registry = "{registry}/layers"
plain_http = true
logs = "{logs}"
lamina = "{lamina}"
options = [{options}]
"""

Values = dict[str, dict[str, list[Taken]]]  # by scenario and way


def main(words: Sequence[str]) -> int:
    """Measure, and print a table for each scenario, and one of start-ups."""
    args = _parser().parse_args(words)
    if args.smoke:
        args.stack, args.rounds, args.nodes, args.start = "small", 1, 2, [1]
    if why := slurm.lacks():
        print(f"no cluster can be made here: {why}", file=sys.stderr)
        return 2
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="lamina-bench-", dir=args.folder or "/tmp"))
    folder.chmod(0o755)
    try:
        found = machine.describe(folder)
        for name, value in found.items():
            print(f"{name:11} {value}")
        document = _all(folder, args)
    finally:
        servers.unmount_below(folder)
        shutil.rmtree(folder)
    print(f"\nload at the end {machine.load()}")
    if args.json:
        args.json.write_text(json.dumps({"machine": found, **document}, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench cluster", description=__doc__)
    parser.add_argument("--stack", choices=STACKS, default="torch", help="what it is built on")
    parser.add_argument("--torch", default="", metavar="REQUIREMENT", help="as `torch==2.13.0+cpu`")
    parser.add_argument(
        "--data", type=int, default=0, metavar="MIB",
        help="that the application has of its own, beside its modules (default: none)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--nodes", type=int, default=4, help="of each job (default: 4)")
    parser.add_argument(
        "--start", type=int, nargs="*", default=[1, 2, 4, 8, 16], metavar="N",
        help="how many nodes start what they have (default: 1 2 4 8 16)",
    )  # fmt: skip
    parser.add_argument(
        "--no-server", action="store_true",
        help="each command of lamina starts Python, in place of being a fork of a server",
    )  # fmt: skip
    parser.add_argument("--memory", default="4G", help="of each task (default: 4G)")
    parser.add_argument("--smoke", action="store_true", help="only to see that it works")
    parser.add_argument("--folder", type=Path, help="where to put all files; a short path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    return parser


def _all(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    stack = prepared.stack(args.stack, args.torch)
    if args.data:
        data = (args.data << 20) // files.MODULES
        stack = replace(stack, name=f"{stack.name} and {args.data} MiB of its own", data=data)
    wheels = prepared.wheels(folder / "wheels", stack)
    most = max([args.nodes, *args.start])
    with ExitStack() as ends:
        cluster = ends.enter_context(slurm.cluster(folder / "slurm", most, _RATE, _MEMORY))
        place = ends.enter_context(registry(cluster, folder))
        lamina = _Lamina(folder / "store")
        mine = _mine(folder, args, stack, wheels, place)
        _lock(lamina, mine)
        submitted = ways.Submitted(lamina, cluster, mine, args.nodes, args.memory)
        if not args.no_server:
            submitted.serve()
            ends.callback(submitted.end)
        chosen: list[Way] = [submitted]
        chosen += ends.enter_context(_peers(folder, args, stack, wheels, cluster, place))
        if args.smoke:  # whatever runs beside it
            values = _measured(chosen, SCENARIOS[:1], args.rounds, settle=lambda: None)
        else:
            values = _measured(chosen, SCENARIOS, args.rounds)
        print()
        for scenario, by_way in values.items():
            print(f"\n## {stack.name}, {args.nodes} nodes: {scenario}\n{_table(by_way)}")
        starts = _starts(lamina, cluster, mine, args)
        print(f"\n## Start of a package that each node has\n{_table_of_starts(starts)}")
    return {
        "stack": stack.name,
        "nodes": args.nodes,
        "edits": {
            scenario: {name: [_document(each) for each in taken] for name, taken in by_way.items()}
            for scenario, by_way in values.items()
        },
        "starts": starts,
    }


class _Lamina(Lamina):
    """The submitting side, whose jobs and settings lie beside its store."""

    @property
    def environment(self) -> dict[str, str]:
        homes = {f"XDG_{each}_HOME": str(self.store.parent / each) for each in ("STATE", "CONFIG")}
        return {**super().environment, **homes}


def _mine(
    folder: Path, args: argparse.Namespace, stack: Stack, wheels: Path, place: str
) -> Application:
    made = Application(folder / "layers", stack, wheels, library=True)
    script = Path(sys.executable).with_name("lamina")
    with (made.folder / "lamina.toml").open("a") as file:
        for name, options in (("bench", f'"--nodelist=en[1-{args.nodes}]"'), ("wide", "")):
            file.write(
                _SETTINGS.format(
                    name=name, registry=place, logs=folder / "logs", lamina=script, options=options
                )
            )
    return made


def _lock(lamina: Lamina, application: Application) -> None:
    """Lock for this machine alone: there are no wheels for others."""
    words = ("--platform", f"linux_{os.uname().machine}", "--python-version", files.version())
    lamina("lock", *words, files.REQUIREMENTS, cwd=application.folder)


@contextmanager
def _peers(
    folder: Path, args: argparse.Namespace, stack: Stack, wheels: Path, cluster: Slurm, place: str
) -> Iterator[list[Way]]:
    """What lamina is compared with; why one cannot be is told."""
    archive = ways.Archive(
        cluster, Application(folder / "tar", stack, wheels, library=True), args.nodes,
        folder / "archive",
    )  # fmt: skip
    archive.install(wheels)
    with ExitStack() as ends:

        def daemon(name: str, namespace: str) -> servers.Run:
            (folder / name).mkdir()
            return ends.enter_context(
                servers.docker(
                    folder / name, client,
                    prefix=("nsenter", f"--net=/run/netns/{namespace}", "--"),
                    options=("--insecure-registry", place),
                )
            )  # fmt: skip

        try:
            client = prepared.client()
            builder = daemon("b", cluster.switch)
        except servers.Absent as absent:
            print(f"Docker is not measured: {absent}")
            yield [archive]
            return
        prepared.base(builder, folder, stack)
        nodes = [daemon(f"d{n}", f"{cluster.prefix}{n}") for n in range(1, args.nodes + 1)]
        found: list[Way] = []
        for name, data_first in ((ways.DOCKER, False), (ways.BY_HAND, True)):
            if stack.data or not data_first:
                own = Application(
                    folder / f"docker{len(found)}", stack, wheels,
                    library=True, data_first=data_first,
                )  # fmt: skip
                image = f"{place}/app{len(found)}:1"
                found.append(ways.Docker(name, cluster, builder, nodes, image, own))
        yield [*found, archive]


def _settle() -> None:
    """Wait until what the way before has left is done: its writes, and its processes.

    Nobody edits sooner after the line before.
    """
    os.sync()
    time.sleep(_REST)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        before = _idle()
        time.sleep(_GLANCE)
        if _idle() - before > _QUIET * _GLANCE * (os.cpu_count() or 1):
            return


def _measured(
    chosen: Sequence[Way],
    scenarios: Sequence[str],
    rounds: int,
    settle: Callable[[], None] = _settle,
) -> Values:
    """First of all everything once, to nodes that have nothing; then edits in rounds."""
    found: Values = {files.FIRST: {}}
    for way in chosen:
        _tell(f"{files.FIRST}, {way.name}")
        way.application.edit(files.FIRST, 0)
        found[files.FIRST][way.name] = [way.make()]
        way.warm()
    for number in range(rounds):
        first = number % len(chosen)
        for scenario in scenarios:
            for way in (*chosen[first:], *chosen[:first]):
                _tell(f"round {number + 1}: {scenario}, {way.name}")
                way.application.edit(scenario, number + 1)
                settle()
                found.setdefault(scenario, {}).setdefault(way.name, []).append(way.make())
    return found


def _idle() -> float:
    """Seconds that the processors have had nothing to do, nor waited for a disk."""
    words = Path("/proc/stat").read_text().split(maxsplit=5)
    return int(words[4]) / os.sysconf("SC_CLK_TCK")


def _tell(text: str) -> None:
    print(f"\r\x1b[K{text} ", end="", file=sys.stderr, flush=True)


def _table(by_way: dict[str, list[Taken]]) -> str:
    """Medians; ratios are medians of the ratios within each round, of lamina without the queue."""
    names = list(by_way)
    rows = [["", *names]]

    def row(name: str, value: Callable[[Taken], float], unit: Callable[[float], str]) -> None:
        rows.append([name, *(unit(statistics.median(map(value, by_way[way]))) for way in names)])

    row(ways.TOTAL, lambda taken: taken.total, _seconds)
    row(ways.OWN, lambda taken: taken.own, _seconds)
    mine = by_way[ways.LAMINA]
    ratios = [
        statistics.median(b.own / a.own for a, b in zip(mine, by_way[way], strict=True))
        for way in names
    ]
    rows.append(["  times lamina's", *(f"{ratio:.1f}" for ratio in ratios)])
    for step in ways.STEPS:
        if any(step in taken.seconds for way in names for taken in by_way[way]):
            row(f"  {step}", lambda taken: taken.seconds.get(step, 0.0), _seconds)  # noqa: B023
    row(ways.RECEIVED, lambda taken: float(taken.received), _kibibytes)
    row(ways.SENT, lambda taken: float(taken.sent), _kibibytes)
    return aligned(rows)


def _seconds(value: float) -> str:
    return f"{value:.3f} s"


def _kibibytes(value: float) -> str:
    return f"{value / 1024:,.1f} KiB"


def _document(taken: Taken) -> dict[str, object]:
    return {
        "seconds": dict(taken.seconds), "total": taken.total, "own": taken.own,
        "received": taken.received, "sent": taken.sent,
    }  # fmt: skip


def _starts(
    lamina: Lamina, cluster: Slurm, application: Application, args: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """Jobs of a package that all nodes have; and what Slurm takes to run `true` there."""
    found: dict[str, dict[str, list[float]]] = {}

    def once(nodes: int) -> dict[str, float]:
        counters = ways.Counters(cluster, nodes)
        told = json.loads(ways.call(
            lamina, cluster, application.folder, "submit", "-q", "--json", "--on", "wide",
            "--nodes", str(nodes), "--memory", args.memory, files.TARGET,
        ))  # fmt: skip
        ways.call(lamina, cluster, application.folder, "wait", told["id"])
        text = ways.call(lamina, cluster, application.folder, "describe", "--json", told["id"])
        stages = [each for each in json.loads(text)["stages"] if each["task"] is not None]
        by_name: dict[str, list[float]] = {}
        for each in stages:
            by_name.setdefault(each["name"], []).append(each["seconds"])
        received, _ = counters.moved()
        queue = by_name[ways.QUEUE]
        started = [e["begin"] + e["seconds"] for e in stages if e["name"] == "enter"]
        waited = [e["begin"] + e["seconds"] for e in stages if e["name"] == ways.QUEUE]
        begun = time.monotonic()
        cluster.call("srun", "-Q", f"-N{nodes}", "--mem=100", "true")
        return {
            "queue, slowest": max(queue),
            "from the first process to the last program": max(started) - min(waited),
            "pull, median": statistics.median(by_name["pull"]),
            "mount, median": statistics.median(by_name["mount"]),
            "enter, median": statistics.median(by_name["enter"]),
            "srun true": time.monotonic() - begun,
            ways.RECEIVED: float(received),
        }

    if args.start:
        once(max(args.start))  # now each node has it
    for _ in range(args.rounds):
        for nodes in args.start:
            _tell(f"start on {nodes}")
            for name, value in once(nodes).items():
                found.setdefault(str(nodes), {}).setdefault(name, []).append(value)
    return found


def _table_of_starts(starts: dict[str, dict[str, list[float]]]) -> str:
    if not starts:
        return ""
    figures = list(next(iter(starts.values())))
    rows = [["nodes", *figures]]
    for nodes, values in starts.items():
        medians = {name: statistics.median(values[name]) for name in figures}
        rows.append(
            [
                nodes,
                *(
                    _kibibytes(value) if name == ways.RECEIVED else _seconds(value)
                    for name, value in medians.items()
                ),
            ]
        )
    return aligned(rows)
