"""What is tried: each parser of lamina with inputs that are right, and how these are changed.

A target may refuse an input by a LaminaError; what it takes must hold what its parser promises,
which is asserted here. Targets write into the current folder alone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lamina.build import depfile, workspace
from lamina.build.loader import Loader
from lamina.build.locking import requirements
from lamina.build.query import syntax
from lamina.core.action import ActionResult
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.label import Label, Pattern
from lamina.core.manifest import Image as ImageConfig
from lamina.core.manifest import Layer, Package
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import (
    archive,
    attestation,
    carried,
    dsse,
    erofs,
    imagelayer,
    intoto,
    oci,
    ociimage,
    pylock,
    reapi,
    squashfs,
    squashreader,
    squashwriter,
    xar,
)
from lamina.formats.image import Choice
from lamina.formats.inodes import File as File_
from lamina.formats.inodes import Folder as Folder_
from lamina.node import mounts
from lamina.store import images
from lamina.store.local import LocalStore
from lamina.store.trust import policy
from lamina.store.trust.places import Place
from lamina.store.unpack import Unpacking, unpack
from tests.fuzz.mutate import Mutator, documents, lines


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, what it takes, and how that is changed."""

    name: str
    seeds: Callable[[], Iterable[bytes]]
    run: Callable[[bytes], object]
    words: tuple[bytes, ...] = ()  # of its format
    mutators: tuple[Mutator, ...] = ()


TARGETS: dict[str, Target] = {}


def _target(
    name: str,
    seeds: Callable[[], Iterable[bytes]],
    words: Iterable[bytes | str] = (),
    mutators: tuple[Mutator, ...] = (),
) -> Callable[[Callable[[bytes], object]], Callable[[bytes], object]]:
    def add(run: Callable[[bytes], object]) -> Callable[[bytes], object]:
        plain = tuple(word.encode() if isinstance(word, str) else word for word in words)
        TARGETS[name] = Target(name, seeds, run, plain, mutators)
        return run

    return add


@cache
def _store_in(folder: Path) -> LocalStore:
    return LocalStore(folder / "store")


def _store() -> LocalStore:
    return _store_in(Path.cwd())


# XAR files and the images in them.


def _headers() -> list[bytes]:
    names = ("a b", "invoke_xar_via_trampoline")
    long = b'#!x\nOFFSET="8192"\nUUID="ab12"\nNOTE="' + b"x" * 5000 + b'"\n#xar_stop\n'
    return [
        xar.encode(xar.Header("ab" * 32, "run", "1")),
        xar.encode(xar.Header("0" * 32, "bin/run", "é", names, mount_root="/mnt/x")),
        long.ljust(8192, b"\n"),
    ]


_XAR_WORDS = (
    'OFFSET="', "4096", "8192", "65536", "-4096", "9" * 40, 'UUID="', "\n#xar_stop\n", "\r\n", "\0",
    'XAREXEC_TARGET="', 'XAREXEC_TRAMPOLINE_NAMES="', "' '", 'VERSION="', 'MOUNT_ROOT="', "=", "#!",
)  # fmt: skip


@_target("xar", _headers, _XAR_WORDS, (lines,))
def _xar(data: bytes) -> None:
    found = xar.decode(data)
    assert found.offset % 4096 == 0 and 0 < found.offset <= xar.LARGEST
    assert found.uuid.isalnum()


@cache
def _images() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory(prefix="lamina-fuzz-image-") as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        (tree / "a").write_text("text\n" * 1000)
        (tree / "l").symlink_to("a")
        made = []
        if shutil.which("mksquashfs"):
            words = squashfs.options()
            image = Path(folder, "squashfs")
            subprocess.run(["mksquashfs", tree, image, *words], check=True, capture_output=True)
            made += [image.read_bytes(), _headers()[0] + image.read_bytes()]
        if shutil.which("mkfs.erofs"):
            image = Path(folder, "erofs")
            words = erofs.options("ab" * 16)
            subprocess.run(["mkfs.erofs", *words, image, tree], check=True, capture_output=True)
            made.append(image.read_bytes())
    return tuple(made)


