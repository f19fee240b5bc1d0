"""How many registers a call reads, beside what the running kernel says of it at log level 2.

States are compared without the registers that nothing reads: one too few here is a hole.
"""

import re
from dataclasses import replace
from functools import cache

import pytest

from skep.btf.kinds import Kind
from skep.isa.insn import Insn
from skep.session.assembly import request_of
from skep.uapi.helpers import HELPERS
from skep.uapi.kfuncs import KFUNCS
from skep.uapi.program_types import (
    KPROBE,
    PROGRAM_TYPES,
    SCHED_CLS,
    SYSCALL,
    XDP,
    ProgramType,
)
from skep.verifier import Request
from skep.verifier.cfg import check_flow
from skep.verifier.decode import decode
from skep.verifier.kernel_calls import find_kernel_calls
from skep.verifier.liveness import compute_liveness
from support import kernel
from support.running_kernel import missing
from support.verify_case import kernel_btf

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.slow,
]
LIVE = re.compile(r"^\s+0: ([.0-9]{10}) ", re.MULTILINE)
UNKNOWN = ("unknown", "cannot use helper", "is not allowed")  # there all five count as read


def _theirs(call: Insn, program_type: int) -> str:
    """Registers live before *call* in the kernel; "" if it does not say, or does not know."""
    verdict = kernel.load([call, Insn(0x95)], program_type, log_size=1 << 16)
    found = LIVE.search(verdict.log)
    if found is None or any(words in verdict.log for words in UNKNOWN):
        return ""
    return found[1]


@cache
def _request() -> Request:
    return request_of("r0 = 0\nexit", kernel_btf())


def _ours(call: Insn, program_type: ProgramType) -> str:
    request = replace(_request(), program_type=program_type, insns=(call, Insn(0x95)))
    program = decode(request)
    calls = find_kernel_calls(program, request.environment.kernel_btf)
    check_flow(program, privileged=True, kernel=calls)
    compute_liveness(program, program_type.id)
    step = program.steps[0]
    assert step is not None
    return "".join(str(number) if step.live >> number & 1 else "." for number in range(10))


@pytest.mark.parametrize("row", PROGRAM_TYPES, ids=lambda row: row.name)
def test_a_helper_reads_as_many_registers_as_in_the_kernel(row: ProgramType) -> None:
    calls = {helper.name: Insn(0x85, imm=helper.id) for helper in HELPERS}
    said = {name: _theirs(call, row.id) for name, call in calls.items()}

    assert {name: _ours(calls[name], row) for name in said if said[name]} == {
        name: live for name, live in said.items() if live
    }


@pytest.mark.parametrize("row", [SYSCALL, SCHED_CLS, XDP, KPROBE], ids=lambda row: row.name)
def test_a_kernel_function_reads_as_many_registers_as_in_the_kernel(row: ProgramType) -> None:
    btf = kernel_btf()
    ids = {name: btf.by_name(name, Kind.FUNC) for name in KFUNCS}
    calls = {name: Insn(0x85, src=2, imm=number) for name, number in ids.items() if number}
    said = {name: _theirs(call, row.id) for name, call in calls.items()}

    assert {name: _ours(calls[name], row) for name in said if said[name]} == {
        name: live for name, live in said.items() if live
    }
