"""LogRecord: one thing that a log says, as fields: why a command was refused, or what it noted.

Both sides speak of it: the subsystem makes records, readers of logs make the same ones again.
"""

from typing import NamedTuple


class LogCause(NamedTuple):
    """An instruction that had a part in it.

    Attributes:
        pc: its slot.
        insn: its text.
        effect: what it made of which register, or which way a branch went.
        source: ``file:line`` of it; "" if that is not known.
    """

    pc: int
    insn: str = ""
    effect: str = ""
    source: str = ""


class LogRecord(NamedTuple):
    """Why a command was refused. What is not known, or does not apply, is "" or -1.

    Attributes:
        message: what is wrong, in words; may have several lines.
        command: name of the command, as ``MAP_CREATE``.
        errno: positive number of the error, 0 if it is not known.
        rule: id of the verifier's rule, or of the row of the tables of reasons.
        category: kind of trouble, in the words of 7.3 where it is the verifier's.
        field: member of the attr that it is about. *offset*: where it lies there, *size*: bytes.
        found: what was found. *allowed*: what may stand there, or what must hold.
        hint: what usually helps.
        pc: slot of the refused instruction. *insn*: its text.
        file: source file of it. *line*, *column*: counted from 1, 0 for none. *text*: the line.
        causes: what led to it, in the order of the path.
        btf_id: the BTF object that it is about, 0 if it has no id. *type_id*: the type.
            *btf_offset*: bytes into the data.
    """

    message: str
    command: str = ""
    errno: int = 0
    rule: str = ""
    category: str = ""
    field: str = ""
    offset: int = -1
    size: int = 0
    found: str = ""
    allowed: str = ""
    hint: str = ""
    pc: int = -1
    insn: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    text: str = ""
    causes: tuple[LogCause, ...] = ()
    btf_id: int = 0
    type_id: int = -1
    btf_offset: int = -1
