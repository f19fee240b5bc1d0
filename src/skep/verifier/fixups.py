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
from skep.isa.table import BY_NAME, Sem
from skep.verifier.check import Check
from skep.verifier.rules.calls import KFUNC_KNOWN

_LOAD: Final = BY_NAME["ldx_u64"]


def rewrite(check: Check) -> tuple[Insn, ...]:
    """The program's instructions as they are to run.

    Raises:
        Rejected: a missing kernel function can be reached.
    """
    for step in check.program.steps:
        if step is not None and step.sem is Sem.KFUNC and step.imm == 0 and check.seen[step.pc]:
            check.pc = step.pc
            check.refuse(
                KFUNC_KNOWN, "invalid kernel function call not eliminated in verifier pass"
            )
    insns = list(check.request.insns)
    for pc, offset in check.slots.items():
        insn = insns[pc]
        insns[pc] = Insn(_LOAD.code, insn.dst, insn.src, offset, 0)
    return tuple(insns)
