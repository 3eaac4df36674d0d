"""The actions that make the files of a distribution: fetch, build, unpack."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from lamina.build import builtins
from lamina.build.analysis import Context
from lamina.build.providers import Analysed
from lamina.core.action import Artifact, Literal
from lamina.core.errors import HostError, UserError
from lamina.core.tree import under
from lamina.formats import launcher
from lamina.store.download import Wanted

_BESIDE = Path(__file__).parent
_TOOLS = ".lamina-tools"  # where, in an action, scripts and their library lie


def fetched(ctx: Context, url: str, digest: str) -> Artifact:
    """The archive at an address; `digest` is a sha256, with `/` and its size where known."""
    sha256, _, size = digest.partition("/")
    wanted = Wanted((url,), sha256, int(size) if size else None)
    name = url.partition("#")[0].partition("?")[0].rpartition("/")[2]
    return builtins.download(str(ctx.label), wanted, name).output(name)


def unpacked(
    ctx: Context,
    wheel: tuple[str, Artifact],
    sha256: str,
    exclude: Iterable[str] = (),
    subject: str = "",
) -> dict[str, Artifact]:
    """The own files of a wheel, by its name and itself: a folder, which is the package root."""
    python = ctx.toolchains.python
    root = ctx.in_package(ctx.label.name)
    name, artifact = wheel
    action = ctx.action(
        "WheelUnpack",
        [
            python.command, "-I", "-S", "-c", _start("unpack_wheel"),
            name, sha256, f"out/{root}", f"{_TOOLS}/launcher", *exclude,
        ],
        {
            name: artifact,
            f"{_TOOLS}/launcher": Literal(launcher.installed_script(python.path, python.version)),
            f"{_TOOLS}/unpack_wheel.py": _script("unpack_wheel"),
            **_installer(),
        },
        [root],
        toolchain=python.identity,
        subject=subject or name,
        mounts=python.mounts,
    )  # fmt: skip
    return {".": action.output(root)}


def built(
    ctx: Context, sdist: tuple[str, Artifact], sha256: str, tools: Iterable[Analysed]
) -> tuple[str, Artifact]:
    """A folder with the wheel that is built of an sdist, by its name and itself."""
    python = ctx.toolchains.python
    name, artifact = sdist
    inputs = {name: artifact, f"{_TOOLS}/build_sdist.py": _script("build_sdist")}
    roots = []
    for number, tool in enumerate(tools):
        root = f"{_TOOLS}/{number}"
        found = {under(root, path): file for path, file in tool.own.items()}
        inputs |= found
        roots += [root] if found else []
    compiler, mounts = _compiler(ctx)
    action = ctx.action(
        "SdistBuild",
        [python.command, "-I", "-S", "-c", _start("build_sdist"), name, sha256, "out/dist", *roots],
        inputs,
        ["dist"],
        toolchain=f"{python.identity}{compiler}",
        subject=name.rpartition("/")[2],
        mounts=(*python.mounts, *mounts),
    )
    return "dist", action.output("dist")


def _compiler(ctx: Context) -> tuple[str, tuple[str, ...]]:
    """The compilers, which the sandbox shows to whoever looks for them; most sdists do not."""
    try:
        cxx = ctx.toolchains.cxx
    except (HostError, UserError):
        return "", ()
    return f"; {cxx.identity}", cxx.mounts


def _start(script: str) -> str:
    """The program that runs a script with its library in reach."""
    return (
        f"import sys; sys.path.insert(0, {_TOOLS!r}); import {script}; {script}.main(*sys.argv[1:])"
    )


@cache
def _script(name: str) -> Literal:
    return Literal((_BESIDE / f"{name}.py").read_bytes())


@cache
def _installer() -> Mapping[str, Artifact]:
    """The modules of the library `installer`."""
    spec = importlib.util.find_spec("installer")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    return {
        f"{_TOOLS}/installer/{path.relative_to(folder).as_posix()}": Literal(path.read_bytes())
        for path in sorted(folder.rglob("*.py"))
    }
