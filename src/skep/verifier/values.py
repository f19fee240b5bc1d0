"""What a register holds: nothing yet (None), a ``Scalar``, or a ``Pointer`` into something.

Values are immutable once they stand in a state: states share them, and comparing two states is
mostly comparing identities. To change a value, copy it, change the copy, and store the copy::

    moved = pointer.copy()
    moved.off += 8
    frame.regs[2] = moved

A pointer's address is ``base + off + var``: *off* is known (signed), *var* is a ``Scalar`` that is
the shared constant ``ZERO`` for most pointers.

Source: Linux 6.18 include/linux/bpf_verifier.h (struct bpf_reg_state), include/linux/bpf.h
(enum bpf_reg_type and its flags).
"""

from typing import Final, TypeAlias

from skep.btf.graph import Btf
from skep.verifier.interface import MapShape
from skep.verifier.scalar import ZERO, Scalar

# --- kinds: what a pointer points into --------------------------------------------------------

CTX: Final = 2
CONST_MAP_PTR: Final = 3
MAP_VALUE: Final = 4
MAP_KEY: Final = 5
STACK: Final = 6
PACKET_META: Final = 7
PACKET: Final = 8
PACKET_END: Final = 9
FLOW_KEYS: Final = 10
SOCKET: Final = 11
SOCK_COMMON: Final = 12
TCP_SOCK: Final = 13
TP_BUFFER: Final = 14
XDP_SOCK: Final = 15
BTF_ID: Final = 16
MEM: Final = 17
ARENA: Final = 18
BUF: Final = 19
FUNC: Final = 20
CONST_DYNPTR: Final = 21

KIND_NAMES: Final[dict[int, str]] = {
    CTX: "ctx",
    CONST_MAP_PTR: "map_ptr",
    MAP_VALUE: "map_value",
    MAP_KEY: "map_key",
    STACK: "fp",
    PACKET_META: "pkt_meta",
    PACKET: "pkt",
    PACKET_END: "pkt_end",
    FLOW_KEYS: "flow_keys",
    SOCKET: "sock",
    SOCK_COMMON: "sock_common",
    TCP_SOCK: "tcp_sock",
    TP_BUFFER: "tp_buffer",
    XDP_SOCK: "xdp_sock",
    BTF_ID: "ptr_",
    MEM: "mem",
    ARENA: "arena",
    BUF: "buf",
    FUNC: "func",
    CONST_DYNPTR: "dynptr_ptr",
}

# --- flags: what more is known of a pointer ---------------------------------------------------

MAYBE_NULL: Final = 1 << 0
RDONLY: Final = 1 << 1
RINGBUF: Final = 1 << 2  # a record of bpf_ringbuf_reserve
USER: Final = 1 << 3  # user memory
PERCPU: Final = 1 << 4
UNTRUSTED: Final = 1 << 5
TRUSTED: Final = 1 << 6
RCU: Final = 1 << 7  # valid inside an RCU read-side section
ALLOC: Final = 1 << 8  # made by bpf_obj_new
NON_OWN_REF: Final = 1 << 9  # still in a collection, valid while its lock is held
DYNPTR_LOCAL: Final = 1 << 10
DYNPTR_RINGBUF: Final = 1 << 11
DYNPTR_SKB: Final = 1 << 12
DYNPTR_XDP: Final = 1 << 13
DYNPTR_SKB_META: Final = 1 << 14
DYNPTR_FILE: Final = 1 << 15
WRITE: Final = 1 << 16
ALIGNED: Final = 1 << 17

DYNPTR_FLAGS: Final = (
    DYNPTR_LOCAL | DYNPTR_RINGBUF | DYNPTR_SKB | DYNPTR_XDP | DYNPTR_SKB_META | DYNPTR_FILE
)

# --- packet ranges that are not byte counts ---------------------------------------------------

AT_END: Final = -1  # compared equal to the end of the packet
BEYOND_END: Final = -2  # compared beyond it

FRAME_POINTER: Final = 10


