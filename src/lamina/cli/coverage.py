"""`lamina test --coverage`: measuring Python by coverage.py, C and C++ by gcc, and one report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.build.analysis import runtime_order
from lamina.build.rules.running import WORKSPACE
from lamina.build.sandbox import WORK
from lamina.build.testing import trials
from lamina.build.testing.lcov import Coverage
from lamina.cli import output
from lamina.core.action import Action, Artifact, Stored
from lamina.core.classes import replace
from lamina.core.errors import UserError
from lamina.core.tree import File
from lamina.linux import process

if TYPE_CHECKING:
    from lamina.build.providers import Analysed
    from lamina.build.testing.trials import Settings, Trial
    from lamina.cli.publish import Publisher
    from lamina.cli.session import Session
    from lamina.cli.testing import Run
    from lamina.core.label import Label

FLAGS = ("--copt=--coverage", "--linkopt=--coverage")
_REPORT = "coverage.lcov"
_ROOT = f"{WORK}/{trials.RUNFILES}/{WORKSPACE}"
_COUNTERS = WORK.lstrip("/") + "/out/"  # where gcc's counters lie among what a test leaves
_ASK = "import coverage; print(coverage.__file__)"
# Objects that a test never came to have notes, and no counters: none of their lines has run.
_GCOV = """\
find notes -name '*.gcno' | sort | while read -r file; do
  "$0" --json-format --stdout "$file" 2>/dev/null
done >out/coverage.json
"""


def prepare(session: Session, settings: Settings, tests: Iterable[Label]) -> Settings:
    """The settings that measure; raises UserError where what that takes is missing."""
    rules = {session.loader.target(label).rule.name for label in tests}
    folder = ""
    if rules & {"python_test", "py_test"}:
        folder = _coverage_py(Path(session.toolchains.python.path))
    if "clang" in session.workspace.cxx_compiler:
        raise UserError(
            "coverage of C and C++ is measured by gcc, and `compiler` in `[cxx]` is clang",
            hint="leave the `compiler` out, or the option `--coverage`",
        )
    return replace(settings, coverage=True, python_coverage=folder)


def _coverage_py(interpreter: Path) -> str:
    """The folder that coverage.py lies in."""
    done = process.run(interpreter, "-I", "-c", _ASK, ok=(0, 1))
    if done.returncode != 0:
        raise UserError(
            f"coverage of Python takes coverage.py, which `{interpreter}` has not",
            hint="on Debian or Ubuntu: `apt-get install python3-coverage`",
        )
    return str(Path(done.stdout.decode().strip()).parents[1])


def publish(run: Run, publisher: Publisher, *, quiet: bool) -> None:
    """Write the report, and print how much of each file ran."""
    session = run.session
    measured = Coverage()
    last = [trial for trial, _ in run.last]
    parts = {trial.label: _parts(run, trial.label) for trial in last}
    for trial in last:
        _add_python(run, trial, parts[trial.label], measured)
    _add_native(run, last, parts, measured)
    tests = {path for label in parts for path in _sources(session, label)}
    outside = tuple(f"{folder}/" for folder in session.workspace.cells.folders.values())
    wanted = {
        path
        for path in measured.lines
        if path not in tests
        and not path.startswith(("/", "external/", *outside))
        and (session.root / path).is_file()
    }
    report = measured.only(wanted)
    node = File(session.store.write(report.text().encode(), durable=False))
    publisher.write({_REPORT: node})
    if not quiet:
        session.settle()
        output.table(("file", "lines run", ""), report.table(), right=(1, 2))


def _parts(run: Run, label: Label) -> list[Analysed]:
    return [run.analysed[part] for part in runtime_order(label, run.analysed)]


def _sources(session: Session, label: Label) -> set[str]:
    """The test's own files, which are not what is tested."""
    cells = session.workspace.cells
    target = session.loader.configured(session.loader.target(label))
    sources = target.attributes.get("srcs", ())
    assert isinstance(sources, tuple)
    named = [source[1] for source in sources]
    return {cells.folder(each.cell, f"{each.package}/{each.name}".lstrip("/")) for each in named}


def _add_python(run: Run, trial: Trial, parts: list[Analysed], measured: Coverage) -> None:
    node = run.outputs(trial, "coverage").get("python.lcov")
    if isinstance(node, File):
        text = run.session.store.read(node.digest).decode()
        measured.add_lcov(text, trials.sources(parts), _ROOT)


def _add_native(
    run: Run, last: list[Trial], parts: dict[Label, list[Analysed]], measured: Coverage
) -> None:
    actions = [
        action for trial in last if (action := _gcov(run, trial, parts[trial.label])) is not None
    ]
    made = run.session.engine.build(action.output("coverage.json") for action in actions)
    for tree in made.values():
        node = tree[""]
        assert isinstance(node, File)
        measured.add_gcov(run.session.store.read(node.digest).decode())


def _gcov(run: Run, trial: Trial, parts: list[Analysed]) -> Action | None:
    """Reads the counters that a test left; None where it has no C or C++."""
    notes = dict(note for part in parts for note in _notes(part))
    if not notes:
        return None
    inputs: dict[str, Artifact] = {f"notes/{path}": artifact for path, artifact in notes.items()}
    for path, node in run.outputs(trial, "coverage").items():
        name = path.removeprefix(_COUNTERS)
        if name != path and name.removesuffix(".gcda") + ".gcno" in notes:
            inputs[f"notes/{name}"] = Stored(node)
    cxx = run.session.toolchains.cxx
    return Action(
        mnemonic="Gcov",
        owner=str(trial.label),
        arguments=("/bin/bash", "-c", _GCOV, cxx.c.replace("gcc", "gcov")),
        inputs=tuple(sorted(inputs.items(), key=lambda item: item[0])),
        outputs=("coverage.json",),
        toolchain=cxx.identity,
        subject=str(trial.label),
        mounts=cxx.mounts,
    )


def _notes(part: Analysed) -> tuple[tuple[str, Artifact], ...]:
    below = part.cxx.notes if part.cxx is not None else ()
    return (*part.notes, *below)
