"""Layers of images: what the specification says they do to those below, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import pytest

from lamina.formats import imagelayer
from lamina.formats.archive import ArchiveError

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def folder(name: str, **fields: object) -> Member:
    return member(name, b"", type=tarfile.DIRTYPE, mode=0o755, **fields)


def layer(*members: Member) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def large(name: str, size: int) -> bytes:
    """A file that says it has so many bytes, and ends."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def converted(data: bytes) -> dict[str, tarfile.TarInfo]:
    out = io.BytesIO()
    imagelayer.convert(io.BytesIO(data), len(data), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as made:
        found = made.getmembers()
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def is_whiteout(info: tarfile.TarInfo) -> bool:
    return info.ischr() and (info.devmajor, info.devminor) == (0, 0)


def is_opaque(info: tarfile.TarInfo) -> bool:
    values = [
        info.pax_headers.get(f"SCHILY.xattr.{name}.overlay.opaque") for name in ("trusted", "user")
    ]
    assert values in (["y", "y"], [None, None])
    return values == ["y", "y"]


def test_a_whiteout_becomes_a_device() -> None:
    found = converted(layer(member("etc/.wh.passwd"), member(".wh.srv")))

    assert {name for name, info in found.items() if is_whiteout(info)} == {"etc/passwd", "srv"}
    assert found["etc"].isdir()


def test_an_opaque_folder_has_the_attribute_wherever_its_mark_stands() -> None:
    found = converted(
        layer(folder("a", uid=7), member("a/x"), member("a/.wh..wh..opq"), member("b/.wh..wh..opq"))
    )

    assert is_opaque(found["a"])
    assert found["a"].uid == 7
    assert is_opaque(found["b"])
    assert found.keys() == {"a", "a/x", "b"}


def test_a_whiteout_beside_a_folder_of_its_name_hides_what_was_in_it() -> None:
    found = converted(
        layer(member(".wh.a"), folder("a"), member("a/new"), member(".wh.f"), member("f"))
    )

    assert is_opaque(found["a"])
    assert found["f"].isreg()


def test_what_aufs_left_for_itself_is_left_out() -> None:
    assert converted(layer(member(".wh..wh.plnk/1.2"), member(".wh..wh.aufs"))).keys() == set()


def test_owners_modes_times_links_and_attributes_are_kept() -> None:
    capability = {"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\udcff"}
    found = converted(
        layer(
            member("bin/su", b"x", mode=0o4755, uid=3, gid=4, mtime=1234567890),
            member("bin/also", type=tarfile.LNKTYPE, linkname="./bin/su"),
            member("bin/sh", type=tarfile.SYMTYPE, linkname="/bin/dash"),
            member("bin/ping", b"", pax_headers=capability),
        )
    )

    su = found["bin/su"]
    assert (su.mode, su.uid, su.gid, su.mtime) == (0o4755, 3, 4, 1234567890)
    assert (found["bin/also"].islnk(), found["bin/also"].linkname) == (True, "bin/su")
    assert (found["bin/sh"].issym(), found["bin/sh"].linkname) == (True, "/bin/dash")
    assert found["bin/ping"].pax_headers.items() >= capability.items()


def test_of_two_members_of_one_name_the_later_counts() -> None:
    found = converted(layer(member("f", b"old"), member("f", b"newer")))

    assert found["f"].size == 5


def test_devices_are_left_out_and_pipes_kept() -> None:
    found = converted(
        layer(
            member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
            member("sda", type=tarfile.BLKTYPE, devmajor=8),
            member("pipe", type=tarfile.FIFOTYPE),
        )
    )

    assert found.keys() == {"pipe"}


@pytest.mark.parametrize("packed", [False, True])
def test_its_digest_is_that_of_the_archive_before_it_was_packed(packed: bool) -> None:
    data = layer(member("f", b"x" * 3000))
    given = gzip.compress(data) if packed else data

    found = imagelayer.convert(io.BytesIO(given), len(given), io.BytesIO())

    assert found == hashlib.sha256(data).hexdigest()


def test_a_last_block_that_is_not_filled_up_is_no_fault() -> None:
    data = layer(member("f", b"x" * 700))[: 512 + 700]

    assert converted(data)["f"].size == 700


REFUSED = {
    "a device that hides": (
        layer(member("f", type=tarfile.CHRTYPE, devmajor=0, devminor=0)),
        "character device 0:0",
    ),
    "an attribute of overlayfs": (
        layer(member("d", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})),
        "only overlayfs may set",
    ),
    "one that an ordinary user's overlay reads": (
        layer(member("d", pax_headers={"SCHILY.xattr.user.overlay.redirect": "/"})),
        "only overlayfs may set",
    ),
    "a path out": (layer(member("../f")), "leads out"),
    "a whiteout of a path out": (layer(member("../.wh.f")), "leads out"),
    "a whiteout of nothing": (layer(member("a/.wh.")), "names nothing"),
    "a file below a link": (
        layer(member("l", type=tarfile.SYMTYPE, linkname="/etc"), member("l/passwd")),
        "below `l`, which is no folder",
    ),
    "a whiteout below a link": (
        layer(member("l", type=tarfile.SYMTYPE, linkname="/etc"), member("l/.wh.passwd")),
        "below `l`, which is no folder",
    ),
    "a hard link to what comes later": (
        layer(member("b", type=tarfile.LNKTYPE, linkname="a"), member("a")),
        "not before it",
    ),
    "all below it hidden": (layer(member(".wh..wh..opq")), "hides all layers"),
    "an attribute whose name is no text": (
        layer(member("f", pax_headers={"SCHILY.xattr.user.é": "y"})).replace(
            "é".encode(), b"\xc3("
        ),
        "an attribute whose name is none",
    ),
    "a file of 2^60 bytes that is not there": (
        large("f", 1 << 60),
        "it is broken",
    ),
    "folders without end": (layer(member("a/" * 1000 + "b")), "lies in 1000 folders"),
    "half of it": (layer(member("f", b"x" * 3000))[:1500], "it is broken"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_to_be_trusted_is_refused(name: str) -> None:
    data, words = REFUSED[name]

    with pytest.raises(ArchiveError) as caught:
        converted(data)

    assert words in caught.value.message


def stacked(*layers: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for each in layers:
        found = imagelayer.stacked_files(
            found, io.BytesIO(each), len(each), lambda path: path.endswith("db")
        )
    return found


LOWER = layer(folder("a"), member("./a/db", b"1"), member("b/c/db", b"2"), member("x", b"3"))


def test_files_are_read_through_a_stack_of_layers() -> None:
    assert stacked(LOWER) == {"a/db": b"1", "b/c/db": b"2"}
    assert stacked(LOWER, gzip.compress(layer(folder("a"), member("a/db", b"9")))) == {
        "a/db": b"9", "b/c/db": b"2",
    }  # fmt: skip


@pytest.mark.parametrize(
    "upper",
    [
        member("b/.wh.c"), member(".wh.b"), member("b/c/.wh.db"), member("b/.wh..wh..opq"),
        member("b"), member("b/c/db", type=tarfile.SYMTYPE, linkname="x"),
    ],
    ids=lambda upper: upper[0].name,
)  # fmt: skip
def test_what_is_hidden_is_not_read(upper: Member) -> None:
    assert stacked(LOWER, layer(upper)) == {"a/db": b"1"}


def test_all_may_be_hidden() -> None:
    assert stacked(LOWER, layer(member(".wh..wh..opq"), member("db", b"4"))) == {"db": b"4"}


def test_what_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagelayer, "_MOST_READ", 1)

    with pytest.raises(ArchiveError, match="`db` of 0 MiB is too large"):
        stacked(layer(member("db", b"12")))
