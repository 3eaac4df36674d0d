"""Forms of layers: what goes together, what is usual, what stands where nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.core.errors import HostError, UserError
from lamina.linux.versions import ToolVersions
from lamina.packaging import layerforms
from lamina.packaging.layerforms import DEFAULT, EROFS, XAR, LayerForm


def test_the_usual_is_zstd_in_a_xar_and_lz4_in_erofs() -> None:
    assert LayerForm(XAR, "zstd", None, 131072) == DEFAULT
    assert LayerForm(EROFS).settled() == LayerForm(EROFS, "lz4", None, 65536)


def test_what_is_asked_for_goes_before_what_is_kept() -> None:
    kept = LayerForm(EROFS, "lz4", 9, 4096)

    assert LayerForm("", "none").over(kept) == LayerForm(EROFS, "none", None, 4096)
    assert LayerForm("", "", 12).over(kept) == LayerForm(EROFS, "lz4", 12, 4096)
    assert LayerForm().over(kept) == kept


def test_nothing_that_is_kept_for_another_kind_counts() -> None:
    assert LayerForm(XAR).over(LayerForm(EROFS, "lz4", 9, 4096)).settled() == DEFAULT


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        (LayerForm("tar"), "layers have no format `tar`"),
        (LayerForm(XAR, "brotli"), "layers have no compression `brotli`"),
        (LayerForm(XAR, "zstd", 23), "compression `zstd` has no level 23 in xar"),
        (LayerForm(XAR, "none", 1), "compression `none` has no level 1 in xar"),
        (LayerForm(XAR, "xz", 1), "compression `xz` has no level 1 in xar"),
        (LayerForm(XAR, "", None, 5000), "a block of a layer can not have 5000 bytes"),
        (LayerForm(XAR, "", None, 1 << 21), "a block of a layer can not have 2097152 bytes"),
    ],
)
def test_what_does_not_go_together_is_told(form: LayerForm, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        form.settled()

    assert caught.value.message == complaint
    assert caught.value.hint


def test_the_identity_of_mkfs_erofs_is_its_version(tmp_path: Path) -> None:
    versions = ToolVersions(tmp_path / "cache")

    found = layerforms.identity(LayerForm(EROFS).settled(), versions)

    assert found.startswith("mkfs.erofs 1.")


def test_a_compression_that_mkfs_erofs_was_built_without_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "mkfs.erofs"
    tool.write_text(
        "#!/bin/sh\n[ $1 = -V ] && echo mkfs.erofs 1.5 || echo 'Available compressors are: lz4' >&2"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    versions = ToolVersions(tmp_path / "cache")

    with pytest.raises(HostError, match=r"\(mkfs.erofs 1.5\) can not compress by zstd"):
        layerforms.identity(LayerForm(EROFS, "zstd").settled(), versions)
    assert layerforms.identity(LayerForm(EROFS, "lz4").settled(), versions) == "mkfs.erofs 1.5"
