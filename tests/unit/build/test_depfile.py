"""What compilers say they read; the oracle for odd names is gcc itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lamina.build import depfile
from lamina.core.digest import Digest
from lamina.core.tree import File, Node, Symlink

FILE: Node = File(Digest.of(b""))


def test_the_files_behind_the_colon_are_read() -> None:
    text = "out/a.o: a.cc ./b/c.h \\\n b/../d.h \\\n  /usr/include/stdio.h\n"

    assert depfile.prerequisites(text) == ["a.cc", "b/c.h", "d.h", "/usr/include/stdio.h"]


def test_rules_without_a_command_for_lost_headers_add_nothing() -> None:
    assert depfile.prerequisites("a.o: a.cc b.h\n\nb.h:\n") == ["a.cc", "b.h"]


def test_only_inputs_are_used() -> None:
    inputs = dict.fromkeys(("a.cc", "b.h", "c.h"), FILE)

    assert depfile.used("a.o: a.cc b.h /usr/include/x.h\n", inputs) == ["a.cc", "b.h"]


def test_links_are_used_and_lead_to_what_is() -> None:
    links = {"l.h": "d/b.h", "e": "d", "f": "/work/d", "round": "round"}
    inputs = dict.fromkeys(("a.cc", "d/b.h", "d/c.h", "d/x.h"), FILE)
    inputs |= {path: Symlink(target) for path, target in links.items()}
    text = "a.o: a.cc l.h e/c.h f/none.h round/x.h\n"

    assert sorted(depfile.used(text, inputs)) == sorted([*links, "a.cc", "d/b.h", "d/c.h"])


def test_a_whole_path_is_one_from_where_the_action_runs() -> None:
    assert depfile.used("a.o: /work/a.cc /works/b.h\n", {"a.cc": FILE, "s/b.h": FILE}) == ["a.cc"]


@pytest.mark.parametrize("name", ["x y.h", "x#y.h", "x$y.h", "x$$y.h", "ü.h", "x\\y.h", "a:b.h"])
def test_odd_names_are_read_as_gcc_writes_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    (tmp_path / "a.c").write_text(f'#include "{name}"\n')
    command = ["gcc", "-MD", "-MF", "a.d", "-c", "a.c", "-o", "a.o"]
    subprocess.run(command, cwd=tmp_path, check=True)

    assert depfile.prerequisites((tmp_path / "a.d").read_text()) == [
        "a.c",
        *(
            ["/usr/include/stdc-predef.h"]
            if "stdc-predef" in (tmp_path / "a.d").read_text()
            else []
        ),
        name,
    ]


def test_of_what_ran_elsewhere_a_whole_path_counts_for_all_that_it_may_be() -> None:
    tree: dict[str, Node] = dict.fromkeys(("a.h", "p/a.h", "q/a.h"), FILE)
    text = "x.o: /worker/7/p/a.h /usr/include/stdio.h"

    assert depfile.used(text, tree) == []
    assert sorted(depfile.used(text, tree, anywhere=True)) == ["a.h", "p/a.h"]
