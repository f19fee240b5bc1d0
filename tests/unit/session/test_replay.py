"""Program.replay: captures on one thread and on several."""

import os
import struct
from collections import Counter
from pathlib import Path

import pytest

from skep.attach.capture import Capture, write_pcap
from skep.attach.live import LiveInterface
from skep.attach.packets import Packet
from skep.engine.interpreter import Interpreter
from skep.errors import CaptureError, NotSupported
from skep.runtime.world import World
from skep.session.objects import new_subsystem
from skep.session.programs import Program
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi.flags import MapType
from support.caller import EXIT, RETURN_ONE, Caller, insn

SOCKET_FILTER, XDP = 1, 6
LENGTH = insn(0x61, 0, 1, 0) + EXIT  # r0 = skb->len
PRINT_OR_LENGTH = (
    insn(0x61, 6, 1, 0) + insn(0x55, 6, 0, 7, 77)  # if skb->len != 77 goto
    + insn(0x62, 10, 0, -8, 0x41) + insn(0xBF, 1, 10) + insn(0x07, 1, imm=-8)
    + insn(0xB7, 2, imm=2) + insn(0x85, imm=6) + insn(0xB7, 0) + insn(0x05)
    + insn(0xBF, 0, 6) + EXIT
)  # fmt: skip


def program_of(caller: Caller, code: bytes, kind: int = SOCKET_FILTER) -> Program:
    fd = caller.program(code, kind)
    target = caller.subsystem.state.objects.get("TEST", fd, Kind.PROG).target
    assert isinstance(target, LoadedProgram)
    return Program(caller.subsystem, target, fd, "test")


def capture_of(path: Path, sizes: list[int], batch_size: int = 16) -> Capture:
    write_pcap(path, [Packet(bytes(size), size) for size in sizes])
    return Capture(path, batch_size=batch_size)


SIZES = [14 + n % 200 for n in range(1000)]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_any_number_of_jobs_gives_the_same_results_in_the_order_of_the_packets(
    tmp_path: Path, jobs: int
) -> None:
    caller = Caller(Subsystem(World(cpus=3)))
    outcome = program_of(caller, LENGTH).replay(
        capture_of(tmp_path / "x.pcap", SIZES), jobs=jobs, keep=True
    )

    assert list(outcome["values"]) == SIZES
    assert Counter(SIZES) == outcome["returns"]
    assert list(dict.fromkeys(SIZES)) == list(outcome["returns"])
    assert (1000, 1000, jobs) == (outcome["packets"], outcome["runs"], outcome["jobs"])


@pytest.mark.parametrize("jobs", [1, 2])
def test_count_and_repeat_are_exact_on_any_number_of_jobs(tmp_path: Path, jobs: int) -> None:
    caller = Caller(Subsystem(World(cpus=2)))
    outcome = program_of(caller, LENGTH).replay(
        capture_of(tmp_path / "x.pcap", SIZES), jobs=jobs, count=333, repeat=3
    )

    assert (outcome["packets"], outcome["runs"]) == (333, 999)
    assert {size: 3 * n for size, n in Counter(SIZES[:333]).items()} == outcome["returns"]


def test_there_are_no_more_jobs_than_virtual_cpus(tmp_path: Path) -> None:
    caller = Caller(Subsystem(World(cpus=2)))
    outcome = program_of(caller, LENGTH).replay(capture_of(tmp_path / "x.pcap", SIZES), jobs=64)

    assert outcome["jobs"] == 2


