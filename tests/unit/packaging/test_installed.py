"""What is installed in base images: as dpkg and apk of real images write it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from lamina.core.manifest import Image, ImageLayer
from lamina.packaging import installed, sbom
from lamina.packaging.sbom import Bill, Component
from lamina.store.local import LocalStore

DPKG = """Package: libc6
Status: install ok installed
Source: glibc
Version: 2.36-9+deb12u4
Architecture: amd64
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
Homepage: https://www.gnu.org/software/libc/libc.html
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf d4e7a7b88a71b5ffd9e2644e71a0cfab

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: libstdc++6
Status: hold ok installed
Version: 1:12.2.0-14
Architecture: amd64
"""
APK = """C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:musl
V:1.2.4_git20230717-r4
A:x86_64
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
F:lib
R:ld-musl-x86_64.so.1
"""
DEBIAN = 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n# a: comment\n'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    found = LocalStore(tmp_path / "store")
    yield found
    found.close()


def layer(store: LocalStore, files: Mapping[str, str]) -> ImageLayer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            made.addfile(info, io.BytesIO(text.encode()))
    return ImageLayer(store.write(gzip.compress(out.getvalue(), mtime=0)), "0" * 64, "x")


def found(
    store: LocalStore, *layers: Mapping[str, str], name: str = "", digest: str = ""
) -> list[Component]:
    made = tuple(layer(store, each) for each in layers)
    image = Image(layers=made, name=name, digest=digest)
    return installed.components("//images:base", image, store)


def purls(components: list[Component]) -> list[str]:
    return [sbom._purl(each) for each in components[1:]]


def test_what_dpkg_has_installed_is_told(store: LocalStore) -> None:
    base, libc, cxx = found(store, {"./var/lib/dpkg/status": DPKG}, {"usr/lib/os-release": DEBIAN})

    assert (libc.name, libc.version, libc.summary, libc.homepage) == (
        "libc6", "2.36-9+deb12u4", "GNU C Library: Shared libraries",
        "https://www.gnu.org/software/libc/libc.html",
    )  # fmt: skip
    assert base.needs == (libc.label, cxx.label)
    assert purls([base, libc, cxx]) == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14?arch=amd64&distro=debian-12",
    ]


def test_the_upper_layer_tells_what_is_installed(store: LocalStore) -> None:
    upper = DPKG.split("\n\n", maxsplit=1)[0]

    assert len(found(store, {"var/lib/dpkg/status": DPKG}, {"var/lib/dpkg/status": upper})) == 2
    assert len(found(store, {"var/lib/dpkg/status": DPKG}, {"var/lib/.wh.dpkg": ""})) == 1


def test_distroless_images_have_a_file_for_each_package(store: LocalStore) -> None:
    parts = {
        "var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
        "var/lib/dpkg/status.d/base.md5sums": "0  usr/share/doc\n",
    }

    assert purls(found(store, parts)) == ["pkg:deb/debian/base-files@12.4?arch=amd64&distro=debian"]


def test_what_apk_has_installed_is_told(store: LocalStore) -> None:
    release = "ID=alpine\nVERSION_ID=3.19.1\n"

    made = found(store, {"lib/apk/db/installed": APK, "etc/os-release": release})

    assert purls(made) == [
        "pkg:apk/alpine/musl@1.2.4_git20230717-r4?arch=x86_64&distro=alpine-3.19.1"
    ]
    assert (made[1].licence, made[1].homepage) == ("MIT", "https://musl.libc.org/")


DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("about", "purl"),
    [
        (
            {"name": "docker.io/library/debian:12", "digest": DIGEST},
            f"pkg:oci/debian@sha256:{DIGEST}?repository_url=docker.io/library/debian&tag=12",
        ),
        (
            {"name": "host:5000/Debian", "digest": DIGEST},
            f"pkg:oci/debian@sha256:{DIGEST}?repository_url=host:5000/Debian",
        ),
        ({"name": "12", "digest": DIGEST}, f"pkg:oci/base@sha256:{DIGEST}?tag=12"),
        ({"digest": DIGEST}, f"pkg:oci/base@sha256:{DIGEST}"),
        ({"name": "debian:12"}, "pkg:docker/debian@12"),
    ],
)
def test_the_image_is_known_by_its_digest_or_tag(
    store: LocalStore, about: dict[str, str], purl: str
) -> None:
    (base,) = found(store, {"x": ""}, **about)

    known = PackageURL.from_string(sbom._purl(base))
    assert known == PackageURL.from_string(purl)
    assert base.type == "container"


def test_a_root_file_system_is_known_by_its_archive(store: LocalStore) -> None:
    (base,) = found(store, {"x": ""})

    digest = layer(store, {"x": ""}).blob.hash
    assert PackageURL.from_string(sbom._purl(base)).qualifiers == {"checksum": f"sha256:{digest}"}


@pytest.mark.parametrize(
    "text", ["", "\n\n\n", "Package", "\xff: \x00", ": :\n:", "Package: a\n b"]
)
def test_what_makes_no_sense_is_left_out(store: LocalStore, text: str) -> None:
    files = {"var/lib/dpkg/status": text, "lib/apk/db/installed": text, "etc/os-release": 'ID="'}

    assert len(found(store, files)) == 1


def test_documents_with_them_are_valid(store: LocalStore, tmp_path: Path) -> None:
    base, *inner = found(
        store, {"var/lib/dpkg/status": DPKG, "lib/apk/db/installed": APK}, digest=DIGEST
    )
    bill = Bill("a", "1", "f" * 64, "//:a", (base.label,), (base, *inner))

    (tmp_path / "x.spdx.json").write_text(sbom.write(bill, "spdx"))
    document = parse_file(str(tmp_path / "x.spdx.json"))
    assert validate_full_spdx_document(document) == []
    assert len(document.packages) == 1 + 1 + 3
    written = sbom.write(bill, "cyclonedx")
    bom = Bom.from_json(json.loads(written))  # type: ignore[attr-defined]
    kinds = {part.name: part.type.value for part in bom.components}
    assert kinds == {
        "base": "container", "libc6": "library", "libstdc++6": "library", "musl": "library",
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="this machine has no dpkg")
def test_the_status_of_this_machine_is_read_as_dpkg_does(store: LocalStore) -> None:
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    status = Path("/var/lib/dpkg/status").read_text(errors="replace")

    _, *inner = found(store, {"var/lib/dpkg/status": status})

    lines = {line.partition(" ")[2] for line in told.splitlines() if line.startswith("installed ")}
    assert {f"{each.name} {each.version}" for each in inner} == lines
