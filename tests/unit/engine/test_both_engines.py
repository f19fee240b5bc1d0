"""What each kind of instruction does, in both engines."""

from collections.abc import Callable, Sequence

import pytest

from skep.base.bits import U64
from skep.base.native import call, load64, native, wrap
from skep.engine.interface import Engine, HelperCode
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.machine import FULL
from skep.engine.llvm.start import START
from skep.engine.regions import NO_OBJECTS
from skep.errors import NotSupported, RunError
from skep.isa.insn import Insn
from skep.isa.table import slot
from skep.runtime.invocation import FAULT, FUEL, LINK_HEADER, NETWORK_HEADER
from skep.verifier.interface import Memory, Proof, Subprogram
from support.proofs import Run, prove

EXIT = slot("exit")


def wide(name: str, dst: int, low: int = 0, high: int = 0) -> list[Insn]:
    return [slot(f"ld_imm64_{name}", dst, imm=low), Insn(0, imm=high)]


@native
def add_up(run: int, x: int, y: int) -> int:
    return wrap(x * 10 + y + load64(run + FUEL))


@native
def repeat(run: int, count: int, function: int, context: int, flags: int) -> int:
    if flags:
        return wrap(0 - 22)
    done = 0
    while done < count:
        done += 1
        if call(function, run, done - 1, context):
            break
    return done


@native
def large(run: int, x: int) -> int:
    """Too large to come along into a program's module."""
    r = wrap(x + run - run)
    r = wrap(r * 3 + (r >> 7))
    r = wrap(r * 5 + (r >> 8))
    r = wrap(r * 7 + (r >> 9))
    r = wrap(r * 9 + (r >> 10))
    r = wrap(r * 11 + (r >> 11))
    r = wrap(r * 13 + (r >> 12))
    r = wrap(r * 15 + (r >> 13))
    r = wrap(r * 17 + (r >> 14))
    r = wrap(r * 19 + (r >> 15))
    r = wrap(r * 21 + (r >> 16))
    r = wrap(r * 23 + (r >> 17))
    r = wrap(r * 25 + (r >> 18))
    r = wrap(r * 27 + (r >> 19))
    r = wrap(r * 29 + (r >> 20))
    r = wrap(r * 31 + (r >> 21))
    r = wrap(r * 33 + (r >> 22))
    r = wrap(r * 35 + (r >> 23))
    r = wrap(r * 37 + (r >> 24))
    r = wrap(r * 39 + (r >> 25))
    r = wrap(r * 41 + (r >> 26))
    r = wrap(r * 43 + (r >> 27))
    r = wrap(r * 45 + (r >> 28))
    r = wrap(r * 47 + (r >> 29))
    r = wrap(r * 49 + (r >> 30))
    return r  # noqa: RET504


def in_python(*registers: int) -> int:
    return registers[1] - registers[2] - 1


def failing(*registers: int) -> int:
    raise ZeroDivisionError(f"{registers[1]:#x}")


ADD_UP, REPEAT, LARGE, IN_PYTHON, FAILING, MISSING = 5, 181, 7, 8, 14, 15
HELPERS = (
    HelperCode(ADD_UP, native=add_up),
    HelperCode(REPEAT, native=repeat),
    HelperCode(LARGE, native=large),
    HelperCode(IN_PYTHON, upcall=in_python),
    HelperCode(FAILING, upcall=failing),
)

LIBRARY = CompiledLibrary()
ENGINES: dict[str, Callable[[], Engine]] = {
    "interpreter": lambda: Interpreter(HELPERS),
    "interpreter with machine-code helpers": lambda: Interpreter(HELPERS, library=LIBRARY),
    "start": lambda: LlvmEngine(HELPERS, library=LIBRARY, tier=START),
    "llvm": lambda: LlvmEngine(HELPERS, library=LIBRARY, tier=FULL),
    "llvm, metered": lambda: LlvmEngine(HELPERS, library=LIBRARY, metered=True),
}


