"""When two types of different BTFs are alike, in the three senses that CO-RE knows.

* fields are compatible: may a program read the one where it was compiled for the other?
* types are compatible: TYPE_EXISTS, TYPE_SIZE and TYPE_ID_TARGET ask it of whole types;
* types match: TYPE_MATCHES asks it, member by member.

Qualifiers, type tags and typedefs never count. Names are compared without flavour: all after the
last ``___``.

Invariant: nothing here depends on sizes of integers, or on offsets, except where it says so.

Source: Linux tools/lib/bpf/relo_core.c; libbpf's CO-RE reference.
"""

from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import COMPOSITES, ENUMS, INT_SIGNED, Kind

MAX_NESTING: Final = 32

_EMPTY_SENSE: Final = frozenset(
    (Kind.VOID, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FWD, Kind.ENUM64)
)


class TooDeep(Exception):  # noqa: N818 - caught and reported with the candidate
    """Types nest deeper than any that CO-RE compares."""


def essential_name(name: str) -> str:
    """*name* without its flavour: ``task___old`` is ``task``."""
    for at in range(len(name) - 5, -1, -1):
        if name[at + 1 : at + 4] == "___" and name[at] != "_" and name[at + 4] != "_":
            return name[: at + 1]
    return name


def kinds_compatible(x: kinds.Type, y: kinds.Type) -> bool:
    """Whether the kinds are the same; both kinds of enumeration are."""
    return x.kind == y.kind or (x.kind in ENUMS and y.kind in ENUMS)


def fields_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether a field of one type may be read where one of the other was meant."""
    for _ in range(MAX_NESTING):
        x, y = local.resolved(local_id), target.resolved(target_id)
        if x.kind in COMPOSITES and y.kind in COMPOSITES:
            return True
        if not kinds_compatible(x, y):
            return False
        if not (isinstance(x, kinds.Array) and isinstance(y, kinds.Array)):
            return _scalars_compatible(x, y)
        local_id, target_id = x.element, y.element
    raise TooDeep


def _scalars_compatible(x: kinds.Type, y: kinds.Type) -> bool:
    if isinstance(x, kinds.Int) and isinstance(y, kinds.Int):
        return x.offset == 0 and y.offset == 0
    if x.kind in ENUMS or x.kind == Kind.FWD:
        mine, other = essential_name(x.name), essential_name(y.name)
        return not mine or not other or mine == other
    return x.kind in {Kind.PTR, Kind.FLOAT}


def types_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether the types are of the same kind, behind pointers, arrays and functions too."""
    # The roots themselves must agree before typedefs are looked through.
    if not kinds_compatible(local.type(local_id), target.type(target_id)):
        return False
    return _compatible(local, local_id, target, target_id, MAX_NESTING)


def _compatible(local: Btf, local_id: int, target: Btf, target_id: int, level: int) -> bool:
    for _ in range(MAX_NESTING):
        x, y = local.resolved(local_id), target.resolved(target_id)
        if not kinds_compatible(x, y):
            return False
        if x.kind in _EMPTY_SENSE:
            return True
        if isinstance(x, kinds.Int) and isinstance(y, kinds.Int):
            return x.offset == 0 and y.offset == 0
        if isinstance(x, kinds.Ptr) and isinstance(y, kinds.Ptr):
            local_id, target_id = x.type, y.type
        elif isinstance(x, kinds.Array) and isinstance(y, kinds.Array):
            local_id, target_id = x.element, y.element
        elif isinstance(x, kinds.FuncProto) and isinstance(y, kinds.FuncProto):
            if not _params_compatible(local, x, target, y, level):
                return False
            local_id, target_id = x.returns, y.returns
        else:
            return False
    raise TooDeep


def _params_compatible(
    local: Btf, x: kinds.FuncProto, target: Btf, y: kinds.FuncProto, level: int
) -> bool:
    if len(x.params) != len(y.params):
        return False
    if level <= 0:
        raise TooDeep
    return all(
        _compatible(local, mine.type, target, other.type, level - 1)
        for mine, other in zip(x.params, y.params, strict=True)
    )


