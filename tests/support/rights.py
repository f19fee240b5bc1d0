"""Calls of bpf(2) whose answers depend on who calls: for skep, and in a child for a kernel.

Run as a program, it answers for the running kernel: with the capabilities whose numbers are its
arguments, as user 1000, it prints a JSON object of results.
"""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from skep.uapi import commands
from skep.uapi.flags import MapFlag
from support.caller import EXIT, RETURN_ONE, Caller, insn
from support.running_kernel import RunningKernel

BPF, NET_ADMIN, PERFMON, SYS_ADMIN = 39, 12, 38, 21
SETS: Final = {
    "nothing": (),
    "bpf": (BPF,),
    "bpf and net_admin": (BPF, NET_ADMIN),
    "bpf and perfmon": (BPF, PERFMON),
    "net_admin": (NET_ADMIN,),
    "perfmon": (PERFMON,),
    "bpf, net_admin and perfmon": (BPF, NET_ADMIN, PERFMON),
    "sys_admin": (SYS_ADMIN,),
}
SIZES: Final = {  # key, value, entries, flags, where they are not 4, 8, 1 and 0
    4: (4, 4, 1, 0), 7: (4, 8, 1, 0), 11: (8, 8, 1, 1), 15: (4, 4, 1, 0), 16: (4, 4, 1, 0),
    14: (4, 4, 1, 0), 17: (4, 4, 1, 0), 18: (4, 4, 1, 0), 22: (0, 4, 1, 0), 23: (0, 4, 1, 0),
    24: (4, 4, 0, 1), 25: (4, 4, 1, 0), 27: (0, 0, 4096, 0), 28: (4, 4, 0, 1), 29: (4, 4, 0, 1),
    30: (0, 4, 1, 0), 31: (0, 0, 4096, 0), 32: (4, 4, 0, 1), 3: (4, 4, 1, 0), 8: (4, 4, 1, 0),
}  # fmt: skip
HELPERS: Final = {  # that socket filters may call, by what it takes
    "get_prandom_u32": 7, "ktime_get_ns": 5, "jiffies64": 118, "get_current_task": 35,
    "get_current_pid_tgid": 14, "get_current_uid_gid": 15, "get_numa_node_id": 42,
    "get_current_cgroup_id": 80,
    "skc_to_tcp_sock": 137,
    "snprintf": 165,
    "ktime_get_coarse_ns": 160,
}  # fmt: skip
CALL: Final = 0x85


class Door(Protocol):
    """Whatever serves bpf(2)."""

    def bpf(self, cmd: int, attr: bytearray, size: int | None = None, /) -> int:
        """Serve a call."""
        ...


class Objects:
    """What somebody privileged made before, and hands over."""

    def __init__(self, caller: Caller) -> None:
        self.array = caller.map(2)
        self.program = caller.program(RETURN_ONE + EXIT)
        self.cgroup_skb = caller.program(RETURN_ONE + EXIT, 8)
        self.btf = caller.call(commands.BTF_LOAD, btf=caller.keep(INT), btf_size=len(INT))
        assert min(vars(self).values()) >= 0


INT: Final = (
    b"\x9f\xeb\1\0" + b"".join(n.to_bytes(4, "little") for n in (24, 0, 16, 16, 5))
    + b"".join(n.to_bytes(4, "little") for n in (1, 1 << 24, 4, 32)) + b"\0int\0"
)  # fmt: skip


def answers(caller: Caller, made: Objects) -> Mapping[str, int]:
    """What every call answers: 0 for success, else -errno."""
    found: dict[str, int] = {}

    def note(name: str, result: int) -> None:
        found[name] = min(result, 0)

    for kind in (*range(1, 12), *range(14, 34)):
        key, value, entries, flags = SIZES.get(kind, (4, 8, 1, 0))
        if kind not in {19, 21, 26, 33, 32, 24, 28, 29}:  # need BTF, or kernels that have them
            note(f"map type {kind}", caller.map(kind, key, value, entries, flags))
    for kind in (*range(1, 28), *range(30, 33)):  # 28 and 29 need what a kernel may not have
        note(f"program type {kind}", caller.program(RETURN_ONE + EXIT, kind))
    note("5000 instructions", caller.program(RETURN_ONE * 4999 + EXIT))
    for name, number in HELPERS.items():
        code = insn(CALL, imm=number) + RETURN_ONE + EXIT
        note(f"helper {name}", caller.program(code))
    for name, code in PROGRAMS.items():
        note(f"program {name}", caller.program(code))
    for name, code in CGROUP_PROGRAMS.items():
        note(f"cgroup program {name}", caller.program(code, 8))
    for name, call in CALLS.items():
        note(name, call(caller, made))
    return found


