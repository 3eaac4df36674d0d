"""The training job: a library of others, C++, Python, each in its layer; and it does learn."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def training(copy_of: Callable[..., Path]) -> Path:
    return copy_of("training")


def test_it_learns(lamina: Lamina, training: Path) -> None:
    done = lamina(training, "run", "-q", "//:train", "--", "--steps", "300")

    losses = [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout)]
    assert done.returncode == 0, done.stderr
    assert losses[-1] < 0.3 * losses[0]


def test_its_gradients_are_right(lamina: Lamina, training: Path) -> None:
    done = lamina(training, "test", "//...")

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_edit_of_the_job_makes_its_layer_alone(lamina: Lamina, training: Path) -> None:
    lamina(training, "package", "//:train")
    with (training / "train.py").open("a") as file:
        file.write("# edited\n")

    package = json.loads(lamina(training, "package", "--json", "//:train").stdout)

    assert [layer["label"] for layer in package["layers"]] == [
        "//third_party/tinyblas:tinyblas",
        "//tensor:_native",
        "//tensor:tensor",
        "//model:model",
        "//:train",
    ]
    assert [layer["made"] for layer in package["layers"]] == [False] * 4 + [True]