class Pointer:
    """A pointer; which fields mean something depends on *kind*.

    Args:
        kind: what it points into, one of the kinds above.
        flags: or of the flags above.
        off: known part of the offset, bytes, signed.
        var: unknown part of the offset.
        id: which NULL check or packet range it shares; 0 for none.
        ref_id: reference that must be released (``ref_obj_id``); 0 for none.
        range: PACKET, PACKET_META: bytes from *base + var* proved to exist; AT_END, BEYOND_END.
        frame: STACK: number of the frame.
        map: CONST_MAP_PTR, MAP_KEY, MAP_VALUE: the map.
        map_uid: tells values of an inner map found by different look-ups apart; 0 otherwise.
        size: MEM: bytes there are (``mem_size``).
        btf, btf_id: BTF_ID, and ALLOC: the type pointed to.
        subprog: FUNC: number of the subprogram.
        dynptr_id: MEM: the dynptr that it is a slice of; 0 for none.
    """

    __slots__ = (
        "btf", "btf_id", "dynptr_id", "flags", "frame", "id", "kind", "map", "map_uid", "off",
        "range", "ref_id", "size", "subprog", "var",
    )  # fmt: skip

    def __init__(self, kind: int, flags: int = 0, off: int = 0, id: int = 0) -> None:  # noqa: A002
        self.kind = kind
        self.flags = flags
        self.off = off
        self.id = id
        self.var: Scalar = ZERO
        self.ref_id: int = 0
        self.range: int = 0
        self.frame: int = 0
        self.map: MapShape | None = None
        self.map_uid: int = 0
        self.size: int = 0
        self.btf: Btf | None = None
        self.btf_id: int = 0
        self.subprog: int = 0
        self.dynptr_id: int = 0

    def copy(self) -> "Pointer":
        """Return an equal pointer that may be changed until it is stored."""
        twin = Pointer(self.kind, self.flags, self.off, self.id)
        twin.var = self.var
        twin.ref_id = self.ref_id
        twin.range = self.range
        twin.frame = self.frame
        twin.map = self.map
        twin.map_uid = self.map_uid
        twin.size = self.size
        twin.btf = self.btf
        twin.btf_id = self.btf_id
        twin.subprog = self.subprog
        twin.dynptr_id = self.dynptr_id
        return twin

    @property
    def may_be_null(self) -> bool:
        """Whether NULL has not been excluded yet."""
        return self.flags & MAYBE_NULL != 0

    def same_target(self, other: "Pointer") -> bool:
        """Whether everything but offsets and ids is equal."""
        return (
            self.kind == other.kind
            and self.flags == other.flags
            and self.range == other.range
            and self.frame == other.frame
            and self.map is other.map
            and self.size == other.size
            and self.btf is other.btf
            and self.btf_id == other.btf_id
            and self.subprog == other.subprog
            and self.dynptr_id == other.dynptr_id
        )


Value: TypeAlias = Scalar | Pointer


def map_pointer(kind: int, shape: MapShape, flags: int = 0, id: int = 0) -> Pointer:  # noqa: A002
    """Make a pointer to a map, or to a key or value of it, offset 0."""
    pointer = Pointer(kind, flags, 0, id)
    pointer.map = shape
    return pointer


def stack_pointer(frame: int, off: int = 0) -> Pointer:
    """Make ``fp + off`` of frame number *frame*."""
    pointer = Pointer(STACK, 0, off)
    pointer.frame = frame
    return pointer


def memory_pointer(size: int, flags: int = 0, id: int = 0) -> Pointer:  # noqa: A002
    """Make a pointer to *size* bytes of plain memory."""
    pointer = Pointer(MEM, flags, 0, id)
    pointer.size = size
    return pointer


def btf_pointer(btf: Btf, btf_id: int, flags: int = 0, id: int = 0) -> Pointer:  # noqa: A002
    """Make a pointer to an object of type *btf_id* in *btf*."""
    pointer = Pointer(BTF_ID, flags, 0, id)
    pointer.btf = btf
    pointer.btf_id = btf_id
    return pointer


def function_pointer(subprog: int) -> Pointer:
    """Make a pointer to subprogram number *subprog* (LD_IMM64 PSEUDO_FUNC)."""
    pointer = Pointer(FUNC)
    pointer.subprog = subprog
    return pointer
