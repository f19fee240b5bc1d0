"""The object's BTF, completed from its ELF file: what compilers leave open and kernels want.

* A section of variables gets its size, each variable its offset, in order of offset.
* What the linker hides (``__hidden``) becomes static.
* Externs become definitions: the kernel's BTF check knows no externs.

Invariant: type ids and string offsets stay what they were; new ones are added behind.

Source: libbpf 1.x, ``btf_fixup_datasec``, ``bpf_object__collect_externs``.
"""

import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from skep.btf import kinds
from skep.btf.encode import assemble
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.loader.elf import FUNC, GLOBAL, OBJECT, WEAK, Elf
from skep.loader.spec import Extern, ExternSpec

KSYMS: Final = ".ksyms"
KCONFIG: Final = ".kconfig"

_HEAD: Final = 3  # words before a type's own


class TypeEditor:
    """Types being changed in place."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.words = array("I", btf.section.words)
        self.added = bytearray()
        self.strings = bytearray(btf.strings)
        self.count = len(btf)

    def word(self, type_id: int, index: int) -> int:
        """Word *index* of a type: 0 name, 1 info, 2 size or type, then its own."""
        return self.words[self.btf.section.start(type_id) + index]

    def set_word(self, type_id: int, index: int, value: int) -> None:
        """Change word *index* of a type."""
        self.words[self.btf.section.start(type_id) + index] = value & 0xFFFF_FFFF

    def set_linkage(self, type_id: int, linkage: int) -> None:
        """Change the linkage of a FUNC or VAR."""
        if self.btf.kind(type_id) == Kind.VAR:
            self.set_word(type_id, _HEAD, linkage)
        else:
            self.set_word(type_id, 1, Kind.FUNC << 24 | linkage)

    def set_entry(self, section: int, number: int, entry: kinds.SectionEntry) -> None:
        """Change entry *number* of a DATASEC."""
        at = _HEAD + 3 * number
        for index, value in enumerate((entry.type, entry.offset, entry.size)):
            self.set_word(section, at + index, value)

    def set_entries(self, section: int, size: int, entries: Sequence[kinds.SectionEntry]) -> None:
        """Change size and all entries of a DATASEC; their number stays."""
        self.set_word(section, 2, size)
        ordered = sorted(entries, key=lambda entry: entry.offset)
        for number, entry in enumerate(ordered):
            self.set_entry(section, number, entry)

    def add_string(self, text: str) -> int:
        """Add a string; returns its offset."""
        off = len(self.strings)
        self.strings += text.encode() + b"\0"
        return off

    def add_variable(self, name_off: int, type_id: int) -> int:
        """Add a global VAR; returns its id."""
        head = (name_off, Kind.VAR << 24, type_id, kinds.GLOBAL)
        self.added += struct.pack("=IIII", *head)
        self.count += 1
        return self.count - 1

    def finish(self) -> Btf:
        """The types as they are now."""
        data = assemble(self.words.tobytes() + bytes(self.added), bytes(self.strings))
        return Btf.parse(data, None, self.btf.source)


def complete(elf: Elf, btf: Btf, externs: Iterable[ExternSpec]) -> Btf:
    """Complete the types of an object; see the module.

    Raises:
        BtfError: a type is malformed.
    """
    editor = TypeEditor(btf)
    provided = {extern.name: extern for extern in externs}
    for type_id in btf.ids():
        if btf.kind(type_id) != Kind.DATASEC:
            continue
        section = btf.type(type_id)
        assert isinstance(section, kinds.DataSec)
        if section.name == KSYMS:
            _complete_ksyms(editor, type_id, section)
        elif section.name == KCONFIG:
            _complete_kconfig(editor, type_id, section, provided)
        else:
            _complete_section(editor, elf, type_id, section)
    _hide_functions(editor, elf)
    return editor.finish()


def _complete_section(editor: TypeEditor, elf: Elf, type_id: int, section: kinds.DataSec) -> None:
    symbols = {
        symbol.name: symbol
        for symbol in elf.symbols
        if symbol.kind == OBJECT and symbol.bind in (GLOBAL, WEAK)
    }
    place = elf.named(section.name)
    linked = section.size != 0  # by a static linker, which knew sizes and offsets
    size = section.size if linked or place is None else place.size
    entries: list[kinds.SectionEntry] = []
    for entry in section.entries:
        variable = editor.btf.type(entry.type)
        offset = entry.offset
        symbol = symbols.get(variable.name)
        if isinstance(variable, kinds.Var) and variable.linkage == kinds.GLOBAL and symbol:
            if not linked:
                offset = symbol.value & 0xFFFF_FFFF
            if symbol.hidden:
                editor.set_linkage(entry.type, kinds.STATIC)
        entries.append(kinds.SectionEntry(entry.type, offset, entry.size))
    editor.set_entries(type_id, size, entries)


def _complete_ksyms(editor: TypeEditor, type_id: int, section: kinds.DataSec) -> None:
    """Pretend that every kernel symbol is an int of the object."""
    btf = editor.btf
    integer = next((at for at, type_ in btf.types() if _is_int(type_)), 0)
    stand_in = name_off = 0
    if any(btf.kind(entry.type) == Kind.FUNC for entry in section.entries):
        name_off = editor.add_string("dummy_ksym")
        stand_in = editor.add_variable(name_off, integer)
    entries: list[kinds.SectionEntry] = []
    for number, entry in enumerate(section.entries):
        if btf.kind(entry.type) == Kind.FUNC:
            _name_parameters(editor, entry.type, name_off)
            editor.set_linkage(entry.type, kinds.GLOBAL)
            entries.append(kinds.SectionEntry(stand_in, number * 4, 4))
        else:
            editor.set_linkage(entry.type, kinds.GLOBAL)
            editor.set_word(entry.type, 2, integer)
            entries.append(kinds.SectionEntry(entry.type, number * 4, 4))
    editor.set_entries(type_id, 4 * len(entries), entries)


def _is_int(type_: kinds.Type) -> bool:
    return isinstance(type_, kinds.Int) and type_.bits == 32


def _name_parameters(editor: TypeEditor, function: int, name_off: int) -> None:
    """Name the parameters of a FUNC that have none: the kernel requires names."""
    func = editor.btf.type(function)
    if not isinstance(func, kinds.Func) or editor.btf.kind(func.type) != Kind.FUNC_PROTO:
        return
    for number, param in enumerate(editor.btf.func_proto(function).params):
        if param.type and not param.name:
            editor.set_word(func.type, _HEAD + 2 * number, name_off)


def _complete_kconfig(
    editor: TypeEditor, type_id: int, section: kinds.DataSec, provided: dict[str, ExternSpec]
) -> None:
    entries: list[kinds.SectionEntry] = []
    size = 0
    for entry in section.entries:
        extern = provided.get(editor.btf.name(entry.type))
        offset = entry.offset
        if extern is not None and extern.kind is Extern.KCONFIG:
            offset = extern.offset
            size = max(size, extern.offset + extern.size)
            editor.set_linkage(entry.type, kinds.GLOBAL)
        entries.append(kinds.SectionEntry(entry.type, offset, entry.size))
    editor.set_entries(type_id, size, entries)


def _hide_functions(editor: TypeEditor, elf: Elf) -> None:
    """Make hidden global functions of ``.text`` static, so that they are verified in context."""
    text = elf.named(".text")
    if text is None:
        return
    for symbol in elf.symbols:
        if symbol.kind == FUNC and symbol.hidden and symbol.section == text.index:
            for type_id in editor.btf.all_by_name(symbol.name, Kind.FUNC):
                func = editor.btf.type(type_id)
                if isinstance(func, kinds.Func) and func.linkage == kinds.GLOBAL:
                    editor.set_linkage(type_id, kinds.STATIC)
