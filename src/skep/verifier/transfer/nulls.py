"""NULL checks: what comparing a pointer with NULL, or with a pointer that is not NULL, teaches.

Source: Linux 6.18 kernel/bpf/verifier.c (mark_ptr_or_null_regs, mark_ptr_not_null_reg,
reg_not_null, is_branch_taken for pointers).
"""

from typing import Final

from skep.isa.table import Sem
from skep.uapi.flags import MapType
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.records import Records
from skep.verifier.rules.registers import POINTER_COMPARISON
from skep.verifier.scalar import ZERO, Scalar
from skep.verifier.state import REF_POINTER, State
from skep.verifier.transfer.packets import (
    is_packet_pointer,
    match_packet_pointers,
    packet_branch_taken,
)
from skep.verifier.transfer.pointers import MAX_OFFSET
from skep.verifier.values import (
    ALLOC,
    BTF_ID,
    BUF,
    CONST_MAP_PTR,
    MAP_KEY,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    NON_OWN_REF,
    RCU,
    SOCK_COMMON,
    SOCKET,
    TCP_SOCK,
    TRUSTED,
    UNTRUSTED,
    XDP_SOCK,
    Pointer,
    Value,
)

_NEVER_NULL: Final = (
    1 << SOCKET | 1 << TCP_SOCK | 1 << XDP_SOCK | 1 << BUF | 1 << MAP_VALUE | 1 << MAP_KEY
    | 1 << SOCK_COMMON | 1 << MEM | 1 << CONST_MAP_PTR
)  # fmt: skip
_EQ: Final = Sem.EQ
_NE: Final = Sem.NE
TRUSTED_FLAGS: Final = ALLOC | TRUSTED | NON_OWN_REF


def is_trusted(value: Pointer) -> bool:
    """Whether the object that *value* points to is known to be alive and not NULL."""
    if value.ref_id:
        return True
    unsafe = value.flags & ~TRUSTED_FLAGS
    if value.kind in (SOCKET, SOCK_COMMON, TCP_SOCK, CONST_MAP_PTR):
        return unsafe == 0
    return value.flags & TRUSTED_FLAGS != 0 and unsafe == 0


def is_rcu(value: Pointer) -> bool:
    """Whether the object is alive as long as the RCU section lasts."""
    return value.flags & RCU != 0


def is_not_null(value: Pointer) -> bool:
    """Whether *value* is certainly not NULL."""
    if value.flags & MAYBE_NULL:
        return False
    if value.var.smin <= -MAX_OFFSET or value.var.smax >= MAX_OFFSET:
        return False
    if value.kind == BTF_ID:
        return is_trusted(value)
    if value.kind == MEM and value.flags & UNTRUSTED:
        return False
    return _NEVER_NULL >> value.kind & 1 == 1


def pointer_branch_taken(step: Step, x: Value, y: Value) -> int:
    """1 or 0 if a comparison that involves a pointer is decided, else -1."""
    if not step.wide:
        return -1
    if isinstance(x, Pointer) and isinstance(y, Pointer):
        both = is_packet_pointer(x) and is_packet_pointer(y)
        return packet_branch_taken(step.sem, x, y) if both else -1
    if isinstance(x, Pointer):
        return _against_null(step, x, y)
    return _against_null(step, y, x) if isinstance(y, Pointer) else -1


def _against_null(step: Step, pointer: Pointer, other: Value) -> int:
    if not isinstance(other, Scalar) or not other.is_number(0) or not is_not_null(pointer):
        return -1
    if step.sem is _EQ:
        return 0
    return 1 if step.sem is _NE else -1


def learn_from_pointers(check: Check, step: Step, there: State, x: Value, y: Value) -> None:
    """Learn from an undecided conditional jump of which an operand is a pointer.

    Args:
        check: the examination; its state is the branch that falls through.
        step: the jump.
        there: state of the branch that jumps.
        x: value of the destination register before the jump.
        y: value of the source register, or the immediate.
    """
    here = check.state
    if step.wide and step.reg_source and isinstance(x, Pointer) and isinstance(y, Pointer):
        _learn_equality(step, here, there, x, y)
    if (
        step.wide
        and not step.reg_source
        and step.imm == 0
        and (step.sem is _EQ or step.sem is _NE)
        and isinstance(x, Pointer)
        and x.flags & MAYBE_NULL
    ):
        settle_null(check, here, x, step.sem is _NE)
        settle_null(check, there, x, step.sem is _EQ)
    elif not (step.wide and step.reg_source and match_packet_pointers(step, here, there, x, y)):
        require_comparable(check, step.dst, x)
    check.frame = check.state.own(len(check.state.frames) - 1)


def require_comparable(check: Check, register: int, value: Value) -> None:
    """Refuse a comparison that would tell an unprivileged program an address."""
    if not check.privileged and isinstance(value, Pointer):
        check.refuse(POINTER_COMPARISON, f"R{register} pointer comparison prohibited")


def _learn_equality(step: Step, here: State, there: State, x: Pointer, y: Pointer) -> None:
    if BTF_ID in (x.kind, y.kind):
        return  # may be NULL even without the flag
    if step.sem is Sem.EQ:
        equal = there
    elif step.sem is Sem.NE:
        equal = here
    else:
        return
    frame = equal.own(len(equal.frames) - 1)
    if is_not_null(x) and y.flags & MAYBE_NULL:
        frame.regs[step.src] = without_null(y)
    if is_not_null(y) and x.flags & MAYBE_NULL:
        frame.regs[step.dst] = without_null(x)


def without_null(value: Pointer) -> Pointer:
    """*value* once NULL is excluded; a looked-up map in a map becomes a map."""
    sure = value.copy()
    sure.flags &= ~MAYBE_NULL
    if value.kind != MAP_VALUE or value.map is None:
        return sure
    shape = value.map
    if shape.inner is not None:
        sure.kind = CONST_MAP_PTR
        sure.map = shape.inner
        sure.map_uid = value.id  # tells inner maps of different look-ups apart
    elif shape.map_type == MapType.XSKMAP:
        sure.kind = XDP_SOCK
        sure.map = None
    elif shape.map_type in (MapType.SOCKMAP, MapType.SOCKHASH):
        sure.kind = SOCKET
        sure.map = None
    return sure


def settle_null(check: Check, state: State, pointer: Pointer, is_null: bool) -> None:
    """Make every copy of *pointer* in *state* NULL, or certainly not NULL.

    A reference that turns out to be NULL is no reference any more.
    """
    identity = pointer.id
    if is_null and pointer.ref_id and pointer.ref_id == identity:
        state.refs = tuple(
            ref for ref in state.refs if not (ref.kind == REF_POINTER and ref.id == identity)
        )
    records = check.records

    def settle(value: Value) -> Value | None:
        if not isinstance(value, Pointer) or value.id != identity:
            return value
        if not value.flags & MAYBE_NULL or _is_moved(value):
            return value
        return ZERO if is_null else _found(records, value)

    state.update_values(settle)


def _is_moved(value: Pointer) -> bool:
    # Helpers that return local objects may advance the pointer by themselves.
    local = value.kind == BTF_ID and value.flags & (ALLOC | NON_OWN_REF) != 0
    return not value.var.is_number(0) or (value.off != 0 and not local)


def _found(records: Records, value: Pointer) -> Pointer:
    sure = without_null(value)
    record = records.of_pointer(sure)
    if record is None or not record.has_lock:
        sure.id = 0  # only locks need to tell two look-ups apart
    return sure
