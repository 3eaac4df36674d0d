"""Which code of others ends up in a target."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Protocol

from lamina.build import workspace
from lamina.build.analysis import analyse
from lamina.build.loader import Loader
from lamina.build.origins import Origins, origins
from lamina.build.toolchains import Toolchains
from lamina.core.label import Label
from lamina.linux.versions import ToolVersions


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...


def archive(path: Path, files: dict[str, str]) -> str:
    """Write an archive; what an `http_archive` says of it."""
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"url = '{path.as_uri()}', sha256 = '{digest}'"


def found(project: Project, label: str) -> Origins:
    loader = Loader(workspace.read(project.root))
    root = Label.parse(label)
    targets = loader.closure([root])
    toolchains = Toolchains(loader.workspace, ToolVersions(project.root.parent / "tools.json"))
    analysed = analyse(targets, toolchains, loader.place, cells=loader.cells)
    return origins(root, targets, analysed, loader.cells, loader.generated)


def test_what_is_linked_in_counts_and_tools_do_not(project: Project, tmp_path: Path) -> None:
    source = archive(tmp_path / "lib.tar", {"f.c": "int f(void) { return 0; }"})
    tool = archive(tmp_path / "tool.tar", {"tool.sh": ""})
    project.write(
        {
            "BUILD": f"""
http_archive(name = 'lib', {source}, sub_targets = ['f.c'])
http_archive(name = 'tool', {tool}, sub_targets = ['tool.sh'])
cxx_library(name = 'f', srcs = [':lib[f.c]', ':made'])
genrule(name = 'made', outs = ['g.c'], tools = [':tool'], cmd = 'touch $@')
cxx_binary(name = 'm', srcs = ['m.c'], deps = [':f'])
""",
            "m.c": "int f(void); int main(void) { return f(); }",
        }
    )

    told = found(project, "//:m")

    lib = Label.parse("//:lib")
    assert list(told.found) == [lib]
    assert told.found[lib].address == (tmp_path / "lib.tar").as_uri()
    assert told.needs == {Label.parse("//:m"): (lib,), lib: ()}
