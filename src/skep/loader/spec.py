"""What an object asks for, before anything is made: no fd, no address, nothing of this machine.

Invariant: the same bytes give equal specs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from skep.btf.ext import CoreRecord
from skep.btf.graph import Btf
from skep.errors import BpfError
from skep.isa.insn import Insn
from skep.loader.structops import TableSpec


class Content(Enum):
    """What a map holds when it is made."""

    NOTHING = "nothing"
    DATA = "data"  # .data, .bss: value 0 is the section
    CONSTANTS = "constants"  # .rodata: the same, and frozen
    KCONFIG = "kconfig"  # the values of kconfig externs, frozen
    PERCPU = "percpu"  # .percpu: value 0 of every CPU is the section


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """A map to create.

    Args:
        name: as the kernel shows it; at most 15 characters of it.
        section: section that defines it; "" for an inner map's template.
        offset: of its definition in the section.
        pinned: it is shared under its name in a directory of pins.
        key_type, value_type: ids in the object's BTF, 0 if it has none.
        inner: template of a map of maps.
        content, data: what it holds when it is made.
        slots: values to set once all maps and programs exist: index to name of a map or program.
    """

    name: str
    section: str = ""
    offset: int = 0
    map_type: int
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    map_flags: int = 0
    map_extra: int = 0
    numa_node: int = 0
    pinned: bool = False
    key_type: int = 0
    value_type: int = 0
    inner: "MapSpec | None" = None
    content: Content = Content.NOTHING
    data: bytes = field(default=b"", repr=False)
    slots: Mapping[int, str] = field(default_factory=dict)


class Extern(Enum):
    """Where an extern's value comes from."""

    KCONFIG = "kconfig"
    VARIABLE = "variable"  # a kernel variable, by BTF if it has a type, else by address
    FUNCTION = "function"  # a kernel function (kfunc)


@dataclass(frozen=True, slots=True)
class ExternSpec:
    """Something that the kernel provides.

    Args:
        name: of the symbol, with its flavour.
        kind: where the value comes from.
        type: id of its type in the object's BTF; 0 for a variable without a type.
        weak: it may be missing; it is then 0.
        offset, size: its place in the kconfig map, in bytes.
    """

    name: str
    kind: Extern
    type: int
    weak: bool
    offset: int = 0
    size: int = 0


class Target(Enum):
    """What a wide instruction or a call refers to."""

    MAP = "map"  # the map's address
    VALUE = "value"  # an address inside the map's first value
    EXTERN = "extern"


@dataclass(frozen=True, slots=True)
class Reference:
    """An instruction that is completed when the program is loaded.

    *index* counts maps or externs of the object; *offset* is in bytes, for VALUE.
    """

    pc: int
    target: Target
    index: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LineRecord:
    """A ``line_info`` record whose *pc* counts slots of the linked program."""

    pc: int
    file_off: int
    line_off: int
    line_col: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """A program to load, with the subprograms that it uses behind it.

    Args:
        name: of its function.
        section: without a leading ``?``.
        program_type: 0 if the section does not tell; *problem* then says so.
        attach_target: what stood behind the ``/`` of the section; for struct_ops the structure
            whose member the program is.
        attach_member: name of that member.
        attach_btf: the target is looked up in the kernel's BTF.
        autoload: False for ``SEC("?…")``.
        insns: linked, except for *references* and *relocations*.
        functions: pc to BTF id of each function.
        relocations: CO-RE records; their ``offset`` is a pc in bytes.
        problem: why it cannot be loaded, found while it was linked.
    """

    name: str
    section: str
    program_type: int
    expected_attach_type: int = 0
    prog_flags: int = 0
    attach_target: str = ""
    attach_member: str = ""
    attach_btf: bool = False
    autoload: bool = True
    insns: tuple[Insn, ...] = ()
    references: tuple[Reference, ...] = ()
    functions: tuple[tuple[int, int], ...] = ()
    lines: tuple[LineRecord, ...] = ()
    relocations: tuple[CoreRecord, ...] = ()
    problem: BpfError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSpec:
    """All that an object file asks for.

    Args:
        source: file name, for messages.
        license: "" if it has none.
        kernel_version: of the ``version`` section, 0 if it has none.
        btf: its types, completed from the ELF file as the kernel wants them.
        tables: functions for the kernel, which programs fill.
        refused: parts that cannot be used, by name.
    """

    source: str
    license: str
    kernel_version: int
    btf: Btf | None = field(default=None, compare=False)
    maps: tuple[MapSpec, ...] = ()
    programs: tuple[ProgramSpec, ...] = ()
    externs: tuple[ExternSpec, ...] = ()
    tables: tuple[TableSpec, ...] = ()
    refused: tuple[str, ...] = ()

    def program(self, name: str) -> ProgramSpec:
        """The program called *name*; raises KeyError."""
        return {program.name: program for program in self.programs}[name]

    def map(self, name: str) -> MapSpec:
        """The map called *name*; raises KeyError."""
        return {map_.name: map_ for map_ in self.maps}[name]
