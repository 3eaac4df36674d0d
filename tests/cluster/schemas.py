"""The published schemas of objects of Kubernetes, for two of its versions."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

VERSIONS = ("1.31", "1.37")
_FILES = {
    "Job": "job-batch-v1.json", "Service": "service-v1.json", "Pod": "pod-v1.json",
    "ConfigMap": "configmap-v1.json",
}  # fmt: skip


@functools.cache
def validator(version: str, kind: str) -> jsonschema.protocols.Validator:
    """A validator by the published schemas, which refuse unknown fields too."""
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    place = folder / f"v{version}-local-strict"
    if not place.is_dir():
        [place] = folder.glob(f"v{version}.*-local-strict")
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    shared = json.loads((place / "_definitions.json").read_text())
    resource = Resource.from_contents(shared, DRAFT7)
    known: Registry[Any] = Registry().with_resources(
        [("_definitions.json", resource), ("file:///_definitions.json", resource)]
    )
    return jsonschema.Draft7Validator(
        json.loads((place / _FILES[kind]).read_text()), registry=known.crawl()
    )


def check(document: dict[str, Any], version: str) -> None:
    """Raises ValidationError where a document is not as its schema wants it."""
    validator(version, document["kind"]).validate(document)
