"""Bytes of an object file to its spec: pure, and the same every time.

Invariant: whatever the bytes are, the answer is an ObjectSpec or a typed error. What is wrong with
one program only waits in that program's ``problem``.

Source: libbpf 1.x, ``bpf_object__elf_collect``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from skep.btf import kinds
from skep.btf.ext import BtfExt
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BpfError, BtfError, LoadError, SectionError
from skep.loader import sections, structops
from skep.loader.code import Code, Function, read_code
from skep.loader.datamaps import data_maps, kconfig_map, with_arena_data
from skep.loader.definitions import MAPS, btf_maps
from skep.loader.elf import Elf, read_elf
from skep.loader.externs import Externs, collect
from skep.loader.legacy import legacy_maps
from skep.loader.linking import link
from skep.loader.spec import MapSpec, ObjectSpec, ProgramSpec
from skep.loader.structops import NOWHERE, Place
from skep.loader.typefix import complete
from skep.uapi.flags import AttachType, ProgType

_LICENSE_SIZE: Final = 63  # as much as libbpf keeps
_EXCEPTION: Final = "exception_callback:"


def read_object(data: bytes, source: str = "object") -> ObjectSpec:
    """Read an object file.

    Args:
        data: the whole file.
        source: its name: for messages, and the start of it for the names of its data maps.

    Raises:
        ElfError: it is no ELF object for BPF, or points outside of itself.
        BtfError: its types are malformed, and it needs them.
        LoadError: a map's definition is none.
    """
    elf = read_elf(data, source)
    btf, ext, externs, lost = _types(elf)
    maps = [*with_arena_data(elf, _defined(elf, btf)), *data_maps(elf, btf)]
    kconfig = kconfig_map(source, externs.specs, btf)
    if kconfig is not None:
        maps.append(kconfig)
    tables = structops.tables(elf, btf) if btf is not None else []
    around = _Surroundings(
        read_code(elf, maps, externs),
        ext,
        _callbacks(btf) if btf is not None else {},
        structops.places(tables),
    )
    return ObjectSpec(
        source=source,
        license=_license(elf),
        kernel_version=_version(elf),
        btf=btf,
        maps=tuple(maps),
        programs=tuple(
            _program(function, around) for function in around.code.functions if function.entry
        ),
        externs=externs.specs,
        tables=tuple(tables),
        refused=lost,
    )


def _types(elf: Elf) -> tuple[Btf | None, BtfExt | None, Externs, tuple[str, ...]]:
    """BTF, .BTF.ext and externs; broken BTF is only an error if something needs it."""
    section = elf.named(".BTF")
    if section is None:
        return None, None, collect(elf, None), ()
    try:
        raw = Btf.parse(section.data, None, f"BTF of {elf.source}")
        externs = collect(elf, raw)
        btf = complete(elf, raw, externs.specs)
        btf.check()
    except BtfError as error:
        if elf.named(MAPS) is not None:
            raise
        return None, None, collect(elf, None), (f"BTF: {error}",)
    extension = elf.named(".BTF.ext")
    if extension is None:
        return btf, None, externs, ()
    try:
        ext = BtfExt.parse(extension.data, btf, f".BTF.ext of {elf.source}")
    except BtfError as error:
        return btf, None, externs, (f".BTF.ext: {error}",)
    return btf, ext, externs, ()


def _defined(elf: Elf, btf: Btf | None) -> list[MapSpec]:
    if btf is None and elf.named(MAPS) is not None:
        raise LoadError("section .maps without BTF", source=elf.source)
    found = legacy_maps(elf, btf)
    return [*(btf_maps(elf, btf) if btf is not None else []), *found]


def _license(elf: Elf) -> str:
    section = elf.named("license")
    if section is None:
        return ""
    text = section.data[:_LICENSE_SIZE].split(b"\0", maxsplit=1)[0]
    return text.decode("latin-1")


def _version(elf: Elf) -> int:
    section = elf.named("version")
    if section is None:
        return 0
    if len(section.data) != 4:
        raise elf.error("version", f"{len(section.data)} bytes", "4 bytes", 0)
    return int.from_bytes(section.data, "little")


def _callbacks(btf: Btf) -> dict[str, str]:
    """Program to the name of its exception callback, where a declaration tag gives one."""
    found: dict[str, str] = {}
    for type_id in btf.ids():
        if btf.kind(type_id) != Kind.DECL_TAG:
            continue
        tag = btf.type(type_id)
        if tag.name.startswith(_EXCEPTION) and isinstance(tag, kinds.DeclTag):
            found.setdefault(btf.name(tag.type), tag.name[len(_EXCEPTION) :])
    return found


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What a program is linked from, besides its function."""

    code: Code
    ext: BtfExt | None
    callbacks: Mapping[str, str]
    places: Mapping[str, Place]


def _program(main: Function, around: _Surroundings) -> ProgramSpec:
    section = main.section_name.removeprefix("?")
    problem: BpfError | None = None
    row, target = sections.UNKNOWN, ""
    try:
        found = sections.match(section)
        row, target = found.row, found.target
    except SectionError as error:
        problem = error
    place = around.places.get(main.name, NOWHERE)
    spec = ProgramSpec(
        name=main.name,
        section=section,
        program_type=row.program_type,
        expected_attach_type=AttachType.TRACE_UPROBE_MULTI if row.usdt else row.attach_type,
        prog_flags=row.flags,
        attach_target=place.structure if row.program_type == ProgType.STRUCT_OPS else target,
        attach_member=place.member,
        attach_btf=row.attach_btf,
        autoload=not main.section_name.startswith("?"),
        insns=main.insns,
        problem=problem,
    )
    try:
        linked = link(around.code, main, around.ext, _callback(main, around))
    except BpfError as error:
        return replace(spec, problem=error)
    return replace(
        spec,
        insns=tuple(linked.insns),
        references=tuple(linked.references),
        functions=tuple(linked.functions),
        lines=tuple(linked.lines),
        relocations=tuple(linked.relocations),
    )


def _callback(main: Function, around: _Surroundings) -> Function | None:
    name = around.callbacks.get(main.name)
    if name is None:
        return None
    found = around.code.named(name)
    if found is None:
        raise LoadError("its exception callback is not in the object", name=main.name, hint=name)
    return found
