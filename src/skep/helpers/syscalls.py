"""Helpers of syscall programs: commands of bpf(2), which the world's subsystem serves.

Source: Linux kernel/bpf/syscall.c (bpf_sys_bpf, bpf_sys_close, bpf_kallsyms_lookup_name),
kernel/bpf/btf.c (bpf_btf_find_by_name_kind).
"""

import errno
from typing import Final

from skep.base.bits import U32, signed
from skep.errors import CommandError, NotSupported
from skep.helpers.binding import Binding
from skep.runtime.world import Door, World
from skep.uapi import commands as rows

ALLOWED: Final = frozenset(
    {
        rows.MAP_CREATE.number,
        rows.MAP_UPDATE_ELEM.number,
        rows.MAP_DELETE_ELEM.number,
        rows.MAP_FREEZE.number,
        rows.MAP_GET_FD_BY_ID.number,
        rows.PROG_LOAD.number,
        rows.BTF_LOAD.number,
        rows.LINK_CREATE.number,
        rows.RAW_TRACEPOINT_OPEN.number,
    }
)


def _door(world: World) -> Door:
    if world.door is None:
        raise NotSupported("bpf(2) from a program", "no subsystem serves this world")
    return world.door


def _name(world: World, place: int, size: int) -> str | None:
    """The name of *size* bytes at *place*; None unless it has one and ends in a zero."""
    size = signed(size & U32, 32)
    if size <= 1:
        return None
    data = world.memory.read(place, size)
    return data.split(b"\0")[0].decode(errors="replace") if not data[-1] else None


def sys_bpf(world: World, _run: int, command: int, attr: int, size: int, _r4: int, _r5: int) -> int:
    """Serve a command, for those that loaders need."""
    command &= U32
    if command not in ALLOWED:
        return -errno.EINVAL
    return _door(world).bpf_from_program(command, attr, size & U32)


def sys_close(world: World, _run: int, fd: int, _r2: int, _r3: int, _r4: int, _r5: int) -> int:
    """Close a descriptor."""
    try:
        _door(world).close(fd & U32)
    except CommandError as refusal:
        return -refusal.errno
    return 0


def btf_find_by_name_kind(
    world: World, _run: int, place: int, size: int, kind: int, flags: int, _r5: int
) -> int:
    """Id of a type of the kernel."""
    if flags & U32:
        return -errno.EINVAL
    name = _name(world, place, size)
    if name is None:
        return -errno.EINVAL
    return _door(world).find_kernel_type(name, kind & U32)


def kallsyms_lookup_name(
    world: World, _run: int, place: int, size: int, flags: int, target: int, _r5: int
) -> int:
    """Address of a symbol of the kernel: there is no kernel to have one."""
    world.memory.write(target, bytes(8))
    if flags & U32 or _name(world, place, size) is None:
        return -errno.EINVAL
    return -errno.ENOENT


BINDINGS: Final = (
    Binding("sys_bpf", upcall=sys_bpf),
    Binding("sys_close", upcall=sys_close),
    Binding("btf_find_by_name_kind", upcall=btf_find_by_name_kind),
    Binding("kallsyms_lookup_name", upcall=kallsyms_lookup_name),
)
