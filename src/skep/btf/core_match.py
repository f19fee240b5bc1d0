"""Finding in another BTF what a CO-RE specification asks for.

Invariant: a match names the same members in the same order as the local specification; anonymous
structures and unions may come and go between them.

Source: Linux tools/lib/bpf/relo_core.c.
"""

from dataclasses import dataclass, replace

from skep.btf import kinds
from skep.btf.core_spec import (
    ENUM_KINDS,
    FIELD_KINDS,
    MAX_STEPS,
    Accessor,
    RelocationKind,
    Spec,
    is_flexible,
)
from skep.btf.core_types import (
    TooDeep,
    essential_name,
    fields_compatible,
    kinds_compatible,
    types_compatible,
    types_match,
)
from skep.btf.graph import Btf
from skep.btf.kinds import COMPOSITES, Kind
from skep.errors import BtfError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A type of another BTF that has the name a relocation asks for."""

    btf: Btf
    type_id: int

    def __str__(self) -> str:
        type_ = self.btf.type(self.type_id)
        return f"[{self.type_id}] {type_.kind.name.lower()} {type_.name} in {self.btf.source}"


def candidates(local: Btf, type_id: int, target: Btf) -> list[Candidate]:
    """Types of *target* with the kind and the essential name of *type_id* in *local*.

    Of a split BTF, only its own types are looked at.
    """
    wanted = local.type(type_id)
    name = essential_name(wanted.name)
    found: list[Candidate] = []
    for other in target.all_by_prefix(name):
        if other < target.first_id:
            continue
        type_ = target.type(other)
        if kinds_compatible(type_, wanted) and essential_name(type_.name) == name:
            found.append(Candidate(target, other))
    return found


def match_spec(local: Spec, candidate: Candidate) -> Spec | str:
    """Find in *candidate* what *local* asks for; else the reason, in words, why it is not there."""
    target = Spec(candidate.btf, local.kind, candidate.type_id)
    try:
        if local.kind in FIELD_KINDS:
            return _match_field(local, target)
        if local.kind in ENUM_KINDS:
            return _match_enumerator(local, target)
        if local.kind == RelocationKind.TYPE_MATCHES:
            alike = types_match(local.btf, local.root, target.btf, target.root)
        else:
            alike = types_compatible(local.btf, local.root, target.btf, target.root)
    except TooDeep:
        return "types nest too deeply to compare"
    except BtfError as error:
        return str(error)
    return target if alike else "the types differ"


def _match_enumerator(local: Spec, target: Spec) -> Spec | str:
    root = target.btf.resolve(target.root)
    type_ = target.btf.type(root)
    wanted = essential_name(local.accessors[0].name)
    if not isinstance(type_, kinds.Enumeration):
        return f"{type_.kind.name} is no enumeration"
    for index, item in enumerate(type_.values):
        if essential_name(item.name) == wanted:
            step = Accessor(root, index, item.name)
            return replace(target, accessors=(step,), raw=(index,))
    return f"no enumerator {wanted}"


def _match_field(local: Spec, target: Spec) -> Spec | str:
    walk = _Walk(target.btf, target.root)
    for position, step in enumerate(local.accessors):
        if step.name:
            problem = walk.enter_member(local.btf, step)
        else:
            problem = walk.enter_element(step, first=position == 0)
        if problem:
            return problem
        if len(walk.raw) > MAX_STEPS:
            return f"more than {MAX_STEPS} steps"
    return replace(
        target, accessors=tuple(walk.accessors), raw=tuple(walk.raw), bit_offset=walk.bit_offset
    )


class _Walk:
    """A walk into the target type, one accessor of the local specification at a time."""

    def __init__(self, btf: Btf, root: int) -> None:
        self._btf = btf
        self._at = root
        self.accessors: list[Accessor] = []
        self.raw: list[int] = []
        self.bit_offset = 0

    def enter_element(self, step: Accessor, *, first: bool) -> str:
        """Go to an element; the first step of all counts whole roots. Returns what is wrong."""
        btf = self._btf
        element = btf.resolve(self._at)
        if not first:
            type_ = btf.type(element)
            if not isinstance(type_, kinds.Array):
                return f"[{step.index}]: {type_.kind.name} {type_.name} is no array"
            if step.index >= type_.count and not is_flexible(btf, self.accessors[-1], type_):
                return f"[{step.index}]: the array has {type_.count} elements"
            element = btf.resolve(type_.element)
        self.accessors.append(Accessor(element, step.index))
        self.raw.append(step.index)
        self.bit_offset += step.index * btf.size_of(element) * 8
        self._at = element
        return ""

    def enter_member(self, local: Btf, step: Accessor) -> str:
        """Go to the member that is called as *step* is. Returns what is wrong."""
        btf = self._btf
        structure = btf.resolve(self._at)
        if btf.kind(structure) not in COMPOSITES:
            return f".{step.name}: {btf.kind(structure).name} has no members"
        path = self._find(structure, step.name, set(), 0)
        if path is None:
            return f"no member {step.name}"
        for structure, index in path:
            member = btf.members(structure)[index]
            self.raw.append(index)
            self.bit_offset += member.bit_offset
            self._at = member.type
        owner, index = path[-1]
        self.accessors.append(Accessor(owner, index, step.name))
        mine = local.members(step.type_id)[step.index]
        if not fields_compatible(local, mine.type, btf, self._at):
            return f".{step.name} is {_spell(btf, self._at)}, not {_spell(local, mine.type)}"
        return ""

    def _find(
        self, structure: int, name: str, seen: set[int], depth: int
    ) -> list[tuple[int, int]] | None:
        """Structures and member indices that lead to *name*; those in *seen* do not have it."""
        if structure in seen or depth == MAX_STEPS:
            return None
        seen.add(structure)
        for index, member in enumerate(self._btf.members(structure)):
            if member.name == name:
                return [(structure, index)]
            if member.name:
                continue
            inner = self._btf.resolve(member.type)
            if self._btf.kind(inner) in COMPOSITES:
                path = self._find(inner, name, seen, depth + 1)
                if path is not None:
                    return [(structure, index), *path]
        return None


def _spell(btf: Btf, type_id: int) -> str:
    type_ = btf.resolved(type_id)
    return f"{Kind(type_.kind).name} {type_.name}".rstrip()
