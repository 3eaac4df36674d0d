"""Packages as OCI manifests: the document the specification describes, and refusal of others."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import Image, ImageLayer, Layer, Package, Step
from lamina.formats import oci

PACKAGE = Package(
    name="train/gpt",
    version="0123456789ab-dirty.01234567",
    label="//train:gpt",
    layers=(
        Layer("//train:F", Digest("a" * 64, 99), Digest("b" * 64, 4096), files=2, content_size=7),
        Layer("//train:gpt", Digest("c" * 64, 98), Digest("d" * 64, 8192)),
    ),
    entry_point=("gpt", "--fast"),
    environment=(("A", "1"), ("B", "ü")),
    interpreter="python3.11",
    base="//images:debian",
    base_layers=1,
    image=Image("amd64", ("PATH=/bin",), ("sh",), ("-c", "true"), "/srv", "7"),
    commit="0123456789ab" + "0" * 28,
    dirty=True,
)

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
shown = words.filter(str.isprintable)
variables = words.filter(lambda text: text and "=" not in text)
names = st.from_regex(r"[a-z_]{1,5}(/[a-z_ ,]{1,5}){0,2}", fullmatch=True)
sizes = st.integers(0, 2**63 - 1)
digests = st.builds(Digest, st.text("0123456789abcdef", min_size=64, max_size=64), sizes)
layers = st.builds(
    Layer, label=shown, tree=digests, blob=digests, files=sizes, content_size=sizes,
    media_type=st.sampled_from(["xar", "erofs"]).map("application/vnd.lamina.layer.v1.{}".format),
)  # fmt: skip
image_layers = st.builds(ImageLayer, digests, digests.map(lambda digest: digest.hash), words)
steps = st.builds(Step, words, words, words, words, st.booleans())
texts = st.lists(words, max_size=3).map(tuple)
packages = st.builds(
    Package,
    name=names,
    version=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True),
    label=shown,
    layers=st.lists(layers, max_size=3).map(tuple),
    entry_point=st.just(()) | st.builds(lambda name, more: (name, *more), names, texts),
    program=st.lists(words, max_size=3).map(tuple),
    environment=st.dictionaries(variables, words, max_size=3).map(
        lambda found: tuple(sorted(found.items()))
    ),
    interpreter=words,
    base=words,
    commit=words,
    dirty=st.booleans(),
) | st.builds(
    Package,
    name=names,
    version=st.just("1"),
    label=shown,
    layers=st.lists(layers, min_size=1, max_size=3).map(tuple),
    base=words,
    base_layers=st.just(1),
    image=st.builds(
        Image,
        words,
        texts,
        texts,
        texts,
        words,
        words,
        layers=st.lists(image_layers, max_size=1).map(tuple),
        history=st.lists(steps, max_size=3).map(tuple),
        name=words,
        digest=st.just("") | digests.map(lambda digest: digest.hash),
    ),
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=10,
)


@given(packages)
def test_a_package_reads_back(package: Package) -> None:
    manifest, config = oci.encode_manifest(package), oci.encode_config(package)

    assert oci.decode(manifest, config) == package
    assert oci.config_of(manifest) == Digest.of(config)


def test_the_manifest_is_the_one_the_image_specification_describes() -> None:
    config = oci.encode_config(PACKAGE)

    assert json.loads(oci.encode_manifest(PACKAGE)) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.lamina.package.v1",
        "config": {
            "mediaType": "application/vnd.lamina.config.v1+json",
            "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.lamina.layer.v1.xar",
                "digest": f"sha256:{hexadecimal * 64}",
                "size": size,
                "annotations": {"org.opencontainers.image.title": title},
            }
            for hexadecimal, size, title in [
                ("b", 4096, "F-aaaaaaaaaaaa.xar"),
                ("d", 8192, "gpt-cccccccccccc.xar"),
            ]
        ],
        "annotations": {
            "org.opencontainers.image.title": "gpt-0123456789ab-dirty.01234567",
            "org.opencontainers.image.version": "0123456789ab-dirty.01234567",
            "org.opencontainers.image.revision": PACKAGE.commit,
        },
    }


def test_without_version_control_there_is_no_revision() -> None:
    package = dataclasses.replace(PACKAGE, commit="", dirty=False)

    annotations = json.loads(oci.encode_manifest(package))["annotations"]

    assert "org.opencontainers.image.revision" not in annotations


def test_both_documents_are_canonical_json() -> None:
    for data in (oci.encode_manifest(PACKAGE), oci.encode_config(PACKAGE)):
        again = json.dumps(
            json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert data == again.encode()


def test_an_image_below_has_as_many_layers_as_lie_below() -> None:
    layer = ImageLayer(Digest.of(b""), "e" * 64, "x")
    image = dataclasses.replace(PACKAGE.image, layers=(layer, layer))
    package = dataclasses.replace(PACKAGE, image=image)

    with pytest.raises(IntegrityError, match="an image of 2 layers below as 1 layers"):
        oci.decode(oci.encode_manifest(package), oci.encode_config(package))


def test_the_order_of_the_layers_is_kept() -> None:
    turned = dataclasses.replace(PACKAGE, layers=PACKAGE.layers[::-1])

    assert oci.encode_manifest(turned) != oci.encode_manifest(PACKAGE)
    assert oci.decode(oci.encode_manifest(turned), oci.encode_config(turned)) == turned


def documents_of(package: Package) -> tuple[Any, Any]:
    return json.loads(oci.encode_manifest(package)), json.loads(oci.encode_config(package))


def decode(manifest: object, config: object) -> Package:
    return oci.decode(json.dumps(manifest).encode(), json.dumps(config).encode())


Change = Callable[[Any, Any], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest, config: manifest.pop("layers"),
        lambda manifest, config: manifest["layers"].pop(),
        lambda manifest, config: manifest["layers"][0].update(size=-1),
        lambda manifest, config: manifest["layers"][0].update(size=True),
        lambda manifest, config: manifest["layers"][0].update(size=1.5),
        lambda manifest, config: manifest["layers"][0].update(digest="sha256:../../etc"),
        lambda manifest, config: manifest["layers"][0].update(digest=None),
        lambda manifest, config: manifest["layers"][0].update(mediaType="image/png"),
        lambda manifest, config: config.pop("entryPoint"),
        lambda manifest, config: config.update(entryPoint="gpt"),
        lambda manifest, config: config.update(entryPoint=[1]),
        lambda manifest, config: config.update(environment=[]),
        lambda manifest, config: config.update(environment={"A": 1}),
        lambda manifest, config: config.update(dirty="no"),
        lambda manifest, config: config.update(label="\ud800"),
        lambda manifest, config: config.update(version="../../etc/cron.d/x"),
        lambda manifest, config: config.update(version=""),
        lambda manifest, config: config.update(name="../../x"),
        lambda manifest, config: config.update(name="/x"),
        lambda manifest, config: config["layers"].append(config["layers"][0]),
        lambda manifest, config: config["layers"][0].update(files="2"),
        lambda manifest, config: config["layers"][0].update(tree="sha256:" + "0" * 64),
        lambda manifest, config: config["layers"][0].update(label="\x1b[2J"),
        lambda manifest, config: config["layers"][0].update(labels=["a\r"]),
        lambda manifest, config: config.update(label="//a:b\n"),
        lambda manifest, config: config.update(name="a\x1b[2J"),
        lambda manifest, config: manifest["layers"][0].update(size=1 << 63),
        lambda manifest, config: manifest["layers"][0].update(size=10**4000),
        lambda manifest, config: manifest["layers"][0].update(size=float("nan")),
        lambda manifest, config: config.update(entryPoint=["../../bin/sh"]),
        lambda manifest, config: config.update(entryPoint=["/bin/sh"]),
        lambda manifest, config: config.update(entryPoint=[""]),
        lambda manifest, config: config.update(environment={"A=B": "1"}),
        lambda manifest, config: config.update(environment={"": "1"}),
        lambda manifest, config: config.update(environment={"A\0": "1"}),
        lambda manifest, config: config.update(baseLayers=3),
        lambda manifest, config: config.update(baseLayers=0),
        lambda manifest, config: config.pop("image"),
    ],
)
def test_a_document_with_a_fault_is_refused(change: Change) -> None:
    manifest, config = documents_of(PACKAGE)
    change(manifest, config)

    with pytest.raises(IntegrityError):
        decode(manifest, config)


def test_a_layer_of_a_form_to_come_asks_for_a_newer_lamina() -> None:
    manifest, config = documents_of(PACKAGE)
    manifest["layers"][0]["mediaType"] = "application/vnd.lamina.layer.v9.new"

    with pytest.raises(IntegrityError, match="unknown form") as caught:
        decode(manifest, config)

    assert caught.value.hint == "use a newer lamina"


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(schemaVersion=3),
        lambda manifest: manifest.update(schemaVersion="2"),
        lambda manifest: manifest.update(mediaType="application/vnd.oci.image.index.v1+json"),
        lambda manifest: manifest["config"].update(mediaType="application/vnd.lamina.config.v2"),
    ],
)
def test_a_form_to_come_asks_for_a_newer_lamina(change: Callable[[Any], object]) -> None:
    manifest, config = documents_of(PACKAGE)
    change(manifest)

    for read in (lambda: decode(manifest, config), lambda: oci.config_of(data_of(manifest))):
        with pytest.raises(IntegrityError, match="unknown form") as caught:
            read()
        assert caught.value.hint == "use a newer lamina"


def data_of(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_name_that_comes_twice_is_refused() -> None:
    config = oci.encode_config(PACKAGE).replace(b'"name":', b'"name":"other","name":')

    with pytest.raises(IntegrityError, match="two values of one name"):
        oci.decode(oci.encode_manifest(PACKAGE), config)


def test_a_document_of_many_megabytes_is_not_even_parsed() -> None:
    with pytest.raises(IntegrityError, match="more than 16777216"):
        oci.config_of(b" " * (100 << 20))


def test_a_package_of_20000_layers_is_read() -> None:
    many = dataclasses.replace(PACKAGE, layers=PACKAGE.layers * 10_000)

    found = oci.decode(oci.encode_manifest(many), oci.encode_config(many))

    assert len(found.layers) == 20_000


def test_unknown_fields_are_passed_over() -> None:
    manifest, config = documents_of(PACKAGE)
    manifest["subject"], config["future"] = {}, [1]

    assert decode(manifest, config) == PACKAGE


@pytest.mark.parametrize("artifact", ["application/vnd.docker.image", None, ["list"]])
def test_the_manifest_of_something_else_has_no_config_of_ours(artifact: object) -> None:
    manifest, _ = documents_of(PACKAGE)
    manifest["artifactType"] = artifact

    with pytest.raises(IntegrityError, match="not a lamina package"):
        oci.config_of(json.dumps(manifest).encode())


@given(documents, documents, st.sampled_from(["layers", "config", "name", "environment"]))
def test_any_other_json_gives_only_an_integrity_error(one: object, other: object, key: str) -> None:
    manifest, config = documents_of(PACKAGE)
    for place in (manifest, config):
        damaged = copy.deepcopy(place)
        damaged[key] = one
        try:
            decode(*((damaged, config) if place is manifest else (manifest, damaged)))
            decode(one, other)
        except IntegrityError as error:
            assert error.message


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[]", b"\xff", b'"text"', b"9" * 5000, b"[" * 100_000, b'{"a":' * 9999],
    ids=lambda data: repr(data[:8]),
)
def test_bytes_that_are_no_object_give_only_an_integrity_error(data: bytes) -> None:
    good = oci.encode_manifest(PACKAGE)

    with pytest.raises(IntegrityError, match="not a package manifest"):
        oci.config_of(data)
    with pytest.raises(IntegrityError, match="not a package manifest"):
        oci.decode(data, oci.encode_config(PACKAGE))
    with pytest.raises(IntegrityError, match="not a package config"):
        oci.decode(good, data)


@given(st.binary())
def test_bytes_at_random_give_only_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        oci.config_of(data)


def many(count: int, **changes: Any) -> Package:
    """A package of so many layers."""
    layers = tuple(
        Layer(f"//p:t{number}", Digest.of(b"tree %d" % number), Digest.of(b"blob %d" % number))
        for number in range(count)
    )
    if not layers:
        changes |= {"base_layers": 0, "image": Image()}
    return dataclasses.replace(PACKAGE, layers=layers, **changes)


@pytest.mark.parametrize("count", [0, 1, 48, 49, 50, 127, 1000])
def test_a_package_of_many_layers_reads_back(count: int) -> None:
    package = many(count)
    documents = oci.documents(package)
    by_digest = {each.digest: each.data for each in documents}

    assert oci.decode_package(documents[-1].data, by_digest.__getitem__) == package
    assert oci.is_package(documents[-1].data)
    assert oci.media_type(documents[-1].data) == documents[-1].media_type
    assert documents[-1].media_type == (oci.MANIFEST if count <= 48 else oci.INDEX)


def test_each_document_comes_after_those_it_names() -> None:
    seen: set[Digest] = set()
    layers = {layer.blob for layer in many(200).layers}
    for document in oci.documents(many(200)):
        if document.is_manifest:
            named = {child for _, child in oci.children(document.data)}
            assert named <= seen | layers
        seen.add(document.digest)


def test_an_edit_changes_one_run_and_the_index() -> None:
    before = many(1000)
    layers = list(before.layers)
    layers[500] = dataclasses.replace(
        layers[500], tree=Digest.of(b"other"), blob=Digest.of(b"edited")
    )
    after = dataclasses.replace(before, layers=tuple(layers), version="next")

    old = {each.digest for each in oci.documents(before)}
    new = [each for each in oci.documents(after) if each.digest not in old]

    # The head and the run, each with its config, and the index.
    assert [each.media_type for each in new] == [oci.CONFIG, oci.MANIFEST] * 2 + [oci.INDEX]
    assert sum(len(each.data) for each in new) < 64 << 10


def test_a_layer_more_changes_few_runs() -> None:
    before = many(1000)
    layers = list(before.layers)
    layers.insert(300, Layer("//p:new", Digest.of(b"new tree"), Digest.of(b"new blob")))
    after = dataclasses.replace(before, layers=tuple(layers))

    old = {each.digest for each in oci.documents(before)}
    new = [each for each in oci.documents(after) if each.digest not in old and each.is_manifest]

    assert len(new) <= 4


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("artifactType"),
        lambda found: found.update(artifactType="other"),
        lambda found: found.update(manifests=[]),
        lambda found: found["manifests"].reverse(),
        lambda found: found["manifests"][0].update(mediaType="other"),
        lambda found: found["manifests"][0].update(digest="sha256:12"),
        lambda found: found.update(manifests=None),
    ],
)
def test_an_index_with_a_fault_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    documents = oci.documents(many(100))
    by_digest = {each.digest: each.data for each in documents}
    root = json.loads(documents[-1].data)
    change(root)

    with pytest.raises(IntegrityError):
        oci.decode_package(json.dumps(root).encode(), by_digest.__getitem__)


def test_children_of_any_manifest_are_found() -> None:
    blob = {"mediaType": "t", "digest": "sha256:" + "a" * 64, "size": 3}
    manifest = {"config": blob, "layers": [blob], "subject": {"other": 1}}

    assert oci.children(json.dumps(manifest).encode()) == [("t", Digest("a" * 64, 3))] * 2
    with pytest.raises(IntegrityError):
        oci.children(b'{"layers": [{"digest": "sha256:.."}]}')
