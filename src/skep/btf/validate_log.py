"""The voice of BTF_LOAD: its log of types, and its refusals.

Invariant: the log is, byte for byte, what Linux writes at level 1; a refusal is a BtfError with the
errno of Linux.

Source: Linux kernel/bpf/btf.c, the ``btf_verifier_log*`` family.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Final

from skep.base.bits import signed
from skep.btf.codec import FLAG, decode_string
from skep.btf.kinds import Kind
from skep.errors import BtfError

ENOTSUPP: Final = 524  # a number of the kernel's own, without a name in errno.h

MAX_NAME_OFFSET: Final = 0xFF_FFFF

_EXPECTED: Final[Mapping[str, str]] = {
    "Invalid name": "an identifier where the kind has a name, and none where it has not",
    "Invalid value": "a tag that is not empty",
    "Invalid type_id": "a reference to a type that exists and fits",
    "Invalid elem": "an element type that has a size",
    "Invalid index": "an integer type for subscripts",
    "Invalid array of int": "elements of a whole number of bytes",
    "Invalid member": "a member type that has a size",
    "Invalid member base type": "a bit field of a plain integer",
    "Invalid member bits_offset": "members in ascending order; in unions, all at 0",
    "Invalid member bitfield_size": "no more bits than the type has",
    "Invalid member offset": "a member that starts at a byte",
    "Member is not byte aligned": "a member that starts at a byte",
    "Member is not properly aligned": "a floating-point member at a multiple of its size",
    "Member exceeds struct_size": "members inside the structure",
    "Member bits_offset exceeds its struct size": "members inside the structure",
    "Invalid btf_info kind_flag": "a clear flag bit: the kind has no use for it",
    "vlen != 0": "no entries: the kind has none",
    "type != 0": "no type: the kind has none",
    "size != 0": "no size: the kind has none",
    "size == 0": "a size",
    "Loop detected": "types that do not contain themselves",
    "Linkage not supported": "a static or global variable",
    "Invalid func linkage": "a static or global function",
    "Invalid component_idx": "the index of a member or parameter, or -1",
    "Not a VAR kind member": "variables",
    "String section is not at the end": "types first, then strings, then nothing",
    "Max chain length or cycle detected": "at most 32 qualifiers in a row",
}


class Raw:
    """A type as it stands in the words of the section; nothing of it is trusted."""

    def __init__(self, type_id: int, at: int, name_off: int, info: int, third: int) -> None:
        self.type_id = type_id
        self.at = at  # first word
        self.name_off = name_off
        self.info = info
        self.third = third  # size or type
        self.kind = (info >> 24) & 0x1F
        self.vlen = info & 0xFFFF
        self.flag = info & FLAG != 0


class Report:
    """Writes the log, and makes refusals.

    Args:
        words: the type section.
        strings: the string section.
        source: for messages.
        offset: of the type section in the data, for messages.
        log: takes the text; None if no one reads it.
    """

    def __init__(
        self,
        words: "list[int]",
        strings: bytes,
        source: str,
        offset: int,
        log: Callable[[str], None] | None,
    ) -> None:
        self.words = words
        self.strings = strings
        self._source = source
        self._offset = offset
        self._log = log
        self.resolving = False  # past the first phase: members name their structure first

    def write(self, text: str) -> None:
        """Add *text* to the log."""
        if self._log is not None:
            self._log(text)

    def name(self, name_off: int) -> str:
        """A name as the log spells it."""
        if name_off == 0:
            return "(anon)"
        if name_off >= len(self.strings):
            return "(invalid-name-offset)"
        end = self.strings.find(b"\0", name_off)
        return decode_string(self.strings[name_off:end])

    def refusal(self, message: str, type_id: int = 0, code: int = errno.EINVAL) -> BtfError:
        """A refusal, without a line in the log."""
        return BtfError(
            source=self._source,
            where=f"type {type_id}" if type_id else "data",
            found=message,
            expected=_EXPECTED.get(message, "what BTF_LOAD accepts"),
            type_id=type_id,
            errno=code,
        )

    def refuse_plain(self, message: str, type_id: int = 0, code: int = errno.EINVAL) -> BtfError:
        """A refusal that the log says in its own words, without an end of line."""
        self.write(message)
        return self.refusal(message, type_id, code)

    def refuse(self, raw: Raw, message: str, code: int = errno.EINVAL) -> BtfError:
        """A refusal that the log says after all of the type."""
        self.type_line(raw, message)
        return self._located(raw, message, code)

    def refuse_basic(self, raw: Raw, message: str) -> BtfError:
        """A refusal that the log says after kind and name: the rest cannot be trusted."""
        if self._log is not None:
            self._log(f"{self._head(raw)} {message}\n")
        return self._located(raw, message, errno.EINVAL)

    def refuse_member(self, raw: Raw, entry: int, message: str, type_id: int = -1) -> BtfError:
        """A refusal about the member in word *entry*; *type_id* is what its type comes to."""
        self.member_line(raw, entry, message, type_id)
        return self._located(raw, message, errno.EINVAL)

    def refuse_entry(self, raw: Raw, entry: int, message: str) -> BtfError:
        """A refusal about the variable of a section in word *entry*."""
        self.entry_line(raw, entry, message)
        return self._located(raw, message, errno.EINVAL)

    def _located(self, raw: Raw, message: str, code: int) -> BtfError:
        error = self.refusal(message, raw.type_id, code)
        error.offset = self._offset + raw.at * 4
        return error

    def _head(self, raw: Raw) -> str:
        return f"[{raw.type_id}] {Kind(raw.kind).name} {self.name(raw.name_off)}"

    def type_line(self, raw: Raw, message: str = "") -> None:
        """Log one type."""
        if self._log is not None:
            ending = f" {message}\n" if message else "\n"
            self._log(f"{self._head(raw)} {self._details(raw)}{ending}")

    def member_line(self, raw: Raw, entry: int, message: str = "", seen_as: int = -1) -> None:
        """Log the member in word *entry*."""
        if self._log is None:
            return
        if self.resolving:
            self.type_line(raw)
        name_off, type_id, offset = self.words[entry : entry + 3]
        text = f"\t{self.name(name_off)} type_id={type_id if seen_as < 0 else seen_as}"
        if raw.flag:
            text += f" bitfield_size={offset >> 24} bits_offset={offset & 0xFFFFFF}"
        else:
            text += f" bits_offset={offset}"
        self._log(f"{text} {message}\n" if message else f"{text}\n")

    def entry_line(self, raw: Raw, entry: int, message: str = "") -> None:
        """Log the variable of a section in word *entry*."""
        if self._log is None:
            return
        if self.resolving:
            self.type_line(raw)
        type_id, offset, size = self.words[entry : entry + 3]
        text = f"\t type_id={type_id} offset={offset} size={size}"
        self._log(f"{text} {message}\n" if message else f"{text}\n")

    def _details(self, raw: Raw) -> str:
        kind, words, at = raw.kind, self.words, raw.at
        if kind == Kind.INT:
            text = _int_details(raw, words[at + 3])
        elif kind == Kind.ARRAY:
            element, index, count = words[at + 3 : at + 6]
            text = f"type_id={element} index_type_id={index} nr_elems={count}"
        elif kind in _SIZED:
            text = f"size={raw.third} vlen={raw.vlen}"
        elif kind == Kind.FLOAT:
            text = f"size={raw.third}"
        elif kind == Kind.FWD:
            text = "union" if raw.flag else "struct"
        elif kind == Kind.FUNC_PROTO:
            text = self._prototype_details(raw)
        elif kind == Kind.VAR:
            text = f"type_id={raw.third} linkage={words[at + 3]}"
        elif kind == Kind.DECL_TAG:
            text = f"type={raw.third} component_idx={signed(words[at + 3], 32)}"
        else:
            text = f"type_id={raw.third}"
        return text

    def _prototype_details(self, raw: Raw) -> str:
        params: list[str] = []
        for entry in range(raw.at + 3, raw.at + 3 + 2 * raw.vlen, 2):
            name_off, type_id = self.words[entry : entry + 2]
            last = entry == raw.at + 1 + 2 * raw.vlen
            params.append(f"{type_id} {self.name(name_off)}" if type_id or not last else "vararg")
        return f"return={raw.third} args=({', '.join(params) or 'void'})"


_SIZED: Final = frozenset((Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.DATASEC))
_ENCODINGS: Final[Mapping[int, str]] = {0: "(none)", 1: "SIGNED", 2: "CHAR", 4: "BOOL"}


def _int_details(raw: Raw, data: int) -> str:
    offset, bits = (data >> 16) & 0xFF, data & 0xFF
    encoding = _ENCODINGS.get((data >> 24) & 0xF, "UNKN")
    return f"size={raw.third} bits_offset={offset} nr_bits={bits} encoding={encoding}"
