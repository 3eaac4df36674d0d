"""Wheels, unpacked as an installer would.

https://packaging.python.org/specifications/binary-distribution-format
"""

from __future__ import annotations

import re

from lamina.build.analysis import Context, RuleFault, SourceFile
from lamina.core.action import Artifact, Literal

FOLDER = "site-packages"

# Unpacks a wheel into a folder and compiles it. What belongs elsewhere in an installation (headers,
# scripts, documents) is left out, all but pure and platform-dependent modules.
_UNPACK = b"""\
import os, py_compile, sys, zipfile

wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
        parts = entry.filename.split("/")
        if parts[0].endswith(".data"):
            if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
                continue
            parts = parts[2:]
        if entry.is_dir() or parts[-1] == "RECORD":
            continue
        if not all(parts) or any(part in (".", "..") for part in parts):
            sys.exit("the wheel has a file that leads out of it: " + entry.filename)
        path = os.path.join(target, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(archive.read(entry))
        if entry.external_attr >> 16 & 0o111:
            os.chmod(path, 0o755)
        if path.endswith(".py"):
            try:
                shown = "/".join(parts)
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                py_compile.compile(path, dfile=shown, doraise=True, invalidation_mode=mode)
            except py_compile.PyCompileError:
                pass  # wheels hold files for other versions of Python, which are never imported
"""
_SCRIPT = ".lamina-unpack.py"
_TAGS = re.compile(r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl$")


def unpacked(ctx: Context, source: SourceFile) -> dict[str, Artifact]:
    """The own files of a wheel: a folder, as it lies in the package root."""
    _check(ctx, source)
    python = ctx.toolchains.python
    name = source.full.rpartition("/")[2]
    action = ctx.action(
        "WheelUnpack",
        [python.command, "-I", "-S", _SCRIPT, name, f"out/{FOLDER}"],
        {name: source.artifact, _SCRIPT: Literal(_UNPACK)},
        [FOLDER],
        toolchain=python.identity,
        subject=name,
        mounts=python.mounts,
    )
    return {FOLDER: action.output(FOLDER)}


def _check(ctx: Context, source: SourceFile) -> None:
    """Raises RuleFault for a wheel that is for another version of Python."""
    tags = _TAGS.search(source.full)
    if tags is None:
        raise RuleFault(
            f"`{source.path}` is not named as wheels are",
            hint="`name-version-python-abi-platform.whl`",
            mention=source.label,
        )
    version = ctx.toolchains.python.version
    here = f"cp{version.replace('.', '')}"
    wanted = tags["python"].split(".")
    general = {"py3", "py2.py3", f"py{version.replace('.', '')}", here}
    if not (general.intersection(wanted) or "abi3" in tags["abi"].split(".")):
        raise RuleFault(
            f"`{source.path}` is for {', '.join(wanted)}, and Python is {version}",
            hint="`interpreter` in `[python]` of `lamina.toml` names the interpreter",
            mention=source.label,
        )
