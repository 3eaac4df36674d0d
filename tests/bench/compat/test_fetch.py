"""Where sources come from, and how their archives are named and unpacked."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.compat import fetch
from bench.compat.catalogue import Origin


def archive(path: Path, files: Mapping[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as file:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            file.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_sites_are_asked_for_sources_in_both_forms_of_apt() -> None:
    lines = "# deb is old\ndeb [signed-by=/k.gpg] http://mirror/debian stable main\n"
    stanza = "Types: deb deb-src\nURIs: http://mirror/debian\nSigned-By: /k.gpg\n"

    assert fetch.sources_of(lines) == lines.replace("\ndeb ", "\ndeb-src ")
    assert fetch.sources_of(stanza) == stanza.replace("deb deb-src", "deb-src")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("abseil_20220623.1.orig.tar.gz", "20220623.1"),
        ("bazel-bootstrap_4.2.3+ds.orig.tar.xz", "4.2.3+ds"),
        ("zlib_1.2.13.dfsg.orig.tar.bz2", "1.2.13.dfsg"),
        ("labmaze-1.0.6.tar.gz", "1.0.6"),
    ],
)
def test_the_version_is_in_the_name_of_the_archive(name: str, version: str) -> None:
    assert fetch.version(name) == version


def test_versions_are_those_that_apt_knows() -> None:
    text = "Package: x\nVersion: 2-1\nBinary: x\n\nPackage: x\nVersion: 1-9\n\nVersion: 2-1\n"

    assert fetch.versions(text) == ["2-1", "1-9"]


def test_the_one_folder_of_an_archive_is_left_away(tmp_path: Path) -> None:
    one = archive(tmp_path / "one-1.tar.gz", {"one-1/a": "a", "one-1/b/c": "c"})
    many = archive(tmp_path / "many-1.tar.gz", {"a": "a", "b/c": "c"})

    fetch.unpack(one, tmp_path / "one")
    fetch.unpack(many, tmp_path / "many")

    for name in ("one", "many"):
        assert (tmp_path / name / "a").read_text() == "a"
        assert (tmp_path / name / "b" / "c").read_text() == "c"


def test_an_archive_that_is_there_is_not_fetched_and_parts_of_one_are_passed_over(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "archives" / "x"
    archive(folder / "x_2.orig-doc.tar.gz", {"doc/a": "no"})
    archive(folder / "x_2.orig.tar.gz", {"x-2/a": "yes"})

    found = fetch.Sources(tmp_path).get("x", Origin.APT)

    assert found == fetch.Fetched(tmp_path / "x", "2")
    assert (tmp_path / "x" / "a").read_text() == "yes"


def test_a_source_that_nobody_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(fetch.NotFetched, match="pip download"):
        fetch.Sources(tmp_path).get("./no-such-folder", Origin.PIP)
