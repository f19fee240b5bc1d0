"""Kernel functions on numbers, locks and strings."""

import ctypes
from collections.abc import Iterator, Mapping

import pytest

from skep.helpers import kfuncs, kfuncs_strings
from skep.helpers.kfunc_binding import KfuncBinding
from skep.helpers.kfuncs_streams import stream_vprintk
from skep.maps.creation import NativeLibrary
from skep.maps.stored import address_of
from skep.runtime.stream import Stream
from skep.runtime.world import World

U64 = (1 << 64) - 1
EINVAL, E2BIG, EDEADLK = U64 - 21, U64 - 6, U64 - 34
STRINGS = {binding.name: binding for binding in kfuncs_strings.BINDINGS}


def numbers(library: NativeLibrary, start: int, end: int) -> Iterator[int]:
    iterator = ctypes.create_string_buffer(b"\xff" * 8, 8)
    place, following = ctypes.addressof(iterator), library.bind(kfuncs.iter_num_next)
    library.bind(kfuncs.iter_num_new)(0, place, start & U64, end & U64)
    while following(0, place):
        yield ctypes.c_int32.from_address(place).value


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 5), (-3, 2), (4, 4), (7, 3), (2**31 - 2, 2**31 - 1), (-(2**31), 1 - 2**31)],
)
def test_numbers_are_counted_as_range_counts(library: NativeLibrary, start: int, end: int) -> None:
    assert list(numbers(library, start, end)) == list(range(start, end))


def test_what_cannot_be_counted_is_refused(library: NativeLibrary) -> None:
    iterator = ctypes.create_string_buffer(8)
    make = library.bind(kfuncs.iter_num_new)

    assert make(0, ctypes.addressof(iterator), 1, 0) == EINVAL
    assert make(0, ctypes.addressof(iterator), 0, (8 << 20) + 1) == E2BIG
    assert iterator.raw == bytes(8)


def test_a_run_that_waits_for_itself_is_told(library: NativeLibrary, world: World) -> None:
    word = ctypes.c_uint32()
    lock, unlock = library.bind(kfuncs.res_spin_lock), library.bind(kfuncs.res_spin_unlock)
    with world.running() as run:
        assert lock(run.address, ctypes.addressof(word)) == 0
        assert lock(run.address, ctypes.addressof(word)) == EDEADLK
        assert unlock(run.address, ctypes.addressof(word)) == 0
        assert lock(run.address, ctypes.addressof(word)) == 0


def call(world: World, name: str, *arguments: bytes | int) -> int:
    function = STRINGS[name].upcall
    assert function is not None
    registers = [address_of(a) if isinstance(a, bytes) else a & U64 for a in arguments]
    answer = function(world, 0, *registers, *[0] * (5 - len(registers)))
    return ctypes.c_int32(answer & 0xFFFFFFFF).value


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("bpf_strlen", (b"bee\0",), 3),
        ("bpf_strnlen", (b"bee\0", 2), 2),
        ("bpf_strcmp", (b"a\0", b"\xff\0"), -1),
        ("bpf_strcasecmp", (b"HIVE\0", b"hive\0"), 0),
        ("bpf_strchr", (b"bee\0", ord("e")), 1),
        ("bpf_strchr", (b"bee\0", 0), 3),
        ("bpf_strrchr", (b"bee\0", ord("e")), 2),
        ("bpf_strchrnul", (b"bee\0", ord("x")), 3),
        ("bpf_strnchr", (b"bee\0", 1, ord("e")), -2),
        ("bpf_strspn", (b"bee\0", b"eb\0"), 3),
        ("bpf_strcspn", (b"bee\0", b"e\0"), 1),
        ("bpf_strstr", (b"a bee\0", b"bee\0"), 2),
        ("bpf_strnstr", (b"a bee\0", b"bee\0", 4), -2),
        ("bpf_strlen", (0,), -34),
        ("bpf_strcmp", (b"a\0", -8192), -14),
    ],
)
def test_strings_answer_as_linux_does(
    world: World, name: str, arguments: tuple[bytes | int, ...], answer: int
) -> None:
    assert call(world, name, *arguments) == answer


def test_a_string_without_an_end_is_too_long(world: World) -> None:
    text = b"a" * 65537 + b"\0"

    assert call(world, "bpf_strlen", text) == -7
    assert call(world, "bpf_strnlen", text, 65535) == 65535


def test_a_binding_names_a_kernel_function_and_one_way_to_run_it() -> None:
    with pytest.raises(AssertionError, match="no such kfunc"):
        KfuncBinding("bpf_no_such", kfuncs.nothing)
    with pytest.raises(AssertionError, match="not one function"):
        KfuncBinding("bpf_strlen")


class Speaker:
    def __init__(self) -> None:
        self.streams: Mapping[int, Stream] = {1: Stream(), 2: Stream()}


def test_a_program_prints_to_its_own_streams(world: World) -> None:
    heard: list[bytes] = []
    speaker, text, word = Speaker(), b"bee %d of %s\0", b"hive\0"
    world.printers[12] = speaker
    arguments = (7).to_bytes(8, "little") + address_of(word).to_bytes(8, "little")
    place = address_of(arguments)

    assert stream_vprintk(world, 0, 1, address_of(text), place, 16, 12) == 0
    assert stream_vprintk(world, 0, 3, address_of(text), place, 16, 12) == -2
    assert stream_vprintk(world, 0, 1, address_of(text), place, 16, 13) == -2
    assert stream_vprintk(world, 0, 1, address_of(text), place, 12, 12) == -22
    speaker.streams[1].read(100, heard.append)
    assert heard == [b"bee 7 of hive"]
