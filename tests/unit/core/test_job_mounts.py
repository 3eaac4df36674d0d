from __future__ import annotations

import pytest

from lamina.core.errors import UserError
from lamina.core.job import Mount, mount_of


def test_mounts_are_folders_or_claims() -> None:
    assert mount_of("/a:/b") == Mount("/a", "/b")
    assert mount_of("/a:/b:ro") == Mount("/a", "/b", read_only=True)
    assert mount_of("pvc:data-1:/b:rw") == Mount("data-1", "/b", is_claim=True)


@pytest.mark.parametrize("text", ["", "/a", "a:/b", "/a:b", "/a:/b:x", "pvc:/b", "pvc:A b:/c"])
def test_what_is_no_mount_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no mount"):
        mount_of(text)
