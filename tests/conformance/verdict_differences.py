"""Programs that Linux 6.18 accepts and the verifier here refuses, on purpose: all that is known.

The other way round there is none. Each row says what would go wrong if the program ran.
"""

from typing import NamedTuple


class VerdictDifference(NamedTuple):
    """One kind of program.

    Attributes:
        id: its name.
        rule: the rule that refuses it.
        program: what it does.
        why: what could happen, and what later versions of Linux do about it.
        text: such a program, as ``skep.session.assembly`` reads it; "" where it needs types.
        attach_type: its expected attach type.
    """

    id: str
    rule: str
    program: str
    why: str
    text: str = ""
    attach_type: int = 0


FETCHED = """
    .type sched_cls
        call bpf_get_prandom_u32
        *(u64 *)(r10 - 8) = 0
        if r0 != 0 goto far
        goto join
    far:
        *(u64 *)(r10 - 8) = 1000
    join:
        r1 = 0
        r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)
        r2 = r10
        r2 += -16
        r2 += r1
        r0 = *(u8 *)(r2 + 0)
        r0 = 0
        exit
"""
NO_CONTEXT = """
    .type cgroup_sock_addr
        call bpf_get_prandom_u32
        r1 = 0
        if r0 != 0 goto other
        goto join
    other:
        r1 = 5
    join:
        r7 = 1
        call bpf_get_netns_cookie
        r0 = 1
        exit
"""

VERDICT_DIFFERENCES = (
    VerdictDifference(
        "fetched-number", "stack-in-frame",
        "uses a number that an atomic instruction fetched from the stack as an offset, and comes "
        "there on several ways with different numbers",
        "6.18 does not look for the origin of what was fetched, so a way with another number "
        "counts as walked; 7.x does",
        FETCHED,
    ),
    VerdictDifference(
        "null-on-one-way", "argument-type",
        "passes NULL for an argument that may be NULL on one way, and another number on the next",
        "6.18 does not mark the NULL as needed, so the second way counts as walked, and a helper "
        "gets a number for a pointer",
        NO_CONTEXT, 10,
    ),
    VerdictDifference(
        "storage-flags", "storage-flags-zero",
        "calls bpf_get_local_storage() with flags 0 on one way, and others on the next",
        "as above: that the flags are 0 is not marked as needed",
    ),
    VerdictDifference(
        "null-for-nonnull", "global-function-arguments",
        "passes a constant NULL for an argument tagged `arg:nonnull`",
        "the function is verified as if it could not be NULL, and reads address 0; 7.x refuses it",
    ),
    VerdictDifference(
        "untrusted-for-trusted", "global-function-arguments",
        "passes a pointer that was read from another object for an argument tagged `arg:trusted`",
        "the function may pass it on to kernel functions that need what it points to alive",
    ),
    VerdictDifference(
        "iterator-above-the-stack", "iterator-place",
        "passes `fp+0` to next() or destroy() of an iterator that lives at `fp-8`",
        "6.18 looks for the iterator in the slot below, and the function gets the address above it",
    ),
    VerdictDifference(
        "throw-through-a-global-function", "reference-released",
        "calls a global function that may throw while it holds a reference or a lock",
        "the throw leaves all functions, so what is held is never released",
    ),
    VerdictDifference(
        "slice-after-submit", "access-through-pointer",
        "uses a slice of a ring buffer dynptr once the record was submitted or discarded",
        "the record belongs to the reader by then, and may be overwritten by another",
    ),
    VerdictDifference(
        "count-after-rcu", "object-owned",
        "calls bpf_refcount_acquire() on an object found in a collection, behind the end of the "
        "RCU read-side section in which it was found",
        "the object may have been freed",
    ),
    VerdictDifference(
        "count-of-a-member", "pointer-unmodified",
        "calls bpf_refcount_acquire() with a pointer into an object",
        "6.18 takes it for the start, and counts references at the wrong place",
    ),
    VerdictDifference(
        "thrown-value", "return-range",
        "throws from a global function what the program may not return",
        "what is thrown is what the program returns",
    ),
)  # fmt: skip
