"""Context accesses and helper sets: skep's tables against the running kernel, case by case."""

from collections.abc import Iterator

import pytest

from skep.uapi.access import access, may_sign_extend
from skep.uapi.contexts import Context
from skep.uapi.contexts import by_name as context_by_name
from skep.uapi.program_types import (
    PROGRAM_TYPES,
    ProgramType,
    effective_attach_type,
    may_call,
    may_have_attach_type,
)
from support.running_kernel import EXIT, RETURN_ONE, RunningKernel, insn, missing

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

SLEEPABLE = 1 << 4
LOAD = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
LOAD_SIGNED = {1: 0x91, 2: 0x89, 4: 0x81}
STORE = {1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}
# lirc_mode2 is not built into the oracle; typed programs have no table
ASKED = [row for row in PROGRAM_TYPES if row.context and row.name != "lirc_mode2"]


def attach_types(row: ProgramType) -> tuple[int, ...]:
    return row.attach_types if row.attach_checked or row.name == "xdp" else (0,)


def offsets(context: Context) -> Iterator[int]:
    if context.size < 1000:
        yield from range(context.size + 9)
        return
    yield from range(40)
    yield from range(context.size - 20, min(context.size + 9, 0x7FFF))


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.name)
def test_context_accesses_are_those_of_the_kernel(row: ProgramType) -> None:
    kernel, context = RunningKernel(), context_by_name(row.context)
    assert context is not None
    flags = SLEEPABLE if row.sleepable_only else 0
    different = []
    for attach_type in attach_types(row):
        effective = effective_attach_type(row, attach_type)
        for offset in offsets(context):
            for size in (1, 2, 4, 8):
                for name, code, write in (
                    ("load", insn(LOAD[size], 2, 1, offset), False),
                    ("store", insn(STORE[size], 1, 0, offset), True),
                ):
                    ours = access(context, row.id, effective, offset, size, write) is not None
                    program = RETURN_ONE + code + EXIT
                    if ours != kernel.accepts(row.id, program, attach_type, flags):
                        different.append((attach_type, offset, size, name, ours))

    assert different == []


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.name)
def test_sign_extending_loads_are_those_of_the_kernel(row: ProgramType) -> None:
    kernel, context = RunningKernel(), context_by_name(row.context)
    assert context is not None
    flags = SLEEPABLE if row.sleepable_only else 0
    different = []
    for attach_type in attach_types(row):
        effective = effective_attach_type(row, attach_type)
        for offset in offsets(context):
            for size in (1, 2, 4):
                field = access(context, row.id, effective, offset, size, False)
                ours = field is not None and may_sign_extend(field)
                program = RETURN_ONE + insn(LOAD_SIGNED[size], 2, 1, offset) + EXIT
                if ours != kernel.accepts(row.id, program, attach_type, flags):
                    different.append((attach_type, offset, size, ours))

    assert different == []


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.name)
def test_helper_sets_are_those_of_the_kernel(row: ProgramType) -> None:
    kernel = RunningKernel()
    flags = SLEEPABLE if row.sleepable_only else 0
    different = []
    for attach_type in attach_types(row):
        effective = effective_attach_type(row, attach_type)
        for helper in range(1, 212):
            program = insn(0x85, imm=helper) + RETURN_ONE + EXIT
            result, log = kernel.load(
                row.id, program, attach_type=attach_type, flags=flags, log_level=1
            )
            if result >= 0:
                kernel.close(result)
            theirs = "cannot use helper" not in log and "invalid func" not in log
            if theirs != may_call(row, helper, effective):
                different.append((attach_type, helper, theirs))

    assert different == []


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.name)
def test_expected_attach_types_are_those_of_the_kernel(row: ProgramType) -> None:
    kernel = RunningKernel()
    flags = SLEEPABLE if row.sleepable_only else 0
    taken = [
        attach_type
        for attach_type in range(58)
        if kernel.accepts(row.id, RETURN_ONE + EXIT, attach_type, flags)
    ]

    assert taken == [
        attach_type
        for attach_type in range(58)
        if may_have_attach_type(row, effective_attach_type(row, attach_type))
    ]
