"""Archives that tar, zip and zstd make, and archives that no honest tool makes."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import archive
from lamina.formats.archive import ArchiveError
from lamina.store.local import LocalStore
from lamina.store.unpack import Unpacking, leads_out, unpack


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar archive with members just as they are given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for member, data in members:
            made.addfile(member, io.BytesIO(data))
    return out.getvalue()


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def claiming(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar archive of one file that says it has so many bytes, and ends."""
    info = tarfile.TarInfo("a")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def lying(place: int, value: int, size: int = 4) -> bytes:
    """A zip archive with another number in the central record of its entry."""
    whole = zipped(("a", b"x" * 5000, 0))
    at = whole.index(b"PK\1\2") + place
    return whole[:at] + value.to_bytes(size, "little") + whole[at + size :]


@pytest.fixture
def unpacked(store: LocalStore) -> Callable[..., dict[str, Node]]:
    """Unpacks an archive given as bytes."""

    def call(data: bytes, prefix: str = "", *excludes: str, kind: str = "") -> dict[str, Node]:
        return unpack(store.write(data), Unpacking(kind, prefix, excludes), store)

    return call


Unpacked = Callable[..., dict[str, Node]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to archive: a program, a file, a link, an empty folder, a large file."""
    top = tmp_path / "lib-1.0"
    (top / "src").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "run").write_text("#!/bin/sh\n")
    (top / "run").chmod(0o755)
    (top / "src/a.c").write_text("int a;\n")
    (top / "src/b.c").symlink_to("a.c")
    (top / "large").write_bytes(b"large" * 500_000)
    return top


EXPECTED: dict[str, Node] = {
    "empty": Folder(),
    "large": File(Digest.of(b"large" * 500_000)),
    "run": File(Digest.of(b"#!/bin/sh\n"), True),
    "src/a.c": File(Digest.of(b"int a;\n")),
    "src/b.c": Symlink("a.c"),
}


@pytest.mark.parametrize("option", ["", "--gzip", "--bzip2", "--xz", "--zstd"])
@pytest.mark.parametrize("form", ["pax", "gnu", "ustar"])
def test_what_tar_makes_is_unpacked(
    folder: Path, unpacked: Unpacked, option: str, form: str
) -> None:
    words = ["tar", "-c", f"--format={form}", "-C", str(folder.parent), *filter(None, [option])]
    data = subprocess.run([*words, "./lib-1.0"], check=True, capture_output=True).stdout

    tree = unpacked(data, "lib-1.0")

    assert tree == EXPECTED


def test_a_zip_with_modes_and_links_is_unpacked(unpacked: Unpacked) -> None:
    data = zipped(
        ("lib-1.0/", b"", stat.S_IFDIR | 0o755),
        ("lib-1.0/empty/", b"", stat.S_IFDIR | 0o755),
        ("lib-1.0/large", b"large" * 500_000, 0),
        ("lib-1.0/run", b"#!/bin/sh\n", stat.S_IFREG | 0o755),
        ("lib-1.0/src/a.c", b"int a;\n", stat.S_IFREG | 0o644),
        ("lib-1.0/src/b.c", b"a.c", stat.S_IFLNK | 0o777),
    )

    assert unpacked(data, "lib-1.0/") == EXPECTED


def test_a_hard_link_is_the_same_file(unpacked: Unpacked) -> None:
    tree = unpacked(tar(member("p/a", b"x", mode=0o755), link("p/b", "p/a", tarfile.LNKTYPE)), "p")

    assert tree["b"] == tree["a"] == File(Digest.of(b"x"), True)


def test_only_what_lies_below_the_prefix_is_taken(unpacked: Unpacked) -> None:
    assert unpacked(tar(member("a/x", b"1"), member("ab/x", b"2"), member("x")), "a") == {
        "x": File(Digest.of(b"1"))
    }


def test_what_is_excluded_is_left_out(unpacked: Unpacked) -> None:
    data = tar(member("a/x.c"), member("a/t/x.c"), member("b/t/x.c"))

    assert unpacked(data, "", "a/t/", r".*b/").keys() == {"a/x.c"}


def test_a_missing_prefix_is_told_with_what_there_is(unpacked: Unpacked) -> None:
    with pytest.raises(ArchiveError, match="no folder `lib-2`") as caught:
        unpacked(tar(member("lib-1/x"), member("README")), "lib-2")

    assert caught.value.hint == "at its top it has `lib-1`, `README`"


def test_another_type_than_told_is_a_fault(unpacked: Unpacked) -> None:
    with pytest.raises(ArchiveError, match=r"no `tar\.gz` archive, by its first bytes it is `zip`"):
        unpacked(zipped(("a", b"", 0)), kind="tar.gz")


HOSTILE = {
    "a path upwards": (tar(member("a/../../x")), "`a/../../x` leads out"),
    "an absolute path": (tar(member("/etc/passwd")), "`/etc/passwd` leads out"),
    "a path upwards in a zip": (zipped(("../x", b"", 0)), "`../x` leads out"),
    "an absolute path in a zip": (zipped(("/x", b"", 0)), "`/x` leads out"),
    "a link upwards": (tar(link("a/l", "../../x")), "link `a/l` leads out"),
    "an absolute link": (tar(link("l", "/etc")), "link `l` leads out"),
    "a link upwards in a zip": (zipped(("l", b"../x", stat.S_IFLNK)), "link `l` leads out"),
    "a link out by way of another": (
        tar(member("a/b/c"), link("l", "a/b"), link("m", "l/../../../x")),
        "link `m` leads out",
    ),
    "a link that stays by its words alone": (
        tar(link("d", "."), link("m", "d/../x"), member("x")),
        "link `m` leads out",
    ),
    "a file through a link": (tar(link("l", "a"), member("l/x")), "below `l`, which is no folder"),
    "a file through a link to come": (tar(member("l/x"), link("l", "a")), "`l` is also a folder"),
    "a file below a file": (tar(member("a"), member("a/b")), "below `a`, which is no folder"),
    "a hard link out": (tar(link("h", "../x", tarfile.LNKTYPE)), "`../x` leads out"),
    "a hard link to nothing": (tar(link("h", "x", tarfile.LNKTYPE)), "hard link to `x`"),
    "a hard link to a link": (
        tar(link("l", "x"), link("h", "l", tarfile.LNKTYPE)),
        "hard link to `l`",
    ),
    "a hard link to what comes later": (
        tar(link("h", "x", tarfile.LNKTYPE), member("x")),
        "hard link to `x`, which is no file before it",
    ),
    "a hard link to itself": (tar(link("h", "h", tarfile.LNKTYPE)), "hard link to `h`"),
    "a hard link to a folder": (
        tar(member("d", type=tarfile.DIRTYPE), link("h", "d", tarfile.LNKTYPE)),
        "hard link to `d`",
    ),
    "a file of 2^60 bytes that is not there": (claiming(1 << 60), "it is broken"),
    "a file of 8 GiB that is not there": (claiming(8 << 30), "it is broken"),
    "a file of less than no bytes": (claiming(-512), "`a` has -512 bytes"),
    "a folder of 2^60 bytes": (claiming(1 << 60, tarfile.CONTTYPE), "it is broken"),
    "a size of less than nothing in words": (
        tar(member("a", pax_headers={"size": "-1"})),
        "`a` has -1 bytes",
    ),
    "a name with a NUL": (tar(member("a", pax_headers={"path": "a\0/../../x"})), "leads out"),
    "a name with a NUL that stays": (tar(member("a", pax_headers={"path": "a\0b"})), "is none"),
    "a name that is not UTF-8 in words": (
        tar(member("a", pax_headers={"path": "é"})).replace("é".encode(), b"\xc3("),
        "is not UTF-8",
    ),
    "a sparse file whose map is none": (
        tar(member("a", pax_headers={"GNU.sparse.map": "0,x", "GNU.sparse.size": "9"})),
        "it is broken",
    ),
    "a sparse file that is longer than it is": (
        tar(member("a", pax_headers={"GNU.sparse.map": "0,4096", "GNU.sparse.size": "4096"})),
        "it is broken",
    ),
    "folders without end": (tar(member("a/" * 1000 + "b")), "lies in 1000 folders"),
    "folders without end in a zip": (zipped(("a/" * 1000 + "b", b"", 0)), "lies in 1000 folders"),
    "a path that is too long": (tar(member(("b" * 200 + "/") * 20 + "b")), "too long"),
    "a zip with two names for one entry": (
        zipped(("a/b", b"x", 0)).replace(b"a/b", b"../", 1),
        "it is broken",
    ),
    "a zip with another checksum": (lying(16, 0), "it is broken"),
    "a zip whose entry is shorter": (lying(24, 1), "it is broken"),
    "a zip whose entry lies elsewhere": (lying(42, 1 << 30), "it is broken"),
    "a zip with a method that is none": (lying(10, 77, 2), "it is broken"),
    "a zip of another time to come": (lying(6, 200, 2), "it is broken"),
    "a zip with names that are not UTF-8": (
        zipped(("é", b"", 0)).replace("é".encode(), b"\xc3("),
        "it is broken",
    ),
    "a device": (tar(member("d", type=tarfile.CHRTYPE)), "`d` is a device"),
    "a block device": (tar(member("d", type=tarfile.BLKTYPE)), "`d` is a device"),
    "a pipe": (tar(member("p", type=tarfile.FIFOTYPE)), "`p` is a pipe"),
    "a device in a zip": (zipped(("d", b"", stat.S_IFCHR)), "`d` is a device"),
    "two files of one name": (
        tar(member("a", b"1"), member("a", b"2")),
        "two different entries `a`",
    ),
    "a name that is too long": (tar(member("a" * 300)), "too long"),
    "a name that is no text": (tar(member("a\udcff")), "is not UTF-8"),
    "no archive": (b"hello" * 1000, "neither a tar nor a zip"),
    "nothing": (b"", "neither a tar nor a zip"),
    "half a tar": (tar(member("a", b"x" * 5000))[:3000], "it is broken"),
    "half a zip": (zipped(("a", b"x" * 5000, 0))[:-30], "it is broken"),
    "an encrypted zip": (
        zipped(("a", b"x", 0))
        .replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0")
        .replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"),
        "`a` is encrypted",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(unpacked: Unpacked, name: str) -> None:
    data, words = HOSTILE[name]

    with pytest.raises(ArchiveError) as caught:
        unpacked(data)

    assert words in caught.value.message


@pytest.mark.parametrize("compress", ["gz", "bz2", "xz", "zst", "zip", "sparse"])
def test_a_bomb_is_given_up(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compress: str
) -> None:
    monkeypatch.setattr(archive, "_ALLOWANCE", 1 << 20)
    (tmp_path / "zeros").write_bytes(b"")
    with (tmp_path / "zeros").open("r+b") as file:
        file.truncate(100 << 20)
    if compress == "zip":
        data = zipped(("zeros", bytes(100 << 20), 0))
    else:
        options = {"gz": "-z", "bz2": "-j", "xz": "-J", "zst": "--zstd", "sparse": "-S"}
        words = ["tar", "-c", "-C", str(tmp_path), options[compress], "zeros"]
        data = subprocess.run(words, check=True, capture_output=True).stdout

    with pytest.raises(ArchiveError, match="out of all proportion"):
        unpack(store.write(data), Unpacking(), store)


def test_a_header_that_claims_gigabytes_is_given_up(unpacked: Unpacked) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30

    with pytest.raises(ArchiveError):
        unpacked(info.tobuf() + b"\0" * 2048)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_archive_is_read_or_refused(unpacked: Unpacked, data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from(
            [tar(member("a/b", b"x" * 700), link("l", "a")), zipped(("a/b", b"x" * 700, 0))]
        )
    )
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))

    try:
        tree = unpacked(bytes(damaged))
    except ArchiveError:
        return

    assert all(".." not in path.split("/") and not path.startswith("/") for path in tree)


def test_a_link_within_the_tree_leads_nowhere_else() -> None:
    tree: dict[str, Node] = {"a/b/l": Symlink("../../x"), "c": Symlink("c"), "d": Symlink("a/b")}

    assert not any(leads_out(path, tree) for path in tree)
