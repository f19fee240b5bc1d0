"""Packets from files and text: pcap, pcapng, hex.

Every malformed capture is a CaptureError that names the file, the record and the byte offset.

Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng; libpcap's pcap-savefile(5).
"""

import ctypes
import mmap
import os
import re
import stat
import struct
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

from skep.attach.capture_scan import CURSOR_SIZE, POSITION, scan_blocks, scan_records
from skep.attach.packets import Batch, Packet
from skep.base.native import NativeFunction
from skep.errors import CaptureError

PCAP_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
PCAP_HEADER: Final = 24
PCAPNG_SECTION: Final = b"\x0a\x0d\x0d\x0a"
BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
INTERFACE_BLOCK: Final = 1
OLD_PACKET_BLOCK: Final = 2
SIMPLE_PACKET_BLOCK: Final = 3
ENHANCED_PACKET_BLOCK: Final = 6
OPTION_TIME_RESOLUTION: Final = 9
MAX_COPY: Final = 1 << 30
MAX_PACKET: Final = 1 << 18  # libpcap's own limit (MAXIMUM_SNAPLEN)

Bind = Callable[[NativeFunction], Callable[..., int]]  # makes native functions callable
Record = tuple[int, int, int, int, int, int]
# offset of the data, bytes captured, bytes on the wire, nanoseconds, link type, interface


def parse_hex(text: str) -> bytes:
    """Bytes of hex digits; spaces, colons, newlines and ``0x`` between bytes are skipped."""
    digits = re.sub(r"0[xX]|[\s:,]", "", text)
    bad = re.search(r"[^0-9a-fA-F]", digits)
    if bad:
        raise CaptureError(
            source="packet", where="hex", offset=bad.start(), found=repr(bad.group()),
            expected="hex digits",
        )  # fmt: skip
    if len(digits) % 2:
        raise CaptureError(
            source="packet", where="hex", offset=len(digits), found="an odd count of digits",
            expected="two digits a byte",
        )  # fmt: skip
    return bytes.fromhex(digits)


def scan(data: "bytes | mmap.mmap", source: str) -> Iterator[Record]:
    """Find every packet of a pcap or pcapng file image."""
    magic = bytes(data[:4])
    if magic in PCAP_MAGICS:
        yield from _scan_pcap(data, source)
    elif magic == PCAPNG_SECTION:
        yield from _scan_pcapng(data, source)
    else:
        raise CaptureError(
            source=source, where="header", offset=0, found=magic.hex() or "an empty file",
            expected="the magic number of pcap or pcapng",
        )  # fmt: skip


def _scan_pcap(
    data: "bytes | mmap.mmap", source: str, position: int = PCAP_HEADER, number: int = 0
) -> Iterator[Record]:
    """From the record at *position* on, which is the *number*-th."""
    order, scale = PCAP_MAGICS[bytes(data[:4])]
    if len(data) < PCAP_HEADER:
        raise CaptureError(
            source=source, where="header", offset=len(data), found=f"{len(data)} bytes",
            expected=f"{PCAP_HEADER} bytes",
        )  # fmt: skip
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    header = struct.Struct(order + "4I")
    while position < len(data):
        where = f"record {number}"
        if position + 16 > len(data):
            raise _short(source, where, position, len(data) - position, 16)
        seconds, fraction, captured, length = header.unpack_from(data, position)
        position += 16
        if captured > MAX_PACKET:
            raise CaptureError(
                source=source, where=where, offset=position - 8, found=f"length {captured}",
                expected=f"at most {MAX_PACKET}",
            )  # fmt: skip
        if position + captured > len(data):
            raise _short(source, where, position, len(data) - position, captured)
        yield position, captured, length, seconds * 10**9 + fraction * scale, link, 0
        position += captured
        number += 1


def _short(source: str, where: str, offset: int, have: int, want: int) -> CaptureError:
    return CaptureError(
        source=source, where=where, offset=offset, found=f"{have} bytes left",
        expected=f"{want} bytes",
    )  # fmt: skip


