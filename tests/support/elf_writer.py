"""ELF objects written next to what is expected of them."""

import struct
from dataclasses import dataclass, field

from skep.isa.assembler import assemble
from skep.isa.codec import encode

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
ALLOC, WRITE, EXEC = 2, 1, 4


@dataclass
class Part:
    name: str
    data: bytes
    kind: int = PROGBITS
    flags: int = ALLOC
    size: int = -1
    link: int = 0
    info: int = 0
    name_off: int = 0


@dataclass
class ObjectWriter:
    """A relocatable BPF object in the making; section 0 is there from the start."""

    parts: list[Part] = field(default_factory=lambda: [Part("", b"", 0)])
    symbols: list[tuple[str, int, int, int, int, int, int]] = field(default_factory=list)
    relocations: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)

    def section(
        self,
        name: str,
        data: bytes = b"",
        *,
        kind: int = PROGBITS,
        flags: int = ALLOC,
        size: int = -1,
    ) -> int:
        self.parts.append(Part(name, data, kind, flags, size))
        return len(self.parts) - 1

    def code(self, name: str, text: str) -> int:
        return self.section(name, encode(assemble(text)), flags=ALLOC | EXEC)

    def symbol(
        self, name: str, section: int, value: int = 0, size: int = 0, *,
        kind: int = 1, bind: int = 1, visibility: int = 0,
    ) -> int:  # fmt: skip
        self.symbols.append((name, section, value, size, kind, bind, visibility))
        return len(self.symbols)

    def function(
        self, name: str, section: int, start: int = 0, count: int = -1, *, bind: int = 1
    ) -> int:
        size = count * 8 if count >= 0 else len(self.parts[section].data) - start * 8
        return self.symbol(name, section, start * 8, size, kind=2, bind=bind)

    def relocate(self, section: int, slot: int, symbol: int, kind: int = 1) -> None:
        self.relocations.setdefault(section, []).append((slot * 8, symbol, kind))

    def to_bytes(self) -> bytes:
        parts = list(self.parts)
        strings = bytearray(b"\0")
        table = bytearray(24)
        for name, section, value, size, kind, bind, visibility in self.symbols:
            table += struct.pack(
                "<IBBHQQ", len(strings), bind << 4 | kind, visibility, section, value, size
            )
            strings += name.encode() + b"\0"
        symtab = len(parts)
        parts.append(Part(".symtab", bytes(table), SYMTAB, 0, -1, symtab + 1))
        parts.append(Part(".strtab", bytes(strings), STRTAB, 0))
        for section, rows in self.relocations.items():
            data = b"".join(struct.pack("<QQ", at, sym << 32 | kind) for at, sym, kind in rows)
            parts.append(Part(f".rel{parts[section].name}", data, REL, 0, -1, symtab, section))
        names = bytearray()
        for part in parts:
            part.name_off = len(names)
            names += part.name.encode() + b"\0"
        off = len(names)
        names += b".shstrtab\0"
        parts.append(Part(".shstrtab", bytes(names), STRTAB, 0, name_off=off))
        return self._lay_out(parts)

    @staticmethod
    def _lay_out(parts: list[Part]) -> bytes:
        body, headers = bytearray(), bytearray()
        for part in parts:
            body += bytes(-len(body) % 8)
            size = len(part.data) if part.size < 0 else part.size
            headers += struct.pack(
                "<IIQQQQIIQQ", part.name_off, part.kind, part.flags, 0,
                64 + len(body), size, part.link, part.info, 8,
                {SYMTAB: 24, REL: 16}.get(part.kind, 0),
            )  # fmt: skip
            body += part.data
        body += bytes(-len(body) % 8)
        ident = b"\x7fELF\x02\x01\x01" + bytes(9)
        count = len(parts)
        head = struct.pack(
            "<16sHHIQQQIHHHHHH", ident, 1, 247, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, count,
            count - 1,
        )  # fmt: skip
        return head + bytes(body) + bytes(headers)
