"""Bills of materials: which code of others is in a package, as SPDX and CycloneDX documents.

https://spdx.github.io/spdx-spec/v2.3, https://cyclonedx.org/docs/1.6/json. Equal packages give
equal documents: there is no clock in them, and what must be unique is made of what they tell.
"""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from lamina.core.classes import dataclass
from lamina.core.errors import HostError
from lamina.linux import process

FORMATS = ("spdx", "cyclonedx")
_CREATED = datetime(1980, 1, 1, tzinfo=UTC)  # as that of every file that an action makes
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "lamina:sbom")


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """Code of others in a package."""

    label: str
    name: str
    version: str = ""
    ecosystem: str = "generic"  # type of its package URL
    address: str = ""
    sha256: str = ""  # of the archive that it came as
    licence: str = ""  # as its authors tell it
    summary: str = ""
    homepage: str = ""
    needs: tuple[str, ...] = ()  # labels of others
    namespace: str = ""  # of its package URL: the distribution that it is of
    qualifiers: tuple[tuple[str, str], ...] = ()  # of its package URL
    type: str = "library"  # or `container`, in the words of CycloneDX


@dataclass(frozen=True, slots=True)
class Bill:
    """A package and all code of others in it."""

    name: str
    version: str
    digest: str  # sha256 of its manifest, as hexadecimal digits
    label: str
    needs: tuple[str, ...]
    components: tuple[Component, ...]  # in an order that their content gives

    @property
    def mark(self) -> uuid.UUID:
        """Tells this bill from others."""
        return uuid.uuid5(_NAMESPACE, sha256(repr(self).encode()).hexdigest())


def write(bill: Bill, form: str) -> str:
    """The document of a bill; raises HostError where the library for it is missing."""
    try:
        return {"spdx": _spdx, "cyclonedx": _cyclonedx}[form](bill)
    except ModuleNotFoundError as error:
        raise HostError(
            f"the Python package for {form} documents is not on this machine",
            hint=f"`{process.install('sbom')}` brings it",
        ) from error


def _purl(found: Component) -> str:
    """https://github.com/package-url/purl-spec"""
    from packageurl import PackageURL

    qualifiers = dict(found.qualifiers)
    if found.ecosystem == "generic":
        qualifiers = {"checksum": f"sha256:{found.sha256}" if found.sha256 else ""}
        qualifiers["download_url"] = found.address
        qualifiers = {key: value for key, value in qualifiers.items() if value}
    return PackageURL(
        found.ecosystem, found.namespace or None, found.name, found.version or None, qualifiers
    ).to_string()


def _cyclonedx(bill: Bill) -> str:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    root = Part(
        name=bill.name, version=bill.version, bom_ref=bill.label, type=ComponentType.APPLICATION
    )
    metadata = BomMetaData(component=root, timestamp=_CREATED)
    bom = Bom(serial_number=bill.mark, metadata=metadata)
    parts = {found.label: _part(found) for found in bill.components}
    for part in parts.values():
        bom.components.add(part)
    bom.register_dependency(root, [parts[label] for label in bill.needs])
    for found in bill.components:
        bom.register_dependency(parts[found.label], [parts[label] for label in found.needs])
    written: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(
        indent=2
    )
    return written + "\n"


def _part(found: Component) -> Any:
    """A component as the library has it."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import (
        ExternalReference,
        ExternalReferenceType,
        HashAlgorithm,
        HashType,
        Property,
        XsUri,
    )
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from packageurl import PackageURL

    references = [
        ExternalReference(type=kind, url=XsUri(url))
        for kind, url in (
            (ExternalReferenceType.DISTRIBUTION, found.address),
            (ExternalReferenceType.WEBSITE, found.homepage),
        )
        if url
    ]
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=found.sha256)] if found.sha256 else []
    licences = [LicenseFactory().make_from_string(found.licence)] if found.licence else []
    return Part(
        name=found.name,
        type=ComponentType(found.type),
        version=found.version or None,
        bom_ref=found.label,
        purl=PackageURL.from_string(_purl(found)),
        hashes=hashes,
        licenses=licences,
        description=found.summary or None,
        external_references=references,
        properties=[Property(name="lamina:label", value=found.label)],
    )


def _spdx(bill: Bill) -> str:
    from spdx_tools.spdx.model.actor import Actor, ActorType
    from spdx_tools.spdx.model.document import CreationInfo, Document
    from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

    ids = {found.label: f"SPDXRef-{number}" for number, found in enumerate(bill.components, 1)}
    root = "SPDXRef-Package"
    creation = CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id="SPDXRef-DOCUMENT",
        name=f"{bill.name}:{bill.version}",
        document_namespace=f"urn:uuid:{bill.mark}",
        creators=[Actor(ActorType.TOOL, "lamina")],
        created=_CREATED.replace(tzinfo=None),
    )
    links = [(root, label) for label in bill.needs]
    links += [(found.label, label) for found in bill.components for label in found.needs]
    relations = [
        Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, root),
        *(
            Relationship(ids.get(above, root), RelationshipType.DEPENDS_ON, ids[below])
            for above, below in links
        ),
    ]
    packages = [
        _spdx_root(bill, root),
        *(_spdx_package(found, ids[found.label]) for found in bill.components),
    ]
    stream = io.StringIO()
    write_document_to_stream(
        Document(creation, packages=packages, relationships=relations), stream, validate=True
    )
    return stream.getvalue().rstrip("\n") + "\n"


def _spdx_root(bill: Bill, identifier: str) -> Any:
    from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
    from spdx_tools.spdx.model.package import Package
    from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion

    return Package(
        identifier,
        bill.name,
        SpdxNoAssertion(),
        version=bill.version,
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, bill.digest)],
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
    )


def _spdx_package(found: Component, identifier: str) -> Any:
    from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
    from spdx_tools.spdx.model.package import (
        ExternalPackageRef,
        ExternalPackageRefCategory,
        Package,
        PackagePurpose,
    )
    from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion

    licence = _expression(found.licence)
    checksums = [Checksum(ChecksumAlgorithm.SHA256, found.sha256)] if found.sha256 else []
    purl = ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", _purl(found))
    return Package(
        identifier,
        found.name,
        found.address if found.address.startswith("http") else SpdxNoAssertion(),
        version=found.version or None,
        files_analyzed=False,
        checksums=checksums,
        homepage=found.homepage or None,
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion() if licence is None else licence,
        license_comment=found.licence if found.licence and licence is None else None,
        copyright_text=SpdxNoAssertion(),
        summary=found.summary or None,
        comment=found.label,
        primary_package_purpose=PackagePurpose[found.type.upper()],
        external_references=[purl],
    )


def _expression(text: str) -> Any:
    """A licence as an expression of SPDX identifiers; None for what is none."""
    from license_expression import ExpressionError, get_spdx_licensing

    licensing = get_spdx_licensing()
    try:
        return licensing.parse(text, validate=True, strict=True) if text else None
    except ExpressionError:
        return None
