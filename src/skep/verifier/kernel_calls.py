"""Which kfunc calls have effects on the control flow, and how many registers they read.

Source: Linux 6.18 kernel/bpf/verifier.c (visit_insn, compute_insn_live_regs).
"""

from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.isa.table import Sem
from skep.uapi import kfuncs as table
from skep.verifier.cfg import KernelCalls
from skep.verifier.program import Program, Step
from skep.verifier.transfer.callbacks import TASK_WORK_FUNCTIONS

_KFUNC: Final = Sem.KFUNC


def find_kernel_calls(program: Program, kernel: Btf | None) -> KernelCalls:
    """Look at every call of a kernel function, reachable or not."""
    found = KernelCalls()
    for step in program.steps:
        if kernel is None or step is None or step.sem is not _KFUNC or step.imm == 0:
            continue
        if kernel.has(step.imm) and isinstance(kernel.type(step.imm), kinds.Func):
            step.arguments = len(kernel.func_proto(step.imm).params)
            _note(found, step, kernel.type(step.imm).name)
    return found


def _note(found: KernelCalls, step: Step, name: str) -> None:
    row = table.by_name(name)
    if row is None:
        return
    if row.flags & table.ITER_NEXT:
        found.iter_next.add(step.pc)
    if row.flags & table.SLEEPABLE:
        found.might_sleep.add(step.pc)
    if row.flags & table.CHANGES_PACKET:
        found.changes_packet.add(step.pc)
    if name == "bpf_rbtree_add_impl":
        found.sync_callback.add(step.pc)
    elif name == "bpf_wq_set_callback_impl" or name in TASK_WORK_FUNCTIONS:
        found.async_callback.add(step.pc)
    elif name == "bpf_throw":
        found.throws.add(step.pc)
