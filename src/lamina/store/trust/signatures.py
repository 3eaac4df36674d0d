"""Signatures of packages: kept in the store of this machine, and beside packages in repositories.

In the store they are files: `signatures/<hash of what is signed>/<hash of the artifact>.manifest`,
and `.envelope` beside it. They are small, and stay as long as what they are about.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import attestation, dsse
from lamina.formats.attestation import Artifact
from lamina.formats.oci import MANIFEST
from lamina.linux import filesystem
from lamina.store.local import LocalStore
from lamina.store.repository import Manifest, NotThere, Repository

FOLDER = "signatures"
MOST = 32  # of one package that are looked at
ROOM = 1 << 26  # bytes of all of these
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signed:
    """An envelope and the artifact's manifest that puts it to another; nothing is verified."""

    manifest: bytes
    envelope: bytes

    @property
    def digest(self) -> Digest:
        """Of the manifest."""
        return Digest.of(self.manifest)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The signatures that a repository has of a manifest."""

    signatures: tuple[Signed, ...]
    wrong: tuple[str, ...]  # what is the matter with others


def put(subject: Digest, media_type: str, envelope: bytes) -> Signed:
    """An envelope as what goes beside a manifest."""
    return Signed(attestation.encode(subject, media_type, Digest.of(envelope)), envelope)


def keep(subject: Digest, found: Iterable[Signed], store: LocalStore) -> None:
    """Keep signatures of a manifest; in a store that cannot be written they are not kept."""
    folder = store.folder / FOLDER / subject.hash
    for each in found:
        name = each.digest.hash
        try:
            # The manifest comes last: what has that is whole.
            for suffix, data in (("envelope", each.envelope), ("manifest", each.manifest)):
                filesystem.write_atomic(folder / f"{name}.{suffix}", data, scratch=store.scratch)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            return


def kept(subject: Digest, store: LocalStore) -> list[Signed]:
    """The signatures of a manifest in the store; what was damaged there is none."""
    found = []
    for path in sorted((store.folder / FOLDER / subject.hash).glob("*.manifest")):
        with contextlib.suppress(IntegrityError, FileNotFoundError):
            manifest = _small(path, attestation.LIMIT)
            envelope = _small(path.with_suffix(".envelope"), dsse.LIMIT)
            if Digest.of(manifest).hash == path.stem:
                found.append(_checked(subject, manifest, envelope))
    return found


def among(subject: Digest, blobs: Mapping[Digest, bytes]) -> list[Signed]:
    """The signatures of a manifest among some blobs, whatever else these are."""
    found: list[Signed] = []
    for digest, data in blobs.items():
        if len(found) < MOST and digest.size <= attestation.LIMIT:
            with contextlib.suppress(IntegrityError, KeyError):
                found.append(_checked(subject, data, blobs[_artifact(subject, data).envelope]))
    return found


def fetch(subject: Digest, repository: Repository) -> Fetched:
    """The signatures of a manifest that lie beside it; raises what the repository raises.

    Other referrers are passed over, and what is malformed is told of.
    """
    found: list[Signed] = []
    wrong: list[str] = []
    for descriptor in repository.referrers(subject):
        if descriptor.get("artifactType", attestation.ARTIFACT_TYPE) != attestation.ARTIFACT_TYPE:
            continue
        if len(found) + len(wrong) == MOST or sum(len(each.envelope) for each in found) > ROOM:
            wrong.append("there are too many signatures; the others were not looked at")
            break
        try:
            found.append(_fetch(subject, str(descriptor.get("digest")), repository))
        except (IntegrityError, NotThere) as error:
            wrong.append(error.message)
    return Fetched(tuple(found), tuple(wrong))


def _fetch(subject: Digest, digest: str, repository: Repository) -> Signed:
    wanted = Digest.from_oci(digest, 0).oci
    manifest = repository.manifest(wanted, limit=attestation.LIMIT).data
    artifact = _artifact(subject, manifest)
    return _checked(subject, manifest, repository.read(artifact.envelope))


def _checked(subject: Digest, manifest: bytes, envelope: bytes) -> Signed:
    if Digest.of(envelope) != _artifact(subject, manifest).envelope:
        raise IntegrityError("a signature's envelope is not the one that its manifest names")
    return Signed(manifest, envelope)


def _artifact(subject: Digest, manifest: bytes) -> Artifact:
    found = attestation.decode(manifest)
    if found.subject != subject.oci:
        raise IntegrityError(f"a signature is about `{found.subject}`, not about `{subject.oci}`")
    return found


def send(found: Iterable[Signed], repository: Repository) -> int:
    """Put signatures beside a manifest that a repository has; how many they are."""
    count = 0
    for each in found:
        blobs = {Digest.of(data): data for data in (each.envelope, attestation.EMPTY)}
        for digest in sorted(repository.missing(blobs)):
            repository.push(digest, blobs[digest])
        repository.put_manifest(Manifest(each.manifest, MANIFEST))
        count += 1
    return count


def orphans(store: LocalStore) -> Iterator[Path]:
    """The folders with signatures of manifests that are not in the store any more."""
    with contextlib.suppress(FileNotFoundError):
        for path in (store.folder / FOLDER).iterdir():
            if _HASH.fullmatch(path.name) and store.find(path.name) is None:
                yield path


def _small(path: Path, limit: int) -> bytes:
    data, _ = filesystem.read_small(str(path), limit)
    if data is None:
        raise IntegrityError(f"`{path}` has more than {limit} bytes")
    return data
