"""Maps defined in BTF: variables of section ``.maps``.

::

    struct {
        __uint(type, BPF_MAP_TYPE_HASH);      int (*type)[BPF_MAP_TYPE_HASH];
        __uint(max_entries, 8);               int (*max_entries)[8];
        __type(key, __u32);                   typeof(__u32) *key;
        __type(value, struct event);          typeof(struct event) *value;
    } events SEC(".maps");

Source: libbpf 1.x, ``parse_btf_map_def``.
"""

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.elf import Elf
from skep.loader.spec import MapSpec
from skep.uapi.flags import MapType

MAPS: Final = ".maps"
OF_MAPS: Final = frozenset((MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS))
_RINGS: Final = frozenset((MapType.RINGBUF, MapType.USER_RINGBUF))
_PINNED: Final = frozenset((1, 16))  # by name; 16 is Cilium's "replace what is pinned"
_POINTER: Final = 8


@dataclass(slots=True)
class _Draft:
    """A definition being read."""

    name: str
    btf: Btf
    numbers: dict[str, int]
    inner: MapSpec | None = None

    def wrong(self, why: str) -> LoadError:
        return LoadError(why, source=self.btf.source, name=f"map {self.name}")

    def set_size(self, field: str, size: int) -> None:
        known = self.numbers.get(field, 0)
        if known not in (0, size):
            raise self.wrong(f"conflicting {field}: {known} and {size}")
        self.numbers[field] = size


def btf_maps(elf: Elf, btf: Btf) -> list[MapSpec]:
    """The maps of section ``.maps``, in order.

    Raises:
        LoadError: a definition says something that no map can be.
        BtfError: a definition is malformed.
    """
    section = elf.named(MAPS)
    if section is None:
        return []
    type_id = btf.by_name(MAPS, Kind.DATASEC)
    if type_id is None:
        raise LoadError("BTF does not describe section .maps", source=elf.source)
    types = btf.type(type_id)
    assert isinstance(types, kinds.DataSec)
    places = _places(elf, btf, section.index, types)
    found: list[MapSpec] = []
    for entry in types.entries:
        draft = _Draft(btf.name(entry.type), btf, {})
        variable = btf.type(entry.type)
        if not isinstance(variable, kinds.Var) or variable.linkage != kinds.GLOBAL:
            raise draft.wrong("not a global variable")
        if entry.offset + entry.size > section.size:
            raise draft.wrong("defined outside of section .maps")
        slots = places.get(entry.type, {})
        found.append(_parse(draft, variable.type, entry.offset, slots))
    return found


