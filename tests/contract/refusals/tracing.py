"""Drivers: raw tracepoints, perf events, iterators, TASK_FD_QUERY."""

import os
import struct
from collections.abc import Callable

from contract.refusals.bench import NO_FD, Bench, Drivers
from skep.errors import CommandError
from skep.uapi import commands, infos
from skep.uapi import reasons_tracing as reasons
from support.iterated import TRACE_ITER, TRACING, elements, target_id, write
from support.traced import PERF_EVENT, RAW_TRACEPOINT, TRACEPOINT, code, open_raw

WRITABLE, ON_PERF_EVENT, TRACE_RAW_TP, TRACE_FENTRY = 24, 41, 23, 24
SET_BPF = 0x40042408
SLEEPABLE = 16
HASH, LPM_TRIE = 1, 11


def points(bench: Bench, *fields: str, writable: int = 0) -> None:
    """A tracepoint test:hit."""
    tracepoints = bench.subsystem.state.world.tracepoints
    tracepoints.declare("test:hit", *(fields or ("u64 x",)), writable=writable)


def loaded(bench: Bench, text: str, kind: int, **members: int) -> int:
    return bench.good(bench.program(code(text), kind, **members))


def raw(text: str = "r0 = 0\nexit", name: str = "hit", kind: int = RAW_TRACEPOINT,
        **members: int) -> Callable[[Bench], object]:  # fmt: skip
    def drive(bench: Bench) -> None:
        points(bench)
        open_raw(bench, loaded(bench, text, kind, **members), name)

    return drive


def typed(bench: Bench, attach_type: int, kernel_type: str, **members: int) -> int:
    """A tracing program on a type of the kernel that *kernel_type* names."""
    btf = bench.subsystem.kernel_types
    assert btf is not None
    found = btf.by_name(kernel_type)
    assert found, kernel_type
    return loaded(bench, "r0 = 0\nexit", TRACING, expected_attach_type=attach_type,
                  attach_btf_id=found, **members)  # fmt: skip


def raw_named(bench: Bench) -> None:
    points(bench)
    open_raw(bench, typed(bench, TRACE_RAW_TP, "btf_trace_sched_switch"), "hit")


def traced_function(bench: Bench) -> None:
    open_raw(bench, typed(bench, TRACE_FENTRY, "vfs_read"), "")


def event(bench: Bench) -> int:
    point = bench.subsystem.state.world.tracepoints.find("hit")
    assert point is not None
    return bench.good(bench.subsystem.perf_event_open(2, point.id))


def perf_link(bench: Bench, program: int, target: int, flags: int = 0) -> int:
    return bench.call(commands.LINK_CREATE, prog_fd=program, target_fd=target,
                      attach_type=ON_PERF_EVENT, flags=flags)  # fmt: skip


def perf(text: str = "r0 = 0\nexit", kind: int = TRACEPOINT, times: int = 1,
         flags: int = 0) -> Callable[[Bench], object]:  # fmt: skip
    def drive(bench: Bench) -> None:
        points(bench)
        program = loaded(bench, text, kind)
        for _ in range(times):
            perf_link(bench, program, event(bench), flags)

    return drive


def perf_full(bench: Bench) -> None:
    points(bench)
    for _ in range(65):
        perf_link(bench, loaded(bench, "r0 = 0\nexit", TRACEPOINT), event(bench))


def perf_fd(bench: Bench) -> None:
    perf_link(bench, loaded(bench, "r0 = 0\nexit", TRACEPOINT), NO_FD)


def perf_open(bench: Bench) -> None:
    bench.result = bench.subsystem.perf_event_open(0, 0)


def perf_request(bench: Bench) -> None:
    points(bench)
    bench.result = bench.subsystem.ioctl(event(bench), 0x5401)


# --- iterators ------------------------------------------------------------------------------------


