from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lamina.build import workspace
from lamina.build.loader import Loader
from lamina.build.picture.scene import Scene, scene
from lamina.build.query.graph import Graph


def drawn(
    root: Path, files: Mapping[str, str], group: str = "auto", *, all_files: bool = False
) -> Scene:
    for name, text in {"lamina.toml": "", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    graph = Graph(Loader(workspace.read(root)))
    starts = [
        graph.vertex(target.label)
        for path in files
        if path.endswith("BUILD")
        for target in graph.loader.package(path.removesuffix("BUILD").rstrip("/")).targets.values()
    ]
    vertices = sorted(graph.closure(starts), key=graph.labels.__getitem__)
    return scene(graph, vertices, "x", group, files=all_files)


def edges(found: Scene) -> set[tuple[str, str]]:
    return {(found.boxes[a].title, found.boxes[b].title) for a, b in found.edges}


GENERATED = {
    "BUILD": "genrule(name = 'g', outs = ['o.txt'], srcs = ['i.txt'], cmd = '')\n"
    "filegroup(name = 'f', srcs = ['o.txt'])\n",
    "i.txt": "",
}


def test_a_file_that_is_made_stands_for_its_maker(tmp_path: Path) -> None:
    assert edges(drawn(tmp_path, GENERATED)) == {("f", "g")}


def test_files_are_boxes_where_they_are_asked_for(tmp_path: Path) -> None:
    found = drawn(tmp_path, GENERATED, all_files=True)

    assert edges(found) == {("f", "o.txt"), ("o.txt", "g"), ("g", "i.txt")}


def many(packages: int, depth: str = "") -> dict[str, str]:
    """Build packages of three targets, of which the first names one of the package before."""
    files = {}
    for number in range(packages):
        above = [f"//{depth}p{number - 1}:b"] if number else []
        files[f"{depth}p{number}/BUILD"] = (
            f"filegroup(name = 'a', srcs = [':b'] + {above})\n"
            "filegroup(name = 'b', visibility = ['PUBLIC'])\nfilegroup(name = 'c')\n"
        )
    return files


def test_many_targets_are_drawn_by_build_package(tmp_path: Path) -> None:
    found = drawn(tmp_path, many(30))

    assert len(found.boxes) == 30
    assert [item.name for item in found.boxes[0].items] == ["a", "b", "c"]
    assert len(found.edges) == 29
    assert found.rules == [("filegroup", 90)]


def test_few_build_packages_are_drawn_if_asked_for(tmp_path: Path) -> None:
    assert edges(drawn(tmp_path, many(2), "package")) == {("//p1", "//p0")}


def test_very_many_build_packages_are_drawn_by_folder(tmp_path: Path) -> None:
    found = drawn(tmp_path, {**many(130, "deep/"), "other/BUILD": "filegroup(name = 'o')\n"})

    assert [box.title for box in found.boxes] == ["//deep/...", "//other"]
    assert found.boxes[0].note == "130 build packages"


def test_reduced_leaves_out_what_a_longer_way_says(tmp_path: Path) -> None:
    text = "".join(
        f"filegroup(name = '{name}', srcs = {below})\n"
        for name, below in (("a", [":b", ":c"]), ("b", [":c"]), ("c", [":d"]), ("d", [":c"]))
    )

    found = drawn(tmp_path, {"BUILD": text})

    assert edges(found.reduced()) == {("a", "b"), ("b", "c"), ("c", "d"), ("d", "c")}
