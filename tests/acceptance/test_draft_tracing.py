"""Tracing as the 2014 draft has it: program types, helpers, context, and the filter file."""

import ctypes
import errno
from collections.abc import Callable

import pytest

from skep.compat2014 import (
    BPF_ADD,
    BPF_ALU64_IMM,
    BPF_ALU64_REG,
    BPF_CALL_FUNC,
    BPF_DW,
    BPF_EXIT_INSN,
    BPF_JEQ,
    BPF_JMP_IMM,
    BPF_LD_MAP_FD,
    BPF_LDX_MEM,
    BPF_MAP_TYPE_HASH,
    BPF_MOV64_IMM,
    BPF_MOV64_REG,
    BPF_PROG_TYPE_SOCKET,
    BPF_PROG_TYPE_TRACING_2014,
    BPF_PROG_TYPE_UNSPEC,
    BPF_PROG_TYPE_USER_TRACING,
    BPF_REG_0,
    BPF_REG_1,
    BPF_REG_2,
    BPF_REG_3,
    BPF_REG_6,
    BPF_REG_7,
    BPF_REG_10,
    BPF_ST_MEM,
    BPF_STX_MEM,
    BPF_W,
    PERF_EVENT_IOC_SET_BPF,
    Bpf2014,
    BPF_FUNC_fetch_ptr,
    BPF_FUNC_fetch_u8,
    BPF_FUNC_fetch_u16,
    BPF_FUNC_fetch_u32,
    BPF_FUNC_fetch_u64,
    BPF_FUNC_get_current,
    BPF_FUNC_ktime_get_ns,
    BPF_FUNC_map_delete_elem,
    BPF_FUNC_map_lookup_elem,
    BPF_FUNC_map_update_elem,
    BPF_FUNC_memcmp,
    BPF_FUNC_printk,
)
from skep.isa.insn import Insn
from skep.runtime.tracepoints import Tracepoint
from skep.runtime.world import World
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem

Groups = list[list[Insn]]
FILTER = "/sys/kernel/debug/tracing/events/skb/kfree_skb/filter"
UNREADABLE = 0x10


@pytest.fixture
def bpf() -> Bpf2014:
    return Bpf2014(Subsystem(World(clock_ns=1234)))


@pytest.fixture
def point(bpf: Bpf2014) -> Tracepoint:
    points = bpf.subsystem.state.world.tracepoints
    return points.declare("skb:kfree_skb", *(f"u64 arg{n}" for n in range(1, 7)))


def keep(map_fd: int) -> Groups:
    """map[0] = r0, by way of the three-argument update; returns 0."""
    return [
        BPF_STX_MEM(BPF_DW, BPF_REG_10, BPF_REG_0, -16),
        BPF_ST_MEM(BPF_W, BPF_REG_10, -4, 0),
        BPF_LD_MAP_FD(BPF_REG_1, map_fd),
        BPF_MOV64_REG(BPF_REG_2, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -4),
        BPF_MOV64_REG(BPF_REG_3, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_3, -16),
        BPF_CALL_FUNC(BPF_FUNC_map_update_elem),
        BPF_MOV64_IMM(BPF_REG_0, 0),
        BPF_EXIT_INSN(),
    ]


def size(groups: Groups) -> int:
    return sum(map(len, groups))


def new_map(bpf: Bpf2014) -> int:
    fd = bpf.bpf_create_map(BPF_MAP_TYPE_HASH, 4, 8, 4)
    assert fd >= 0
    return fd


def kept(bpf: Bpf2014, map_fd: int) -> int | None:
    value = ctypes.c_ulonglong()
    if bpf.bpf_lookup_elem(map_fd, ctypes.c_int(0), value):
        return None
    return value.value


def load(bpf: Bpf2014, groups: Groups, kind: int = BPF_PROG_TYPE_TRACING_2014) -> int:
    return bpf.bpf_prog_load(kind, groups, size(groups), "GPL")


def attach(bpf: Bpf2014, groups: Groups, kind: int = BPF_PROG_TYPE_TRACING_2014) -> int:
    """Load and put on the filter of skb:kfree_skb."""
    program = load(bpf, groups, kind)
    assert program >= 0, bpf.bpf_log_buf
    event_fd = bpf.open(FILTER)
    text = f"bpf-{program}".encode()
    assert bpf.write(event_fd, text) == len(text)
    return event_fd


def result_of(bpf: Bpf2014, point: Tracepoint, groups: Groups, *arguments: int) -> int | None:
    """What *groups* leave in r0 when the tracepoint fires."""
    out = new_map(bpf)
    attach(bpf, groups + keep(out))
    point.fire(*arguments, *(0,) * (6 - len(arguments)))
    return kept(bpf, out)


