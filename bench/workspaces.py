"""The workspaces that are measured, and the plain folders that they are compared with."""

from __future__ import annotations

import random
import re
import shutil
import time
from pathlib import Path

_ARTICLE = Path(__file__).parents[1] / "examples" / "article"
_INTERPRETER = re.compile(r"\$\{LAMINA_PYTHON:-(.+)\}")
_WORDS = [
    f"{verb}_{noun}{number}"
    for verb in ("read", "make", "find", "sort", "join", "send", "check", "close")
    for noun in ("file", "layer", "node", "name", "path", "value", "table", "index")
    for number in range(20)
]


def article(folder: Path) -> Path:
    """A copy of the article's example."""
    shutil.copytree(_ARTICLE, folder, ignore=shutil.ignore_patterns("lamina-out"))
    return settled(folder)


def stack(folder: Path, layers: int) -> Path:
    """A program `//:main` of so many layers, one small module in each, which it imports."""
    names = [f"part{number}" for number in range(layers - 1)]
    for name in names:
        _write(folder / f"{name}.py", f'"""A part."""\n\nNAME = "{name}"\n')
    imports = "".join(f"import {name}\n" for name in names)
    _write(folder / "main.py", f'{imports}print("ready")\n')
    rules = [_rule("python_library", name, [f"{name}.py"], []) for name in names]
    rules.append(_rule("python_binary", "main", ["main.py"], names))
    return _workspace(folder, rules)


def tree(
    folder: Path, *, packages: int, modules: int, module_size: int, data: int, data_size: int
) -> Path:
    """Many modules in many Python packages, and large data files.

    `//:one` has them all in one layer below its own, `//:parts` in up to 20. Both print how long
    the imports and the reading took, as `probe` says.
    """
    random_ = random.Random(1)
    names = [f"package{number}" for number in range(packages)]
    for name in names:
        _write(folder / name / "__init__.py", "")
        for number in range(1, modules):
            _write(folder / name / f"module{number}.py", python_text(random_, module_size))
    for number in range(data):
        (folder / f"data{number}.bin").write_bytes(random_.randbytes(data_size))
    every = [f"{name}.module{number}" for name in names for number in range(1, modules)]
    for program in ("one", "parts"):
        _write(folder / f"{program}.py", _PROBE.format(modules=every, data=data))
    return _workspace(folder, _tree_rules(names, data))


def _tree_rules(names: list[str], data: int) -> list[str]:
    parts = [names[first::20] for first in range(20) if names[first::20]]
    files = [f"data{number}.bin" for number in range(data)]
    rules = [
        _library("all", names, files),
        _rule("python_binary", "one", ["one.py"], ["all"]),
        _rule(
            "python_binary",
            "parts",
            ["parts.py"],
            [f"some{number}" for number in range(len(parts))],
        ),
    ]
    for number, part in enumerate(parts):
        rules.append(_library(f"some{number}", part, files if number == 0 else []))
    return rules


# Each time in a child of its own: what the first one has imported, the second one has not.
_PROBE = """\
import importlib
import os
import sys
import time

MODULES = {modules!r}


def imported():
    begun = time.perf_counter()
    for name in MODULES:
        importlib.import_module(name)
    return time.perf_counter() - begun


def read():
    begun = time.perf_counter()
    for number in range({data}):
        with open(os.path.join(sys.path[0], f"data{{number}}.bin"), "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    return time.perf_counter() - begun


for work in (imported, imported, read, read):
    child = os.fork()
    if not child:
        print(work(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def python_text(random_: random.Random, size: int) -> str:
    """Text of about that size that compiles, and compresses, much as Python code does."""
    lines: list[str] = ['"""Generated for the bench."""\n']
    length = 0
    while length < size:
        a, b, c, d, e, f, g, h = random_.sample(_WORDS, k=8)
        text = " ".join(random_.choices(_WORDS, k=60))
        lines.append(
            f'\n\ndef {a}({b}, {c}=None):\n    """{text}."""\n'
            f'    {d} = {{"{e}": {b}, "{f}": {len(lines)}}}\n'
            f'    if {c} is None:\n        return {d}.get("{g}")\n    return [{d}, "{h}"]\n'
        )
        length += len(lines[-1])
    return "".join(lines)


def interpreter(root: Path, program: str) -> str:
    """The Python that a built program starts, for its peers to start the same one."""
    found = _INTERPRETER.search((root / program).read_text())
    if found is None:
        raise RuntimeError(f"no interpreter in {root / program}")
    return found[1]


def settled(folder: Path) -> Path:
    """Wait until the files are old enough for lamina to trust their times, as users' files are."""
    time.sleep(0.1)
    return folder


def _workspace(folder: Path, rules: list[str]) -> Path:
    _write(folder / "lamina.toml", '[workspace]\nname = "bench"\n')
    _write(folder / "BUILD", "\n".join(rules))
    return settled(folder)


def _library(name: str, packages: list[str], data: list[str]) -> str:
    sources = "glob([" + ", ".join(f'"{package}/*.py"' for package in packages) + "])"
    resources = ", ".join(f'"{file}"' for file in data)
    return (
        f'python_library(\n    name = "{name}",\n    srcs = {sources},\n'
        f"    resources = [{resources}],\n)\n"
    )


def _rule(kind: str, name: str, sources: list[str], deps: list[str]) -> str:
    srcs = ", ".join(f'"{source}"' for source in sources)
    labels = ", ".join(f'":{dep}"' for dep in deps)
    return f'{kind}(\n    name = "{name}",\n    srcs = [{srcs}],\n    deps = [{labels}],\n)\n'


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
