"""Packets from pcap, pcapng and hex."""

import ctypes
import gc
import os
import random
import struct
from pathlib import Path

import pytest

from skep.attach.capture import Bind, Capture, parse_hex, write_pcap
from skep.attach.packets import Packet
from skep.engine.llvm.library import CompiledLibrary
from skep.errors import CaptureError

PACKETS = [
    Packet(b"\x01" * 60, 60, 1_000_000_001),
    Packet(b"\x02" * 61, 1500, 2_000_000_002),
    Packet(b"", 0, 3),
]


def test_a_capture_that_is_cut_while_it_is_read_stays_whole(tmp_path: Path) -> None:
    # A mapped file that was cut short ended the process with SIGBUS.
    path = tmp_path / "packets.pcap"
    write_pcap(path, [Packet(b"\x01" * 1000, 1000, n) for n in range(100)])
    capture = Capture(path)
    packets = iter(capture)
    first = next(packets)
    os.truncate(path, 24)

    assert len(first.data) == 1000
    assert sum(len(packet.data) for packet in packets) == 99 * 1000
    capture.close()


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    total = len(body) + 12
    return struct.pack(order + "II", kind, total) + body + struct.pack(order + "I", total)


def pcapng(order: str = "<", resolution: int = 9) -> bytes:
    section = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    option = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    interface = block(1, struct.pack(order + "HHI", 1, 0, 0) + option, order)
    out = section + interface
    for packet in PACKETS:
        stamp = packet.timestamp_ns * 10**resolution // 10**9
        fields = (0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet.data), packet.length)
        out += block(6, struct.pack(order + "5I", *fields) + packet.data, order)
    return out


def test_a_pcap_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    write_pcap(path, PACKETS)

    assert list(Capture(path)) == PACKETS


@pytest.mark.parametrize(("magic", "order", "scale"), [
    (0xA1B2C3D4, "<", 1000), (0xA1B2C3D4, ">", 1000), (0xA1B23C4D, ">", 1),
])  # fmt: skip
def test_every_byte_order_and_resolution_of_pcap_is_read(
    tmp_path: Path, magic: int, order: str, scale: int
) -> None:
    path = tmp_path / "x.pcap"
    record = struct.pack(order + "4I", 5, 7, 3, 9) + b"abc"
    path.write_bytes(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1) + record)

    assert list(Capture(path)) == [Packet(b"abc", 9, 5_000_000_000 + 7 * scale)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_enhanced_packets_of_pcapng_are_read(tmp_path: Path, order: str) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng(order))

    assert list(Capture(path)) == PACKETS


def test_a_simple_packet_block_is_cut_to_the_snap_length(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack("<HHI", 113, 0, 4))
    path.write_bytes(section + interface + block(3, struct.pack("<I", 9) + b"abcd"))

    assert list(Capture(path)) == [Packet(b"abcd", 9, 0, 113)]


def test_an_unknown_block_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng() + block(0xBAD, b"whatever"))

    assert len(list(Capture(path))) == len(PACKETS)


def test_batches_point_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    write_pcap(path, PACKETS[:2])
    capture = Capture(path, batch_size=1)
    seen = []
    for batch in capture.batches():
        seen += [
            ctypes.string_at(address, length)
            for address, length in zip(batch.addresses, batch.lengths, strict=True)
        ]
    capture.close()

    assert [packet.data for packet in PACKETS[:2]] == seen


def test_a_batch_outlives_its_capture(tmp_path: Path) -> None:
    """Running a batch whose Capture was a temporary used to read unmapped memory."""
    path = tmp_path / "x.pcap"
    write_pcap(path, PACKETS[:1])
    batch = next(Capture(path).batches())
    gc.collect()

    assert ctypes.string_at(batch.addresses[0], 60) == PACKETS[0].data


@pytest.mark.parametrize(("content", "where"), [
    (b"", "header"),
    (b"\xd4\xc3\xb2\xa1", "header"),
    (b"hello world, this is text", "header"),
    (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"abc", "record 0"),
    (pcapng()[:-4], "block length"),
    (pcapng()[:28] + block(6, bytes(20)), "packet block"),
])  # fmt: skip
def test_a_malformed_capture_names_the_place(tmp_path: Path, content: bytes, where: str) -> None:
    path = tmp_path / "bad.pcap"
    path.write_bytes(content)

    with pytest.raises(CaptureError) as raised:
        list(Capture(path))

    assert raised.value.where == where
    assert raised.value.source == str(path)


def test_mutated_captures_give_packets_or_a_capture_error(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "x.pcapng"
    write_pcap(path, PACKETS)
    originals = [pcapng(), path.read_bytes()]
    for round_ in range(600):
        data = bytearray(originals[round_ % 2])
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.randint(1, len(data))])
        try:
            list(Capture(path))
        except CaptureError as error:
            assert error.source == str(path)


def test_hex_takes_the_usual_spellings() -> None:
    assert parse_hex("0x45 0x00\n00:1c") == b"\x45\x00\x00\x1c"


@pytest.mark.parametrize("text", ["4", "zz", "45 0g"])
def test_bad_hex_is_a_capture_error(text: str) -> None:
    with pytest.raises(CaptureError):
        parse_hex(text)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    # mmap(2) takes no pipes: `tcpdump -w - | skep run … --pcap /dev/stdin` ended in a traceback.
    write_pcap(tmp_path / "file", PACKETS)
    read, write = os.pipe()
    os.write(write, (tmp_path / "file").read_bytes())
    os.close(write)
    capture = Capture(f"/dev/fd/{read}")
    os.close(read)

    assert [packet.data for packet in capture] == [packet.data for packet in PACKETS]
    assert [list(batch.lengths) for batch in capture.batches()] == [[60, 61, 0]]


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/cpuinfo"])
def test_what_begins_as_no_capture_is_not_read_on(path: str) -> None:
    with pytest.raises(CaptureError, match="magic number"):
        Capture(path)


def found(path: Path, bind: Bind | None, batch_size: int) -> list[tuple[int, bytes] | str]:
    """Length and data of each packet, and what is wrong at the end."""
    seen: list[tuple[int, bytes] | str] = []
    try:
        for batch in Capture(path, batch_size=batch_size).batches(bind):
            assert 0 < len(batch) <= batch_size
            for address, length in zip(batch.addresses, batch.lengths, strict=True):
                seen.append((length, ctypes.string_at(address, length)))
    except CaptureError as error:
        seen.append(str(error))
    return seen


@pytest.mark.parametrize("order", ["<", ">"])
def test_native_code_and_python_find_the_same_in_files_whole_and_damaged(
    tmp_path: Path, order: str
) -> None:
    path, chance, bind = tmp_path / "x", random.Random(order), CompiledLibrary().bind
    simple = block(3, struct.pack(order + "I", 4) + b"abcd", order)
    own = pcapng(order)
    records = b"".join(
        struct.pack(order + "4I", 1, 2, len(each.data), each.length) + each.data
        for each in PACKETS * 9
    )
    header = struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    wholes = [header + records, own * 4, own + simple + own, own + block(0xBAD, b"x", order) + own]
    for turn in range(400):
        content = bytearray(wholes[turn % len(wholes)])
        for _ in range(chance.choice((0, 1, 1, 3))):
            content[chance.randrange(4, len(content))] = chance.choice((0, 1, 6, 8, 255))
        if chance.random() < 0.3:
            del content[chance.randrange(4, len(content)) :]
        path.write_bytes(content)
        size = chance.choice((1, 2, 3, 16))

        assert found(path, bind, size) == found(path, None, size)
