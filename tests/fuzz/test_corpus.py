"""What once failed under the fuzzer is refused, or taken, as it should be; and the fuzzer works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.core.errors import LaminaError
from tests.fuzz import campaign
from tests.fuzz.mutate import documents, lines, mutated
from tests.fuzz.targets import TARGETS, Target

_CORPUS = Path(__file__).parents[1] / "corpus"
_FILES = sorted(path for path in _CORPUS.rglob("*") if path.is_file())
_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", _FILES, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_failed_once_is_handled(file: Path) -> None:
    assert campaign.fault_of(TARGETS[file.parent.name], file.read_bytes()) == ""


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_handles_inputs_near_them(name: str) -> None:
    target = TARGETS[name]
    seeds, chance = list(target.seeds()), random.Random(name)
    assert seeds

    for data in seeds:
        assert campaign.fault_of(target, data) == ""
    for _ in range(20):
        data = mutated(chance.choice(seeds), chance, target.mutators, target.words, seeds)
        assert campaign.fault_of(target, data) == "", data


@pytest.mark.parametrize("name", ["xar", "image-file", "package", "tar", "zip", "image-rule",
                                  "image-below", "pylock", "lamina.toml", "query"])  # fmt: skip
def test_the_first_seed_of_a_target_is_right_so_that_its_neighbours_go_deep(name: str) -> None:
    TARGETS[name].run(next(iter(TARGETS[name].seeds())))  # raises nothing


def test_one_seed_gives_the_same_inputs() -> None:
    def inputs(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [mutated(b'{"a": [1]}\nx="y"', chance, (lines, documents), (), ()) for _ in "12345"]

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


def _planted(data: bytes) -> None:
    if b"k" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"x" in data:
        raise KeyError("planted")
    raise LaminaError("refused")


@pytest.mark.parametrize(
    ("seed", "what"), [(b"x", "KeyError at test_corpus.py"), (b"k", "the process died of SIGKILL")]
)
def test_a_planted_fault_is_found_and_kept(seed: bytes, what: str, tmp_path: Path) -> None:
    outcome = campaign.run(Target("planted", lambda: [seed], _planted), 0.2, 1)

    assert any(each.startswith(what) for each in outcome.crashes)
    assert any(path.read_bytes() == seed for path in campaign.keep(outcome, tmp_path))


def test_an_input_that_takes_too_long_is_a_fault() -> None:
    def spin(_data: bytes) -> None:
        while True:
            pass

    assert campaign.fault_of(Target("spin", lambda: [b""], spin), b"", 0.05) == "too slow"


def test_the_command_prints_a_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--minutes", "0.01", "--only", "label",
         "--folder", str(tmp_path / "crashes"), "--seed", "1"],
        cwd=_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "seed", "target", "label", "all",
    ]  # fmt: skip
    assert not (tmp_path / "crashes").exists()
