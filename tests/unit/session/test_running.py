"""Program.run and run_batch: from within a run, on odd arguments, on every kind of program."""

from array import array
from pathlib import Path

import pytest

import skep
from skep.attach.packets import Batch
from skep.engine.llvm.background import background
from skep.session.objects import new_subsystem
from skep.session.programs import Program
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.uapi.commands import MAP_UPDATE_ELEM
from support.caller import EXIT, RETURN_ONE, Caller, insn

SCHED_CLS, SYSCALL, RAW_TRACEPOINT = 3, 31, 17
PROG_ARRAY = 3
SLEEPABLE = 1 << 4
OBJECTS = Path(__file__).parents[2] / "objects"
PRINT = (
    insn(0x62, 10, 0, -8, 0x41) + insn(0xBF, 1, 10) + insn(0x07, 1, imm=-8)
    + insn(0xB7, 2, imm=2) + insn(0x85, imm=6)
)  # fmt: skip


def program_of(caller: Caller, code: bytes, kind: int, **members: int) -> Program:
    fd = caller.program(code, kind, **members)
    target = caller.subsystem.state.objects.get("TEST", fd, Kind.PROG).target
    assert isinstance(target, LoadedProgram)
    return Program(caller.subsystem, target, fd, "test")


def batch_of(*packets: bytes) -> Batch:
    memory = array("B", b"".join(packets))
    batch, place = Batch(memory), memory.buffer_info()[0]
    for packet in packets:
        batch.add(place, len(packet))
        place += len(packet)
    return batch


def test_a_callback_may_run_the_program_that_called_it() -> None:
    # The outer batch held a lock that the inner one, on the same thread, waited for.
    lines: list[str] = []

    def again(line: str) -> None:
        lines.append(line)
        if len(lines) < 3:
            assert program.run_batch(batch) == {1: 1}

    caller = Caller(new_subsystem(printk=again))
    program = program_of(caller, PRINT + RETURN_ONE + EXIT, SCHED_CLS)
    batch = batch_of(bytes(64))

    assert program.run_batch(batch) == {1: 1}
    assert len(lines) == 3


def test_a_batch_that_failed_leaves_no_counts_to_the_next() -> None:
    failures = [KeyError("first")]

    def fail(_line: str) -> None:
        if failures:
            raise failures.pop()

    caller = Caller(new_subsystem(printk=fail))
    program = program_of(caller, PRINT + RETURN_ONE + EXIT, SCHED_CLS)
    with pytest.raises(KeyError):
        program.run_batch(batch_of(bytes(64)))

    assert program.run_batch(batch_of(bytes(64))) == {1: 1}


def test_a_batch_without_all_its_lengths_is_refused() -> None:
    batch = batch_of(bytes(64), bytes(64))
    batch.lengths.pop()
    with pytest.raises(ValueError, match="1 lengths for 2 packets"):
        program_of(Caller(), RETURN_ONE + EXIT, SCHED_CLS).run_batch(batch)


@pytest.mark.parametrize("repeat", [-1, 1 << 32])
def test_a_repeat_that_no_attr_can_hold_is_a_value_error(repeat: int) -> None:
    program = program_of(Caller(), RETURN_ONE + EXIT, SCHED_CLS)
    with pytest.raises(ValueError, match="repeat"):
        program.run(bytes(64), repeat=repeat)


def test_raw_tracepoints_run_with_and_without_arguments() -> None:
    # Their test runs take neither ctx_out nor repeat, and were refused for both.
    first = program_of(Caller(), insn(0x79, 0, 1, 0) + EXIT, RAW_TRACEPOINT)
    one = program_of(Caller(), RETURN_ONE + EXIT, RAW_TRACEPOINT)

    assert first.run(ctx=b"\7" + bytes(7)).retval == 7
    assert one.run().retval == 1


def test_the_context_that_a_syscall_program_changed_comes_back() -> None:
    store = insn(0x72, 1, 0, 0, 9)
    program = program_of(Caller(), store + RETURN_ONE + EXIT, SYSCALL, prog_flags=SLEEPABLE)

    assert program.run(ctx=bytes(8)).ctx_out == b"\x09" + bytes(7)


def test_a_long_batch_does_not_use_the_heap_up() -> None:
    # Each packet allocates and drops 4000 bytes: the heap has room for 32 000 of them.
    with skep.load(OBJECTS / "allocs.bpf.o") as loaded:
        memory = array("B", bytes(64))
        place = array("Q", [memory.buffer_info()[0]])
        batch = Batch(memory, place * 70_000, array("I", [64]) * 70_000)

        assert loaded.programs["takes"].run_batch(batch) == {1: 70_000}


def test_a_program_that_only_tail_calls_reach_is_compiled_too() -> None:
    caller = Caller(new_subsystem())
    program = program_of(caller, RETURN_ONE + EXIT, SCHED_CLS)
    entry = program.loaded.entry
    assert entry.hot(0) == entry.address
    array_fd = caller.map(PROG_ARRAY, 4, 4, 1)
    key, value = caller.keep(bytes(4)), caller.keep(program.fd.to_bytes(4, "little"))
    caller.call(MAP_UPDATE_ELEM, map_fd=array_fd, key=key, value=value)
    background().settle()

    assert entry.hot(0) != entry.address
