"""Arrays, plain and per CPU."""

import ctypes

import pytest

from skep.errors import CommandError
from skep.maps.array import Array, PercpuArray
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.dispatch import map_for_each_elem, map_lookup_elem, map_update_elem
from skep.maps.families import create_map
from skep.maps.stored import address_of
from skep.runtime.world import World

ONE = b"\1\0\0\0"


def array_of(library: NativeLibrary, **changes: int) -> Array:
    fields = {"map_type": 2, "key_size": 4, "value_size": 12, "max_entries": 3, **changes}
    made = create_map(Creation(library=library, **fields))
    assert isinstance(made, Array)
    return made


def errno_of(refusal: pytest.ExceptionInfo[CommandError]) -> str:
    return refusal.value.errno_name


def test_elements_are_zero_until_written(library: NativeLibrary) -> None:
    made = array_of(library)
    assert made.lookup(ONE) == bytes(12)
    made.update(ONE, b"abcdefghijkl")

    assert made.lookup(ONE) == b"abcdefghijkl"
    assert made.lookup(bytes(4)) == bytes(12)


@pytest.mark.parametrize(
    ("index", "flags", "errno"),
    [(3, 0, "E2BIG"), (0, 1, "EEXIST"), (0, 4, "EINVAL"), (0, 8, "EINVAL")],
)
def test_updates_that_linux_refuses(
    index: int, flags: int, errno: str, library: NativeLibrary
) -> None:
    with pytest.raises(CommandError) as refusal:
        array_of(library).update(index.to_bytes(4, "little"), bytes(12), flags)

    assert errno == errno_of(refusal)


def test_elements_cannot_be_deleted(library: NativeLibrary) -> None:
    with pytest.raises(CommandError) as refusal:
        array_of(library).delete(ONE)

    assert errno_of(refusal) == "EINVAL"


def test_the_walk_ends_after_the_last_and_begins_anew_past_the_end(library: NativeLibrary) -> None:
    made = array_of(library)
    assert made.next_key(None) == bytes(4)
    assert made.next_key(b"\7\0\0\0") == bytes(4)
    with pytest.raises(CommandError) as refusal:
        made.next_key(b"\2\0\0\0")

    assert errno_of(refusal) == "ENOENT"


def test_inline_and_called_look_ups_agree(library: NativeLibrary, world: World) -> None:
    for kind, size in ((2, 12), (6, 5)):
        made = create_map(
            Creation(
                map_type=kind, key_size=4, value_size=size, max_entries=3, cpus=2, library=library
            )
        )
        function, constants = made.inline_lookup() or pytest.fail("none")
        with world.running(cpu=1) as run:
            for index in range(4):
                key = index.to_bytes(4, "little")
                called = library.bind(map_lookup_elem)(run.address, made.address, address_of(key))
                inline = library.bind(function)(run.address, address_of(key), *constants)
                assert called == inline
                assert (called == 0) == (index == 3)


def test_a_program_sees_only_its_cpu(library: NativeLibrary, world: World) -> None:
    made = create_map(
        Creation(map_type=6, key_size=4, value_size=8, max_entries=2, cpus=2, library=library)
    )
    assert isinstance(made, PercpuArray)
    with world.running(cpu=1) as run:
        value = b"cpu one!"
        answer = library.bind(map_update_elem)(
            run.address, made.address, address_of(ONE), address_of(value), 0
        )

    assert answer == 0
    assert made.lookup(ONE) == bytes(8) + b"cpu one!"


def test_special_fields_are_left_alone_and_read_as_zero(library: NativeLibrary) -> None:
    made = create_map(
        Creation(
            map_type=2, key_size=4, value_size=12, max_entries=1, library=library,
            special=((4, 4),), lock_offset=4,
        )
    )  # fmt: skip
    place = made.inline_lookup()
    assert place is not None
    made.update(bytes(4), b"aaaaBBBBcccc", 4)
    stored = ctypes.string_at(place[1][0], 12)
    ctypes.c_uint32.from_address(place[1][0] + 4).value = 0x01010101

    assert stored == b"aaaa\0\0\0\0cccc"
    assert made.lookup(bytes(4)) == b"aaaa\0\0\0\0cccc"


def test_only_a_frozen_read_only_array_has_constants(library: NativeLibrary) -> None:
    made = array_of(library, max_entries=1, map_flags=1 << 7)
    made.update(bytes(4), b"\1\2\3\4\5\6\7\x08\t\n\x0b\x0c")
    assert made.constant(0, 4) is None
    made.frozen = True

    assert made.constant(4, 4) == 0x08070605
    assert made.constant(9, 4) is None
    assert made.value_address(12) is None


def test_an_mmapable_array_shows_its_values_in_a_file(library: NativeLibrary) -> None:
    made = array_of(library, map_flags=1 << 10)
    made.update(ONE, b"abcdefghijkl")

    assert bytes(made.values_block.view[16:28]) == b"abcdefghijkl"
    assert made.values_block.fd >= 0
    assert made.mapped_size == 4096


def test_for_each_stops_when_told(library: NativeLibrary, world: World) -> None:
    made = array_of(library)
    seen: list[int] = []

    @ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 6)
    def callback(_run: int, _map: int, key: int, _value: int, context: int, _none: int) -> int:
        seen.append(ctypes.c_uint32.from_address(key).value + context)
        return int(len(seen) == 2)

    place = ctypes.cast(callback, ctypes.c_void_p).value
    with world.running() as run:
        answer = library.bind(map_for_each_elem)(run.address, made.address, place, 100, 0)
        refused = library.bind(map_for_each_elem)(run.address, made.address, place, 100, 1)

    assert answer == 2
    assert refused == 2**64 - 22
    assert seen == [100, 101]


@pytest.mark.parametrize(
    ("changes", "errno"),
    [
        ({"key_size": 8}, "EINVAL"),
        ({"value_size": 0}, "EINVAL"),
        ({"max_entries": 0}, "EINVAL"),
        ({"map_flags": 1}, "EINVAL"),
        ({"map_flags": 0x180}, "EINVAL"),
        ({"map_extra": 1}, "EINVAL"),
        ({"value_size": 1 << 31}, "E2BIG"),
        ({"value_size": 1 << 30, "max_entries": 1 << 31}, "ENOMEM"),
    ],
)
def test_creations_that_linux_refuses(
    changes: dict[str, int], errno: str, library: NativeLibrary
) -> None:
    with pytest.raises(CommandError) as refusal:
        array_of(library, **changes)

    assert errno == errno_of(refusal)