def program(
    bench: Bench, target: str = "bpf_map", text: str = "r0 = 0\nexit", flags: int = 0
) -> int:
    btf = bench.subsystem.kernel_types
    assert btf is not None
    return loaded(bench, text, TRACING, expected_attach_type=TRACE_ITER, prog_flags=flags,
                  attach_btf_id=target_id(btf, target))  # fmt: skip


def link(bench: Bench, fd: int, info: bytes = b"", **members: int) -> int:
    if info:
        members = {"word16": bench.keep(info), "word24": len(info)} | members
    return bench.call(commands.LINK_CREATE, prog_fd=fd, attach_type=TRACE_ITER, **members)


def linked(target: str = "bpf_map", text: str = "r0 = 0\nexit", info: bytes = b"",
           flags: int = 0, **members: int) -> Callable[[Bench], object]:  # fmt: skip
    return lambda bench: link(bench, program(bench, target, text, flags), info, **members)


def on_map(kind: int, key: int) -> Callable[[Bench], object]:
    def drive(bench: Bench) -> None:
        fd = bench.good(bench.map(kind, key=key, flags=1 if kind == LPM_TRIE else 0))
        made = program(bench, "bpf_map_elem", elements(8, 8))
        link(bench, made, struct.pack("=I", fd))

    return drive


def exclusive(bench: Bench) -> None:
    digest = bench.keep(bytes(32))
    fd = bench.good(bench.call(commands.MAP_CREATE, map_type=HASH, key_size=4, value_size=8,
                               max_entries=1, excl_prog_hash=digest,
                               excl_prog_hash_size=32))  # fmt: skip
    link(bench, program(bench, "bpf_map_elem"), struct.pack("=I", fd))


def updated(*, other_target: bool) -> Callable[[Bench], object]:
    def drive(bench: Bench) -> None:
        made = bench.good(link(bench, program(bench)))
        new = program(bench, "bpf_prog" if other_target else "bpf_map")
        old = {} if other_target else {"flags": 4, "old_prog_fd": new}
        bench.call(commands.LINK_UPDATE, link_fd=made, new_prog_fd=new, **old)

    return drive


def create_flags(bench: Bench) -> None:
    made = bench.good(link(bench, program(bench)))
    bench.call(commands.ITER_CREATE, link_fd=made, flags=1)


def create_other(bench: Bench) -> None:
    points(bench)
    made = bench.good(open_raw(bench, loaded(bench, "r0 = 0\nexit", RAW_TRACEPOINT), "hit"))
    bench.call(commands.ITER_CREATE, link_fd=made)


def link_info(room: int, *, place: bool) -> Callable[[Bench], object]:
    def drive(bench: Bench) -> None:
        made = bench.good(link(bench, program(bench)))
        name = bench.keep(b"", 64) if place else 0
        filled = infos.IterLinkInfo(target_name=name, target_name_len=room).encode()
        bench.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=made, info=bench.keep(filled),
                   info_len=len(filled))  # fmt: skip

    return drive


def read(bench: Bench, fd: int) -> None:
    try:
        bench.subsystem.read(fd, 100)
    except CommandError as error:
        bench.result = -error.errno


def reading(text: str) -> Callable[[Bench], object]:
    def drive(bench: Bench) -> None:
        bench.array()
        made = bench.good(link(bench, program(bench, text=text)))
        read(bench, bench.good(bench.call(commands.ITER_CREATE, link_fd=made)))

    return drive


TOO_MUCH = (
    "\n".join(f"*(u64 *)(r10 - {at}) = 0" for at in range(8, 520, 8))
    + "\nr6 = r1\n" + write(512, "r10 - 512") * 64 + "\nr0 = 0\nexit"
)  # fmt: skip

# --- TASK_FD_QUERY --------------------------------------------------------------------------------


def ask(bench: Bench, fd: int, **members: int) -> None:
    bench.call(commands.TASK_FD_QUERY, **{"pid": os.getpid(), "fd": fd} | members)


