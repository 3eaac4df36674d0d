"""Names of platforms, as markers."""

from __future__ import annotations

import pytest

from lamina.build.locking.platforms import marker
from lamina.core.errors import UserError


@pytest.mark.parametrize(
    ("platform", "system", "machine"),
    [
        ("linux", "linux", ""),
        ("linux_x86_64", "linux", "x86_64"),
        ("x86_64-manylinux_2_28", "linux", "x86_64"),
        ("manylinux2014_aarch64", "linux", "aarch64"),
        ("x86_64-unknown-linux-gnu", "linux", "x86_64"),
        ("aarch64-apple-darwin", "darwin", "arm64"),
        ("macos", "darwin", ""),
        ("win_amd64", "win32", "AMD64"),
        ("windows", "win32", ""),
        ("x86_64", "", "x86_64"),
    ],
)
def test_a_platform_is_a_system_and_a_machine(platform: str, system: str, machine: str) -> None:
    parts = [f"sys_platform == '{system}'"] if system else []
    parts += [f"platform_machine == '{machine}'"] if machine else []

    assert marker(platform) == " and ".join(parts)


def test_what_is_no_platform_is_told_of() -> None:
    with pytest.raises(UserError, match="no platform is called `amiga`"):
        marker("amiga")
