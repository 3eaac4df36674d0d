"""Making one layer: by lamina's action, by mksquashfs alone, and as a tar as Docker does."""

from __future__ import annotations

import random
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path

from bench import workspaces
from bench.lamina import Lamina
from bench.measure import SIZE, Case, Figures, Table, measure
from bench.scale import Scale
from lamina.build.engine import Engine
from lamina.build.sources import Sources
from lamina.cli.console import Console, Silence
from lamina.core.tree import File, Node
from lamina.linux.versions import ToolVersions
from lamina.packaging import layerforms, layers
from lamina.packaging.layerforms import DEFAULT, LayerForm
from lamina.store.local import LocalStore

MADE = "making it"
_ALONE = "mksquashfs, the same options"
_TAR = "tar | gzip"
_SAME = "-comp zstd -Xcompression-level 3 -b 131072 -all-root -no-xattrs -no-exports"
_PROGRAMS = {
    _ALONE: f"mksquashfs . $out -noappend -quiet -no-progress {_SAME} >&2",
    "mksquashfs, its own defaults": "mksquashfs . $out -noappend -quiet -no-progress >&2",
    _TAR: "tar -cf - . | gzip > $out",
    "tar | gzip, hashed before and after": (
        "tar -cf - . | tee >(sha256sum > $out.1) | gzip | tee $out | sha256sum > $out.2"
    ),
    "tar | zstd -3": "tar -cf - . | zstd -3 -q > $out",
}


def suite(lamina: Lamina, folder: Path, scale: Scale) -> list[Table]:
    """Own files of several kinds."""
    tables: list[Table] = []
    for name, fill in _kinds(scale).items():
        files = folder / name.replace(" ", "-")
        files.mkdir()
        fill(files)
        cases = [*_by_lamina(lamina, files), *_by_programs(files, folder / "layer")]
        tables += measure(f"layer of {name}", cases, scale.layer_rounds, peers=(_ALONE, _TAR))
        shutil.rmtree(files)
    return tables


def _kinds(scale: Scale) -> dict[str, Callable[[Path], None]]:
    large = scale.own_size
    size = f"{large >> 20} MiB" if large >> 20 else f"{large} B"
    return {
        "one small file": partial(_text, number=1, size=1_000),
        f"{scale.own_files} files": partial(_text, number=scale.own_files, size=5_000),
        f"{size} of Python": partial(_text, number=100, size=large // 100),
        f"{size} incompressible": partial(_noise, number=5, size=large // 5),
    }


def _text(folder: Path, *, number: int, size: int) -> None:
    random_ = random.Random(2)
    for index in range(number):
        (folder / f"module{index}.py").write_text(workspaces.python_text(random_, size))


def _noise(folder: Path, *, number: int, size: int) -> None:
    random_ = random.Random(3)
    for index in range(number):
        (folder / f"data{index}.bin").write_bytes(random_.randbytes(size))


def _by_lamina(lamina: Lamina, files: Path) -> list[Case]:
    """The action alone, and with the files taken into an empty store before."""
    numbers = count()

    def action_alone() -> Figures:
        store = LocalStore(lamina.store)
        try:
            tree = taken(files, store)
            return layer(lamina, store, tree, files, next(numbers))
        finally:
            store.close()

    def from_nothing() -> Figures:
        number = next(numbers)
        store = LocalStore(lamina.store.with_name(f"store-{number}"))
        try:
            begun = time.perf_counter()
            figures = layer(lamina, store, taken(files, store), files, number)
            return {**figures, MADE: time.perf_counter() - begun}
        finally:
            store.empty()
            store.close()

    return [
        Case("lamina's action", action_alone),
        Case("lamina's action, files new to the store", from_nothing),
    ]


def taken(files: Path, store: LocalStore) -> dict[str, Node]:
    """The files of a folder as a tree, with their contents in the store."""
    found = sorted(path for path in files.rglob("*") if path.is_file())
    return {path.relative_to(files).as_posix(): File(store.add(path)) for path in found}


def layer(
    lamina: Lamina,
    store: LocalStore,
    tree: Mapping[str, Node],
    root: Path,
    number: int,
    form: LayerForm = DEFAULT,
) -> Figures:
    """Make a layer that no store knows: the number is part of the action's digest."""
    toolchain = layerforms.identity(form, ToolVersions(lamina.store / "tools.json"))
    sources = Sources(root, store, root.with_name("sources.json"))
    engine = Engine(root, store, sources, Console(Silence()), jobs=1)
    begun = time.perf_counter()
    action = layers.action(layers.OwnFiles("//:bench", dict(tree)), f"{toolchain} {number}", form)
    output = action.output(*action.outputs)
    image = engine.build([output])[output][""]
    seconds = time.perf_counter() - begun
    assert isinstance(image, File)
    store.path(image.digest).unlink()  # the next one is to be written again
    return {MADE: seconds, SIZE: image.digest.size}


def _by_programs(files: Path, out: Path) -> list[Case]:
    if shutil.which("zstd") is None:
        programs = {name: line for name, line in _PROGRAMS.items() if "zstd -3 -q" not in line}
    else:
        programs = _PROGRAMS
    return [Case(name, partial(_program, line, files, out)) for name, line in programs.items()]


def _program(line: str, files: Path, out: Path) -> Figures:
    out.unlink(missing_ok=True)
    script = f"set -o pipefail; out={shlex.quote(str(out))}; {line}"
    begun = time.perf_counter()
    subprocess.run(["bash", "-ec", script], cwd=files, stderr=subprocess.DEVNULL, check=True)
    return {MADE: time.perf_counter() - begun, SIZE: out.stat().st_size}
