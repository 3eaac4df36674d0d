"""What forms add to a package root: the version, a zip's main module, a XAR's other programs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.manifest import Package
from lamina.core.tree import File, Node
from lamina.formats import xar
from lamina.packaging import roots
from lamina.packaging.roots import Script

PACKAGE = Package("train/A", "v1", "//train:A", (), ("A",), (), "python3.11")
BLOBS = {Digest.of(data): data for data in (b"\x7fELF...", b"text")}
NATIVE, TEXT = (File(digest) for digest in BLOBS)


def contents(root: roots.Root, path: str) -> str:
    node = root.tree[path]
    assert isinstance(node, File)
    return {Digest.of(data): data for data in root.small}[node.digest].decode()


def distribution(text: str) -> list[Script]:
    data = text.encode()
    tree: dict[str, Node] = {
        "site-packages/x-1.dist-info/entry_points.txt": File(Digest.of(data)),
        "site-packages/x/entry_points.txt": TEXT,
    }
    return roots.scripts(tree, {Digest.of(data): data, **BLOBS}.__getitem__)


def test_the_version_lies_where_launchers_look() -> None:
    found = roots.root(PACKAGE, [{"A": TEXT}, {"b": TEXT}])

    assert list(found.tree) == [".lamina/version", "A", "b"]
    assert contents(found, ".lamina/version") == "v1\n"


def test_console_scripts_are_read_as_installers_read_them() -> None:
    text = """
[gui_scripts]
g = x:g
[console_scripts]
b= x.y : z.main [extra]
a =x:f
no_function = x
no"n'e = x:f
"""

    assert distribution(text) == [Script("a", "x:f"), Script("b", "x.y:z.main")]


@pytest.mark.parametrize("text", ["", "[other]\nx = y:z\n", "no section", "[console_scripts]\nx\n"])
def test_a_distribution_without_console_scripts_has_none(text: str) -> None:
    assert distribution(text) == []


def test_a_xar_without_console_scripts_starts_the_launcher() -> None:
    root = roots.root(PACKAGE, [{"A": TEXT}])

    assert roots.for_xar(root, []) == (root, "A", ())
    assert roots.for_xar(root, [Script("A", "x:own")]) == (root, "A", ())


def test_a_header_lists_as_many_scripts_as_it_has_room_for() -> None:
    many = [Script(f"a-script-of-many-{number}", "x:f") for number in range(500)]

    root, target, names = roots.for_xar(roots.root(PACKAGE, [{"A": TEXT}]), many)

    assert 100 < len(names) < 500
    assert names[-1] == "invoke_xar_via_trampoline"
    assert len(xar.encode(xar.Header("ab", target, "v1", names))) == 4096
    assert "a-script-of-many-499)" in contents(root, target)


@pytest.mark.parametrize(
    ("called", "main"),
    [("/x/A.xar", ""), ("/x/tool", "tool=x.y:f"), ("/x/b.c-d", "b.c-d=x:g"), ("A", "")],
)
def test_the_name_of_a_xar_chooses_what_it_starts(called: str, main: str, tmp_path: Path) -> None:
    scripts = [Script("tool", "x.y:f"), Script("b.c-d", "x:g")]
    root, target, names = roots.for_xar(roots.root(PACKAGE, [{"A": TEXT}]), scripts)
    assert (target, names) == (
        ".lamina/xar",
        ("A", "tool", "b.c-d", "invoke_xar_via_trampoline"),
    )
    (tmp_path / ".lamina").mkdir()
    (tmp_path / target).write_text(contents(root, target))
    (tmp_path / "A").write_text('echo "<$LAMINA_MAIN> $@"')

    done = subprocess.run(
        ["/bin/sh", "-e", tmp_path / target, called, "an argument"],
        capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip

    assert done.stdout == f"<{main}> {called} an argument\n"


def test_a_zip_with_native_code_says_what_to_do_instead() -> None:
    root = roots.root(PACKAGE, [{"A": TEXT, "lib/b.so": NATIVE}])

    found = roots.for_zip(root, lambda digest: BLOBS.get(digest, b""))

    done = subprocess.run(
        ["python3", "-c", contents(found, "__main__.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "native code (lib/b.so)" in done.stderr
    assert "start A in it" in done.stderr


def test_only_python_programs_without_a_main_of_their_own_get_one() -> None:
    def start(digest: Digest) -> bytes:
        return BLOBS.get(digest, b"")

    native = roots.root(replace(PACKAGE, interpreter=""), [{"A": NATIVE}])
    own = roots.root(PACKAGE, [{"A": TEXT, "__main__.py": TEXT}])

    assert roots.for_zip(native, start) == native
    assert roots.for_zip(own, start) == own
