"""The training job: a library of others, C++, Python, each in its layer; and it does learn."""

from __future__ import annotations

import json
import os
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


def test_it_learns_by_numpy_on_the_same_memory(lamina: Lamina, training: Path) -> None:
    locked = lamina(training, "lock", "third_party/python/requirements.in")
    assert locked.returncode == 0, locked.stderr
    words = ("--config", "numpy", "//:train")

    done = lamina(training, "run", "-q", *words, "--", "--steps", "300")
    tested = lamina(training, "test", "--config", "numpy", "//...")
    package = json.loads(lamina(training, "package", "--json", *words).stdout)

    losses = [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout)]
    assert done.returncode == 0, done.stderr
    assert "products by numpy" in done.stdout
    assert losses[-1] < 0.3 * losses[0]
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert [layer["label"] for layer in package["layers"]] == [
        "//third_party/tinyblas:tinyblas",
        "//tensor:_native",
        "//third_party/python:numpy",
        "//tensor:tensor",
        "//model:model",
        "//:train",
    ]


def test_it_learns_by_pytorch_when_asked(lamina: Lamina, training: Path) -> None:
    """`LAMINA_TEST_TORCH=torch==2.13.0+cpu` asks: hundreds of megabytes are fetched."""
    wanted = os.environ.get("LAMINA_TEST_TORCH")
    if not wanted:
        pytest.skip("LAMINA_TEST_TORCH names no version of PyTorch")
    requirements = "third_party/torch/requirements.in"
    (training / requirements).write_text(f"{wanted}\nnumpy\n")
    locked = lamina(training, "lock", requirements)
    assert locked.returncode == 0, locked.stderr

    done = lamina(training, "run", "-q", "--config", "torch", "//:train", "--", "--steps", "300")

    losses = [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout)]
    assert done.returncode == 0, done.stderr
    assert "products by torch" in done.stdout
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
