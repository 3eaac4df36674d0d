"""The application: a program over some modules over large distributions, for both tools.

The same folder is a workspace of lamina and the context of a Dockerfile, as people write it:
what is required is installed first, what changes most is copied last.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import workspaces

FIRST = "first package"
PROGRAM = "a line of the program"
LOW = "a line of the module that all others need"
REQUIREMENT = "another version of a small requirement"
BELOW = "a line of a library that the requirements lie on"  # of an application that has one
SCENARIOS = (FIRST, PROGRAM, LOW, REQUIREMENT)

INTERPRETER = "/usr/bin/python3"
TARGET = "//app:main"
REQUIREMENTS = "third_party/python/requirements.in"
VERSIONS = ("click==8.1.7", "click==8.1.8")  # one or the other is required
_EDITED = {PROGRAM: "app/main.py", LOW: "app/part0.py", BELOW: "core/base.py"}
_LINE = re.compile(r"^NUMBER = \d+$", re.MULTILINE)
MODULES = 40


@dataclass(frozen=True, slots=True)
class Stack:
    """What the application is built on."""

    name: str
    requirements: tuple[str, ...]
    imported: tuple[str, ...]  # modules of theirs
    libraries: tuple[str, ...] = ()  # that wheels want of the system
    data: int = 0  # bytes that lie beside each module of the application itself


# The library of C++, and parts of that of C which older code names one by one.
_SYSTEM = (
    "libstdc++.so.6", "libgcc_s.so.1",
    "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1",
)  # fmt: skip
STACKS = {
    "torch": Stack("torch", ("torch", "numpy"), ("torch", "numpy"), _SYSTEM),
    "scipy": Stack("scipy", ("numpy", "scipy", "pandas"), ("scipy.linalg", "pandas"), _SYSTEM),
    "small": Stack("small", ("six",), ("six",)),
}
# Half of what they say is news, as in native libraries and tables.
_HALF = bytes(number & 0x0F for number in range(256))


@cache
def version() -> str:
    """That of the interpreter that both tools build for: `3.11`."""
    told = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([INTERPRETER, "-c", told], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Application:
    """The files in a folder, and what is edited in them."""

    def __init__(
        self,
        folder: Path,
        stack: Stack,
        wheels: Path,
        *,
        library: bool = False,
        data_first: bool = False,
    ) -> None:
        """With `library` there is one that the Dockerfile copies before all else.

        With `data_first` it copies the data of modules before them, in a layer of its own.
        """
        self.folder = folder
        self._stack, self._wheels, self._library = stack, wheels, library
        self._copies = _DATA_FIRST if data_first else ("COPY app /srv/app",)
        self._numbers = {PROGRAM: 0, LOW: 0, **({BELOW: 0} if library else {})}
        self._version = 0
        for path, text in self._texts():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        if stack.data:
            self._write_data()
        self._require()

    @property
    def answer(self) -> str:
        """What the program must print."""
        required = VERSIONS[self._version].partition("==")[2]
        numbers = " ".join(map(str, self._numbers.values()))
        return f"{numbers} {required}"

    def edit(self, scenario: str, number: int) -> None:
        """Do to the files what a scenario is about; `number` is written into one of them."""
        if scenario == REQUIREMENT:
            self._version = 1 - self._version
            self._require()
        elif scenario in self._numbers:
            self._numbers[scenario] = number
            path = self.folder / _EDITED[scenario]
            path.write_text(_LINE.sub(f"NUMBER = {number}", path.read_text()))
        workspaces.settled(self.folder)

    def _require(self) -> None:
        """Write what is required, for lamina and for pip."""
        wanted = "".join(f"{each}\n" for each in (*self._stack.requirements, self._click))
        (self.folder / "requirements.txt").write_text(wanted)
        head = f"--no-index\n--find-links {self._wheels}\n"
        (self.folder / REQUIREMENTS).write_text(head + wanted)

    @property
    def _click(self) -> str:
        return VERSIONS[self._version]

    def _texts(self) -> Iterator[tuple[str, str]]:
        yield "lamina.toml", f'[python]\ninterpreter = "{INTERPRETER}"\n'
        copied = "COPY core /srv/core\n" if self._library else ""
        yield (
            "Dockerfile",
            _DOCKERFILE.format(
                python=f"python{version()}", library=copied, copies="\n".join(self._copies)
            ),
        )
        yield ".dockerignore", "**\n!requirements.txt\n!app/*.py\n!app/data/*\n!core/*.py\n"
        yield REQUIREMENTS, ""
        yield "third_party/python/BUILD", 'python_requirements(visibility = ["PUBLIC"])\n'
        yield "app/BUILD", "\n".join(self._rules())
        imports = "".join(f"import {name}\n" for name in self._stack.imported)
        parts = "".join(f"from app import part{number}\n" for number in range(MODULES))
        if self._library:
            yield "core/BUILD", _LIBRARY
            yield "core/base.py", "NUMBER = 0\n"
            yield "app/main.py", f"{_BEGUN}{imports}{parts}from core import base\n{_TIMED}"
        else:
            yield "app/main.py", f"{imports}{parts}{_PROGRAM}"
        random_ = random.Random(4)
        for number in range(MODULES):
            needs = f"from app import {', '.join(_needs(number))}\n" if number else ""
            text = workspaces.python_text(random_, 4_000)
            yield f"app/part{number}.py", f"{needs}NUMBER = 0\n{text}"

    def _write_data(self) -> None:
        random_ = random.Random(5)
        (self.folder / "app/data").mkdir()
        for number in range(MODULES):
            data = random_.randbytes(self._stack.data).translate(_HALF)
            (self.folder / f"app/data/part{number}.bin").write_bytes(data)

    def _rules(self) -> Iterator[str]:
        for number in range(MODULES):
            deps = [f":{name}" for name in _needs(number)]
            data = f"data/part{number}.bin" if self._stack.data else ""
            yield _rule("python_library", f"part{number}", deps, data)
        others = (re.split(r"[=<>~!]", each)[0] for each in self._stack.requirements)
        outside = [f"//third_party/python:{name}" for name in (*others, "click")]
        if self._library:
            outside.append("//core:base")
        yield _rule("python_binary", "main", [f":part{n}" for n in range(MODULES)] + outside)


def _needs(number: int) -> list[str]:
    """The lowest module, and one half-way down."""
    return [f"part{each}" for each in sorted({0, number // 2} - {number})]


def _rule(kind: str, name: str, deps: list[str], data: str = "") -> str:
    listed = "".join(f'        "{dep}",\n' for dep in deps)
    head = f'{kind}(\n    name = "{name}",\n    srcs = ["{name}.py"],\n'
    head += f'    resources = ["{data}"],\n' if data else ""
    return f"{head}    deps = [\n{listed}    ],\n)\n"


_PROGRAM = """\
from importlib.metadata import version

