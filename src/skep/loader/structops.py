"""Tables of function pointers that programs fill: section ``.struct_ops`` and its kin.

::

    SEC(".struct_ops.link")
    struct tcp_congestion_ops reno = { .init = (void *)reno_init, .name = "bpf_reno" };

The programs can be loaded; the tables themselves, maps of a type of their own, are refused by name.

Source: libbpf 1.x, ``bpf_object__collect_st_ops_relos``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.loader.elf import FUNC, STRUCT_OPS, Elf, Section


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program belongs: a member of a structure."""

    structure: str
    member: str


NOWHERE: Final = Place("", "")


def tables(elf: Elf, btf: Btf) -> list[str]:
    """Names of the variables in struct_ops sections."""
    return [btf.name(entry.type) for _, entry in _entries(elf, btf)]


def places(elf: Elf, btf: Btf) -> dict[str, Place]:
    """Name of a program to where it belongs."""
    found: dict[str, Place] = {}
    for section, entry in _entries(elf, btf):
        variable = btf.type(entry.type)
        structure = btf.resolved(variable.type) if isinstance(variable, kinds.Var) else variable
        if not isinstance(structure, kinds.Struct):
            continue
        names = {entry.offset + member.offset: member.name for member in structure.members}
        for relocation in elf.relocations_of(section):
            inside = entry.offset <= relocation.offset < entry.offset + structure.size
            if relocation.symbol.kind == FUNC and inside and relocation.offset in names:
                place = Place(structure.name, names[relocation.offset])
                found.setdefault(relocation.symbol.name, place)
    return found


def _entries(elf: Elf, btf: Btf) -> Iterator[tuple[Section, kinds.SectionEntry]]:
    for section in elf.sections:
        type_id = btf.by_name(section.name, Kind.DATASEC) if section.name in STRUCT_OPS else None
        types = btf.type(type_id) if type_id is not None else None
        if isinstance(types, kinds.DataSec):
            for entry in types.entries:
                yield section, entry
