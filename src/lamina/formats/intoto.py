"""in-toto statements with SLSA provenance: which package was made from what, and by whom.

Specifications: github.com/in-toto/attestation, spec/v1/statement.md; slsa.dev/spec/v1.0/provenance.
The statement says nothing of the machine or the time: one package has one statement of a builder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.manifest import Package
from lamina.formats import strictjson
from lamina.formats.strictjson import flag, line, mapping, sequence

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:lamina:package:v1"
BUILDER = "urn:lamina:cli"  # who made it, where nobody says more
_SUBJECTS = 64
_HASH = re.compile(r"[0-9a-f]{64}")
_COMMIT = {40: "sha1", 64: "sha256"}  # what ids of commits are, by their length


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about."""

    name: str  # of the package
    hash: str  # sha256 of its manifest


@dataclass(frozen=True, slots=True)
class Provenance:
    """A statement about a package, as far as it is used; whoever signed it says so."""

    subjects: tuple[Subject, ...]
    build_type: str
    builder: str  # URI
    target: str = ""  # label
    version: str = ""
    commit: str = ""  # full id; empty where it is not known
    dirty: bool = False  # the sources differed from the commit
    dependencies: int = 0  # what it was made of: the commit and the layers


def encode(package: Package, manifest: Digest, builder: str = BUILDER) -> bytes:
    """The statement about a package whose manifest has a digest."""
    return strictjson.write(
        {
            "_type": STATEMENT,
            "subject": [{"name": package.name, "digest": {"sha256": manifest.hash}}],
            "predicateType": PROVENANCE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "target": package.label,
                        "version": package.version,
                        "source": {"commit": package.commit, "dirty": package.dirty},
                    },
                    "resolvedDependencies": _dependencies(package),
                },
                "runDetails": {"builder": {"id": builder}},
            },
        }
    )


def _dependencies(package: Package) -> list[dict[str, object]]:
    """The sources, then the layers, bottom first."""
    found: list[dict[str, object]] = []
    if package.commit:
        # Of git and of Mercurial, whose commits are not told apart by their ids.
        digest = {_COMMIT.get(len(package.commit), "commit"): package.commit}
        dirty = {"dirty": package.dirty}
        found.append({"name": "source", "digest": digest, "annotations": dirty})
    for layer in package.layers:
        found.append(
            {
                "name": layer.label,
                "digest": {"sha256": layer.blob.hash},
                "mediaType": layer.media_type,
                "annotations": {"labels": list(layer.held)},
            }
        )
    return found


def decode(data: bytes) -> Provenance:
    """Read a statement; raises IntegrityError where it is malformed or says something else."""
    return strictjson.read(data, "a statement of provenance", _provenance)


def _provenance(document: Mapping[str, object]) -> Provenance:
    if document["_type"] != STATEMENT:
        raise ValueError(f"the type is {document['_type']!r:.80}")
    if document["predicateType"] != PROVENANCE:
        raise ValueError(f"the predicate type is {document['predicateType']!r:.80}")
    subjects = sequence(document["subject"])
    if not 0 < len(subjects) <= _SUBJECTS:
        raise ValueError(f"{len(subjects)} subjects, not 1 to {_SUBJECTS}")
    predicate = mapping(document["predicate"])
    definition = mapping(predicate["buildDefinition"])
    builder = mapping(mapping(predicate["runDetails"])["builder"])
    parameters = mapping(definition.get("externalParameters", {}))
    source = mapping(parameters.get("source", {}))
    return Provenance(
        tuple(_subject(mapping(each)) for each in subjects),
        line(definition["buildType"]),
        line(builder["id"]),
        line(parameters.get("target", "")),
        line(parameters.get("version", "")),
        line(source.get("commit", "")),
        flag(source.get("dirty", False)),
        len(sequence(definition.get("resolvedDependencies", []))),
    )


def _subject(document: Mapping[str, object]) -> Subject:
    found = line(mapping(document["digest"])["sha256"])
    if not _HASH.fullmatch(found):
        raise ValueError(f"{found!r:.80} is no sha256")
    return Subject(line(document["name"]), found)
