"""What the package managers of distributions say is installed in the layers of a base image.

`/var/lib/dpkg/status` (manual page dpkg-query; distroless images have a file for each package in
`status.d`), and `/lib/apk/db/installed` (wiki.alpinelinux.org/wiki/Apk_spec). Package URLs are by
https://github.com/package-url/purl-spec. What rpm installs is in a database, and not read.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from lamina.core.classes import dataclass
from lamina.core.manifest import Image
from lamina.formats import imagelayer
from lamina.packaging.sbom import Component
from lamina.store.local import LocalStore

_DPKG, _DPKG_PARTS = "var/lib/dpkg/status", "var/lib/dpkg/status.d/"
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RELEASES = ("usr/lib/os-release", "etc/os-release")  # the second is mostly a link to the first

Paragraph = Mapping[str, str]  # the value of each field: its first line


@dataclass(frozen=True, slots=True)
class _System:
    """The distribution."""

    name: str  # `debian`
    release: str  # `12`

    @property
    def words(self) -> str:
        return f"{self.name}-{self.release}" if self.release else self.name


def components(label: str, image: Image, store: LocalStore) -> list[Component]:
    """A base image as a component, and what is installed in it, which it needs.

    Raises BlobMissing where the store has not got its layers, and IntegrityError for bad ones.
    """
    files = _files(image, store)
    found = sorted({each.label: each for each in _installed(label, files)}.values())
    return [_whole(label, image, tuple(each.label for each in found)), *found]


def _files(image: Image, store: LocalStore) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for layer in image.layers:
        with store.path(layer.blob).open("rb") as file:
            files = imagelayer.stacked_files(files, file, layer.blob.size, _is_wanted)
    return files


def _is_wanted(path: str) -> bool:
    if path.startswith(_DPKG_PARTS):
        return not path.endswith(".md5sums")
    return path == _DPKG or path in _APK or path in _RELEASES


def _installed(label: str, files: Mapping[str, bytes]) -> Iterator[Component]:
    for path, data in sorted(files.items()):
        if path == _DPKG or path.startswith(_DPKG_PARTS):
            yield from _debian(label, data, _system(files, "debian"))
        elif path in _APK:
            yield from _alpine(label, data, _system(files, "alpine"))


def _system(files: Mapping[str, bytes], usual: str) -> _System:
    """What `os-release` says, https://www.freedesktop.org/software/systemd/man/os-release.html"""
    told: dict[str, str] = {}
    for path in _RELEASES:
        for line in files.get(path, b"").decode(errors="replace").splitlines():
            name, equals, value = line.partition("=")
            if equals and not name.startswith("#"):
                told[name] = _unquoted(value)
    return _System(told.get("ID") or usual, told.get("VERSION_ID", ""))


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return ""


def _debian(label: str, data: bytes, system: _System) -> Iterator[Component]:
    for told in _paragraphs(data, ": "):
        status = told.get("Status", "installed")
        if "Package" in told and "Version" in told and status.split()[-1:] == ["installed"]:
            machine = told.get("Architecture", "")
            yield Component(
                f"{label}#deb/{told['Package']}:{machine}",
                told["Package"],
                told["Version"],
                "deb",
                summary=told.get("Description", ""),
                homepage=_address(told.get("Homepage", "")),
                namespace=system.name,
                qualifiers=_qualifiers(machine, system),
            )


def _alpine(label: str, data: bytes, system: _System) -> Iterator[Component]:
    for told in _paragraphs(data, ":"):
        if "P" in told and "V" in told:
            machine = told.get("A", "")
            yield Component(
                f"{label}#apk/{told['P']}:{machine}",
                told["P"],
                told["V"],
                "apk",
                licence=told.get("L", ""),
                summary=told.get("T", ""),
                homepage=_address(told.get("U", "")),
                namespace=system.name,
                qualifiers=_qualifiers(machine, system),
            )


def _qualifiers(machine: str, system: _System) -> tuple[tuple[str, str], ...]:
    found = {"arch": machine, "distro": system.words}
    return tuple((name, value) for name, value in found.items() if value)


def _address(text: str) -> str:
    return text if text.startswith(("http://", "https://")) and not text.split()[1:] else ""


def _paragraphs(data: bytes, colon: str) -> Iterable[Paragraph]:
    """Fields by name, of each part between empty lines; lines that go on are left out."""
    for part in data.decode(errors="replace").replace("\r\n", "\n").split("\n\n"):
        told: dict[str, str] = {}
        for line in part.split("\n"):
            name, found, value = line.partition(colon)
            if found and not line[:1].isspace():
                told.setdefault(name, value.strip())
        if told:
            yield told


def _whole(label: str, image: Image, needs: tuple[str, ...]) -> Component:
    """The image itself: known by the digest of its manifest, its tag, or the archive it is."""
    place, _, tag = image.name.rpartition(":")
    if not place or "/" in tag:
        place, tag = (image.name, "") if "/" in image.name else ("", image.name)
    name = place.rpartition("/")[2] or label.rpartition(":")[2].rpartition("/")[2]
    if image.digest:
        where = {"repository_url": place if "/" in place else "", "tag": tag}
        qualifiers = tuple((key, value) for key, value in where.items() if value)
        kind, version, known = "oci", f"sha256:{image.digest}", image.digest
        name = name.lower()
    elif image.name:
        kind, version, known, qualifiers = "docker", tag, "", ()
    else:
        kind, version, known, qualifiers = "generic", "", image.layers[0].blob.hash, ()
    return Component(
        label, name, version, kind, sha256=known, needs=needs, qualifiers=qualifiers,
        type="container",
    )  # fmt: skip