def test_per_cpu_counters_of_two_jobs_lose_no_packet(tmp_path: Path) -> None:
    caller = Caller(Subsystem(World(cpus=2)))
    fd = caller.map(MapType.PERCPU_ARRAY, entries=1)
    count = (
        insn(0x62, 10, 0, -4, 0) + insn(0xBF, 2, 10) + insn(0x07, 2, imm=-4)
        + insn(0x18, 1, 1, 0, fd) + insn(0) + insn(0x85, imm=1)
        + insn(0x15, 0, 0, 3, 0) + insn(0x79, 1, 0) + insn(0x07, 1, imm=1) + insn(0x7B, 0, 1)
        + RETURN_ONE + EXIT
    )  # fmt: skip
    capture = capture_of(tmp_path / "x.pcap", SIZES * 20)
    program_of(caller, count).replay(capture, jobs=2)
    value = caller.fetch(fd, bytes(4), 16)

    assert isinstance(value, bytes)
    assert sum(struct.unpack("<2Q", value)) == 20_000


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_callback_raises_ends_the_replay(tmp_path: Path, jobs: int) -> None:
    def fail(line: str) -> None:
        raise KeyError(line)

    caller = Caller(new_subsystem(printk=fail))
    sizes = [60] * 400 + [77] + [60] * 4000
    program = program_of(caller, PRINT_OR_LENGTH)
    with pytest.raises(KeyError):
        program.replay(capture_of(tmp_path / "x.pcap", sizes), jobs=jobs)

    assert program.replay(capture_of(tmp_path / "y.pcap", [60]))["returns"] == {60: 1}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_capture_that_ends_within_a_record_says_so(tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "x.pcap"
    capture_of(path, SIZES).close()
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(CaptureError, match="record 999"):
        program_of(Caller(Subsystem(World(cpus=2))), LENGTH).replay(Capture(path), jobs=jobs)


@pytest.mark.parametrize("cut", [4, 23])
def test_a_capture_that_ends_within_its_header_says_so(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.pcap"
    capture_of(path, []).close()
    os.truncate(path, cut)
    with pytest.raises(CaptureError, match=f"found {cut} bytes"):
        program_of(Caller(), LENGTH).replay(Capture(path))


@pytest.mark.parametrize("sizes", [[], [60], [60] * 16, [60] * 17])
def test_a_capture_may_end_with_or_within_a_batch_or_hold_nothing(
    tmp_path: Path, sizes: list[int]
) -> None:
    outcome = program_of(Caller(), LENGTH).replay(capture_of(tmp_path / "x.pcap", sizes))

    assert outcome["packets"] == len(sizes)


@pytest.mark.parametrize("length", [(1 << 18) + 1, 0xFFFF_FFFF])
def test_a_record_of_impossible_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.pcap"
    capture_of(path, [60, 60]).close()
    content = bytearray(path.read_bytes())
    content[24 + 76 + 8 : 24 + 76 + 12] = length.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(CaptureError, match="record 1"):
        program_of(Caller(), LENGTH).replay(Capture(path))


def test_a_big_endian_capture_gives_the_same_packets(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    header = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = (struct.pack(">4I", 1, 2, size, size) + bytes(size) for size in SIZES)
    path.write_bytes(header + b"".join(records))
    outcome = program_of(Caller(), LENGTH).replay(Capture(path), keep=True)

    assert list(outcome["values"]) == SIZES


def test_a_packet_is_not_moved_by_what_the_program_did_to_the_one_before(tmp_path: Path) -> None:
    # Contexts of XDP programs are not written anew for each packet, but for its bounds.
    code = (
        insn(0xBF, 6, 1) + insn(0xB7, 2, imm=4) + insn(0x85, imm=44)  # bpf_xdp_adjust_head
        + insn(0x61, 1, 6, 0) + insn(0x61, 0, 6, 4) + insn(0x1F, 0, 1) + EXIT
    )  # fmt: skip
    program = program_of(Caller(), code, XDP)
    outcome = program.replay(capture_of(tmp_path / "x.pcap", SIZES), keep=True)

    assert list(outcome["values"]) == [size - 4 if size >= 18 else size for size in SIZES]


def test_the_interpreter_replays_too(tmp_path: Path) -> None:
    caller = Caller(Subsystem(World(cpus=2), Interpreter()))
    outcome = program_of(caller, LENGTH).replay(capture_of(tmp_path / "x.pcap", [20, 30]), jobs=2)

    assert outcome["returns"] == {20: 1, 30: 1}


def test_several_jobs_on_an_interface_are_refused_by_name() -> None:
    live = LiveInterface.__new__(LiveInterface)  # it is refused before it is used
    with pytest.raises(NotSupported, match="several jobs"):
        program_of(Caller(), LENGTH).replay(live, jobs=2)


def test_no_job_at_all_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 jobs"):
        program_of(Caller(), LENGTH).replay(capture_of(tmp_path / "x.pcap", [60]), jobs=0)
