"""Wide constants: numbers, maps, addresses in map values, kernel symbols, functions.

Source: Linux 6.18 kernel/bpf/verifier.c (check_ld_imm, check_pseudo_btf_id).
"""

import errno
from typing import Final

from skep.base.bits import U32
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.isa.table import Sem
from skep.verifier.check import Check
from skep.verifier.decode import MAP_TYPE_ARENA
from skep.verifier.program import Step
from skep.verifier.rules import flow
from skep.verifier.scalar import UNKNOWN, const
from skep.verifier.transfer.arithmetic import require_writable
from skep.verifier.values import (
    CONST_MAP_PTR,
    MAP_VALUE,
    PERCPU,
    RDONLY,
    Value,
    btf_pointer,
    function_pointer,
    map_pointer,
    memory_pointer,
)

PERCPU_SECTION: Final = ".data..percpu"


def wide(check: Check, step: Step) -> None:
    """Examine an instruction of Kind.WIDE."""
    require_writable(check, step.dst)
    value = step.constant
    if value is None:
        value = _value(check, step)
        step.constant = value
    check.frame.regs[step.dst] = value


def _value(check: Check, step: Step) -> Value:
    sem = step.sem
    if sem is Sem.CONST:
        return const((step.high & U32) << 32 | step.imm & U32)
    if sem is Sem.BTF_ID:
        return _symbol(check, step)
    if sem is Sem.FUNC:
        return _function(check, step)
    shape = step.map
    assert shape is not None
    check.map_at[step.pc] = shape
    if sem is Sem.MAP_FD or sem is Sem.MAP_IDX:
        return map_pointer(CONST_MAP_PTR, shape)
    if shape.map_type == MAP_TYPE_ARENA:
        return UNKNOWN
    pointer = map_pointer(MAP_VALUE, shape)
    pointer.off = step.high & U32
    return pointer


def _function(check: Check, step: Step) -> Value:
    function = check.program.function_at[step.target]
    if not check.request.function_infos:
        check.refuse(flow.FUNCTION_REFERENCE, "missing btf func_info")
    if function.is_global:
        check.refuse(flow.FUNCTION_REFERENCE, "callback function not static")
    if function.number == 0:
        check.refuse(flow.FUNCTION_REFERENCE, "callback function cannot be the main program")
    check.callback_at[step.pc] = step.target
    return function_pointer(function.number)


def require_symbol(check: Check, step: Step) -> None:
    """Require that the kernel symbol of a wide instruction exists, even where no path leads."""
    check.pc = step.pc
    _symbol(check, step)
    del check.btf_address_at[step.pc]


def _symbol(check: Check, step: Step) -> Value:
    btf = check.kernel_btf
    if step.high != 0:
        btf = check.environment.btf_by_fd(step.high)
        check.require(
            flow.KERNEL_SYMBOL, btf is not None, "invalid module BTF object FD specified."
        )
    if btf is None:
        return check.refuse(
            flow.KERNEL_SYMBOL,
            "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.",
        )
    try:
        type_ = btf.type(step.imm)
    except BtfError:
        check.refuse(
            flow.KERNEL_SYMBOL,
            f"ldimm64 insn specifies invalid btf_id {step.imm}.",
            errno=errno.ENOENT,
        )
    if isinstance(type_, kinds.Func):
        check.btf_address_at[step.pc] = (type_.name, step.imm)
        return memory_pointer(0, RDONLY)
    if not isinstance(type_, kinds.Var):
        return check.refuse(
            flow.KERNEL_SYMBOL,
            f"pseudo btf_id {step.imm} in ldimm64 isn't KIND_VAR or KIND_FUNC",
        )
    check.btf_address_at[step.pc] = (type_.name, step.imm)
    if _is_percpu(btf, step.imm):
        return btf_pointer(btf, type_.type, PERCPU)
    if isinstance(btf.resolved(type_.type), kinds.Composite):
        return btf_pointer(btf, type_.type)
    try:
        size = btf.size_of(type_.type)
    except BtfError:
        check.refuse(
            flow.KERNEL_SYMBOL, "ldimm64 unable to resolve the size of type", found=type_.name
        )
    return memory_pointer(size, RDONLY)


def _is_percpu(btf: Btf, variable: int) -> bool:
    section = btf.by_name(PERCPU_SECTION, kinds.Kind.DATASEC)
    if section is None:
        return False
    type_ = btf.type(section)
    if not isinstance(type_, kinds.DataSec):
        return False
    return any(entry.type == variable for entry in type_.entries)
