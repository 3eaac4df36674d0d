"""Importing a large tree of Python modules and reading large files, through the stack."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import workspaces
from bench.lamina import Lamina, environment
from bench.measure import Case, Figures, Table, measure
from bench.scale import Scale

_PLAIN = "plain folder"
FIRST = "first import"
UNPACKED = {"never": "", "always": ", unpacked"}  # what LAMINA_UNPACK says -> what it is called
_FIGURES = (FIRST, "import again", "first read of data", "read again")


def suite(lamina: Lamina, folder: Path, scale: Scale) -> list[Table]:
    """First with what the kernel has in memory, then with its caches dropped."""
    root = workspaces.tree(
        folder / "tree",
        packages=scale.packages,
        modules=scale.modules,
        module_size=scale.module_size,
        data=scale.data,
        data_size=scale.data_size,
    )
    cases = _cases(lamina, root)
    modules = scale.packages * scale.modules
    title = f"imports of {modules} modules"
    tables = measure(f"{title}, all in memory", cases, scale.import_rounds, peers=(_PLAIN,))
    if not scale.cold:
        return tables
    if not drop_caches():
        note = "caches may not be dropped here, so nothing was measured cold"
        return [*tables[:-1], _noted(tables[-1], note)]
    again = [Case(case.name, partial(cold, case.once)) for case in cases]
    return tables + measure(f"{title}, cold", again, scale.import_rounds, peers=(_PLAIN,))


def _cases(lamina: Lamina, root: Path) -> list[Case]:
    lamina("build", "--quiet", "//:one", cwd=root)
    plain = [str(root / "lamina-out" / "one.root" / "one")]
    cases = [Case(_PLAIN, partial(probe, plain, root, environment()))]
    for program in ("one", "parts"):
        package = lamina.package(f"//:{program}", root)
        for driver in lamina.drivers:
            argv = [*lamina.command, "exec", "--driver", driver, program]
            name = f"{len(package['layers'])} layers, driver {driver}"
            for word, more in UNPACKED.items():
                around = {**lamina.environment, "LAMINA_UNPACK": word}
                cases.append(Case(name + more, partial(probe, argv, root, around)))
    return cases


def probe(argv: Sequence[str], cwd: Path, env: dict[str, str]) -> Figures:
    """What the program itself measured, without its start and the mounting."""
    done = subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    return dict(zip(_FIGURES, map(float, done.stdout.split()), strict=True))


def cold(once: Callable[[], Figures]) -> Figures:
    """A measurement with the kernel's caches dropped before."""
    drop_caches()
    return once()


def drop_caches() -> bool:
    """Whether the kernel's caches could be dropped."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def _noted(table: Table, note: str) -> Table:
    return Table(table.title, table.figure, table.rows, table.peers, (*table.notes, note))
