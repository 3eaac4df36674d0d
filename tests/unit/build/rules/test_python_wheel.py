"""Wheels, sdists and locks of them: unpacked, built, laid out as a package root and run."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from lamina.build.analysis import runtime_order
from lamina.build.providers import Analysed
from lamina.core.label import Label
from lamina.formats import pylock
from lamina.formats.pylock import Archive, Distribution, Lock

PUBLIC = "package(default_visibility = ['//visibility:public'])\n"
ANY = "py3-none-any"
WriteWheel = Callable[[Path, Mapping[str, str]], Path]


class Project(Protocol):
    root: Path

    def write(self, files: dict[str, str]) -> None: ...
    def error(self, label: str) -> str: ...
    def package(self, label: str, at: Path | None = None) -> Path: ...
    def run(self, label: str, *arguments: str) -> str: ...
    def analyse(self, label: str) -> tuple[Label, dict[Label, Analysed]]: ...
    def text(self, label: str, path: str = "") -> str: ...


class Shelf:
    """A build package with a lock of distributions that are made up."""

    def __init__(self, project: Project, write_wheel: WriteWheel) -> None:
        self._project = project
        self._write_wheel = write_wheel
        self.found: list[Distribution] = []
        self.folder = project.root / "py"

    def wheel(
        self,
        name: str,
        files: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        tag: str = ANY,
        requires: Sequence[str] = (),
        extras: Mapping[str, Sequence[str]] | None = None,
        marker: str = "",
    ) -> None:
        """Add a distribution with one wheel."""
        stem = name.replace("-", "_")
        content = {f"{stem}.py": f"version = '{version}'\n"} if files is None else files
        path = self._write_wheel(self.folder / f"{stem}-{version}-{tag}.whl", content)
        self.add(
            Distribution(
                name,
                version,
                (Archive(path.name, digest(path), local=True),),
                requires=tuple(requires),
                extras={extra: tuple(each) for extra, each in (extras or {}).items()},
                marker=marker,
            )
        )

    def add(self, found: Distribution) -> None:
        self.found.append(found)
        (self.folder / "pylock.toml").write_text(pylock.encode(Lock(tuple(self.found))))

    def program(self, text: str, *deps: str, arguments: str = "") -> None:
        """Write the BUILD files, and a program that depends on some of the distributions."""
        labels = [f"//py:{dep}" for dep in deps]
        self._project.write(
            {
                "py/BUILD": PUBLIC + f"python_requirements(name = 'all', {arguments})\n",
                "BUILD": f"python_binary(name = 'm', srcs = ['m.py'], deps = {labels})\n",
                "m.py": text,
            }
        )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shelf(project: Project, write_wheel: WriteWheel) -> Shelf:
    return Shelf(project, write_wheel)


WHEEL = {
    "pkg/__init__.py": "import sys\nword = 'from a wheel'\ndef main():\n"
    "    print('pkg has', sys.argv[1:])\n    return 3\n",
    "pkg/data.txt": "data\n",
    "pkg/old.py": "print 'of Python 2'\n",
    "pkg-1.0.data/purelib/more.py": "word = 'and more'\n",
    "pkg-1.0.data/scripts/tool": "#!python\nimport sys, pkg\n"
    "print(__name__, pkg.word, sys.argv[1:])\n",
    "pkg-1.0.data/scripts/plain": "#!/bin/sh\necho plain\n",
    "pkg-1.0.data/headers/pkg.h": "",
    "pkg-1.0.data/data/share/pkg/x": "",
    "pkg-1.0.dist-info/entry_points.txt": "[console_scripts]\npkg-run = pkg:main\n",
}


@pytest.fixture
def unpacked(project: Project, write_wheel: WriteWheel) -> Path:
    """The package root of a program over a wheel."""
    write_wheel(project.root / f"w/pkg-1.0-{ANY}.whl", WHEEL)
    write_wheel(project.root / "w/other-1-py2.py3-none-any.whl", {"other.py": "word = 'another'\n"})
    project.write(
        {
            "w/BUILD": PUBLIC + "prebuilt_python_library(name = 'pkg', deps = [':other'],"
            " binary_src = 'pkg-1.0-py3-none-any.whl')\n"
            "prebuilt_python_library(name = 'other', binary_src = 'other-1-py2.py3-none-any.whl')",
            "BUILD": "python_binary(name = 'm', srcs = ['m.py'], deps = ['//w:pkg'])",
            "m.py": "import more, other, pkg\nfrom importlib.metadata import files, version\n"
            "print(pkg.word, more.word, other.word, version('pkg'), len(files('pkg')))\n",
        }
    )
    return project.package("//:m").parent


_VERSION = "import sys; print(*sys.version_info[:2])"


def output(*command: str | Path, code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_wheels_lie_as_an_installer_would_put_them(unpacked: Path) -> None:
    assert output(unpacked / "m") == "from a wheel and more another 1.0 14\n"
    site = unpacked / "site-packages"
    assert not (site / "pkg-1.0.data").exists()
    assert (site / "pkg-1.0.dist-info/INSTALLER").read_text() == "lamina\n"
    assert list((site / "pkg/__pycache__").glob("__init__.*.pyc"))
    assert (unpacked / "include/pkg/pkg.h").exists()
    assert (unpacked / "share/pkg/x").exists()


def test_console_scripts_run_wherever_they_lie(unpacked: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved to"
    unpacked.rename(moved)
    link = tmp_path / "link"
    link.symlink_to(moved / "bin/pkg-run")

    assert output(moved / "bin/pkg-run", "a b", code=3) == "pkg has ['a b']\n"
    assert output(link, code=3) == "pkg has []\n"
    assert output("/bin/sh", "-c", f"cd '{moved}/bin' && exec ./pkg-run", code=3) == "pkg has []\n"


def test_scripts_of_a_wheel_run_too(unpacked: Path) -> None:
    assert output(unpacked / "bin/tool", "x") == "__main__ from a wheel ['x']\n"
    assert output(unpacked / "bin/plain") == "plain\n"


def test_a_console_script_is_a_target(project: Project, unpacked: Path) -> None:
    project.write(
        {
            "BUILD": "py_console_script_binary(name = 'go', pkg = '//w:pkg', script = 'pkg-run',"
            " args = ['first'])"
        }
    )
    shutil.rmtree(unpacked)

    assert output(project.package("//:go"), "second", code=3) == "pkg has ['first', 'second']\n"


def test_a_wheel_that_leads_out_is_refused(project: Project, write_wheel: WriteWheel) -> None:
    write_wheel(project.root / f"w/evil-1.0-{ANY}.whl", {"../../x.py": ""})
    project.write(
        {"w/BUILD": "prebuilt_python_library(name = 'e', binary_src = 'evil-1.0-py3-none-any.whl')"}
    )

    assert "a file that leads out of it: ../../x.py" in project.error("//w:e")


def test_a_wheel_that_is_not_what_its_record_says_is_refused(
    project: Project, write_wheel: WriteWheel
) -> None:
    record = "m.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\nm-1.dist-info/RECORD,,\n"
    write_wheel(
        project.root / f"w/m-1-{ANY}.whl", {"m.py": "changed", "m-1.dist-info/RECORD": record}
    )
    project.write(
        {"w/BUILD": "prebuilt_python_library(name = 'm', binary_src = 'm-1-py3-none-any.whl')"}
    )

    words = project.error("//w:m")

    assert "is not what its RECORD says" in words
    assert "hash / size of m.py didn't match RECORD" in words


NAMESPACES = {
    "pkgutil": "# (c) {name}\n__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
    "pkg_resources": '"""Of {name}."""\n__import__("pkg_resources").declare_namespace(__name__)\n',
    "both": "try:\n    __import__('pkg_resources').declare_namespace(__name__)\n"
    "except ImportError:\n    from pkgutil import extend_path\n"
    "    __path__ = extend_path(__path__, __name__)  # {name}\n",
    "none": "",
}


@pytest.mark.parametrize("kind", NAMESPACES)
def test_one_namespace_lies_over_several_layers(project: Project, shelf: Shelf, kind: str) -> None:
    for name in ("ns-a", "ns-b"):
        text = NAMESPACES[kind].format(name=name)
        init = {"ns/__init__.py": text} if text else {}
        shelf.wheel(name, {f"ns/{name[-1]}.py": f"x = '{name}'\n", **init})
    shelf.program("import ns.a, ns.b\nprint(ns.a.x, ns.b.x)\n", "ns-a", "ns-b")

    assert project.run("//:m") == "ns-a ns-b\n"
    _, analysed = project.analyse("//:m")
    assert len([part for part in analysed.values() if part.own]) == 3


def test_pth_files_are_read_as_in_an_installation(project: Project, shelf: Shelf) -> None:
    shelf.wheel("hook", {"hook.pth": "import _hook\ninner\n", "_hook.py": "", "inner/deep.py": ""})
    shelf.program("import sys, deep\nprint('_hook' in sys.modules)\n", "hook")

    assert project.run("//:m") == "True\n"


def test_what_a_distribution_needs_comes_with_it(project: Project, shelf: Shelf) -> None:
    shelf.wheel("top", requires=["middle"])
    shelf.wheel("middle", requires=["bottom"])
    shelf.wheel("bottom")
    shelf.wheel("stranger")
    shelf.program(
        "import bottom, top\ntry:\n    import stranger\nexcept ImportError as error:\n"
        "    print(error)\n",
        "top",
    )

    assert project.run("//:m") == "No module named 'stranger'\n"


def test_markers_are_decided_for_the_interpreter(project: Project, shelf: Shelf) -> None:
    shelf.wheel(
        "top",
        requires=["here ; sys_platform == 'linux'", "elsewhere ; sys_platform == 'win32'"],
    )
    shelf.wheel("here", requires=["deep ; python_version < '3'"])
    shelf.wheel("deep")
    shelf.wheel("elsewhere", tag="cp311-cp311-win_amd64")
    shelf.program("import top, here\n", "top")

    label, analysed = project.analyse("//:m")

    needed = [str(each) for each in runtime_order(label, analysed)]
    assert needed == ["//py:here", "//py:top", "//:m"]
    assert project.run("//:m") == ""


def test_an_extra_is_a_target_of_its_own(project: Project, shelf: Shelf) -> None:
    shelf.wheel("top", extras={"more": ["added", "other ; sys_platform == 'win32'"]})
    for name in ("added", "other"):
        shelf.wheel(name)
    shelf.wheel("user", requires=["top[more]"])
    shelf.program("import top, added\nprint(top.version)\n", "user")

    assert project.run("//:m") == "1.0\n"
    shelf.program("import added\n", "top")
    shutil.rmtree(project.root.parent / "package")
    assert "No module named 'added'" in failure(project.package("//:m"))


def failure(program: Path) -> str:
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stderr


def test_of_several_versions_that_which_fits_is_taken(project: Project, shelf: Shelf) -> None:
    shelf.wheel("two", version="1.0", marker="python_version < '3'")
    shelf.wheel("two", version="2.0", marker="python_version >= '3'", extras={"x": ["more"]})
    shelf.wheel("more")
    shelf.wheel("old", requires=["two==1.0"])
    shelf.program("import two\nprint(two.version)\n", "two[x]")

    assert project.run("//:m") == "2.0\n"
    shelf.program("import two\nprint(two.version)\n", "old")
    shutil.rmtree(project.root.parent / "package")
    assert project.run("//:m") == "1.0\n"


def test_distributions_may_need_each_other_in_a_circle(project: Project, shelf: Shelf) -> None:
    shelf.wheel("a", requires=["b", "a"])
    shelf.wheel("b", requires=["c[x]"])
    shelf.wheel("c", extras={"x": ["a"]}, requires=["below"])
    shelf.wheel("below")
    shelf.program("import a, b, c, below\nprint(a.version)\n", "b")

    assert project.run("//:m") == "1.0\n"


def test_a_wheel_that_fits_nobody_here_is_told_of_only_where_it_is_needed(
    project: Project, shelf: Shelf
) -> None:
    shelf.wheel("elsewhere", tag="cp311-cp311-win_amd64")
    shelf.program("", "elsewhere")

    words = project.error("//:m")

    assert "no wheel of elsewhere 1.0 is for Python 3." in words
    assert words.startswith("BUILD:1:")


def test_the_wheel_that_fits_best_is_taken(
    project: Project, shelf: Shelf, write_wheel: WriteWheel
) -> None:
    version = "".join(output("/usr/bin/python3", "-c", _VERSION).split())
    tags = [ANY, f"cp{version}-abi3-linux_x86_64", f"cp{version}-cp{version}-win_amd64"]
    wheels = [
        write_wheel(shelf.folder / f"m-1-{tag}.whl", {"m1.py": f"tag = {tag!r}\n"}) for tag in tags
    ]
    archives = tuple(Archive(path.name, digest(path), local=True) for path in wheels)
    shelf.add(Distribution("m", "1", archives))
    shelf.program("import m1\nprint(m1.tag)\n", "m")

    assert project.run("//:m") == f"{tags[1]}\n"


def test_a_file_that_is_not_what_the_lock_says_is_refused(project: Project, shelf: Shelf) -> None:
    shelf.wheel("m")
    path = shelf.folder / f"m-1.0-{ANY}.whl"
    path.write_bytes(path.read_bytes() + b"\0")
    shelf.program("", "m")

    words = project.error("//py:m")

    assert "it is not what the lock says" in words
    assert digest(path) in words


def test_wheels_are_fetched_by_address(
    project: Project, shelf: Shelf, write_wheel: WriteWheel, tmp_path: Path
) -> None:
    path = write_wheel(tmp_path / f"index/far-1.0-{ANY}.whl", {"far.py": "x = 'fetched'\n"})
    size = path.stat().st_size
    shelf.folder.mkdir()
    shelf.add(Distribution("far", "1.0", (Archive(path.as_uri(), digest(path), size),)))
    shelf.program("import far\nprint(far.x)\n", "far")

    assert project.run("//:m") == "fetched\n"


BACKEND = """
import os, zipfile
from pathlib import Path

