"""Platforms as users of pip and uv name them, as markers."""

from __future__ import annotations

import re

from lamina.core.errors import UserError

_SYSTEMS = {
    "linux": r"linux|manylinux|musllinux",
    "darwin": r"macos|darwin|apple",
    "win32": r"win",
}
_MACHINES = {
    "x86_64": r"x86_64|x86-64|amd64",
    "aarch64": r"aarch64",
    "arm64": r"arm64",
    "i686": r"i686|i386|x86$",
    "armv7l": r"armv7",
    "ppc64le": r"ppc64le|powerpc64le",
    "s390x": r"s390x",
    "riscv64": r"riscv64",
}


def marker(platform: str) -> str:
    """What holds on a platform such as `linux`, `x86_64-manylinux_2_28` or `linux_aarch64`.

    Raises UserError for one that says neither system nor machine.
    """
    system = _first(platform, _SYSTEMS)
    machine = _first(platform, _MACHINES)
    if not (system or machine):
        raise UserError(
            f"no platform is called `{platform}`",
            hint="say the system, the machine or both: `linux`, `linux_x86_64`, `macos_arm64`",
        )
    parts = [f"sys_platform == '{system}'"] if system else []
    return " and ".join([*parts, *([_machine(system, machine)] if machine else [])])


def _first(platform: str, known: dict[str, str]) -> str:
    return next((name for name, words in known.items() if re.search(words, platform)), "")


def _machine(system: str, machine: str) -> str:
    """The machine as that system calls it."""
    names = {"darwin": {"aarch64": "arm64"}, "linux": {"arm64": "aarch64"}}
    if system == "win32":
        machine = {"x86_64": "AMD64", "aarch64": "ARM64", "arm64": "ARM64"}.get(machine, machine)
    return f"platform_machine == '{names.get(system, {}).get(machine, machine)}'"
