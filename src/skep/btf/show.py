"""Values as text, as bpf_snprintf_btf and bpf_seq_printf_btf print them.

::

    (struct sched_info){
     .pcount = (long unsigned int)112,
    }

Members that are zero are left out, and structures all of whose members are; so each nested one is
walked twice, first without printing.

Invariant: byte for byte what Linux prints, oddities included; each is named where it is done.

Source: Linux kernel/bpf/btf.c, the ``btf_show`` family; uapi ``struct btf_ptr``.
"""

import sys
from collections.abc import Callable
from typing import Final, Literal

from skep.base.bits import U64, signed
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import COMPOSITES, ENUMS, Kind
from skep.btf.values import read_bits

COMPACT: Final = 1  # no line ends, no indentation
NONAME: Final = 2  # no names of members and types
PTR_RAW: Final = 4  # pointers as they are, not hashed
ZERO: Final = 8  # members that are zero, too

MAX_STEPS: Final = 10  # of pointers, arrays and typedefs in a type's name
MAX_NAME: Final = 79
MAX_INDENT: Final = 32
MAX_DEPTH: Final = 64

_ORDER: Final[Literal["little", "big"]] = "little" if sys.byteorder == "little" else "big"


def show(
    btf: Btf, type_id: int, data: bytes, flags: int = 0, hashed: Callable[[int], int] | None = None
) -> str:
    """Print a value.

    Args:
        btf: the types.
        type_id: of the value.
        data: its bytes.
        flags: COMPACT, NONAME, PTR_RAW, ZERO.
        hashed: what pointers are printed as without PTR_RAW; by default themselves.

    Raises:
        BtfError: the type has no size.
        ValueError: *data* is too short.
    """
    size = btf.size_of(type_id)
    if len(data) < size:
        raise ValueError(f"{len(data)} bytes for a type of {size}")
    shower = _Shower(btf, data, flags, hashed)
    shower.show(type_id, type_id, 0)
    return "".join(shower.out)


