"""The smallest programs for Linux: each ends at once, with 0, and needs no file beside it.

ELF: the System V ABI, chapters 4 and 5, https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html;
machines and how each calls the kernel: its psABI, and syscall(2).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

# e_ident, e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize,
# e_phnum, e_shentsize, e_shnum, e_shstrndx
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
# p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
_SEGMENT = struct.Struct("<IIQQQQQQ")
_IDENT = b"\x7fELF" + bytes((2, 1, 1))  # 64 bits, little-endian, version 1
_EXECUTABLE, _LOAD, _READ_EXECUTE = 2, 1, 5
_ADDRESS = 0x400000
_PAGE = 0x10000  # the largest that a machine of these has

# exit(0), by the names that Go and OCI give to architectures: e_machine, and the code.
_EXIT: Mapping[str, tuple[int, bytes]] = {
    # xor %edi,%edi; mov $60,%eax; syscall
    "amd64": (62, bytes.fromhex("31ff b83c000000 0f05")),
    # mov x0,#0; mov x8,#93; svc #0
    "arm64": (183, struct.pack("<3I", 0xD2800000, 0xD2800BA8, 0xD4000001)),
}
ARCHITECTURES = tuple(_EXIT)


def ending(architecture: str) -> bytes:
    """A program for one of `ARCHITECTURES` that ends with 0."""
    machine, code = _EXIT[architecture]
    begin = _HEADER.size + _SEGMENT.size
    size = begin + len(code)
    header = _HEADER.pack(
        _IDENT, _EXECUTABLE, machine, 1, _ADDRESS + begin, _HEADER.size, 0, 0,
        _HEADER.size, _SEGMENT.size, 1, 0, 0, 0,
    )  # fmt: skip
    segment = _SEGMENT.pack(_LOAD, _READ_EXECUTE, 0, _ADDRESS, _ADDRESS, size, size, _PAGE)
    return header + segment + code
