"""THE context table: fields of the structs that programs get as argument 1.

A context that a program sees is a block of native memory: the uapi struct itself (same offsets),
and behind it, from ``native_base``, one 8-byte slot for each field that is a pointer (data,
data_end, sk, …), because uapi declares those 32 bits wide or they point into "kernel" memory.
After verification the verifier rewrites a load of a pointer field, one instruction for one::

    r2 = *(u32 *)(r1 + 76)      r2 = *(u64 *)(r1 + 192)       (__sk_buff.data: slot 0)

Everything else, narrow loads included, works on the struct in place.
"""

from dataclasses import dataclass
from enum import IntEnum


class Points(IntEnum):
    """What a context field's value is to the verifier."""

    SCALAR = 0
    PACKET = 1  # data
    PACKET_END = 2  # data_end
    PACKET_META = 3  # data_meta
    SOCKET = 4  # bpf_sock (full), may be NULL if nullable
    SOCK_COMMON = 5
    FLOW_KEYS = 6
    BTF = 7  # pointer to the kernel struct named in `btf`
    BUFFER = 8  # pointer to bounded memory, read or written as the row says
    TCP_SOCK = 9
    XDP_SOCK = 10


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a context.

    Args:
        name: as in uapi.
        offset: bytes.
        size: bytes, of the whole field (arrays too).
        points: what its value is.
        narrow: loads of part of it are allowed; *narrow_size* is the least size.
        writes: sizes a program may store to it with, empty for read-only.
        only: program or attach types that may use it, empty for all of the context's.
        slot: native slot index of a pointer field, -1 otherwise.
        nullable: the pointer may be NULL.
    """

    name: str
    offset: int
    size: int
    points: Points = Points.SCALAR
    narrow: bool = True
    writes: tuple[int, ...] = ()
    read: bool = True
    only: tuple[str, ...] = ()
    slot: int = -1
    nullable: bool = False
    btf: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """One context struct; *size* is uapi's, *native_base* the offset of slot 0."""

    name: str
    size: int
    fields: tuple[Field, ...]

    @property
    def native_base(self) -> int:
        """Offset of the first native slot: the size, rounded up to 8."""
        return (self.size + 7) & ~7

    @property
    def native_size(self) -> int:
        """Bytes of the native block: struct and slots."""
        return self.native_base + 8 * (1 + max((f.slot for f in self.fields), default=-1))
