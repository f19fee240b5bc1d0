"""Finds the special fields of a type.

They are found by the names of their struct types, kptrs by the type tags of their pointers, and
only where Linux finds them: behind no qualifier, in no union, aligned, of the size that they have.

Invariant: fields are found in the order of Linux, so that of several faults the same one is told.

Source: Linux 6.18 kernel/bpf/btf.c (btf_parse_fields and what it calls).
"""

import errno
from collections.abc import Callable
from typing import Final, TypeAlias

from skep.base.bits import U32
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.btf.special_fields import (
    ALIGNED4,
    BY_STRUCT,
    BY_TAG,
    FIELD_NAMES,
    KPTR_REF,
    KPTRS,
    LIST_HEAD,
    LIST_NODE,
    LOCKS,
    RB_NODE,
    RB_ROOT,
    REFCOUNT,
    REPEATED,
    ROOTS,
    SIZES,
    UNIQUE,
    UPTR,
    Record,
    SpecialField,
)
from skep.errors import BtfError

# structs of the kernel with a function that a map calls to release one
RELEASABLE: Final = frozenset(
    (
        "task_struct", "cgroup", "bpf_cpumask", "bpf_crypto_ctx", "prog_test_ref_kfunc",
        "prog_test_member",
    )
)  # fmt: skip
MAX_FIELDS: Final = 11
MAX_DEPTH: Final = 32
PAGE_SIZE: Final = 4096
_NODES: Final[dict[int, int]] = {LIST_HEAD: LIST_NODE, RB_ROOT: RB_NODE}

Kernel: TypeAlias = Callable[[], Btf | None]


def parse_record(btf: Btf, type_id: int, wanted: int, kernel: Kernel) -> Record | None:
    """The special fields of kinds *wanted* in the type *type_id*, None if it has none.

    Raises:
        BtfError: they may not stand there like this; ``errno`` is Linux's.
    """
    search = _Search(btf, wanted)
    fields = search.of_type(type_id)
    if not fields:
        return None
    end = 0
    for field in fields:
        if field.offset < end:
            what = f"{FIELD_NAMES[field.kind]} at {field.offset}, before another one ends at {end}"
            raise search.wrong(type_id, what, "special fields one after the other", errno.EEXIST)
        end = field.offset + field.size
        if field.kind & (KPTRS | UPTR):
            _find_target(search, field, kernel)
        elif field.kind & ROOTS:
            _find_node(search, field)
    record = Record(fields)
    _require_company(search, type_id, record.kinds)
    return record


def _require_company(search: "_Search", type_id: int, found: int) -> None:
    """Require what fields of some kinds need besides them."""
    if found & LOCKS == LOCKS:
        raise search.wrong(type_id, "two kinds of locks", "bpf_spin_lock or bpf_res_spin_lock")
    if found & ROOTS and not found & LOCKS:
        raise search.wrong(type_id, "a list or tree without a lock", "a lock in the same struct")
    if found & LIST_NODE and found & RB_NODE and not found & REFCOUNT:
        raise search.wrong(type_id, "a node of a list and one of a tree", "a bpf_refcount as well")


def check_pointees(btf: Btf, type_id: int, record: Record) -> None:
    """Require that what uptrs point to is a struct of the program's that fits into a page.

    Raises:
        BtfError: it is not.
    """
    search = _Search(btf, 0)
    for field in record.fields:
        if field.kind != UPTR or field.btf is None:
            continue
        struct = field.btf.type(field.btf_id)
        size = struct.size if isinstance(struct, kinds.Struct) else 0
        if field.btf is not btf or not size:
            raise search.wrong(type_id, f"uptr to struct {struct.name}", "a struct of the program")
        if size > PAGE_SIZE:
            raise search.wrong(
                type_id, f"uptr to {size} bytes", f"at most {PAGE_SIZE}", errno.E2BIG
            )


# --- looking for fields ------------------------------------------------------------------------


