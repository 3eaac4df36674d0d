"""The form of layers: which file system, and how it is compressed."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, UserError
from lamina.core.manifest import LAYER_EROFS, LAYER_XAR
from lamina.formats import erofs, squashfs
from lamina.linux import process
from lamina.linux.versions import ToolVersions

XAR = "xar"
EROFS = "erofs"
KINDS = {XAR: LAYER_XAR, EROFS: LAYER_EROFS}
COMPRESSIONS = ("zstd", "lz4", "gzip", "xz", "none")

_USUAL = {XAR: ("zstd", squashfs.BLOCK_SIZE), EROFS: ("lz4", erofs.BLOCK_SIZE)}
_LEVELS = {XAR: squashfs.LEVELS, EROFS: erofs.LEVELS}
_SMALLEST, _LARGEST = 4096, 1 << 20  # bytes of a block


@dataclass(frozen=True, slots=True)
class LayerForm:
    """How layers are written; what is not said is what `settled` makes of it."""

    kind: str = ""
    compression: str = ""
    level: int | None = None
    block_size: int = 0  # bytes that are compressed at once

    @property
    def media_type(self) -> str:
        return KINDS[self.kind]

    @property
    def words(self) -> tuple[str, ...]:
        """What tells it from other forms, for the key of a record."""
        return (self.kind, self.compression, str(self.level), str(self.block_size))

    def over(self, other: LayerForm) -> LayerForm:
        """This form, with another's choices where it has none.

        A level goes with its compression, and all choices with their kind.
        """
        if self.kind and self.kind != other.kind:
            return self
        return LayerForm(
            other.kind,
            self.compression or other.compression,
            other.level if self.level is None and not self.compression else self.level,
            self.block_size or other.block_size,
        )

    def settled(self) -> LayerForm:
        """The form with nothing left open; raises UserError for what does not go together."""
        kind = self.kind or XAR
        if kind not in KINDS:
            raise UserError(f"layers have no format `{kind}`", hint=_either(KINDS))
        compression, block_size = _USUAL[kind]
        form = LayerForm(
            kind, self.compression or compression, self.level, self.block_size or block_size
        )
        _check(form)
        return form


def _check(form: LayerForm) -> None:
    if form.compression not in COMPRESSIONS:
        message = f"layers have no compression `{form.compression}`"
        raise UserError(message, hint=_either(COMPRESSIONS))
    size = form.block_size
    if not _SMALLEST <= size <= _LARGEST or size & (size - 1):
        hint = f"powers of two from {_SMALLEST} to {_LARGEST} can"
        raise UserError(f"a block of a layer can not have {size} bytes", hint=hint)
    known = _LEVELS[form.kind].get(form.compression, range(0))
    if form.level is not None and form.level not in known:
        hint = f"from {known[0]} to {known[-1]}" if known else "leave `level` out"
        message = f"compression `{form.compression}` has no level {form.level} in {form.kind}"
        raise UserError(message, hint=hint)


def _either(words: Iterable[str]) -> str:
    return "one of: " + ", ".join(f"`{word}`" for word in words)


def tool(form: LayerForm) -> str:
    """The program that makes layers of this form."""
    return "mkfs.erofs" if form.kind == EROFS else "mksquashfs"


def identity(form: LayerForm, versions: ToolVersions) -> str:
    """What makes such a program the same as another: it is part of a layer action's digest.

    Raises HostError where it is not on this machine, or does not know the compression.
    """
    program = process.require(tool(form))
    if form.kind != EROFS:
        return versions.first_line(program, "-version", ok=(0, 1))
    identity = versions.first_line(program, "-V", ok=(0, 1))
    if form.compression != "none":
        known = erofs.compressors(versions.complaint(program, "--help"))
        name = erofs.NAMES[form.compression]
        if name not in known:
            usual = [word for word, own in erofs.NAMES.items() if own in known]
            raise HostError(
                f"this machine's mkfs.erofs ({identity}) can not compress by {form.compression}",
                hint=_either([*usual, "none"]),
            )
    return identity


DEFAULT = LayerForm().settled()
