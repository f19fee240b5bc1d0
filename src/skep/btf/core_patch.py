"""Putting a relocated value into an instruction.

An instruction is plain numbers here, ``(code, dst, src, off, imm)`` a slot, so that ``btf`` need
not know ``isa``. What can hold a value: ALU with an immediate, loads and stores (the offset), and
the 64-bit immediate load.

Invariant: as many slots come out as went in.

Source: Linux tools/lib/bpf/relo_core.c; RFC 9669.
"""

from collections.abc import Sequence
from typing import Final

from skep.base.bits import U32, U64, signed
from skep.btf.core_spec import Spec
from skep.errors import RelocationError

Slot = tuple[int, int, int, int, int]  # code, dst, src, off (signed), imm (signed)

POISON_HELPER: Final = 0xBAD2310  # "bad relo": a helper that does not exist; as libbpf's
POISON: Final[Slot] = (0x85, 0, 0, 0, POISON_HELPER)

_CLASS: Final = 0x07
_LD, _LDX, _ST, _STX, _ALU, _ALU64 = 0, 1, 2, 3, 4, 7
_SOURCE_REGISTER: Final = 0x08
_SIZE: Final = 0x18
_LD_IMM64: Final = 0x18
_BYTES: Final = {0x18: 8, 0x00: 4, 0x08: 2, 0x10: 1}
_CODES: Final = {8: 0x18, 4: 0x00, 2: 0x08, 1: 0x10}
_MAX_OFF: Final = 0x7FFF


def patch(
    slots: Sequence[Slot],
    old: int | None,
    new: int | None,
    local: Spec,
    *,
    sizes: tuple[int, int] = (0, 0),
    resizable: bool = True,
) -> tuple[Slot, ...]:
    """Put *new* in place of *old*.

    Args:
        slots: the instruction.
        old: the value that must stand there, unsigned 64 bits; None if any may.
        new: the value to put there; None to poison the instruction.
        local: what the value is, for messages.
        sizes: of the access, as compiled and in the target, in bytes.
        resizable: whether the access may change from one size to the other; if not, it is poisoned.

    Raises:
        RelocationError: the instruction holds no value, or another one than *old*.
    """
    code = slots[0][0]
    kind = code & _CLASS
    if kind in {_ALU, _ALU64} and not code & _SOURCE_REGISTER:
        return _patch_alu(slots[0], old, new, local)
    if kind in {_LDX, _ST, _STX}:
        poisoned = new is None or (sizes[0] != sizes[1] and not resizable)
        return _patch_access(slots[0], old, new, local, sizes, poisoned=poisoned)
    if kind == _LD and _is_wide(slots):
        return _patch_wide(slots, old, new, local)
    raise RelocationError(f"instruction {slots[0]} can hold no relocated value", local=str(local))


def _expect(found: int, old: int | None, local: Spec) -> None:
    if old is not None and found & U64 != old:
        raise RelocationError(
            f"the instruction holds {found}, not {signed(old, 64)}", local=str(local)
        )


def _patch_alu(slot: Slot, old: int | None, new: int | None, local: Spec) -> tuple[Slot, ...]:
    if new is None:
        return (POISON,)
    _expect(slot[4], old, local)
    return ((slot[0], slot[1], slot[2], slot[3], signed(new, 32)),)


def _patch_access(
    slot: Slot,
    old: int | None,
    new: int | None,
    local: Spec,
    sizes: tuple[int, int],
    *,
    poisoned: bool,
) -> tuple[Slot, ...]:
    if new is None:
        return (POISON,)
    code, dst, src, off, imm = slot
    _expect(off, old, local)
    if new > _MAX_OFF:
        raise RelocationError(f"offset {new} does not fit an instruction", local=str(local))
    if poisoned:
        return (POISON,)
    if sizes[0] != sizes[1]:
        code = _resize(code, sizes, local)
    return ((code, dst, src, new, imm),)


def _resize(code: int, sizes: tuple[int, int], local: Spec) -> int:
    found = _BYTES[code & _SIZE]
    if found != sizes[0]:
        raise RelocationError(
            f"the instruction accesses {found} bytes, not {sizes[0]}", local=str(local)
        )
    if sizes[1] not in _CODES:
        raise RelocationError(f"no instruction accesses {sizes[1]} bytes", local=str(local))
    return code & ~_SIZE | _CODES[sizes[1]]


def _is_wide(slots: Sequence[Slot]) -> bool:
    return (
        len(slots) == 2
        and slots[0][0] == _LD_IMM64
        and slots[0][2:4] == (0, 0)
        and slots[1][:4] == (0, 0, 0, 0)
    )


def _patch_wide(
    slots: Sequence[Slot], old: int | None, new: int | None, local: Spec
) -> tuple[Slot, ...]:
    if new is None:
        return POISON, POISON
    low, high = slots
    _expect(low[4] & U32 | (high[4] & U32) << 32, old, local)
    return (
        (low[0], low[1], low[2], low[3], signed(new, 32)),
        (high[0], high[1], high[2], high[3], signed(new >> 32, 32)),
    )
