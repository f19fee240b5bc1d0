"""What particular helpers demand and do besides their prototype: callbacks, tail calls, formats.

Source: Linux 6.18 kernel/bpf/verifier.c (check_helper_call, set_*_callback_state).
"""

from collections.abc import Callable
from typing import Final

from skep.btf.kinds import Kind
from skep.uapi import helper_rows_core as core
from skep.uapi import helper_rows_network as network
from skep.uapi import helper_rows_tracing as tracing
from skep.uapi.flags import AttachType, MapType, ProgType
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.rules.calls import (
    ARGUMENT_TYPE,
    CALLBACK_STACK,
    FORMAT_VALID,
    FUNC_IP_AVAILABLE,
    HELPER_AVAILABLE,
    MAP_CALLBACK,
    STORAGE_FLAGS,
)
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.spelling import type_text
from skep.verifier.state import Frame
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.callbacks import give_map_element
from skep.verifier.transfer.returns import require_nothing_held
from skep.verifier.transfer.strings import require_constant_string, require_format
from skep.verifier.transfer.subprograms import call_back, call_back_later
from skep.verifier.values import (
    BTF_ID,
    CONST_DYNPTR,
    DYNPTR_LOCAL,
    DYNPTR_SKB,
    DYNPTR_SKB_META,
    MAP_VALUE,
    RCU,
    Pointer,
)

Effect = Callable[[Check, Step, Call], None]

_WALKABLE: Final = frozenset(
    (
        MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH,
        MapType.ARRAY, MapType.PERCPU_ARRAY,
    )
)  # fmt: skip


def apply_effects(check: Check, step: Step, call: Call) -> None:
    """Check and apply what is particular to the helper."""
    effect = EFFECTS.get(call.id)
    if effect is not None:
        effect(check, step, call)


def _tail_call(check: Check, step: Step, call: Call) -> None:
    del step
    require_nothing_held(check, "tail_call")
    check.program.function_of(check.pc).has_tail_call = True
    call.changes_packet = False  # it comes back only if it failed


def _local_storage(check: Check, step: Step, call: Call) -> None:
    del step, call
    flags = check.frame.regs[2]
    if not isinstance(flags, Scalar) or not flags.is_number(0):
        check.refuse(STORAGE_FLAGS, "get_local_storage() doesn't support non-zero flags")
    check.mark_precise(2)