def fetch(function: int) -> Groups:
    return [BPF_LDX_MEM(BPF_DW, BPF_REG_1, BPF_REG_1, 0), BPF_CALL_FUNC(function)]


@pytest.mark.acceptance("M23")
def test_the_draft_has_socket_and_tracing_programs(bpf: Bpf2014) -> None:
    nothing = [BPF_MOV64_IMM(BPF_REG_0, 0), BPF_EXIT_INSN()]

    assert load(bpf, nothing, BPF_PROG_TYPE_SOCKET) >= 0
    assert load(bpf, nothing, BPF_PROG_TYPE_TRACING_2014) >= 0
    assert load(bpf, nothing, BPF_PROG_TYPE_USER_TRACING) >= 0
    assert (load(bpf, nothing, BPF_PROG_TYPE_UNSPEC), bpf.errno) == (-1, errno.EINVAL)


@pytest.mark.acceptance("M24")
def test_tracing_programs_may_print_and_socket_programs_may_not() -> None:
    lines: list[str] = []
    bpf = Bpf2014(Subsystem(World(printk=lines.append)))
    point_ = bpf.subsystem.state.world.tracepoints.declare("skb:kfree_skb", arguments=6)
    prints = [
        BPF_LDX_MEM(BPF_DW, BPF_REG_3, BPF_REG_1, 8),
        BPF_ST_MEM(BPF_W, BPF_REG_10, -4, int.from_bytes(b"%d\0\0", "little")),
        BPF_MOV64_REG(BPF_REG_1, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_1, -4),
        BPF_MOV64_IMM(BPF_REG_2, 4),
        BPF_CALL_FUNC(BPF_FUNC_printk),
        BPF_MOV64_IMM(BPF_REG_0, 0),
        BPF_EXIT_INSN(),
    ]
    attach(bpf, prints)
    point_.fire(1, 22, 3, 4, 5, 6)

    assert lines == ["22"]
    assert (load(bpf, prints, BPF_PROG_TYPE_SOCKET), bpf.errno) == (-1, errno.EINVAL)
    assert "SOCKET programs may not call it" in bpf.bpf_log_buf


@pytest.mark.acceptance("M25")
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (BPF_FUNC_fetch_u8, 0x88),
        (BPF_FUNC_fetch_u16, 0x7788),
        (BPF_FUNC_fetch_u32, 0x55667788),
        (BPF_FUNC_fetch_u64, 0x1122334455667788),
        (BPF_FUNC_fetch_ptr, 0x1122334455667788),
    ],
)
def test_fetch_loads_from_any_address_and_never_faults(
    bpf: Bpf2014, point: Tracepoint, function: int, expected: int
) -> None:
    memory = ctypes.c_uint64(0x1122334455667788)

    assert result_of(bpf, point, fetch(function), ctypes.addressof(memory)) == expected
    assert result_of(bpf, point, fetch(function), UNREADABLE) == 0


def compare(length: int) -> Groups:
    return [
        BPF_MOV64_REG(BPF_REG_6, BPF_REG_1),
        BPF_LDX_MEM(BPF_DW, BPF_REG_1, BPF_REG_6, 0),
        BPF_LDX_MEM(BPF_DW, BPF_REG_2, BPF_REG_6, 8),
        BPF_MOV64_IMM(BPF_REG_3, length),
        BPF_CALL_FUNC(BPF_FUNC_memcmp),
    ]


@pytest.mark.acceptance("M25")
def test_memcmp_compares_any_memory_and_never_faults(bpf: Bpf2014, point: Tracepoint) -> None:
    same, alike, other = (ctypes.create_string_buffer(text) for text in (b"eth0", b"eth0", b"eth1"))
    x, y, z = (ctypes.addressof(each) for each in (same, alike, other))
    minus_one = (1 << 64) - 1

    assert result_of(bpf, point, compare(4), x, y) == 0
    assert result_of(bpf, point, compare(3), x, z) == 0
    assert result_of(bpf, point, compare(4), x, z) == minus_one
    assert result_of(bpf, point, compare(4), z, x) == 1
    assert result_of(bpf, point, compare(4), x, UNREADABLE) == minus_one


@pytest.mark.acceptance("M25")
def test_time_task_and_maps_are_at_hand(bpf: Bpf2014, point: Tracepoint) -> None:
    time = [BPF_CALL_FUNC(BPF_FUNC_ktime_get_ns)]
    task = [BPF_CALL_FUNC(BPF_FUNC_get_current)]

    assert result_of(bpf, point, time) == 1234
    assert result_of(bpf, point, task)


