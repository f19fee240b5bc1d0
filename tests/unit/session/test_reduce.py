"""Reducing: what is left breaks the same rule, is short, and can be read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.isa.assembler import assemble as instructions
from skep.isa.insn import Insn
from skep.session.assembly import request_of
from skep.session.assembly_text import write_text
from skep.session.reduce import Reduced, is_same_again, reduce, shape_of
from skep.session.reduce_edit import assemble, lines_of, simpler
from skep.session.verdicts import examine_file
from skep.verifier import Rejected, verify
from skep.verifier.interface import Request

OBJECTS = Path(__file__).parents[2] / "objects"
LOOK_UP = "r2 = r10\nr2 += -4\n*(u32 *)(r10 - 4) = 0\nr1 = map[fd 7]\ncall bpf_map_lookup_elem\n"
PADDING = "r7 = 5\nr7 *= 3\nif r7 > 20 goto +1\nr7 = 9\n"


def reduced(text: str, kernel: Btf | None = None) -> Reduced:
    found = reduce(request_of(text, kernel))
    assert found is not None
    return found


def test_what_has_no_part_in_it_is_gone() -> None:
    body = f"{PADDING}{LOOK_UP}{PADDING}r1 = *(u64 *)(r0 + 0)\nr0 = 0\nexit"
    found = reduced(f".type xdp\n.map 7 hash 4 8 1\n{body}")

    assert (found.rejected.rule.id, found.finished) == ("access-through-pointer", True)
    assert found.rejected.detail == found.original.detail
    assert "r7" not in found.text
    assert found.after < found.before - 8
    assert is_same_again(found)


def test_nothing_more_can_be_deleted() -> None:
    found = reduced(f".map 7 hash 4 8 1\n{LOOK_UP}{PADDING}r1 = *(u64 *)(r0 + 0)\nr0 = 0\nexit")
    lines = lines_of(found.request.insns)
    for index in range(len(lines)):
        rest = assemble(lines[:index] + lines[index + 1 :])
        assert rest is not None
        try:
            verify(request_of(write_text(_with(found, rest)), None))
        except Rejected as other:
            same = other.rule is found.rejected.rule
            assert (
                not same
                or shape_of(other.detail) != shape_of(found.rejected.detail)
                or (other.insn != found.rejected.insn)
            )


def _with(found: Reduced, insns: list[Insn]) -> Request:
    return replace(found.request, insns=insns)


def test_functions_and_their_prototypes_stay_together() -> None:
    text = (
        ".func static main int\n.func global f int int\n"
        "main: r6 = 1\nr6 += 2\nr1 = 5\ncall f\nr0 = 0\nexit\nf: r7 = 3\nr0 = r8\nexit"
    )
    found = reduced(text)

    assert found.rejected.rule.id == "register-initialised"
    assert found.after <= 4
    assert is_same_again(found)


def test_types_that_the_verdict_needs_are_kept() -> None:
    kernel = Btf.parse(SHIPPED.read_bytes())
    text = (
        ".type sched_cls\n.map 7 array 4 12 4 field=bpf_spin_lock@8\n"
        f"{PADDING}{LOOK_UP}if r0 == 0 goto out\n{PADDING}r1 = *(u32 *)(r0 + 8)\n"
        "out: r0 = 0\nexit"
    )
    found = reduced(text, kernel)

    assert found.rejected.rule.id == "special-field-untouched"
    assert "types=" in found.text
    assert is_same_again(found)


def test_attach_targets_maps_of_maps_and_flags_come_back() -> None:
    kernel = Btf.parse(SHIPPED.read_bytes())
    text = (
        ".type tracing\n.name t\n.license Dual BSD/GPL\n.attach trace_fentry bpf_fentry_test1\n"
        ".flags test_state_freq 256\n.unprivileged\n.map 1 array_of_maps 4 4 2 outer inner=2\n"
        ".map 2 array 4 8 1 flags=rdonly_prog frozen=0102\nr1 = map[fd 1]\n"
        "call kfunc[bpf_rcu_read_lock]\nr0 = r8\nexit\n"
    )
    wanted = request_of(text, kernel)
    again = request_of(write_text(wanted), kernel)

    assert write_text(again) == write_text(wanted)
    assert again.insns == wanted.insns
    assert (again.prog_flags, again.license, again.name) == (264, "Dual BSD/GPL", "t")
    assert (again.attach_btf_id, again.privileged) == (wanted.attach_btf_id, False)
    outer = again.environment.map_by_fd(1)
    assert outer is not None
    assert outer.inner is again.environment.map_by_fd(2)


def test_an_accepted_program_is_not_reduced() -> None:
    assert reduce(request_of("r0 = 0\nexit", None)) is None


def test_a_program_refused_as_a_whole_is_reduced_too() -> None:
    found = reduced(".type xdp\n.flags sleepable\n" + PADDING + "r0 = 0\nexit")

    assert (found.rejected.rule.id, found.rejected.pc) == ("sleepable-type", -1)
    assert found.after == 1


def test_time_is_limited() -> None:
    text = f".map 7 hash 4 8 1\n{LOOK_UP}r1 = *(u64 *)(r0 + 0)\nexit"
    found = reduce(request_of(text, None), seconds=0)

    assert found is not None
    assert (found.finished, found.before, found.after) == (False, 8, 8)


@pytest.mark.parametrize("name", ["refused", "hints"])
def test_objects_are_reduced_without_their_subsystem(name: str) -> None:
    reductions = []
    for examined in examine_file(OBJECTS / f"{name}.bpf.o"):
        if examined.verdict.verdict == "rejected" and examined.request is not None:
            found = reduce(examined.request)
            assert found is not None
            assert found.rejected.rule.id == examined.verdict.rule
            assert is_same_again(found)
            reductions.append(found)

    assert reductions


def test_jumps_follow_what_they_jump_to() -> None:
    lines = lines_of(instructions("if r1 == 0 goto +3\nr2 = 1 ll\nr3 = 1\nr0 = 0\nexit"))
    without = assemble(lines[:1] + lines[2:])

    assert assemble(lines) == instructions("if r1 == 0 goto +3\nr2 = 1 ll\nr3 = 1\nr0 = 0\nexit")
    assert without == instructions("if r1 == 0 goto +1\nr3 = 1\nr0 = 0\nexit")
    assert assemble(lines[:1] + lines[4:]) == instructions("if r1 == 0 goto +0\nexit")


def test_simplifying_ends() -> None:
    for line in lines_of(instructions("r1 += 1000\nif r1 > 5 goto +1\ncall 5\nexit\nexit")):
        waiting, steps = [line], 0
        while waiting:
            steps += 1
            assert steps < 200
            waiting += simpler(waiting.pop())


def test_the_shape_of_a_diagnostic_has_no_numbers() -> None:
    assert shape_of("R3 invalid, off=8 R1=scalar(umax=0xff,var_off=(0x0; 0xff))") == shape_of(
        "R5 invalid, off=16 R1=scalar(umax=7,var_off=(0x0; 0x7))"
    )
