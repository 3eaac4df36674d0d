"""Documents of images of others: whatever is wrong in one, it is told as an error of ours."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import IntegrityError, LaminaError
from lamina.formats import image
from lamina.formats.image import Choice

ID = f"sha256:{'a' * 64}"
CONFIG = {
    "architecture": "amd64",
    "config": {
        "Env": ["A=1"],
        "User": "7",
        "Cmd": ["sh"],
        "Labels": {"b": "2", "a": "1"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGINT",
    },
    "history": [{"created_by": "x"}, {"created_by": "y", "empty_layer": True}],
    "rootfs": {"diff_ids": [ID]},
}
LAYERS = [{"digest": ID, "size": 1, "mediaType": "x"}]
SAVED = [{"Config": "config", "RepoTags": ["a:1"], "Layers": ["layer"]}]
INDEX = {"manifests": [{"platform": {"architecture": "amd64", "os": "linux"}}]}

words = st.text(max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | words
    | st.sampled_from(["\ud800", ID]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """A document in which one value, or all of it, is something else."""
    found: list[Any] = [copy.deepcopy(document)]
    at, key = found, 0
    while draw(st.booleans()) and isinstance(at[key], list | dict) and at[key]:
        at = at[key]
        key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    if isinstance(at, dict) and draw(st.booleans()):
        del at[key]
    else:
        at[key] = draw(values)
    return found[0]


def blob(files: dict[str, bytes], document: Any, **more: Any) -> dict[str, Any]:
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    files[image.place(digest)] = data
    return {"digest": digest, "size": len(data), **more}


def read(files: dict[str, bytes]) -> image.Found:
    def file(path: str) -> bytes:
        if path not in files:
            raise IntegrityError(f"no {path}")
        return files[path]

    return image.read([*files], file, Choice("", "amd64"))


def layout(index: Any, manifest: Any, config: Any) -> dict[str, bytes]:
    """An OCI layout; documents that still have a place for the digest of the next get it."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    if isinstance(manifest, dict):
        manifest = {**manifest, "config": blob(files, config)}
    described = blob(files, manifest)
    with contextlib.suppress(TypeError, KeyError, IndexError, AttributeError):
        index["manifests"][0].update(described)
    files["index.json"] = json.dumps(index).encode()
    return files


def test_sound_documents_are_read() -> None:
    saved = {"manifest.json": json.dumps(SAVED).encode(), "config": json.dumps(CONFIG).encode()}

    for files in (layout(copy.deepcopy(INDEX), {"layers": LAYERS}, CONFIG), saved):
        found = read(files)
        assert [layer.diff_id for layer in found.layers] == ["a" * 64]
        assert (found.image.user, len(found.image.history)) == ("7", 2)
        assert found.image.labels == (("a", "1"), ("b", "2"))
        assert (found.image.ports, found.image.volumes) == (("80/tcp",), ("/data",))
        assert found.image.stop_signal == "SIGINT"


@given(damaged(INDEX), damaged({"layers": LAYERS}), damaged(CONFIG), st.integers(0, 2))
def test_a_damaged_layout_is_told(index: Any, manifest: Any, config: Any, which: int) -> None:
    sound = [copy.deepcopy(INDEX), {"layers": LAYERS}, CONFIG]
    sound[which] = (index, manifest, config)[which]

    with contextlib.suppress(LaminaError):
        read(layout(*sound))


@given(damaged(SAVED), damaged(CONFIG), st.booleans())
def test_a_damaged_archive_of_docker_is_told(entries: Any, config: Any, which: bool) -> None:
    entries, config = (entries, CONFIG) if which else (SAVED, config)

    with contextlib.suppress(LaminaError):
        read({"manifest.json": json.dumps(entries).encode(), "config": json.dumps(config).encode()})


@given(st.binary(max_size=20) | values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_index_names_nothing_or_is_told(data: bytes) -> None:
    with contextlib.suppress(LaminaError):
        assert isinstance(image.named(data), list)