class _Section:
    """State of one pcapng section: byte order and interfaces."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.interfaces: list[tuple[int, int, int]] = []  # link type, snap length, units a second

    def interface(self, number: int, source: str, offset: int) -> tuple[int, int, int]:
        if number < len(self.interfaces):
            return self.interfaces[number]
        raise CaptureError(
            source=source, where="packet block", offset=offset, found=f"interface {number}",
            expected=f"one of the {len(self.interfaces)} described",
        )  # fmt: skip

    def describe(self, body: bytes) -> None:
        link, _, snap = struct.unpack_from(self.order + "HHI", body)
        self.interfaces.append((link, snap, self._resolution(body[8:])))

    def _resolution(self, options: bytes) -> int:
        position = 0
        while position + 4 <= len(options):
            code, size = struct.unpack_from(self.order + "HH", options, position)
            value = options[position + 4 : position + 4 + size]
            if code == 0:
                break
            if code == OPTION_TIME_RESOLUTION and len(value) == 1:
                exponent = value[0] & 0x7F
                return int(2**exponent) if value[0] & 0x80 else int(10 ** min(exponent, 18))
            position += 4 + (size + 3) // 4 * 4
        return 10**6


def _scan_pcapng(
    data: "bytes | mmap.mmap", source: str, position: int = 0, section: "_Section | None" = None
) -> Iterator[Record]:
    """From the block at *position* on, which lies in *section*."""
    section = section or _Section("<")
    while position < len(data):
        section, after, records = _step(data, source, section, position)
        yield from records
        position = after


def _step(
    data: "bytes | mmap.mmap", source: str, section: _Section, position: int
) -> tuple[_Section, int, Iterator[Record]]:
    """The block at *position*: its section, where the next one begins, the packets in it."""
    if position + 12 > len(data):
        raise _short(source, "block header", position, len(data) - position, 12)
    if bytes(data[position : position + 4]) == PCAPNG_SECTION:
        section = _Section(_section_order(data, source, position))
    kind, total = struct.unpack_from(section.order + "II", data, position)
    if total < 12 or total % 4 or position + total > len(data):
        raise CaptureError(
            source=source, where="block length", offset=position + 4, found=str(total),
            expected=f"a multiple of 4 from 12 to {len(data) - position}",
        )  # fmt: skip
    records = _block(data, source, section, kind, position + 8, total - 12)
    return section, position + total, records


def _section_order(data: "bytes | mmap.mmap", source: str, position: int) -> str:
    magic = bytes(data[position + 8 : position + 12])
    for order in "<>":
        if magic == struct.pack(order + "I", BYTE_ORDER_MAGIC):
            return order
    raise CaptureError(
        source=source, where="section header", offset=position + 8, found=magic.hex(),
        expected="the byte-order magic 1a2b3c4d",
    )  # fmt: skip


def _block(  # one arm a block type
    data: "bytes | mmap.mmap", source: str, section: _Section, kind: int, start: int, size: int
) -> Iterator[Record]:
    least = {INTERFACE_BLOCK: 8, SIMPLE_PACKET_BLOCK: 4}.get(kind, 20)
    if kind not in (1, 2, 3, 6):
        return
    if size < least:
        raise _short(source, f"block of type {kind}", start, size, least)
    if kind == INTERFACE_BLOCK:
        section.describe(bytes(data[start : start + size]))
        return
    if kind == SIMPLE_PACKET_BLOCK:
        (length,) = struct.unpack_from(section.order + "I", data, start)
        link, snap, _ = section.interface(0, source, start)
        captured = min(length, snap or length)
        number, stamp, head, units = 0, 0, 4, 1
    else:
        code = "IIIII" if kind == ENHANCED_PACKET_BLOCK else "HxxIIII"
        number, high, low, captured, length = struct.unpack_from(section.order + code, data, start)
        link, _, units = section.interface(number, source, start)
        stamp, head = high << 32 | low, 20
    if captured > size - head:
        raise _short(source, f"block of type {kind}", start + head, size - head, captured)
    yield start + head, captured, length, stamp * 10**9 // units, link, number


class Capture:
    """A pcap or pcapng file.

    Args:
        path: the file. It is read to its end, as pipes are, unless it is larger than ``MAX_COPY``:
            then it is mapped, costs address space only, and must not be cut while it is in use.
        batch_size: packets a batch.
    """

    def __init__(self, path: str | Path, batch_size: int = 32768) -> None:
        self.source = str(path)
        self.batch_size = batch_size
        with Path(path).open("rb") as file:
            content = file.read(4)
            if not content:
                raise CaptureError(
                    source=self.source, where="header", offset=0, found="an empty file",
                    expected="a pcap or pcapng capture",
                )  # fmt: skip
            if content not in PCAP_MAGICS and content != PCAPNG_SECTION:
                next(scan(content, self.source))
            self._map = _mapped(file, content)

    def __iter__(self) -> Iterator[Packet]:
        for offset, captured, length, stamp, link, interface in scan(self._map, self.source):
            data = self._map[offset : offset + captured]
            yield Packet(data, length, stamp, link, interface)

    def batches(self, bind: Bind | None = None) -> Iterator[Batch]:
        """Yield the packets where they lie in the file's image, *batch_size* at a time.

        Each batch stays as it is while the capture is open. With *bind*, native code looks for the
        packets of a pcap file.
        """
        anchor = ctypes.c_char.from_buffer(self._map)
        if bind is None:
            yield from self._gather(anchor, scan(self._map, self.source))
        elif bytes(self._map[:4]) in PCAP_MAGICS:
            yield from self._records(anchor, bind(scan_records))
        else:
            yield from self._blocks(anchor, bind(scan_blocks))

    def _gather(self, anchor: ctypes.c_char, records: Iterator[Record]) -> Iterator[Batch]:
        base, batch = ctypes.addressof(anchor), Batch(anchor)
        try:
            for offset, captured, *_ in records:
                batch.add(base + offset, captured)
                if len(batch) == self.batch_size:
                    yield batch
                    batch = Batch(anchor)
        except CaptureError:
            if len(batch):  # what stands before the damage
                yield batch
            raise
        if len(batch):
            yield batch

    def _find(
        self, anchor: ctypes.c_char, find: Callable[..., int], position: int, big: bool, limit: int
    ) -> tuple[Batch, int]:
        """The packets from *position* on, at most a batch; where what comes next begins."""
        most = self.batch_size
        addresses, lengths = array("Q", bytes(8 * most)), array("I", bytes(4 * most))
        cursor = (ctypes.c_uint64 * (CURSOR_SIZE // 8))(
            ctypes.addressof(anchor), len(self._map), position, big, limit,
            addresses.buffer_info()[0], lengths.buffer_info()[0],
        )  # fmt: skip
        count = find(ctypes.addressof(cursor), most)
        del addresses[count:], lengths[count:]
        return Batch(anchor, addresses, lengths), cursor[POSITION // 8]

    def _records(self, anchor: ctypes.c_char, find: Callable[..., int]) -> Iterator[Batch]:
        number, position = 0, PCAP_HEADER
        if len(self._map) < PCAP_HEADER:
            next(_scan_pcap(self._map, self.source))  # it says what is wrong
        big = PCAP_MAGICS[bytes(self._map[:4])][0] == ">"
        while position < len(self._map):
            batch, position = self._find(anchor, find, position, big, MAX_PACKET)
            number += len(batch)
            if len(batch):
                yield batch
            if len(batch) < self.batch_size and position < len(self._map):
                next(_scan_pcap(self._map, self.source, position, number))  # it says what is wrong

    def _blocks(self, anchor: ctypes.c_char, find: Callable[..., int]) -> Iterator[Batch]:
        """Other blocks are read in Python; from the first packet in one of them on, all are."""
        position, section = 0, _Section("<")
        while position < len(self._map):
            big, known = section.order == ">", len(section.interfaces)
            batch, position = self._find(anchor, find, position, big, known)
            if len(batch):
                yield batch
            if len(batch) == self.batch_size or position == len(self._map):
                continue
            before, own = position, section
            section, position, records = _step(self._map, self.source, section, position)
            if any(True for _ in records):
                yield from self._gather(anchor, _scan_pcapng(self._map, self.source, before, own))
                return

    def close(self) -> None:
        """Unmap the file, once no batch of it is left."""
        with suppress(BufferError):  # the mapping goes with the last batch
            self._map.close()


def _mapped(file: BufferedReader, head: bytes) -> mmap.mmap:
    """The content of *file*, of which *head* was read: a copy, or the file itself if it is large.

    Whoever cuts a mapped file short ends the process that looks at it, so that only those are
    mapped of which a copy would be too much.
    """
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_COPY:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if not stat.S_ISREG(status.st_mode):
        content = head + file.read()
        memory = mmap.mmap(-1, len(content))
        memory.write(content)
        return memory
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, max(status.st_size, len(head)), flags)
    memory.madvise(mmap.MADV_HUGEPAGE)
    memory.write(head)
    with memoryview(memory) as room:
        filled = len(head)
        while filled < len(room) and (count := file.readinto(room[filled:])):
            filled += count
    if filled < len(memory):  # it was cut meanwhile
        memory.resize(filled)
    return memory


def write_pcap(path: str | Path, packets: "list[Packet]") -> None:
    """Write *packets* as a pcap file with nanosecond time stamps (tests, recordings)."""
    link = packets[0].link_type if packets else 1
    with Path(path).open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, MAX_PACKET, link))
        for packet in packets:
            seconds, nanoseconds = divmod(packet.timestamp_ns, 10**9)
            file.write(struct.pack("<4I", seconds, nanoseconds, len(packet.data), packet.length))
            file.write(packet.data)
