"""Layers: made by the real engine in the real sandbox, and read by `unsquashfs`.

`unsquashfs` and upstream's format are the oracles; nothing here reads an image with our own code.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lamina.build.engine import Engine
from lamina.build.events import Outcome
from lamina.build.sources import Sources
from lamina.core.action import Action, Literal
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError, UserError
from lamina.core.manifest import Layer
from lamina.core.tree import File, Folder, Node, Symlink, Tree
from lamina.linux.versions import ToolVersions
from lamina.packaging import layerforms, layers
from lamina.packaging.layers import OwnFiles
from lamina.store import trees
from lamina.store.local import LocalStore

A, B = File(Digest.of(b"a")), File(Digest.of(b"b"))


class Silent:
    """A listener that tells nobody."""

    def planned(self, actions: int) -> None: ...
    def started(self, action: Action) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def failed(self, action: Action, error: LaminaError) -> None: ...


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[str], LocalStore]]:
    """Stores that know nothing of one another."""
    opened: list[LocalStore] = []

    def make(name: str) -> LocalStore:
        opened.append(LocalStore(tmp_path / name))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def files(store: LocalStore) -> dict[str, Node]:
    """The own files of an imaginary target, one of each kind."""
    return {
        "bin/tool": File(store.write(b"#!/bin/sh\necho tool\n"), executable=True),
        "bin/twin": File(store.write(b"#!/bin/sh\necho tool\n"), executable=True),
        "data.txt": File(store.write(b"some text\n" * 20_000)),
        "empty": Folder(),
        "latest": Symlink("data.txt"),
        "ü ber.py": File(store.write(b"")),
    }


def make(store: LocalStore, tree: Tree, launcher: str = "") -> Path:
    """The layer of these files, as a file."""
    root = store.folder.parent
    engine = Engine(root, store, Sources(root, store, root / "s.json"), Silent(), jobs=1)
    toolchain = layerforms.identity(layerforms.DEFAULT, ToolVersions(root / "versions.json"))
    own = OwnFiles("//a:b", tree, launcher)
    output = layers.action(own, toolchain).output("layer.xar")
    node = engine.build([output])[output][""]
    assert isinstance(node, File)
    return store.path(node.digest)


def unsquashfs(*args: str | Path) -> str:
    return subprocess.run(
        ["unsquashfs", "-o", "4096", *args],
        check=True, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"},
    ).stdout  # fmt: skip


class TestImage:
    def test_every_file_has_mode_owner_and_time_of_no_machine(
        self, open_store: Callable[[str], LocalStore]
    ) -> None:
        store = open_store("store")

        listing = unsquashfs("-lln", make(store, files(store))).splitlines()

        found = [line.split(maxsplit=5) for line in listing if "squashfs-root" in line]
        assert [(words[0], words[5].removeprefix("squashfs-root")) for words in found] == [
            ("drwxr-xr-x", ""),
            ("drwxr-xr-x", "/bin"),
            ("-rwxr-xr-x", "/bin/tool"),
            ("-rwxr-xr-x", "/bin/twin"),
            ("-rw-r--r--", "/data.txt"),
            ("drwxr-xr-x", "/empty"),
            ("lrwxrwxrwx", "/latest -> data.txt"),
            ("-rw-r--r--", "/ü ber.py"),
        ]
        assert {(owner, *time) for _, owner, _, *time, _ in found} == {
            ("0/0", "1970-01-01", "00:00")
        }

    def test_the_files_come_out_as_they_went_in(
        self, open_store: Callable[[str], LocalStore], tmp_path: Path
    ) -> None:
        store = open_store("store")

        unsquashfs("-no-progress", "-d", tmp_path / "out", make(store, files(store)))

        assert (tmp_path / "out/data.txt").read_bytes() == b"some text\n" * 20_000
        assert (tmp_path / "out/latest").readlink() == Path("data.txt")
        assert subprocess.check_output([tmp_path / "out/bin/tool"]) == b"tool\n"
        assert (tmp_path / "out/bin/tool").stat().st_nlink == 1

    def test_the_superblock_has_no_time_and_a_fixed_form(
        self, open_store: Callable[[str], LocalStore]
    ) -> None:
        store = open_store("store")

        words = unsquashfs("-s", make(store, files(store)))

        assert "Creation or last append time Thu Jan  1 00:00:00 1970" in words
        assert "Compression zstd" in words
        assert "Block size 131072" in words
        assert "Xattrs are not stored" in words

    def test_the_header_says_where_the_image_is_and_names_the_tree(
        self, open_store: Callable[[str], LocalStore]
    ) -> None:
        store = open_store("store")
        tree, _ = trees.encode(files(store))

        data = make(store, files(store), launcher="bin/tool").read_bytes()

        lines = data[:4096].decode().splitlines()
        assert lines[0] == "#!/usr/bin/env xarexec_fuse"
        assert {'OFFSET="4096"', f'UUID="{tree.hash}"', f'VERSION="{tree.short}"'} < set(lines)
        assert 'XAREXEC_TARGET="bin/tool"' in lines
        assert data[4096:4100] == b"hsqs"


class TestSameBytes:
    @pytest.fixture
    def plain(self, open_store: Callable[[str], LocalStore]) -> bytes:
        store = open_store("plain")
        return make(store, files(store)).read_bytes()

    def test_whatever_the_umask(
        self, open_store: Callable[[str], LocalStore], plain: bytes
    ) -> None:
        before = os.umask(0o077)
        try:
            store = open_store("other")
            made = make(store, files(store)).read_bytes()
        finally:
            os.umask(before)

        assert made == plain

    def test_whether_inputs_are_linked_or_copied(
        self,
        open_store: Callable[[str], LocalStore],
        plain: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def link(*_: object) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", link)
        store = open_store("other")

        assert make(store, files(store)).read_bytes() == plain

    def test_in_whatever_order_the_files_were_found(
        self, open_store: Callable[[str], LocalStore], plain: bytes
    ) -> None:
        store = open_store("other")

        assert make(store, dict(reversed(files(store).items()))).read_bytes() == plain

    def test_whatever_the_environment_of_who_builds(
        self,
        open_store: Callable[[str], LocalStore],
        plain: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name, value in {"SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}.items():
            monkeypatch.setenv(name, value)
        store = open_store("other")

        assert make(store, files(store)).read_bytes() == plain

    def test_but_not_for_other_content(
        self, open_store: Callable[[str], LocalStore], plain: bytes
    ) -> None:
        store = open_store("other")
        tree = files(store) | {"data.txt": File(store.write(b"other text\n"))}

        assert make(store, tree).read_bytes() != plain


def header(tree: Mapping[str, Node], label: str = "//a:b", launcher: str = "") -> bytes:
    path, artifact = layers.action(OwnFiles(label, tree, launcher), "").inputs[0]
    assert path == "header"
    assert isinstance(artifact, Literal)
    return artifact.data


class TestAction:
    def test_the_header_does_not_depend_on_the_label(self) -> None:
        assert header({"a": A}, "//a:b") == header({"a": A}, "//c:d")

    @pytest.mark.parametrize(
        "tree",
        [{"a": B}, {"b": A}, {"a": File(A.digest, executable=True)}, {"a": A, "b": Folder()}],
    )
    def test_the_header_depends_on_content_names_and_modes(self, tree: Tree) -> None:
        assert header(tree) != header({"a": A})

    def test_a_library_has_a_target_that_says_why_it_does_not_start(self) -> None:
        assert b'\nXAREXEC_TARGET="this-layer-is-a-library"\n' in header({"a": A})

    def test_the_inputs_are_the_files_below_root_in_order(self) -> None:
        made = layers.action(OwnFiles("//a:b", {"z": A, "b/c": B}), "mksquashfs 4.5")

        assert [path for path, _ in made.inputs] == ["header", "root/b/c", "root/z"]
        assert (made.owner, made.toolchain) == ("//a:b", "mksquashfs 4.5")

    def test_the_identity_is_the_version_of_mksquashfs_alone(self, tmp_path: Path) -> None:
        versions = ToolVersions(tmp_path / "cache")

        found = layerforms.identity(layerforms.DEFAULT, versions)

        assert found.startswith("mksquashfs version 4.")


def test_a_layer_counts_files_and_links_and_their_bytes() -> None:
    tree: dict[str, Node] = {"a": A, "b/c": B, "link": Symlink("a"), "empty": Folder()}
    image = File(Digest.of(b"image"))

    assert layers.layer(OwnFiles("//a:b", tree), image) == Layer(
        label="//a:b", tree=trees.encode(tree)[0], blob=image.digest, files=3, content_size=2
    )


def own(label: str, **tree: Node) -> OwnFiles:
    return OwnFiles(label, {path.replace("__", "/"): node for path, node in tree.items()})


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [own("//:A", a=A), own("//:B", b=B)],
        [own("//:A", a=A), own("//:B", a=A)],
        [own("//:A", d__a=A), own("//:B", d__b=B)],
        [own("//:A", d=Folder()), own("//:B", d__b=B)],
        [own("//:A", d__b=B), own("//:B", d=Folder())],
        [own("//:A", d=Folder()), own("//:B", d=Folder())],
    ],
    ids=["nothing", "apart", "equal", "beside", "into", "around", "empty"],
)
def test_targets_that_agree_may_share_a_package(parts: list[OwnFiles]) -> None:
    layers.check(parts)


@pytest.mark.parametrize(
    ("one", "other", "complaint"),
    [
        (own("//:A", x=A), own("//:B", x=B), "`x` comes from both `//:A` and `//:B`"),
        (
            own("//:A", x=A),
            own("//:B", x=File(A.digest, executable=True)),
            "`x` comes from both `//:A` and `//:B`",
        ),
        (own("//:A", x=A), own("//:B", x=Symlink("a")), "`x` comes from both `//:A` and `//:B`"),
        (own("//:A", x=Folder()), own("//:B", x=A), "`x` comes from both `//:A` and `//:B`"),
        (own("//:A", x=A), own("//:B", x__y=A), "`x` is a file of `//:A` and a folder of `//:B`"),
        (own("//:A", x__y=A), own("//:B", x=A), "`x` is a file of `//:B` and a folder of `//:A`"),
        (
            own("//:A", x=Symlink("d")),
            own("//:B", x__y=A),
            "`x` is a file of `//:A` and a folder of `//:B`",
        ),
    ],
)
def test_targets_that_disagree_are_both_named(
    one: OwnFiles, other: OwnFiles, complaint: str
) -> None:
    with pytest.raises(UserError) as caught:
        layers.check([one, other])

    assert caught.value.message == f"two targets of one package write the same path:\n{complaint}"


def test_a_launcher_in_the_way_of_a_folder_is_to_be_called_otherwise() -> None:
    with pytest.raises(UserError) as caught:
        layers.check([own("//app:lib", app__lib=A), own("//tools:app", app=B)])

    assert caught.value.hint is not None
    assert caught.value.hint.startswith("give `//tools:app` another name")


def test_all_disagreements_are_told_at_once() -> None:
    parts = [own("//:A", x=A, y__z=A, same=A), own("//:B", x=B, same=A), own("//:C", y=B)]

    with pytest.raises(UserError) as caught:
        layers.check(parts)

    assert caught.value.message.splitlines()[1:] == [
        "`x` comes from both `//:A` and `//:B`",
        "`y` is a file of `//:C` and a folder of `//:A`",
    ]
