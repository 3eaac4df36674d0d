from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.manifest import LAYER_EROFS, Layer, Package
from lamina.formats import attestation, dsse, intoto
from lamina.formats.intoto import Subject
from lamina.formats.oci import INDEX

LAYERS = (
    Layer("//p:lib", Digest.of(b"t"), Digest.of(b"lib"), labels=("//p:base", "//p:lib")),
    Layer("//p:a", Digest.of(b"u"), Digest.of(b"a"), LAYER_EROFS),
)
PACKAGE = Package("p/a", "v1", "//p:a", LAYERS, ("a",), commit="c" * 40, dirty=True)
MANIFEST = Digest.of(b"manifest")


def document(package: Package = PACKAGE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(intoto.encode(package, MANIFEST, "https://ci.example/1"))
    return found


def test_a_statement_reads_back() -> None:
    found = intoto.decode(intoto.encode(PACKAGE, MANIFEST, "https://ci.example/1"))

    assert found.subjects == (Subject("p/a", MANIFEST.hash),)
    assert (found.commit, found.dirty, found.version) == ("c" * 40, True, "v1")
    assert (found.builder, found.build_type) == ("https://ci.example/1", intoto.BUILD_TYPE)
    assert (found.target, found.dependencies) == ("//p:a", 3)


def test_it_has_the_fields_of_slsa_and_all_layers_with_their_labels() -> None:
    found = document()

    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    assert found["subject"] == [{"name": "p/a", "digest": {"sha256": MANIFEST.hash}}]
    definition = found["predicate"]["buildDefinition"]
    source, lower, upper = definition["resolvedDependencies"]
    assert source["digest"] == {"sha1": "c" * 40}
    assert source["annotations"] == {"dirty": True}
    assert lower["digest"] == {"sha256": Digest.of(b"lib").hash}
    assert lower["annotations"]["labels"] == ["//p:base", "//p:lib"]
    assert (upper["name"], upper["mediaType"]) == ("//p:a", LAYER_EROFS)
    assert found["predicate"]["runDetails"] == {"builder": {"id": "https://ci.example/1"}}


def test_without_a_commit_there_is_no_source() -> None:
    found = document(replace(PACKAGE, commit="", layers=()))

    assert found["predicate"]["buildDefinition"]["resolvedDependencies"] == []


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1", "the type is"),
        ("predicateType", "https://slsa.dev/provenance/v0.2", "the predicate type is"),
        ("predicateType", None, "the predicate type is"),
        ("subject", [], "0 subjects"),
        ("subject", [{"name": "a"}], "digest"),
        ("subject", [{"name": "a", "digest": {"sha256": "A" * 64}}], "is no sha256"),
        ("subject", [{"name": 1, "digest": {"sha256": "a" * 64}}], "a string is wanted"),
        ("predicate", [], "an object is wanted"),
        ("predicate", {"buildDefinition": {"buildType": "x"}}, "runDetails"),
    ],
)
def test_another_statement_is_an_error(field: str, value: object, message: str) -> None:
    data = json.dumps(document() | {field: value}).encode()

    with pytest.raises(IntegrityError, match=f"not a statement of provenance.*{message}"):
        intoto.decode(data)


def test_the_artifact_names_subject_and_envelope() -> None:
    envelope = Digest.of(b"envelope")

    manifest = attestation.encode(MANIFEST, INDEX, envelope)

    found = json.loads(manifest)
    assert found["subject"] == {
        "mediaType": INDEX, "digest": MANIFEST.oci, "size": MANIFEST.size,
    }  # fmt: skip
    assert found["config"]["digest"] == Digest.of(b"{}").oci
    assert attestation.decode(manifest) == attestation.Artifact(MANIFEST.oci, envelope)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("artifactType", "application/x"),
        ("layers", []),
        ("layers", [{"mediaType": "text/plain", "digest": MANIFEST.oci, "size": 1}]),
        ("subject", {"digest": "sha256:../..", "size": 1}),
        ("subject", None),
        (
            "layers",
            [{"mediaType": dsse.MEDIA_TYPE, "digest": MANIFEST.oci, "size": dsse.LIMIT + 1}],
        ),
        ("layers", [{"mediaType": dsse.MEDIA_TYPE, "digest": MANIFEST.oci, "size": True}]),
        ("layers", [{"mediaType": dsse.MEDIA_TYPE, "digest": MANIFEST.oci, "size": -1}]),
    ],
)
def test_another_artifact_is_an_error(field: str, value: object) -> None:
    manifest = json.loads(attestation.encode(MANIFEST, INDEX, Digest.of(b"envelope")))

    with pytest.raises(IntegrityError):
        attestation.decode(json.dumps(manifest | {field: value}).encode())
