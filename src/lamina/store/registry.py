"""A repository on a registry.

Specification: github.com/opencontainers/distribution-spec, version 1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.core import parallel
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, ServiceError
from lamina.core.reference import Reference
from lamina.formats import oci
from lamina.store.answers import codes, reason
from lamina.store.repository import Manifest, NotThere, Rejected
from lamina.store.streams import Distant, Incoming
from lamina.store.transport import Access, Passing, Transport
from lamina.store.upload import Upload

if TYPE_CHECKING:
    import httpx

_AT_ONCE = 8  # requests
_LIMIT = 1 << 22  # bytes of a manifest
_PIECE = 1 << 18
_PROGRESS = 1 << 16  # bytes that make another try worth while
_TRIES = 8  # in a row that bring less than that
_PAGES = 1000
_ACCEPT = ", ".join(
    (
        oci.MANIFEST,
        oci.INDEX,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class RegistryRepository:
    """One repository; safe to use from threads."""

    def __init__(self, reference: Reference, access: Access) -> None:
        self.reference = reference
        name = reference.repository
        if reference.host in ("docker.io", "index.docker.io") and "/" not in name:
            name = f"library/{name}"
        self._path = f"/v2/{name}"
        self._transport = Transport(reference, access)

    def close(self) -> None:
        self._transport.close()

    def manifest(self, wanted: str, *, limit: int = _LIMIT) -> Manifest:
        answer = self._transport.request(
            "GET", f"{self._path}/manifests/{wanted}", headers={"Accept": _ACCEPT}, limit=limit
        )
        found = Digest.of(answer.data).oci
        told = answer.headers.get("Docker-Content-Digest", "")
        if wanted.startswith("sha256:"):
            told = wanted
        if told.startswith("sha256:") and told != found:
            raise IntegrityError(
                f"`{self.reference.place}` gives another manifest than `{told}`",
                hint="the registry, or something on the way to it, is broken",
            )
        if not told:
            _check_object(answer.data, self.reference)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Manifest(answer.data, kind or oci.media_type(answer.data))

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        name = tag or manifest.digest.oci
        headers = self._transport.again(
            partial(self._put, name, manifest), f"PUT {self._path}/manifests/{name}"
        )
        subject = oci.subject(manifest.data)
        if subject is not None and "OCI-Subject" not in headers:
            self._tell_referrer(subject, manifest)

    def _put(self, name: str, manifest: Manifest) -> httpx.Headers:
        answer = self._transport.once(
            "PUT",
            f"{self._path}/manifests/{name}",
            headers={"Content-Type": manifest.media_type},
            content=manifest.data,
            ok=(200, 201, 202, 400, 404, 413, 415, 422),
        )
        if answer.status < 400:
            return answer.headers
        fault = f"{answer.status}{reason(answer.data)}"
        if "DIGEST_INVALID" in codes(answer.data):
            # The digest is right. Debian's registry says this when it reads the entry of a blob
            # while another push of the same blob writes it.
            raise Passing(fault)
        raise Rejected(f"`{self.reference.place}` does not take the manifest `{name}`: {fault}")

    def _tell_referrer(self, subject: str, manifest: Manifest) -> None:
        """A registry without the referrers API: an index at a tag lists them."""
        tag = _fallback(subject)
        entry = _entry(manifest)
        for _ in range(_TRIES):
            known = self._fallback_index(tag)
            if entry in known:
                return
            kept = [each for each in known if each.get("digest") != entry["digest"]]
            index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*kept, entry]}
            data = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
            self.put_manifest(Manifest(data, oci.INDEX), tag)
            # Somebody may have read the index before that and write it after: so look again. It is
            # no lock, which registries do not have: who writes still later takes it away for good.

    def _fallback_index(self, tag: str) -> list[dict[str, object]]:
        try:
            return _manifests_of(self.manifest(tag).data)
        except NotThere:
            return []

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        asked = list(dict.fromkeys(digests))
        found = parallel.run([partial(self._has, digest) for digest in asked], _AT_ONCE)
        return {digest for digest, has in zip(asked, found, strict=True) if not has}

    def _has(self, digest: Digest) -> bool:
        try:
            answer = self._transport.request("HEAD", f"{self._path}/blobs/{digest.oci}")
        except NotThere:
            return False
        told = answer.headers.get("Content-Length", "")
        return not told.isdecimal() or int(told) == digest.size

    def find(self, wanted: str) -> Digest:
        answer = self._transport.request("HEAD", f"{self._path}/blobs/{wanted}")
        told = answer.headers.get("Content-Length", "")
        if not told.isdecimal():
            raise ServiceError(f"`{self.reference.place}` does not tell the size of `{wanted}`")
        return Digest.from_oci(wanted, int(told))

    def read(self, digest: Digest) -> bytes:
        for is_last in (False, True):
            answer = self._transport.request(
                "GET", f"{self._path}/blobs/{digest.oci}", limit=digest.size
            )
            if Digest.of(answer.data) == digest:
                return answer.data
            if is_last:
                break
        raise _wrong(self.reference, digest)

    def fetch(self, digest: Digest, incoming: Incoming) -> None:
        """As told in the protocol: what breaks off is gone on with, as long as more comes."""
        tries = wrong = 0
        while True:
            before = incoming.size
            try:
                self._receive(digest, incoming)
                if Digest(incoming.sha256, incoming.size) == digest:
                    return
                raise _wrong(self.reference, digest)
            except Passing as fault:
                tries = 0 if incoming.size >= before + _PROGRESS else tries + 1
                if tries == _TRIES:
                    raise ServiceError(
                        f"the registry `{self.reference.host}` cannot be used: {fault}\n"
                        f"  at blob {digest.oci}",
                        retryable=True,
                    ) from fault
                self._transport.pause(tries, fault)
            except IntegrityError:
                # It may have been taken up after wrong bytes; it is read anew as a whole, once.
                incoming.restart()
                wrong += 1
                if wrong == 2:
                    raise

    def _receive(self, digest: Digest, incoming: Incoming) -> None:
        headers = {"Range": f"bytes={incoming.size}-"} if incoming.size else {}
        if incoming.size >= digest.size:
            return
        with self._transport.stream(
            "GET", f"{self._path}/blobs/{digest.oci}", headers=headers, ok=(200, 206, 416)
        ) as response:
            if response.status_code == 416 or not _goes_on(response, incoming.size, digest):
                incoming.restart()
            if response.status_code == 416:
                raise Passing("it cannot go on in the middle")
            for piece in response.iter_raw(_PIECE):
                if incoming.size + len(piece) > digest.size:
                    raise _wrong(self.reference, digest)
                incoming.write(piece)
            if incoming.size < digest.size:
                raise Passing(f"it broke off after {incoming.size} of {digest.size} bytes")

    def push(
        self, digest: Digest, source: Path | bytes | Distant, *, mount_from: Sequence[str] = ()
    ) -> None:
        Upload(self.reference, self._path, self._transport, digest, source).run(mount_from)

    def tags(self) -> list[str]:
        found: set[str] = set()
        asked: set[str] = set()
        path = f"{self._path}/tags/list?n=1000"
        for _ in range(_PAGES):
            answer = self._transport.request("GET", path, limit=_LIMIT)
            found.update(_tags_of(answer.data))
            following = _following(answer.headers.get("Link", ""))
            if following is None:
                return sorted(found)
            url = self._transport.joined(f"{self._transport.base}{path}", following)
            if not url.startswith(f"{self._transport.base}/"):
                raise ServiceError(f"the registry `{self.reference.host}` lists tags elsewhere")
            asked.add(path)
            path = url.removeprefix(self._transport.base)
            if path in asked:
                break
        raise ServiceError(f"`{self.reference.place}` has no end of tags")

    def referrers(self, digest: Digest) -> list[dict[str, object]]:
        try:
            answer = self._transport.request(
                "GET", f"{self._path}/referrers/{digest.oci}", limit=_LIMIT
            )
        except NotThere:
            return self._fallback_index(_fallback(digest.oci))
        return _manifests_of(answer.data)


def _goes_on(response: httpx.Response, size: int, digest: Digest) -> bool:
    """Whether an answer goes on after the bytes that are there."""
    if response.status_code == 200:
        return not size
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != size:
        raise Passing("it goes on at another place than was asked for")
    return match[3] in ("*", str(digest.size))


def _check_object(data: bytes, reference: Reference) -> None:
    """Raises IntegrityError for what can be no manifest, where nobody has told its digest."""
    try:
        if not isinstance(json.loads(data), dict):
            raise ValueError("an object is wanted")
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"`{reference.place}` gives a manifest that is none") from error


def _wrong(reference: Reference, digest: Digest) -> IntegrityError:
    return IntegrityError(
        f"`{reference.place}` gives other bytes than `{digest.oci}`",
        hint="nothing of them was kept; the registry, or something on the way to it, is broken",
    )


def _fallback(digest: str) -> str:
    return digest.replace(":", "-", 1)


def _entry(manifest: Manifest) -> dict[str, object]:
    digest = manifest.digest
    entry: dict[str, object] = {
        "mediaType": manifest.media_type,
        "digest": digest.oci,
        "size": digest.size,
    }
    document: dict[str, Any] = json.loads(manifest.data)
    for field in ("artifactType", "annotations"):
        if field in document:
            entry[field] = document[field]
    return entry


def _manifests_of(data: bytes) -> list[dict[str, object]]:
    try:
        found = json.loads(data)["manifests"]
        if not all(isinstance(each, dict) and "digest" in each for each in found):
            raise TypeError("descriptors are wanted")
        return list(found)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"a list of referrers that is none: {error!r}") from error


def _tags_of(data: bytes) -> list[str]:
    try:
        return [str(tag) for tag in json.loads(data)["tags"] or ()]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"a list of tags that is none: {error!r}") from error


def _following(link: str) -> str | None:
    match = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', link)
    return match[1] if match else None