@_target("image-file", _images, (*_XAR_WORDS, squashfs.MAGIC, erofs.MAGIC.to_bytes(4, "little")))
def _image_file(data: bytes) -> None:
    path = Path("image")
    path.write_bytes(data)
    with mounts.opened(path) as image:
        assert image.kind in (mounts.SQUASHFS, mounts.EROFS)
        assert 0 <= image.offset < len(data)


@cache
def _plain_images() -> tuple[bytes, ...]:
    """Images whose tables are not packed, so that what is changed in them is a number or a name."""
    with tempfile.TemporaryDirectory(prefix="lamina-fuzz-image-") as folder:
        tree = Path(folder, "tree")
        (tree / "folder/in").mkdir(parents=True)
        (tree / "a").write_text("text\n" * 1000)
        (tree / "b").hardlink_to(tree / "a")
        (tree / "folder/l").symlink_to("a")
        with (tree / "holes").open("wb") as file:
            file.truncate(600_000)
        image = Path(folder, "squashfs")
        made = []
        for words in (("-noI", "-noX"), ("-noI", "-no-fragments", "-b", "4096")):
            subprocess.run(
                ["mksquashfs", tree, image, "-noappend", *words], check=True, capture_output=True
            )
            made.append(image.read_bytes())
    return tuple(made)


@_target("squashfs", _plain_images)
def _squashfs(data: bytes) -> None:
    """All that is in an image is read, and written as another image that has the same."""
    Path("image").write_bytes(data)
    with Path("image").open("rb") as file, Path("made").open("w+b") as made:
        image = squashreader.Image(file.fileno())
        root = image.root()

        def copy(_: int, begin: int, size: int, place: int) -> None:
            os.pwrite(made.fileno(), os.pread(file.fileno(), size, begin), place)

        squashwriter.write(made.fileno(), root, [image], copy)
        again = squashreader.Image(made.fileno())
        _compare(image, root, again, again.root())


def _compare(
    one: squashreader.Image, here: Folder_, two: squashreader.Image, there: Folder_
) -> None:
    assert [*here.entries] == [*there.entries]
    for name, node in here.entries.items():
        other = there.entries[name]
        assert type(node) is type(other)
        assert node.attributes == other.attributes
        if isinstance(node, Folder_) and isinstance(other, Folder_):
            _compare(one, node, two, other)
        elif isinstance(node, File_) and isinstance(other, File_) and node.size < 1 << 20:
            assert [*_chunks(one, node)] == [*_chunks(two, other)]


def _chunks(image: squashreader.Image, file: File_) -> Iterator[bytes | int | str]:
    try:
        yield from image.chunks(file)
    except IntegrityError as error:
        yield error.message


# Archives.


def _tars() -> list[bytes]:
    made = []
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for name, kind, target in (
                ("a", tarfile.DIRTYPE, ""), ("a/b", tarfile.REGTYPE, ""), ("l", b"2", "a/b"),
                ("h", tarfile.LNKTYPE, "a/b"), ("d/.wh.x", tarfile.REGTYPE, ""),
                ("n" * (90 if form == tarfile.USTAR_FORMAT else 150), tarfile.REGTYPE, ""),
            ):  # fmt: skip
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                info.size = 700 if name == "a/b" else 0
                if form == tarfile.PAX_FORMAT:
                    info.pax_headers = {"SCHILY.xattr.user.x": "y", "mtime": "1.5"}
                tar.addfile(info, io.BytesIO(b"x" * 700))
        made.append(out.getvalue()[:-7168])  # without most of the padding
    sparse = tarfile.TarInfo("s")
    sparse.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s", "GNU.sparse.realsize": "1000",
    }  # fmt: skip
    body = b"1\n0\n4\n".ljust(512, b"\0") + b"data"
    sparse.size = len(body)
    head = sparse.tobuf(tarfile.PAX_FORMAT)
    made.append(head + body.ljust(1024, b"\0") + bytes(1024))
    return made


