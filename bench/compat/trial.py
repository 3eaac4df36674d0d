"""Builds a repository and runs its tests, as somebody would who has just got it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compat import results
from bench.compat.catalogue import REPOSITORIES, Origin, Repository
from bench.compat.fetch import Sources
from bench.compat.results import Row
from bench.lamina import Lamina


class TookTooLong(Exception):
    """A command was stopped, because its time was over."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command wrote, and how many seconds it took."""

    output: str
    messages: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Trial:
    """How repositories are tried; what lamina says is kept in `logs`."""

    lamina: Lamina
    sources: Sources
    logs: Path
    jobs: int
    seconds: float  # that the build of one may take, and its tests

    def run(self, repository: Repository) -> Row:
        """Fetch a repository and what it needs, build it and run its tests; raises NotFetched."""
        origins = {other.name: other.origin for other in REPOSITORIES}
        for name in repository.beside:
            self.sources.get(name, origins.get(name, Origin.APT))
        fetched = self.sources.get(repository.name, repository.origin)
        (fetched.folder / "lamina.toml").write_text(repository.settings, encoding="utf-8")
        row = Row(repository.name, fetched.version)
        for step in (self._load, self._build, self._test):
            try:
                row = step(repository, fetched.folder, row)
            except TookTooLong:
                return replace(row, ended=f"stopped after {self.seconds:.0f} s")
        return row

    def _load(self, repository: Repository, folder: Path, row: Row) -> Row:
        listed = self._ask(repository, folder, "query", "-k", " + ".join(repository.patterns))
        return replace(row, targets=len(listed.output.split()))

    def _build(self, repository: Repository, folder: Path, row: Row) -> Row:
        report = self.logs / f"{repository.name}.build.json"
        report.unlink(missing_ok=True)
        words = [*self._common, "--build-report", str(report), *repository.patterns]
        said = self._ask(repository, folder, "build", *words)
        built, failed = (
            results.built(json.loads(report.read_bytes())) if report.exists() else (0, ())
        )
        left_out = results.left_out(said.messages)
        return replace(
            row, built=built, failed=failed, left_out=left_out, build_seconds=said.seconds
        )

    def _test(self, repository: Repository, folder: Path, row: Row) -> Row:
        words = [*self._common, "--json", *repository.patterns]
        said = self._ask(repository, folder, "test", *words)
        if not said.output.strip():  # there is no test
            return row
        tests, others = results.tested(json.loads(said.output))
        return replace(row, tests=tests, not_passed=others, test_seconds=said.seconds)

    @property
    def _common(self) -> Sequence[str]:
        return ("-k", "-j", str(self.jobs), "--console", "none")

    def _ask(self, repository: Repository, folder: Path, verb: str, *words: str) -> Said:
        """Run a command in a repository, whether it succeeds or not."""
        path = self.logs / f"{repository.name}.{verb}"
        output, messages = path.with_suffix(f".{verb}.out"), path.with_suffix(f".{verb}.log")
        begun = time.monotonic()
        with output.open("wb") as out, messages.open("wb") as log:
            child = subprocess.Popen(
                [*self.lamina.command, verb, *words], cwd=folder, env=self.lamina.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=log,
            )  # fmt: skip
            try:
                child.wait(self.seconds)
            except BaseException as error:
                child.send_signal(signal.SIGINT)
                child.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TookTooLong from error
                raise
        seconds = time.monotonic() - begun
        return Said(_text(output), _text(messages), seconds)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
