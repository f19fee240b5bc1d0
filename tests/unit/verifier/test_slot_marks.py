"""Which stack slots matter: what walked instructions read, carried backwards and to callers."""

from skep.uapi.program_types import XDP
from skep.verifier.cfg import KernelCalls, check_flow
from skep.verifier.decode import decode
from skep.verifier.liveness import compute_liveness
from skep.verifier.program import Program
from skep.verifier.slot_marks import Instance
from support.verify_text import request

FP8, FP16 = 1, 2

STRAIGHT = "r0 = 0\n*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit"
FORKED = """
    r0 = 0
    if r1 == 0 goto other
    r0 = *(u64 *)(r10 - 8)
    exit
    other: r0 = *(u64 *)(r10 - 16)
    exit
    """
LOOP = """
    r1 = 4
    again: r0 = *(u64 *)(r10 - 8)
    r1 += -1
    if r1 != 0 goto again
    exit
    """
CALL = """
    r0 = 0
    call f
    r0 = *(u64 *)(r10 - 16)
    exit
    f: if r1 == 0 goto out
    r0 = 1
    out: r0 = 2
    exit
    """
LOOPS = """
    r1 = 4
    r2 = func[f]
    r3 = r10
    r4 = 0
    call 181
    r0 = 0
    exit
    f: r0 = 0
    exit
    """


def _program(text: str) -> Program:
    program = decode(request(text))
    check_flow(program, privileged=True, kernel=KernelCalls())
    compute_liveness(program, XDP.id)
    return program


def _entry(text: str) -> Instance:
    program = _program(text)
    return Instance(program, program.functions[0], None, -1)


def _live(instance: Instance, count: int, frame: int = 0) -> list[int]:
    return [instance.live_before(frame, pc) for pc in range(count)]


def test_a_slot_matters_from_its_last_whole_store_to_its_last_read() -> None:
    instance = _entry(STRAIGHT)
    instance.note_store(0, 1, FP8)
    instance.note_read(0, 2, FP8)
    instance.settle()

    assert _live(instance, 4) == [0, 0, FP8, 0]


def test_a_store_of_less_than_a_slot_leaves_the_old_value_mattering() -> None:
    instance = _entry(STRAIGHT)
    instance.note_store(0, 1, 0)
    instance.note_read(0, 2, FP8)
    instance.settle()

    assert _live(instance, 4) == [FP8, FP8, FP8, 0]


def test_a_store_that_once_goes_elsewhere_overwrites_nothing() -> None:
    instance = _entry(STRAIGHT)
    instance.note_store(0, 1, FP8)
    instance.note_read(0, 2, FP8)
    instance.settle()
    instance.note_store(0, 1, FP16)
    instance.settle()

    assert _live(instance, 4) == [FP8, FP8, FP8, 0]

    instance.note_store(0, 1, FP8)
    instance.settle()

    assert _live(instance, 4) == [FP8, FP8, FP8, 0]


def test_only_ways_that_were_walked_count() -> None:
    instance = _entry(FORKED)
    instance.note_read(0, 2, FP8)
    instance.settle()

    assert _live(instance, 6) == [FP8, FP8, FP8, 0, 0, 0]

    instance.note_read(0, 4, FP16)
    instance.settle()

    assert _live(instance, 6) == [FP8 | FP16, FP8 | FP16, FP8, 0, FP16, 0]


def test_marks_matter_once_they_are_settled() -> None:
    instance = _entry(STRAIGHT)
    instance.note_read(0, 2, FP8)

    assert _live(instance, 4) == [0, 0, 0, 0]

    instance.settle()

    assert _live(instance, 4) == [FP8, FP8, FP8, 0]


def test_what_a_loop_reads_matters_all_round_it() -> None:
    instance = _entry(LOOP)
    instance.note_read(0, 1, FP8)
    instance.settle()

    assert _live(instance, 5) == [FP8, FP8, FP8, FP8, 0]


def test_what_a_function_reads_of_its_callers_frame_matters_before_the_call() -> None:
    program = _program(CALL)
    main = Instance(program, program.functions[0], None, -1)
    callee = main.callee(program.functions[1], 1)
    main.note_read(0, 2, FP16)
    callee.note_read(0, 5, FP8)
    callee.settle()
    main.settle()

    assert _live(main, 4) == [FP8 | FP16, FP8 | FP16, FP16, 0]
    assert callee.live_before(0, 6) == 0
    assert main.callee(program.functions[1], 1) is callee


def test_what_a_function_overwrites_on_every_way_does_not_matter_before_the_call() -> None:
    program = _program(CALL)
    main = Instance(program, program.functions[0], None, -1)
    callee = main.callee(program.functions[1], 1)
    main.note_read(0, 2, FP8 | FP16)
    callee.note_store(0, 5, FP8)  # on one of two ways
    callee.note_store(0, 6, FP16)  # where they meet
    callee.settle()
    main.settle()

    assert _live(main, 4) == [FP8, FP8, FP8 | FP16, 0]


def test_a_function_that_once_overwrites_less_takes_back_what_it_said() -> None:
    program = _program(CALL)
    main = Instance(program, program.functions[0], None, -1)
    callee = main.callee(program.functions[1], 1)
    main.note_read(0, 2, FP8)
    callee.note_store(0, 6, FP8)
    callee.settle()
    main.settle()

    assert main.live_before(0, 0) == 0

    callee.note_store(0, 6, 0)
    callee.settle()
    main.settle()

    assert main.live_before(0, 0) == FP8


def test_a_callback_that_may_not_run_overwrites_nothing_for_its_caller() -> None:
    program = _program(LOOPS)
    main = Instance(program, program.functions[0], None, -1)
    call = next(step.pc for step in program.steps if step is not None and step.calls_callback)
    callback = main.callee(program.functions[1], call)
    main.note_read(0, call + 1, FP8)
    callback.note_store(0, program.functions[1].start, FP8)
    callback.settle()
    main.settle()

    assert main.live_before(0, call) == FP8


def test_the_same_function_called_elsewhere_has_marks_of_its_own() -> None:
    program = _program(CALL)
    main = Instance(program, program.functions[0], None, -1)
    here, there = main.callee(program.functions[1], 1), main.callee(program.functions[1], 2)
    here.note_read(0, 5, FP8)
    here.settle()

    assert here.live_before(0, 4) == FP8
    assert there.live_before(0, 4) == 0


def test_a_jump_back_is_known_by_where_it_leads() -> None:
    assert _program(LOOP).jumps_to == {1: [3]}
