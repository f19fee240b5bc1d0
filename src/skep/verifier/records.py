"""Records: the special fields of all types that one program touches.

Invariant: what Linux does not take for a special field is none here; a map whose values have fields
that may not stand there like this has none at all.

Source: Linux 6.18 kernel/bpf/verifier.c (reg_btf_record), kernel/bpf/syscall.c (map_check_btf).
"""

from skep.btf.field_search import Kernel, parse_record
from skep.btf.graph import Btf
from skep.btf.object_types import ObjectTypes
from skep.btf.special_fields import IN_MAPS, Record
from skep.errors import BtfError
from skep.verifier.interface import MapShape
from skep.verifier.values import ALLOC, BTF_ID, MAP_VALUE, NON_OWN_REF, Pointer


class Records:
    """Special fields by type, found on first use.

    Args:
        kernel: the BTF in force, if there is one.
    """

    def __init__(self, kernel: Btf | None) -> None:
        self._kernel = kernel
        self._kernel_types: Kernel = lambda: kernel
        self._objects: dict[int, ObjectTypes] = {}

    def of_map(self, shape: MapShape) -> Record | None:
        """Special fields of a map's values, None if there are none."""
        btf, type_id = shape.btf, shape.btf_value_type_id
        if btf is None or not type_id:
            return None
        known = btf.value_records.get(type_id)
        if known is None or known[0] is not self._kernel:
            known = self._kernel, record_of_value(btf, type_id, self._kernel_types)
            btf.value_records[type_id] = known
        return known[1]

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
        """Special fields of objects of the struct *type_id*, None if there are none."""
        if btf is self._kernel:
            return None
        types = self._objects.get(id(btf))
        if types is None:
            types = self._objects[id(btf)] = ObjectTypes(btf, self._kernel_types)
        try:
            return types.record(type_id)
        except BtfError:
            return None


def record_of_value(btf: Btf, type_id: int, kernel: Kernel) -> Record | None:
    """Special fields of a map's value of type *type_id*, None if there are none."""
    try:
        return parse_record(btf, btf.resolve(type_id), IN_MAPS, kernel)
    except BtfError:
        return None
