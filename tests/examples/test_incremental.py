"""An incremental build gives what a clean one gives, byte for byte, whatever was edited."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.cli.main import main

Capture = pytest.CaptureFixture[str]


class Workspace:
    """A workspace of random targets, and edits of it."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        self.write("lamina.toml", "")
        self.targets = chance.randint(3, 7)
        self.deps = {n: self._some(n) for n in range(self.targets)}
        self.words = dict.fromkeys(range(self.targets), "x")
        for number in range(self.targets):
            for file in range(2):
                self.write(f"p{number % 3}/s{number}_{file}.txt", f"{number} {file}\n")
            self.write(f"p{number % 3}/m{number}.py", f"VALUE = {number}\n")
        self.write_build_files()

    def _some(self, number: int) -> list[int]:
        return self.chance.sample(range(number), min(number, self.chance.randint(0, 2)))

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def write_build_files(self) -> None:
        texts = dict.fromkeys(range(3), 'package(default_visibility = ["PUBLIC"])\n')
        for number in range(self.targets):
            texts[number % 3] += self._rules(number)
        for package, text in texts.items():
            self.write(f"p{package}/BUILD", text)

    def _rules(self, number: int) -> str:
        texts = "".join(f'"//p{dep % 3}:g{dep}", ' for dep in self.deps[number])
        modules = "".join(f'"//p{dep % 3}:l{dep}", ' for dep in self.deps[number])
        return (
            f"genrule(name = 'g{number}', outs = ['g{number}.txt'],\n"
            f"    srcs = glob(['s{number}_*.txt']) + [{texts}],\n"
            f"    cmd = 'echo {self.words[number]}; cat $(SRCS) > $@')\n"
            f"python_library(name = 'l{number}', srcs = ['m{number}.py'],\n"
            f"    resources = [':g{number}'], deps = [{modules}])\n"
        )

    def edit(self) -> None:
        """One change such as people make."""
        number = self.chance.randrange(self.targets)
        edits: list[Callable[[int], None]] = [
            self._write_source, self._write_source, self._write_module, self._add, self._remove,
            self._command, self._dependencies, self._comment, self._mode, self._back_in_time,
            self._rename, self._lose_output, self._damage_output, self._link, self._unrelated,
        ]  # fmt: skip
        self.chance.choice(edits)(number)

    def _sources(self, number: int) -> list[Path]:
        return sorted((self.root / f"p{number % 3}").glob(f"s{number}_*.txt"))

    def _write_source(self, number: int) -> None:
        for file in self._sources(number)[:1]:
            file.unlink()
            file.write_text(f"{self.chance.randint(0, 3)}\n")

    def _write_module(self, number: int) -> None:
        self.write(f"p{number % 3}/m{number}.py", f"VALUE = {self.chance.randint(0, 3)}\n")

    def _add(self, number: int) -> None:
        self.write(f"p{number % 3}/s{number}_{self.chance.randint(2, 4)}.txt", "more\n")

    def _remove(self, number: int) -> None:
        for file in self._sources(number)[1:2]:
            file.unlink()

    def _rename(self, number: int) -> None:
        for file in self._sources(number)[1:2]:
            file.rename(file.with_name(f"s{number}_9.txt"))

    def _command(self, number: int) -> None:
        self.words[number] = self.chance.choice("abc")
        self.write_build_files()

    def _dependencies(self, number: int) -> None:
        self.deps[number] = self._some(number)
        self.write_build_files()

    def _comment(self, number: int) -> None:
        file = self.root / f"p{number % 3}/BUILD"
        file.write_text(f"{file.read_text()}# {self.chance.random()}\n")

    def _mode(self, number: int) -> None:
        (self.root / f"p{number % 3}/m{number}.py").chmod(self.chance.choice([0o644, 0o755]))

    def _back_in_time(self, number: int) -> None:
        file = self.root / f"p{number % 3}/m{number}.py"
        file.write_text("VALUE = 'old'\n")
        os.utime(file, (1, 1))

    def _link(self, number: int) -> None:
        for file in self._sources(number)[:1]:
            self.write("p0/elsewhere", f"{self.chance.randint(0, 3)}\n")
            file.unlink()
            file.symlink_to(self.root / "p0/elsewhere")

    def _lose_output(self, _number: int) -> None:
        for file in sorted((self.root / "lamina-out").rglob("*.txt"))[:1]:
            file.unlink()

    def _damage_output(self, _number: int) -> None:
        for file in sorted((self.root / "lamina-out").rglob("*.txt"))[-1:]:
            file.unlink()
            file.write_text("damaged")

    def _unrelated(self, number: int) -> None:
        self.write(f"p{number % 3}/README", f"{self.chance.random()}")


def outputs(root: Path) -> dict[str, str]:
    """What lies in `lamina-out`, as digests and modes."""
    out = root / "lamina-out"
    return {
        path.relative_to(out).as_posix(): f"{sha256(path.read_bytes()).hexdigest()} "
        f"{bool(path.stat().st_mode & 0o100)}"
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def lamina(root: Path, store: Path, *words: str) -> int:
    before, known = Path.cwd(), os.environ.get("LAMINA_STORE")
    os.chdir(root)
    os.environ["LAMINA_STORE"] = str(store)
    try:
        return main(words)
    finally:
        os.chdir(before)
        if known is None:
            del os.environ["LAMINA_STORE"]
        else:
            os.environ["LAMINA_STORE"] = known


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path_factory.mktemp("w"))
        return made[-1]

    yield make
    for path in made:
        shutil.rmtree(path)


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 10**9))
def test_an_incremental_build_equals_a_clean_one(
    folder: Callable[[], Path], capsys: Capture, seed: int
) -> None:
    chance = random.Random(seed)
    home = folder()
    workspace = Workspace(home / "w", chance)
    top = f"//p{(workspace.targets - 1) % 3}:l{workspace.targets - 1}"
    for step in range(4):
        for _ in range(chance.randint(0, 2) if step else 0):
            workspace.edit()
        assert lamina(workspace.root, home / "store", "build", "//...", "-q") == 0
        capsys.readouterr()
        assert lamina(workspace.root, home / "store", "package", top, "--json", "-q") == 0
        package = json.loads(capsys.readouterr().out)
        found = outputs(workspace.root)

        clean = home / f"clean{step}"
        shutil.copytree(workspace.root, clean, ignore=shutil.ignore_patterns("lamina-out"))
        assert lamina(clean, home / f"store{step}", "build", "//...", "-q") == 0
        capsys.readouterr()
        assert lamina(clean, home / f"store{step}", "package", top, "--json", "-q") == 0

        assert json.loads(capsys.readouterr().out)["digest"] == package["digest"], (seed, step)
        assert found == outputs(clean), (seed, step)
