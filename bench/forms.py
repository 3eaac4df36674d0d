"""Compressions of layers by size, time to make and time to import; and the forms of a package."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from bench import imports, layers, workspaces
from bench.lamina import Lamina, environment
from bench.measure import SIZE, Case, Figures, Table, measure
from bench.scale import Scale
from lamina.linux import drivers
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
}
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


def _forms(scale: Scale) -> list[tuple[str, LayerForm]]:
    return list(_FORMS.items())[: scale.compressions]


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

    cases = [Case(name, partial(once, form)) for name, form in _forms(scale)]
    return measure("layer by compression", cases, scale.layer_rounds, peers=(_USUAL,))


def _importing(lamina: Lamina, root: Path, scale: Scale) -> list[Table]:
    """The same modules out of the layer, in memory and cold."""
    plain = [str(root / "lamina-out" / "one.root" / "one")]
    cases = [Case(_PLAIN, partial(imports.probe, plain, root, environment()))]
    for name, form in _forms(scale):
        argv = _execution(lamina, root, form)
        cases.append(Case(name, partial(imports.probe, argv, root, lamina.environment)))
    title = "imports by compression"
    peers = (_PLAIN, _USUAL)
    tables = measure(f"{title}, all in memory", cases, scale.import_rounds, peers=peers)
    if scale.cold and imports.drop_caches():
        cold = [Case(case.name, partial(imports.cold, case.once)) for case in cases]
        tables += measure(f"{title}, cold", cold, scale.import_rounds, peers=peers)
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
