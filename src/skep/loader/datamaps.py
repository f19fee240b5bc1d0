"""Global variables as maps: ``.data``, ``.rodata``, ``.bss``, ``.percpu`` and ``.kconfig``.

Each section is the one value of an array of one element; a pointer into it needs no look-up.

Source: libbpf 1.x, ``bpf_object__init_internal_map``.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.elf import EXECUTABLE, NOBITS, PROGBITS, Elf, Section
from skep.loader.spec import Content, Extern, ExternSpec, MapSpec
from skep.loader.typefix import KCONFIG
from skep.uapi.flags import OBJ_NAME_SIZE, MapFlag, MapType

ARENA: Final = ".addr_space.1"
PAGE_SIZE: Final = 4096
_CONTENTS: Final[dict[str, Content]] = {
    ".data": Content.DATA,
    ".rodata": Content.CONSTANTS,
    ".bss": Content.DATA,
    ".percpu": Content.PERCPU,
}
_READ_ONLY: Final = frozenset((Content.CONSTANTS, Content.KCONFIG))


def content_of(section: Section) -> Content:
    """What *section* becomes: NOTHING if it holds no global variables."""
    base = re.match(r"\.[a-z]*", section.name)
    found = _CONTENTS.get(base.group() if base else "", Content.NOTHING)
    plain = section.name in _CONTENTS or section.name.startswith(tuple(f"{k}." for k in _CONTENTS))
    wanted = NOBITS if section.name.startswith(".bss") else PROGBITS
    if not plain or section.kind != wanted or section.flags & EXECUTABLE or not section.size:
        return Content.NOTHING
    return found


def data_maps(elf: Elf, btf: Btf | None) -> list[MapSpec]:
    """One map for every section of global variables, in order."""
    return [
        _data_map(elf.source, section.name, content, section.size, section.data, btf)
        for section in elf.sections
        if (content := content_of(section)) is not Content.NOTHING
    ]


def with_arena_data(elf: Elf, maps: list[MapSpec]) -> list[MapSpec]:
    """*maps*, the arena among them with the global variables that are to be in it.

    They stand at its start.

    Raises:
        LoadError: there are such variables, and not one arena with room for them.
    """
    section = elf.named(ARENA)
    if section is None or not section.size:
        return maps
    arenas = [at for at, each in enumerate(maps) if each.map_type == MapType.ARENA]
    if len(arenas) != 1:
        why = f"{len(arenas)} arenas for the variables of {ARENA}, which need one"
        raise LoadError(why, source=elf.source)
    arena = maps[arenas[0]]
    if section.size > arena.max_entries * PAGE_SIZE:
        why = f"{arena.max_entries} pages for {section.size} bytes of variables"
        raise LoadError(why, name=f"map {arena.name}", source=elf.source)
    data = section.data.ljust(section.size, b"\0")
    return [replace(each, data=data) if each is arena else each for each in maps]


def kconfig_map(source: str, externs: Iterable[ExternSpec], btf: Btf | None) -> MapSpec | None:
    """The map of kconfig externs; None if there are none."""
    mine = [extern for extern in externs if extern.kind is Extern.KCONFIG]
    if not mine:
        return None
    size = max(extern.offset + extern.size for extern in mine)
    return _data_map(source, KCONFIG, Content.KCONFIG, size, b"", btf)


def _data_map(
    source: str, section: str, content: Content, size: int, data: bytes, btf: Btf | None
) -> MapSpec:
    type_id = (btf.by_name(section) if btf is not None else None) or 0
    flags = MapFlag.RDONLY_PROG if content in _READ_ONLY else MapFlag(0)
    percpu = content is Content.PERCPU
    if not percpu and btf is not None and _is_exposed(btf, type_id):
        flags |= MapFlag.MMAPABLE
    return MapSpec(
        name=_map_name(source, section, percpu=percpu),
        section=section,
        map_type=MapType.PERCPU_ARRAY if percpu else MapType.ARRAY,
        key_size=4,
        value_size=size,
        max_entries=1,
        map_flags=int(flags),
        value_type=type_id,
        content=content,
        data=data,
    )


def _is_exposed(btf: Btf, type_id: int) -> bool:
    """Whether a variable of the section may be used from outside: it can then be mapped."""
    section = btf.type(type_id)
    if type_id == 0 or section.kind != Kind.DATASEC:
        return False
    assert isinstance(section, kinds.DataSec)
    variables = (btf.type(entry.type) for entry in section.entries)
    return any(isinstance(var, kinds.Var) and var.linkage != kinds.STATIC for var in variables)


def object_name(source: str) -> str:
    """The name of an object: its file's up to the first dot, at most 15 characters."""
    return PurePath(source).name[: OBJ_NAME_SIZE - 1].split(".")[0]


def _map_name(source: str, section: str, *, percpu: bool) -> str:
    """``prog.rodata``: as much of the object's name as 15 characters leave room for."""
    suffix = min(max(7, len(section)), OBJ_NAME_SIZE - 1)
    own = "." in section[1:] or percpu
    prefix = "" if own else object_name(source)[: OBJ_NAME_SIZE - 1 - suffix]
    return re.sub(r"[^A-Za-z0-9_.]", "_", prefix + section[:suffix])
