"""`lamina-out/` holds what the last build gave, whatever lay there or was done to it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lamina.cli import publish
from lamina.core.errors import Interrupted
from lamina.core.tree import Node

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

# Makes a file for each line of its source.
UNFOLD = (
    "mkdir $@; for each in `cat $<`; do mkdir -p $@/`dirname $$each`; echo $$each > $@/$$each; done"
)


def rule(out: str, cmd: str, name: str = "made") -> str:
    return f"genrule(name = '{name}', srcs = ['list'], outs = ['{out}'], cmd = '{cmd}')\n"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": lambda out: (out / "p/x").unlink(),
    "all removed": shutil.rmtree,
    "edited": lambda out: rewrite(out / "p/x", "damaged"),
    "edited to the same size": lambda out: rewrite(out / "p/x", "elbat\n"),
    "made executable": lambda out: (out / "p/x").chmod(0o755),
    "a folder now": lambda out: gone(out / "p/x").mkdir(),
    "a link now": lambda out: gone(out / "p/x").symlink_to("link"),
    "link removed": lambda out: (out / "p/link").unlink(),
    "link retargeted": lambda out: gone(out / "p/link").symlink_to("x"),
    "moved away": lambda out: out.rename(out.parent / "moved"),
}


def rewrite(path: Path, text: str) -> None:
    path.chmod(0o644)
    path.write_text(text)


def gone(path: Path) -> Path:
    path.unlink()
    return path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("pause", [0, 0.06], ids=["fresh", "settled"])
def test_what_is_done_to_outputs_is_undone(
    workspace: Workspace, damage: Callable[[Path], object], pause: float
) -> None:
    link = "ln -s /nowhere $@"
    workspace.write({"p/BUILD": rule("x", "cat $< > $@") + rule("link", link, "link")})
    workspace.write({"p/list": "table\n"})
    workspace.build()
    time.sleep(pause)

    damage(workspace.root / "lamina-out")

    assert workspace.check() == 0


def test_files_that_an_output_folder_has_no_more_go(workspace: Workspace) -> None:
    workspace.write({"p/BUILD": rule("d", UNFOLD)})

    for text in ("a b/c", "b", "b/c d", "d", "", "d/e/f d/e/g", "d/e/g"):
        workspace.write({"p/list": text})
        workspace.check()


def test_a_changed_rule_leaves_nothing_of_its_output_folder_either(workspace: Workspace) -> None:
    workspace.write({"p/BUILD": rule("d", UNFOLD), "p/list": "a b/c"})
    workspace.check()

    workspace.write({"p/BUILD": rule("d", f": again; {UNFOLD}"), "p/list": "b"})
    workspace.check()


def test_an_output_may_take_the_place_of_others(workspace: Workspace) -> None:
    workspace.write({"p/list": "text"})

    for out in ("x", "x/y", "x/y/z", "x", "x/y"):
        workspace.write({"p/BUILD": rule(out, "cat $< > $@")})
        workspace.check()
    workspace.write({"p/BUILD": rule("x", UNFOLD), "p/list": "y/deep"})
    workspace.check()


@pytest.mark.parametrize("pattern", ["//p:program", "//..."])
def test_a_file_of_a_program_may_take_the_place_of_others(
    workspace: Workspace, pattern: str
) -> None:
    workspace.write({"p/main.py": "", "p/text": "text"})

    for place in ("x", "x/y", "x/y/z", "x", "x/y"):
        resources = f"{{'{place}': 'text'}}"
        binary = f"python_binary(name = 'program', main = 'main.py', resources = {resources})\n"
        workspace.write({"p/BUILD": binary})
        workspace.check(pattern)


def test_outputs_that_no_target_has_any_more_go(workspace: Workspace) -> None:
    workspace.write({"p/list": "text", "p/main.py": "", "q/list": "text"})
    workspace.write({"q/BUILD": rule("deep/z", "cat $< > $@")})
    program = "python_binary(name = 'program', main = 'main.py')\n"
    workspace.write({"p/BUILD": rule("x", "cat $< > $@") + program})
    workspace.check("//...")

    workspace.write({"p/BUILD": rule("y", "cat $< > $@")})
    (workspace.root / "q/BUILD").unlink()
    workspace.check("//...")

    assert not (workspace.root / "lamina-out/q").exists()


def test_outputs_of_other_commands_stay(workspace: Workspace) -> None:
    workspace.write({"p/list": "text", "q/list": "text"})
    workspace.write({"p/BUILD": rule("x", "cat $< > $@"), "q/BUILD": rule("x", "cat $< > $@")})
    workspace.build("//p:made")
    workspace.build("//q:made")
    workspace.write({"p/BUILD": rule("y", "cat $< > $@")})
    workspace.build("//p:made")

    assert sorted(workspace.outputs()) == ["p/y", "q/x"]


def test_a_file_of_somebody_else_is_not_removed(workspace: Workspace) -> None:
    workspace.write({"p/BUILD": rule("x/y", "cat $< > $@"), "p/list": "text"})
    workspace.build()
    workspace.write({"lamina-out/p/x/notes": "mine"})
    workspace.write({"p/BUILD": rule("x", "cat $< > $@")})

    done = workspace("build", "//...")

    assert done.code == 3
    assert "is in the way of the output `lamina-out/p/x`" in done.err
    assert workspace.output("p/x/notes") == "mine"


def test_what_a_killed_process_had_written_may_be_replaced(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write({"p/BUILD": rule("x", "cat $< > $@"), "p/list": "text"})
    write = publish.Publisher._write

    def killed(self: publish.Publisher, node: Node, target: Path) -> None:
        write(self, node, target)
        self._changed = False
        self._journal = workspace.root / "none"  # which a kill would not have removed either
        raise Interrupted(9)

    with monkeypatch.context() as patch:
        patch.setattr(publish.Publisher, "_write", killed)
        assert workspace("build", "//...").code == 128 + 9
    assert (workspace.root / "lamina-out/p/x").exists()

    workspace.write({"p/BUILD": rule("x/y", "cat $< > $@")})
    workspace.check()


def test_with_keep_going_what_can_be_made_is_there(workspace: Workspace) -> None:
    cmd = "cp $< $@; test `cat $@` = good"
    fails = f"genrule(name = 'fails', srcs = ['f'], outs = ['f.out'], cmd = '{cmd}')\n"
    workspace.write({"p/BUILD": fails + rule("x", "cat $< > $@"), "p/list": "one", "p/f": "good"})
    workspace.build("-k", "//...")

    for text in ("two", "three"):
        workspace.write({"p/f": "bad", "p/list": text})
        assert workspace("build", "-k", "//...").code == 1
        assert workspace.output("p/x") == text

    workspace.write({"p/f": "good"})
    workspace.check("-k", "//...")
