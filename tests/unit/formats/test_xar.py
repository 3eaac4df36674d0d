"""XAR headers: what is written reads back, and upstream's tool and ours read each other."""

from __future__ import annotations

import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import IntegrityError, UserError
from lamina.formats import squashfs, xar

UUID = "0123456789abcdef" * 4
TRAMPOLINE = "invoke_xar_via_trampoline"

uuids = st.text("0123456789abcdef", min_size=32, max_size=64)
values = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"='), max_size=100
)
names = st.text(string.ascii_letters + " .-_", min_size=1, max_size=20)
headers = st.builds(
    xar.Header,
    uuid=uuids,
    target=values,
    version=values,
    trampolines=st.lists(names, max_size=5).map(lambda found: (*found, TRAMPOLINE)) | st.just(()),
)


@given(headers)
def test_a_header_reads_back_and_is_4096_bytes(header: xar.Header) -> None:
    data = xar.encode(header)

    assert len(data) == 4096
    assert xar.decode(data) == header


@given(headers)
def test_no_written_line_breaks_the_rules_of_either_upstream_reader(header: xar.Header) -> None:
    lines = xar.encode(header).decode().split("\n")
    stop = lines.index("#xar_stop")
    pairs = [line.split("=") for line in lines[1:stop]]

    assert lines[0] == "#!/usr/bin/env xarexec_fuse"
    assert lines[1] == 'OFFSET="4096"'
    assert all(len(pair) == 2 for pair in pairs)
    assert all(value[0] == value[-1] == '"' and value.count('"') == 2 for _, value in pairs)
    assert len({name for name, _ in pairs}) == len(pairs)
    assert {"UUID", "VERSION", "DEPENDENCIES", "XAREXEC_TARGET"} <= {name for name, _ in pairs}


@given(st.binary(max_size=6000))
def test_bytes_that_are_no_header_give_only_an_integrity_error(data: bytes) -> None:
    for candidate in (data, b"#!x\n" + data, b'#!x\nOFFSET="4096"\n' + data):
        try:
            xar.decode(candidate)
        except IntegrityError as error:
            assert error.message


def text(*lines: str) -> bytes:
    return "\n".join(["#!/usr/bin/env xarexec_fuse", *lines, "#xar_stop", ""]).encode()


@pytest.mark.parametrize("offset", [4096, 8192, 65536])
def test_any_sane_offset_is_read(offset: int) -> None:
    data = text(f'OFFSET="{offset}"', f'UUID="{UUID}"')

    assert xar.decode(data).offset == offset


@pytest.mark.parametrize("offset", ["0", "1", "-4096", "4096.0", "", "69632", "9" * 30])
def test_any_other_offset_is_refused(offset: str) -> None:
    data = text(f'OFFSET="{offset}"', f'UUID="{UUID}"')

    with pytest.raises(IntegrityError, match="OFFSET of a XAR is a multiple of 4096"):
        xar.decode(data)


def test_keys_come_in_any_order_with_comments_and_unknown_ones() -> None:
    data = text('OTHER="x=y"', "", "# note", f'UUID="{UUID}"', 'OFFSET="4096"')

    assert xar.decode(data) == xar.Header(UUID)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "does not start with"),
        (b"hsqs", "does not start with"),
        (b"#!/bin/sh\necho hello\n", "not `NAME="),
        (b"#!x\n" + b"\xff" * 5000, "not UTF-8"),
        (text(f'UUID="{UUID}"'), "has no OFFSET"),
        (text('OFFSET="4096"'), "UUID"),
        (text('OFFSET="4096"', 'UUID="../../etc"'), "hexadecimal digits, not '../../etc'"),
        (text('OFFSET="4096"', "UUID=abc"), "not `NAME="),
        (text('OFFSET="4096"', '="abc"'), "not `NAME="),
    ],
)
def test_a_malformed_header_is_refused_with_the_reason(data: bytes, complaint: str) -> None:
    with pytest.raises(IntegrityError, match=complaint):
        xar.decode(data)


@pytest.mark.parametrize(
    "header",
    [
        xar.Header("not-hex"),
        xar.Header(""),
        xar.Header(UUID, target='a"b'),
        xar.Header(UUID, target="a=b"),
        xar.Header(UUID, version="a\nb"),
        xar.Header(UUID, version="\udc80"),
        xar.Header(UUID, offset=8192),
        xar.Header(UUID, trampolines=("a",)),
        xar.Header(UUID, trampolines=("it's", TRAMPOLINE)),
        xar.Header(UUID, target="a" * 4096),
    ],
)
def test_what_upstream_would_misread_is_not_written(header: xar.Header) -> None:
    with pytest.raises(UserError):
        xar.encode(header)


class TestMakeXar:
    """Facebook's own Python tool, PyPI `xar`."""

    @pytest.fixture(autouse=True)
    def _tool(self) -> None:
        pytest.importorskip(
            "xar.xar_builder", reason="no PyPI `xar` (Python < 3.12, setuptools < 81)"
        )

    def test_a_xar_that_make_xar_made_is_read(self, tmp_path: Path) -> None:
        script = tmp_path / "hello.sh"
        script.write_text("echo hello\n")
        made = tmp_path / "made.xar"

        subprocess.run(
            [sys.executable, "-m", "xar.make_xar", "--output", made, "--raw", tmp_path,
             "--raw-executable", "hello.sh"],
            check=True, capture_output=True,
        )  # fmt: skip

        data = made.read_bytes()
        header = xar.decode(data)
        assert header.target == "hello.sh"
        assert squashfs.parse(data[header.offset :]).compressor == "gzip"

    def test_a_long_header_of_the_factory_has_offset_8192_and_is_read(self, tmp_path: Path) -> None:
        xar_util = pytest.importorskip("xar.xar_util")
        tree = tmp_path / "tree"
        tree.mkdir()
        factory = xar_util.XarFactory(str(tree), str(tmp_path / "made"), "#!/usr/bin/env x")
        factory.uuid = "ab12"
        factory.version = 7
        factory.xar_header = {"XAREXEC_TARGET": "run", "NOTE": "x" * 4000}
        factory.go()

        data = (tmp_path / "made").read_bytes()
        header = xar.decode(data)
        assert (header.offset, header.uuid, header.version) == (8192, "ab12", "7")
        assert squashfs.parse(data[8192:])

    def test_their_reader_unpacks_what_we_write(self, tmp_path: Path) -> None:
        helpers = pytest.importorskip("xar.tests.xar_test_helpers")
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "run").write_text("echo hello\n")
        image = tmp_path / "image"
        subprocess.run(["mksquashfs", tree, image, "-quiet"], check=True, capture_output=True)
        ours = tmp_path / "ours.xar"
        header = xar.encode(xar.Header(UUID, "run", "1"))
        # Their reader, a part of their tests, insists on the shebang of their tests.
        theirs = helpers.xar_builder.BORING_SHEBANG.encode()
        body = header[len(b"#!/usr/bin/env xarexec_fuse") :].rstrip(b"\n")
        ours.write_bytes((theirs + body).ljust(4096, b"\n") + image.read_bytes())

        case = helpers.XarTestCase()
        case.assertEquals = case.assertEqual  # the old name, which Python 3.12 has no more
        case._unxar(str(ours), str(tmp_path / "out"))

        assert (tmp_path / "out" / "run").read_text() == "echo hello\n"
