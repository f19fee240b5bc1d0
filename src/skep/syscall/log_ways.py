"""The ways to ask for a log beside the attr: common attributes, extended attr, long tracepoint.

Linux 7.2 has the first. The others were proposed in 2020; each is read into the same ``Common``::

    bpf(cmd | COMMON_ATTRS, attr, size, common, common_size)      LOGGED is another name of the flag
    bpf(cmd | USES_EXTENDED_ATTR, header + attr, 64 + size)
    bpf(RAW_TRACEPOINT_OPEN, attr, 40)                            if bytes 24 to 39 are not all zero

Source: "BPF logging infrastructure", T. Høiland-Jørgensen and A. Nakryiko, 14 Jul 2020.
"""

from typing import Final

from skep.syscall.call import AttrBuffer, AttrBytes, Common, read_attr
from skep.uapi import reasons_log as reasons
from skep.uapi.commands import CommonAttr, LongRawTracepointOpen, RawTracepointOpen
from skep.uapi.log_messages import EXTENDED_SIZE, ExtendedHeader
from skep.uapi.reason import Refusal

LONG_SIZE: Final = LongRawTracepointOpen.wire_size()
SHORT_SIZE: Final = RawTracepointOpen.wire_size()


def read_common(where: AttrBytes, command: str) -> Common:
    """The common attributes at *where*; raises E2BIG as ``read_attr`` does, and Fault."""
    return Common(CommonAttr.decode(read_attr(where, command, CommonAttr.wire_size())), where)


def read_extended(where: AttrBytes, command: str) -> tuple[AttrBytes, Common]:
    """The attr in the ``struct bpf_extended_attr`` at *where*, and the log that it asks for.

    Raises:
        Refusal: EINVAL, it is too short, or what is reserved is set.
        Fault: it cannot be read.
    """
    if where.size < EXTENDED_SIZE:
        raise Refusal(command, reasons.EXTENDED_SIZE, f"{where.size} bytes, less than the header")
    inner = AttrTail(where, EXTENDED_SIZE)
    read_attr(inner, command)
    data = where.read()
    if any(data[ExtendedHeader.wire_size() : EXTENDED_SIZE]):
        raise Refusal(command, reasons.EXTENDED_RESERVED, "a reserved byte of the header is set")
    header = ExtendedHeader.decode(data)
    asked = CommonAttr(log_buf=header.log_buf, log_size=header.log_size, log_level=header.log_level)
    return inner, Common(asked)


def is_long_tracepoint(where: AttrBytes) -> bool:
    """Whether the attr of RAW_TRACEPOINT_OPEN is the long one: Linux would refuse it."""
    return where.size == LONG_SIZE and any(where.read()[SHORT_SIZE:])


def read_long_tracepoint(where: AttrBytes) -> tuple[AttrBytes, Common]:
    """RAW_TRACEPOINT_OPEN's attr as Linux has it, and the log that the long one asks for."""
    long = LongRawTracepointOpen.decode(where.read())
    short = RawTracepointOpen(name=long.name, prog_fd=long.prog_fd)
    asked = CommonAttr(log_buf=long.log_buf, log_size=long.log_size, log_level=long.log_level)
    has_target = long.tgt_prog_fd or long.tgt_btf_id
    common = Common(asked, refused=reasons.TRACEPOINT_TARGET if has_target else None)
    return AttrBuffer(bytearray(short.encode()), None), common


class AttrTail:
    """What of the bytes at *where* follows the first *start* ones."""

    def __init__(self, where: AttrBytes, start: int) -> None:
        self._where, self._start, self.size = where, start, where.size - start

    def read(self) -> bytes:
        """All of it."""
        return self._where.read()[self._start :]

    def write(self, offset: int, data: bytes) -> None:
        """Store *data* at *offset*."""
        self._where.write(self._start + offset, data)
