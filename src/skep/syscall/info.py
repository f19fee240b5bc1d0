"""One info struct in the making: what the caller asked for, and where the answers go.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_check_uarg_tail_zero, bpf_prog_get_info_by_fd).
"""

from typing import Any, Final, TypeVar

from skep.base.layout import Layout
from skep.base.memory import Fault
from skep.syscall.call import Call
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import GetInfo

PAGE: Final = 4096
Info = TypeVar("Info", bound=Layout)


def read_struct(call: Call[GetInfo], size: int) -> bytes:
    """The caller's struct, at most the *size* bytes that are known of it."""
    length = call.attr.info_len
    call.check(length <= PAGE, reasons.INFO_LONG)
    data = call.read("info", length)
    call.check(not any(data[size:]), reasons.INFO_TAIL, f"bytes beyond {size} are set")
    return data[:size]


def read_info(call: Call[GetInfo], layout: type[Info], size: int) -> Info:
    """The caller's struct as *layout*: what it wants, as far as its length goes."""
    return layout.decode(read_struct(call, size))


def write_info(call: Call[GetInfo], data: bytes, size: int) -> int:
    """Give the caller as much of a struct of *size* bytes as there is room for."""
    length = min(call.attr.info_len, size)
    call.write("info", data.ljust(size, b"\0")[:length])
    call.put("info_len", length)
    return 0


def give(call: Call[GetInfo], info: Any, pointer: str, room: int, items: bytes, each: int) -> int:
    """Write as many *items*, of *each* bytes, as there is *room* for; how many there are.

    *pointer* is the member of *info* that says where.
    """
    if room and items:
        try:
            call.memory.write(getattr(info, pointer), items[: room * each])
        except Fault as fault:
            raise call.refusal(reasons.INFO_POINTER, f"{pointer}: {fault}") from None
    return len(items) // each
