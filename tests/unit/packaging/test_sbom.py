"""Bills of materials, read back by the libraries of their formats."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom
from packageurl import PackageURL
from spdx_tools.spdx.model.relationship import RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from lamina.core.errors import HostError
from lamina.packaging import sbom
from lamina.packaging.sbom import Bill, Component

A = Component(
    "//py:a", "a", "1.0", "pypi", "https://x.invalid/a-1.0-py3-none-any.whl", "1" * 64,
    "MIT OR Apache-2.0", "Does a", "https://a.invalid", ("//py:b",),
)  # fmt: skip
B = Component("//py:b", "b", "2", "pypi", "", "2" * 64, "A licence of our own")
Z = Component("//:zlib", "zlib", address="https://x.invalid/zlib.tar.gz", sha256="3" * 64)
BILL = Bill("train/gpt", "0123abc", "f" * 64, "//train:gpt", ("//:zlib", "//py:a"), (Z, A, B))


def test_a_cyclonedx_document_tells_all() -> None:
    written = json.loads(sbom.write(BILL, "cyclonedx"))

    bom = Bom.from_json(written)  # type: ignore[attr-defined]
    parts = {part.name: part for part in bom.components}
    assert {name: str(part.purl) for name, part in parts.items()} == {
        "a": "pkg:pypi/a@1.0",
        "b": "pkg:pypi/b@2",
        "zlib": "pkg:generic/zlib?checksum=sha256:"
        + "3" * 64
        + "&download_url=https://x.invalid/zlib.tar.gz",
    }
    assert bom.metadata.component.version == "0123abc"
    licences = {part["name"]: part.get("licenses") for part in written["components"]}
    assert licences == {
        "a": [{"expression": "MIT OR Apache-2.0"}],
        "b": [{"license": {"name": "A licence of our own"}}],
        "zlib": None,
    }
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in written["dependencies"]}
    assert needs["//train:gpt"] == ["//:zlib", "//py:a"]
    assert needs["//py:a"] == ["//py:b"]


def test_an_spdx_document_is_valid_and_tells_all(tmp_path: Path) -> None:
    path = tmp_path / "x.spdx.json"
    path.write_text(sbom.write(BILL, "spdx"))

    document = parse_file(str(path))

    assert validate_full_spdx_document(document) == []
    packages = {package.name: package for package in document.packages}
    assert str(packages["a"].license_declared) == "MIT OR Apache-2.0"
    assert packages["b"].license_comment == "A licence of our own"
    assert packages["train/gpt"].checksums[0].value == "f" * 64
    purl = PackageURL.from_string(packages["zlib"].external_references[0].locator)
    assert purl.qualifiers["download_url"] == Z.address
    links = [each for each in document.relationships if "DEPENDS" in each.relationship_type.name]
    assert len(links) == 3
    assert all(each.relationship_type is RelationshipType.DEPENDS_ON for each in links)


@pytest.mark.parametrize("form", sbom.FORMATS)
def test_equal_bills_give_equal_documents_and_others_other_marks(form: str) -> None:
    other = replace(BILL, version="0123abd")

    assert sbom.write(BILL, form) == sbom.write(BILL, form)
    assert BILL.mark != other.mark
    assert str(BILL.mark) in sbom.write(BILL, form)


def test_a_missing_library_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_bill: Bill) -> str:
        raise ModuleNotFoundError("No module named 'cyclonedx'", name="cyclonedx")

    monkeypatch.setattr(sbom, "_cyclonedx", missing)

    with pytest.raises(HostError) as caught:
        sbom.write(BILL, "cyclonedx")

    command = f"{sys.executable} -m pip install 'lamina[sbom]'"
    assert caught.value.hint == f"`{command}` brings it"
