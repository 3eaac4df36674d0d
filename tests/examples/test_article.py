"""The article's example, from BUILD file to process, through the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]

_PRINTED = """\
Hello from A
B calls D, D calls F: this is call 1 of F
C calls E, E calls F: this is call 2 of F
There is one F: D and E use one counter, at one address
"""


@pytest.fixture
def article(copy_of: Callable[..., Path]) -> Path:
    return copy_of("article")


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _closing_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.splitlines()[-1]


def _layers(lamina: Lamina, root: Path, **options: object) -> dict[str, str]:
    done = lamina(root, "package", "--json", "//:A", **options)
    assert done.returncode == 0, done.stderr
    package = json.loads(done.stdout)
    return {"": package["digest"]} | {lay["label"]: lay["digest"] for lay in package["layers"]}


def test_the_article_runs_and_f_is_there_once(lamina: Lamina, article: Path) -> None:
    done = lamina(article, "run", "//:A")

    assert (done.returncode, done.stdout) == (0, _PRINTED), done.stderr


def test_the_closing_line_counts_layers_bytes_and_time(lamina: Lamina, article: Path) -> None:
    done = lamina(article, "run", "//:A")

    size = r"\d+(\.\d)? (B|KiB)"
    line = rf"7 layers made, 0 reused; {size} new of {size}; ready in \d+\.\d\d s"
    assert re.fullmatch(line, _closing_line(done))


def test_layers_lie_on_what_they_depend_on(lamina: Lamina, article: Path) -> None:
    labels = [label.removeprefix("//:") for label in _layers(lamina, article) if label]

    assert labels == ["F", "D", "B", "E", "native", "C", "A"]


def test_nothing_changed_runs_no_action_and_makes_no_layer(lamina: Lamina, article: Path) -> None:
    lamina(article, "run", "//:A")

    again = lamina(article, "run", "//:A")

    assert again.stdout == _PRINTED
    assert len(again.stderr.splitlines()) == 1
    assert again.stderr.startswith("0 layers made, 7 reused; 0 B new of ")


def test_a_touched_file_is_not_a_changed_one(lamina: Lamina, article: Path) -> None:
    lamina(article, "run", "//:A")
    (article / "A.py").touch()

    again = lamina(article, "run", "//:A")

    assert again.stderr.startswith("0 layers made, 7 reused; ")


@pytest.mark.parametrize(
    ("file", "old", "new", "printed"),
    [
        ("A.py", "Hello from A", "Hello again", "Hello again"),
        ("B.py", "return _D.d_call()", "return 10 * _D.d_call()", "this is call 10 of F"),
        ("F.cc", "++count", "count += 5", "this is call 5 of F"),
    ],
)
def test_an_edit_makes_the_layer_of_its_target_alone(
    lamina: Lamina, article: Path, file: str, old: str, new: str, printed: str
) -> None:
    before = _layers(lamina, article)
    _replace(article / file, old, new)

    again = lamina(article, "run", "//:A")

    assert again.returncode == 0
    assert printed in again.stdout
    assert _closing_line(again).startswith("1 layer made, 6 reused; ")
    after = _layers(lamina, article)
    changed = {label for label in after if after[label] != before[label]}
    assert changed == {"", f"//:{file[0]}"}


def test_a_comment_in_c_is_compiled_and_makes_no_layer(lamina: Lamina, article: Path) -> None:
    lamina(article, "run", "//:A")
    _replace(article / "F.cc", "static int", "// counts\nstatic int")

    again = lamina(article, "run", "//:A")

    assert "CxxCompile F.cc" in again.stderr
    assert _closing_line(again).startswith("0 layers made, 7 reused; ")


def test_taking_an_edit_back_makes_nothing(lamina: Lamina, article: Path) -> None:
    lamina(article, "run", "//:A")
    _replace(article / "A.py", "Hello", "Bye")
    lamina(article, "run", "//:A")
    _replace(article / "A.py", "Bye", "Hello")

    again = lamina(article, "run", "//:A")

    assert again.stdout == _PRINTED
    assert again.stderr.startswith("0 layers made, 7 reused; ")


def test_an_older_package_runs_its_own_code_without_the_workspace(
    lamina: Lamina, article: Path, tmp_path: Path
) -> None:
    old = json.loads(lamina(article, "package", "--json", "//:A").stdout)
    _replace(article / "A.py", "Hello", "Bye")
    assert lamina(article, "run", "//:A").stdout == _PRINTED.replace("Hello", "Bye")
    shutil.rmtree(article)

    by_version = lamina(tmp_path, "exec", f"A:{old['version']}")
    by_digest = lamina(tmp_path, "exec", f"A@{old['digest']}")
    newest = lamina(tmp_path, "exec", "A")

    assert by_version.stdout == by_digest.stdout == _PRINTED
    assert newest.stdout == _PRINTED.replace("Hello", "Bye")


def test_another_folder_home_umask_and_time_give_the_same_bytes(
    lamina: Lamina, copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = copy_of("article", "here"), copy_of("article", "there/and/deeper")
    for number, file in enumerate(sorted(second.iterdir())):
        os.utime(file, (number, number))
        file.chmod(0o600)

    one = _layers(lamina, first, umask=0o022, environment={"HOME": str(first), "TZ": "UTC"})
    other = _layers(
        lamina,
        second,
        umask=0o077,
        environment={
            "HOME": str(second),
            "LAMINA_STORE": str(tmp_path / "other"),
            "LC_ALL": "C",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SOURCE_DATE_EPOCH": "1000000000",
            "TZ": "Asia/Tokyo",
        },
    )

    assert one == other


def _others_may_run_this() -> bool:
    """Whether an ordinary user can reach the interpreter and the code under test."""
    # A virtual environment links to its interpreter, so both must be reachable.
    wanted = [Path(sys.executable), Path(sys.executable).resolve(), Path(__file__)]
    folders = {parent for path in wanted for parent in path.parents}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
def test_another_user_makes_the_same_bytes(lamina: Lamina, article: Path) -> None:
    if not _others_may_run_this():
        pytest.skip("the interpreter lies where other users may not go")
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        theirs = Path(name) / "article"
        shutil.copytree(article, theirs)
        for path in (Path(name), theirs, *theirs.iterdir()):
            os.chown(path, nobody, nobody)
        environment = {"HOME": name, "LAMINA_STORE": f"{name}/store"}

        found = _layers(lamina, theirs, user=nobody, environment=environment)

    assert found == _layers(lamina, article)


def test_a_second_checkout_takes_all_from_the_store(
    lamina: Lamina, article: Path, copy_of: Callable[..., Path]
) -> None:
    lamina(article, "package", "//:A")
    elsewhere = copy_of("article", "elsewhere")

    done = lamina(elsewhere, "run", "//:A")

    assert done.stdout == _PRINTED
    assert done.stderr.startswith("0 layers made, 7 reused; ")
