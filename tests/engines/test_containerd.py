"""Images of packages in containerd alone, as nodes of a cluster have it."""

from __future__ import annotations

import json
from pathlib import Path

from .servers import Containerd, Registry, Run
from .test_images import LAST_LINE, written


def test_containerd_imports_and_runs_an_archive_on_a_base(
    lamina: Run, containerd: Containerd, article: Path, small_root: Path
) -> None:
    made = written(lamina, article, "oci-archive", "--base", str(small_root))

    containerd("images", "import", made)

    name = "docker.io/library/a:v1"
    try:
        assert containerd("images", "ls", "-q").split() == [name]
        assert containerd.run(name).splitlines()[-1] == LAST_LINE
        words = containerd.run(name, "/bin/sh", "-c", "echo $LAMINA_VERSION $LAMINA_PACKAGE")
        assert words.split() == ["v1", "/packages/A"]
    finally:
        containerd("images", "rm", "--sync", name)


def test_containerd_pulls_what_was_pushed_and_then_what_an_edit_changed(
    lamina: Run, containerd: Containerd, article: Path, small_root: Path, registry: Registry
) -> None:
    place = f"{registry.place}/team/a"

    def moved(version: str) -> tuple[int, list[str]]:
        """How many blobs lamina sent, and those that containerd fetched to run the image."""
        words = ("push", "--format", "oci", "--base", str(small_root), "--json", "//:A")
        told = json.loads(lamina(article, *words, f"{place}:{version}", "--version", version))
        before = len(registry.fetched)
        containerd("images", "pull", "--plain-http", f"{place}:{version}")
        assert containerd.run(f"{place}:{version}").splitlines()[-1] == LAST_LINE
        return told["blobs"], registry.fetched[before:]

    try:
        first = moved("v1")
        (article / "B.py").write_text((article / "B.py").read_text() + "# edited\n")
        second = moved("v2")
    finally:
        containerd("images", "rm", "--sync", *containerd("images", "ls", "-q").split())

    assert first[0] == len(set(first[1])) == 1 + 7 + 1  # base, layers, config
    assert second[0] == len(second[1]) == 1 + 1  # the changed layer, config
    assert not {*first[1]} & {*second[1]}
