"""What usually helps, told from the path that led to a refusal.

The common causes behind a refusal are few, and each leaves a trace: a comparison that was made, but
of another copy of the value, or of its lower half only; a packet that a helper may have moved; a
branch on which something acquired was forgotten. Where the path tells nothing, some rules have one
way to mend what breaks them.
"""

from collections.abc import Callable, Sequence
from typing import Final

from skep.verifier import hints_calls as calls
from skep.verifier import hints_memory as memory
from skep.verifier.causes import last_path
from skep.verifier.events import Refused
from skep.verifier.interface import Request
from skep.verifier.program import Program
from skep.verifier.story import Story

_LICENSE: Final = 'give the object a licence: char _license[] SEC("license") = "GPL";'

_ADVICE: Final[dict[str, Callable[[Story], str]]] = {
    "access-in-memory": memory.bounds,
    "access-lower-bound": memory.bounds,
    "access-through-pointer": memory.address,
    "access-upper-bound": memory.bounds,
    "argument-type": calls.argument,
    "context-field": memory.context_field,
    "kfunc-argument": calls.kfunc_argument,
    "kfunc-trust": calls.trust,
    "memory-writable": memory.read_only,
    "no-call-under-lock": calls.under_lock,
    "not-in-critical-section": calls.section,
    "packet-in-range": memory.packet,
    "pointer-offset-bounded": memory.bounds,
    "pointer-unmodified": memory.unmodified,
    "reference-released": calls.leak,
    "released-reference": calls.released,
    "released-unmoved": calls.moved,
    "size-bounded": memory.bounds,
    "size-not-negative": memory.bounds,
    "size-not-zero": memory.zero_size,
    "stack-offset-bounded": memory.bounds,
}
_USUAL: Final[dict[str, str]] = {
    "call-may-sleep": 'make the program sleepable, as SEC("lsm.s/…"), and call it outside of '
    "critical sections",
    "helper-gpl": _LICENSE,
    "kernel-access-gpl": _LICENSE,
    "kfunc-gpl": _LICENSE,
    "kptr-access": "change a referenced kptr with bpf_kptr_xchg() only, which gives its old value",
    "rcu-section-needed": "call bpf_rcu_read_lock() before, and bpf_rcu_read_unlock() behind it",
}


def hint_of(program: Program, journal: Sequence[object], request: Request) -> str:
    """What usually helps where *journal* ends; "" if nothing better is known."""
    if not journal or not isinstance(journal[-1], Refused):
        return ""
    refused = journal[-1]
    usual = _USUAL.get(refused.rule, "")
    advise = _ADVICE.get(refused.rule)
    path = last_path(journal)
    if advise is None or not path or path[0].pc != refused.pc:
        return usual
    path.reverse()
    return advise(Story(program, path, refused, request)) or usual
