"""Programs on traced events, for tests: they write what they see into an array."""

from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.uapi import commands
from support.caller import Caller, insn

RAW_TRACEPOINT, TRACEPOINT, PERF_EVENT, SOCKET_FILTER = 17, 5, 7, 1
ARRAY = 2


def code(text: str, **maps: int) -> bytes:
    """Assembly as bytes; ``rN = map NAME`` loads the map with descriptor *maps*[NAME]."""
    parts = []
    for line in text.strip().splitlines():
        register, _, name = line.strip().partition(" = map ")
        if name:
            parts.append(f"{register} = {maps[name]:#x} ll")
        else:
            parts.append(line)
    data = bytearray(encode(assemble("\n".join(parts))))
    for at in range(0, len(data), 8):
        value = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at] == 0x18 and value in maps.values():
            data[at + 1] |= 1 << 4  # BPF_PSEUDO_MAP_FD
    return bytes(data)


def store(register: str = "r6", slot: int = 0) -> str:
    """Code that stores *register* (r6 to r9) in element *slot* of the map called out."""
    return f"""
        *(u32 *)(r10 - 4) = {slot}
        r2 = r10
        r2 += -4
        r1 = map out
        call 1
        if r0 == 0 goto +1
        *(u64 *)(r0 + 0) = {register}"""


def count() -> str:
    """Code that adds one to element 0 of the map called out."""
    return """
        *(u32 *)(r10 - 4) = 0
        r2 = r10
        r2 += -4
        r1 = map out
        call 1
        if r0 == 0 goto +2
        r1 = 1
        lock *(u64 *)(r0 + 0) += r1"""


def number(caller: Caller, fd: int, slot: int = 0) -> int:
    """Element *slot* of the array *fd*."""
    found = caller.fetch(fd, slot.to_bytes(4, "little"))
    assert isinstance(found, bytes), found
    return int.from_bytes(found, "little")


def good(caller: Caller, result: int) -> int:
    """*result*, which is no refusal."""
    assert result >= 0, caller.subsystem.last_error
    return result


def open_raw(caller: Caller, program: int, name: str, cookie: int = 0) -> int:
    """RAW_TRACEPOINT_OPEN."""
    place = caller.keep(name.encode() + b"\0") if name else 0
    return caller.call(commands.RAW_TRACEPOINT_OPEN, prog_fd=program, name=place, cookie=cookie)


EXIT_ZERO = insn(0xB7) + insn(0x95)