def _tar_header(data: bytes, chance: random.Random) -> bytes:
    """A header changed in one field, with the checksum that it should have."""
    blocks = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not blocks:
        return data
    at = chance.choice(blocks)
    block = bytearray(data[at : at + 512])
    start, size = chance.choice(((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1),
                                 (157, 100), (257, 8), (329, 8), (337, 8), (345, 155)))  # fmt: skip
    values = (
        chance.randbytes(size), b"7" * size, b"\xff" * size, b"\x80" + b"\xff" * 11, b"-1\0",
        b"../x\0", b"/x\0", bytes(size), bytes([chance.choice(b"01234567xgLKSV")]),
        b"00000001000\0",
    )  # fmt: skip
    value = chance.choice(values)[:size]
    block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :]


_TAR_WORDS = (
    b"ustar\x0000", b"ustar  \0", "GNU.sparse.major=1\n", "GNU.sparse.map=0,1,2\n",
    "GNU.sparse.realsize=99999999999999999\n", "30 path=../../../x\n", "size=-1\n", bytes(512),
    "SCHILY.xattr.trusted.overlay.opaque=y\n", "hdrcharset=BINARY\n", "././@LongLink", "\xff\xfe",
)  # fmt: skip


@contextlib.contextmanager
def _small_allowance() -> Iterator[None]:
    """What unpacks to much is given up early here: it is right, and takes its time."""
    before, archive._ALLOWANCE = archive._ALLOWANCE, 1 << 20
    try:
        yield
    finally:
        archive._ALLOWANCE = before


def _unpacked(data: bytes) -> None:
    with _small_allowance():
        tree = unpack(_store().write(data, durable=False), Unpacking(), _store())
    for path in tree:
        assert not path.startswith("/") and not {"", ".", ".."} & set(path.split("/")), path


_target("tar", _tars, _TAR_WORDS, (_tar_header,))(_unpacked)


def _zips() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as file:
            for name, mode, text in (("a/b", 0o100755, "x" * 500), ("l", 0o120777, "a/b"),
                                     ("d/", 0o040755, ""), ("é", 0o100644, "y")):  # fmt: skip
                info = zipfile.ZipInfo(name)
                info.external_attr, info.compress_type = mode << 16, method
                file.writestr(info, text)
        made.append(out.getvalue())
    return made


_ZIP_WORDS = (
    b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\1\0\x10\0", b"\xff" * 4, "../x", "/x",
    b"\x75\x70", b"\0\x08", b"\x01\x00",
)  # fmt: skip
_target("zip", _zips, _ZIP_WORDS)(_unpacked)


@_target("image-layer", _tars, (*_TAR_WORDS, ".wh.", ".wh..wh..opq"), (_tar_header,))
def _image_layer(data: bytes) -> None:
    with _small_allowance():
        out = io.BytesIO()
        imagelayer.convert(io.BytesIO(data), len(data), out)
        out.seek(0)
        with tarfile.open(fileobj=out, mode="r:") as tar:
            names = [member.name for member in tar]
    assert not any(name.startswith("/") or ".." in name.split("/") for name in names)
    assert len(set(names)) == len(names), names


# Packages and images of containers.


def _manifests() -> list[bytes]:
    layers = tuple(
        Layer(f"//a:{name}", Digest(name * 64, 9), Digest(name[::-1] * 64, 4096), labels=more)
        for name, more in (("a", ()), ("b", ("//a:b", "//a:c")))
    )
    package = Package(
        "a/b", "v1", "//a:b", layers, ("b", "--x"), (("A", "1"),), "python3.11", base="//:base",
        base_layers=1, image=ImageConfig("amd64", ("A=b",), ("sh",), (), "/", "0"), commit="c" * 40,
    )  # fmt: skip
    plain = Package("b", "v1", "//:b", layers[:1])
    return [
        oci.encode_manifest(each) + b"\n" + oci.encode_config(each) for each in (package, plain)
    ]


