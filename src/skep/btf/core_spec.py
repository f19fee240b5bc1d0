"""CO-RE specifications: what a relocation asks for, read from its access string.

``"0:1:2"`` on a root type counts members and elements step by step; it is turned into the steps
that have a meaning in another kernel, named members and array elements::

    struct s { int x; struct { int y; int a[7]; }; } *p;     &p->a[3]
    raw        0:1:1:3
    accessors  [0]  .a  [3]

Invariant: a Spec's raw indices are inside the types they index.

Source: Linux tools/lib/bpf/relo_core.c; Documentation/bpf/llvm_reloc.rst.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from skep.btf import kinds
from skep.btf.ext import CoreRecord
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import RelocationError

MAX_STEPS: Final = 64


class RelocationKind(IntEnum):
    """``enum bpf_core_relo_kind``."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


SPELLING: Final = (
    "byte_off", "byte_sz", "field_exists", "signed", "lshift_u64", "rshift_u64", "local_type_id",
    "target_type_id", "type_exists", "type_size", "enumval_exists", "enumval_value", "type_matches",
)  # fmt: skip

FIELD_KINDS: Final = frozenset(
    {
        RelocationKind.FIELD_BYTE_OFFSET,
        RelocationKind.FIELD_BYTE_SIZE,
        RelocationKind.FIELD_EXISTS,
        RelocationKind.FIELD_SIGNED,
        RelocationKind.FIELD_LSHIFT_U64,
        RelocationKind.FIELD_RSHIFT_U64,
    }
)
ENUM_KINDS: Final = frozenset({RelocationKind.ENUMVAL_EXISTS, RelocationKind.ENUMVAL_VALUE})


@dataclass(frozen=True, slots=True)
class Accessor:
    """One step: member *index*, called *name*, of the structure *type_id*.

    Without a name: element *index*, of type *type_id*, of an array.
    """

    type_id: int
    index: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """A place, type or enumerator in one BTF.

    Args:
        btf: where the ids belong.
        kind: what is asked of it.
        root: id of the type it starts from.
        accessors: the steps that have a meaning elsewhere.
        raw: every step, anonymous members too.
        bit_offset: from the start of the root.
    """

    btf: Btf
    kind: RelocationKind
    root: int
    accessors: tuple[Accessor, ...] = ()
    raw: tuple[int, ...] = ()
    bit_offset: int = 0

    def __str__(self) -> str:
        type_ = self.btf.type(self.root)
        text = f"<{SPELLING[self.kind]}> [{self.root}] {type_.kind.name.lower()}"
        text += f" {type_.name or '<anon>'}"
        if self.kind in ENUM_KINDS:
            return text + self._enumerator()
        return text + self._path() if self.accessors else text

    def _enumerator(self) -> str:
        type_ = self.btf.resolved(self.root)
        if not isinstance(type_, kinds.Enumeration) or not self.accessors:
            return ""
        item = type_.values[self.accessors[0].index]
        return f"::{item.name} = {item.value}"

    def _path(self) -> str:
        path = ""
        for position, step in enumerate(self.accessors):
            if step.name:
                path += f".{step.name}"
            elif position > 0 or step.index > 0:
                path += f"[{step.index}]"
        raw = ":".join(str(index) for index in self.raw)
        offset = str(self.bit_offset // 8)
        if self.bit_offset % 8:
            offset += f".{self.bit_offset % 8}"
        return f"{path} ({raw} @ offset {offset})"


def parse_spec(record: CoreRecord, btf: Btf) -> Spec:
    """Read what *record* asks for, in the program's own types.

    Raises:
        RelocationError: the kind is unknown, or the access string does not fit the type.
    """
    if record.kind >= len(SPELLING):
        raise RelocationError(f"CO-RE relocation of unknown kind {record.kind}")
    kind = RelocationKind(record.kind)
    raw = _parse_access(record, btf)
    if kind in ENUM_KINDS:
        return _enumerator_spec(record, btf, kind, raw)
    if kind in FIELD_KINDS:
        return _field_spec(record, btf, kind, raw)
    if raw != (0,):
        raise _misfit(record, btf, "a relocation of a type takes the access string '0'")
    return Spec(btf, kind, record.type_id)


def _misfit(record: CoreRecord, btf: Btf, why: str) -> RelocationError:
    type_ = btf.type(record.type_id)
    local = f"<{SPELLING[record.kind]}> [{record.type_id}] {type_.kind.name.lower()}"
    return RelocationError(why, local=f"{local} {type_.name or '<anon>'} + {record.access!r}")


def _parse_access(record: CoreRecord, btf: Btf) -> tuple[int, ...]:
    steps = record.access.split(":")
    for step in steps:
        if not step.isascii() or not step.isdecimal() or len(step) > 10:
            raise _misfit(record, btf, "an access string is numbers with colons between them")
    if len(steps) > MAX_STEPS:
        raise _misfit(record, btf, f"an access string has at most {MAX_STEPS} steps")
    return tuple(int(step) for step in steps)


def _enumerator_spec(
    record: CoreRecord, btf: Btf, kind: RelocationKind, raw: tuple[int, ...]
) -> Spec:
    root = btf.resolve(record.type_id)
    type_ = btf.type(root)
    if not isinstance(type_, kinds.Enumeration) or len(raw) > 1 or raw[0] >= len(type_.values):
        raise _misfit(record, btf, "the access string names no enumerator of an enumeration")
    step = Accessor(root, raw[0], type_.values[raw[0]].name)
    return Spec(btf, kind, record.type_id, (step,), raw)


def _field_spec(record: CoreRecord, btf: Btf, kind: RelocationKind, raw: tuple[int, ...]) -> Spec:
    at = btf.resolve(record.type_id)
    steps = [Accessor(at, raw[0])]
    bit_offset = raw[0] * btf.size_of(at) * 8
    for index in raw[1:]:
        at = btf.resolve(at)
        type_ = btf.type(at)
        if isinstance(type_, kinds.Composite):
            if index >= len(type_.members):
                raise _misfit(record, btf, f"{type_.name or '<anon>'} has no member {index}")
            member = type_.members[index]
            bit_offset += member.bit_offset
            if member.name:
                steps.append(Accessor(at, index, member.name))
            at = member.type
        elif isinstance(type_, kinds.Array):
            if index >= type_.count and not is_flexible(btf, steps[-1], type_):
                raise _misfit(record, btf, f"element {index} of an array of {type_.count}")
            at = btf.resolve(type_.element)
            steps.append(Accessor(at, index))
            bit_offset += index * btf.size_of(at) * 8
        else:
            raise _misfit(record, btf, f"{_describe(type_)} has neither members nor elements")
    return Spec(btf, kind, record.type_id, tuple(steps), raw, bit_offset)


def _describe(type_: kinds.Type) -> str:
    return f"{Kind(type_.kind).name} {type_.name}".rstrip()


def is_flexible(btf: Btf, step: Accessor, array: kinds.Array) -> bool:
    """Whether *array*, reached by *step*, is the flexible array that ends a structure."""
    if not step.name or array.count > 0:
        return False
    type_ = btf.type(step.type_id)
    return isinstance(type_, kinds.Composite) and step.index == len(type_.members) - 1