NUMBER = 0

if __name__ == "__main__":
    print(NUMBER, part0.NUMBER, version("click"))
"""
_LIBRARY = """\
python_library(
    name = "base",
    srcs = ["base.py"],
    visibility = ["PUBLIC"],
)
"""
# Tells when it began, and when all that it needs was imported.
_BEGUN = """\
import time

if __name__ == "__main__":
    print("begun", time.time(), flush=True)

"""
_TIMED = """\
from importlib.metadata import version

NUMBER = 0

if __name__ == "__main__":
    numbers = NUMBER, part0.NUMBER, base.NUMBER
    print("ready", time.time(), *numbers, version("click"), flush=True)
"""
_DATA_FIRST = ("COPY app/data /srv/app/data", "COPY app/*.py /srv/app/")
_DOCKERFILE = """\
FROM base:1
{library}COPY requirements.txt /srv/requirements.txt
RUN --mount=type=bind,from=wheels:1,target=/wheels \\
    {python} -B /wheels/pip.whl/pip install --quiet --root-user-action ignore --no-cache-dir \\
    --no-index --find-links /wheels --target /srv/site-packages -r /srv/requirements.txt
ENV PYTHONPATH=/srv:/srv/site-packages
{copies}
CMD ["{python}", "/srv/app/main.py"]
"""
