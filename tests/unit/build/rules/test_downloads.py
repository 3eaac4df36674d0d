"""`http_file`: from a server on this machine, once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from lamina.core.tree import File, Node


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def build(self, label: str) -> dict[str, Node]: ...
    def text(self, label: str, path: str = "") -> str: ...


def rule(path: Path, more: str = "") -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"http_file(name = 'f', url = '{path.as_uri()}', sha256 = '{digest}', {more})\n"


def test_a_file_is_an_input_of_others(project: Project, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("fetched")
    command = "genrule(name = 'g', srcs = [':f'], outs = ['o'], cmd = 'cp $(location :f) $@')\n"
    project.write({"p/BUILD": rule(tmp_path / "f") + command})

    assert project.text("//p:g") == "fetched"


def test_a_file_is_not_fetched_again(project: Project, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("fetched")
    project.write({"p/BUILD": rule(tmp_path / "f")})
    project.build("//p:f")

    (tmp_path / "f").unlink()
    project.write({"p/BUILD": (project.root / "p/BUILD").read_text().replace("/f'", "/gone'")})

    assert project.text("//p:f") == "fetched"


def test_a_program_is_executable_under_its_own_name(project: Project, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("#!/bin/sh\n")
    project.write({"p/BUILD": rule(tmp_path / "f", "executable = True, out = 'bin/tool'")})

    node = project.build("//p:f")["p/bin/tool"]

    assert isinstance(node, File)
    assert node.executable


def test_the_digest_may_be_written_as_integrity(project: Project, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("abc")
    integrity = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    uri = (tmp_path / "f").as_uri()
    project.write({"BUILD": f"http_file(name = 'f', url = '{uri}', integrity = '{integrity}')"})

    assert project.text("//:f") == "abc"
