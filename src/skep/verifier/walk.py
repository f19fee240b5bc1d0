"""Walks into a struct by its BTF: what lies at an offset, and what a pointer there points to.

A union makes whatever is found in it untrusted, except a union of one member. An access may go past
the end of a struct that ends in an array of no elements.

Source: Linux 6.18 kernel/bpf/btf.c (btf_struct_walk, btf_struct_access, btf_struct_ids_match,
btf_nested_type_is_trusted).
"""

import errno
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.btf.table import MAX_REMEMBERED
from skep.errors import BtfError
from skep.verifier.values import PERCPU, RCU, RDONLY, UNTRUSTED, USER

FAILED: Final = 0
SCALAR: Final = 1
POINTER: Final = 2  # to a struct
UNTRUSTED_MEMORY: Final = 3  # a pointer to anything else
STRUCT: Final = 4  # a struct starts at the offset

_TAG_FLAGS: Final[dict[str, int]] = {"user": USER, "percpu": PERCPU, "rcu": RCU}
_MAX_STEPS: Final = 64
_MAX_OFFSET: Final = 1 << 30  # of accesses whose outcome is kept; helpers may ask for more bytes
_MAX_SIZE: Final = 1 << 4


class Found:
    """What a walk found.

    Args:
        kind: one of the kinds above.
        type_id: POINTER: the struct pointed to; STRUCT: the struct.
        flags: POINTER: flags of the pointer.
        member: POINTER: name of the member.
        message: FAILED: why.
        errno: FAILED: which errno the kernel gives.
    """

    __slots__ = ("errno", "flags", "kind", "member", "message", "type_id")

    def __init__(self, kind: int, type_id: int = 0, message: str = "", number: int = 0) -> None:
        self.kind = kind
        self.type_id = type_id
        self.flags: int = 0
        self.member: str = ""
        self.message = message
        self.errno = number


def _failed(message: str, number: int = errno.EACCES) -> Found:
    return Found(FAILED, 0, message, number)


class _Walk:
    """One walk: where it stands and what it gathered."""

    def __init__(self, btf: Btf, off: int, size: int, flexible: bool) -> None:
        self.btf = btf
        self.off = off
        self.size = size
        self.flexible = flexible
        self.flags: int = 0

    def enter(self, type_id: int) -> Found | int:
        """Look at the struct *type_id*; an int is the struct to enter next."""
        at = self.btf.resolve(type_id)
        type_ = self.btf.type(at)
        if not isinstance(type_, kinds.Composite):
            return _failed(f"Type '{type_.name}' is not a struct", errno.EINVAL)
        if type_.kind == Kind.UNION and len(type_.members) != 1:
            self.flags |= UNTRUSTED
        if self.off + self.size > type_.size:
            return self._past_end(type_)
        for member in type_.members:
            if self.off + self.size <= member.offset:
                break
            if member.bitfield_size:
                end = (member.bit_offset + member.bitfield_size + 7) // 8
                if self.off <= member.offset and end <= self.off + self.size:
                    return Found(SCALAR)
                continue
            if self.off < member.offset:
                break
            result = self._in_member(type_, member)
            if result is not None:
                return result
        return _failed(f"struct {type_.name} doesn't have field at offset {self.off}", errno.EINVAL)

    def _past_end(self, type_: kinds.Composite) -> Found | int:
        beyond = _failed(f"access beyond struct {type_.name} at off {self.off} size {self.size}")
        if not self.flexible or not type_.members:
            return beyond
        last = type_.members[-1]
        array = self.btf.resolved(last.type)
        if not isinstance(array, kinds.Array) or array.count != 0 or self.off < last.offset:
            return beyond
        element = self.btf.resolve(array.element)
        inner = self.btf.type(element)
        if isinstance(inner, kinds.Int):
            return Found(SCALAR)
        if not isinstance(inner, kinds.Composite) or inner.size == 0:
            return beyond
        self.off = (self.off - last.offset) % inner.size
        return element

    def _in_member(self, owner: kinds.Composite, member: kinds.Member) -> Found | int | None:
        element, count = self.btf.array_elems(member.type)
        try:
            size = self.btf.element_size(element)
        except BtfError:
            return _failed(f"field {member.name} doesn't have size", errno.EFAULT)
        start, end = member.offset, member.offset + size * count
        if self.off >= end:
            return None
        start += (self.off - start) // size * size
        type_ = self.btf.type(element)
        if isinstance(type_, kinds.Composite):
            return self._enter_struct(element, start)
        if isinstance(type_, kinds.Ptr):
            return self._pointer(owner, member, type_, start, size)
        if self.off + self.size <= end or self.flags & UNTRUSTED:
            return Found(SCALAR)
        return _failed(
            f"access beyond the end of member {member.name} (mend:{end}) "
            f"in struct {owner.name} with off {self.off} size {self.size}"
        )

    def _enter_struct(self, type_id: int, start: int) -> Found | int:
        if self.off == start:
            return Found(STRUCT, type_id)
        self.off -= start
        return type_id

    def _pointer(
        self, owner: kinds.Composite, member: kinds.Member, type_: kinds.Ptr, start: int, size: int
    ) -> Found:
        if size != self.size or self.off != start:
            return _failed(
                f"cannot access ptr member {member.name} with moff {start} "
                f"in struct {owner.name} with off {self.off} size {self.size}"
            )
        target, tags = pointee(self.btf, type_.type)
        if not isinstance(self.btf.type(target), kinds.Composite):
            found = Found(UNTRUSTED_MEMORY)
            found.flags = RDONLY | UNTRUSTED
            return found
        found = Found(POINTER, target)
        found.flags = self.flags | tags
        found.member = member.name
        return found