def get_requires_for_build_wheel(config_settings=None):
    return {extra!r}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    import helper
    print("a backend talks a lot")
    name = "built-1.0-py3-none-any.whl"
    info = "built-1.0.dist-info"
    files = {{
        "built.py": "word = " + repr(helper.version + " " + Path("word").read_text()),
        info + "/METADATA": "Metadata-Version: 2.1\\nName: built\\nVersion: 1.0\\n",
        info + "/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    import base64, hashlib
    lines = []
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for path, text in files.items():
            data = text.encode()
            raw = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            lines.append(f"{{path}},sha256={{raw}},{{len(data)}}")
            archive.writestr(path, data)
        archive.writestr(info + "/RECORD", "\\n".join([*lines, info + "/RECORD,,"]))
    return name
"""


def sdist(path: Path, extra: Sequence[str] = ()) -> Distribution:
    """An sdist with a backend of its own, which needs a distribution called `helper`."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["helper"]\n'
        'build-backend = "own"\nbackend-path = ["."]\n',
        "own.py": BACKEND.format(extra=list(extra)),
        "word": "and sources",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"built-1.0/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    archive = Archive(path.name, digest(path), local=True)
    return Distribution("built", "1.0", sdist=archive, builds_with=("helper",))


def test_an_sdist_is_built_by_its_backend(project: Project, shelf: Shelf) -> None:
    shelf.wheel("helper")
    shelf.add(sdist(shelf.folder / "built-1.0.tar.gz"))
    shelf.program("import built\nprint(built.word)\n", "built")

    assert project.run("//:m") == "1.0 and sources\n"
    label, analysed = project.analyse("//:m")
    assert Label.parse("//py:helper") not in runtime_order(label, analysed)


def test_what_a_backend_needs_more_is_named(project: Project, shelf: Shelf) -> None:
    shelf.wheel("helper")
    shelf.wheel("extra-tool")
    shelf.add(sdist(shelf.folder / "built-1.0.tar.gz", ["extra_tool>=1"]))
    shelf.program("import built\nprint(built.word)\n", "built")

    words = project.error("//py:built")

    assert "building `built-1.0.tar.gz` takes extra_tool>=1" in words
    shelf.program(
        "import built\nprint(built.word)\n",
        "built",
        arguments="builds_with = {'built': ['extra-tool']}",
    )
    assert project.run("//:m") == "1.0 and sources\n"


def test_files_can_be_left_out(project: Project, shelf: Shelf) -> None:
    shelf.wheel("a", {"a.py": "", "tests/__init__.py": "1"})
    shelf.wheel("b", {"b.py": "", "tests/__init__.py": "2"})
    shelf.program("import a, b\n", "a", "b", arguments="exclude = {'b': ['tests/*']}")

    program = project.package("//:m")

    assert (program.parent / "site-packages/tests/__init__.py").read_text() == "1"


def test_the_target_for_all_has_all_that_is_for_here(project: Project, shelf: Shelf) -> None:
    shelf.wheel("a")
    shelf.wheel("elsewhere", tag="cp311-cp311-win_amd64", marker="sys_platform == 'win32'")
    shelf.program("import a\nprint(a.version)\n", "all")

    assert project.run("//:m") == "1.0\n"


def test_programs_over_several_wheels_are_tools_too(project: Project, shelf: Shelf) -> None:
    shelf.wheel("a")
    shelf.wheel("b")
    shelf.program("import a, b, sys\nopen(sys.argv[1], 'w').write(a.version)\n", "a", "b")
    with (project.root / "BUILD").open("a") as file:
        file.write("genrule(name = 'g', outs = ['g.txt'], tools = [':m'], cmd = '$(exe :m) $@')\n")

    assert project.text("//:g") == "1.0"


def test_wheels_unpack_to_the_same_bytes_anywhere(
    make_project: Callable[[str], Project], write_wheel: WriteWheel
) -> None:
    made = []
    for folder in ("one", "a/longer/path"):
        project = make_project(folder)
        shelf = Shelf(project, write_wheel)
        shelf.wheel("helper")
        shelf.add(sdist(shelf.folder / "built-1.0.tar.gz"))
        shelf.program("", "built")
        root = project.package("//:m").parent
        made.append({path.relative_to(root): path.read_bytes() for path in files_in(root)})

    assert made[0] == made[1]


def files_in(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())
