"""How the log writes the steps of a program: ``(07) r2 += -4``, ``(85) call bpf_loop#181``."""

from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.isa.insn import Insn
from skep.isa.kernel_text import format_kernel
from skep.isa.table import PSEUDO_KFUNC_CALL, Kind, Sem
from skep.uapi.helpers import by_id
from skep.verifier.program import Step


def _helper_name(helper: int) -> str | None:
    row = by_id(helper)
    return row.name if row is not None else None


def step_text(step: Step) -> str:
    """One instruction in the log's notation, with its opcode."""
    return format_kernel(step.insn, Insn(0, imm=step.high), helper_name=_helper_name)


def named_text(step: Step, kernel: Btf | None) -> str:
    """One instruction in the log's notation, kernel functions by name."""
    if step.kind is Kind.CALL and step.src == PSEUDO_KFUNC_CALL and kernel is not None:
        return f"({step.insn.code:02x}) call {_function_name(kernel, step.imm)}#{step.imm}"
    return step_text(step)


def logged_text(step: Step, kernel: Btf | None, *, addresses: bool) -> str:
    """One instruction as the log has it: kernel functions by name, maps by address.

    Without *addresses*, which the caller may not see, they are 0.
    """
    if step.kind is Kind.WIDE and step.map is not None:
        address = _address(step) if addresses else 0
        return f"({step.insn.code:02x}) r{step.dst} = {address:#x}"
    return named_text(step, kernel)


def _address(step: Step) -> int:
    shape = step.map
    if shape is None:
        return 0
    if step.sem is Sem.MAP_VALUE or step.sem is Sem.MAP_IDX_VALUE:
        return shape.value_address(step.high & 0xFFFF_FFFF) or 0
    return shape.address


def _function_name(kernel: Btf, type_id: int) -> str:
    try:
        return kernel.type(type_id).name if type_id else ""
    except BtfError:
        return ""
