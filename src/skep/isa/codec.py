"""Bytes to instructions and back, little-endian; nothing is judged but the length.

Source: RFC 9669, section 3.
"""

import struct
from collections.abc import Iterable
from typing import Final

from skep.errors import DecodeError
from skep.isa.insn import Insn

SLOT_SIZE: Final = 8
_SLOT: Final = struct.Struct("<BBhi")


def decode(data: bytes, source: str = "instructions") -> list[Insn]:
    """Split *data* into slots; a wide instruction gives two.

    Raises:
        DecodeError: the length is no multiple of 8.
    """
    rest = len(data) % SLOT_SIZE
    if rest:
        raise DecodeError(
            source=source,
            where="slot",
            offset=len(data) - rest,
            found=f"{rest} bytes",
            expected=f"whole slots of {SLOT_SIZE} bytes",
        )
    return [
        Insn(code, registers & 0xF, registers >> 4, off, imm)
        for code, registers, off, imm in _SLOT.iter_unpack(data)
    ]


def encode(insns: Iterable[Insn]) -> bytes:
    """Join slots; fields must be in range (registers 0-15, *off* s16, *imm* s32)."""
    pack = _SLOT.pack
    return b"".join(pack(insn.code, insn.dst | insn.src << 4, insn.off, insn.imm) for insn in insns)
