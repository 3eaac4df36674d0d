"""Images in a real registry: what a push has to move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import servers
from .conftest import need
from .servers import Registry, Run


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    need("docker-registry"), need("skopeo")
    with servers.registry(tmp_path) as found:
        yield found


def test_a_second_push_moves_the_changed_layer_and_what_lists_it(
    lamina: Run, article: Path, registry: Registry
) -> None:
    def pushed(version: str) -> set[str]:
        before = registry.blobs
        words = ("package", "//:A", "--format", "oci", "-o", str(article.parent))
        registry.push(Path(lamina(article, *words, "--version", version)), version)
        return registry.blobs - before

    first = pushed("v1")
    renamed = pushed("v2")
    (article / "B.py").write_text((article / "B.py").read_text() + "# edited\n")
    edited = pushed("v3")

    assert len(first) == 7 + 2
    assert len(renamed) == 2  # config and manifest
    assert len(edited) == 1 + 2
