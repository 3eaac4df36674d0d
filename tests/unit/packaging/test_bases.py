"""Base images from hand-made layouts: what is chosen, what is refused. Real ones: tests/engines."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.formats import ociimage
from lamina.packaging import bases
from lamina.store.local import LocalStore

HERE, OTHER = ociimage.architecture("x86_64"), ociimage.architecture("aarch64")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStore]:
    monkeypatch.setattr("os.uname", lambda: type("U", (), {"machine": "x86_64"}))
    found = LocalStore(tmp_path / "store")
    yield found
    found.close()


class Layout:
    """A layout folder that is filled blob by blob."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)

    def put(self, data: bytes, kind: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs/sha256" / name).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(data)}

    def image(self, text: bytes, **config: object) -> dict[str, object]:
        layer = self.put(gzip.compress(text, mtime=0), ociimage.MEDIA_TYPES["gzip"])
        diffs = [f"sha256:{hashlib.sha256(text).hexdigest()}"]
        document = {"rootfs": {"type": "layers", "diff_ids": diffs}, "config": config}
        described = self.put(json.dumps(document).encode(), ociimage.CONFIG)
        manifest = json.dumps({"layers": [layer], "config": described}).encode()
        return self.put(manifest, "application/vnd.oci.image.manifest.v1+json")

    def index(self, *manifests: dict[str, object]) -> None:
        (self.folder / "index.json").write_text(json.dumps({"manifests": manifests}))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def test_layers_environment_and_user_are_those_of_the_image(
    layout: Layout, store: LocalStore
) -> None:
    layout.index(layout.image(b"tar", Env=["A=1"], User="u", Entrypoint=["x"], Cmd=["y"]))

    found = bases.read(layout.folder, store)

    assert (found.environment, found.settings) == (("A=1",), {"User": "u"})
    (layer,) = found.layers
    assert layer.diff == hashlib.sha256(b"tar").hexdigest()
    assert gzip.decompress(store.read(layer.blob)) == b"tar"


def test_of_several_the_one_for_this_machine_is_taken(layout: Layout, store: LocalStore) -> None:
    one = {**layout.image(b"one"), "platform": {"architecture": OTHER, "os": "linux"}}
    two = {**layout.image(b"two"), "platform": {"architecture": HERE, "os": "linux"}}
    inner = layout.put(json.dumps({"manifests": [one, two]}).encode(), ociimage.INDEX)
    layout.index(inner)

    (layer,) = bases.read(layout.folder, store).layers

    assert layer.diff == hashlib.sha256(b"two").hexdigest()
    layout.index(one)
    with pytest.raises(UserError, match=f"no image for {HERE}"):
        bases.read(layout.folder, store)


@pytest.mark.parametrize("kind", ["config", "layer", "manifest"])
def test_every_blob_is_compared_with_its_name(layout: Layout, store: LocalStore, kind: str) -> None:
    manifest = layout.image(b"tar")
    layout.index(manifest)
    document = json.loads(
        (layout.folder / ociimage.place(str(manifest["digest"])[7:])).read_bytes()
    )
    wanted = {
        "manifest": manifest,
        "layer": document["layers"][0],
        "config": document["config"],
    }
    (layout.folder / ociimage.place(wanted[kind]["digest"][7:])).write_bytes(b"{}")

    with pytest.raises(IntegrityError, match="does not match its name"):
        bases.read(layout.folder, store)


def saved(layout: Layout, layer: bytes, plain: bytes) -> None:
    """What `docker save` writes: files of any name, listed in `manifest.json`."""
    (layout.folder / "layer.tar").write_bytes(layer)
    diffs = [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    (layout.folder / "config.json").write_text(json.dumps({"rootfs": {"diff_ids": diffs}}))
    entry = {"Config": "config.json", "Layers": ["layer.tar"]}
    (layout.folder / "manifest.json").write_text(json.dumps([entry]))


@pytest.mark.parametrize(
    ("pack", "kind"), [(bytes, "none"), (gzip.compress, "gzip")], ids=["plain", "gzip"]
)
def test_layers_of_docker_save_may_be_compressed(
    layout: Layout, store: LocalStore, pack: Callable[[bytes], bytes], kind: str
) -> None:
    saved(layout, pack(b"tar"), b"tar")

    (layer,) = bases.read(layout.folder, store).layers

    assert layer.diff == hashlib.sha256(b"tar").hexdigest()
    assert layer.media_type == ociimage.MEDIA_TYPES[kind]


def test_a_damaged_layer_of_docker_save_is_refused(layout: Layout, store: LocalStore) -> None:
    saved(layout, b"rat", b"tar")

    with pytest.raises(IntegrityError, match="does not match its digest"):
        bases.read(layout.folder, store)


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"manifests": []}', '{"manifests": [{"digest": "sha256:../x"}]}']
)
def test_a_malformed_index_is_told(layout: Layout, store: LocalStore, index: str) -> None:
    (layout.folder / "index.json").write_text(index)

    with pytest.raises((UserError, IntegrityError)):
        bases.read(layout.folder, store)


def test_a_digest_leads_nowhere_else(layout: Layout, store: LocalStore) -> None:
    layout.index({"mediaType": "x", "digest": f"sha256:{'../' * 21}x", "size": 1})

    with pytest.raises(IntegrityError, match="not a sha256 digest"):
        bases.read(layout.folder, store)


def test_more_or_fewer_layers_than_digests_are_refused() -> None:
    layer = {"mediaType": ociimage.LAYER, "digest": Digest.of(b"").oci, "size": 0}
    manifest = json.dumps({"layers": [layer]}).encode()

    with pytest.raises(IntegrityError, match="not the manifest of an image"):
        ociimage.decode_base(manifest, b'{"rootfs": {"diff_ids": []}}')