class _Search:
    """Walks one type and gathers its special fields of kinds *wanted*."""

    def __init__(self, btf: Btf, wanted: int) -> None:
        self.btf = btf
        self.wanted = wanted
        self.seen: int = 0  # unique fields of the struct that is walked; others may have them too
        self.room: int = MAX_FIELDS

    def wrong(self, type_id: int, found: str, expected: str, code: int = errno.EINVAL) -> BtfError:
        """An error about the type with this id."""
        error = self.btf.error(type_id, found, expected)
        error.errno = code
        return error

    def of_type(self, type_id: int) -> list[SpecialField]:
        """The fields of a struct or data section."""
        type_ = self.btf.type(type_id)
        if isinstance(type_, kinds.Struct):
            return self._of_struct(type_id, type_, 0)
        if not isinstance(type_, kinds.DataSec):
            raise self.wrong(type_id, type_.kind.name, "a struct or a section of data")
        fields: list[SpecialField] = []
        for entry in type_.entries:
            var = self.btf.type(entry.type)
            if isinstance(var, kinds.Var):
                place = _Place(entry.type, -1, entry.offset, entry.size)
                fields += self._of_member(var.type, place, 0)
        return fields

    def _of_struct(self, type_id: int, type_: kinds.Struct, depth: int) -> list[SpecialField]:
        fields: list[SpecialField] = []
        seen, self.seen = self.seen, 0
        for number, member in enumerate(type_.members):
            if member.bit_offset % 8:
                raise self.wrong(type_id, "a member within a byte", "members that begin at bytes")
            place = _Place(type_id, number, member.bit_offset // 8, 0)
            fields += self._of_member(member.type, place, depth)
        self.seen = seen
        return fields

    def _of_member(self, type_id: int, place: "_Place", depth: int) -> list[SpecialField]:
        count = 1
        for _ in range(MAX_DEPTH):
            array = self.btf.type(type_id)
            if not isinstance(array, kinds.Array):
                break
            count = count * array.count & U32
            type_id = array.element
        else:
            raise self.wrong(type_id, "arrays of arrays", f"fewer than {MAX_DEPTH}", errno.E2BIG)
        type_ = self.btf.type(type_id)
        if not count:
            return []
        kind = self._named(type_id, type_)
        if not kind and isinstance(type_, kinds.Struct):
            if place.size and place.size != (type_.size * count) & U32:
                return []
            return self._nested(type_id, type_, place.offset, count, depth + 1)
        return self._one(type_id, type_, place, kind, count) if kind else []

    def _named(self, type_id: int, type_: kinds.Type) -> int:
        """The kind of field that a type's name stands for; KPTR_REF if it may be a pointer."""
        kind = BY_STRUCT.get(type_.name, 0) & self.wanted
        if kind & UNIQUE:
            if self.seen & kind:
                raise self.wrong(type_id, f"{type_.name} twice", "one of them", errno.E2BIG)
            self.seen |= kind
        if kind or not self.wanted & (KPTRS | UPTR) or isinstance(type_, kinds.Struct):
            return kind
        return KPTR_REF

    def _nested(
        self, type_id: int, type_: kinds.Struct, offset: int, count: int, depth: int
    ) -> list[SpecialField]:
        if depth >= MAX_DEPTH:
            raise self.wrong(type_id, "structs in structs", f"at most {MAX_DEPTH}", errno.E2BIG)
        room = self.room
        fields = [field.moved(offset) for field in self._of_struct(type_id, type_, depth)]
        return self._repeated(fields, count, type_.size, room) if fields else fields

    def _one(
        self, type_id: int, type_: kinds.Type, place: "_Place", kind: int, count: int
    ) -> list[SpecialField]:
        size = SIZES.get(kind, 8)
        if place.size and place.size != (size * count) & U32:
            return []
        if place.offset % (4 if kind & ALIGNED4 else 8):
            return []
        if kind & KPTRS:
            field = self._kptr(type_id, place.offset)
        elif not isinstance(type_, kinds.Struct) or type_.size != size:
            return []
        else:
            field = SpecialField(kind, place.offset, size)
            if kind & ROOTS:
                self._describe_root(field, place)
        if field is None:
            return []
        room = self.room
        if not room:
            raise self.too_many(type_id)
        self.room -= 1
        return self._repeated([field], count, size, room)

    def too_many(self, type_id: int) -> BtfError:
        """The error of a type with more fields than a record can hold."""
        return self.wrong(type_id, "special fields", f"at most {MAX_FIELDS}", errno.E2BIG)

    def _repeated(
        self, fields: list[SpecialField], count: int, size: int, room: int
    ) -> list[SpecialField]:
        """The fields of an array whose first element has *fields*."""
        if count <= 1:
            return fields
        for field in fields:
            if not field.kind & REPEATED:
                what = f"an array of {FIELD_NAMES[field.kind]}"
                raise self.wrong(0, what, "one, or an array of pointers, lists or trees")
        if len(fields) * count > room:
            raise self.too_many(0)
        self.room = room - len(fields) * count
        return [field.moved(number * size) for number in range(count) for field in fields]

    def _kptr(self, type_id: int, offset: int) -> SpecialField | None:
        kind, target = find_kptr(self.btf, type_id, self.wanted)
        if not kind:
            return None
        field = SpecialField(kind, offset, 8)
        field.btf, field.btf_id = self.btf, target
        return field

    def _describe_root(self, field: SpecialField, place: "_Place") -> None:
        """Read what a list or tree contains out of its declaration tag."""
        tags = self.btf.decl_tags(place.owner, place.member)
        found = [tag[len("contains:") :] for tag in tags if tag.startswith("contains:")]
        struct, colon, node = found[0].partition(":") if len(found) == 1 else ("", "", "")
        if not colon:
            raise self.wrong(place.owner, "a list or tree of unknown objects", "one tag contains:")
        target = self.btf.by_name(struct, Kind.STRUCT)
        if target is None:
            raise self.wrong(place.owner, f"contains:{struct}", "a struct", errno.ENOENT)
        if not node:
            raise self.wrong(place.owner, f"contains:{struct}:", "the name of a member")
        field.btf, field.btf_id, field.node = self.btf, target, node


class _Place:
    """Where a member or variable stands: the type it is tagged by, its offset, its size or 0."""

    __slots__ = ("member", "offset", "owner", "size")

    def __init__(self, owner: int, member: int, offset: int, size: int) -> None:
        self.owner = owner
        self.member = member
        self.offset = offset
        self.size = size


def find_kptr(btf: Btf, type_id: int, wanted: int) -> tuple[int, int]:
    """The kind of kptr of *wanted* that the type is, and the id of what it points to; 0 if none.

    Raises:
        BtfError: it is tagged twice, or points to something else than a struct.
    """
    type_ = btf.type(type_id)
    if type_.kind == Kind.VOLATILE and isinstance(type_, kinds.Reference):
        type_id = type_.type
        type_ = btf.type(type_id)
    if not isinstance(type_, kinds.Ptr):
        return 0, 0
    tag = btf.type(type_.type)
    if not isinstance(tag, kinds.TypeTag) or tag.attribute:
        return 0, 0
    if isinstance(btf.type(tag.type), kinds.TypeTag):
        raise _wrong_kptr(btf, type_id, "several type tags", "one")
    kind = BY_TAG.get(tag.name, 0)
    if not kind:
        raise _wrong_kptr(btf, type_id, f"a type tag {tag.name}", "one of kptrs")
    if not kind & wanted:
        return 0, 0
    target = btf.resolve(tag.type)
    if not isinstance(btf.type(target), kinds.Struct):
        raise _wrong_kptr(btf, type_id, "a kptr to something else", "a pointer to a struct")
    return kind, target


def _wrong_kptr(btf: Btf, type_id: int, found: str, expected: str) -> BtfError:
    error = btf.error(type_id, found, expected)
    error.errno = errno.EINVAL
    return error


# --- what fields refer to ----------------------------------------------------------------------


def _find_target(search: _Search, field: SpecialField, kernel_types: Kernel) -> None:
    """Let a kptr point to the kernel's struct of its name, if there is one."""
    kernel = kernel_types()
    name = search.btf.name(field.btf_id)
    if kernel is None:
        return
    same = kernel.by_name(name, Kind.STRUCT)
    if same is None and name:
        return
    if not name or (field.kind == KPTR_REF and name not in RELEASABLE):
        raise search.wrong(
            field.btf_id, f"kptr to struct {name}",
            "a struct of the kernel that it can release, or one of the program's", errno.ENOENT,
        )  # fmt: skip
    assert same is not None
    field.btf, field.btf_id = kernel, same


def _find_node(search: _Search, field: SpecialField) -> None:
    """Find the node in the objects of a list or tree."""
    type_ = search.btf.type(field.btf_id)
    assert isinstance(type_, kinds.Struct)
    node = FIELD_NAMES[_NODES[field.kind]]
    for member in type_.members:
        if member.name != field.node:
            continue
        found = search.btf.type(member.type)
        good = isinstance(found, kinds.Struct) and found.name == node
        if not good or member.bit_offset % 64 or field.node_offset >= 0:
            raise search.wrong(field.btf_id, f"{type_.name}.{field.node}", f"an aligned {node}")
        field.node_offset = member.bit_offset // 8
    if field.node_offset < 0:
        raise search.wrong(field.btf_id, f"no {field.node}", "a node of that name", errno.ENOENT)
