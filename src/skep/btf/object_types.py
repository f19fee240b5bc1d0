"""Types of a program whose objects have special fields: those that it may allocate.

Only structs count that have such a field directly as a member. BTF_LOAD reads them all, and refuses
types that no object could have.

Source: Linux 6.18 kernel/bpf/btf.c (btf_parse_struct_metas, btf_check_and_fixup_fields).
"""

import errno
from typing import Final

from skep.btf.field_search import Kernel, check_pointees, find_kptr, parse_record
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.btf.special_fields import (
    IN_OBJECTS,
    KPTRS,
    NODES,
    ROOTS,
    Record,
)
from skep.errors import BtfError

_POINTERS: Final = frozenset((Kind.PTR, Kind.VOLATILE))
_MARKS: Final = (
    "bpf_spin_lock", "bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node",
    "bpf_refcount",
)  # fmt: skip


class ObjectTypes:
    """The types of objects in one BTF.

    Args:
        btf: the program's.
        kernel: finds the kernel's types, if there are any.
    """

    def __init__(self, btf: Btf, kernel: Kernel) -> None:
        self._btf = btf
        self._kernel = kernel
        self._marks = _find_marks(btf)
        self._made: dict[int, Record | None] = {}

    def record(self, type_id: int) -> Record | None:
        """The special fields of the struct *type_id*; None if it has none.

        Raises:
            BtfError: they may not stand there like this.
        """
        if type_id in self._made:
            return self._made[type_id]
        found: Record | None = None
        if self._is_marked(type_id):
            found = parse_record(self._btf, type_id, IN_OBJECTS, self._kernel)
            if found is None:
                raise self._wrong(type_id, "misplaced special fields", "aligned ones", errno.EFAULT)
        self._made[type_id] = found
        return found

    def check(self) -> None:
        """Check all of them, as BTF_LOAD does.

        Raises:
            BtfError: one cannot be.
        """
        if not self._marks:
            return
        found: dict[int, Record] = {}
        for type_id in self._btf.ids():
            record = self.record(type_id)
            if record is not None:
                found[type_id] = record
        for type_id, record in found.items():
            check_pointees(self._btf, type_id, record)
            for field in record.fields:
                if field.kind & ROOTS:
                    self._check_elements(type_id, record, found.get(field.btf_id))

    def _check_elements(self, type_id: int, record: Record, elements: Record | None) -> None:
        """Require that what a list or tree holds can be in it, and owns nothing in a ring.

        What is itself in a list or tree holds nothing that holds something in turn.
        """
        if elements is None:
            raise self._wrong(type_id, "a list or tree of plain structs", "nodes", errno.EFAULT)
        if record.kinds & NODES and elements.kinds & ROOTS:
            what = "elements whose elements have elements"
            raise self._wrong(type_id, what, "chains of no more than three", errno.ELOOP)

    def _is_marked(self, type_id: int) -> bool:
        if not self._marks or self._btf.kind(type_id) != Kind.STRUCT:
            return False
        return any(member.type in self._marks for member in self._btf.members(type_id))

    def _wrong(self, type_id: int, found: str, expected: str, code: int) -> BtfError:
        error = self._btf.error(type_id, found, expected)
        error.errno = code
        return error


def _find_marks(btf: Btf) -> frozenset[int]:
    """Types of members by which a struct is known to have special fields."""
    marks: set[int] = set()
    for name in _MARKS:
        type_id = btf.by_name(name, Kind.STRUCT)
        if type_id is not None:
            marks.add(type_id)
    if not any(
        btf.by_name(tag, Kind.TYPE_TAG) for tag in ("kptr_untrusted", "kptr", "percpu_kptr")
    ):
        return frozenset(marks)
    for type_id in btf.ids():
        kind = btf.kind(type_id)
        if kind in _POINTERS:
            try:
                found, _ = find_kptr(btf, type_id, KPTRS)
            except BtfError:
                continue
            if found:
                marks.add(type_id)
    return frozenset(marks)
