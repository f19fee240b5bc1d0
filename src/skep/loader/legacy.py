"""Maps defined the old way: ``struct bpf_map_def`` in section ``maps``, or ``maps/NAME``.

::

    u32 type | key_size | value_size | max_entries | map_flags              20 bytes
             … | inner_map_idx | numa_node                  kernel samples, 28 bytes
             … | id | pinning | inner_id | inner_idx        iproute2,       36 bytes

Shorter ones end early; longer ones must be zero behind what is known.

Source: libbpf 0.8, ``bpf_object__init_user_maps``; iproute2 include/bpf_elf.h.
"""

import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.definitions import OF_MAPS, ring_size
from skep.loader.elf import FUNC, SECTION, Elf, Section
from skep.loader.spec import MapSpec
from skep.uapi.flags import MapFlag, MapType

_SAMPLES: Final = 28
_IPROUTE: Final = 36
_MINIMUM: Final = 16


@dataclass(frozen=True, slots=True)
class _Found:
    spec: MapSpec
    id: int = 0  # iproute2: by what others name it
    inner_id: int = 0
    inner_index: int = -1  # kernel samples


def legacy_maps(elf: Elf, btf: Btf | None) -> list[MapSpec]:
    """The maps of sections ``maps`` and ``maps/…``, in order.

    Raises:
        LoadError: a definition is too short, or says what is not known.
    """
    found = [
        _parse(elf, btf, section, name, offset, size)
        for section in elf.sections
        if section.name == "maps" or section.name.startswith("maps/")
        for name, offset, size in _definitions(elf, section)
    ]
    return [_with_inner(elf, item, found) for item in found]


def _definitions(elf: Elf, section: Section) -> list[tuple[str, int, int]]:
    """Name, offset and size of each definition in *section*."""
    names = {
        symbol.value: symbol.name
        for symbol in elf.symbols
        if symbol.section == section.index and symbol.kind not in (FUNC, SECTION) and symbol.name
    }
    starts = sorted(start for start in names if start < len(section.data))
    bounds = [*starts, len(section.data)]
    return [(names[at], at, end - at) for at, end in pairwise(bounds)]


def _parse(
    elf: Elf, btf: Btf | None, section: Section, name: str, offset: int, size: int
) -> _Found:
    def wrong(why: str) -> LoadError:
        return LoadError(why, source=elf.source, name=f"map {name}")

    if size < _MINIMUM:
        raise wrong(f"a definition of {size} bytes, less than {_MINIMUM}")
    data = section.data[offset : offset + size]
    known = size if size in (_SAMPLES, _IPROUTE) else 20
    if any(data[known:]):
        raise wrong(f"a definition of {size} bytes that are not zero behind the first {known}")
    words = struct.unpack_from("<9I", data[:known].ljust(_IPROUTE, b"\0"))
    ring = words[0] in (MapType.RINGBUF, MapType.USER_RINGBUF)
    key_type, value_type = _types(btf, name, words[1], words[2])
    spec = MapSpec(
        name=name,
        section=section.name,
        offset=offset,
        map_type=words[0],
        key_size=words[1],
        value_size=words[2],
        max_entries=ring_size(words[3]) if ring else words[3],
        map_flags=words[4],
        key_type=key_type,
        value_type=value_type,
    )
    if size == _SAMPLES:
        node = words[6] if words[4] & MapFlag.NUMA_NODE else 0
        return _Found(replace(spec, numa_node=node), inner_index=words[5])
    if size == _IPROUTE:
        return _Found(replace(spec, pinned=words[6] != 0), words[5], words[7])
    return _Found(spec)


def _types(btf: Btf | None, name: str, key_size: int, value_size: int) -> tuple[int, int]:
    """Types given by BPF_ANNOTATE_KV_PAIR; 0, 0 without it."""
    type_id = btf.by_name(f"____btf_map_{name}", Kind.STRUCT) if btf is not None else None
    if btf is None or type_id is None:
        return 0, 0
    pair = btf.type(type_id)
    if not isinstance(pair, kinds.Struct) or len(pair.members) != 2:
        return 0, 0
    key, value = pair.members
    if btf.size_of(key.type) != key_size or btf.size_of(value.type) != value_size:
        return 0, 0
    return key.type, value.type


def _with_inner(elf: Elf, item: _Found, found: list[_Found]) -> MapSpec:
    if item.spec.map_type not in OF_MAPS:
        return item.spec
    if item.inner_id:
        inner = next((other for other in found if other.id == item.inner_id), None)
    else:
        inner = found[item.inner_index] if 0 <= item.inner_index < len(found) else None
    if inner is None or inner is item or inner.spec.map_type in OF_MAPS:
        if item.inner_index < 0 and not item.inner_id:
            return item.spec
        raise LoadError("its inner map is none", source=elf.source, name=f"map {item.spec.name}")
    return replace(item.spec, inner=replace(inner.spec, name=f"{item.spec.name}.inner"))
