"""However targets are grouped, a process sees the same files; the manifest tells the layers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.cli.main import main
from lamina.core.digest import Digest
from lamina.packaging import grouping
from lamina.store import packages
from lamina.store.local import LocalStore

Lamina = Callable[..., subprocess.CompletedProcess[str]]
Capture = pytest.CaptureFixture[str]

_WHO = {
    **os.environ,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "HGUSER": "A",
}
_COMMIT = {"git": "git add -A; git commit -qm x", "hg": "hg addremove -q; hg ci -qm x"}


class Workspace:
    """Python targets below one program, under version control."""

    def __init__(self, root: Path, tool: str = "git", targets: int = 12) -> None:
        self.root, self.tool, self.targets = root, tool, targets
        root.mkdir()
        (root / "lamina.toml").write_text("")
        subprocess.run([tool, "init", "-q"], cwd=root, env=_WHO, check=True)
        names = [f"m{n}" for n in range(targets)]
        for number, name in enumerate(names):
            (root / f"{name}.py").write_text(f"VALUE = {number}\n" + "#\n" * 5000 * (number + 2))
        (root / "main.py").write_text(
            "".join(f"import {name}\n" for name in names)
            + f"print({' + '.join(f'{name}.VALUE' for name in names)})\n"
        )
        rules = [f'py_library(name = "{n}", srcs = ["{n}.py"])\n' for n in names]
        deps = ", ".join(f'":{name}"' for name in names)
        rules.append(f'py_binary(name = "main", srcs = ["main.py"], deps = [{deps}])\n')
        (root / "BUILD").write_text("".join(rules))

    def edit(self, *numbers: int) -> None:
        """Change some modules, and commit that."""
        for number in numbers:
            with (self.root / f"m{number}.py").open("a") as file:
                file.write("# more\n")
        self.commit()

    def commit(self) -> None:
        script = _COMMIT[self.tool]
        subprocess.run(["bash", "-ec", script], cwd=self.root, env=_WHO, check=True)


def worked_on(root: Path, tool: str = "git") -> Workspace:
    """A workspace where two pairs of modules are changed together again and again."""
    found = Workspace(root, tool)
    found.commit()
    for number in range(10):
        found.edit(*((1, 7) if number % 2 else (3, 4)))
    return found


def packaged(lamina: Lamina, root: Path, *words: str) -> dict[str, Any]:
    done = lamina(root, "package", "--json", "//:main", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("tool", ["git", "hg"])
def test_what_changed_together_shares_a_layer(tool: str, lamina: Lamina, tmp_path: Path) -> None:
    work = worked_on(tmp_path / "w", tool)

    found = packaged(lamina, work.root, "--grouping", "auto", "--max-layers", "5")

    groups = [set(layer["labels"]) for layer in found["layers"]]
    assert len(groups) <= 5
    assert {"//:m1", "//:m7"} in groups
    assert {"//:m3", "//:m4"} in groups
    assert sorted(label for group in groups for label in group) == sorted(
        ["//:main", *(f"//:m{n}" for n in range(12))]
    )


def test_two_machines_cut_the_same_layers(lamina: Lamina, tmp_path: Path) -> None:
    work = worked_on(tmp_path / "w")
    words = ("--grouping", "auto", "--max-layers", "5")
    # One machine was there all along, the other comes anew.
    for number in range(3):
        packaged(lamina, work.root, *words)
        work.edit(number, 11)
    here = packaged(lamina, work.root, *words)
    subprocess.run(["git", "clone", "-q", str(work.root), str(tmp_path / "c")], check=True)

    there = lamina(
        tmp_path / "c", "package", "--json", "//:main", *words,
        environment={"LAMINA_STORE": str(tmp_path / "other")},
    )  # fmt: skip

    assert json.loads(there.stdout)["digest"] == here["digest"]


def test_an_edit_makes_the_layer_of_its_group_alone(lamina: Lamina, tmp_path: Path) -> None:
    work = worked_on(tmp_path / "w")
    (work.root / "lamina.toml").write_text('[layers]\ngrouping = "auto"\nmax = 5\n')
    packaged(lamina, work.root)
    with (work.root / "m7.py").open("a") as file:
        file.write("VALUE = 100\n")

    found = packaged(lamina, work.root)

    made = [layer["labels"] for layer in found["layers"] if layer["made"]]
    assert made == [["//:m1", "//:m7"]]
    assert lamina(work.root, "run", "//:main").stdout == f"{sum(range(12)) - 7 + 100}\n"


def test_layers_are_listed_drawn_and_replayed(lamina: Lamina, tmp_path: Path) -> None:
    work = worked_on(tmp_path / "w")
    words = ("layers", "//:main", "--grouping", "auto", "--max-layers", "5")

    table = lamina(work.root, *words).stdout
    lamina(work.root, *words, "-o", str(tmp_path / "layers.svg"))
    data = json.loads(lamina(work.root, *words, "--json", "--replay", "4").stdout)

    assert "//:m7 +1" in table
    assert "//:m7 +1" in (tmp_path / "layers.svg").read_text()
    churn = {tuple(layer["labels"]): layer["churn"] for layer in data["layers"]}
    assert churn["//:m1", "//:m7"] == 6 / 11
    assert data["commits"] == 11
    shipped = {way["grouping"]: way["bytes_per_commit"] for way in data["replay"]}
    assert shipped["per-target, unlimited"] <= shipped["auto"] < shipped["single"] / 2


def test_a_shallow_clone_is_warned_of(lamina: Lamina, tmp_path: Path) -> None:
    work = worked_on(tmp_path / "w")
    clone = ["git", "clone", "-q", "--depth", "3", f"file://{work.root}", str(tmp_path / "c")]
    subprocess.run(clone, check=True)

    done = lamina(tmp_path / "c", "package", "//:main", "--grouping", "auto", "--max-layers", "5")

    assert done.returncode == 0
    assert "warning: a shallow clone has little history" in done.stderr


def test_a_replay_wants_commits_to_learn_from(lamina: Lamina, tmp_path: Path) -> None:
    work = worked_on(tmp_path / "w")

    done = lamina(work.root, "layers", "//:main", "--replay", "11")

    assert done.returncode == 3
    assert "11 commits cannot be replayed: there are 11" in done.stderr


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), most=st.integers(1, 6))
def test_grouping_never_changes_what_is_in_the_package_root(
    seed: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    chance = random.Random(seed)
    root = Path(tempfile.mkdtemp(dir=tmp_path)) / "w"
    work = Workspace(root, targets=6)
    for _ in range(chance.randint(0, 4)):
        work.edit(*chance.sample(range(6), 2))
    monkeypatch.chdir(root)
    monkeypatch.setenv("LAMINA_STORE", str(tmp_path / "store"))

    roots = {
        strategy: _root(strategy, most, root / "..", tmp_path / "store", capsys)
        for strategy in grouping.STRATEGIES
    }

    assert len(set(map(str, roots.values()))) == 1
    assert {"main", "main.py", "m0.py", "m5.py"} <= {path for path, _, _ in roots[grouping.SINGLE]}


def _root(
    strategy: str, most: int, folder: Path, store: Path, capsys: Capture
) -> list[tuple[str, str, int]]:
    """The files of all layers by `unsquashfs`: path, digest, mode."""
    words = ["package", "--json", "-q", "//:main", "--grouping", strategy]
    assert main([*words, "--max-layers", str(most)]) == 0
    digest = json.loads(capsys.readouterr().out)["digest"]
    kept = LocalStore(store)
    found = packages.read(packages.resolve(digest, kept), kept)
    into = folder / f"out-{random.random()}"
    for image in packages.images(found, kept):
        command = ["unsquashfs", "-q", "-n", "-f", "-o", "4096", "-d", str(into), str(image)]
        subprocess.run(command, check=True, capture_output=True)
    kept.close()
    return sorted(
        (
            str(path.relative_to(into)),
            Digest.of(path.read_bytes()).hash if path.is_file() else "",
            path.stat().st_mode,
        )
        for path in into.rglob("*")
    )
