"""Random programs give in both engines what they give in the running kernel."""

import ctypes
import os
import struct
from collections.abc import Iterator

import pytest

from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, STRAIGHT, Machine
from skep.engine.llvm.start import START
from skep.isa.insn import Insn
from skep.verifier.interface import Proof
from support import kernel
from support.programs import NumbersOnly
from support.proofs import Run

PROG_LOAD, TEST_RUN, SOCKET_FILTER = 5, 10, 1
MACHINE = Machine()

pytestmark = pytest.mark.skipif(
    kernel.create_map(2, 4, 4, 1) < 0, reason="the running kernel gives us no bpf(2)"
)


def load(insns: tuple[Insn, ...]) -> int:
    """A file descriptor, or ``-errno``."""
    code = ctypes.create_string_buffer(kernel.encode(insns), 8 * len(insns))
    text = ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(code), ctypes.addressof(text)
    return kernel.bpf(PROG_LOAD, struct.pack("<IIQQ", SOCKET_FILTER, len(insns), *places))


def run(fd: int) -> int:
    packet = ctypes.create_string_buffer(64)
    attr = ctypes.create_string_buffer(
        struct.pack("<IIIIQQII", fd, 0, 64, 0, ctypes.addressof(packet), 0, 1, 0), 80
    )
    answer = kernel._libc.syscall(kernel.BPF_SYSCALL, TEST_RUN, attr, len(attr))
    assert answer == 0, os.strerror(ctypes.get_errno())
    return int(struct.unpack_from("<I", attr, 4)[0])


def accepted(seed: int) -> Iterator[tuple[Proof, int]]:
    """Random programs that the kernel accepts, with what it makes of them."""
    generator = NumbersOnly(seed)
    for size in (10, 40, 100):
        proof = generator.program(size, subprograms=seed % 2 == 0)
        fd = load(proof.insns)
        assert fd >= 0, (os.strerror(-fd), kernel.load(proof.insns).log[-800:])
        yield proof, run(fd)
        os.close(fd)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_give_what_the_kernel_gives(seed: int) -> None:
    block = Run()
    for proof, expected in accepted(seed):
        tiers = (START, QUICK, STRAIGHT, FULL)
        compilers = (LlvmEngine(machine=MACHINE, tier=tier) for tier in tiers)
        for engine in (Interpreter(), *compilers):
            assert expected == engine.compile(proof)(block.address, block.context.address)