def look_up(map_fd: int) -> Groups:
    """r0 = map[5] if there is one, else 99; jumps stand before and after calls that grow."""
    return [
        BPF_MOV64_IMM(BPF_REG_7, 99),
        BPF_ST_MEM(BPF_W, BPF_REG_10, -4, 5),
        BPF_LD_MAP_FD(BPF_REG_1, map_fd),
        BPF_MOV64_REG(BPF_REG_2, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -4),
        BPF_CALL_FUNC(BPF_FUNC_map_lookup_elem),
        BPF_JMP_IMM(BPF_JEQ, BPF_REG_0, 0, 1),
        BPF_LDX_MEM(BPF_DW, BPF_REG_7, BPF_REG_0, 0),
        BPF_LD_MAP_FD(BPF_REG_1, map_fd),
        BPF_MOV64_REG(BPF_REG_2, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -4),
        BPF_CALL_FUNC(BPF_FUNC_map_delete_elem),
        BPF_MOV64_REG(BPF_REG_0, BPF_REG_7),
    ]


@pytest.mark.acceptance("M25")
def test_maps_are_looked_up_updated_and_deleted_with_the_drafts_arguments(
    bpf: Bpf2014, point: Tracepoint
) -> None:
    table, out = new_map(bpf), new_map(bpf)
    bpf.bpf_update_elem(table, ctypes.c_int(5), ctypes.c_ulonglong(7))
    attach(bpf, look_up(table) + keep(out))
    results = []
    for _ in range(2):
        point.fire(0, 0, 0, 0, 0, 0)
        results.append(kept(bpf, out))

    assert results == [7, 99]


def test_a_jump_over_a_call_that_grows_still_lands_behind_it(
    bpf: Bpf2014, point: Tracepoint
) -> None:
    out = new_map(bpf)
    update = keep(out)
    over = [
        BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 0),
        BPF_JMP_IMM(BPF_JEQ, BPF_REG_0, 0, size(update) - 2),
    ]
    attach(bpf, over + update)
    point.fire(0, 0, 0, 0, 0, 0)
    assert kept(bpf, out) is None
    point.fire(3, 0, 0, 0, 0, 0)

    assert kept(bpf, out) == 3


@pytest.mark.acceptance("M26")
@pytest.mark.parametrize("place", range(7))
def test_the_context_has_six_arguments_and_the_return_value(
    bpf: Bpf2014, point: Tracepoint, place: int
) -> None:
    out = new_map(bpf)
    attach(bpf, [BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 8 * place), *keep(out)])
    point.fire(10, 11, 12, 13, 14, 15, returned=16)

    assert kept(bpf, out) == 10 + place


@pytest.mark.acceptance("M26")
def test_there_is_no_context_behind_the_return_value(bpf: Bpf2014) -> None:
    beyond = [BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 56), *keep(new_map(bpf))]

    assert (load(bpf, beyond), bpf.errno) == (-1, errno.EACCES)
    assert "invalid bpf_context access" in bpf.bpf_log_buf


@pytest.mark.acceptance("M27")
@pytest.mark.parametrize(
    "call", [BPF_FUNC_fetch_u64, BPF_FUNC_get_current, BPF_FUNC_memcmp, BPF_FUNC_printk]
)
def test_user_tracing_has_no_functions_that_read_the_kernel(bpf: Bpf2014, call: int) -> None:
    groups = [*fetch(call), *keep(new_map(bpf))]

    assert (load(bpf, groups, BPF_PROG_TYPE_USER_TRACING), bpf.errno) == (-1, errno.EINVAL)
    assert "USER_TRACING programs may not call it" in bpf.bpf_log_buf


@pytest.mark.acceptance("M27")
def test_user_tracing_shows_no_pointers(bpf: Bpf2014, point: Tracepoint) -> None:
    out = new_map(bpf)
    leak: Callable[[], Groups] = lambda: [BPF_MOV64_REG(BPF_REG_0, BPF_REG_10), *keep(out)]  # noqa: E731
    number = [BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 0), *keep(out)]

    assert load(bpf, leak(), BPF_PROG_TYPE_TRACING_2014) >= 0
    assert (load(bpf, leak(), BPF_PROG_TYPE_USER_TRACING), bpf.errno) == (-1, errno.EACCES)
    attach(bpf, number, BPF_PROG_TYPE_USER_TRACING)
    point.fire(5, 0, 0, 0, 0, 0)
    assert kept(bpf, out) == 5


