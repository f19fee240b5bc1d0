"""What a comparison with the end of the packet tells the compiler, and what becomes of it."""

import ctypes
import mmap
from collections.abc import Mapping

import pytest

from skep.base.native import store64
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.extents import extents
from skep.engine.llvm.machine import FULL
from skep.isa import flow
from skep.session.assembly import request_of
from skep.uapi.contexts import XDP_MD
from skep.verifier import verify
from skep.verifier.interface import Proof
from support.proofs import Run

BEGIN = ".type xdp\nr6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\nr9 = 0\n"
CHECK = "r0 = r6\nr0 += 1024\nif r0 > r7 goto out\n"
SEARCH = (
    "r4 = 0\nloop:\nr1 = r6\nr1 += r4\nr2 = *(u8 *)(r1 + 0)\nif r2 == 238 goto found\n"
    "r4 += 1\nif r4 != 1024 goto loop\ngoto out\nfound:\nr9 = r4\n"
)
END = "out:\nr0 = r9\nexit\n"
GUARDED = 3 * mmap.PAGESIZE


def proved(text: str) -> Proof:
    return verify(request_of(BEGIN + text + END, None))


def found(text: str) -> Mapping[int, tuple[int, int, bool]]:
    proof = proved(text)
    blocks = flow.blocks(proof.insns)
    return extents(proof, [block for block in blocks if proof.seen[block.start]])


def test_a_comparison_tells_how_far_the_packet_goes() -> None:
    assert found(CHECK + SEARCH) == {5: (0, 1024, False)}


@pytest.mark.parametrize(
    ("jump", "told"),
    [
        ("if r0 >= r7 goto out\n", (0, 1024, False)),
        ("if r7 < r0 goto out\n", (0, 1024, False)),
        ("if r7 <= r0 goto out\n", (0, 1024, False)),
        ("if r0 <= r7 goto in\ngoto out\nin:\n", (0, 1024, True)),
        ("if r0 < r7 goto in\ngoto out\nin:\n", (0, 1024, True)),
        ("if r7 >= r0 goto in\ngoto out\nin:\n", (0, 1024, True)),
    ],
)
def test_it_may_be_written_in_many_ways(jump: str, told: tuple[int, int, bool]) -> None:
    assert found(CHECK.replace("if r0 > r7 goto out\n", jump) + SEARCH) == {5: told}


def test_what_no_path_reaches_is_left_alone() -> None:
    never = "r3 = 1\nif r3 == 2 goto never\n"
    end = "goto out\nnever:\nr9 = 5\ngoto out\n"
    assert found(CHECK + never + SEARCH.replace("goto out\nfound", end + "found")) == {
        5: (0, 1024, False)
    }


def test_functions_without_loops_are_not_looked_at() -> None:
    assert found(CHECK + "r9 = *(u8 *)(r6 + 9)\n") == {}


def test_a_call_in_between_makes_it_unknown() -> None:
    text = "r8 = 1\nloop:\nr8 += 1\nif r8 != 9 goto loop\ncall 5\nr0 = r6\nr0 += 1024\n"

    assert found(f"{text}if r0 > r7 goto out\n") == {}


def test_a_sum_that_is_no_constant_is_unknown() -> None:
    text = "r8 = 1\nloop:\nr8 += 1\nif r8 != 9 goto loop\nr0 = r6\nr0 += r8\nr0 += 64\n"

    assert found(f"{text}if r0 > r7 goto out\n") == {}


def test_what_differs_by_the_way_there_is_unknown() -> None:
    text = "r8 = *(u32 *)(r1 + 12)\nr0 = r6\nr0 += 64\nif r8 == 0 goto same\nr0 += 64\nsame:\n"
    loop = "r8 = 0\nloop:\nr8 += 1\nif r8 != 9 goto loop\n"

    assert found(f"{text}{loop}if r0 > r7 goto out\n") == {}


def test_a_search_is_made_of_vectors() -> None:
    assert "pcmpeq" in LlvmEngine().assembly(proved(CHECK + SEARCH))


@pytest.mark.parametrize("at", [0, mmap.PAGESIZE - 1024])
@pytest.mark.parametrize("place", [0, 1, 500, 1022, 1023, 5000])
def test_a_search_reads_nothing_outside_of_the_packet(at: int, place: int) -> None:
    memory = mmap.mmap(-1, GUARDED)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, 2):
        libc.mprotect(ctypes.c_void_p(start + page * mmap.PAGESIZE), mmap.PAGESIZE, 0)
    packet, run = start + mmap.PAGESIZE + at, Run()
    if place < 1024:
        memory[mmap.PAGESIZE + at + place] = 238
    for name, address in (("data", packet), ("data_end", packet + 1024)):
        slot = XDP_MD.native_base + 8 * XDP_MD.field(name).slot
        store64(run.context.address + slot, address)
    entry = LlvmEngine(tier=FULL).compile(proved(CHECK + SEARCH))

    assert entry(run.address, run.context.address) == (place if place < 1024 else 0)