def asked_software(bench: Bench) -> None:
    fd = bench.good(bench.subsystem.perf_event_open(1, 0))
    bench.good(bench.subsystem.ioctl(fd, SET_BPF, loaded(bench, "r0 = 0\nexit", PERF_EVENT)))
    ask(bench, fd)


def asked_bare(bench: Bench) -> None:
    ask(bench, bench.good(bench.subsystem.perf_event_open(1, 0)))


def asked_room(bench: Bench) -> None:
    points(bench)
    made = bench.good(open_raw(bench, loaded(bench, "r0 = 0\nexit", RAW_TRACEPOINT), "hit"))
    ask(bench, made, buf=bench.keep(b"", 8), buf_len=2)


def writes_beyond(bench: Bench) -> None:
    points(bench, writable=4)
    text = "r1 = *(u64 *)(r1 + 0)\nr2 = *(u64 *)(r1 + 0)\nr0 = 0\nexit"
    open_raw(bench, loaded(bench, text, WRITABLE), "hit")


DRIVERS: Drivers = {
    reasons.RAW_NAMED: raw_named,
    reasons.RAW_PROGRAM: raw(kind=1),
    reasons.RAW_UNKNOWN: raw(name="miss"),
    reasons.RAW_ARGUMENTS: raw("r0 = *(u64 *)(r1 + 8)\nexit"),
    reasons.RAW_WRITES: writes_beyond,
    reasons.TRACED_FUNCTION: traced_function,
    reasons.PERF_FLAGS: perf(flags=1),
    reasons.PERF_FD: perf_fd,
    reasons.PERF_KIND: perf(kind=PERF_EVENT),
    reasons.PERF_RECORD: perf("r0 = *(u64 *)(r1 + 16)\nexit"),
    reasons.PERF_TAKEN: perf(times=2),
    reasons.PERF_FULL: perf_full,
    reasons.PERF_OPEN: perf_open,
    reasons.PERF_REQUEST: perf_request,
    reasons.ITER_TARGET_FD: linked(target_fd=1),
    reasons.ITER_FLAGS: lambda bench: link(bench, program(bench), flags=1),
    reasons.ITER_INFO: linked(word24=4),
    reasons.ITER_INFO_TAIL: linked(info=bytes(16) + b"\1"),
    reasons.ITER_UNKNOWN: linked("netlink"),
    reasons.ITER_SLEEPABLE: linked(flags=SLEEPABLE),
    reasons.ITER_NO_MAP: linked("bpf_map_elem"),
    reasons.ITER_MAP_KIND: on_map(LPM_TRIE, 8),
    reasons.ITER_MAP_ACCESS: on_map(HASH, 4),
    reasons.ITER_MAP_EXCLUSIVE: exclusive,
    reasons.ITER_TASK: linked("task", info=struct.pack("=II", 1, 1)),
    reasons.ITER_NO_TASK: linked("task", info=struct.pack("=III", 0, 0, NO_FD)),
    reasons.ITER_OLD_PROGRAM: updated(other_target=False),
    reasons.ITER_NEW_PROGRAM: updated(other_target=True),
    reasons.ITER_CREATE_FLAGS: create_flags,
    reasons.ITER_CREATE_LINK: create_other,
    reasons.INFO_NAME: link_info(0, place=True),
    reasons.INFO_NAME_ROOM: link_info(4, place=True),
    reasons.READ_KIND: lambda bench: read(bench, bench.array()),
    reasons.READ_ROOM: reading(TOO_MUCH),
    reasons.READ_AGAIN: reading("r0 = 1\nexit"),
    reasons.TASK_FLAGS: lambda bench: ask(bench, 0, flags=1),
    reasons.TASK_UNKNOWN: lambda bench: ask(bench, 0, pid=0x7FFF_FFF0),
    reasons.TASK_FD: lambda bench: ask(bench, NO_FD),
    reasons.TASK_KIND: lambda bench: ask(bench, bench.array()),
    reasons.TASK_PROGRAM: asked_bare,
    reasons.TASK_EVENT: asked_software,
    reasons.TASK_ROOM: asked_room,
}