@pytest.mark.acceptance("M27")
def test_socket_programs_have_the_functions_of_todays_socket_filters(bpf: Bpf2014) -> None:
    load_bytes = [
        BPF_MOV64_IMM(BPF_REG_2, 0),
        BPF_MOV64_REG(BPF_REG_3, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_3, -8),
        [Insn(0xB7, 4, 0, 0, 8)],
        BPF_CALL_FUNC(26),  # skb_load_bytes
        BPF_EXIT_INSN(),
    ]

    assert load(bpf, load_bytes, BPF_PROG_TYPE_SOCKET) >= 0, bpf.bpf_log_buf
    assert load(bpf, load_bytes, BPF_PROG_TYPE_TRACING_2014) == -1


@pytest.mark.acceptance("M28")
def test_functions_marked_gpl_only_need_the_licence(bpf: Bpf2014) -> None:
    groups = fetch(BPF_FUNC_fetch_u64) + keep(new_map(bpf))
    refused = bpf.bpf_prog_load(BPF_PROG_TYPE_TRACING_2014, groups, size(groups), "MIT")

    assert (refused, bpf.errno) == (-1, errno.EINVAL)
    assert "cannot call GPL-restricted function" in bpf.bpf_log_buf


@pytest.mark.acceptance("M36")
def test_closing_the_filter_detaches(bpf: Bpf2014, point: Tracepoint) -> None:
    out = new_map(bpf)
    event_fd = attach(bpf, [BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 0), *keep(out)])
    point.fire(1, 0, 0, 0, 0, 0)
    assert bpf.close(event_fd) == 0
    point.fire(2, 0, 0, 0, 0, 0)

    assert kept(bpf, out) == 1
    assert (bpf.close(event_fd), bpf.errno) == (-1, errno.EBADF)


@pytest.mark.acceptance("M36")
def test_an_attached_program_lives_on_without_its_descriptor(
    bpf: Bpf2014, point: Tracepoint
) -> None:
    out = new_map(bpf)
    program = load(bpf, [BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 0), *keep(out)])
    event_fd = bpf.open(FILTER)
    bpf.write(event_fd, f"bpf-{program}\n".encode())
    bpf.close(program)
    point.fire(8, 0, 0, 0, 0, 0)

    assert kept(bpf, out) == 8
    programs = bpf.subsystem.state.objects
    assert programs.count(Kind.PROG) == 1
    bpf.close(event_fd)
    assert programs.count(Kind.PROG) == 0


@pytest.mark.acceptance("M36")
@pytest.mark.usefixtures("point")
def test_what_is_no_tracing_program_is_refused(bpf: Bpf2014) -> None:
    nothing = [BPF_MOV64_IMM(BPF_REG_0, 0), BPF_EXIT_INSN()]
    socket = load(bpf, nothing, BPF_PROG_TYPE_SOCKET)
    event_fd = bpf.open(FILTER)
    texts = (f"bpf-{socket}", "bpf-77", "pid > 3")
    answers = [(bpf.write(event_fd, text.encode()), bpf.errno) for text in texts]

    assert answers == [(-1, errno.EINVAL), (-1, errno.EBADF), (-1, errno.EINVAL)]
    assert (bpf.open(FILTER.replace("kfree", "free")), bpf.errno) == (-1, errno.ENOENT)


@pytest.mark.usefixtures("point")
def test_tracefs_shows_format_and_id(bpf: Bpf2014) -> None:
    folder = FILTER.removesuffix("filter")
    text = bpf.read(bpf.open(folder + "format"), 4096)

    assert isinstance(text, bytes)
    assert text.startswith(b"name: kfree_skb\nID: 1\nformat:\n\tfield:unsigned short common_type;")
    assert bpf.read(bpf.open(folder + "id"), 10) == b"1\n"


@pytest.mark.acceptance("M35")
def test_set_bpf_puts_a_program_on_a_perf_event(bpf: Bpf2014, point: Tracepoint) -> None:
    out = new_map(bpf)
    reads = [BPF_LDX_MEM(BPF_DW, BPF_REG_0, BPF_REG_1, 16), *keep(out)]  # arg2 in the record
    reads[8:9] = [[Insn(0xB7, 4)], *reads[8:9]]  # today's update has four arguments
    program = bpf.bpf_prog_load(5, reads, size(reads), "GPL")
    assert program >= 0, bpf.bpf_log_buf
    event_fd = bpf.subsystem.perf_event_open(2, point.id)

    assert bpf.ioctl(event_fd, PERF_EVENT_IOC_SET_BPF, program) == 0
    point.fire(1, 22, 0, 0, 0, 0)
    assert kept(bpf, out) == 22
    assert (bpf.ioctl(event_fd, PERF_EVENT_IOC_SET_BPF, program), bpf.errno) == (-1, errno.EEXIST)


def test_register_arithmetic_has_its_macro() -> None:
    assert BPF_ALU64_REG(BPF_ADD, BPF_REG_1, BPF_REG_2) == [Insn(0x0F, 1, 2)]
