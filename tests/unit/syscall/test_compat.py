"""A 32-bit client: its own bytes of union bpf_attr are read and written in its own memory."""

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from skep import compat2014
from skep.base.memory import Fault
from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from support.running_kernel import missing

SOURCE = Path(__file__).parents[2] / "support" / "client32.c"
REQUEST = struct.Struct("<IIQ")
FINDINGS = struct.Struct("<I6iIIIIIQ8s")
DONE = 0x454E4F44
COMPILERS = ("clang", "clang-19", "gcc")


class Findings(NamedTuple):
    """What the client found."""

    done: int
    map: int
    stored: int
    found: int
    program: int
    ran: int
    info: int
    retval: int
    key_size: int
    words: int
    long_size: int
    unused: int
    value: int
    log: bytes


class ClientMemory:
    """The memory of another process."""

    def __init__(self, pid: int) -> None:
        self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR)

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes at *address*; raises Fault."""
        try:
            data = os.pread(self._file, size, address)
        except (OSError, OverflowError):
            raise Fault(address, size) from None
        if len(data) != size:
            raise Fault(address, size)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Store *data* at *address*; raises Fault."""
        try:
            os.pwrite(self._file, data, address)
        except (OSError, OverflowError):
            raise Fault(address, len(data)) from None


@pytest.fixture(scope="module", params=["-m32", "-m64"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    width: str = request.param
    target = tmp_path_factory.mktemp("client") / "client"
    if os.uname().machine != "x86_64":
        pytest.skip("the client is for x86")
    for compiler in filter(None, map(shutil.which, COMPILERS)):
        command = [
            compiler, width, "-O1", "-ffreestanding", "-nostdlib", "-static", "-fno-pic",
            "-fno-stack-protector", "-fno-builtin", "-mno-sse", "-isystem",
            "/usr/include/x86_64-linux-gnu", "-o", str(target), str(SOURCE),
        ]  # fmt: skip
        if not subprocess.run(command, check=False, capture_output=True).returncode:
            return target
    pytest.skip(f"no compiler builds for {width}")


def serve(client: Path) -> tuple[Findings, list[tuple[int, bytes]]]:
    """Serve the client's calls; what it found, and every attr as it passed it."""
    process = subprocess.Popen([client], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        memory = ClientMemory(process.pid)
        subsystem, calls = Subsystem(memory=memory), []
        while True:
            words = process.stdout.read(REQUEST.size)
            assert words is not None
            assert len(words) == REQUEST.size
            command, size, attr = REQUEST.unpack(words)
            if command == DONE:
                rest = process.stdout.read(FINDINGS.size - REQUEST.size) or b""
                return Findings(*FINDINGS.unpack(words + rest)), calls
            calls.append((command, memory.read(attr, size)))
            process.stdin.write(struct.pack("<i", subsystem.bpf(command, attr, size)))


@pytest.fixture
def served(client: Path) -> tuple[Findings, list[tuple[int, bytes]]]:
    return serve(client)


@pytest.mark.acceptance("M1")
def test_a_client_of_either_width_is_served(
    served: tuple[Findings, list[tuple[int, bytes]]],
) -> None:
    found, _ = served

    assert found.done == DONE
    assert min(found.map, found.program) > 0
    assert (found.stored, found.found, found.ran, found.info) == (0, 0, 0, 0)
    assert found.value == 0x1122_3344_5566_7788
    assert found.retval == 0x5566_7788
    assert found.key_size == 4
    assert 80 <= found.words <= 104  # what its header knows of the struct
    assert found.log == b"processe"


@pytest.mark.acceptance("M1")
def test_pointers_of_32_bits_are_whole_words_of_the_attr(
    served: tuple[Findings, list[tuple[int, bytes]]],
) -> None:
    found, calls = served
    number, data = calls[1]
    update = commands.MapElem.decode(data)

    assert number == commands.MAP_UPDATE_ELEM.number
    assert update.map_fd == found.map
    assert update.key != 0
    assert update.value != 0
    if found.long_size == 4:
        assert max(update.key, update.value) < 1 << 32
        assert data[12:16] == data[20:24] == bytes(4)  # their upper halves


@pytest.mark.acceptance("M1")
def test_the_macros_of_c_and_of_python_make_the_same_instructions(
    client: Path,
) -> None:
    process = subprocess.Popen([client], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        memory, answers = ClientMemory(process.pid), iter((7, 0, 0))
        command = 0
        while command != commands.PROG_LOAD.number:
            command, size, attr = REQUEST.unpack(process.stdout.read(REQUEST.size) or b"")
            if command != commands.PROG_LOAD.number:
                process.stdin.write(struct.pack("<i", next(answers)))
        load = commands.ProgLoad.decode(memory.read(attr, size))
        code = memory.read(load.insns, 8 * load.insn_cnt)
        process.kill()

    assert code == encode([insn for part in expected_program(7) for insn in part])


@pytest.mark.acceptance("M1")
def test_the_macros_make_the_instructions_of_the_draft() -> None:
    m = compat2014
    made = [
        m.BPF_MOV64_REG(1, 2), m.BPF_MOV64_IMM(1, -3), m.BPF_ALU64_IMM(m.BPF_ADD, 1, -3),
        m.BPF_ALU64_REG(m.BPF_ADD, 1, 2), m.BPF_LD_ABS(m.BPF_B, 23), m.BPF_EXIT_INSN(),
        m.BPF_LDX_MEM(m.BPF_W, 1, 2, -4), m.BPF_STX_MEM(m.BPF_W, 1, 2, -4),
        m.BPF_ST_MEM(m.BPF_DW, 1, -8, 5), m.BPF_XADD(m.BPF_DW, 1, 2, -8),
        m.BPF_JMP_IMM(m.BPF_JNE, 1, 7, -2), m.BPF_CALL_FUNC(6), m.BPF_LD_MAP_FD(1, 9),
    ]  # fmt: skip

    assert encode([insn for part in made for insn in part]) == bytes.fromhex(
        "bf21000000000000 b7010000fdffffff 07010000fdffffff 0f21000000000000 3000000017000000"
        "9500000000000000 6121fcff00000000 6321fcff00000000 7a01f8ff05000000 db21f8ff00000000"
        "5501feff07000000 8500000006000000 1811000009000000 0000000000000000"
    )


def expected_program(fd: int) -> list[list[Insn]]:
    m = compat2014
    return [
        m.BPF_ST_MEM(m.BPF_W, m.BPF_REG_10, -4, 7),
        m.BPF_MOV64_REG(m.BPF_REG_2, m.BPF_REG_10),
        m.BPF_ALU64_IMM(m.BPF_ADD, m.BPF_REG_2, -4),
        m.BPF_LD_MAP_FD(m.BPF_REG_1, fd),
        m.BPF_CALL_FUNC(1),
        m.BPF_JMP_IMM(m.BPF_JEQ, m.BPF_REG_0, 0, 2),
        m.BPF_LDX_MEM(m.BPF_W, m.BPF_REG_0, m.BPF_REG_0, 0),
        m.BPF_EXIT_INSN(),
        m.BPF_MOV64_IMM(m.BPF_REG_0, 0),
        m.BPF_EXIT_INSN(),
    ]


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_the_running_kernel_serves_the_same_client_alike(client: Path) -> None:
    done = subprocess.run([client, "kernel"], check=False, capture_output=True)
    if done.returncode or len(done.stdout) != FINDINGS.size:
        pytest.skip("the kernel runs no 32-bit programs")
    theirs, (mine, _) = Findings(*FINDINGS.unpack(done.stdout)), serve(client)

    assert theirs._replace(map=0, program=0) == mine._replace(map=0, program=0)
