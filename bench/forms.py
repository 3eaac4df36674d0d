"""Compressions of layers by size, time to make and time to import; and the forms of a package."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from bench import imports, layers, workspaces
from bench.lamina import Lamina, environment
from bench.measure import SIZE, Case, Figures, Table, measure, ratio
from bench.scale import Scale
from lamina.core.errors import HostError
from lamina.linux import drivers
from lamina.linux.versions import ToolVersions
from lamina.packaging import layerforms
from lamina.packaging.forms import NAMES
from lamina.packaging.layerforms import EROFS, XAR, LayerForm
from lamina.store.local import LocalStore

_USUAL = "squashfs zstd"
_PLAIN = "plain folder"
_FORMS = {
    _USUAL: LayerForm(XAR),
    "EROFS lz4": LayerForm(EROFS, "lz4"),
    "squashfs zstd 1": LayerForm(XAR, "zstd", 1),
    "squashfs zstd 9": LayerForm(XAR, "zstd", 9),
    "squashfs zstd 15": LayerForm(XAR, "zstd", 15),
    "squashfs zstd, blocks of 64 KiB": LayerForm(XAR, "zstd", None, 65_536),
    "squashfs zstd, blocks of 1 MiB": LayerForm(XAR, "zstd", None, 1 << 20),
    "squashfs lz4": LayerForm(XAR, "lz4"),
    "squashfs lz4 9": LayerForm(XAR, "lz4", 9),
    "squashfs gzip": LayerForm(XAR, "gzip"),
    "squashfs xz": LayerForm(XAR, "xz"),
    "squashfs none": LayerForm(XAR, "none"),
    "EROFS lz4 9": LayerForm(EROFS, "lz4", 9),
    "EROFS none": LayerForm(EROFS, "none"),
    "EROFS zstd": LayerForm(EROFS, "zstd"),
    "EROFS gzip": LayerForm(EROFS, "gzip"),
    "EROFS xz": LayerForm(EROFS, "xz"),
}
_LAYERS = "layer by compression"
_IMPORTS = "imports by compression"
_HOT, _COLD = f"{_IMPORTS}, all in memory", f"{_IMPORTS}, cold"
_WRITTEN = "written"


def suite(lamina: Lamina, folder: Path, scale: Scale) -> list[Table]:
    """First what layers cost by their compression, then what it takes to write each form."""
    root = workspaces.tree(
        folder / "tree",
        packages=scale.packages,
        modules=scale.modules,
        module_size=scale.module_size,
        data=0,
        data_size=0,
    )
    tables = _making(lamina, root, scale)
    tables += _importing(lamina, root, scale)
    return tables + _writing(lamina, root, folder, scale)


def markdown(tables: Sequence[Table]) -> str:
    """What layers cost by their compression, in one table as in docs/packages.md."""
    by = {(table.title, table.figure): table for table in tables}
    there = [(column, by[column.place]) for column in _COLUMNS if column.place in by]
    names = dict.fromkeys(row.name for _, table in there for row in table.rows)
    lines = [["layer", *(column.head for column, _ in there)], ["---"] * (len(there) + 1)]
    lines += [[name, *(column.cell(table, name) for column, table in there)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table in the documentation, of one figure of a measured table."""

    head: str
    place: tuple[str, str]  # title and figure of what was measured
    written: Callable[[float], str]
    peer: str = ""  # the case that the others are divided by

    def cell(self, table: Table, name: str) -> str:
        """The median of a row, or its ratio to the peer's; `-` where it was not measured."""
        row, other = table.peer(name), table.peer(self.peer)
        if row is None or (self.peer and other is None):
            return "-"
        return self.written(ratio(row, other) if other else row.median)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"


def _kibibytes(count: float) -> str:
    return f"{count / 1024:,.0f}"


_COLUMNS = (
    _Column("size, KiB", (_LAYERS, SIZE), _kibibytes),
    _Column("of squashfs zstd", (_LAYERS, SIZE), "{:.2f}".format, _USUAL),
    _Column("made in, ms", (_LAYERS, layers.MADE), _milliseconds),
    _Column("first import, ms", (_HOT, imports.FIRST), _milliseconds),
    _Column("of a plain folder", (_HOT, imports.FIRST), "{:.2f}".format, _PLAIN),
    _Column("cold, ms", (_COLD, imports.FIRST), _milliseconds),
    _Column("of a plain folder", (_COLD, imports.FIRST), "{:.2f}".format, _PLAIN),
)


