"""CO-RE: instructions adjusted to the types of the kernel they will meet.

Invariant: an instruction changes only if the value in it was the expected one; several matching
types must agree, or the relocation is refused. What matches nothing becomes a call of a helper that
does not exist, so that the verifier refuses it if it can be reached.

Source: Linux tools/lib/bpf/relo_core.c; https://nakryiko.com/posts/bpf-core-reference-guide/.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep.base.bits import U64
from skep.btf import kinds
from skep.btf.core_match import Candidate, candidates, match_spec
from skep.btf.core_patch import Slot, patch
from skep.btf.core_spec import FIELD_KINDS, RelocationKind, Spec, parse_spec
from skep.btf.core_value import Value, value_if_absent, value_of
from skep.btf.ext import CoreRecord
from skep.btf.graph import Btf
from skep.errors import RelocationError

_SIGNED: Final = kinds.INT_SIGNED


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one relocation comes to.

    Args:
        local: what was asked for.
        old: the number that the compiler put into the instruction.
        new: the number to put there; None if nothing matches and the instruction is poisoned.
        certain: whether *old* must be found in the instruction.
        old_size: of the access in bytes, as compiled; 0 if it does not matter.
        new_size: of the access in bytes, in the target.
        resizable: whether a load may change from the one size to the other.
        tried: each candidate and what came of it, in words.
    """

    local: Spec
    old: int
    new: int | None
    certain: bool = True
    old_size: int = 0
    new_size: int = 0
    resizable: bool = True
    tried: tuple[str, ...] = ()


class Relocator:
    """Relocates the instructions of one object.

    Args:
        local: the object's types.
        target: the kernel's types; None if they are not known.
        modules: more types, looked at where *target* has no candidate.
    """

    def __init__(self, local: Btf, target: Btf | None, modules: Sequence[Btf] = ()) -> None:
        self._local = local
        self._target = target
        self._modules = modules
        self._candidates: dict[int, list[Candidate]] = {}

    def relocate(self, record: CoreRecord, slots: Sequence[Slot]) -> tuple[Slot, ...]:
        """Adjust one instruction.

        Args:
            record: what the instruction depends on.
            slots: its slots: two for a 64-bit immediate load, else one.

        Returns:
            As many slots, adjusted.

        Raises:
            RelocationError: nothing to go by, an ambiguity, or an instruction of another shape.
            BtfError: the types are malformed.
        """
        resolution = self.resolve(record)
        new = resolution.new
        if new is None:
            return patch(slots, resolution.old, None, resolution.local)
        return patch(
            slots,
            resolution.old if resolution.certain else None,
            new,
            resolution.local,
            sizes=(resolution.old_size, resolution.new_size),
            resizable=resolution.resizable,
        )

    def resolve(self, record: CoreRecord) -> Resolution:
        """Compute the value of a relocation; see ``relocate`` for what it raises."""
        local = parse_spec(record, self._local)
        value = value_of(local)
        if local.kind == RelocationKind.TYPE_ID_LOCAL:
            return Resolution(local, value.number, value.number, certain=False)
        tried: list[str] = []
        matches = self._match(local, tried)
        if not matches:
            absent = value_if_absent(local.kind)
            return Resolution(local, value.number, absent, value.certain, tried=tuple(tried))
        spec, found = _agreed(local, matches, tuple(tried))
        return Resolution(
            local,
            value.number,
            found.number,
            value.certain,
            value.size,
            found.size,
            _may_resize(self._local, value, spec.btf, found),
            tuple(tried),
        )

    def _match(self, local: Spec, tried: list[str]) -> list[tuple[Spec, Value]]:
        known = self._find_candidates(local)
        matches: list[tuple[Spec, Value]] = []
        matching: list[Candidate] = []
        for candidate in known:
            spec = match_spec(local, candidate)
            if isinstance(spec, str):
                tried.append(f"{candidate}: {spec}")
                continue
            value = value_of(spec)
            tried.append(f"{spec} in {candidate.btf.source}: {_spell(value)}")
            matches.append((spec, value))
            matching.append(candidate)
        if matching:
            # Like libbpf: what matched once decides for the later relocations of the same type.
            self._candidates[local.root] = matching
        return matches

    def _find_candidates(self, local: Spec) -> list[Candidate]:
        if local.root in self._candidates:
            return self._candidates[local.root]
        if not self._local.name(local.root):
            raise RelocationError("anonymous types cannot be relocated", local=str(local))
        if self._target is None:
            raise RelocationError(
                "the kernel's types are not known", local=str(local), hint="name a BTF file"
            )
        found = candidates(self._local, local.root, self._target)
        if not found:
            for module in self._modules:
                found += candidates(self._local, local.root, module)
        self._candidates[local.root] = found
        return found


def _spell(value: Value) -> str:
    return str(value.number if value.number <= U64 >> 1 else value.number - U64 - 1)


def _agreed(
    local: Spec, matches: list[tuple[Spec, Value]], tried: tuple[str, ...]
) -> tuple[Spec, Value]:
    spec, value = matches[0]
    for other, its in matches[1:]:
        offsets_differ = local.kind in FIELD_KINDS and other.bit_offset != spec.bit_offset
        if offsets_differ or its.number != value.number:
            raise RelocationError(
                "several types match and do not agree",
                local=str(local), candidates=tried,
                hint="use a flavour, or a kernel BTF with one definition",
            )  # fmt: skip
    return spec, value


def _may_resize(local: Btf, old: Value, target: Btf, new: Value) -> bool:
    """Whether a zero-extending load gives the right value in either size."""
    if old.size == new.size:
        return True
    x, y = local.type(old.type_id), target.type(new.type_id)
    if isinstance(x, kinds.Ptr) and isinstance(y, kinds.Ptr):
        return True
    if isinstance(x, kinds.Int) and isinstance(y, kinds.Int):
        return _SIGNED not in {x.encoding, y.encoding}
    return False
