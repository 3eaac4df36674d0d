"""What differs between two packages: told of values alone, nothing is built."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.manifest import Image, Layer, Package
from lamina.core.tree import File, Folder, Node, Symlink, Tree
from lamina.formats import oci
from lamina.packaging import difference
from lamina.packaging.difference import Difference, Release, Setting
from lamina.store import trees

Trees = dict[Digest, Tree]


def file(text: str, *, executable: bool = False) -> File:
    return File(Digest.of(text.encode()), executable)


def layer(known: Trees, label: str, tree: Tree, size: int = 4096) -> Layer:
    root, _ = trees.encode(tree)
    known[root] = tree
    return Layer(label, root, Digest(Digest.of(repr(tree).encode()).hash, size))


def package(*layers: Layer) -> Package:
    return Package("a", "1", "//:a", layers, entry_point=("a",))


def compared(old: Package, new: Package, known: Trees) -> Difference:
    return difference.difference(old, new, lambda each: known.get(each.tree))


def told(found: Difference) -> list[tuple[str, str, bool]]:
    return [(each.layer.label, each.kind, each.ships) for each in found.layers]


def test_a_package_does_not_differ_from_itself() -> None:
    known: Trees = {}
    one = package(layer(known, "//:f", {"f": file("f")}), layer(known, "//:a", {"a": file("a")}))

    found = compared(one, one, known)

    assert told(found) == [("//:f", "same", False), ("//:a", "same", False)]
    assert (found.bytes, found.releases, found.settings) == (0, (), ())


def test_each_layer_is_added_removed_changed_or_the_same() -> None:
    known: Trees = {}
    f, g = layer(known, "//:f", {"f": file("f")}), layer(known, "//:g", {"g": file("g")}, 10)
    h = layer(known, "//:h", {"h": file("h")}, 300)
    old = layer(known, "//:a", {"a": file("1"), "gone": file("")})
    new = layer(known, "//:a", {"a": file("2"), "b/link": Symlink("a")}, 5000)

    found = compared(package(f, g, old), package(f, h, new), known)

    assert told(found) == [
        ("//:f", "same", False),
        ("//:h", "added", True),
        ("//:a", "changed", True),
        ("//:g", "removed", False),
    ]
    assert found.layer_bytes == 5300
    files = found.layers[2].files
    assert files is not None
    assert [(each.path, each.kind) for each in files] == [
        ("a", "changed"), ("b/link", "added"), ("gone", "removed"),
    ]  # fmt: skip


def test_manifest_and_config_are_shipped_too() -> None:
    old, new = package(), replace(package(), version="2")

    found = compared(old, new, {})

    assert found.bytes == len(oci.encode_manifest(new)) + len(oci.encode_config(new))


def test_an_image_that_lay_under_another_label_is_not_shipped() -> None:
    known: Trees = {}
    one = layer(known, "//:one", {"f": file("f")})

    found = compared(package(one), package(replace(one, label="//:two")), known)

    assert told(found) == [("//:two", "added", False), ("//:one", "removed", False)]
    assert found.layer_bytes == 0


def test_an_image_of_two_new_layers_is_shipped_once() -> None:
    one = layer({}, "//:one", {"f": file("f")}, 70)

    found = compared(package(), package(one, replace(one, label="//:two")), {})

    assert found.layer_bytes == 70


def test_files_of_a_tree_that_nobody_knows_are_not_known() -> None:
    known: Trees = {}
    old, new = layer({}, "//:a", {"a": file("1")}), layer(known, "//:a", {"a": file("2")})

    assert compared(package(old), package(new), known).layers[0].files is None


def test_the_same_files_in_another_image_do_not_differ() -> None:
    old = layer({}, "//:a", {"a": file("1")})
    new = replace(old, blob=Digest("a" * 64, 99))

    (found,) = compared(package(old), package(new), {}).layers

    assert (found.kind, found.files, found.ships) == ("changed", (), True)


def test_layers_of_base_images_are_told_by_what_is_in_them() -> None:
    one, two, three = (
        Layer("//:base", Digest(each * 64, 1), Digest(each * 64, 1)) for each in "123"
    )
    old = replace(package(one, two), base="//:base", base_layers=2)
    new = replace(package(one, three), base="//:base", base_layers=2)

    found = compared(old, new, {})

    assert [each.kind for each in found.layers] == ["same", "added", "removed"]
    assert [each.layer.tree.hash[0] for each in found.layers] == ["1", "3", "2"]
    assert [each.name for each in found.settings] == ["base"]


def test_distributions_are_told_by_their_dist_info() -> None:
    def wheels(*names: str) -> Tree:
        return {f"site-packages/{name}.dist-info/METADATA": file(name) for name in names}

    known: Trees = {}
    old = layer(known, "//py", wheels("Zope.Interface-5.0", "six-1.16", "numpy-2.4.0"))
    new = layer(known, "//py", wheels("zope_interface-6.1", "six-1.16", "click-8.1"))

    assert compared(package(old), package(new), known).releases == (
        Release("click", "", "8.1"),
        Release("numpy", "2.4.0", ""),
        Release("zope-interface", "5.0", "6.1"),
    )


def test_how_it_is_run_is_told_word_by_word() -> None:
    old = replace(package(), environment=(("A", "1"), ("B", "2")), interpreter="python3.11")
    new = replace(
        package(),
        entry_point=("bin/a", "--fast"),
        environment=(("A", "1"), ("C", "3")),
        image=Image(environment=("PATH=/bin",), user="7"),
    )

    assert compared(old, new, {}).settings == (
        Setting("entry point", "a", "bin/a --fast"),
        Setting("interpreter", "python3.11", ""),
        Setting("base: user", "", "7"),
        Setting("environment B", "2", ""),
        Setting("environment C", "", "3"),
        Setting("base: environment PATH", "", "/bin"),
    )


NODES: st.SearchStrategy[Node] = st.one_of(
    st.builds(File, st.binary(max_size=1).map(Digest.of), st.booleans()),
    st.sampled_from("xy").map(Symlink),
    st.just(Folder()),
)
TREES = st.dictionaries(st.sampled_from("abcde"), NODES)


@given(TREES, TREES)
def test_changes_of_files_lead_from_one_tree_to_the_other(old: Tree, new: Tree) -> None:
    made = dict(old)
    for change in difference.files(old, new):
        assert made.pop(change.path, None) == change.old
        if change.new is not None:
            made[change.path] = change.new

    assert made == new
    assert len(difference.files(old, new)) == len(set(old.items()) ^ set(new.items())) - sum(
        path in new and old[path] != new[path] for path in old
    )