_OCI_WORDS = (
    "application/vnd.oci.image.index.v1+json", "application/vnd.lamina.layer.v1.erofs", "null",
    '"schemaVersion":3', '"size":-1', "1e999", "NaN", "[" * 2000, '{"a":' * 2000, "\\u0000",
    "\\ud800", "../", "sha256:", "sha512:", '"layers":[]', '"size":99999999999999999999',
)  # fmt: skip


@_target("package", _manifests, _OCI_WORDS, (documents,))
def _package(data: bytes) -> None:
    manifest, _, config = data.partition(b"\n")
    found = oci.decode(manifest, config)
    assert not {"", ".", ".."} & set(found.name.split("/")), found.name
    assert "/" not in found.title
    again = oci.decode(oci.encode_manifest(found), oci.encode_config(found))
    assert again == found


def _layer_tar() -> bytes:
    return _tars()[0]


def _image_documents() -> list[bytes]:
    """Configuration, manifest and index, a line each; names of digests stand for them."""
    plain = hashlib.sha256(_layer_tar()).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [f"sha256:{plain}"]},
        "config": {"Env": ["A=b"], "Cmd": ["sh"], "User": "0", "WorkingDir": "/"},
    }  # fmt: skip
    size = len(_layer_tar())
    manifest = {
        "schemaVersion": 2, "mediaType": oci.MANIFEST,
        "config": {"mediaType": ociimage.CONFIG, "digest": "sha256:CONFIG", "size": 1},
        "layers": [{"mediaType": ociimage.LAYER, "digest": f"sha256:{plain}", "size": size}],
    }  # fmt: skip
    index = {
        "schemaVersion": 2, "mediaType": ociimage.INDEX,
        "manifests": [{"mediaType": oci.MANIFEST, "digest": "sha256:MANIFEST", "size": 1,
                       "platform": {"architecture": "amd64", "os": "linux"}}],
    }  # fmt: skip
    nested = {"manifests": [{"mediaType": ociimage.INDEX, "digest": "sha256:INNER", "size": 1}]}
    docker = [{"Config": "CONFIG.json", "RepoTags": ["a:b"], "Layers": ["layer.tar"]}]
    return [
        b"\n".join(json.dumps(document).encode() for document in order)
        for order in (
            (config, manifest, index),
            (config, manifest, index, nested),
            (config, docker),
        )
    ]


def _image_files(data: bytes) -> dict[str, bytes]:
    """A folder of such documents: what each refers to is put in, so that digests are right."""
    first, second, *more = data.split(b"\n")
    names = {b"CONFIG": hashlib.sha256(first).hexdigest()}
    files = {ociimage.place(names[b"CONFIG"]): first}
    layer = _layer_tar()
    files[ociimage.place(hashlib.sha256(layer).hexdigest())] = layer
    second = second.replace(b"CONFIG", names[b"CONFIG"].encode())
    if not more:
        return {f"{names[b'CONFIG']}.json": first, "layer.tar": layer, "manifest.json": second}
    below, name = second, b"MANIFEST"
    for each in more:
        hexadecimal = hashlib.sha256(below).hexdigest()
        files[ociimage.place(hexadecimal)] = below
        below, name = each.replace(name, hexadecimal.encode()), b"INNER"
    return files | {"index.json": below, "oci-layout": ociimage.LAYOUT}


_IMAGE_WORDS = (
    *_OCI_WORDS, "application/vnd.docker.distribution.manifest.list.v2+json",
    '"Layers":', '"Config":', "nondistributable", "MANIFEST", "INNER", "CONFIG", "arm64",
)  # fmt: skip


