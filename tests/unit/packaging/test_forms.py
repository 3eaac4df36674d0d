"""What the options of a form may be."""

from __future__ import annotations

import pytest

from lamina.cli.commands.package import _FORMS
from lamina.core.errors import UserError
from lamina.packaging import forms
from lamina.packaging.archives import Compression
from lamina.packaging.layerforms import LayerForm


def test_the_help_lists_all_forms() -> None:
    assert _FORMS == forms.NAMES


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("rpm",), "packages have no form `rpm`"),
        (("tar.gz", "zstd"), "the form `tar.gz` has no compression `zstd`"),
        (("docker", "zstd"), "the form `docker` has no compression `zstd`"),
        (("dir", "gzip"), "the form `dir` has no compression `gzip`"),
        (("dir", "", 1), "the form `dir` has no level"),
        (("zip", "", None, 4096), "the form `zip` has no block size"),
        (("tar.gz", "", 10), "compression `gzip` has no level 10"),
        (("oci", "none", 1), "compression `none` has no level 1"),
    ],
)
def test_an_option_that_a_form_has_not_is_told(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        forms.wish(*words)  # type: ignore[arg-type]

    assert caught.value.message == complaint
    assert caught.value.hint


def test_without_options_layers_are_as_lamina_toml_has_them() -> None:
    assert forms.wish("layers").layers is None
    assert forms.wish("xar", "lz4").layers is None
    assert forms.wish("layers", "lz4", 9).layers == LayerForm("", "lz4", 9)


def test_each_archive_has_its_usual_compression() -> None:
    assert forms.wish("tar.zst", level=19).archive() == Compression("zstd", 19)
    assert forms.wish("docker").archive() == Compression("gzip")
    assert forms.wish("oci", "zstd").archive() == Compression("zstd")
