"""What must hold of r0 where a program ends.

Source: Linux 6.18 kernel/bpf/verifier.c (check_return_code).
"""

from typing import Final

from skep.base.bits import S64_MAX, S64_MIN
from skep.uapi.flags import AttachType, ProgType
from skep.uapi.program_types import ReturnRange, return_range
from skep.verifier.check import Check
from skep.verifier.rules import flow
from skep.verifier.rules.resources import NO_REFERENCE_LEAK, NOT_IN_CRITICAL_SECTION
from skep.verifier.rules.rule import Rule
from skep.verifier.scalar import Scalar
from skep.verifier.spelling import type_text
from skep.verifier.state import REF_POINTER
from skep.verifier.values import Pointer

_LSM: Final = int(ProgType.LSM)
_STRUCT_OPS: Final = int(ProgType.STRUCT_OPS)
_LSM_MAC: Final = int(AttachType.LSM_MAC)
_LSM_CGROUP: Final = int(AttachType.LSM_CGROUP)


def require_nothing_held(
    check: Check, what: str, *, sections: bool = True, exceptional: bool = False
) -> None:
    """Refuse *what* while a reference is held or a critical section is open.

    Args:
        check: the examination.
        what: what the program does, as the message begins.
        sections: critical sections count too, not only references.
        exceptional: it leaves all frames at once.
    """
    state = check.state
    if sections and state.active_locks:
        _refuse_section(check, what, "bpf_spin_lock-ed")
    if exceptional or len(state.frames) == 1:
        for reference in state.refs:
            if reference.kind == REF_POINTER:
                check.refuse(
                    NO_REFERENCE_LEAK,
                    f"Unreleased reference id={reference.id} alloc_insn={reference.pc}\n"
                    f"{what} would lead to reference leak",
                    hint=f"release what insn {reference.pc} acquired on every path",
                )
    if not sections:
        return
    if state.active_irq_id:
        _refuse_section(check, what, "bpf_local_irq_save-ed")
    if state.active_rcu_lock:
        _refuse_section(check, what, "bpf_rcu_read_lock-ed")
    if state.active_preempt_locks:
        _refuse_section(check, what, "bpf_preempt_disable-ed")


def _refuse_section(check: Check, what: str, section: str) -> None:
    check.refuse(NOT_IN_CRITICAL_SECTION, f"{what} cannot be used inside {section} region")


def require_return_value(check: Check, register: int = 0) -> None:
    """Require that *register* may be returned from the function that is verified on its own.

    What is thrown, in another register than r0, is returned from the program as a whole; Linux 6.18
    forgets that for global functions.
    """
    frame = check.state.frames[0]
    separate = frame.subprog != 0
    in_callback = frame.in_async_callback
    exception = frame.in_exception_callback
    if (not separate or exception) and not in_callback and _may_return_anything(check):
        return
    value = check.read(register)
    if isinstance(value, Pointer) and not check.privileged:
        check.refuse(flow.RETURN_SCALAR, f"R{register} leaks addr as return value")
    if in_callback:
        limits = (frame.return_min, frame.return_max)
        where = "At async callback return"
        enforce(check, *limits, where, rule=flow.CALLBACK_RETURN, register=register)
        return
    if separate and not exception and register == 0:
        if not isinstance(value, Scalar):
            check.refuse(
                flow.RETURN_SCALAR,
                f"At subprogram exit the register R{register} is not a scalar value "
                f"({type_text(value)})",
                errno=flow.RETURN_RANGE.errno,
            )
        return
    allowed = _limits(check)
    if allowed is not None:
        bits = 32 if check.request.expected_attach_type == _LSM_MAC else 64
        enforce(check, allowed.low, allowed.high, "At program exit", bits=bits, register=register)
        if isinstance(value, Scalar) and 0 <= allowed.low_if_strict <= value.smin:
            check.attach_as_expected = True


def _may_return_anything(check: Check) -> bool:
    """Whether the target returns nothing, and the result is not looked at otherwise."""
    request = check.request
    if request.expected_attach_type == _LSM_CGROUP:
        return False
    if request.program_type.id not in (_LSM, _STRUCT_OPS):
        return False
    return check.target is not None and check.target.returns_void


def _limits(check: Check) -> ReturnRange | None:
    if not check.knows_returns:
        check.returns = _find_limits(check)
        check.knows_returns = True
    return check.returns


def _find_limits(check: Check) -> ReturnRange | None:
    request = check.request
    if request.program_type.id == _LSM and check.target is not None:
        return check.target.return_range
    return return_range(
        request.program_type,
        request.expected_attach_type,
        typed_target=request.attach_btf_id != 0,
    )


def enforce(
    check: Check,
    low: int,
    high: int,
    where: str,
    *,
    bits: int = 64,
    rule: Rule = flow.RETURN_RANGE,
    register: int = 0,
) -> None:
    """Require, as *rule* does, that *register* is a number from *low* to *high*."""
    value = check.frame.regs[register]
    if not isinstance(value, Scalar):
        check.refuse(
            rule,
            f"{where} the register R{register} is not a known value ({type_text(value)})",
        )
    check.mark_precise(register)
    least: int = value.smin if bits == 64 else value.s32_min
    most: int = value.smax if bits == 64 else value.s32_max
    if low <= least and most <= high:
        return
    found = ""
    if value.smin > S64_MIN:
        found += f" smin={value.smin}"
    if value.smax < S64_MAX:
        found += f" smax={value.smax}"
    check.refuse(
        rule,
        f"{where} the register R{register} has{found or ' unknown scalar value'} "
        f"should have been in [{low}, {high}]",
        hint=f"return a number from {low} to {high}",
    )