@_target("image-rule", _image_documents, _IMAGE_WORDS, (documents,))
def _image_rule(data: bytes) -> None:
    """The reader of the rule `base_image`."""
    if data.count(b"\n"):
        store = _store()
        files = _image_files(data)
        tree = {path: File(store.write(each, durable=False)) for path, each in files.items()}
        images.read(tree, Choice("", "amd64"), store)


@_target("image-below", _image_documents, _IMAGE_WORDS, (documents,))
def _image_below(data: bytes) -> None:
    """The reader of `lamina package --base`."""
    if data.count(b"\n"):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            for path, each in _image_files(data).items():
                Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, path).write_bytes(each)
            images.at(Path(folder), Choice("", "amd64"), _store())


# Messages of the Remote Execution API.


def _messages() -> list[bytes]:
    digest = Digest.of(b"x")
    children: dict[str, reapi.Child] = {"a": File(digest, True), "l": Symlink("a"), "d": digest}
    outputs = (("a", File(digest)), ("d", Folder()), ("l", Symlink("a")))
    return [
        reapi.encode_directory(children),
        reapi.encode_result(ActionResult(outputs, 0, b"out", b"")),
    ]


@_target("reapi", _messages, ("..", "/", "out/../x", b"\x0a\x80\x01", b"\xff" * 10, "\0", b"\x0a"))
def _reapi(data: bytes) -> None:
    for decode in (reapi.decode_directory, reapi.decode_result):
        with contextlib.suppress(IntegrityError):
            decode(data)


# Signatures.


def _signatures() -> list[bytes]:
    layer = Layer("//a:b", Digest.of(b"t"), Digest.of(b"l"))
    package = Package("a/b", "v1", "//a:b", (layer,), commit="c" * 40)
    statement = intoto.encode(package, Digest.of(b"m"))
    signature = dsse.Signature(b"s" * 64, "sha256:" + "0" * 64)
    envelope = dsse.encode(dsse.Envelope(intoto.PAYLOAD_TYPE, statement, (signature,)))
    return [
        envelope,
        statement,
        attestation.encode(Digest.of(b"m"), oci.INDEX, Digest.of(envelope)),
    ]


_SIGNATURE_WORDS = (
    '"payload":',
    '"sig":"AA=="',
    "=",
    "-_",
    "+/",
    "sha256:",
    "\\ud800",
    "NaN",
    "1e999",
)


