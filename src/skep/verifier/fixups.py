"""Rewrites of proved instructions: context pointers are loaded from their native slots.

Before::

    r2 = *(u32 *)(r1 + 76)       # __sk_buff.data

After::

    r2 = *(u64 *)(r1 + 192)      # slot 0

Invariant: one instruction for one, so a pc means the same before and after.

Source: skep.uapi.contexts says what a native context is.
"""

from typing import Final

from skep.isa.insn import Insn
from skep.isa.table import BY_NAME
from skep.verifier.check import Check

_LOAD: Final = BY_NAME["ldx_u64"]


def rewrite(check: Check) -> tuple[Insn, ...]:
    """The program's instructions as they are to run."""
    if not check.slots:
        return tuple(check.request.insns)
    insns = list(check.request.insns)
    for pc, offset in check.slots.items():
        insn = insns[pc]
        insns[pc] = Insn(_LOAD.code, insn.dst, insn.src, offset, 0)
    return tuple(insns)