def types_match(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether the target type has all that the local one has, alike in kind, name and size."""
    return _Matcher(local, target).match(local_id, target_id, behind_pointer=False)


class _Matcher:
    def __init__(self, local: Btf, target: Btf) -> None:
        self._local = local
        self._target = target
        self._level = MAX_NESTING
        self._known: dict[tuple[int, int, bool], bool] = {}

    def match(self, local_id: int, target_id: int, *, behind_pointer: bool) -> bool:
        key = (local_id, target_id, behind_pointer)
        if key not in self._known:
            if self._level <= 0:
                raise TooDeep
            self._level -= 1
            self._known[key] = self._match(local_id, target_id, behind_pointer=behind_pointer)
            self._level += 1
        return self._known[key]

    def _match(self, local_id: int, target_id: int, *, behind_pointer: bool) -> bool:
        for _ in range(MAX_NESTING):
            x, y = self._local.resolved(local_id), self._target.resolved(target_id)
            if essential_name(x.name) != essential_name(y.name):
                return False
            if isinstance(x, kinds.Ptr) and isinstance(y, kinds.Ptr):
                behind_pointer = True
                local_id, target_id = x.type, y.type
            elif isinstance(x, kinds.Array) and isinstance(y, kinds.Array):
                if x.count != y.count:
                    return False
                local_id, target_id = x.element, y.element
            elif isinstance(x, kinds.FuncProto) and isinstance(y, kinds.FuncProto):
                if not self._params_match(x, y, behind_pointer=behind_pointer):
                    return False
                local_id, target_id = x.returns, y.returns
            else:
                return self._leaf(x, y, behind_pointer=behind_pointer)
        raise TooDeep

    def _leaf(self, x: kinds.Type, y: kinds.Type, *, behind_pointer: bool) -> bool:
        if isinstance(x, kinds.Enumeration) and isinstance(y, kinds.Enumeration):
            known = {essential_name(item.name) for item in y.values}
            return x.size == y.size and all(essential_name(i.name) in known for i in x.values)
        if isinstance(x, kinds.Int) and isinstance(y, kinds.Int):
            return x.size == y.size and (x.encoding ^ y.encoding) & INT_SIGNED == 0
        if isinstance(x, (kinds.Composite, kinds.Fwd)):
            return self._composite(x, y, behind_pointer=behind_pointer)
        return x.kind == y.kind == Kind.VOID

    def _composite(self, x: kinds.Type, y: kinds.Type, *, behind_pointer: bool) -> bool:
        if behind_pointer:
            # A declaration stands for the definition, whichever side has it.
            return _is_union(x) is not None and _is_union(x) == _is_union(y)
        if isinstance(x, kinds.Fwd) and isinstance(y, kinds.Fwd):
            return x.is_union == y.is_union
        if x.kind != y.kind:
            return False
        assert isinstance(x, kinds.Composite)
        assert isinstance(y, kinds.Composite)
        return self._members_match(x, y)

    def _members_match(self, x: kinds.Composite, y: kinds.Composite) -> bool:
        if len(x.members) > len(y.members):
            return False
        by_name: dict[str, list[int]] = {}
        for other in y.members:
            by_name.setdefault(essential_name(other.name), []).append(other.type)
        for mine in x.members:
            others = by_name.get(essential_name(mine.name), [])
            if not any(self.match(mine.type, other, behind_pointer=False) for other in others):
                return False
        return True

    def _params_match(
        self, x: kinds.FuncProto, y: kinds.FuncProto, *, behind_pointer: bool
    ) -> bool:
        if len(x.params) != len(y.params):
            return False
        return all(
            self.match(mine.type, other.type, behind_pointer=behind_pointer)
            for mine, other in zip(x.params, y.params, strict=True)
        )


def _is_union(type_: kinds.Type) -> bool | None:
    if isinstance(type_, kinds.Fwd):
        return type_.is_union
    return type_.kind == Kind.UNION if type_.kind in COMPOSITES else None
