"""Special fields of map values and allocated objects: locks, timers, kptrs, list and tree parts.

Here is what there is; ``skep.btf.field_search`` finds them in a type.

Source: Linux 6.18 kernel/bpf/btf.c, include/linux/bpf.h (btf_field_type_size, btf_record).
"""

from typing import Final

from skep.btf.graph import Btf

SPIN_LOCK: Final = 1 << 0
RES_SPIN_LOCK: Final = 1 << 1
TIMER: Final = 1 << 2
WORKQUEUE: Final = 1 << 3
TASK_WORK: Final = 1 << 4
LIST_HEAD: Final = 1 << 5
LIST_NODE: Final = 1 << 6
RB_ROOT: Final = 1 << 7
RB_NODE: Final = 1 << 8
REFCOUNT: Final = 1 << 9
KPTR_UNREF: Final = 1 << 10
KPTR_REF: Final = 1 << 11
KPTR_PERCPU: Final = 1 << 12
UPTR: Final = 1 << 13

LOCKS: Final = SPIN_LOCK | RES_SPIN_LOCK
KPTRS: Final = KPTR_UNREF | KPTR_REF | KPTR_PERCPU
ROOTS: Final = LIST_HEAD | RB_ROOT
NODES: Final = LIST_NODE | RB_NODE
DEFERRED: Final = TIMER | WORKQUEUE | TASK_WORK
REPEATED: Final = KPTRS | UPTR | ROOTS  # those that may stand in arrays
UNIQUE: Final = LOCKS | DEFERRED
IN_OBJECTS: Final = LOCKS | ROOTS | NODES | REFCOUNT | KPTRS
IN_MAPS: Final = LOCKS | DEFERRED | ROOTS | REFCOUNT | KPTRS | UPTR

FIELD_NAMES: Final[dict[int, str]] = {
    SPIN_LOCK: "bpf_spin_lock",
    RES_SPIN_LOCK: "bpf_res_spin_lock",
    TIMER: "bpf_timer",
    WORKQUEUE: "bpf_wq",
    TASK_WORK: "bpf_task_work",
    LIST_HEAD: "bpf_list_head",
    LIST_NODE: "bpf_list_node",
    RB_ROOT: "bpf_rb_root",
    RB_NODE: "bpf_rb_node",
    REFCOUNT: "bpf_refcount",
    KPTR_UNREF: "kptr",
    KPTR_REF: "kptr",
    KPTR_PERCPU: "percpu_kptr",
    UPTR: "uptr",
}
BY_STRUCT: Final[dict[str, int]] = {
    name: kind for kind, name in FIELD_NAMES.items() if name.startswith("bpf_")
}
SIZES: Final[dict[int, int]] = {
    SPIN_LOCK: 4, RES_SPIN_LOCK: 4, REFCOUNT: 4, TIMER: 16, WORKQUEUE: 16, TASK_WORK: 8,
    LIST_HEAD: 16, LIST_NODE: 24, RB_ROOT: 16, RB_NODE: 32,
}  # fmt: skip
ALIGNED4: Final = LOCKS | REFCOUNT  # the others stand at multiples of 8
BY_TAG: Final[dict[str, int]] = {
    "kptr_untrusted": KPTR_UNREF,
    "kptr": KPTR_REF,
    "percpu_kptr": KPTR_PERCPU,
    "uptr": UPTR,
}


class SpecialField:
    """One special field.

    *btf* and *btf_id* are the struct that a kptr points to, or that a list or tree holds (with its
    node in the member *node*, at *node_offset*).
    """

    __slots__ = ("btf", "btf_id", "kind", "node", "node_offset", "offset", "size")

    def __init__(self, kind: int, offset: int, size: int) -> None:
        self.kind = kind
        self.offset = offset
        self.size = size
        self.btf: Btf | None = None
        self.btf_id: int = 0
        self.node: str = ""
        self.node_offset: int = -1

    def moved(self, by: int) -> "SpecialField":
        """A twin of this field, *by* bytes further on."""
        twin = SpecialField(self.kind, self.offset + by, self.size)
        twin.btf, twin.btf_id = self.btf, self.btf_id
        twin.node, twin.node_offset = self.node, self.node_offset
        return twin


class Record:
    """The special fields of one type, by offset."""

    __slots__ = ("fields", "has_lock", "kinds")

    def __init__(self, fields: list[SpecialField]) -> None:
        self.fields = sorted(fields, key=lambda field: field.offset)
        self.kinds: int = 0
        for field in fields:
            self.kinds |= field.kind
        self.has_lock: bool = self.kinds & LOCKS != 0

    def find(self, offset: int, kinds_: int) -> SpecialField | None:
        """The field of one of *kinds_* that starts at *offset*."""
        for field in self.fields:
            if field.offset == offset and field.kind & kinds_:
                return field
        return None

    def last(self, kinds_: int) -> SpecialField | None:
        """The last field of one of *kinds_*: if structs within have several, Linux knows that."""
        found: SpecialField | None = None
        for field in self.fields:
            if field.kind & kinds_:
                found = field
        return found
