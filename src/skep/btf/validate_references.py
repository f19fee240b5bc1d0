"""What BTF_LOAD asks of references: that each leads to a type that exists, fits and ends.

Every type that refers to others is resolved, depth first: a qualifier to the type behind it, an
array to its size. What counts as an end depends on where the walk began: pointers end at anything
but qualifiers and pointers, structures at anything without a size of its own.

Invariant: the order of the walk, and so which of several faults is named, is that of Linux.

Source: Linux kernel/bpf/btf.c, ``btf_check_all_types`` and the ``*_resolve`` family.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Final

from skep.base.bits import U32, signed
from skep.btf.kinds import Kind
from skep.btf.validate_log import Raw, Report
from skep.btf.validate_members import TYPEDEFS, MemberCheck, is_regular
from skep.btf.validate_types import is_identifier

MAX_DEPTH: Final = 32
_POINTER: Final = 8

_FREE, _POINTERS, _LAYOUT = 0, 1, 2  # what the walk began at: neither, a pointer, a layout
_NEW, _VISITED, _RESOLVED = 0, 1, 2

_COMPOSITES: Final = frozenset((Kind.STRUCT, Kind.UNION))
_SOURCES: Final = frozenset((Kind.VAR, Kind.DECL_TAG, Kind.DATASEC))  # nothing refers to them
_NO_SIZE: Final = frozenset((Kind.VOID, Kind.FWD, Kind.FUNC, Kind.FUNC_PROTO, Kind.DECL_TAG))
_OWN_SIZE: Final = frozenset(
    (
        Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.DATASEC, Kind.FLOAT, Kind.ENUM64,
    )
)  # fmt: skip
_RESOLVABLE: Final = (
    TYPEDEFS | _COMPOSITES | _SOURCES | {Kind.PTR, Kind.ARRAY, Kind.FUNC}
)  # fmt: skip
_TAGGABLE: Final = _COMPOSITES | {Kind.FUNC, Kind.VAR, Kind.TYPEDEF}
_POINTABLE: Final = frozenset((Kind.VOID, Kind.FWD, Kind.FUNC_PROTO))


class _Blocked(Exception):  # noqa: N818 - turned into a refusal of the type where the walk began
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Vertex:
    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.next = 0  # member to go on with


class ReferenceCheck:
    """Checks all references of a BTF.

    Args:
        report: the log.
        types: every type, by id; each has passed ``check_type``.
    """

    def __init__(self, report: Report, types: "list[Raw]") -> None:
        self._report = report
        self._words = report.words
        self._types = types
        self._states = bytearray(len(types))
        self._ids = [0] * len(types)  # what a type was resolved to
        self._sizes = [0] * len(types)
        self._stack: list[_Vertex] = []
        self._mode = _FREE
        self._members = MemberCheck(report, types, self.sized)

    def check(self) -> None:
        """Check every type, in order; raises BtfError."""
        self._report.resolving = True
        for raw in self._types[1:]:
            if raw.kind in _RESOLVABLE and self._states[raw.type_id] != _RESOLVED:
                self._resolve(raw)
            if raw.kind == Kind.FUNC_PROTO:
                self._check_prototype(raw)

    # --- the walk -------------------------------------------------------------------------------

    def _resolve(self, root: Raw) -> None:
        self._mode = _FREE
        self._stack = []
        try:
            self._push(root)
            while self._stack:
                vertex = self._stack[-1]
                _STEPS[vertex.raw.kind](self, vertex)
        except _Blocked as blocked:
            if blocked.code == errno.EEXIST:
                message = "Loop detected"
            else:
                message = f"Exceeded max resolving depth:{MAX_DEPTH}"
            raise self._report.refuse(root, message, blocked.code) from None

    def _push(self, raw: Raw) -> None:
        if len(self._stack) == MAX_DEPTH:
            raise _Blocked(errno.E2BIG)
        if self._states[raw.type_id] != _NEW:
            raise _Blocked(errno.EEXIST)
        self._states[raw.type_id] = _VISITED
        self._stack.append(_Vertex(raw))
        if self._mode == _FREE:
            if raw.kind == Kind.PTR:
                self._mode = _POINTERS
            elif raw.kind in _COMPOSITES or raw.kind == Kind.ARRAY:
                self._mode = _LAYOUT

    def _pop(self, type_id: int, size: int = 0) -> None:
        done = self._stack.pop().raw.type_id
        self._ids[done], self._sizes[done] = type_id, size
        self._states[done] = _RESOLVED

    def _enter(self, raw: Raw) -> bool:
        """Resolve *raw* first, if the walk cannot go on without; tell whether it has to."""
        if self._states[raw.type_id] == _RESOLVED or raw.kind not in _ENTERED[self._mode]:
            return False
        self._push(raw)
        return True

    def _get(self, type_id: int) -> Raw | None:
        return self._types[type_id] if type_id < len(self._types) else None

    def sized(self, type_id: int) -> tuple[int, int] | None:
        """The concrete type behind *type_id* and its size, as far as resolved; None if sizeless."""
        raw = self._get(type_id)
        if raw is None or raw.kind in _NO_SIZE:
            return None
        if raw.kind in TYPEDEFS or raw.kind == Kind.VAR:
            type_id = self._ids[type_id]
            raw = self._types[type_id]
        if raw.kind in _OWN_SIZE:
            return type_id, raw.third
        if raw.kind == Kind.ARRAY:
            return type_id, self._sizes[type_id]
        return (type_id, _POINTER) if raw.kind == Kind.PTR else None

    # --- one step, by kind ------------------------------------------------------------------------

    def step_qualifier(self, vertex: _Vertex) -> None:
        """Qualifiers, type tags and typedefs."""
        target = self._referent(vertex.raw)
        if not self._enter(target):
            self._finish(vertex.raw, target)

    def step_pointer(self, vertex: _Vertex) -> None:
        """Pointers."""
        target = self._referent(vertex.raw)
        if not self._enter(target) and not self._enter_behind(target):
            self._finish(vertex.raw, target)

    def step_variable(self, vertex: _Vertex) -> None:
        """Variables: what they hold has a size."""
        target = self._referent(vertex.raw)
        if self._enter(target) or self._enter_behind(target):
            return
        found = self.sized(target.type_id)
        if found is None:
            raise self._report.refuse(vertex.raw, "Invalid type_id")
        self._pop(found[0])

    def _referent(self, raw: Raw) -> Raw:
        target = self._get(raw.third)
        if target is None or target.kind in _SOURCES:
            raise self._report.refuse(raw, "Invalid type_id")
        return target

    def _enter_behind(self, target: Raw) -> bool:
        # A qualifier resolved as part of a structure stopped at the pointer behind it; a walk that
        # began at a pointer must look further, or it would miss a circle of pointers.
        if target.kind not in TYPEDEFS:
            return False
        behind = self._types[self._ids[target.type_id]]
        return behind.kind == Kind.PTR and self._enter(behind)

    def _finish(self, raw: Raw, target: Raw) -> None:
        found = self.sized(target.type_id)
        if found is not None:
            self._pop(found[0])
            return
        if self._states[target.type_id] == _RESOLVED:
            target = self._types[self._ids[target.type_id]]
        if target.kind not in _POINTABLE:
            raise self._report.refuse(raw, "Invalid type_id")
        self._pop(target.type_id)

    def step_array(self, vertex: _Vertex) -> None:
        """Arrays: an integer subscript, elements that have a size."""
        raw = vertex.raw
        element_id, index_id, count = self._words[raw.at + 3 : raw.at + 6]
        if self._enter(self._part(raw, index_id, "Invalid index")):
            return
        index = self.sized(index_id)
        if index is None or not self._is_plain_integer(index[0]):
            raise self._report.refuse(raw, "Invalid index")
        if self._enter(self._part(raw, element_id, "Invalid elem")):
            return
        element = self.sized(element_id)
        if element is None:
            raise self._report.refuse(raw, "Invalid elem")
        type_id, size = element
        if self._types[type_id].kind == Kind.INT and not self._is_plain_integer(type_id):
            raise self._report.refuse(raw, "Invalid array of int")
        if size * count > U32:
            raise self._report.refuse(raw, "Array size overflows U32_MAX")
        self._pop(type_id, size * count)

    def _part(self, raw: Raw, type_id: int, problem: str) -> Raw:
        part = self._get(type_id)
        if part is None or part.kind in _NO_SIZE or part.kind in _SOURCES:
            raise self._report.refuse(raw, problem)
        return part

    def _is_plain_integer(self, type_id: int) -> bool:
        raw = self._types[type_id]
        return raw.kind == Kind.INT and is_regular(self._words[raw.at + 3])

    def step_composite(self, vertex: _Vertex) -> None:
        """Structures and unions: every member resolved, then checked."""
        raw = vertex.raw
        if vertex.next:
            self._members.check(raw, raw.at + 3 * vertex.next)
        for position in range(vertex.next, raw.vlen):
            entry = raw.at + 3 + 3 * position
            member = self._get(self._words[entry + 1])
            if member is None or member.kind in _NO_SIZE or member.kind in _SOURCES:
                raise self._report.refuse_member(raw, entry, "Invalid member")
            vertex.next = position + 1
            if self._enter(member):
                return
            self._members.check(raw, entry)
        self._pop(0)

    def step_section(self, vertex: _Vertex) -> None:
        """Sections: variables that fit their places."""
        raw = vertex.raw
        self._mode = _FREE
        # Linux does not come back to the variable that it had to resolve first.
        for position in range(vertex.next, raw.vlen):
            entry = raw.at + 3 + 3 * position
            variable = self._get(self._words[entry])
            if variable is None or variable.kind != Kind.VAR:
                raise self._report.refuse_entry(raw, entry, "Not a VAR kind member")
            vertex.next = position + 1
            if self._enter(variable):
                return
            found = self.sized(variable.third)
            if found is None:
                raise self._report.refuse_entry(raw, entry, "Invalid type")
            if self._words[entry + 2] < found[1]:
                raise self._report.refuse_entry(raw, entry, "Invalid size")
        self._pop(0)

    def step_function(self, vertex: _Vertex) -> None:
        """Functions: a prototype whose parameters have names."""
        raw = vertex.raw
        prototype = self._get(raw.third)
        if prototype is None or prototype.kind != Kind.FUNC_PROTO:
            raise self._report.refuse(raw, "Invalid type_id")
        for position in range(prototype.vlen):
            name_off, type_id = self._param(prototype, position)
            if type_id and not name_off:
                raise self._report.refuse(raw, f"Invalid arg#{position + 1}")
        self._pop(raw.third)

    def step_tag(self, vertex: _Vertex) -> None:
        """Declaration tags: on a declaration, or on a part that it has."""
        raw = vertex.raw
        target = self._get(raw.third)
        if target is None or target.kind not in _TAGGABLE:
            raise self._report.refuse(raw, "Invalid type_id")
        if self._enter(target):
            return
        component = signed(self._words[raw.at + 3], 32)
        if component != -1:
            if target.kind == Kind.FUNC:
                target = self._types[target.third]
            parts = target.vlen if target.kind in _HAVE_PARTS else 0
            if component >= parts:
                raise self._report.refuse(raw, "Invalid component_idx")
        self._pop(raw.third)

    # --- prototypes -------------------------------------------------------------------------------

    def _param(self, prototype: Raw, position: int) -> tuple[int, int]:
        entry = prototype.at + 3 + 2 * position
        return self._words[entry], self._words[entry + 1]

    def _check_prototype(self, raw: Raw) -> None:
        if raw.third:
            self._check_passed(raw, raw.third, "Invalid return type")
        count = raw.vlen
        if count:
            name_off, type_id = self._param(raw, count - 1)
            if not type_id:
                if name_off:
                    raise self._report.refuse(raw, f"Invalid arg#{count}")
                count -= 1
        for position in range(count):
            name_off, type_id = self._param(raw, position)
            problem = f"Invalid arg#{position + 1}"
            self._check_passed(raw, type_id, problem, name_off)

    def _check_passed(self, raw: Raw, type_id: int, problem: str, name_off: int = 0) -> None:
        passed = self._get(type_id)
        if passed is None or passed.kind in _SOURCES:
            raise self._report.refuse(raw, problem)
        if name_off and not is_identifier(self._report, name_off):
            raise self._report.refuse(raw, problem)
        if passed.kind in _RESOLVABLE and self._states[type_id] != _RESOLVED:
            self._resolve(passed)
        if self.sized(type_id) is None:
            raise self._report.refuse(raw, problem)


_HAVE_PARTS: Final = _COMPOSITES | {Kind.FUNC_PROTO}

_ENTERED: Final = (
    _RESOLVABLE,
    TYPEDEFS | {Kind.PTR},
    TYPEDEFS | _COMPOSITES | {Kind.ARRAY},
)

_STEPS: Final[Mapping[int, Callable[[ReferenceCheck, _Vertex], None]]] = {
    Kind.PTR: ReferenceCheck.step_pointer,
    Kind.ARRAY: ReferenceCheck.step_array,
    Kind.STRUCT: ReferenceCheck.step_composite,
    Kind.UNION: ReferenceCheck.step_composite,
    Kind.TYPEDEF: ReferenceCheck.step_qualifier,
    Kind.VOLATILE: ReferenceCheck.step_qualifier,
    Kind.CONST: ReferenceCheck.step_qualifier,
    Kind.RESTRICT: ReferenceCheck.step_qualifier,
    Kind.TYPE_TAG: ReferenceCheck.step_qualifier,
    Kind.FUNC: ReferenceCheck.step_function,
    Kind.VAR: ReferenceCheck.step_variable,
    Kind.DATASEC: ReferenceCheck.step_section,
    Kind.DECL_TAG: ReferenceCheck.step_tag,
}
