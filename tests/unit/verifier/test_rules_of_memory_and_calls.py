"""Each rule about pointers, memory and calls: a program that breaks it and one that keeps it."""

# ruff: noqa: E501 - one row a rule

import pytest

from support.verify_maps import (
    ARRAY,
    FROZEN,
    HASH,
    LOCKED,
    NESTED,
    PROGRAMS,
    READ_ONLY,
    RING,
    TIMED,
    WRITE_ONLY,
    all_maps,
    look_up,
)
from support.verify_text import accepted, rejected, request

pytestmark = pytest.mark.acceptance("M51")

OK = "\nr0 = 0\nexit"
BOUNDS = "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 14\n"
RESERVE = f"r1 = map[fd {RING}]\nr2 = 16\nr3 = 0\ncall 131\nif r0 == 0 goto out\n"
SUBMIT = "r1 = r0\nr2 = 0\ncall 132\n"
OUT = "out: r0 = 0\nexit"

# rule, breaks it, keeps it, program type
PAIRS = [
    # --- pointers ---
    ("pointer-movable", f"r1 = map[fd {HASH}]\nr1 += 8{OK}", f"r1 += 8{OK}", "sched_cls"),
    (
        "pointer-checked-before-arithmetic",
        look_up(HASH, "").replace("if r0 == 0", "r0 += 8\nif r0 == 0"),
        look_up(HASH, "r0 += 8"),
        "sched_cls",
    ),
    ("pointer-arithmetic-64-bit", f"w1 += 8{OK}", f"r1 += 8{OK}", "sched_cls"),
    ("pointer-operator", f"r1 *= 8{OK}", f"r2 = 3\nr2 *= 8{OK}", "sched_cls"),
    ("pointer-pair", f"r1 += r10{OK}", f"r1 -= r10{OK}", "sched_cls"),
    ("pointer-subtrahend", f"r2 = 8\nr2 -= r1{OK}", f"r2 = 8\nr2 += r1{OK}", "sched_cls"),
    ("stack-pointer-added-only", f"r2 = r10\nr2 -= 8{OK}", f"r2 = r10\nr2 += -8{OK}", "xdp"),
    ("pointer-offset-bounded", f"r1 += 0x20000000{OK}", f"r1 += 0x1fffffff{OK}", "sched_cls"),
    # --- memory ---
    ("access-through-pointer", f"r2 = 7\nr3 = *(u8 *)(r2 + 0){OK}", look_up(HASH, "r1 = *(u8 *)(r0 + 0)"), "xdp"),
    ("access-aligned", f"*(u64 *)(r10 - 12) = 1{OK}", f"*(u32 *)(r10 - 12) = 1{OK}", "xdp"),
    ("memory-writable", look_up(READ_ONLY, "*(u8 *)(r0 + 0) = 1"), look_up(ARRAY, "*(u8 *)(r0 + 0) = 1"), "xdp"),
    ("memory-readable", look_up(WRITE_ONLY, "r1 = *(u8 *)(r0 + 0)"), look_up(READ_ONLY, "r1 = *(u8 *)(r0 + 0)"), "xdp"),
    ("access-lower-bound", look_up(HASH, "r1 = *(u8 *)(r0 + 8)\nr1 -= 9\nr0 += r1\nr1 = *(u8 *)(r0 + 0)"), look_up(HASH, "r1 = *(u8 *)(r0 + 8)\nr1 &= 7\nr0 += r1\nr1 = *(u8 *)(r0 + 0)"), "xdp"),
    ("access-upper-bound", look_up(HASH, "r1 = *(u64 *)(r0 + 8)\nr1 >>= 1\nr0 += r1\nr1 = *(u8 *)(r0 + 0)"), look_up(HASH, "r1 = *(u64 *)(r0 + 8)\nr1 &= 31\nr0 += r1\nr1 = *(u8 *)(r0 + 0)"), "xdp"),
    ("access-in-memory", look_up(HASH, "r1 = *(u64 *)(r0 + 41)"), look_up(HASH, "r1 = *(u64 *)(r0 + 40)"), "xdp"),
    ("pointer-unmodified", f"r1 += 4\nr0 = *(u32 *)(r1 + 0){OK}", f"r0 = *(u32 *)(r1 + 4){OK}", "sched_cls"),
    ("access-of-one-kind", f"r2 = r1\nr3 = *(u32 *)(r1 + 0)\n*(u64 *)(r10 - 8) = 0\nif r3 == 5 goto +2\nr2 = r10\nr2 += -8\nr4 = *(u32 *)(r2 + 0){OK}", f"r2 = r1\nr3 = *(u32 *)(r2 + 0){OK}", "sched_cls"),
    ("stack-in-frame", f"*(u64 *)(r10 - 520) = 1{OK}", f"*(u64 *)(r10 - 512) = 1{OK}", "xdp"),
    ("stack-offset-bounded", look_up(HASH, "r1 = *(u64 *)(r0 + 0)\nr1 >>= 8\nr2 = r10\nr2 += r1\n*(u8 *)(r2 + 0) = 1"), look_up(HASH, "r1 = *(u64 *)(r0 + 0)\nr1 &= 7\nr2 = r10\nr2 += -16\nr2 += r1\n*(u8 *)(r2 + 0) = 1"), "xdp"),
    ("spill-whole", f"*(u32 *)(r10 - 8) = r1{OK}", f"*(u64 *)(r10 - 8) = r1{OK}", "xdp"),
    ("context-field", f"r0 = *(u64 *)(r1 + 0){OK}", f"r0 = *(u32 *)(r1 + 0){OK}", "sched_cls"),
    ("packet-in-range", f"{BOUNDS}r0 = *(u8 *)(r2 + 0){OK}", f"{BOUNDS}if r4 > r3 goto +1\nr0 = *(u8 *)(r2 + 13){OK}", "sched_cls"),
    ("packet-writable", f"{BOUNDS}if r4 > r3 goto +1\n*(u8 *)(r2 + 13) = 1{OK}", f"{BOUNDS}if r4 > r3 goto +1\nr0 = *(u8 *)(r2 + 13){OK}", "cgroup_skb"),
    ("legacy-load-allowed", f"r6 = r1\nr0 = *(u8 *)skb[0]{OK}", f"r0 = *(u32 *)(r1 + 0){OK}", "xdp"),
    ("legacy-load-context", f"r6 = 1\nr0 = *(u8 *)skb[0]{OK}", f"r6 = r1\nr0 = *(u8 *)skb[0]{OK}", "sched_cls"),
    ("special-field-untouched", look_up(LOCKED, "r1 = *(u32 *)(r0 + 8)"), look_up(LOCKED, "r1 = *(u32 *)(r0 + 0)"), "sched_cls"),
    ("map-object-read-only", f"r1 = map[fd {ARRAY}]\n*(u32 *)(r1 + 0) = 1{OK}", f"r1 = map[fd {ARRAY}]{OK}", "sched_cls"),
    ("atomic-target", f"r2 = 1\nlock *(u32 *)(r1 + 8) += w2{OK}", f"r2 = 1\n*(u64 *)(r10 - 8) = 0\nlock *(u64 *)(r10 - 8) += r2{OK}", "sched_cls"),
    # --- calls ---
    ("helper-known", f"call 999{OK}", f"call 5{OK}", "xdp"),
    ("helper-available", f"call 58{OK}", f"call 5{OK}", "xdp"),
    ("argument-type", f"r2 = r1\ncall 1{OK}", look_up(HASH, "r1 = 1"), "xdp"),
    ("argument-packet", f"{BOUNDS}if r4 > r3 goto out\nr1 = r2\nr2 = 8\nr3 = 0\nr4 = 0\nr5 = 0\ncall 105\n{OUT}", f"{BOUNDS}if r4 > r3 goto out\nr1 = map[fd {HASH}]\ncall 1\n{OUT}", "sched_cls"),
    ("size-not-negative", f"r2 = *(u32 *)(r1 + 0)\nr2 -= 9\nr1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr3 = 0\ncall 6{OK}", f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 8\nr3 = 0\ncall 6{OK}", "sched_cls"),
    ("size-not-zero", f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 0\nr3 = 0\ncall 6{OK}", f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 1\nr3 = 0\ncall 6{OK}", "xdp"),
    ("size-bounded", look_up(HASH, "r2 = *(u64 *)(r0 + 0)\nr2 >>= 1\nr2 |= 1\nr1 = r0\nr3 = 0\ncall 6"), look_up(HASH, "r2 = *(u64 *)(r0 + 0)\nr2 &= 15\nr2 |= 1\nr1 = r0\nr3 = 0\ncall 6"), "xdp"),
    ("size-constant", f"r2 = *(u32 *)(r1 + 0)\nr1 = map[fd {RING}]\nr3 = 0\ncall 131{OK}", f"{RESERVE}{SUBMIT}{OUT}", "sched_cls"),
    ("constant-string", look_up(ARRAY, "r3 = r0\nr1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 8\ncall 182"), f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 8\nr3 = map[fd {FROZEN}][0] + 0\ncall 182{OK}", "xdp"),
    ("string-terminated", f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 8\nr3 = map[fd {FROZEN}][0] + 9\ncall 182{OK}", f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 8\nr3 = map[fd {FROZEN}][0] + 3\ncall 182{OK}", "xdp"),
    ("format-valid", f"r1 = r10\nr1 += -8\nr2 = 8\nr3 = map[fd {FROZEN}][0] + 0\nr4 = r10\nr4 += -16\n*(u64 *)(r4 + 0) = 0\nr5 = 8\ncall 165{OK}", f"r1 = r10\nr1 += -8\nr2 = 8\nr3 = map[fd {FROZEN}][0] + 3\nr4 = r10\nr4 += -16\n*(u64 *)(r4 + 0) = 0\nr5 = 8\ncall 165{OK}", "xdp"),
    ("map-fits-helper", f"*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = map[fd {PROGRAMS}]\ncall 1{OK}", f"r2 = map[fd {PROGRAMS}]\nr3 = 0\ncall 12{OK}", "xdp"),
    ("map-writable-by-programs", f"*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = map[fd {READ_ONLY}]\ncall 3{OK}", f"*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = map[fd {HASH}]\ncall 3{OK}", "xdp"),
    ("memory-of-map", f"r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -32\ncall 197{OK}", look_up(ARRAY, "r1 = r0\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -32\ncall 197"), "xdp"),
    # --- references, locks, dynptrs ---
    ("reference-released", f"{RESERVE}{OUT}", f"{RESERVE}{SUBMIT}{OUT}", "xdp"),
    ("released-reference", f"*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -16\nr2 = 0\ncall 199{OK}", f"r1 = map[fd {RING}]\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -16\ncall 198\nr1 = r10\nr1 += -16\nr2 = 0\ncall 199{OK}", "xdp"),
    ("released-unmoved", f"{RESERVE}r0 += 8\n{SUBMIT}{OUT}", f"{RESERVE}{SUBMIT}{OUT}", "xdp"),
    ("not-in-critical-section", look_up(LOCKED, "r1 = r0\nr1 += 8\ncall 93"), look_up(LOCKED, "r6 = r0\nr1 = r0\nr1 += 8\ncall 93\nr1 = r6\nr1 += 8\ncall 94"), "sched_cls"),
    ("field-at-offset", look_up(LOCKED, "r1 = r0\nr1 += 4\ncall 93"), look_up(LOCKED, "r6 = r0\nr1 = r0\nr1 += 8\ncall 93\nr1 = r6\nr1 += 8\ncall 94"), "sched_cls"),
    ("field-present", look_up(LOCKED, "r1 = r0\ncall 170").replace("call 170", f"r2 = map[fd {LOCKED}]\nr3 = 1\ncall 169"), look_up(TIMED, f"r1 = r0\nr1 += 8\nr2 = map[fd {TIMED}]\nr3 = 1\ncall 169"), "sched_cls"),
    ("lock-typed", look_up(ARRAY, "r1 = r0\ncall 93"), look_up(LOCKED, "r6 = r0\nr1 = r0\nr1 += 8\ncall 93\nr1 = r6\nr1 += 8\ncall 94"), "sched_cls"),
    ("lock-held", look_up(LOCKED, "r1 = r0\nr1 += 8\ncall 94"), look_up(LOCKED, "r6 = r0\nr1 = r0\nr1 += 8\ncall 93\nr1 = r6\nr1 += 8\ncall 94"), "sched_cls"),
    ("no-call-under-lock", look_up(LOCKED, "r6 = r0\nr1 = r0\nr1 += 8\ncall 93\nr1 = r6\nr1 += 8\ncall 93"), look_up(LOCKED, "r6 = r0\nr1 = r0\nr1 += 8\ncall 93\nr1 = r6\nr1 += 8\ncall 94"), "sched_cls"),
    ("same-map", look_up(TIMED, f"r1 = r0\nr1 += 8\nr2 = map[fd {ARRAY}]\nr3 = 1\ncall 169"), look_up(TIMED, f"r1 = r0\nr1 += 8\nr2 = map[fd {TIMED}]\nr3 = 1\ncall 169"), "sched_cls"),
    ("dynptr-place", look_up(ARRAY, "r1 = r0\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -28\ncall 197"), look_up(ARRAY, "r1 = r0\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -32\ncall 197"), "xdp"),
    ("dynptr-initialised", f"r1 = r10\nr1 += -16\n*(u64 *)(r1 + 0) = 0\n*(u64 *)(r1 + 8) = 0\nr2 = 0\nr3 = 8\ncall 203{OK}", look_up(ARRAY, "r1 = r0\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -32\ncall 197\nr1 = r10\nr1 += -32\nr2 = 0\nr3 = 8\ncall 203"), "xdp"),
    ("dynptr-not-overwritten", f"r1 = map[fd {RING}]\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -16\ncall 198\n*(u64 *)(r10 - 8) = 0{OK}", f"r1 = map[fd {RING}]\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -16\ncall 198\nr1 = r10\nr1 += -16\nr2 = 0\ncall 199\n*(u64 *)(r10 - 8) = 0{OK}", "xdp"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "good", "kind"), PAIRS, ids=[row[0] for row in PAIRS])
def test_a_rule_refuses_what_breaks_it_and_nothing_else(
    rule: str, bad: str, good: str, kind: str
) -> None:
    verdict = rejected(request(bad, kind=kind, maps=all_maps()))

    assert verdict.rule.id == rule, verdict.detail
    accepted(request(good, kind=kind, maps=all_maps()))


UNPRIVILEGED = [
    ("stack-initialised", f"*(u64 *)(r10 - 16) = 7\nr0 = *(u64 *)(r10 - 8){OK}", f"*(u64 *)(r10 - 8) = 7\nr0 = *(u64 *)(r10 - 8){OK}"),
    ("no-address-stored", look_up(ARRAY, "*(u64 *)(r0 + 0) = r10"), look_up(ARRAY, "*(u64 *)(r0 + 0) = r7")),
    ("argument-no-leak", look_up(HASH, f"r3 = r0\nr2 = r10\nr2 += -8\nr1 = map[fd {HASH}]\nr4 = r10\ncall 2"), look_up(HASH, f"r3 = r0\nr2 = r10\nr2 += -8\nr1 = map[fd {HASH}]\nr4 = 0\ncall 2")),
    ("pointer-comparison", f"if r1 == r10 goto +0{OK}", f"r2 = 1\nif r2 == 1 goto +0{OK}"),
    ("spill-uncorrupted", f"*(u64 *)(r10 - 8) = r1\n*(u8 *)(r10 - 8) = 0{OK}", f"*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 8) = 0{OK}"),
    ("unprivileged-pointer-bounds", f"r2 = r10\nr2 += -520{OK}", f"r2 = r10\nr2 += -512{OK}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "bad", "good"), UNPRIVILEGED, ids=[row[0] for row in UNPRIVILEGED]
)
def test_unprivileged_programs_keep_addresses_to_themselves(rule: str, bad: str, good: str) -> None:
    verdict = rejected(request(bad, maps=all_maps(), privileged=False))

    assert verdict.rule.id == rule, verdict.detail
    accepted(request(good, maps=all_maps(), privileged=False))
    accepted(request(bad, maps=all_maps()))


def test_a_spilled_pointer_comes_back_as_it_was() -> None:
    accepted(request(f"*(u64 *)(r10 - 8) = r1\nr2 = *(u64 *)(r10 - 8)\nr3 = *(u32 *)(r2 + 0){OK}"))


def test_a_spilled_number_keeps_its_range() -> None:
    text = look_up(
        HASH,
        "r1 = *(u8 *)(r0 + 0)\nr1 &= 31\n*(u64 *)(r10 - 16) = r1\nr2 = *(u64 *)(r10 - 16)\n"
        "r0 += r2\nr3 = *(u64 *)(r0 + 8)",
    )

    accepted(request(text, maps=all_maps()))


def test_a_helper_that_writes_forgets_what_was_on_the_stack() -> None:
    text = f"""
        r6 = r1
        *(u64 *)(r10 - 8) = 5
        r1 = r6
        r2 = 0
        r3 = r10
        r3 += -8
        r4 = 8
        call 26
        r1 = *(u64 *)(r10 - 8)
        if r1 == 5 goto +1
        r0 = r9
        {OK}
    """

    assert rejected(request(text)).rule.id == "register-initialised"


def test_packet_pointers_die_when_the_packet_may_move() -> None:
    text = f"""
        r6 = r1
        r7 = *(u32 *)(r1 + 76)
        r3 = *(u32 *)(r1 + 80)
        r4 = r7
        r4 += 14
        if r4 > r3 goto out
        r2 = 0
        call 39
        r0 = *(u8 *)(r7 + 0)
        {OUT}
    """

    assert rejected(request(text, kind="sched_cls")).rule.id == "access-through-pointer"


def test_an_inner_map_is_a_map_once_it_is_not_null() -> None:
    then = "r1 = r0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\ncall 1\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 0)"

    accepted(request(look_up(NESTED, then), maps=all_maps(), kind="xdp"))


def test_a_known_key_of_an_array_needs_no_null_check() -> None:
    text = f"*(u32 *)(r10 - 8) = {{}}\nr2 = r10\nr2 += -8\nr1 = map[fd {ARRAY}]\ncall 1\nr1 = *(u8 *)(r0 + 0){OK}"

    accepted(request(text.format(3), maps=all_maps()))
    assert rejected(request(text.format(4), maps=all_maps())).rule.id == "access-through-pointer"


def test_loads_of_context_pointers_are_rewritten_to_native_slots() -> None:
    proof = accepted(request(f"r2 = *(u32 *)(r1 + 76){OK}", kind="sched_cls"))

    assert (proof.insns[0].code, proof.insns[0].off) == (0x79, 192)
    assert proof.request.insns[0].off == 76


def test_a_constant_of_a_frozen_map_is_known() -> None:
    text = f"r1 = map[fd {FROZEN}][0] + 0\nr2 = *(u8 *)(r1 + 0)\nif r2 == 0x25 goto +1\nr0 = r9{OK}"

    proof = accepted(request(text, maps=all_maps()))

    assert proof.seen[4] == 0


def test_calls_and_accesses_are_described_to_the_compiler() -> None:
    proof = accepted(request(look_up(ARRAY, "r1 = *(u8 *)(r0 + 0)"), maps=all_maps()))

    fact = next(iter(proof.calls.values()))
    assert (fact.helper, fact.map.id if fact.map else 0) == (1, ARRAY)
    assert list(proof.memory).count(3) == 1
