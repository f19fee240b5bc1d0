"""Program.run of a plain packet goes without the command, and gives what the command gives."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from skep.errors import CommandError
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.session.objects import new_subsystem
from skep.session.programs import Program, RunResult
from skep.session.single import SingleRuns
from skep.uapi.reason import Refusal
from support.caller import Caller

SOCKET_FILTER, SCHED_CLS, XDP, CGROUP_SKB = 1, 3, 6, 8
IPV4 = bytes(range(6)) + bytes(6) + b"\x08\x00" + bytes(range(0x45, 0x45 + 40))
IPV6 = b"\x33\x33" + bytes(10) + b"\x86\xdd" + bytes(range(60))
PACKETS = (
    bytes(14), bytes(60), IPV4, IPV6, b"\2" + bytes(11) + b"\x08\x06" + bytes(46),
    IPV4 + bytes(900), b"\1" * 12 + b"\0\x40\xff\xff", bytes(12) + b"\x08\x00\x45",
    IPV4.ljust(3520, b"\7"), bytes(3521), bytes(3712), bytes(4000), bytes(13), b"",
)  # fmt: skip
FOLD = "r9 *= 31\nr9 += r2\n"


def loads(register: str, offsets: range | tuple[int, ...]) -> str:
    return "".join(f"r2 = *(u32 *)({register} + {offset})\n{FOLD}" for offset in offsets)


ADDRESSES = (4, 24, 28, 32, 36, 40, 52, 56, 60, 64, 68, 72)
SOCKET = (
    "r1 = *(u64 *)(r6 + 168)\nif r1 == 0 goto none\ncall 95\nif r0 == 0 goto none\n"
    f"r7 = r0\n{loads('r7', ADDRESSES)}none:\n"
)
SKB = f"r6 = r1\nr9 = 1\n{loads('r6', (0, 4, 8, 12, 16, 24, 32, 36, 40))}"
SUM = (
    "r7 = *(u32 *)(r6 + {data})\nr8 = *(u32 *)(r6 + {end})\n"
    "r3 = r7\nr3 += 14\nif r3 > r8 goto end\n"
    "r2 = *(u64 *)(r7 + 6)\nr9 *= 31\nr9 += r2\nend:\n"
)
RETURN = "r0 = r9\nexit\n"
ONE = "r0 = 1\nexit\n"
XDP_SUM = SUM.format(data=0, end=4)
WRITE = (
    "r7 = *(u32 *)(r6 + {data})\nr8 = *(u32 *)(r6 + {end})\nr3 = r7\nr3 += 14\nif r3 > r8 goto w\n"
    "*(u32 *)(r7 + 3) = r9\nw:\n"
)
CODES = {
    "fields": (SCHED_CLS, SKB + SUM.format(data=76, end=80) + RETURN),
    "socket": (CGROUP_SKB, SKB + SOCKET + SUM.format(data=76, end=80) + "r9 &= 1\n" + RETURN),
    "filter": (SOCKET_FILTER, SKB + RETURN),
    "marks": (SCHED_CLS, SKB + "*(u32 *)(r6 + 8) = r9\n*(u32 *)(r6 + 48) = r9\n" + RETURN),
    "xdp": (XDP, f"r6 = r1\nr9 = 1\n{loads('r6', (12, 16))}{XDP_SUM}{RETURN}"),
    "writes": (XDP, f"r6 = r1\nr9 = 77\n{WRITE.format(data=0, end=4)}{RETURN}"),
    "grows": (XDP, f"r6 = r1\nr9 = 5\nr2 = -40\ncall 44\n{XDP_SUM}{RETURN}"),
    "grows behind": (XDP, f"r6 = r1\nr9 = 5\nr2 = 100\ncall 65\n{XDP_SUM}{RETURN}"),
    "grows too much": (XDP, "r2 = 700\ncall 65\n" + ONE),
    "metadata": (XDP, "r2 = -8\ncall 54\n" + ONE),
    "shrinks": (XDP, "r2 = -20\ncall 65\n" + ONE),
}


def made(kind: int, text: str) -> Program:
    caller = Caller(new_subsystem())
    fd = caller.program(encode(assemble(text)), kind)
    loaded = caller.subsystem.state.objects.get("TEST", fd).target
    return Program(caller.subsystem, loaded, fd, "test")  # type: ignore[arg-type]


def outcome(run: Callable[..., RunResult], *args: object) -> object:
    try:
        found = run(*args)
    except Refusal as error:
        return error.rule, error.errno, error.field, error.reason
    return found.retval, found.data_out, found.ctx_out


@pytest.mark.parametrize("name", CODES)
def test_a_plain_packet_is_run_as_by_the_command(name: str) -> None:
    program, other = made(*CODES[name]), made(*CODES[name])
    for _ in range(2):  # the second time in memory that packets have been in
        for packet in PACKETS:
            expected = outcome(other._run_command, packet, None, 1, 0)

            assert outcome(program.run, packet) == expected


def test_plain_packets_do_go_without_the_command() -> None:
    program = made(*CODES["fields"])
    assert program._single is not None
    taken = [program._single.takes(packet) for packet in PACKETS]

    assert taken == [True] * 7 + [False, True, True, True, False, False, False]


def test_runs_are_counted_while_statistics_are_on() -> None:
    program = made(*CODES["xdp"])
    fd = program._subsystem.bpf(32, bytearray(4))
    program.run(IPV4)
    program._subsystem.close(fd)
    program.run(IPV4)

    assert program.info["run_count"] == 1


def test_a_closed_program_is_not_run() -> None:
    program = made(*CODES["xdp"])
    program._subsystem.close(program.fd)

    with pytest.raises(CommandError, match="is not open"):
        program.run(IPV4)


def test_a_run_that_a_run_makes_has_memory_of_its_own() -> None:
    program = made(*CODES["writes"])
    assert isinstance(program._single, SingleRuns)
    outer = program._single
    room = outer._make()
    outer._rooms.append(room)
    taken = outer._rooms.pop()
    result = program.run(IPV4)

    assert taken is room
    assert outer._rooms[0] is not room
    assert result.retval == 77


@pytest.mark.parametrize("name", ["xdp", "grows too much"])
def test_a_run_leaves_the_last_error_of_the_command(name: str) -> None:
    program = made(*CODES[name])
    subsystem = program.subsystem
    found = []
    for run in (program.run, lambda data: program._run_command(data, None, 1, 0)):
        assert subsystem.bpf(999, bytearray(8)) < 0
        with suppress(CommandError):
            run(bytes(64))
        found.append((str(subsystem.last_error), subsystem.last_records))

    assert found[0] == found[1]
    assert (found[0][0] == "None") == (name == "xdp")
