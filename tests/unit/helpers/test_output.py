"""Formats, trace lines and seq files."""

import ctypes

import pytest

from skep.base.memory import OwnMemory
from skep.helpers import output
from skep.helpers.formats import FormatRefused, Formatter
from skep.maps.stored import address_of
from skep.runtime.world import World

TEXT = b"hello\0"
ADDRESS4 = bytes([192, 168, 0, 1])
ADDRESS6 = bytes([0x20, 1, 0xD, 0xB8]) + bytes(11) + b"\1"


def formatted(text: bytes, *arguments: int) -> str:
    return Formatter(OwnMemory()).format(text, list(arguments)).decode()


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (b"100%%", (), "100%"),
        (b"%d %i %u", (-1 & 2**64 - 1, 2**32 - 1, 2**32 - 1), "-1 -1 4294967295"),
        (b"%ld %lu", (2**64 - 1, 2**64 - 1), "-1 18446744073709551615"),
        (b"%llx|%X|%x", (0xABC, 0xABC, 1 << 32), "abc|ABC|0"),
        (b"%5d|%-5d|%05d|%+d|% d", (42, 42, 42, 42, 42), "   42|42   |00042|+42| 42"),
        (b"%c%3c", (65, 66), "A  B"),
        (b"%s!", (address_of(TEXT),), "hello!"),
        (b"%8s|%-8s|", (address_of(TEXT), address_of(TEXT)), "   hello|hello   |"),
        (b"%pks %pus", (address_of(TEXT), address_of(TEXT)), "hello hello"),
        (b"[%s]", (8,), "[]"),
        (b"%px", (0xABC,), "0000000000000abc"),
        (b"%p", (0,), "0000000000000000"),
        (b"%6px|%-6px|%06px", (0xABC,) * 3, "   abc|abc   |000abc"),
        (b"%pS", (0xFFFF_0000,), "0xffff0000"),
        (b"%pI4 %pi4", (address_of(ADDRESS4),) * 2, "192.168.0.1 192.168.000.001"),
        (b"%pI6", (address_of(ADDRESS6),), "2001:0db8:0000:0000:0000:0000:0000:0001"),
        (b"%pi6", (address_of(ADDRESS6),), "20010db8000000000000000000000001"),
    ],
)
def test_conversions(text: bytes, arguments: tuple[int, ...], expected: str) -> None:
    assert formatted(text, *arguments) == expected.replace("192.168.000.001", "192.168.000.001")


@pytest.mark.parametrize(
    "text", [b"%", b"%q", b"%d", b"%hd", b"%.2d", b"%#x", b"%sx", b"%pI5", b"\7", b"%l"]
)
def test_what_is_no_conversion_is_einval(text: bytes) -> None:
    arguments = [] if text == b"%d" else [1]
    with pytest.raises(FormatRefused) as refusal:
        Formatter(OwnMemory()).format(text, arguments)

    assert refusal.value.errno == 22


def test_hashed_pointers_tell_addresses_apart_but_do_not_show_them() -> None:
    first, second = formatted(b"%p", 0x12345678), formatted(b"%p", 0x12345679)

    assert first != second
    assert first.startswith("00000000")
    assert first != "0000000012345678"


def test_arguments_past_512_bytes_are_enospc() -> None:
    with pytest.raises(FormatRefused) as refusal:
        Formatter(OwnMemory()).format(b"%ld" * 65, [0] * 65)

    assert refusal.value.errno == 28


def test_trace_printk_prints_lines_and_gives_their_length(world: World, lines: list[str]) -> None:
    text = b"x=%d %s\n\0"
    with world.running() as run:
        arguments = (address_of(text), len(text), 5, address_of(TEXT), 0)
        assert output.trace_printk(world, run.address, *arguments) == 10
        assert output.trace_printk(world, run.address, address_of(text), 4, 0, 0, 0) == -22

    assert lines == ["x=5 hello"]


def test_snprintf_cuts_but_gives_the_whole_length(world: World) -> None:
    room = ctypes.create_string_buffer(b"x" * 8, 8)
    text, numbers = b"%d-%d\0", (123).to_bytes(8, "little") + (456).to_bytes(8, "little")
    with world.running() as run:
        answer = output.snprintf(
            world, run.address, ctypes.addressof(room), 5, address_of(text), address_of(numbers)
            , 16
        )  # fmt: skip
        odd = output.snprintf(world, run.address, 0, 0, address_of(text), address_of(numbers), 9)

    assert (answer, room.raw) == (8, b"123-\0xxx")
    assert odd == -22


def test_a_seq_file_overflows_once_it_is_full(world: World) -> None:
    data = b"0123456789"
    with world.running() as run:
        run.output.clear()
        run.output_limit = 16
        arguments = (world, run.address, 0, address_of(data), 10, 0, 0)
        answers = [output.seq_write(*arguments) for _ in range(2)]
        overflowed = run.overflowed

    assert answers == [0, -75]
    assert overflowed
