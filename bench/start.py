"""From a command to the first line of the program that it starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import workspaces
from bench.lamina import END, FIRST_LINE, Lamina, environment, first_line, to_the_end
from bench.measure import Case, Figures, Table, measure
from bench.scale import Scale

_FLOOR = "python3 -c pass, to its end"


def suite(lamina: Lamina, folder: Path, scale: Scale) -> list[Table]:
    """Everything about starting."""
    rounds = scale.start_rounds
    return [
        *_unchanged(lamina, folder / "unchanged", rounds),
        *_edited(lamina, folder / "edited", rounds),
        *_cached(lamina, folder / "cached", rounds),
        *_help(lamina, folder, rounds),
    ]


def _unchanged(lamina: Lamina, folder: Path, rounds: int) -> list[Table]:
    workspaces.article(folder)
    floor, bare, launcher = peers(lamina, folder, "A")
    run = Case("lamina run", partial(lamina.first_line, "run", "//:A", cwd=folder))
    title = "start, nothing changed"
    return measure(title, [floor, bare, launcher, run], rounds, peers=(bare.name, floor.name))


def _edited(lamina: Lamina, folder: Path, rounds: int) -> list[Table]:
    workspaces.article(folder)
    floor, bare, _ = peers(lamina, folder, "A")
    run = Case("lamina run", partial(lamina.first_line, "run", "//:A", cwd=folder))
    cases = [
        floor,
        _after(_edits(folder / "lamina-out" / "A.root" / "A.py"), bare),
        _after(_edits(folder / "A.py"), run),
    ]
    return measure("start, A.py edited", cases, rounds, peers=(bare.name, floor.name))


def _cached(lamina: Lamina, folder: Path, rounds: int) -> list[Table]:
    workspaces.stack(folder, 8)
    floor, bare, launcher = peers(lamina, folder, "main")
    lamina.package("//:main", folder)
    execs = [Case("lamina exec", partial(lamina.first_line, "exec", "main", cwd=folder.parent))]
    execs += [
        Case(
            f"lamina exec --driver {driver}",
            partial(lamina.first_line, "exec", "--driver", driver, "main", cwd=folder.parent),
        )
        for driver in lamina.drivers
    ]
    title = "start of a cached package of 8 layers"
    return measure(title, [floor, bare, launcher, *execs], rounds, peers=(bare.name, floor.name))


def _help(lamina: Lamina, folder: Path, rounds: int) -> list[Table]:
    environments = (lamina.environment, environment())
    commands = ([*lamina.command, "--help"], [sys.executable, "-c", "pass"])
    shown, floor = (
        Case(name, partial(to_the_end, argv, folder, env))
        for name, argv, env in zip(
            ("lamina --help", "lamina's python3 -c pass"), commands, environments, strict=True
        )
    )
    return measure("help", [floor, shown], rounds, peers=(floor.name,))


def peers(lamina: Lamina, folder: Path, program: str) -> tuple[Case, Case, Case]:
    """The bare interpreter, and the same files started from a plain folder in two ways."""
    lamina("build", "--quiet", f"//:{program}", cwd=folder)
    root = folder / "lamina-out" / f"{program}.root"
    python = workspaces.interpreter(root, program)
    env = environment()
    with_libraries = {**env, "LD_LIBRARY_PATH": str(root / "lib")}
    return (
        Case(_FLOOR, lambda: {FIRST_LINE: to_the_end([python, "-c", "pass"], root, env)[END]}),
        Case(
            f"python3 {program}.py, plain folder",
            partial(first_line, [python, f"{program}.py"], root, with_libraries),
        ),
        Case("its launcher, plain folder", partial(first_line, [str(root / program)], root, env)),
    )


def _after(prepare: Callable[[], None], case: Case) -> Case:
    def once() -> Figures:
        prepare()
        return case.once()

    return Case(case.name, once)


def _edits(file: Path) -> Callable[[], None]:
    """Changes one line of a file, to another text each time."""
    original = file.read_text()
    number = 0

    def edit() -> None:
        nonlocal number
        number += 1
        file.write_text(original.replace("Hello from A", f"Hello number {number} from A"))
        workspaces.settled(file)

    return edit