# r1 = r10 - 8, which holds 0; r0 = f(r1); return *(u64 *)(r10 - 8); f:
CALL_WITH_SLOT: Final = (
    insn(0x7A, 10, 0, -8) + insn(0xBF, 1, 10) + insn(0x07, 1, imm=-8) + insn(0x85, 0, 1, 0, 2)
    + insn(0x79, 0, 10, -8) + EXIT
)  # fmt: skip
PROGRAMS: Final = {
    "returns a pointer": insn(0xBF, 0, 10) + EXIT,
    "stores a pointer in the context": insn(0x7B, 1, 10, 48) + RETURN_ONE + EXIT,
    "compares a pointer": insn(0xBF, 0, 10) + insn(0x2D, 0, 1, 0) + RETURN_ONE + EXIT,
    "has a function": insn(0x85, 0, 1, 0, 1) + EXIT + RETURN_ONE + EXIT,
    "has a loop": (
        insn(0xB7, 1, 0, 0, 0)
        + insn(0x07, 1, 0, 0, 1)
        + insn(0xA5, 1, 0, -2, 4)
        + RETURN_ONE
        + EXIT
    ),
    "reads what was not written": insn(0x79, 0, 10, -8) + EXIT,
    "has a function that writes to its stack": CALL_WITH_SLOT + insn(0x7A, 1) + RETURN_ONE + EXIT,
    "has a function that stores a pointer there": CALL_WITH_SLOT
    + insn(0x7B, 1, 1)
    + RETURN_ONE
    + EXIT,
    "has a function that returns its argument": CALL_WITH_SLOT + insn(0xBF, 0, 1) + EXIT,
    "has a function that returns a part of it": CALL_WITH_SLOT + insn(0xBC, 0, 1) + EXIT,
    "has a function that writes somewhere": CALL_WITH_SLOT
    + insn(0xBF, 6, 1)
    + insn(0x85, imm=7)
    + insn(0x57, 0, imm=7)
    + insn(0x0F, 6, 0)
    + insn(0x72, 6)
    + RETURN_ONE
    + EXIT,
    "has a function that reads its context": insn(0x85, 0, 1, 0, 1)
    + EXIT
    + insn(0x61, 0, 1)
    + EXIT,
    "negates a pointer": insn(0xBF, 2, 10) + insn(0x87, 2) + RETURN_ONE + EXIT,
}
CGROUP_PROGRAMS: Final = {
    "looks at the packet": insn(0x61, 1, 1, 76) + RETURN_ONE + EXIT,
    "reads the packet": (
        insn(0x61, 2, 1, 76) + insn(0x61, 3, 1, 80) + insn(0xBF, 4, 2) + insn(0x07, 4, imm=1)
        + insn(0x2D, 4, 3, 1) + insn(0x71, 0, 2) + RETURN_ONE + EXIT
    ),
    "sets the time": insn(0xB7, 2) + insn(0x7B, 1, 2, 152) + RETURN_ONE + EXIT,
    "reads the time": insn(0x79, 0, 1, 152) + RETURN_ONE + EXIT,
    "sets the mark": insn(0xB7, 2) + insn(0x63, 1, 2, 8) + RETURN_ONE + EXIT,
}  # fmt: skip
CALLS: Final[Mapping[str, Callable[[Caller, Objects], int]]] = {
    "BTF_LOAD": lambda caller, _: caller.call(
        commands.BTF_LOAD, btf=caller.keep(INT), btf_size=len(INT)
    ),
    "MAP_GET_NEXT_ID": lambda caller, _: caller.call(commands.MAP_GET_NEXT_ID),
    "MAP_GET_NEXT_ID from the end": lambda caller, _: caller.call(
        commands.MAP_GET_NEXT_ID, start_id=0x7FFF_FFFF
    ),
    "PROG_GET_NEXT_ID": lambda caller, _: caller.call(commands.PROG_GET_NEXT_ID),
    "BTF_GET_NEXT_ID": lambda caller, _: caller.call(commands.BTF_GET_NEXT_ID),
    "MAP_GET_FD_BY_ID": lambda caller, _: caller.call(commands.MAP_GET_FD_BY_ID),
    "MAP_GET_FD_BY_ID with two flags": lambda caller, _: caller.call(
        commands.MAP_GET_FD_BY_ID, open_flags=int(MapFlag.RDONLY | MapFlag.WRONLY)
    ),
    "MAP_GET_FD_BY_ID with an unknown flag": lambda caller, _: caller.call(
        commands.MAP_GET_FD_BY_ID, open_flags=1
    ),
    "PROG_GET_FD_BY_ID": lambda caller, _: caller.call(commands.PROG_GET_FD_BY_ID),
    "BTF_GET_FD_BY_ID": lambda caller, _: caller.call(
        commands.BTF_GET_FD_BY_ID, start_id=0x7000_0000
    ),
    "LINK_GET_FD_BY_ID": lambda caller, _: caller.call(commands.LINK_GET_FD_BY_ID),
    "ENABLE_STATS of an unknown kind": lambda caller, _: caller.call(commands.ENABLE_STATS, type=7),
    "PROG_QUERY": lambda caller, _: caller.call(commands.PROG_QUERY, attach_type=999),
    "TASK_FD_QUERY with flags": lambda caller, _: caller.call(commands.TASK_FD_QUERY, flags=1),
    "TOKEN_CREATE with flags": lambda caller, _: caller.call(commands.TOKEN_CREATE, flags=1),
    "MAP_UPDATE_ELEM": lambda caller, made: caller.store(made.array, bytes(4), bytes(8)),
    "PROG_TEST_RUN": lambda caller, made: caller.call(
        commands.PROG_TEST_RUN, prog_fd=made.program, data_in=caller.keep(bytes(64)),
        data_size_in=64,
    ),
    "OBJ_GET_INFO_BY_FD": lambda caller, made: caller.call(
        commands.OBJ_GET_INFO_BY_FD, bpf_fd=made.program, info=caller.keep(b"", 232), info_len=232
    ),
    "PROG_BIND_MAP": lambda caller, made: caller.call(
        commands.PROG_BIND_MAP, prog_fd=made.program, map_fd=made.array
    ),
    "LINK_CREATE of cgroup_skb": lambda caller, made: caller.call(
        commands.LINK_CREATE, prog_fd=made.cgroup_skb, attach_type=99
    ),
    "PROG_ATTACH of cgroup_skb": lambda caller, made: caller.call(
        commands.PROG_ATTACH, attach_bpf_fd=made.cgroup_skb, attach_type=0, target_fd=0x7FFF_FFF0
    ),
    "MAP_FREEZE": lambda caller, made: caller.call(commands.MAP_FREEZE, map_fd=made.array),
}  # fmt: skip


def lengths(caller: Caller, made: Objects) -> Mapping[str, int]:
    """What info tells of the program's code."""
    place = caller.keep(b"", 232)
    caller.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=made.program, info=place, info_len=232)
    data = ctypes.string_at(place, 232)
    return {
        name: int(any(data[at : at + 4]))
        for name, at in (("jited", 16), ("xlated", 20), ("ksyms", 104))
    }


def drop(capabilities: tuple[int, ...]) -> None:
    """Go on as user 1000 with those capabilities only."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
    mask = sum(1 << capability for capability in capabilities)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def main() -> None:
    """Answer for the running kernel."""
    caller = Caller(RunningKernel())  # type: ignore[arg-type]  # as much of one as it uses
    made = Objects(caller)
    drop(tuple(int(argument) for argument in sys.argv[1:]))
    found = {**answers(caller, made), **lengths(caller, made)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
