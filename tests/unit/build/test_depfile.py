"""What compilers say they read; the oracle for odd names is gcc itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lamina.build import depfile


def test_the_files_behind_the_colon_are_read() -> None:
    text = "out/a.o: a.cc ./b/c.h \\\n b/../d.h \\\n  /usr/include/stdio.h\n"

    assert depfile.prerequisites(text) == ["a.cc", "b/c.h", "d.h", "/usr/include/stdio.h"]


def test_rules_without_a_command_for_lost_headers_add_nothing() -> None:
    assert depfile.prerequisites("a.o: a.cc b.h\n\nb.h:\n") == ["a.cc", "b.h"]


def test_only_inputs_are_used() -> None:
    assert depfile.used("a.o: a.cc b.h /usr/include/x.h\n", {"a.cc", "b.h", "c.h"}) == [
        "a.cc",
        "b.h",
    ]


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
