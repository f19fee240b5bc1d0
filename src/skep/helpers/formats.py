"""The format language of trace_printk, snprintf and seq_printf.

``%[0 +-][width]`` and ``d i u x X``, with ``l`` or ``ll``; ``c``; ``s``, ``pks``, ``pus``; ``p``,
``pK``, ``px``, ``ps``, ``pS``, ``pB``; ``pi4 pI4 pi6 pI6``; ``%%``. Anything else is EINVAL, as
are too few arguments; what does not fit into 512 bytes of packed arguments is ENOSPC.

Source: Linux kernel/bpf/helpers.c (bpf_bprintf_prepare), lib/vsprintf.c.
"""

import errno
import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Final

from skep.base.bits import U32, U64, signed
from skep.base.memory import Fault, UserMemory
from skep.helpers.memory import read_string

_BUDGET: Final = 512  # MAX_BPRINTF_BIN_ARGS
_FLAGS: Final = frozenset(b"0+- ")
_INTEGERS: Final = frozenset(b"iduxX")
_DIGITS: Final = frozenset(b"0123456789")
_ASCII_END: Final = 0x7F
_TEXT: Final = frozenset(range(0x20, 0x100)) - {0x7F} | frozenset(b"\t\n\v\f\r")


class FormatRefused(Exception):  # noqa: N818 - carries the errno, not a failure of ours
    """The helper answers ``-errno``."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


@dataclass(frozen=True, slots=True)
class Spec:
    """One conversion: *kind* is the letter, or "p…" whole; *size* is 4 or 8 for integers."""

    kind: str
    flags: str = ""
    width: int = 0
    size: int = 8


def _ends_word(text: bytes, place: int) -> bool:
    """Whether the byte at *place* is the end, white space or punctuation."""
    if place >= len(text):
        return True
    byte = text[place]
    if byte > _ASCII_END:
        return byte == 0xA0 or 0xA1 <= byte <= 0xBF  # Latin-1 in the kernel's ctype
    letter = chr(byte)
    return letter.isspace() or (letter.isprintable() and not letter.isalnum())


class Parser:
    """Splits a format into literal bytes and Specs."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._place = 0

    def parse(self) -> list[bytes | Spec]:
        """Every piece in order; raises FormatRefused."""
        pieces: list[bytes | Spec] = []
        text = self._text
        while self._place < len(text):
            start = self._place
            while self._place < len(text) and text[self._place] != ord("%"):
                if text[self._place] not in _TEXT:
                    raise FormatRefused(errno.EINVAL)
                self._place += 1
            if self._place > start:
                pieces.append(text[start : self._place])
            elif text[start + 1 : start + 2] == b"%":
                pieces.append(b"%")
                self._place += 2
            else:
                self._place += 1
                pieces.append(self._spec())
        return pieces

    def _peek(self, distance: int = 0) -> int:
        place = self._place + distance
        return self._text[place] if place < len(self._text) else 0

    def _take(self, allowed: frozenset[int]) -> str:
        start = self._place
        while self._peek() in allowed and self._place < len(self._text):
            self._place += 1
        return self._text[start : self._place].decode("latin-1")

    def _spec(self) -> Spec:
        flags = self._take(_FLAGS)
        width = self._take(_DIGITS)
        letter = chr(self._peek())
        if letter == "p":
            return Spec(self._pointer(), flags, int(width or 0))
        if letter == "s":
            self._place += 1
            if not _ends_word(self._text, self._place):
                raise FormatRefused(errno.EINVAL)
            return Spec("s", flags, int(width or 0))
        if letter == "c":
            self._place += 1
            return Spec("c", flags, int(width or 0))
        return self._integer(flags, int(width or 0))

    def _integer(self, flags: str, width: int) -> Spec:
        size = 4
        for _ in range(2):
            if self._peek() == ord("l"):
                size = 8
                self._place += 1
        if self._peek() not in _INTEGERS or self._place >= len(self._text):
            raise FormatRefused(errno.EINVAL)
        self._place += 1
        return Spec(chr(self._text[self._place - 1]), flags, width, size)

    def _pointer(self) -> str:
        self._place += 1
        if _ends_word(self._text, self._place):
            return "p"
        first, second = chr(self._peek()), chr(self._peek(1))
        if first in "ku" and second == "s":
            self._place += 2
            if not _ends_word(self._text, self._place):
                raise FormatRefused(errno.EINVAL)
            return "s"
        if first in "KxsSB":
            self._place += 1
            return "p" + first
        if first in "iI" and second in "46":
            self._place += 2
            return "p" + first + second
        raise FormatRefused(errno.EINVAL)