def compilers(objects: tuple[int, int] = NO_OBJECTS) -> list[LlvmEngine]:
    """One that only starts programs, and one that optimises them at once."""
    return [LlvmEngine(library=LIBRARY, objects=objects, tier=tier) for tier in (START, FULL)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    make = ENGINES[str(request.param)]
    return make()


def result(engine: Engine, proof: Proof) -> int:
    run = Run()
    return engine.compile(proof)(run.address, 0)


def call_helper(number: int) -> Insn:
    return slot("call_helper", imm=number)


def test_a_native_helper_gets_run_and_registers(engine: Engine) -> None:
    program = [slot("mov64_imm", 1, imm=4), slot("mov64_imm", 2, imm=2), call_helper(ADD_UP), EXIT]

    assert result(engine, prove(program)) == 42


def test_a_large_native_helper_is_the_same_function(engine: Engine) -> None:
    run = Run()
    program = [slot("mov64_imm", 1, imm=-5), call_helper(LARGE), EXIT]

    assert engine.compile(prove(program))(run.address, 0) == large(run.address, U64 - 4)


def test_a_helper_in_python_gives_a_negative_number_as_64_bits(engine: Engine) -> None:
    program = [
        slot("mov64_imm", 1, imm=4), slot("mov64_imm", 2, imm=5), call_helper(IN_PYTHON), EXIT,
    ]  # fmt: skip

    assert result(engine, prove(program)) == U64 - 1


def test_an_exception_in_a_helper_comes_out_of_the_run(engine: Engine) -> None:
    program = [slot("mov64_imm", 1, imm=0x77), call_helper(FAILING), EXIT]
    entry, run = engine.compile(prove(program)), Run()

    with pytest.raises(ZeroDivisionError, match="0x77"):
        entry(run.address, 0)
    assert run.get(FAULT) == 1


def test_a_missing_helper_is_refused_by_name(engine: Engine) -> None:
    proof = prove([call_helper(MISSING), EXIT])

    with pytest.raises(NotSupported, match="helper get_current_uid_gid"):
        result(engine, proof)


def test_a_callback_is_called_by_address(engine: Engine) -> None:
    program = [
        slot("stx_u64", 10, 1, off=-8),
        slot("st_u64", 10, off=-16, imm=100),
        slot("mov64_imm", 1, imm=5),
        *wide("func", 2),
        slot("mov64_reg", 3, 10),
        slot("add64_imm", 3, imm=-16),
        slot("mov64_imm", 4),
        call_helper(REPEAT),
        slot("ldx_u64", 1, 10, off=-16),
        slot("lsh64_imm", 0, imm=16),
        slot("or64_reg", 0, 1),
        EXIT,
        slot("ldx_u64", 0, 2),  # callback: *context += index, stop at 3
        slot("add64_reg", 0, 1),
        slot("stx_u64", 2, 0),
        slot("mov64_imm", 0),
        slot("jne64_imm", 1, off=1, imm=3),
        slot("mov64_imm", 0, imm=1),
        EXIT,
    ]
    parts = (Subprogram(0, 13, "main", 16), Subprogram(13, 20, "body", 0, is_callback=True))
    proof = prove(program, subprograms=parts, callback_at={3: 13})

    assert result(engine, proof) == 4 << 16 | 106


def test_a_subprogram_has_registers_and_a_stack_of_its_own(engine: Engine) -> None:
    program = [
        slot("st_u64", 10, off=-8, imm=1),
        slot("mov64_imm", 6, imm=1000),
        slot("mov64_reg", 1, 10),
        slot("mov64_imm", 2, imm=20),
        slot("call_local", imm=4),
        slot("ldx_u64", 1, 10, off=-8),
        slot("add64_reg", 0, 1),
        slot("add64_reg", 0, 6),
        EXIT,
        slot("mov64_imm", 6, imm=7),
        slot("st_u64", 10, off=-8, imm=5),
        slot("ldx_u64", 0, 1, off=-8),
        slot("add64_reg", 0, 2),
        slot("st_u64", 1, off=-8, imm=300),
        EXIT,
    ]
    parts = (Subprogram(0, 9, "main", 8), Subprogram(9, 15, "add", 8))

    assert result(engine, prove(program, subprograms=parts)) == 1321


def test_a_loop_may_begin_with_the_first_instruction(engine: Engine) -> None:
    program = [
        slot("ldx_u64", 0, 1),
        slot("add64_imm", 0, imm=5),
        slot("stx_u64", 1, 0),
        slot("jlt64_imm", 0, off=-4, imm=18),
        EXIT,
    ]
    run = Run(context=bytes([1, *bytes(7)]))

    assert engine.compile(prove(program))(run.address, run.context.address) == 21


def test_the_stack_reads_as_zero_where_nothing_was_written(engine: Engine) -> None:
    program = [slot("st_u8", 10, off=-3, imm=-1), slot("ldx_u64", 0, 10, off=-8), EXIT]
    entry, run = engine.compile(prove(program, depth=8)), Run()

    assert [entry(run.address, 0) for _ in range(3)] == [0xFF << 40] * 3


@pytest.mark.parametrize(
    ("insns", "packet", "expected"),
    [
        ([slot("ld_abs_u8", imm=1)], b"\x01\x82\x03\x04", 0x82),
        ([slot("ld_abs_u16", imm=1)], b"\x01\x82\x03\x04", 0x8203),
        ([slot("ld_abs_u32", imm=0)], b"\xf1\x82\x03\x04", 0xF1820304),
        ([slot("ld_abs_u32", imm=1)], b"\xf1\x82\x03\x04", 0),
        ([slot("ld_abs_u8", imm=-0x100000)], b"\x01\x02\x03\x04", 3),
        ([slot("ld_abs_u8", imm=-0x200000 + 1)], b"\x01\x02\x03\x04", 2),
        ([slot("ld_abs_u8", imm=-0x200001)], b"\x01\x02\x03\x04", 0),
        ([slot("mov64_imm", 7, imm=-1), slot("ld_ind_u8", 0, 7, imm=2)], b"\x01\x02\x03", 2),
        ([slot("mov64_imm", 7, imm=-1), slot("ld_ind_u8", 0, 7, imm=0)], b"\x01\x02\x03", 0),
    ],
)
def test_packet_words_are_big_endian_and_0_outside(
    engine: Engine, insns: Sequence[Insn], packet: bytes, expected: int
) -> None:
    run = Run(packet)
    run.put(LINK_HEADER, run.packet.address + 256)
    run.put(NETWORK_HEADER, run.packet.address + 258)
    program = [slot("mov64_imm", 0, imm=9), *insns, EXIT]

    assert engine.compile(prove(program))(run.address, run.context.address) == expected


def test_a_load_from_a_kernel_object_gives_0_outside_of_their_region() -> None:
    run = Run(context=bytes(range(64)))
    objects = (run.context.address + 8, 16)
    engines: list[Engine] = [Interpreter(objects=objects), *compilers(objects=objects)]
    for engine in engines:
        values = []
        for off in (0, 7, 8, 16, 17, 24, 2000):
            program = [slot("ldx_u64", 0, 1, off=off), EXIT]
            proof = prove(program, memory=bytes([Memory.BTF, 0]))
            values.append(engine.compile(proof)(run.address, run.context.address) & 0xFF)

        assert values == [0, 0, 8, 16, 0, 0, 0], engine.name


def test_a_load_that_wraps_around_the_address_space_gives_0() -> None:
    run = Run(context=bytes(range(64)))
    objects = (run.context.address, 64)
    engines: list[Engine] = [Interpreter(objects=objects), *compilers(objects=objects)]
    for engine in engines:
        program = [slot("mov64_imm", 1, imm=-4), slot("ldx_u64", 0, 1), EXIT]
        proof = prove(program, memory=bytes([0, Memory.BTF, 0]))

        assert engine.compile(proof)(run.address, run.context.address) == 0


def test_without_kernel_objects_every_such_load_gives_0(engine: Engine) -> None:
    proof = prove([slot("ldx_u64", 0, 1, off=8), EXIT], memory=bytes([Memory.BTF, 0]))

    assert result(engine, proof) == 0


@pytest.mark.parametrize("compiler", compilers(), ids=("start", "llvm"))
def test_may_goto_ends_a_loop_of_machine_code(compiler: LlvmEngine) -> None:
    program = [
        slot("mov64_imm", 0),
        slot("add64_imm", 0, imm=1),
        slot("may_goto", off=1),
        slot("ja", off=-3),
        EXIT,
    ]

    assert result(compiler, prove(program)) == (8 << 20) + 1


def test_a_metered_loop_stops_when_its_fuel_is_gone() -> None:
    program = [slot("mov64_imm", 0), slot("add64_imm", 0, imm=1), slot("ja", off=-2), EXIT]
    seen = bytes([1, 1, 1, 0])
    for engine in (Interpreter(), LlvmEngine(metered=True)):
        run, entry = Run(), engine.compile(prove(program, seen=seen))
        run.put(FUEL, 1000)
        with pytest.raises(RunError, match="fuel"):
            entry(run.address, 0)

        assert run.get(FAULT) == 2


def test_an_access_outside_of_every_region_is_refused_by_the_interpreter() -> None:
    for offset, kind in ((0, "reads"), (-520, "reads")):
        program = [slot("ldx_u64", 0, 10, off=offset), EXIT]
        with pytest.raises(RunError, match=f"insn 0: {kind} 8 bytes at 0x"):
            result(Interpreter(), prove(program))


def test_an_instruction_that_was_never_seen_is_not_run_by_the_interpreter() -> None:
    proof = prove([slot("mov64_imm", 0), EXIT], seen=bytes([1, 0]))

    with pytest.raises(RunError, match="insn 1: the verifier never came"):
        result(Interpreter(), proof)


def test_the_interpreter_tells_of_every_step() -> None:
    entry, run = Interpreter().compile(prove([slot("mov64_imm", 0, imm=3), EXIT])), Run()
    steps: list[tuple[int, int]] = []
    entry.step = lambda pc, registers: steps.append((pc, registers[0]))
    entry(run.address, 0)

    assert steps == [(0, 0), (1, 3)]


def test_a_branch_that_was_never_seen_is_not_compiled() -> None:
    program = [
        slot("jeq64_imm", 1, off=1, imm=0), slot("mov64_imm", 0, imm=1), call_helper(MISSING), EXIT,
    ]  # fmt: skip
    text = LlvmEngine().ir(prove(program, seen=bytes([1, 1, 0, 0])))

    assert "llvm.trap" in text
