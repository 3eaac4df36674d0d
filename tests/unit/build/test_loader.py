from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lamina.build.configuration import Configuration
from lamina.build.faults import FaultReport
from lamina.build.loader import Loader
from lamina.build.target import Target
from lamina.core.errors import UserError
from lamina.core.label import Label

Write = Callable[[Mapping[str, str]], Loader]


def only(loader: Loader, package: str = "p") -> Target:
    """The one target of a build package."""
    [target] = loader.package(package).targets.values()
    return target


def label(text: str) -> Label:
    return Label.parse(text)


def test_attributes_are_typed_and_have_their_canonical_names(write: Write) -> None:
    loader = write(
        {
            "p/BUILD": """
py_library(
    name = "x",
    srcs = ["a.py", "sub/b.py", "//q:gen"],
    data = {"r/one.txt": "one.txt", "two.txt": "//q:two"},
    deps = [":y", "//q", "z"],
    env = {"B": "1", "A": "2"},
    labels = ["slow"],
    testonly = 1,
)
"""
        }
    )

    target = only(loader)

    assert target.label == label("//p:x")
    assert target.rule.name == "python_library"
    assert target.attributes["srcs"] == (
        ("a.py", label("//p:a.py")),
        ("sub/b.py", label("//p:sub/b.py")),
        ("gen", label("//q:gen")),
    )
    assert target.attributes["resources"] == (
        ("r/one.txt", label("//p:one.txt")),
        ("two.txt", label("//q:two")),
    )
    assert target.attributes["deps"] == (label("//p:y"), label("//q:q"), label("//p:z"))
    assert target.attributes["env"] == (("B", "1"), ("A", "2"))
    assert target.attributes["tags"] == ("slow",)
    assert target.attributes["testonly"] is True
    assert target.attributes["base_module"] == ""
    assert target.given == {"srcs", "resources", "deps", "env", "tags", "testonly"}


def test_defaults_fill_in_and_none_means_not_given(write: Write) -> None:
    loader = write({"p/BUILD": "python_binary(name = 'x', main = 'x.py', deps = None)\n"})

    target = only(loader)

    assert target.attributes["main"] == label("//p:x.py")
    assert target.attributes["jobs"] == 1
    assert target.attributes["strip"] is False
    assert target.attributes["deps"] == ()
    assert target.given == {"main"}
    assert target.visibility == ()


def test_dependencies_are_every_label_once_in_declared_order(write: Write) -> None:
    call = "py_library(name = 'x', deps = [':y', ':z'], srcs = ['b.py', 'a.py'], data = ['b.py'])\n"

    found = only(write({"p/BUILD": call})).dependencies()

    assert [dependency.name for dependency in found] == ["b.py", "a.py", "y", "z"]


def test_the_order_of_keywords_does_not_change_a_target(write: Write) -> None:
    one = only(write({"p/BUILD": "py_library(name = 'x', deps = [':y'], srcs = ['a.py'])\n"}))
    two = only(write({"p/BUILD": "py_library(srcs = ['a.py'], name = 'x', deps = [':y'])\n"}))

    assert list(one.attributes.items()) == list(two.attributes.items())


def test_macros_see_rules_and_functions_as_native(write: Write) -> None:
    loader = write(
        {
            "p/BUILD": "load('//tools:macros.bzl', 'library')\nlibrary('x')\n",
            "p/a.py": "",
            "tools/macros.bzl": """
load(":names.bzl", long = "name_of")

def library(name):
    native.py_library(
        name = long(name),
        srcs = native.glob(["*.py"]),
        base_module = native.package_name(),
    )
""",
            "tools/names.bzl": "def name_of(text):\n    return text + '_long'\n",
        }
    )

    target = only(loader)

    assert target.label == label("//p:x_long")
    assert target.attributes["srcs"] == (("a.py", label("//p:a.py")),)
    assert target.attributes["base_module"] == "p"
    assert loader.package("p").loads == ("tools/macros.bzl", "tools/names.bzl")


def test_rules_can_be_loaded_from_where_bazel_has_them(write: Write) -> None:
    loader = write(
        {
            "p/BUILD": "load('@rules_python//python:py_library.bzl', lib = 'py_library')\n"
            "load('@rules_python//python:py_binary.bzl', 'py_binary')\nlib(name = 'x')\n"
        }
    )

    assert only(loader).label == label("//p:x")


def test_the_language_of_build_files(write: Write) -> None:
    text = """
def name(n):
    return "lib{}".format(n)

settings = struct(deps = [":y"])
for n in range(2):
    if n:
        py_library(name = name(n), deps = settings.deps + ["//q"], srcs = glob(["*.none"]))
print("made", package_name(), repository_name(), len("x"))
licenses(["notice"])
package(features = ["-layering_check"])
"""

    loader = write({"p/BUILD": text})

    assert [str(dependency) for dependency in only(loader).dependencies()] == ["//p:y", "//q:q"]
    assert loader.prints == ("made p @ 1",)


