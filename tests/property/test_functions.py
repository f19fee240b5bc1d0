"""Laws of programs on functions of other programs.

An extension does what the function would do if it had the extension's code; and what traces a
function changes nothing, and sees each call.
"""

import random

import pytest

from skep.engine.interpreter import Interpreter
from skep.errors import RunError
from skep.isa.codec import encode
from skep.isa.table import OPS, Kind, Sem, Use, make, slot
from skep.runtime.block import Limits
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.subsystem import Subsystem
from support.caller import Caller, insn
from support.functions import (
    FENTRY,
    FEXIT,
    TRACING,
    Fn,
    link,
    load_on,
    load_target,
    number,
    run,
    tracer,
)
from support.programs import DIVISIONS, SHIFTS

ALU = [op for op in OPS if op.kind is Kind.ALU and op.sem is not Sem.PERCPU]
ROUNDS = 8


def subsystems() -> dict[str, Subsystem]:
    world = World()
    plain = Interpreter(tuple(helper_codes(world)), kfuncs=tuple(kfunc_codes(world)))
    return {
        "compiled": Subsystem(),
        "metered": Subsystem(World(limits=Limits(1 << 20, 0))),
        "interpreted": Subsystem(world, plain),
    }


def arithmetic(rng: random.Random, length: int) -> bytes:
    """A function of two numbers, with a jump or a loop."""
    code = [slot("mov64_reg", 0, 1), slot("mov64_imm", 3, imm=rng.randrange(1000))]
    code += [slot("mov64_imm", register, imm=register) for register in (4, 5)]
    for _ in range(length):
        op = rng.choice(ALU)
        imm = rng.choice((1, 3, 7, -1, 31, 1000)) if op.imm is Use.NUMBER else 0
        if op.sem in SHIFTS:
            imm = abs(imm) % op.bits if imm else 0
        if op.sem in DIVISIONS and op.imm is Use.NUMBER:
            imm = imm or 3
        code.append(make(op, rng.randrange(6), rng.randrange(6) if op.reg_source else 0, 0, imm))
        if rng.random() < 0.1:
            code.append(slot("jne64_imm", rng.randrange(6), off=1, imm=rng.randrange(3)))
            code.append(slot("mov64_imm", rng.randrange(6), imm=rng.randrange(99)))
    return encode([*code, slot("exit")])


@pytest.mark.parametrize("name", ["compiled", "metered", "interpreted"])
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_an_extension_does_what_the_function_would_with_its_code(seed: int, name: str) -> None:
    rng, caller = random.Random(seed), Caller(subsystems()[name])
    old, new = arithmetic(rng, 8), arithmetic(rng, 12)
    target, wanted = (
        load_target(caller, (Fn("change", "int, u64", code=code), Fn("other", "int, int")))
        for code in (old, new)
    )
    assert min(target.fd, wanted.fd) >= 0, target.log + wanted.log
    before = run(caller, target.fd)
    patch = load_on(caller, target, "change", Fn("patch", "int, u64", code=new))
    assert patch.fd >= 0, patch.log
    held = link(caller, patch.fd)

    assert run(caller, target.fd) == run(caller, wanted.fd)
    caller.subsystem.close(held)
    assert run(caller, target.fd) == before


@pytest.mark.parametrize("name", ["compiled", "metered", "interpreted"])
@pytest.mark.parametrize("seed", range(0, ROUNDS, 3))
def test_what_traces_a_function_changes_nothing_and_sees_its_result(seed: int, name: str) -> None:
    rng, caller = random.Random(seed), Caller(subsystems()[name])
    target = load_target(caller, (Fn("change", "int, u64", code=arithmetic(rng, 8)),))
    assert target.fd >= 0, target.log
    before, seen = run(caller, target.fd), caller.map(2, value=8, entries=1)
    store = insn(0x18, 1, 2, imm=seen) + insn(0) + insn(0x7B, 1, 6) + number(0)
    for word, attach_type in ((0, FENTRY), (1, FENTRY), (2, FEXIT)):
        code = insn(0x79, 6, 1, off=8 * word) + store
        sees = load_on(caller, target, "change", tracer(code), TRACING,
                       expected_attach_type=attach_type)  # fmt: skip
        assert link(caller, sees.fd, attach_type=attach_type) >= 0, sees.log

    assert run(caller, target.fd) == before
    found = caller.fetch(seen, bytes(4))
    assert isinstance(found, bytes)
    assert int.from_bytes(found[:4], "little") == before


# --- what an extension may do ---------------------------------------------------------------------


def extended(caller: Caller, code: bytes, own: bytes = b"", takes: str = "ctx, int") -> int:
    """What the target returns with an extension of *code* in the place of a function."""
    target = load_target(caller, (Fn("change", takes, code=own or number(7)),))
    assert target.fd >= 0, target.log
    patch = load_on(caller, target, "change", Fn("patch", takes, code=code))
    assert patch.fd >= 0, patch.log
    assert link(caller, patch.fd) >= 0
    return run(caller, target.fd)


@pytest.mark.parametrize("name", ["compiled", "metered", "interpreted"])
def test_an_extension_makes_tail_calls_and_its_caller_goes_on(name: str) -> None:
    caller = Caller(subsystems()[name])
    array = caller.map(3, value=4)
    callee = load_target(caller, (Fn("add", code=number(40)),))
    adjust = insn(0xB7, 2) + insn(0x85, imm=44) + number(7)
    code = insn(0x18, 2, 1, imm=array) + insn(0) + insn(0xB7, 3) + insn(0x85, imm=12) + number(9)
    assert extended(caller, code, adjust) == 9
    assert caller.store(array, bytes(4), callee.fd.to_bytes(4, "little")) == 0

    assert extended(caller, code, adjust) == 40


@pytest.mark.parametrize("name", ["compiled", "metered", "interpreted"])
def test_an_extension_has_a_stack_and_maps_of_its_own(name: str) -> None:
    caller = Caller(subsystems()[name])
    counts = caller.map(2, value=8, entries=1)
    code = insn(0x62, 10, off=-4) + insn(0xBF, 2, 10) + insn(0x07, 2, imm=-4)
    code += insn(0x18, 1, 1, imm=counts) + insn(0) + insn(0x85, imm=1) + insn(0x55, off=2)
    code += number(0) + insn(0xB7, 1, imm=5) + insn(0xDB, 0, 1) + insn(0x79, 0) + insn(0x95)

    assert extended(caller, code) == 5
    assert caller.fetch(counts, bytes(4)) == (5).to_bytes(8, "little")


def test_an_extension_that_runs_out_of_fuel_stops_its_target() -> None:
    caller = Caller(Subsystem(World(limits=Limits(100, 0))))
    spin = insn(0xB7, 3, imm=2_000) + insn(0x17, 3, imm=1) + insn(0x55, 3, off=-2) + number(1)

    with pytest.raises(RunError, match="out of fuel"):
        extended(caller, spin)
