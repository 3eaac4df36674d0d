"""`lamina diff` on packages that were really made, and on what is left of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lamina.formats import oci
from lamina.store import packages
from lamina.store.local import LocalStore

from .conftest import Lamina

WriteWheel = Callable[[Path, dict[str, str]], Path]
BUILD = """
prebuilt_python_library(name = "dist", binary_src = glob(["*.whl"])[0])
python_library(name = "lib", srcs = ["lib.py"], deps = [":dist"])
python_binary(name = "main", main = "main.py", deps = [":lib"])
"""


@pytest.fixture
def first(lamina: Lamina, write_wheel: WriteWheel) -> str:
    """The reference of a package of three layers."""
    write_wheel(lamina.root / "dist-1.0-py3-none-any.whl", {"dist.py": ""})
    lamina.write({"BUILD": BUILD, "lib.py": "X = 1\n", "main.py": "import lib\n"})
    return packaged(lamina)


def packaged(lamina: Lamina) -> str:
    done = lamina("package", "-q", "--json", "//:main")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    return f"{made['name']}@{made['digest']}"


def differing(lamina: Lamina, old: str, new: str) -> dict[str, Any]:
    done = lamina("diff", "--json", "-q", old, new)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_edit_ships_its_layer_and_the_documents(lamina: Lamina, first: str) -> None:
    lamina.write({"lib.py": "X = 23\n"})

    found = differing(lamina, first, "//:main")

    changes = {layer["label"]: layer["change"] for layer in found["layers"]}
    assert changes == {"//:dist": "same", "//:lib": "changed", "//:main": "same"}
    (layer,) = (layer for layer in found["layers"] if layer["ships"])
    assert {"path": "lib.py", "change": "changed", "old_size": 6, "new_size": 7} in layer["files"]
    with closing(LocalStore(lamina.store)) as store:
        new = packages.resolve("main", store)
        size = layer["new"]["size"] + new.size + oci.config_of(store.read(new)).size
    assert found["ship"]["bytes"] == size
    assert (found["distributions"], found["settings"]) == ([], [])


def test_another_version_of_a_distribution_is_told(
    lamina: Lamina, first: str, write_wheel: WriteWheel
) -> None:
    (lamina.root / "dist-1.0-py3-none-any.whl").unlink()
    write_wheel(lamina.root / "dist-1.1-py3-none-any.whl", {"dist.py": ""})

    done = lamina("diff", "-q", first, "//:main")

    assert "\ndist 1.0 -> 1.1\n" in done.stdout
    assert differing(lamina, first, "main")["distributions"] == [
        {"name": "dist", "old": "1.0", "new": "1.1"}
    ]


def test_a_person_reads_layers_files_and_bytes(lamina: Lamina, first: str) -> None:
    lamina.write({"main.py": "import lib\nprint(lib.X)\n"})

    done = lamina("diff", "-q", first, "//:main")

    assert "//:main  changed" in done.stdout
    assert "  ~ main.py  11 B -> 24 B\n" in done.stdout
    assert "2 layers in both" in done.stdout
    assert "to ship to who has the old one: 1 of 3 layers" in done.stderr


def test_packages_are_compared_without_a_workspace(
    lamina: Lamina, first: str, tmp_path: Path
) -> None:
    lamina.write({"lib.py": "X = 2\n"})
    second = packaged(lamina)
    lamina.root = tmp_path

    found = differing(lamina, first, second)

    assert [layer["ships"] for layer in found["layers"]] == [False, True, False]
    assert differing(lamina, second, second)["ship"]["bytes"] == 0


def test_files_that_the_store_no_longer_tells_are_not_known(lamina: Lamina, first: str) -> None:
    lamina.write({"lib.py": "X = 2\n"})
    second = packaged(lamina)
    with closing(LocalStore(lamina.store)) as store:
        (tree,) = (
            layer.tree
            for layer in packages.read(packages.resolve(first, store), store).layers
            if layer.label == "//:lib"
        )
        store.path(tree).unlink()

    (files,) = (
        layer["files"]
        for layer in differing(lamina, first, second)["layers"]
        if layer["change"] == "changed"
    )

    assert files is None
    assert "not known" in lamina("diff", first, second).stdout


@pytest.mark.parametrize("tool", ["git", "hg"])
def test_a_label_is_compared_with_what_it_was(lamina: Lamina, tool: str) -> None:
    lamina.write({"sub/BUILD": 'python_library(name = "l", srcs = ["l.py"])', "sub/l.py": "1\n"})
    committed(lamina.root, tool)
    lamina.write({"sub/l.py": "22\n"})

    done = lamina(
        "diff", "--json", "-q", ":l", "--since", {"git": "HEAD", "hg": "."}[tool], at="sub"
    )

    assert done.returncode == 0, done.stderr
    (layer,) = json.loads(done.stdout)["layers"]
    assert (layer["label"], layer["change"]) == ("//sub:l", "changed")
    sizes = {each["path"]: (each["old_size"], each["new_size"]) for each in layer["files"]}
    assert sizes["sub/l.py"] == (2, 3)
    assert len(list((lamina.store / "workspaces").iterdir())) == 1


def committed(root: Path, tool: str) -> None:
    """Put all files under version control."""
    who = {"git": ("-c", "user.name=a", "-c", "user.email=a@b.invalid"), "hg": ()}[tool]
    add, commit = {
        "git": (("add", "-A"), ("commit", "-qm", "x")),
        "hg": (("addremove", "-q"), ("commit", "-qm", "x", "-u", "a")),
    }[tool]
    for words in (("init", "-q") if tool == "git" else ("init",), add, (*who, *commit)):
        subprocess.run([tool, *words], cwd=root, check=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("//:main",), "compares two packages"),
        (("//:main", "//:lib", "--since", "HEAD"), "compares two packages"),
        (("main", "--since", "HEAD"), "goes with a label"),
        (("//:main", "--since", "HEAD"), "is under no version control"),
    ],
)
def test_words_that_make_no_comparison_are_told_of(
    lamina: Lamina, words: tuple[str, ...], told: str
) -> None:
    done = lamina("diff", *words)

    assert (done.returncode, done.stdout) == (3, "")
    assert told in done.stderr


def test_a_package_that_is_not_there_is_an_error(lamina: Lamina, first: str) -> None:
    done = lamina("diff", first, "gone:1")

    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no package `gone:1`" in done.stderr
