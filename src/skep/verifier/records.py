"""Special fields of map values and allocated objects: locks, timers, kptrs, list and tree parts.

Programs may use them through helpers and kfuncs only. They are found by the names of their struct
types, kptrs by the type tags of their pointers, in the BTF of the map or program.

Source: Linux 6.18 kernel/bpf/btf.c (btf_parse_fields and what it calls).
"""

from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.verifier.interface import MapShape
from skep.verifier.values import ALLOC, BTF_ID, MAP_VALUE, NON_OWN_REF, Pointer

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
GRAPH_NODES: Final = LIST_NODE | RB_NODE
DEFERRED: Final = TIMER | WORKQUEUE | TASK_WORK

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
_BY_STRUCT: Final[dict[str, int]] = {
    name: kind for kind, name in FIELD_NAMES.items() if name.startswith("bpf_")
}
_BY_TAG: Final[dict[str, int]] = {
    "kptr_untrusted": KPTR_UNREF,
    "kptr": KPTR_REF,
    "percpu_kptr": KPTR_PERCPU,
    "uptr": UPTR,
}
_MAX_NESTING: Final = 8
_MAX_REPEATS: Final = 1 << 12


class SpecialField:
    """One special field.

    *btf* and *btf_id* are the struct that a kptr points to, or that a list or tree holds (with its
    node in the member *node*).
    """

    __slots__ = ("btf", "btf_id", "kind", "node", "offset", "size")

    def __init__(self, kind: int, offset: int, size: int) -> None:
        self.kind = kind
        self.offset = offset
        self.size = size
        self.btf: Btf | None = None
        self.btf_id: int = 0
        self.node: str = ""


class Record:
    """The special fields of one type, by offset."""

    __slots__ = ("fields", "has_lock", "kinds")

    def __init__(self, fields: list[SpecialField]) -> None:
        fields.sort(key=lambda field: field.offset)
        self.fields = fields
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

    def first(self, kinds_: int) -> SpecialField | None:
        """The first field of one of *kinds_*."""
        for field in self.fields:
            if field.kind & kinds_:
                return field
        return None


class Records:
    """The records of all types that one program touches, made on first use."""

    def __init__(self, kernel: Btf | None) -> None:
        self._kernel = kernel
        self._made: dict[tuple[int, int], Record | None] = {}

    def of_map(self, shape: MapShape) -> Record | None:
        """Special fields of a map's values, None if there are none."""
        if shape.btf is None or not shape.btf_value_type_id:
            return None
        return self.of_type(shape.btf, shape.btf_value_type_id)

    def of_pointer(self, pointer: Pointer) -> Record | None:
        """Special fields of what *pointer* points to: a map value or an allocated object."""
        if pointer.kind == MAP_VALUE and pointer.map is not None:
            return self.of_map(pointer.map)
        if (
            pointer.kind == BTF_ID
            and pointer.flags & (ALLOC | NON_OWN_REF)
            and pointer.btf is not None
        ):
            return self.of_type(pointer.btf, pointer.btf_id)
        return None

    def of_type(self, btf: Btf, type_id: int) -> Record | None:
        """Special fields of a struct or data section type."""
        key = (id(btf), type_id)
        if key not in self._made:
            fields: list[SpecialField] = []
            _Collector(btf, self._kernel, fields).collect(type_id)
            self._made[key] = Record(fields) if fields else None
        return self._made[key]


class _Collector:
    """Walks one type and gathers its special fields."""

    def __init__(self, btf: Btf, kernel: Btf | None, fields: list[SpecialField]) -> None:
        self.btf = btf
        self.kernel = kernel
        self.fields = fields

    def collect(self, type_id: int) -> None:
        """Gather the fields of the struct or data section *type_id*."""
        type_ = self.btf.resolved(type_id)
        if isinstance(type_, kinds.DataSec):
            for entry in type_.entries:
                var = self.btf.type(entry.type)
                if isinstance(var, kinds.Var):
                    self._visit(var.type, entry.offset, self.btf.decl_tags(entry.type), 0)
        elif isinstance(type_, kinds.Composite):
            self._visit_members(self.btf.resolve(type_id), type_, 0, 0)

    def _visit_members(self, type_id: int, type_: kinds.Composite, base: int, depth: int) -> None:
        for number, member in enumerate(type_.members):
            if not member.bitfield_size:
                tags = self.btf.decl_tags(type_id, number)
                self._visit(member.type, base + member.offset, tags, depth)

    def _visit(self, type_id: int, offset: int, tags: list[str], depth: int) -> None:
        element, count = self.btf.array_elems(type_id)
        type_ = self.btf.type(element)
        before = len(self.fields)
        if isinstance(type_, kinds.Composite):
            kind = _BY_STRUCT.get(type_.name, 0)
            if kind:
                self._add(kind, offset, type_.size, tags)
            elif depth < _MAX_NESTING:
                self._visit_members(element, type_, offset, depth + 1)
        elif isinstance(type_, kinds.Ptr):
            self._add_kptr(element, type_, offset)
        if count > 1 and len(self.fields) > before:
            self._repeat(before, count, self.btf.size_of(element))

    def _repeat(self, before: int, count: int, size: int) -> None:
        found = self.fields[before:]
        for number in range(1, min(count, _MAX_REPEATS)):
            for field in found:
                twin = SpecialField(field.kind, field.offset + number * size, field.size)
                twin.btf, twin.btf_id, twin.node = field.btf, field.btf_id, field.node
                self.fields.append(twin)

    def _add(self, kind: int, offset: int, size: int, tags: list[str]) -> None:
        field = SpecialField(kind, offset, size)
        if kind & (LIST_HEAD | RB_ROOT):
            for tag in tags:
                parts = tag.split(":")
                if len(parts) == 3 and parts[0] == "contains":
                    field.btf, field.node = self.btf, parts[2]
                    field.btf_id = self.btf.by_name(parts[1], Kind.STRUCT) or 0
        self.fields.append(field)

    def _add_kptr(self, type_id: int, pointer: kinds.Ptr, offset: int) -> None:
        kind = 0
        for tag in self.btf.type_tags(type_id):
            kind = _BY_TAG.get(tag, kind)
        if not kind:
            return
        field = SpecialField(kind, offset, 8)
        target = self.btf.resolve(pointer.type)
        field.btf, field.btf_id = self.btf, target
        struct = self.btf.type(target)
        if self.kernel is not None and isinstance(struct, (kinds.Composite, kinds.Fwd)):
            same = self.kernel.by_name(struct.name, Kind.STRUCT)
            if same is not None:
                field.btf, field.btf_id = self.kernel, same
        self.fields.append(field)
