"""The log in messages (TLV): what the level bit ``BPF_LOG_TLV`` asks for, and its tables.

::

    u16 type   u32 length   payload, length bytes        packed, no padding, host byte order

A log is a run of whole messages. The last one is END: eight bytes that are always reserved. What
does not fit is dropped, and so is all that follows; END counts it. A reader skips the types that
it does not know, and bytes beyond the known ones of a payload. Linux has nothing like it.

Source: "BPF logging infrastructure", T. Høiland-Jørgensen and A. Nakryiko, 14 Jul 2020.
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from skep.base.layout import U32, Layout, Pointer

TLV: Final = 16  # BPF_LOG_TLV: bit 4 of the level; Linux knows bits 0 to 3
HEADER: Final = struct.Struct("=HI")
END_SIZE: Final = 8
MAX_DROPPED: Final = 0xFFFF


class MessageType(NamedTuple):
    """One type of message.

    Attributes:
        number: what stands in the header.
        name: ``BPF_LOG_MSG_TYPE_*``.
        layout: of the payload, as C would declare it.
        meaning: what it says.
        code: of the fixed part of the payload, for ``struct``.
    """

    number: int
    name: str
    layout: str
    meaning: str
    code: str = ""


STRING: Final = MessageType(
    1, "STRING", "char text[]", "a piece of the text log; all of them, joined, are the text log"
)
END: Final = MessageType(
    2, "END", "u16 num_truncations",
    "the end; how many messages were dropped, 65535 for that many or more", "=H",
)  # fmt: skip
ERRNO: Final = MessageType(
    3, "ERRNO", "s32 errno, u32 extcode",
    "begins a record: what the call answers, negative; CRC-32 of the rule's id, 0 for none", "=iI",
)  # fmt: skip
ATTR_OFF: Final = MessageType(
    4, "ATTR_OFF", "u32 off, u32 len", "the member of the attr that it is about", "=II"
)
BTF_OFF: Final = MessageType(
    5, "BTF_OFF", "u32 btf_obj_id, u32 type_id, u32 off",
    "the type that it is about, and where it stands in the data; all bits set for nowhere", "=III",
)  # fmt: skip
INSN: Final = MessageType(6, "INSN", "u32 insn", "the instruction that it is about, a slot", "=I")
DIAG: Final = MessageType(
    7, "DIAG", "char category[] NUL reason[] NUL suggestion[]", "what is wrong, and what helps"
)
RULE: Final = MessageType(8, "RULE", "char id[]", "the rule that does not hold, or the reason")
FIELD: Final = MessageType(
    9, "FIELD", "char name[] NUL found[] NUL allowed[]",
    "the member of the attr, if it is about one; what was found; what may stand there",
)  # fmt: skip
SOURCE: Final = MessageType(
    10, "SOURCE", "u32 line, u32 column, char file[] NUL text[]", "where it is in the source", "=II"
)
CAUSE: Final = MessageType(
    11, "CAUSE", "u32 insn, char text[] NUL effect[] NUL source[]",
    "an instruction that made it so; in the order of the path", "=I",
)  # fmt: skip
COMMAND: Final = MessageType(12, "COMMAND", "char name[]", "the command that was called")
TEXT: Final = MessageType(13, "TEXT", "char insn[]", "the instruction that it is about, as text")

MESSAGE_TYPES: Final = (
    STRING, END, ERRNO, ATTR_OFF, BTF_OFF, INSN, DIAG, RULE, FIELD, SOURCE, CAUSE, COMMAND, TEXT,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedHeader(Layout):
    """What stands before the attr if the command has ``USES_EXTENDED_ATTR``; 48 zeros follow."""

    log_level: U32 = 0
    log_size: U32 = 0
    log_buf: Pointer = 0


EXTENDED_SIZE: Final = 64  # sizeof the header of struct bpf_extended_attr
