"""Which stack slots matter: followed through registers, spills and helper arguments."""

from skep.verifier.cfg import KernelCalls, check_flow
from skep.verifier.decode import decode
from skep.verifier.liveness import compute_liveness, note_reads
from skep.verifier.program import Step
from support.verify_maps import ARRAY, HASH, NESTED, all_maps
from support.verify_text import request

ALL = -1
FP8, FP16, FP24 = 1, 2, 4


def _steps(text: str, walked: set[int] | None = None) -> list[Step]:
    program = decode(request(text, maps=all_maps()))
    check_flow(program, privileged=True, kernel=KernelCalls())
    compute_liveness(program)
    steps = [step for step in program.steps if step is not None]
    for step in steps:
        if walked is None or step.pc in walked:
            note_reads(program, step)
    return steps


def _live(text: str) -> list[int]:
    return [step.live_slots for step in _steps(text)]


def test_a_slot_matters_until_it_is_read_for_the_last_time() -> None:
    text = "*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit"

    assert _live(text) == [0, FP8, 0]


def test_a_whole_store_makes_the_old_value_irrelevant_and_half_of_one_does_not() -> None:
    whole = "r0 = 0\n*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit"
    half = "r0 = 0\n*(u32 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit"

    assert _live(whole)[0] == 0
    assert _live(half)[0] == FP8


def test_a_pointer_is_followed_through_arithmetic_and_a_spill() -> None:
    text = """
    r2 = r10
    r2 += -16
    *(u64 *)(r10 - 24) = r2
    r2 = 0
    r3 = *(u64 *)(r10 - 24)
    r0 = *(u64 *)(r3 + 8)
    exit
    """

    assert _live(text) == [FP8, FP8, FP8, FP8 | FP24, FP8 | FP24, FP8, 0]


def test_a_pointer_moved_by_an_unknown_amount_may_reach_every_slot() -> None:
    text = "r2 = *(u32 *)(r1 + 0)\nr3 = r10\nr3 += r2\nr0 = *(u8 *)(r3 - 8)\nexit"

    assert _live(text)[0] == ALL


def test_a_pointer_stored_at_an_unknown_place_loses_track_of_all() -> None:
    text = "r2 = *(u32 *)(r1 + 0)\nr3 = r10\nr3 += r2\n*(u64 *)(r3 - 8) = r10\nr0 = 0\nexit"

    assert set(_live(text)) == {ALL}


def test_a_helper_reads_as_much_as_the_key_of_its_map() -> None:
    text = f"*(u64 *)(r10 - 16) = 0\nr2 = r10\nr2 += -16\nr1 = map[fd {HASH}]\ncall 1\nr0 = 0\nexit"

    assert _steps(text)[4].live_slots == FP16


def test_a_helper_with_a_constant_size_reads_that_much() -> None:
    text = "r1 = r10\nr1 += -24\nr2 = 12\ncall 6\nr0 = 0\nexit"

    assert _steps(text)[3].live_slots == FP24 | FP16


def test_a_buffer_that_a_helper_fills_is_not_read() -> None:
    text = "r2 = 0\nr3 = r10\nr3 += -16\nr4 = 16\ncall 26\nr0 = 0\nexit"

    assert _steps(text)[0].live_slots == 0


def test_a_callee_reads_what_it_reads_through_a_lent_pointer() -> None:
    text = """
    r1 = r10
    r1 += -24
    call f
    exit
    f: r2 = r1
    r0 = *(u64 *)(r2 + 8)
    exit
    """

    assert _steps(text)[2].live_slots == FP16


def test_a_callee_that_keeps_a_lent_pointer_may_read_every_slot() -> None:
    text = "r1 = r10\nr1 += -8\ncall f\nexit\nf: *(u64 *)(r10 - 8) = r1\nr0 = 0\nexit"

    assert _steps(text)[2].live_slots == ALL


def test_registers_are_live_where_some_way_reads_them() -> None:
    text = "r6 = r1\nr7 = 1\nif r6 == 0 goto +1\nr7 = 2\nr0 = r7\nexit"
    live = [step.live for step in _steps(text)]

    assert live == [0b10, 1 << 6, 1 << 6 | 1 << 7, 0, 1 << 7, 1]


def test_where_numbers_meet_the_larger_one_bounds_what_a_helper_reads() -> None:
    text = """
    r2 = *(u32 *)(r1 + 0)
    r1 = r10
    r1 += -24
    r3 = 8
    if r2 == 0 goto +1
    r3 = 16
    r2 = r3
    call 6
    r0 = 0
    exit
    """

    assert _live(text)[0] == FP16 | FP24


def test_where_maps_meet_the_one_with_larger_keys_bounds_what_a_helper_reads() -> None:
    text = f"""
    r3 = *(u32 *)(r1 + 0)
    r2 = r10
    r2 += -16
    r1 = map[fd {ARRAY}]
    if r3 == 0 goto +2
    r1 = map[fd {HASH}]
    call 1
    r0 = 0
    exit
    """

    assert _live(text)[0] == FP16


def test_an_unknown_map_has_keys_no_larger_than_those_of_the_maps_it_may_be() -> None:
    text = f"""
    *(u32 *)(r10 - 16) = 0
    r2 = r10
    r2 += -16
    r1 = map[fd {NESTED}]
    call 1
    if r0 == 0 goto +5
    r1 = r0
    r2 = r10
    r2 += -16
    call 1
    r0 = 0
    exit
    """

    assert _live(text)[-6] == FP16


def test_only_what_has_been_walked_reads() -> None:
    text = """
    r0 = 0
    if r1 == 0 goto +1
    r0 = *(u64 *)(r10 - 8)
    r0 = *(u64 *)(r10 - 16)
    exit
    """

    steps = _steps(text, walked={0, 1, 3, 4})

    assert [step.live_slots for step in steps] == [FP16, FP16, FP16, FP16, 0]
    assert _live(text)[0] == FP8 | FP16