def _places(elf: Elf, btf: Btf, section: int, types: kinds.DataSec) -> dict[int, dict[int, str]]:
    """Initialised ``values``: variable to slot to name of a map or program."""
    found: dict[int, dict[int, str]] = {}
    for relocation in elf.relocations_of(elf.sections[section]):
        at = relocation.offset
        entry = next(
            (item for item in types.entries if 0 <= at - item.offset <= item.size - _POINTER), None
        )
        if entry is None:
            raise elf.error(MAPS, "a pointer outside of all maps", "inside of one", at)
        variable = btf.type(entry.type)
        definition = btf.members(variable.type) if isinstance(variable, kinds.Var) else ()
        if not definition or definition[-1].name != "values":
            raise elf.error(MAPS, "an initialised field", "only `values` initialised", at)
        start = at - entry.offset - definition[-1].offset
        if start < 0 or start % _POINTER:
            raise elf.error(MAPS, "a pointer beside `values`", "inside of `values`", at)
        found.setdefault(entry.type, {})[start // _POINTER] = relocation.symbol.name
    return found


def _parse(draft: _Draft, type_id: int, offset: int, slots: Mapping[int, str]) -> MapSpec:
    _read(draft, type_id, inside=False)
    return _spec(draft, offset, slots)


def _read(draft: _Draft, type_id: int, *, inside: bool) -> None:
    definition = draft.btf.resolved(type_id)
    if not isinstance(definition, kinds.Struct):
        raise draft.wrong(f"defined by {definition.kind.name}, not by a struct")
    for member in definition.members:
        read = _FIELDS.get(member.name)
        if read is None:
            raise draft.wrong(f"unknown field `{member.name}`")
        if inside and member.name in _OUTER_ONLY:
            raise draft.wrong(f"an inner map cannot have `{member.name}`")
        if member.name == "values" and member is not definition.members[-1]:
            raise draft.wrong("`values` must be the last field")
        read(draft, member)
    if draft.numbers.get("type", 0) == 0:
        raise draft.wrong("the map type is not specified")


_OUTER_ONLY: Final = frozenset(("values", "pinning"))


def _uint(draft: _Draft, member: kinds.Member) -> None:
    draft.numbers[member.name] = _number(draft, member)


def _size(draft: _Draft, member: kinds.Member) -> None:
    draft.set_size(member.name, _number(draft, member))


def _number(draft: _Draft, member: kinds.Member) -> int:
    """``__uint(name, N)``: a pointer to an array of N."""
    pointer = draft.btf.resolved(member.type)
    array = draft.btf.type(pointer.type) if isinstance(pointer, kinds.Ptr) else pointer
    if not isinstance(pointer, kinds.Ptr) or not isinstance(array, kinds.Array):
        raise draft.wrong(f"`{member.name}` is no __uint()")
    return array.count


def _ulong(draft: _Draft, member: kinds.Member) -> None:
    """``__ulong(name, N)``: an enumeration whose only value is N."""
    type_ = draft.btf.resolved(member.type)
    if isinstance(type_, kinds.Ptr):
        _uint(draft, member)
        return
    if not isinstance(type_, kinds.Enumeration) or len(type_.values) != 1:
        raise draft.wrong(f"`{member.name}` is no __ulong()")
    draft.numbers[member.name] = type_.values[0].value & 0xFFFF_FFFF_FFFF_FFFF


def _type(draft: _Draft, member: kinds.Member) -> None:
    """``__type(key, T)``: a pointer to T."""
    pointer = draft.btf.type(member.type)
    if not isinstance(pointer, kinds.Ptr):
        raise draft.wrong(f"`{member.name}` is no __type()")
    draft.set_size(f"{member.name}_size", draft.btf.size_of(pointer.type))
    draft.numbers[f"{member.name}_type"] = pointer.type


def _values(draft: _Draft, member: kinds.Member) -> None:
    """``__array(values, T)``: an open array of pointers to inner maps or to programs."""
    draft.set_size("value_size", 4)
    array = draft.btf.type(member.type)
    if not isinstance(array, kinds.Array) or array.count:
        raise draft.wrong("`values` is no __array()")
    pointer = draft.btf.resolved(array.element)
    if not isinstance(pointer, kinds.Ptr):
        raise draft.wrong("`values` does not hold pointers")
    target = draft.btf.resolve(pointer.type)
    map_type = draft.numbers.get("type", 0)
    if map_type == MapType.PROG_ARRAY:
        if draft.btf.kind(target) != Kind.FUNC_PROTO:
            raise draft.wrong("`values` does not hold programs")
    elif map_type in OF_MAPS:
        inner = _Draft(f"{draft.name}.inner", draft.btf, {})
        _read(inner, target, inside=True)
        draft.inner = _spec(inner, 0, {})
    else:
        raise draft.wrong("only maps of maps and program arrays can have `values`")


_FIELDS: Final[dict[str, Callable[[_Draft, kinds.Member], None]]] = {
    "type": _uint,
    "max_entries": _uint,
    "map_flags": _uint,
    "numa_node": _uint,
    "pinning": _uint,
    "key_size": _size,
    "value_size": _size,
    "key": _type,
    "value": _type,
    "map_extra": _ulong,
    "values": _values,
}


def _spec(draft: _Draft, offset: int, slots: Mapping[int, str]) -> MapSpec:
    number: Callable[[str], int] = lambda name: draft.numbers.get(name, 0)  # noqa: E731
    if number("pinning") not in {0, *_PINNED}:
        raise draft.wrong(f"unknown pinning {number('pinning')}")
    entries = number("max_entries")
    return MapSpec(
        name=draft.name,
        section=MAPS,
        offset=offset,
        map_type=number("type"),
        key_size=number("key_size"),
        value_size=number("value_size"),
        max_entries=ring_size(entries) if number("type") in _RINGS else entries,
        map_flags=number("map_flags"),
        map_extra=number("map_extra"),
        numa_node=number("numa_node"),
        pinned=number("pinning") in _PINNED,
        key_type=number("key_type"),
        value_type=number("value_type"),
        inner=draft.inner,
        slots=slots,
    )


def ring_size(size: int) -> int:
    """The least power-of-two number of pages that holds *size* bytes; 0 and what fits stay."""
    page = mmap.PAGESIZE
    pages = size // page
    if size == 0 or (size % page == 0 and pages & (pages - 1) == 0):
        return size
    rounded = page << (size // page).bit_length()
    return rounded if rounded < 1 << 32 else size
