"""Messages of the Remote Execution API: canonical bytes, round trips, and refusal of what is bad.

The oracles are bytes put together by hand from the field numbers of remote_execution.proto, digests
that every server of the protocol knows, and messages that protobuf itself serialises.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.action import Action, ActionResult, Source
from lamina.core.digest import EMPTY, Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import reapi
from lamina.formats import reapi_pb2 as pb

EXAMPLE = Digest.of(b"example")

names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8)
names = names.filter(lambda name: name not in (".", ".."))
digests = st.builds(Digest.of, st.binary(max_size=8))
files = st.builds(File, digests, st.booleans())
symlinks = st.builds(
    Symlink, st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
)
results = st.builds(
    ActionResult,
    st.dictionaries(names, files | symlinks | st.just(Folder())).map(
        lambda found: tuple(sorted(found.items(), key=lambda item: item[0]))
    ),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(),
    st.binary(),
)


def field(number: int, payload: bytes | int) -> bytes:
    """One field on the wire, shorter than 128 bytes (protobuf.dev/programming-guides/encoding)."""
    if isinstance(payload, int):
        return bytes((number << 3, payload))
    return bytes((number << 3 | 2, len(payload))) + payload


def digest(value: Digest) -> bytes:
    return field(1, value.hash.encode()) + (field(2, value.size) if value.size else b"")


def test_the_empty_directory_is_the_empty_blob() -> None:
    assert reapi.encode_directory({}) == b""
    assert Digest.of(b"").hash.startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_the_empty_tree_is_a_root_without_content() -> None:
    assert Digest.of(field(1, b"")) == reapi.EMPTY_TREE


def test_a_directory_is_written_as_the_specification_says() -> None:
    children: dict[str, reapi.Child] = {
        "s": Symlink("../f"), "x": File(EXAMPLE, True), "d": EMPTY, "f": File(EXAMPLE)
    }  # fmt: skip

    assert reapi.encode_directory(children) == (
        field(1, field(1, b"f") + field(2, digest(EXAMPLE)))
        + field(1, field(1, b"x") + field(2, digest(EXAMPLE)) + field(4, 1))
        + field(2, field(1, b"d") + field(2, digest(EMPTY)))
        + field(3, field(1, b"s") + field(2, b"../f"))
    )


def test_names_are_sorted_by_their_bytes() -> None:
    order = ["B", "a", "a.b", "ab", "é", "\uffff", "\U0001f600"]  # UTF-16 would swap the last two

    data = reapi.encode_directory({name: File(EMPTY) for name in reversed(order)})

    assert [file.name for file in pb.Directory.FromString(data).files] == order


@given(st.dictionaries(names, files | symlinks | digests))
def test_a_directory_reads_back(children: dict[str, reapi.Child]) -> None:
    data = reapi.encode_directory(children)

    assert reapi.decode_directory(data) == children
    assert reapi.encode_directory(dict(reversed(children.items()))) == data


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "../a", "/etc", "a\0b"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    node = pb.FileNode(name=name, digest=pb.Digest(hash=EMPTY.hash))

    with pytest.raises(IntegrityError):
        reapi.decode_directory(pb.Directory(files=[node]).SerializeToString())


def test_a_name_that_comes_twice_is_refused() -> None:
    message = pb.Directory(
        files=[pb.FileNode(name="a", digest=pb.Digest(hash=EMPTY.hash))],
        symlinks=[pb.SymlinkNode(name="a", target="b")],
    )

    with pytest.raises(IntegrityError, match="repeated name `a`"):
        reapi.decode_directory(message.SerializeToString())


@pytest.mark.parametrize(
    "bad",
    [
        pb.Digest(),
        pb.Digest(hash="abc"),
        pb.Digest(hash="../" + "a" * 61),
        pb.Digest(hash=EMPTY.hash, size_bytes=-1),
    ],
    ids=["absent", "short", "path", "negative"],
)
def test_a_digest_that_is_none_is_refused(bad: pb.Digest) -> None:
    message = pb.Directory(directories=[pb.DirectoryNode(name="a", digest=bad)])

    with pytest.raises(IntegrityError, match="not a sha256 digest"):
        reapi.decode_directory(message.SerializeToString())


@pytest.mark.parametrize("target", ["", "a\0b"])
def test_a_symlink_that_no_file_system_can_hold_is_refused(target: str) -> None:
    message = pb.Directory(symlinks=[pb.SymlinkNode(name="a", target=target)])

    with pytest.raises(IntegrityError, match="not the target of a symbolic link"):
        reapi.decode_directory(message.SerializeToString())


def compile_action(**changes: object) -> Action:
    fields: dict[str, object] = {
        "mnemonic": "Compile",
        "owner": "//a:b",
        "arguments": ("cc", "-c"),
        "inputs": (("a.c", Source("a.c")),),
        "outputs": ("b.o", "a.d"),
        "environment": (("B", "2"),),
        "toolchain": "gcc 12",
    }
    return Action(**(fields | changes))  # type: ignore[arg-type]


def encode(action: Action) -> bytes:
    return reapi.encode_action(action, EXAMPLE, [("C", "3"), ("A", "1"), ("B", "0")])[1]


def test_an_action_is_its_command_its_input_root_and_its_toolchain_as_salt() -> None:
    command, action = reapi.encode_action(
        compile_action(), EXAMPLE, [("C", "3"), ("A", "1"), ("B", "0")]
    )

    assert command == b"".join(
        (
            field(1, b"cc"),
            field(1, b"-c"),
            *(field(2, field(1, key) + field(2, value)) for key, value in
              [(b"A", b"1"), (b"B", b"2"), (b"C", b"3")]),
            field(7, b"out/a.d"),
            field(7, b"out/b.o"),
        )
    )  # fmt: skip
    assert action == (
        field(1, digest(Digest.of(command))) + field(2, digest(EXAMPLE)) + field(9, b"gcc 12")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": ("cc", "-c", "-g")},
        {"environment": (("B", "3"),)},
        {"outputs": ("b.o",)},
        {"toolchain": "gcc 13"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_an_action_does_changes_its_message(changes: dict[str, object]) -> None:
    assert encode(compile_action(**changes)) != encode(compile_action())


@pytest.mark.parametrize("changes", [{"mnemonic": "X"}, {"owner": "//c:d"}, {"subject": "words"}])
def test_words_for_people_do_not_change_the_message(changes: dict[str, object]) -> None:
    assert encode(compile_action(**changes)) == encode(compile_action())


@given(results)
def test_a_result_reads_back(result: ActionResult) -> None:
    assert reapi.decode_result(reapi.encode_result(result)) == result


def test_a_result_has_its_outputs_where_a_build_farm_puts_them() -> None:
    outputs: dict[str, Node] = {
        "bin/tool": File(EXAMPLE, True), "empty": Folder(), "link": Symlink("bin/tool")
    }  # fmt: skip

    data = reapi.encode_result(ActionResult(tuple(outputs.items()), 3, b"said", b"oops"))

    assert data == (
        field(2, field(1, b"out/bin/tool") + field(2, digest(EXAMPLE)) + field(4, 1))
        + field(3, field(1, b"out/empty") + field(3, digest(Digest.of(field(1, b"")))))
        + field(4, 3)
        + field(5, b"said")
        + field(7, b"oops")
        + field(12, field(1, b"out/link") + field(2, b"bin/tool"))
    )


@pytest.mark.parametrize(
    "path", ["", "out", "out/", "a", "/out/a", "out/../a", "out//a", "../out/a", "outer/a"]
)
def test_an_output_outside_of_out_is_refused(path: str) -> None:
    message = pb.ActionResult(output_symlinks=[pb.OutputSymlink(path=path, target="x")])

    with pytest.raises(IntegrityError):
        reapi.decode_result(message.SerializeToString())


@pytest.mark.parametrize("paths", [("out/a", "out/a"), ("out/a", "out/a/b")])
def test_outputs_that_exclude_each_other_are_refused(paths: tuple[str, str]) -> None:
    message = pb.ActionResult(
        output_symlinks=[pb.OutputSymlink(path=path, target="x") for path in paths]
    )

    with pytest.raises(IntegrityError, match="two outputs of one action have the same path"):
        reapi.decode_result(message.SerializeToString())


def test_an_output_folder_with_content_of_its_own_is_refused() -> None:
    folder = pb.OutputDirectory(
        path="out/a", tree_digest=pb.Digest(hash=EXAMPLE.hash, size_bytes=EXAMPLE.size)
    )

    with pytest.raises(IntegrityError, match="output folder `out/a` is not written flat"):
        reapi.decode_result(pb.ActionResult(output_directories=[folder]).SerializeToString())


@pytest.mark.parametrize("decode", [reapi.decode_directory, reapi.decode_result])
@given(data=st.binary(max_size=200))
def test_any_other_bytes_give_only_an_integrity_error(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    for candidate in (data, field(1, data[:100]), field(2, field(1, data[:100]))):
        try:
            decode(candidate)
        except IntegrityError as error:
            assert error.message


@given(results, st.data())
def test_a_damaged_result_is_refused_or_is_another_result(
    result: ActionResult, data: st.DataObject
) -> None:
    written = bytearray(reapi.encode_result(result) or b"\0")
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))

    try:
        reapi.decode_result(bytes(written))
    except IntegrityError as error:
        assert error.message


def test_the_committed_code_is_what_protoc_makes(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    source = Path(reapi.__file__).parents[2]
    proto = "lamina/formats/reapi.proto"

    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}", f"--python_out={tmp_path}",
         f"--pyi_out={tmp_path}", proto],
        check=True, capture_output=True,
    )  # fmt: skip

    for name in ("lamina/formats/reapi_pb2.py", "lamina/formats/reapi_pb2.pyi"):
        assert (tmp_path / name).read_text() == (source / name).read_text(), name


def test_the_second_implementation_of_protobuf_is_not_loaded() -> None:
    code = (
        "import sys\n"
        "from google.protobuf.internal import api_implementation\n"
        "from lamina.formats import reapi\n"
        "used = api_implementation.Type() == 'upb'\n"
        "assert used == ('google.protobuf.text_format' not in sys.modules)\n"
        "assert reapi.encode_directory({})  == b''\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