@_target("signature", _signatures, _SIGNATURE_WORDS, (documents,))
def _signature(data: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        envelope = dsse.decode(data)
        assert dsse.decode(dsse.encode(envelope)) == envelope
    with contextlib.suppress(IntegrityError):
        assert all(len(each.hash) == 64 for each in intoto.decode(data).subjects)
    with contextlib.suppress(IntegrityError):
        assert attestation.decode(data).envelope.size <= dsse.LIMIT


# What people write.

_LOCK = """\
lock-version = "1.0"
requires-python = ">=3.11"
[[packages]]
name = "a"
version = "1.0"
marker = "python_version > '3'"
wheels = [{ url = "https://x/a-1.0-py3-none-any.whl", size = 3, hashes = { sha256 = "SHA" } }]
[packages.tool.lamina]
requires = ["b[x]==1"]
[packages.tool.lamina.extras]
y = ["b"]
[[packages]]
name = "b"
version = "1"
sdist = { path = "b-1.tar.gz", hashes = { sha256 = "SHA" } }
[packages.tool.lamina]
requires = []
builds-with = ["a"]
[packages.tool.lamina.extras]
x = ["a"]
[tool.lamina]
inputs = ["requirements.txt"]
""".replace("SHA", "0" * 64)

_TOML_WORDS = (
    "= 1\n", "= []\n", "= {}\n", "= true\n", '= ""\n', "[[packages]]\n", "[tool]\n", "[",
    "]]", "{", "}", '"""', "'''", "nan", "inf", "1979-05-27", "\\u0000", "\\ud800", "0x",
    "9" * 5000, "[" * 2000, "a." * 500,
    '"..\\u0000"', '"../../x"', '"[x]"', "\r", "\0",
)  # fmt: skip


def _loaded(files: dict[str, bytes], pattern: str = "//...") -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for name, data in {"lamina.toml": b"", **files}.items():
            Path(folder, name).write_bytes(data)
        loader = Loader(workspace.read(Path(folder)))
        loader.closure(loader.resolve([Pattern.parse(pattern)]))


_REQUIREMENTS = b'python_requirements(name = "python", lock = "pylock.toml")\n'


@_target("pylock", lambda: [_LOCK.encode()], _TOML_WORDS, (lines,))
def _pylock(data: bytes) -> None:
    Path("pylock.toml").write_bytes(data)
    if pylock.read(Path("pylock.toml")) is not None:
        _loaded({"pylock.toml": data, "BUILD": _REQUIREMENTS})


_SETTINGS = b"""\
[workspace]
name = "x"
ignore = ["a"]
[build]
flags = ["-c", "opt"]
[layers]
format = "erofs"
level = 3
grouping = "auto"
[config.asan]
flags = ["-c", "dbg"]
[buckconfig.a]
b = "c"
[toolchains]
"@rules//:toolchain_type" = "//its:target"
[cells]
other = "other"
gone = false
named = { folder = "n", build_file = "//x:y.BUILD" }
far = { url = "https://x/y.tar.gz", sha256 = "SHA", strip_prefix = "y" }
""".replace(b"SHA", b"0" * 64)


@_target("lamina.toml", lambda: [_SETTINGS], (*_TOML_WORDS, '"*" = false\n', "~", "../"), (lines,))
def _lamina_toml(data: bytes) -> None:
    Path("lamina.toml").write_bytes(data)
    workspace.read(Path.cwd())


_POLICY = b"""\
[trust]
required = false

[[trust.rule]]
packages = ["a/*", "[ab]?"]
keys = ["k.pub"]
required = true
"""


@_target("policy", lambda: [_POLICY], _TOML_WORDS, (lines,))
def _policy(data: bytes) -> None:
    with contextlib.suppress(UserError):
        found = policy.read(Place("policy.toml", data))
        assert found is not None
        assert found.rule_for("a/b").required in (True, False)


_CELLS = b"""\
module(name = "x", version = "1")
workspace(name = "y")
"""


@_target("module", lambda: [_CELLS], ("name", "=", '"', "(", ")", "\0", "'''", "\\"), (lines,))
def _module(data: bytes) -> None:
    Path("lamina.toml").write_bytes(b"")
    Path("MODULE.bazel").write_bytes(data)
    Path("WORKSPACE").write_bytes(data)
    workspace.read(Path.cwd())


_BUILD = b"""\
load("@bazel_skylib//lib:paths.bzl", "paths")
package(default_visibility = ["//visibility:public"])
python_library(name = "a", srcs = glob(["*.py"]), deps = [":b"] + select({
    "//conditions:default": [],
}))
genrule(name = "b", outs = ["b.py"], cmd = "echo $(location :c) > $@", srcs = [":c"])
filegroup(name = "c", srcs = ["BUILD"])
cc_binary(name = "d", srcs = ["d.cc"], copts = ["-DX=%d" % 3], deps = [])
[python_binary(name = "e%d" % i, main = "a.py") for i in range(3)]
exports_files(["x"])
"""
_BUILD_FILES = [_BUILD, *(each + b"\n" for each in _BUILD.split(b"\n") if each.endswith(b")"))]
_BUILD_WORDS = (
    "select({", "})", "glob([", "])", 'load("', "None", "True", "{}", "-1", "lambda x: x", "*args",
    '"//..."', '":a"', '"../x"', "struct(", "fail(", "print(", "name = ", "%s" * 50, "(" * 500,
    "[" * 500, "existing_rules()", "native.", 'alias(name = "z", actual = ":z")', "\\x00",
    "\\ud800", "\0", "\t", "\r", "package_name()", "repository_name()", "visibility = ",
    "def f():\n  ", "for i in [1]:\n  ", "1 << 99",
    'test_suite(name = "t")', 'config_setting(name = "s", values = {})', "environment_variables",
)  # fmt: skip


@_target("BUILD", lambda: _BUILD_FILES, _BUILD_WORDS, (lines,))
def _build_file(data: bytes) -> None:
    if b"range" not in data.replace(b"range(3)", b""):  # a long loop is no fault of the reader
        _loaded({"BUILD": data, "a.py": b"", "d.cc": b""})


_WANTED = [
    b"a==1.0\nb[x]>=2 ; python_version > '3'  # why\n-c other.txt\n--index-url x\n",
    b"c @ file:///c.whl\n-r requirements.txt\n./d-1.0.tar.gz\n\\\n",
    b'[project]\ndependencies = ["a"]\n[dependency-groups]\n'
    b'd = ["a", { include-group = "d" }]\n[tool.uv]\nconstraint-dependencies = ["b"]\n',
]
_WANTED_WORDS = (
    "-r ", "-e .", "--hash=sha256:0", "\\\n", "${HOME}", "@ ", ";", "'", '"', "--", *_TOML_WORDS,
)  # fmt: skip


@_target("requirements", lambda: _WANTED, _WANTED_WORDS, (lines,))
def _requirements(data: bytes) -> None:
    for name in ("requirements.txt", "pyproject.toml"):
        path = Path(name)
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            requirements.read([path], groups=["d"] if name == "pyproject.toml" else ())


def _spoken(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


_LABELS = [b"//a/b:c", b"@x//a/...", b":c", b"a/b", b"-//a:all", b"@@x//:y", b"//a:*"]
_LABEL_WORDS = ("//", "...", ":", "@", "..", "all", "\0", "*", "-", "/", b"\xff")


@_target("label", lambda: _LABELS, _LABEL_WORDS)
def _label(data: bytes) -> None:
    for parse in (Label.parse, Pattern.parse):
        with contextlib.suppress(UserError):
            found = parse(_spoken(data))
            if isinstance(found, Label):
                assert Label.parse(str(found)) == found


_QUERIES = [
    b"deps(//a:b, 2) - kind('rule', //...)",
    b"let x = set(a b) in $x ^ somepath(a, b)",
]
_QUERY_WORDS = (
    "deps(", "(", ")", ",", "let ", " in ", "$x", "'", '"', "+", "union", "(" * 2000, "-(" * 400,
)  # fmt: skip


@_target("query", lambda: _QUERIES, _QUERY_WORDS)
def _query(data: bytes) -> None:
    syntax.parse(_spoken(data))


_DEPFILES = [b"x.o: a.h \\\n b\\ c.h $$d.h\n\na.h:\n"]


@_target("depfile", lambda: _DEPFILES, ("\\\n", "\\", "$$", ": ", "\r\n", "/work/"))
def _depfile(data: bytes) -> None:
    inputs: dict[str, Node] = {
        "a.h": Symlink("l/a.h"),
        "l": Symlink("."),
        "m": Symlink("../.."),
        "n": Folder(),
    }
    assert set(depfile.used(_spoken(data), inputs)) <= set(inputs)


_CARRIED = [
    carried.encode([b"one", b"", b"two" * 99]).encode(),
    b"\3\0\0\0one\0\0\0\0",
]


@_target("carried", lambda: _CARRIED, ("1:", b"\xff\xff\xff\xff", "=", "\n"))
def _carried(data: bytes) -> None:
    for text in (_spoken(data), f"1:{base64.b64encode(zlib.compress(data)).decode()}"):
        with contextlib.suppress(IntegrityError):
            found = carried.decode(text)
            assert carried.decode(carried.encode(found)) == found
