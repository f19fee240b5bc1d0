"""Bytes of an object file to its spec: pure, and the same every time.

Invariant: whatever the bytes are, the answer is an ObjectSpec or a typed error. What is wrong with
one program only waits in that program's ``problem``.

Source: libbpf 1.x, ``bpf_object__elf_collect``.
"""

from dataclasses import replace
from typing import Final

from skep.btf import kinds
from skep.btf.ext import BtfExt
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BpfError, BtfError, LoadError, SectionError
from skep.loader import sections
from skep.loader.code import Code, Function, read_code
from skep.loader.datamaps import ARENA, data_maps, kconfig_map
from skep.loader.definitions import MAPS, btf_maps
from skep.loader.elf import Elf, read_elf
from skep.loader.externs import Externs, collect
from skep.loader.legacy import legacy_maps
from skep.loader.linking import link
from skep.loader.spec import MapSpec, ObjectSpec, ProgramSpec
from skep.loader.typefix import complete
from skep.uapi.flags import AttachType, ProgType

_LICENSE_SIZE: Final = 63  # as much as libbpf keeps
_EXCEPTION: Final = "exception_callback:"
_STRUCT_OPS: Final = (".struct_ops", ".struct_ops.link")


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
    maps = [*_defined(elf, btf), *data_maps(elf, btf)]
    kconfig = kconfig_map(source, externs.specs, btf)
    if kconfig is not None:
        maps.append(kconfig)
    code = read_code(elf, maps, externs)
    callbacks = _callbacks(btf) if btf is not None else {}
    return ObjectSpec(
        source=source,
        license=_license(elf),
        kernel_version=_version(elf),
        btf=btf,
        maps=tuple(maps),
        programs=tuple(
            _program(code, function, ext, callbacks)
            for function in code.functions
            if function.entry
        ),
        externs=externs.specs,
        refused=(*lost, *_refused(elf, btf)),
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


def _refused(elf: Elf, btf: Btf | None) -> tuple[str, ...]:
    found: list[str] = []
    for section in elf.sections:
        if section.name.removeprefix("?") in _STRUCT_OPS:
            type_id = btf.by_name(section.name, Kind.DATASEC) if btf is not None else None
            types = btf.type(type_id) if btf is not None and type_id is not None else None
            entries = types.entries if isinstance(types, kinds.DataSec) else ()
            names = [btf.name(entry.type) for entry in entries] if btf is not None else []
            found += [f"struct_ops map {name}" for name in names]
        elif section.name == ARENA and section.size:
            found.append("global variables in an arena")
    return tuple(found)


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


def _program(
    code: Code, main: Function, ext: BtfExt | None, callbacks: dict[str, str]
) -> ProgramSpec:
    section = main.section_name.removeprefix("?")
    problem: BpfError | None = None
    row, target = sections.UNKNOWN, ""
    try:
        found = sections.match(section)
        row, target = found.row, found.target
    except SectionError as error:
        problem = error
    linked = None
    try:
        also = None
        if main.name in callbacks:
            also = code.named(callbacks[main.name])
            if also is None:
                raise LoadError("no such exception callback", name=callbacks[main.name])
        linked = link(code, main, ext, also)
    except BpfError as error:
        problem = error
    attach_type: int = AttachType.TRACE_UPROBE_MULTI if row.usdt else row.attach_type
    spec = ProgramSpec(
        name=main.name,
        section=section,
        program_type=ProgType.UNSPEC if problem is not None and not row.name else row.program_type,
        expected_attach_type=attach_type,
        prog_flags=row.flags,
        attach_target=target,
        attach_btf=row.attach_btf,
        autoload=not main.section_name.startswith("?"),
        insns=main.insns,
        problem=problem,
    )
    if linked is None:
        return spec
    return replace(
        spec,
        insns=tuple(linked.insns),
        references=tuple(linked.references),
        functions=tuple(linked.functions),
        lines=tuple(linked.lines),
        relocations=tuple(linked.relocations),
    )
