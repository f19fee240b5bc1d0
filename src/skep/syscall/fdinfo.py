"""What Linux shows of a descriptor in ``/proc/<pid>/fdinfo``: keys, a tab, values.

``mnt_id`` and ``ino`` are left out: there is neither mount nor inode. ``memlock`` is the memory
that the object takes here, which is not what it takes in a kernel.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_map_show_fdinfo, bpf_prog_show_fdinfo),
kernel/bpf/btf.c, kernel/bpf/token.c, fs/proc/fd.c.
"""

import os
from collections.abc import Iterable
from typing import Final

from skep.attach.links import Link
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import as_map
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import BtfObject, State
from skep.syscall.tokens import Token
from skep.uapi import commands, map_types
from skep.uapi.flags import AttachType, MapFlag, ProgType

Lines = Iterable[tuple[str, object]]
OPENED: Final = {
    0: os.O_RDWR,
    int(MapFlag.RDONLY): os.O_RDONLY,
    int(MapFlag.WRONLY): os.O_WRONLY,
}
READ_ONLY: Final = frozenset({Kind.BTF, Kind.FOLDER})


def fdinfo(state: State, fd: int) -> str:
    """The text for *fd*; raises CommandError EBADF, or EINVAL for what is no object."""
    with state.objects.lock:
        holding = state.objects.get("FDINFO", fd)
        mode = OPENED[state.objects.access(fd)]
        if holding.kind in READ_ONLY:
            mode = os.O_RDONLY
        lines = [("pos", 0), ("flags", f"0{mode | os.O_CLOEXEC:o}"), *_details(state, holding)]
    return "".join(f"{key}:\t{value}\n" for key, value in lines)


def _details(state: State, holding: Holding) -> Lines:
    target = holding.target
    if holding.kind is Kind.MAP:
        return _of_map(state, holding)
    if isinstance(target, LoadedProgram):
        return _of_program(state, target)
    if isinstance(target, BtfObject):
        return [("btf_id", target.id)]
    if isinstance(target, Link):
        return target.fdinfo()
    if isinstance(target, Token):
        return _of_token(target)
    return []


def _of_map(state: State, holding: Holding) -> Lines:
    map_ = as_map(holding)
    lines: list[tuple[str, object]] = [
        ("map_type", map_.map_type),
        ("key_size", map_.key_size),
        ("value_size", map_.value_size),
        ("max_entries", map_.max_entries),
        ("map_flags", _hex(map_.map_flags)),
        ("map_extra", _hex(map_.map_extra)),
        ("memlock", map_.memory_bytes),
        ("map_id", map_.id),
        ("frozen", int(map_.frozen)),
    ]
    owner = state.owners.program_type(map_.id)
    if owner:
        lines += [("owner_prog_type", owner), ("owner_jited", int(state.compiles))]
    return lines


def _of_program(state: State, program: LoadedProgram) -> Lines:
    code = program.machine_code
    return [
        ("prog_type", program.type.id),
        ("prog_jited", int(state.compiles)),
        ("prog_tag", program.tag.hex()),
        ("memlock", 8 * len(program.proof.insns) + sum(part.size for part in code)),
        ("prog_id", program.id),
        ("run_time_ns", program.run_ns),
        ("run_cnt", program.run_count),
        ("recursion_misses", program.misses),
        ("verified_insns", program.proof.statistics.insns_processed),
    ]


def _of_token(token: Token) -> Lines:
    known = (len(commands.COMMANDS), len(map_types.MAP_TYPES) + 1, max(ProgType) + 1,
             max(AttachType) + 1)  # fmt: skip
    for name, mask, count in zip(token.allowed._fields, token.allowed, known, strict=True):
        every = (1 << count) - 1
        yield f"allowed_{name}", "any" if mask & every == every else _hex(mask)


def _hex(value: int) -> str:
    """As the kernel's %#x writes it: 0 is 0x0."""
    return f"{value:#x}"
