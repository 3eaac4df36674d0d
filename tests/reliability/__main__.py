"""`python -m tests.reliability`: long runs of what the tests do for seconds."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.store.local import LocalStore
from tests import servers
from tests.reliability import full, interrupted, power, trials
from tests.reliability.killed import Trial
from tests.reliability.starts import Starts

_TRIALS = ("kills", "together", "cuts", "full", "halves", "operations", "starts")


def main() -> int:
    """Print what was tried and what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of one command after another")
    parser.add_argument("--together", type=int, default=60, help="rounds of several at once")
    parser.add_argument(
        "--cuts", type=int, default=40, help="of the power, for each command (as root)"
    )
    parser.add_argument("--full", type=int, default=40, help="sizes of a disk (as root)")
    parser.add_argument("--halves", type=int, default=256, help="MiB of a pull that is cut at half")
    parser.add_argument("--operations", type=int, default=10_000, help="beside two gc")
    parser.add_argument("--starts", type=int, default=1000, help="of programs, killed")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", choices=_TRIALS)
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    wrong: list[str] = []
    for what in _TRIALS:
        if args.only in (None, what):
            with tempfile.TemporaryDirectory(prefix="lamina-reliability-") as folder:
                wrong += _try(what, Path(folder), getattr(args, what), args.seed)
    print(f"wrong {len(wrong)}", *wrong, sep="\n  ")
    return 1 if wrong else 0


def _try(what: str, folder: Path, times: int, seed: int) -> list[str]:
    if what in ("kills", "together"):
        return _kill(what, folder, times, seed)
    if what == "full":
        return _fill(folder, times)
    if what == "halves":
        return _interrupt(folder, times << 20)
    if what == "cuts":
        return _cut(folder, times, seed)
    if what == "starts":
        return _start(folder, times, seed)
    source = LocalStore(folder / "source")
    try:
        wrong = trials.race(folder, source, times, seed)
    finally:
        source.close()
    print(f"{what:24} {times:6}", flush=True)
    return wrong


def _start(folder: Path, times: int, seed: int) -> list[str]:
    starts = Starts(folder, seed)
    wrong = starts.start_often(times)
    print(f"{'started':12} {'tried':>6} {'killed':>6}")
    for way, tried in sorted(starts.tried.items()):
        print(f"{way:12} {tried:6} {starts.killed[way]:6}")
    return wrong


def _cut(folder: Path, times: int, seed: int) -> list[str]:
    wrong = []
    for what in power.COMMANDS:
        (folder / what).mkdir()
        wrong += power.cut(folder / what, times, seed, what)
        print(f"{'cuts, ' + what:24} {times:6}", flush=True)
    return wrong


def _fill(folder: Path, times: int) -> list[str]:
    """Each command on disks of so many sizes, from one at which nothing fits to where all does."""
    made_at = full.ground(folder)
    wrong: list[str] = []
    print(f"{'full':24} {'tried':>6} {'full':>6}")
    for what in full.COMMANDS:
        sizes = [4 + number * 320 // times // 4 * 4 for number in range(times)]
        often, found = full.fill(made_at, what, sizes)
        print(f"  {what:22} {times:6} {often:6}", flush=True)
        wrong += found
    for left in range(0, 24, 4):
        wrong += filter(None, [full.collect(made_at, left)])
    print(f"  {'gc and exec':22} {6:6} {6:6}")
    made_at.source.close()
    return wrong


def _interrupt(folder: Path, size: int) -> list[str]:
    """At most 8 MiB move twice."""
    wrong = []
    for number, way in enumerate(interrupted.WAYS):
        ended = interrupted.interrupt(folder / str(number), size, way)
        print(f"{way}: {ended.again / (1 << 20):.1f} MiB of {size >> 20} came again", flush=True)
        if ended.wrong or ended.again > 8 << 20:
            wrong.append(f"{way}: {ended}")
    return wrong


@contextlib.contextmanager
def _registry(folder: Path) -> Iterator[str]:
    with servers.registry(folder / "registry") as registry:
        yield f"{registry.host}/killed"


@contextlib.contextmanager
def _layout(folder: Path) -> Iterator[str]:
    yield f"oci:{folder}/repository"


def _kill(what: str, folder: Path, times: int, seed: int) -> list[str]:
    """Half of the kills with a registry, half with a folder in OCI layout."""
    wrong: list[str] = []
    kinds: tuple[Callable[[Path], contextlib.AbstractContextManager[str]], ...]
    kinds = (_registry, _layout)
    for number, opened in enumerate(kinds):
        place = folder / str(number)
        with opened(place) as repository:
            trial = Trial(place, repository, seed)
            work = trial.kill_often if what == "kills" else trial.kill_together
            found = work((times + number) // 2)
        kind = "folder" if number else "registry"
        print(f"{what + ', ' + kind:24} {'tried':>6} {'killed':>6}")
        for command, tried in sorted(found.tried.items()):
            print(f"  {command:22} {tried:6} {found.killed[command]:6}", flush=True)
        wrong += found.wrong
    return wrong


if __name__ == "__main__":
    sys.exit(main())
