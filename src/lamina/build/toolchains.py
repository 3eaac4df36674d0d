"""Compilers and interpreters: where they lie, and what makes one the same as another.

A toolchain's identity is what it says of its version, not its path: two machines with the same
compiler give an action the same digest.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.build.workspace import Workspace
from lamina.core.classes import dataclass
from lamina.core.errors import HostError, UserError
from lamina.linux import process
from lamina.linux.versions import ToolVersions

if TYPE_CHECKING:
    from lamina.build.wheels.platform import Platform

_SYSTEM = ("/usr/bin", "/bin")  # what an action's PATH holds
_ASK_PYTHON = """
import json, sys, sysconfig
print(json.dumps([sys.version, sys.implementation.cache_tag, "%d.%d" % sys.version_info[:2],
                  sysconfig.get_path("include"), sysconfig.get_config_var("SOABI"),
                  sys.base_prefix]))
"""


@dataclass(frozen=True, slots=True)
class Python:
    """A Python interpreter, for the build and for the programs that are built."""

    command: str  # as an action calls it
    path: str  # absolute
    version: str  # `3.11`
    tag: str  # `cpython-311`, in the names of compiled files
    include: str  # folder of Python.h
    identity: str
    mounts: tuple[str, ...]  # folders of the machine that it needs, beyond /usr


@dataclass(frozen=True, slots=True)
class Cxx:
    """A C and C++ compiler with its linker."""

    c: str
    cxx: str
    archiver: str
    compiler_flags: tuple[str, ...]  # for both languages
    c_flags: tuple[str, ...]
    cxx_flags: tuple[str, ...]
    linker_flags: tuple[str, ...]
    identity: str
    mounts: tuple[str, ...]


class Toolchains:
    """The toolchains of a workspace, each looked for when a rule first asks."""

    def __init__(self, workspace: Workspace, versions: ToolVersions) -> None:
        self._workspace = workspace
        self._versions = versions
        self.files: set[str] = set()  # the programs that were asked, for the record of a build

    @cached_property
    def python(self) -> Python:
        """The interpreter: `[python] interpreter` in `lamina.toml`, else the system's python3."""
        path = self._find(
            "python", "interpreter", self._workspace.python_interpreter or process.system_python()
        )
        answer = self._versions.ask(path, "-I", "-S", "-c", _ASK_PYTHON)
        full, tag, version, include, soabi, prefix = json.loads(answer)
        return Python(
            command=_command(path),
            path=str(path),
            version=version,
            tag=tag,
            include=include,
            identity=f"python {full} {soabi}",
            mounts=tuple(dict.fromkeys(_mounts(prefix) + _beside(path))),
        )

    @cached_property
    def python_platform(self) -> Platform:
        """Which wheels fit the interpreter, and which markers hold for it."""
        from lamina.build.wheels import platform

        return platform.ask(Path(self.python.path), self._versions)

    @property
    def python_headers(self) -> str:
        """The folder of Python.h; raises HostError where the interpreter came without."""
        python = self.python
        if not (Path(python.include) / "Python.h").exists():
            raise HostError(
                f"`Python.h` of {python.path} is not on this machine",
                hint="on Debian or Ubuntu: `apt-get install python3-dev`",
            )
        return python.include

    @cached_property
    def cxx(self) -> Cxx:
        """The compilers: `[cxx]` in `lamina.toml`, else the system's gcc and g++."""
        workspace = self._workspace
        cxx = self._find("cxx", "compiler", workspace.cxx_compiler or "g++")
        c = self._find("cxx", "c_compiler", workspace.c_compiler or _sibling(cxx))
        archiver = self._find("cxx", "archiver", workspace.archiver or "ar")
        tools = (c, cxx, self._find("cxx", "linker", "ld"), archiver)
        words = [self._versions.first_line(tool, "--version") for tool in tools]
        return Cxx(
            c=_command(c),
            cxx=_command(cxx),
            archiver=_command(archiver),
            compiler_flags=workspace.compiler_flags,
            c_flags=workspace.c_flags,
            cxx_flags=workspace.cxx_flags,
            linker_flags=workspace.linker_flags,
            identity="; ".join((*words, self._versions.first_line(cxx, "-dumpmachine"))),
            mounts=tuple(dict.fromkeys(_beside(c) + _beside(cxx) + _beside(archiver))),
        )

    def _find(self, section: str, key: str, tool: str) -> Path:
        path = process.find(tool)
        if path is None and tool not in process.DEBIAN_PACKAGE:
            raise UserError(
                f"the tool `{tool}` is not on this machine",
                hint=f"`{key}` in `[{section}]` of `lamina.toml` names it",
            )
        path = path or process.require(tool)
        # Another program may come to lie in front of it, or a link on the way lead elsewhere.
        self.files.update(process.candidates(tool, path))
        return path


def _sibling(cxx: Path) -> str:
    """The C compiler that belongs to a C++ compiler: `clang-15` to `clang++-15`."""
    for end, name in (("clang++", "clang"), ("g++", "gcc"), ("c++", "cc")):
        if end in cxx.name:
            tool = cxx.with_name(cxx.name.replace(end, name))
            return str(tool) if tool.exists() else "gcc"
    return "gcc"


def _command(path: Path) -> str:
    """The bare name of a tool that an action's PATH finds, else its path."""
    return path.name if str(path.parent) in _SYSTEM else str(path)


def _beside(tool: Path) -> tuple[str, ...]:
    """The folder above that of a tool, where it has what it needs."""
    return _mounts(str(tool.parent.parent))


def _mounts(prefix: str) -> tuple[str, ...]:
    """The folder itself, unless the sandbox shows it anyway."""
    top = Path(prefix).resolve()
    shown = str(top) in ("/", "/usr") or top.is_relative_to("/usr")
    return () if shown else (str(top),)
