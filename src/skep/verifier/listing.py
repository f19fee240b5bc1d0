"""How the log writes the steps of a program: ``(07) r2 += -4``, ``(85) call bpf_loop#181``."""

from skep.isa.insn import Insn
from skep.isa.kernel_text import format_kernel
from skep.uapi.helpers import by_id
from skep.verifier.program import Step


def _helper_name(helper: int) -> str | None:
    row = by_id(helper)
    return row.name if row is not None else None


def step_text(step: Step) -> str:
    """One instruction in the log's notation, with its opcode."""
    return format_kernel(step.insn, Insn(0, imm=step.high), helper_name=_helper_name)
