"""Tables of function pointers that programs fill: section ``.struct_ops`` and its kin.

::

    SEC(".struct_ops.link")
    struct tcp_congestion_ops reno = { .init = (void *)reno_init, .name = "bpf_reno" };

Such a table becomes a map when it is put into use: ``value_for`` lays its value out as the kernel
wants it, member by member, by their names.

Source: libbpf 1.x, ``bpf_object__collect_st_ops_relos``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from skep.btf import kinds
from skep.btf.core_types import essential_name
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.elf import FUNC, STRUCT_OPS, Elf, Section


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program belongs: a member of a structure."""

    structure: str
    member: str


NOWHERE: Final = Place("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table as the object has it.

    Args:
        name: of the variable.
        structure: name of its type.
        linked: a link puts it into use.
        data: bytes of each member that is no function, by name.
        programs: name of the program that fills each member.
    """

    name: str
    structure: str
    linked: bool
    data: Mapping[str, bytes]
    programs: Mapping[str, str]


def tables(elf: Elf, btf: Btf) -> list[TableSpec]:
    """The variables in struct_ops sections."""
    found = []
    for section, entry in _entries(elf, btf):
        variable = btf.type(entry.type)
        structure = btf.resolved(variable.type) if isinstance(variable, kinds.Var) else variable
        if not isinstance(structure, kinds.Struct):
            continue
        spans = {
            member.name: (entry.offset + member.offset, btf.size_of(member.type))
            for member in structure.members
        }
        names = {start: name for name, (start, _) in spans.items()}
        programs = {
            names[relocation.offset]: relocation.symbol.name
            for relocation in elf.relocations_of(section)
            if relocation.symbol.kind == FUNC and relocation.offset in names
        }
        data = {
            name: section.data[start : start + size]
            for name, (start, size) in spans.items()
            if name not in programs
        }
        spec = TableSpec(
            name=variable.name, structure=structure.name, linked=section.name.endswith(".link"),
            data=data, programs=programs,
        )  # fmt: skip
        found.append(spec)
    return found


def places(specs: Iterable[TableSpec]) -> dict[str, Place]:
    """Name of a program to where it belongs."""
    found: dict[str, Place] = {}
    for spec in specs:
        for member, program in spec.programs.items():
            found.setdefault(program, Place(spec.structure, member))
    return found


def value_for(spec: TableSpec, kernel: Btf, fds: Mapping[str, int]) -> tuple[int, bytes]:
    """The kernel's type of the table's map, and its value; *fds* are of programs, by name.

    Raises:
        LoadError: the kernel has no such structure, or a member that is set has no place in it.
    """
    structure = essential_name(spec.structure)
    wrapper = kernel.by_name(f"bpf_struct_ops_{structure}", Kind.STRUCT)
    if wrapper is None:
        raise LoadError(f"the kernel has no tables of {structure}", name=spec.name)
    value = bytearray(kernel.size_of(wrapper))
    inner = kernel.members(wrapper)[1]
    start = inner.bit_offset // 8
    places = {
        member.name: (start + member.bit_offset // 8, kernel.size_of(member.type))
        for member in kernel.members(inner.type)
    }
    wanted = {member: fds[program].to_bytes(8, "little") for member, program in
              spec.programs.items()}  # fmt: skip
    wanted |= {member: data for member, data in spec.data.items() if any(data)}
    for member, data in wanted.items():
        if member not in places or places[member][1] != len(data):
            why = f"the kernel's {structure} has no member {member} of {len(data)} bytes"
            raise LoadError(why, name=spec.name)
        place, size = places[member]
        value[place : place + size] = data
    return wrapper, bytes(value)


def _entries(elf: Elf, btf: Btf) -> Iterator[tuple[Section, kinds.SectionEntry]]:
    for section in elf.sections:
        type_id = btf.by_name(section.name, Kind.DATASEC) if section.name in STRUCT_OPS else None
        types = btf.type(type_id) if type_id is not None else None
        if isinstance(types, kinds.DataSec):
            for entry in types.entries:
                yield section, entry