def test_each_file_is_evaluated_once(write: Write) -> None:
    loader = write(
        {
            "a/BUILD": "load('//t:m.bzl', 'm')\nprint('a')\n",
            "b/BUILD": "load('//t:m.bzl', 'm')\nprint('b')\n",
            "t/m.bzl": "print('m')\nm = 1\n",
        }
    )

    for name in ("a", "b", "a"):
        loader.package(name)

    assert loader.prints == ("m", "a", "b")


def test_a_build_package_says_what_it_read(write: Write) -> None:
    loader = write(
        {
            "p/BUILD": "load('//t:m.bzl', 'm')\npy_library(name='x', srcs=glob(['**/*.py']))\n",
            "p/sub/deep/a.py": "",
            "p/other/BUILD": "",
            "t/m.bzl": "m = 1\n",
        }
    )

    package = loader.package("p")

    assert package.build_file == "p/BUILD"
    assert package.inputs == {"p/BUILD", "t/m.bzl"}
    assert package.directories == {"p", "p/sub", "p/sub/deep", "p/other"}
    assert package.globs[0].files == ("sub/deep/a.py",)
    assert loader.inputs == package.inputs


def test_folders_looked_at_in_vain_are_on_record(write: Write) -> None:
    loader = write({"p/BUILD": "py_library(name = 'x', deps = ['//gone:y'])\n"})

    with pytest.raises(UserError):
        loader.closure([label("//p:x")])

    assert {"p", "gone"} <= loader.directories


def test_generated_files_are_known_by_their_label(write: Write) -> None:
    loader = write({"p/BUILD": "genrule(name = 'g', outs = ['x.h', 'y.h'])\n"})

    maker = loader.generated(label("//p:y.h"))

    assert maker is not None
    assert maker.label == label("//p:g")
    assert loader.generated(label("//p:g")) is None
    assert loader.generated(label("//none:g")) is None


def test_the_place_of_a_target_and_of_a_mention(write: Write) -> None:
    loader = write({"p/BUILD": "\npy_library(\n    name = 'x',\n    deps = [\n        ':y'],\n)\n"})
    target = only(loader)

    assert str(loader.place(target)) == "p/BUILD:2:1"
    assert str(loader.place(target, label("//p:y"))) == "p/BUILD:5:9"
    assert str(loader.place(target, label("//p:other"))) == "p/BUILD:2:1"


def test_a_failure_is_told_again_the_same(write: Write) -> None:
    loader = write({"p/BUILD": "py_library(\n"})

    with pytest.raises(UserError) as first:
        loader.package("p")
    with pytest.raises(UserError) as second:
        loader.package("p")

    assert first.value.message == second.value.message


def test_a_build_file_that_is_not_text_is_told(write: Write) -> None:
    loader = write({"p/BUILD": ""})
    (loader.workspace.root / "p/BUILD").write_bytes(b"\xff\xfe")

    with pytest.raises(UserError, match="p/BUILD: not UTF-8 text"):
        loader.package("p")


def test_finding_a_place_prints_nothing_again(write: Write) -> None:
    loader = write({"p/BUILD": "print('once')\n[py_library(name = n) for n in ['x']]\n"})

    place = loader.place(only(loader))

    assert str(place) == "p/BUILD:2:2"
    assert loader.prints == ("once",)


def test_a_closure_is_that_of_the_configuration(write: Write) -> None:
    build = """
config_setting(name = "fast", values = {"compilation_mode": "opt"})
filegroup(name = "a", srcs = select({":fast": [":b"], "//conditions:default": [":c"]}))
filegroup(name = "b")
filegroup(name = "c")
"""
    loader = write({"p/BUILD": build})
    fast = Loader(loader.workspace, configuration=Configuration(compilation_mode="opt"))

    names = [[str(each) for each in found.closure([label("//p:a")])] for found in (loader, fast)]

    assert names == [["//p:c", "//p:a"], ["//p:b", "//p:a"]]


def test_a_select_that_no_condition_decides_is_a_fault_with_its_place(write: Write) -> None:
    build = """
config_setting(name = "fast", values = {"compilation_mode": "opt"})
filegroup(
    name = "a",
    srcs = select({":fast": []}),
)
"""
    with pytest.raises(FaultReport) as caught:
        write({"p/BUILD": build}).closure([label("//p:a")])

    assert caught.value.message.startswith("p/BUILD:5:5: `//p:a`: no condition of the `select`")