def _snprintf(check: Check, step: Step, call: Call) -> None:
    del step, call
    form, length = check.frame.regs[3], check.frame.regs[5]
    assert isinstance(form, Pointer)
    assert isinstance(length, Scalar)
    size = length.value
    if size % 8:
        check.refuse(FORMAT_VALID, f"{size} bytes of arguments are not a whole number of u64")
    require_format(check, require_constant_string(check, form, 3), size // 8)


def _dynptr_from_mem(check: Check, step: Step, call: Call) -> None:
    del step, call
    value = check.frame.regs[1]
    if not isinstance(value, Pointer) or value.kind != MAP_VALUE:
        check.refuse(
            CALLBACK_STACK,
            f"Unsupported reg type {type_text(value)} for bpf_dynptr_from_mem data",
        )


def _dynptr_write(check: Check, step: Step, call: Call) -> None:
    del check, step
    if call.dynptr is not None and call.dynptr.flavor & (DYNPTR_SKB | DYNPTR_SKB_META):
        call.changes_packet = True


def _per_cpu(check: Check, step: Step, call: Call) -> None:
    """Remember whether the variable is one that a program allocated."""
    del step
    value = check.frame.regs[1]
    if isinstance(value, Pointer) and value.flags & RCU:
        call.per_cpu_object = True


def _func_ip(check: Check, step: Step, call: Call) -> None:
    del step, call
    row = check.request.program_type
    if row.id == ProgType.TRACING:
        if check.request.expected_attach_type not in (
            AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN,
        ):  # fmt: skip
            check.refuse(
                FUNC_IP_AVAILABLE,
                "func bpf_get_func_ip#173 supported only for fentry/fexit/fmod_ret programs",
            )
    elif row.id != ProgType.KPROBE:
        check.refuse(
            FUNC_IP_AVAILABLE,
            f"func bpf_get_func_ip#173 not supported for program type {row.id}",
        )


def _set_result(check: Check, step: Step, call: Call) -> None:
    del step, call
    if check.request.program_type.id != ProgType.LSM or check.target is None:
        return
    if check.target.returns_void:
        check.refuse(
            HELPER_AVAILABLE,
            "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!",
        )


# --- callbacks --------------------------------------------------------------------------------


def _for_each(check: Check, step: Step, call: Call) -> None:
    shape = call.map
    assert shape is not None
    if shape.map_type not in _WALKABLE:
        check.refuse(MAP_CALLBACK, "callback function not allowed for map")

    def prepare(caller: Frame, callee: Frame) -> None:
        assert call.map is not None
        give_map_element(callee, call.map, call.map_uid)
        callee.regs[1] = caller.regs[1]
        callee.regs[4] = caller.regs[3]

    call_back(check, step, call.subprogram, prepare)


def _loop(check: Check, step: Step, call: Call) -> None:
    check.mark_precise(1)
    rounds, flags = check.frame.regs[1], check.frame.regs[4]
    if isinstance(flags, Scalar) and flags.is_number(0):
        check.mark_precise(4)
    if not isinstance(rounds, Scalar):
        check.refuse(ARGUMENT_TYPE, f"R1 type={type_text(rounds)} expected=scalar")

    def prepare(caller: Frame, callee: Frame) -> None:
        callee.regs[1] = UNKNOWN
        callee.regs[2] = caller.regs[3]

    if check.frame.callback_depth < rounds.umax:
        call_back(check, step, call.subprogram, prepare)
    else:
        check.frame.callback_depth = 0


def _timer_callback(check: Check, step: Step, call: Call) -> None:
    def prepare(caller: Frame, callee: Frame) -> None:
        del caller
        assert call.map is not None
        give_map_element(callee, call.map, call.map_uid)

    call_back_later(check, step, call.subprogram, prepare)


def _find_vma(check: Check, step: Step, call: Call) -> None:
    kernel = check.kernel_btf
    struct = kernel.by_name("vm_area_struct", Kind.STRUCT) if kernel is not None else None
    if kernel is None or struct is None:
        check.not_supported("bpf_find_vma() without kernel BTF")

    def prepare(caller: Frame, callee: Frame) -> None:
        callee.regs[1] = caller.regs[1]
        area = Pointer(BTF_ID)
        area.btf, area.btf_id = kernel, struct
        callee.regs[2] = area
        callee.regs[3] = caller.regs[4]

    call_back(check, step, call.subprogram, prepare)


def _drain(check: Check, step: Step, call: Call) -> None:
    identity = check.new_id()

    def prepare(caller: Frame, callee: Frame) -> None:
        callee.regs[1] = Pointer(CONST_DYNPTR, DYNPTR_LOCAL, 0, identity)
        callee.regs[2] = caller.regs[3]

    call_back(check, step, call.subprogram, prepare)


EFFECTS: Final[dict[int, Effect]] = {
    core.TAIL_CALL.id: _tail_call,
    core.GET_LOCAL_STORAGE.id: _local_storage,
    network.SET_RETVAL.id: _set_result,
    core.SNPRINTF.id: _snprintf,
    core.DYNPTR_FROM_MEM.id: _dynptr_from_mem,
    core.DYNPTR_WRITE.id: _dynptr_write,
    core.PER_CPU_PTR.id: _per_cpu,
    core.THIS_CPU_PTR.id: _per_cpu,
    core.FOR_EACH_MAP_ELEM.id: _for_each,
    core.LOOP.id: _loop,
    core.TIMER_SET_CALLBACK.id: _timer_callback,
    core.USER_RINGBUF_DRAIN.id: _drain,
    tracing.FIND_VMA.id: _find_vma,
    tracing.GET_FUNC_IP.id: _func_ip,
}
