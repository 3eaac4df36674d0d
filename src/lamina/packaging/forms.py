"""The forms in which a package leaves the machine, and what the options of each may be."""

from __future__ import annotations

from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.packaging import layerforms
from lamina.packaging.archives import Compression
from lamina.packaging.layerforms import LayerForm

LAYERS, FOLDER, XAR, IMAGE = "layers", "dir", "xar", "oci"


@dataclass(frozen=True, slots=True)
class Form:
    """One form: what it is called, and how it may be compressed."""

    name: str
    suffix: str  # after `A-<version>`
    compressions: tuple[str, ...]  # the usual one first; empty where nothing is compressed
    blocks: bool = False  # whether these are images of file systems, with a block size
    image: bool = False  # whether it is an image for containers


_SQUASHFS = ("", *layerforms.COMPRESSIONS)  # what is usual is for `LayerForm` to say
_DEFLATE = ("gzip", "none")
FORMS = {
    form.name: form
    for form in (
        Form(LAYERS, ".layers", _SQUASHFS, blocks=True),
        Form("tar.gz", ".tar.gz", ("gzip",)),
        Form("tar.zst", ".tar.zst", ("zstd",)),
        Form("zip", ".zip", _DEFLATE),
        Form(XAR, ".xar", _SQUASHFS, blocks=True),
        Form(IMAGE, ".oci", ("gzip", "zstd", "none"), image=True),
        Form("oci-archive", ".oci.tar", ("gzip", "zstd", "none"), image=True),
        Form("docker", ".docker.tar", ("gzip", "none"), image=True),
        Form(FOLDER, "", ()),
    )
}
NAMES = tuple(FORMS)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says of a form and its compression."""

    form: Form
    compression: str = ""
    level: int | None = None
    block_size: int = 0

    def __post_init__(self) -> None:
        """Raises UserError for options that the form does not have."""
        name, known = self.form.name, self.form.compressions
        if self.compression and self.compression not in known:
            usual = ", ".join(f"`{each}`" for each in known if each)
            hint = f"it takes {usual}" if usual else "leave `--compression` out"
            message = f"the form `{name}` has no compression `{self.compression}`"
            raise UserError(message, hint=hint)
        if self.block_size and not self.form.blocks:
            raise UserError(f"the form `{name}` has no block size", hint="leave `--block-size` out")
        if self.level is not None and not known:
            raise UserError(f"the form `{name}` has no level", hint="leave `--level` out")
        if not self.form.blocks and known:
            self.archive()

    @property
    def layers(self) -> LayerForm | None:
        """How the layers are to be made, where the wish is about them."""
        if self.form.name != LAYERS or not (self.compression or self.level or self.block_size):
            return None
        return LayerForm("", self.compression, self.level, self.block_size)

    @property
    def whole(self) -> LayerForm:
        """How the one image of a XAR is to be made."""
        return LayerForm(layerforms.XAR, self.compression, self.level, self.block_size)

    def archive(self) -> Compression:
        """How an archive, or each layer of an image, is compressed."""
        return Compression(self.compression or self.form.compressions[0], self.level)


def wish(name: str, compression: str = "", level: int | None = None, block_size: int = 0) -> Wish:
    """A wish as typed; raises UserError for a form that there is not."""
    if name not in FORMS:
        known = ", ".join(f"`{each}`" for each in NAMES)
        raise UserError(f"packages have no form `{name}`", hint=f"one of: {known}")
    return Wish(FORMS[name], compression, level, block_size)
