"""`lamina affected` in real repositories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from .conftest import Lamina

FILES = {
    "app/BUILD": """
python_binary(name = "app", srcs = ["app.py"], deps = ["//lib"])
python_test(name = "app_test", srcs = ["app_test.py"], deps = ["//lib"])
""",
    "app/app.py": "",
    "app/app_test.py": "",
    "lib/BUILD": "python_library(name = 'lib', srcs = glob(['*.py']), visibility = ['PUBLIC'])\n",
    "lib/lib.py": "",
    "other/BUILD": "python_library(name = 'other', srcs = ['other.py'])\n",
    "other/other.py": "",
}
IDENTITY = {"GIT_CONFIG_GLOBAL": "/dev/null", "HGRCPATH": "", "HGUSER": "a"}


class Versioned:
    """A workspace under version control."""

    def __init__(self, lamina: Lamina, tool: str) -> None:
        self.lamina = lamina
        self.tool = tool
        lamina.write(FILES)
        self.run("init", "-q")
        self.commit("first")

    def run(self, *words: str) -> None:
        subprocess.run(
            [self.tool, *words], cwd=self.lamina.root, check=True, capture_output=True,
            env={**os.environ, **IDENTITY},
        )  # fmt: skip

    def commit(self, tag: str) -> None:
        if self.tool == "git":
            self.run("add", "-A")
            self.run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x")
            self.run("tag", tag)
        else:
            self.run("commit", "-q", "-A", "-m", "x")
            self.run("bookmark", "-i", tag)

    def affected(self, *words: str) -> list[str]:
        done = self.lamina("affected", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture(params=["git", "hg"])
def versioned(request: pytest.FixtureRequest, lamina: Lamina) -> Versioned:
    return Versioned(lamina, request.param)


def test_nothing_is_affected_where_nothing_changed(versioned: Versioned) -> None:
    assert versioned.affected() == []


def test_edits_count_before_and_after_they_are_committed(versioned: Versioned) -> None:
    versioned.lamina.write({"lib/new.py": "", "other/other.py": "x"})
    expected = ["//app:app", "//app:app_test", "//lib:lib", "//other:other"]

    assert versioned.affected() == expected
    assert versioned.affected("//lib/...", "//other/...", "--", "-//other") == ["//lib:lib"]
    versioned.commit("second")
    assert versioned.affected() == []
    assert versioned.affected("--since", "first") == expected
    assert versioned.affected("--since", "first", "--tests") == ["//app:app_test"]


def test_a_build_file_affects_the_targets_that_it_changes(versioned: Versioned) -> None:
    text = FILES["app/BUILD"].replace('"app_test.py"', '"app_test.py", "app.py"') + "# note\n"
    versioned.lamina.write({"app/BUILD": text})

    assert versioned.affected("--because") == ["//app:app_test  app/BUILD"]


def test_a_renamed_file_of_a_glob_affects_its_target(versioned: Versioned) -> None:
    versioned.run("mv", "lib/lib.py", "lib/renamed.py")

    [found] = json.loads(versioned.lamina("affected", "//lib", "--json").stdout)
    assert (found["label"], found["rule"], found["because"]) == (
        "//lib:lib", "python_library", "lib/lib.py",
    )  # fmt: skip


def test_a_branch_is_compared_with_where_it_parted(versioned: Versioned) -> None:
    versioned.lamina.write({"lib/lib.py": "theirs"})
    versioned.commit("theirs")
    versioned.run(
        *(["checkout", "-q", "first"] if versioned.tool == "git" else ["update", "first"])
    )
    versioned.lamina.write({"other/other.py": "mine"})

    both = ["//app:app", "//app:app_test", "//lib:lib", "//other:other"]
    assert versioned.affected("--since", "theirs") == both
    assert versioned.affected("--since", "theirs...") == ["//other:other"]
    assert versioned.affected("--since", "theirs", "--merge-base") == ["//other:other"]


def test_a_workspace_may_be_a_folder_of_the_repository(lamina: Lamina) -> None:
    lamina.write({"work/lamina.toml": "", "outside.txt": ""})
    (lamina.root / "lamina.toml").unlink()
    lamina.write({f"work/{name}": text for name, text in FILES.items()})
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=lamina.root, check=True, env={**os.environ, **IDENTITY},
        )  # fmt: skip
    lamina.write({"outside.txt": "x", "work/other/other.py": "x"})

    assert lamina("affected", at="work").stdout == "//other:other\n"


def test_a_file_that_is_gone_affects_who_still_names_it(versioned: Versioned) -> None:
    (versioned.lamina.root / "other/other.py").unlink()

    assert versioned.affected() == ["//other:other"]


def test_a_build_file_with_faults_is_told(versioned: Versioned) -> None:
    versioned.lamina.write({"lib/BUILD": "python_library("})

    done = versioned.lamina("affected")
    assert (done.returncode, done.stdout) == (3, "")
    assert "error: lib/BUILD:" in done.stderr
    done = versioned.lamina("affected", "-k")
    assert (done.returncode, done.stdout) == (3, "//app:app\n//app:app_test\n")


def test_a_revision_that_is_none_is_told(versioned: Versioned) -> None:
    done = versioned.lamina("affected", "--since", "nowhere")

    assert done.returncode == 3
    assert "knows no revision `nowhere`" in done.stderr


def test_a_workspace_without_version_control_is_told(lamina: Lamina) -> None:
    assert shutil.which("git")

    done = lamina("affected")

    assert done.returncode == 3
    assert "is under neither git nor Mercurial" in done.stderr
