"""The package root as a whole, for forms that hold all of it: the layers as one, and a little more.

What a mount by lamina tells a program by variables, these forms tell by a file: its version.
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Callable, Iterable

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.manifest import Package
from lamina.core.tree import File, Node, Tree, stacked

Read = Callable[[Digest], bytes]  # a small blob

OWN = ".lamina"  # the folder of a package root that holds what lamina starts programs with
VERSION = f"{OWN}/version"  # read by the launchers
XAR_TARGET = f"{OWN}/xar"
ZIP_MAIN = "__main__.py"
ANY_SCRIPT = "invoke_xar_via_trampoline"  # XAR's readers want this name in every list
_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # what packaging tools allow, and a XAR's header too
_ROOM = 3000  # bytes of a XAR's header for names; it has 4,096 in all
_ELF = b"\x7fELF"

_XAR = """\
#!/bin/sh
# Started by xarexec, the XAR file first. By another name of that file another program is started.
root=${{0%/{folder}/*}}
case ${{1##*/}} in
{cases}esac
exec /bin/sh -e "$root"/{launcher} "$@"
"""

# Python runs `__main__.py` of a zip. It starts Python once more, without the machine's packages, as
# the launcher would; then it does what the package's own start does, with modules from the zip.
_ZIP = """\
import sys


def prepare():
    import os
    import zipimport

    root = os.path.abspath(sys.path[0])
    if not (sys.flags.no_site and sys.flags.no_user_site):
        given = dict(os.environ, LAMINA_PACKAGE=root, LAMINA_VERSION={version!r})
        for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH"):
            given.pop(name, None)
        os.execve(sys.executable, [sys.executable, "-sS", root, *sys.argv[1:]], given)
    sys.path[0] = root + {folder!r}
    path = os.path.join(root, {start!r})
    known = {{"__name__": "lamina", "__file__": path}}
    exec(compile(zipimport.zipimporter(root).get_data(path), path, "exec"), known)

    def filled(text):
        return text.replace("\\0root\\0", root)

    start = known["start"]
    for name, text in getattr(start, "environment", {{}}).items():
        os.environ[name] = filled(text)
    sys.argv[1:1] = map(filled, getattr(start, "arguments", ()))
    return start


if __name__ == "__main__":
    start = prepare()
    del prepare
    start()()
"""
_NOT_AS_ZIP = """\
import sys

sys.exit(
    {title!r} + ": this package has native code ({example}), which Python loads from no zip: "
    "unpack it, and start " + {launcher!r} + " in it"
)
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A console script of a Python distribution."""

    name: str
    target: str  # `module:function`


@dataclass(frozen=True, slots=True)
class Root:
    """All files of a package root; what was written for it alone is among `small`."""

    package: Package
    tree: Tree
    small: tuple[bytes, ...] = ()  # contents of files that no layer has

    def plus(self, path: str, data: bytes) -> Root:
        """The root with one more small file."""
        tree = {**self.tree, path: File(Digest.of(data))}
        return Root(self.package, dict(sorted(tree.items())), (*self.small, data))


def root(package: Package, layers: Iterable[Tree]) -> Root:
    """What the layers, bottom first, show, with the version for the launchers."""
    return Root(package, stacked(layers)).plus(VERSION, f"{package.version}\n".encode())


def scripts(tree: Tree, read: Read) -> list[Script]:
    """The console scripts of all distributions in a tree, by name; the first of a name counts."""
    found: dict[str, Script] = {}
    for path, node in tree.items():
        if path.endswith(".dist-info/entry_points.txt") and isinstance(node, File):
            for script in _scripts(read(node.digest).decode(errors="replace")):
                found.setdefault(script.name, script)
    return [found[name] for name in sorted(found)]


def _scripts(text: str) -> list[Script]:
    """https://packaging.python.org/specifications/entry-points, the section `console_scripts`."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
        items = parser.items("console_scripts")
    except configparser.Error:  # no such section, or nothing that an installer would read either
        return []
    pairs = ((name.strip(), "".join(value.partition("[")[0].split())) for name, value in items)
    return [Script(name, to) for name, to in pairs if _NAME.fullmatch(name) and ":" in to]


def for_xar(found: Root, scripts: Iterable[Script]) -> tuple[Root, str, tuple[str, ...]]:
    """The root of a XAR, its target, and the names by which it starts something else."""
    launcher = found.package.entry_point[0]
    others = [script for script in scripts if script.name != launcher]
    if not others:
        return found, launcher, ()
    lines = (
        f"  {shlex.quote(script.name)}) "
        f"LAMINA_MAIN={shlex.quote(f'{script.name}={script.target}')}; export LAMINA_MAIN ;;\n"
        for script in others
    )
    text = _XAR.format(folder=OWN, cases="".join(lines), launcher=shlex.quote(launcher))
    return found.plus(XAR_TARGET, text.encode()), XAR_TARGET, _listed(launcher, others)


def _listed(launcher: str, scripts: Iterable[Script]) -> tuple[str, ...]:
    """The names for a XAR's header, as far as it has room; those left out work all the same."""
    names, room = [launcher], _ROOM
    for script in scripts:
        room -= len(script.name) + len("'' ")
        if room >= 0:
            names.append(script.name)
    return (*names, ANY_SCRIPT)


def for_zip(found: Root, start: Callable[[Digest], bytes]) -> Root:
    """The root of a zip: that of a Python program can be given to Python as it is.

    `start` gives the first bytes of a blob.
    """
    package = found.package
    if not package.interpreter.startswith("python") or ZIP_MAIN in found.tree:
        return found
    launcher = package.entry_point[0]
    native = next((path for path in found.tree if _is_native(found.tree[path], start)), None)
    if native is None:
        start_file = f"{OWN}/{launcher}.py"
        text = _ZIP.format(version=package.version, folder=f"/{OWN}", start=start_file)
    else:
        text = _NOT_AS_ZIP.format(title=package.title, example=native, launcher=launcher)
    return found.plus(ZIP_MAIN, text.encode())


def _is_native(node: Node, start: Callable[[Digest], bytes]) -> bool:
    return isinstance(node, File) and start(node.digest).startswith(_ELF)
