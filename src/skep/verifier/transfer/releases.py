"""What a call takes over: the reference among its arguments is released.

Source: Linux 6.18 kernel/bpf/verifier.c (check_helper_call, release part).
"""

from skep.uapi.helper_rows_core import KPTR_XCHG
from skep.uapi.helper_types import Arg
from skep.verifier.check import Check
from skep.verifier.rules.resources import RELEASED_IS_REFERENCE
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.dynptrs import release_dynptr
from skep.verifier.transfer.kernel_objects import in_rcu_section
from skep.verifier.transfer.resources import drop_reference, release
from skep.verifier.values import ALLOC, PERCPU, RCU, Pointer, Value


def release_argument(check: Check, call: Call) -> None:
    """Release what the helper takes over."""
    register = call.release_register
    if not register:
        return
    value = check.read(register)
    if call.helper.args[register - 1].kind is Arg.DYNPTR:
        assert isinstance(value, Pointer)
        release_dynptr(check, value)
        return
    if isinstance(value, Scalar) and value.is_number(0):
        return
    if call.id == KPTR_XCHG.id and call.ref_id:
        done = _store_reference(check, call.ref_id)
    else:
        done = call.ref_id != 0 and release(check, call.ref_id)
    if not done:
        check.refuse(
            RELEASED_IS_REFERENCE,
            f"func bpf_{call.helper.name}#{call.id} reference has not been acquired before",
        )
    check.frame = check.state.own(len(check.state.frames) - 1)


def _store_reference(check: Check, reference: int) -> bool:
    """Move a reference into a map: per-CPU objects stay readable while RCU protects them."""
    protected = in_rcu_section(check)
    if not drop_reference(check, reference):
        return False
    replacement: Value | None = UNKNOWN if check.privileged else None

    def forget(value: Value) -> Value | None:
        if not isinstance(value, Pointer) or value.ref_id != reference:
            return value
        if protected and value.flags & ALLOC and value.flags & PERCPU:
            kept = value.copy()
            kept.ref_id = 0
            kept.flags = (kept.flags & ~ALLOC) | RCU
            return kept
        return replacement

    check.state.update_values(forget)
    return True