class _Shower:
    def __init__(
        self, btf: Btf, data: bytes, flags: int, hashed: Callable[[int], int] | None
    ) -> None:
        self._btf = btf
        self._data = data
        self._flags = flags
        self._hashed = hashed
        self.out: list[str] = []
        self._depth = 0
        self._deepest = 0  # where something was not zero, in a walk without printing
        self._silent = 0  # depth where that walk began, plus one; 0 while printing
        self._member: kinds.Member | None = None
        self._in_array = False
        self._characters = False  # elements of this array are printed as characters
        self._ended = False  # and a NUL was met
        self._type: kinds.Type | None = None
        self._type_id = 0
        self._vars = 0  # met; nothing but the outermost type may be one

    def show(self, type_id: int, named: int, bit: int) -> None:
        """Print the type *type_id* at *bit* of the data; *named* is the type to call it by."""
        if self._depth > MAX_DEPTH or self._vars > 1:
            raise self._btf.error(type_id, "types that nest without end", "nesting that ends")
        type_id = self._btf.resolve(type_id)
        type_ = self._btf.type(type_id)
        if isinstance(type_, (kinds.Composite, kinds.Array)):
            self._twice(type_, named, bit)
        elif isinstance(type_, kinds.Int):
            self._integer(type_, named, bit)
        elif isinstance(type_, kinds.Enumeration):
            self._enumeration(type_, named, bit)
        elif isinstance(type_, kinds.Ptr):
            self._pointer(type_, named, bit)
        elif isinstance(type_, kinds.Var):
            self._vars += 1
            self.show(type_.type, type_.type, bit)
        else:
            self._write(f"<unsupported kind:{int(type_.kind)}>")

    # --- text -----------------------------------------------------------------------------------

    def _write(self, text: str) -> None:
        if not self._silent:
            self.out.append(text)

    def _indent(self) -> str:
        return "" if self._flags & COMPACT else " " * min(self._depth, MAX_INDENT)

    def _newline(self) -> str:
        return "" if self._flags & COMPACT else "\n"

    def _delimiter(self) -> str:
        if self._depth == 0:
            return ""
        if self._flags & COMPACT and self._type is not None and self._type.kind == Kind.UNION:
            return "|"
        return ","

    def _value(self, text: str, *, nonzero: bool) -> None:
        if not nonzero and not self._flags & ZERO and self._depth > 0:
            return
        if not self._silent:
            line = f"{self._indent()}{self._name()}{text}{self._delimiter()}{self._newline()}"
            self.out.append(line)
        self._deepest = max(self._deepest, self._depth)

    def _start(self, type_: kinds.Type, named: int) -> None:
        self._type, self._type_id = type_, named

    def _end(self) -> None:
        self._type, self._type_id = None, 0

    # --- names ------------------------------------------------------------------------------------

    def _name(self) -> str:
        """``.member = (type)`` and the bracket that opens; nothing inside arrays."""
        if self._in_array:
            return ""
        type_id = self._type_id if self._member is None else self._member.type
        chain = _Chain(self._btf, type_id)
        if chain.endless:
            return ""
        bracket = chain.bracket()
        if self._flags & NONAME:
            return bracket
        member = f".{self._member.name} = " if self._member and self._member.name else ""
        return f"{member}({chain.text()}){bracket}"[:MAX_NAME]

    # --- kinds ------------------------------------------------------------------------------------

    def _twice(self, type_: kinds.Type, named: int, bit: int) -> None:
        """Print a structure or array, if anything in it is not zero."""
        member = self._member
        if self._depth > 0 and not self._flags & ZERO:
            if not self._silent:
                self._silent, self._deepest = self._depth + 1, 0
            self._once(type_, named, bit)
            self._member = member
            if self._silent != self._depth + 1:
                return
            self._silent = 0
            if self._deepest <= self._depth:
                return
        self._once(type_, named, bit)

    def _once(self, type_: kinds.Type, named: int, bit: int) -> None:
        if isinstance(type_, kinds.Array):
            self._array(type_, named, bit)
        elif isinstance(type_, kinds.Composite):
            self._composite(type_, named, bit)

    def _open(self, type_: kinds.Type, named: int) -> None:
        self._start(type_, named)
        if not self._silent:
            self.out.append(f"{self._indent()}{self._name()}{self._newline()}")
        self._depth += 1

    def _close(self, bracket: str) -> None:
        self._depth -= 1
        if not self._silent:
            self.out.append(f"{self._indent()}{bracket}{self._delimiter()}{self._newline()}")
        self._end()

    def _composite(self, type_: kinds.Composite, named: int, bit: int) -> None:
        self._open(type_, named)
        for member in type_.members:
            self._member = member
            at = bit + member.bit_offset
            if member.bitfield_size:
                self._start(self._btf.type(member.type), member.type)
                self._bits(at, member.bitfield_size)
                self._end()
            else:
                self.show(member.type, member.type, at)
            self._member = None
        self._close("}")

    def _array(self, type_: kinds.Array, named: int, bit: int) -> None:
        element = self._btf.resolved(type_.element)
        # Elements of unknown size, as arrays of arrays have, all lie at the first one's place.
        size = element.size if isinstance(element, _OWN_SIZE) else 0
        self._characters = isinstance(element, kinds.Int) and (
            size == 1 or element.encoding == kinds.INT_CHAR
        )
        self._ended = False
        self._open(type_, named)
        for position in range(type_.count):
            self._in_array, self._member = True, None
            self.show(type_.element, type_.element, bit + position * size * 8)
            self._in_array, self._member = False, None
            if self._ended:
                break
        self._characters = self._ended = False
        self._close("]")

    def _bits(self, bit: int, count: int) -> None:
        number = read_bits(self._data, bit, count)
        self._hexadecimal(number)

    def _hexadecimal(self, number: int) -> None:
        self._value(f"0x{number:x}", nonzero=number != 0)

    def _integer(self, type_: kinds.Int, named: int, bit: int) -> None:
        self._start(type_, named)
        if bit % 8 or type_.offset or type_.bits not in {8, 16, 32, 64, 128}:
            self._bits(bit + type_.offset, type_.bits)
        elif type_.bits == 128:
            self._hexadecimal(self._read(bit, 16))
        elif not (type_.bits == 8 and self._characters and self._character(bit)):
            number = self._read(bit, type_.bits // 8)
            text = str(signed(number, type_.bits) if type_.signed else number)
            self._value(text, nonzero=number != 0)
        self._end()

    def _character(self, bit: int) -> bool:
        """Print an element of a string; tell whether it is one."""
        if self._ended:
            return True
        code = self._read(bit, 1)
        if code == 0:
            self._ended = True
            return True
        if 0x20 <= code < 0x7F or code >= 0xA0:  # Linux's isprint() is that of Latin-1
            self._value(f"'{chr(code)}'", nonzero=True)
            return True
        return False

    def _enumeration(self, type_: kinds.Enumeration, named: int, bit: int) -> None:
        self._start(type_, named)
        # Narrow enumerations are read as 32 bits, with what stands beside them.
        bits = 64 if type_.kind == Kind.ENUM64 else 32
        number = self._read(bit, bits // 8)
        mask = (1 << bits) - 1
        for item in type_.values:
            if item.value & mask == number:
                self._value(item.name, nonzero=True)  # a name is never zero
                break
        else:
            text = str(signed(number, bits) if type_.signed else number)
            self._value(text, nonzero=number != 0)
        self._end()

    def _pointer(self, type_: kinds.Ptr, named: int, bit: int) -> None:
        self._start(type_, named)
        number = self._read(bit, 8)
        shown = number
        if self._hashed is not None and number and not self._flags & PTR_RAW:
            shown = self._hashed(number)
        self._value(f"0x{shown & U64:016x}", nonzero=number != 0)
        self._end()

    def _read(self, bit: int, size: int) -> int:
        return int.from_bytes(self._data[bit // 8 : bit // 8 + size], _ORDER)


_OWN_SIZE: Final = (kinds.Int, kinds.Composite, kinds.Enumeration, kinds.Float)


class _Chain:
    """What a type's name is made of: typedef or tag, stars, and square brackets."""

    def __init__(self, btf: Btf, type_id: int) -> None:
        self._typedef: str | None = None
        self._stars = 0
        self._squares = 0
        self.endless = True
        type_ = btf.type(type_id)
        for _ in range(MAX_STEPS):
            following = 0
            if isinstance(type_, kinds.Typedef):
                if self._typedef is None:
                    self._typedef = type_.name
                following = type_.type
            elif isinstance(type_, kinds.Array):
                self._squares += 1
                following = type_.element
            elif isinstance(type_, kinds.Ptr):
                self._stars += 1
                following = type_.type
            if not following:
                self.endless = False
                break
            type_ = btf.type(btf.strip_modifiers(following))
        self._last = type_

    def bracket(self) -> str:
        """The bracket that opens the value."""
        if self._stars:
            return ""
        if self._squares:
            return "["
        return "{" if self._last.kind in COMPOSITES else ""

    def text(self) -> str:
        """The name, without parentheses."""
        prefix, name = "", self._last.name
        if self._typedef is not None:
            name = self._typedef
        elif self._last.kind in COMPOSITES:
            prefix = "struct" if self._last.kind == Kind.STRUCT else "union"
        elif self._last.kind in ENUMS:
            prefix = "enum"
        between = " " if prefix and name else ""
        stars = f" {'*' * self._stars}" if self._stars else ""
        return f"{prefix}{between}{name}{stars}{'[]' * self._squares}"