def _forms(lamina: Lamina, scale: Scale) -> list[tuple[str, LayerForm]]:
    """Those that this machine can make."""
    versions = ToolVersions(lamina.store / "tools.json")
    found: list[tuple[str, LayerForm]] = []
    for name, form in list(_FORMS.items())[: scale.compressions]:
        with suppress(HostError):  # older mkfs.erofs know lz4 alone
            layerforms.identity(form.settled(), versions)
            found.append((name, form))
    return found


def _making(lamina: Lamina, root: Path, scale: Scale) -> list[Table]:
    """The layer of all modules with their compiled code, made anew each time."""
    lamina("build", "--quiet", "//:one", cwd=root)
    files = root / "lamina-out" / "one.root"
    numbers = count()

    def once(form: LayerForm) -> Figures:
        store = LocalStore(lamina.store)
        try:
            tree = layers.taken(files, store)
            return layers.layer(lamina, store, tree, files, next(numbers), form.settled())
        finally:
            store.close()

    cases = [Case(name, partial(once, form)) for name, form in _forms(lamina, scale)]
    return measure(_LAYERS, cases, scale.layer_rounds, peers=(_USUAL,))


def _importing(lamina: Lamina, root: Path, scale: Scale) -> list[Table]:
    """The same modules out of the layer, in memory and cold."""
    plain = [str(root / "lamina-out" / "one.root" / "one")]
    cases = [Case(_PLAIN, partial(imports.probe, plain, root, environment()))]
    for name, form in _forms(lamina, scale):
        argv = _execution(lamina, root, form)
        around = {**lamina.environment, "LAMINA_UNPACK": "never"}
        cases.append(Case(name, partial(imports.probe, argv, root, around)))
    peers = (_PLAIN, _USUAL)
    tables = measure(_HOT, cases, scale.import_rounds, peers=peers)
    if scale.cold and imports.drop_caches():
        cold = [Case(case.name, partial(imports.cold, case.once)) for case in cases]
        tables += measure(_COLD, cold, scale.import_rounds, peers=peers)
    return [table for table in tables if "import" in table.figure]


def _execution(lamina: Lamina, root: Path, form: LayerForm) -> list[str]:
    """The command that runs a package with layers of a form."""
    settings = root / "lamina.toml"
    text = settings.read_text()
    settings.write_text(f'{text}\n[layers]\nformat = "{form.kind}"\n')
    workspaces.settled(root)
    try:
        made = json.loads(lamina("package", "--json", *_words(form), "//:one", cwd=root))
    finally:
        settings.write_text(text)
    driver = drivers.KERNEL if os.geteuid() == 0 else drivers.FUSE
    return [*lamina.command, "exec", "--driver", driver, f"one@{made['digest']}"]


def _words(form: LayerForm) -> Sequence[str]:
    words = [f"--compression={form.compression}"] if form.compression else []
    words += [f"--level={form.level}"] if form.level else []
    return words + ([f"--block-size={form.block_size}"] if form.block_size else [])


def _writing(lamina: Lamina, root: Path, folder: Path, scale: Scale) -> list[Table]:
    """Each form of a package whose layers are there, under a version that is new each time."""
    numbers, out = count(), folder / "out"

    def once(form: str, before: Callable[[], None]) -> Figures:
        before()
        words = ("--format", form, "-o", str(out), "--version", f"v{next(numbers)}", "--quiet")
        begun = time.perf_counter()
        lamina("package", "//:one", *words, cwd=root)
        seconds = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        shutil.rmtree(out)
        return {_WRITTEN: seconds, SIZE: size}

    def forget_images() -> None:
        shutil.rmtree(lamina.store / "images", ignore_errors=True)

    cases = [Case(form, partial(once, form, _nothing)) for form in NAMES]
    cases.append(Case("oci, no layer known", partial(once, "oci", forget_images)))
    return measure("forms", cases, scale.layer_rounds, peers=("tar.gz",))


def _nothing() -> None:
    return
