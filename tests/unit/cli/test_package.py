"""`lamina package` a second time: what is looked at, and what is still refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Lamina

WriteWheel = Callable[[Path, dict[str, str]], Path]
BUILD = """
prebuilt_python_library(name = "dist", binary_src = "dist-1.0-py3-none-any.whl")
python_library(name = "lib", srcs = ["lib.py"], deps = [":dist"])
python_binary(name = "main", main = "main.py", deps = [":lib"])
"""

_COLLECTING = """
import sys
from pathlib import Path
if "package" in sys.argv:
    from lamina.cli import pipeline
    from lamina.store import gc
    made = pipeline._make
    def make(session, *words):
        found = made(session, *words)
        told = Path(__file__).with_name("collected")
        before = told.read_text() if told.exists() else ""
        if len(before) < 3:
            told.write_text(before + "x")
            gc.sweep(session.store, gc.Bounds(0))
            for layer in found.package.layers:
                session.store.read(layer.blob)
        return found
    pipeline._make = make
"""


@pytest.fixture
def packaged(lamina: Lamina, write_wheel: WriteWheel) -> Lamina:
    """A program over a wheel, which is a folder of any files, packaged once."""
    write_wheel(lamina.root / "dist-1.0-py3-none-any.whl", {"dist.py": ""})
    lamina.write({"BUILD": BUILD, "lib.py": "X = 1\n", "main.py": "import lib\n"})
    done = lamina("package", "//:main")
    assert done.returncode == 0, done.stderr
    return lamina


def test_an_edit_above_a_wheel_loads_no_build_file(packaged: Lamina) -> None:
    packaged.write({"lib.py": "X = 2\n"})

    done = packaged("package", "--json", "//:main", switches=("-X", "importtime"))

    assert "lamina.build.snapshot" in done.stderr
    assert "lamina.build.loader" not in done.stderr
    made = {layer["label"]: layer["made"] for layer in json.loads(done.stdout)["layers"]}
    assert made == {"//:dist": False, "//:lib": True, "//:main": False}


def test_a_wheel_that_comes_to_hold_what_another_target_holds_is_refused(
    packaged: Lamina, write_wheel: WriteWheel
) -> None:
    lib = {"BUILD": BUILD.replace('["lib.py"]', '{"site-packages/other.py": "lib.py"}')}
    packaged.write(lib | {"main.py": ""})
    assert packaged("package", "//:main").returncode == 0
    write_wheel(packaged.root / "dist-1.0-py3-none-any.whl", {"other.py": "Y = 1\n"})

    done = packaged("package", "//:main")

    assert done.returncode == 3
    assert "`site-packages/other.py` comes from both `//:dist` and `//:lib`" in done.stderr


def test_targets_that_share_a_file_may_not_come_to_differ_in_it(lamina: Lamina) -> None:
    """Each has the same bytes at one path, which is allowed, until one of them is edited."""
    one = 'python_library(name = "one", resources = {"shared.txt": "one.txt"})\n'
    two = 'python_library(name = "two", resources = {"shared.txt": "two.txt"})\n'
    three = 'python_binary(name = "main", main = "main.py", deps = [":one", ":two"])\n'
    texts = {"one.txt": "same\n", "two.txt": "same\n", "main.py": ""}
    lamina.write({"BUILD": one + two + three, **texts})
    first = lamina("package", "//:main")
    assert first.returncode == 0, first.stderr
    lamina.write({"one.txt": "another\n"})

    done = lamina("package", "//:main")

    assert done.returncode == 3
    assert "`shared.txt` comes from both `//:one` and `//:two`" in done.stderr


def test_garbage_may_be_collected_meanwhile_more_than_once(packaged: Lamina) -> None:
    # Each time that something is there for the first time, it is collected before it is leased.
    packaged.environment["PYTHONPATH"] = f"{packaged.root}:{packaged.environment['PYTHONPATH']}"
    (packaged.root / "sitecustomize.py").write_text(_COLLECTING)
    shutil.rmtree(packaged.store)

    done = packaged("package", "//:main")

    assert done.returncode == 0, done.stderr
    assert (packaged.root / "collected").read_text() == "xxx"
