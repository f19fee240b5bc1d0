"""Critical sections that kfuncs open and close: RCU, preemption, interrupts.

Source: Linux 6.18 kernel/bpf/verifier.c (check_kfunc_call, process_irq_flag,
mark_stack_slot_irq_flag).
"""

import errno
from typing import Final

from skep.uapi.kfuncs import RCU_PROTECTED, SLEEPABLE
from skep.verifier.check import Check
from skep.verifier.rules.calls import CALL_MAY_SLEEP
from skep.verifier.rules.resources import (
    IRQ_FLAG_INITIALISED,
    IRQ_FLAG_PLACE,
    IRQ_FLAG_UNINITIALISED,
    IRQ_ORDER,
    RCU_NEEDED,
    SECTION_OPEN,
)
from skep.verifier.state import EMPTY_SLOT, IRQ, ITER, REF_IRQ, SLOT_SIZE, Reference, Slot
from skep.verifier.state import StackObject as StackFlag
from skep.verifier.transfer.accesses import write_memory
from skep.verifier.transfer.callbacks import in_tree_callback
from skep.verifier.transfer.kernel_objects import in_rcu_section
from skep.verifier.transfer.kfunc_call import Argument, KfuncCall
from skep.verifier.transfer.stack import ANYTHING
from skep.verifier.transfer.stack_objects import place_of
from skep.verifier.values import MAYBE_NULL, RCU, STACK, UNTRUSTED, Pointer, Value

_IRQ_TYPES: Final = bytes((IRQ,)) * SLOT_SIZE
_NATIVE: Final = 1
_LOCK: Final = 2
_SAVES: Final = frozenset(("bpf_local_irq_save", "bpf_res_spin_lock_irqsave"))
_OF_LOCKS: Final = frozenset(("bpf_res_spin_lock_irqsave", "bpf_res_spin_unlock_irqrestore"))


def enter_and_leave(check: Check, call: KfuncCall) -> None:
    """Open or close what the function opens or closes; refuse what may sleep inside."""
    sleeps = call.has(SLEEPABLE)
    _rcu(check, call, sleeps)
    _preemption(check, call, sleeps)
    if check.state.active_irq_id and sleeps:
        _refuse_sleep(check, call, "IRQ-disabled region")
    if call.has(RCU_PROTECTED) and not in_rcu_section(check):
        check.refuse(
            RCU_NEEDED, f"kernel func {call.name} requires RCU critical section protection"
        )


def _rcu(check: Check, call: KfuncCall, sleeps: bool) -> None:
    state = check.state
    locks, unlocks = call.name == "bpf_rcu_read_lock", call.name == "bpf_rcu_read_unlock"
    if not state.active_rcu_lock:
        if unlocks:
            check.refuse(SECTION_OPEN, f"unmatched rcu read unlock (kernel function {call.name})")
        state.active_rcu_lock = locks
        return
    if (locks or unlocks) and in_tree_callback(check):
        check.refuse(
            SECTION_OPEN,
            "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback",
            errno=errno.EACCES,
        )
    if locks:
        check.refuse(SECTION_OPEN, f"nested rcu read lock (kernel function {call.name})")
    if unlocks:
        _end_protection(check)
        state.active_rcu_lock = False
    elif sleeps:
        _refuse_sleep(check, call, "rcu_read_lock region")


def _preemption(check: Check, call: KfuncCall, sleeps: bool) -> None:
    state = check.state
    if call.name == "bpf_preempt_disable":
        state.active_preempt_locks += 1
    elif call.name == "bpf_preempt_enable":
        if not state.active_preempt_locks:
            check.refuse(
                SECTION_OPEN,
                f"unmatched attempt to enable preemption (kernel function {call.name})",
            )
        state.active_preempt_locks -= 1
    elif sleeps and state.active_preempt_locks:
        _refuse_sleep(check, call, "non-preemptible region")


def _refuse_sleep(check: Check, call: KfuncCall, where: str) -> None:
    check.refuse(
        CALL_MAY_SLEEP,
        f"kernel func {call.name} is sleepable within {where}",
        errno=errno.EACCES,
    )


def _end_protection(check: Check) -> None:
    """Nothing that RCU protected is surely alive any more: values, and iterators."""

    def distrust(value: Value) -> Value | None:
        if not isinstance(value, Pointer) or not value.flags & RCU:
            return value
        loose = value.copy()
        loose.flags = (loose.flags & ~(RCU | MAYBE_NULL)) | UNTRUSTED
        return loose

    check.state.update_values(distrust)
    for number in range(len(check.state.frames)):
        for spi, slot in enumerate(check.state.frames[number].stack):
            part = slot.object
            if part is None or slot.types[0] != ITER or not part.flags & RCU:
                continue
            twin = part.copy()
            twin.flags = UNTRUSTED
            check.state.own(number).set_slot(spi, Slot(slot.types, None, twin))


# --- interrupts -------------------------------------------------------------------------------


def irq_flag(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check a pointer to where interrupts' state is saved; save or restore it."""
    value = argument.value
    if not isinstance(value, Pointer) or value.kind != STACK:
        check.refuse(IRQ_FLAG_PLACE, f"arg#{argument.number} doesn't point to an irq flag on stack")
    kind = _LOCK if call.name in _OF_LOCKS else _NATIVE
    saves = call.name in _SAVES
    spi = place_of(check, value, 1, "irq_flag", IRQ_FLAG_PLACE, made=saves)
    if saves:
        _save(check, argument, value, spi, kind)
    else:
        _restore(check, argument, value, spi, kind)


def _save(check: Check, argument: Argument, value: Pointer, spi: int, kind: int) -> None:
    state = check.state
    if IRQ in state.frames[value.frame].slot(spi).types:
        check.refuse(
            IRQ_FLAG_UNINITIALISED,
            f"expected uninitialized irq flag as arg#{argument.number}",
        )
    write_memory(check, argument.register, 0, SLOT_SIZE, ANYTHING)
    flag = StackFlag(IRQ, True, check.new_id())
    flag.flavor = kind
    state.refs = (*state.refs, Reference(REF_IRQ, flag.id, check.pc))
    state.active_irq_id = flag.id
    state.own(value.frame).set_slot(spi, Slot(_IRQ_TYPES, None, flag))


def _restore(check: Check, argument: Argument, value: Pointer, spi: int, kind: int) -> None:
    state = check.state
    slot = state.frames[value.frame].slot(spi)
    flag = slot.object
    if slot.types != _IRQ_TYPES or flag is None:
        check.refuse(
            IRQ_FLAG_INITIALISED,
            f"expected an initialized irq flag as arg#{argument.number}",
        )
    if flag.flavor != kind:
        words = {_NATIVE: "native", _LOCK: "lock"}
        check.refuse(
            IRQ_FLAG_INITIALISED,
            f"irq flag acquired by {words[flag.flavor]} kfuncs cannot be restored with "
            f"{words[kind]} kfuncs",
        )
    if flag.id != state.active_irq_id:
        check.refuse(
            IRQ_ORDER,
            f"cannot restore irq state out of order, expected id={state.active_irq_id}",
        )
    state.refs = tuple(ref for ref in state.refs if ref.kind != REF_IRQ or ref.id != flag.id)
    saved = [ref.id for ref in state.refs if ref.kind == REF_IRQ]
    state.active_irq_id = saved[-1] if saved else 0
    state.own(value.frame).set_slot(spi, EMPTY_SLOT)