def pointee(btf: Btf, type_id: int) -> tuple[int, int]:
    """The type behind *type_id*, what a pointer points to, and flags by its type tags."""
    flags = 0
    at = type_id
    for _ in range(_MAX_STEPS):
        type_ = btf.type(at)
        if not isinstance(type_, kinds.Reference):
            break
        if type_.kind == Kind.TYPE_TAG:
            flags |= _TAG_FLAGS.get(type_.name, 0)
        at = type_.type
    return at, flags


def _step(walk: _Walk, type_id: int) -> Found:
    at: Found | int = type_id
    for _ in range(_MAX_STEPS):
        if isinstance(at, Found):
            return at
        at = walk.enter(at)
    return _failed("structs nest too deep", errno.EINVAL)


def access(btf: Btf, type_id: int, off: int, size: int, flexible: bool) -> Found:
    """What an access of *size* bytes at *off* of struct *type_id* reads.

    *flexible*: it may go past the end of a struct that ends in an array of no elements.
    """
    if not (0 <= off < _MAX_OFFSET and 0 <= size < _MAX_SIZE):
        return _access(btf, type_id, off, size, flexible)
    key = ((type_id << 30 | off) << 4 | size) << 1 | flexible
    known = btf.walks.get(key)
    if isinstance(known, Found):
        return known
    found = _access(btf, type_id, off, size, flexible)
    if len(btf.walks) < MAX_REMEMBERED:
        btf.walks[key] = found
    return found


def _access(btf: Btf, type_id: int, off: int, size: int, flexible: bool) -> Found:
    walk = _Walk(btf, off, size, flexible)
    found = _step(walk, type_id)
    for _ in range(_MAX_STEPS):
        if found.kind != STRUCT:
            break
        walk.off = 0
        found = _step(walk, found.type_id)
    return found


def is_part_of(
    btf: Btf, type_id: int, off: int, wanted: Btf, wanted_id: int, *, strict: bool, flexible: bool
) -> bool:
    """Whether at *off* of struct *type_id* stands a *wanted_id*, at once or as a first member.

    *strict*: only *type_id* itself counts.
    """
    if off == 0 and same_type(btf, type_id, wanted, wanted_id):
        return True
    if strict:
        return False
    walk = _Walk(btf, off, 1, flexible)
    found = _step(walk, type_id)
    for _ in range(_MAX_STEPS):
        if found.kind != STRUCT:
            return False
        if same_type(btf, found.type_id, wanted, wanted_id):
            return True
        walk.off = 0
        found = _step(walk, found.type_id)
    return False


def same_type(x: Btf, x_id: int, y: Btf, y_id: int) -> bool:
    """Whether both are the same type: the same id in the same BTF, or in a base of both."""
    if x_id != y_id:
        return False
    return x is y or (x.base is y and y.has(y_id)) or (y.base is x and x.has(x_id))


def is_listed(btf: Btf, type_id: int, member: str, target: int, suffix: str) -> bool:
    """Whether the kernel vouches for pointer *member* of struct *type_id*.

    It does so in a struct of the same name with *suffix*, as ``task_struct__safe_rcu``.
    """
    struct = btf.type(type_id)
    if not struct.name:
        return False
    safe = btf.by_name(struct.name + suffix, struct.kind)
    if safe is None:
        return False
    for listed in btf.members(safe):
        type_ = btf.type(listed.type)
        if listed.name == member and isinstance(type_, kinds.Ptr):
            return btf.resolve(type_.type) == target
    return False