def hashed_pointer(secret: bytes, value: int) -> int:
    """What a pointer is printed as, so that it tells no address; NULL and errors stay."""
    if not value or value >= U64 - 4095:
        return value
    digest = hashlib.blake2b(value.to_bytes(8, "little"), key=secret, digest_size=4)
    return int.from_bytes(digest.digest(), "little")


class Formatter:
    """Formats as Linux does; pointers hash with *secret*, strings are read from *memory*."""

    def __init__(self, memory: UserMemory, secret: bytes = b"") -> None:
        self._memory = memory
        self._secret = secret
        self._left = _BUDGET

    def format(self, text: bytes, arguments: list[int]) -> bytes:
        """The formatted bytes, without a final zero; raises FormatRefused."""
        pieces = Parser(text).parse()
        specs = sum(isinstance(piece, Spec) for piece in pieces)
        if specs > len(arguments):
            raise FormatRefused(errno.EINVAL)
        self._left = _BUDGET
        values = iter(arguments)
        output = bytearray()
        for piece in pieces:
            output += piece if isinstance(piece, bytes) else self._convert(piece, next(values))
        return bytes(output)

    def _spend(self, size: int, *, aligned: bool = False) -> None:
        if aligned:
            self._left &= ~3
        if size > self._left:
            raise FormatRefused(errno.ENOSPC)
        self._left -= size

    def _convert(self, spec: Spec, value: int) -> bytes:
        if spec.kind == "s":
            return self._justify(spec, self._string(value))
        if spec.kind == "c":
            self._spend(1)
            return self._justify(spec, bytes([value & 0xFF]))
        if spec.kind in {"pi4", "pI4", "pi6", "pI6"}:
            return self._justify(spec, self._internet(spec.kind, value))
        if spec.kind == "pB":
            return self._justify(spec, f"{value:#x}".encode())
        if spec.kind[0] == "p":
            self._spend(8, aligned=True)
            return self._justify(spec, self._pointer(spec, value))
        self._spend(spec.size, aligned=True)
        return self._number(spec, value)

    def _string(self, address: int) -> bytes:
        if self._left == 0:
            raise FormatRefused(errno.ENOSPC)
        try:
            text = read_string(self._memory, address, self._left)
        except Fault:
            text = b"\0"
        self._left -= len(text)
        return text[:-1]

    def _internet(self, kind: str, address: int) -> bytes:
        size = 4 if kind[2] == "4" else 16
        if self._left < size:
            raise FormatRefused(errno.ENOSPC)
        try:
            data = self._memory.read(address, size)
        except Fault:
            data = bytes(size)
        if kind == "pI4":
            text = ipaddress.IPv4Address(data).exploded
        elif kind == "pi4":
            text = ".".join(f"{byte:03}" for byte in data)
        else:
            text = ipaddress.IPv6Address(data).exploded
            text = text if kind == "pI6" else text.replace(":", "")
        self._left -= min(len(text) + 1, self._left)
        return text.encode()

    def _pointer(self, spec: Spec, value: int) -> bytes:
        if spec.kind in {"ps", "pS"}:
            return f"{value:#x}".encode()
        if spec.kind != "px":
            value = hashed_pointer(self._secret, value)
        if spec.width:
            return self._number(Spec("x", spec.flags, spec.width), value)
        return f"{value:016x}".encode()

    @staticmethod
    def _justify(spec: Spec, text: bytes) -> bytes:
        if "-" in spec.flags:
            return text.ljust(spec.width)
        return text.rjust(spec.width)

    @staticmethod
    def _number(spec: Spec, value: int) -> bytes:
        value &= U32 if spec.size == 4 else U64
        flags = spec.flags
        if spec.kind in "di":
            value = signed(value, spec.size * 8)
        else:
            flags = flags.replace("+", "").replace(" ", "")
        kind = "d" if spec.kind == "u" else spec.kind
        width = str(spec.width) if spec.width else ""
        return f"%{flags}{width}{kind}".__mod__(value).encode()
