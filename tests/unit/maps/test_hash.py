"""Hash maps of all four types."""

import ctypes

import pytest

from skep.base.memory import PAGE_SIZE
from skep.errors import CommandError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.dispatch import (
    map_delete_elem,
    map_for_each_elem,
    map_lookup_elem,
    map_lookup_percpu_elem,
    map_update_elem,
)
from skep.maps.families import create_map
from skep.maps.hash import Hash
from skep.maps.stored import address_of
from skep.runtime.world import World

pytestmark = pytest.mark.acceptance("M51")


def hash_of(library: NativeLibrary, **changes: int) -> Hash:
    fields = {"map_type": 1, "key_size": 8, "value_size": 8, "max_entries": 4, **changes}
    made = create_map(Creation(library=library, cpus=2, **fields))
    assert isinstance(made, Hash)
    return made


def word(number: int) -> bytes:
    return number.to_bytes(8, "little")


@pytest.mark.parametrize("key_size", [1, 2, 3, 4, 5, 7, 8, 11, 12, 16, 31, 64])
def test_keys_of_any_size_are_told_apart(key_size: int, library: NativeLibrary) -> None:
    made = hash_of(library, key_size=key_size, max_entries=100)
    keys = [bytes([n]).rjust(key_size, b"\0") for n in range(1, 50)]
    keys += [key[::-1] for key in keys if key[::-1] != key]
    for number, key in enumerate(keys):
        made.update(key, word(number), 1)

    assert [made.lookup(key) for key in keys] == [word(number) for number in range(len(keys))]
    assert sorted(made.keys()) == sorted(keys)


@pytest.mark.parametrize("flags", [0, 1], ids=["preallocated", "not preallocated"])
def test_a_full_map_replaces_but_does_not_grow(flags: int, library: NativeLibrary) -> None:
    made = hash_of(library, map_flags=flags)
    for number in range(4):
        made.update(word(number), word(number))
    made.update(word(2), word(99))
    with pytest.raises(CommandError) as refusal:
        made.update(word(4), word(4))

    assert refusal.value.errno_name == "E2BIG"
    assert made.lookup(word(2)) == word(99)
    assert len(made) == 4


def test_flags_say_whether_the_element_must_exist(library: NativeLibrary) -> None:
    made = hash_of(library)
    made.update(word(1), word(1), 1)
    answers = []
    for key, flags in ((1, 1), (2, 2), (1, 3), (1, 4), (1, 1 << 40)):
        with pytest.raises(CommandError) as refusal:
            made.update(word(key), word(0), flags)
        answers.append(refusal.value.errno_name)

    assert answers == ["EEXIST", "ENOENT", "EINVAL", "EINVAL", "EINVAL"]


def test_the_old_value_stays_readable_when_it_is_replaced(
    library: NativeLibrary, world: World
) -> None:
    made = hash_of(library)
    key, first, second = word(1), b"first!!!", b"second!!"
    made.update(key, first)
    with world.running() as run:
        old = library.bind(map_lookup_elem)(run.address, made.address, address_of(key))
        library.bind(map_update_elem)(
            run.address, made.address, address_of(key), address_of(second), 0
        )
        new = library.bind(map_lookup_elem)(run.address, made.address, address_of(key))

    assert ctypes.string_at(old, 8) == first
    assert ctypes.string_at(new, 8) == second


@pytest.mark.parametrize("kind", [1, 5, 9, 10])
def test_inline_and_called_look_ups_agree(kind: int, library: NativeLibrary, world: World) -> None:
    for key_size in (4, 8, 6):
        made = hash_of(library, map_type=kind, key_size=key_size, max_entries=10)
        for number in range(5):
            made.update(word(number)[:key_size], bytes(made.host_value_size))
        found = made.inline_lookup()
        assert found is not None
        function, constants = found
        with world.running(cpu=1) as run:
            for number in range(10):
                key = word(number)[:key_size]
                called = library.bind(map_lookup_elem)(run.address, made.address, address_of(key))
                inline = library.bind(function)(run.address, address_of(key), *constants)
                assert called == inline
                assert (called == 0) == (number >= 5)


def test_a_new_element_is_zero_on_the_other_cpus(library: NativeLibrary, world: World) -> None:
    made = hash_of(library, map_type=5)
    key = word(7)
    made.update(key, word(1) + word(2))
    made.delete(key)
    with world.running(cpu=1) as run:
        value = word(5)
        library.bind(map_update_elem)(
            run.address, made.address, address_of(key), address_of(value), 0
        )
        other = library.bind(map_lookup_percpu_elem)(run.address, made.address, address_of(key), 0)
        nobody = library.bind(map_lookup_percpu_elem)(run.address, made.address, address_of(key), 2)

    assert made.lookup(key) == word(0) + word(5)
    assert ctypes.string_at(other, 8) == word(0)
    assert nobody == 0


def test_take_gives_and_removes(library: NativeLibrary) -> None:
    made = hash_of(library)
    made.update(word(1), word(11))

    assert made.lookup_and_delete(word(1)) == word(11)
    with pytest.raises(CommandError) as refusal:
        made.lookup_and_delete(word(1))
    assert refusal.value.errno_name == "ENOENT"
    assert len(made) == 0


def test_the_callback_may_delete_the_element_at_hand(library: NativeLibrary, world: World) -> None:
    made = hash_of(library, max_entries=50)
    for number in range(50):
        made.update(word(number), word(number))
    delete = library.bind(map_delete_elem)

    @ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 6)
    def callback(run: int, this: int, key: int, _value: int, _context: int, _none: int) -> int:
        return int(delete(run, this, key))

    place = ctypes.cast(callback, ctypes.c_void_p).value
    with world.running() as run:
        seen = library.bind(map_for_each_elem)(run.address, made.address, place, 0, 0)

    assert seen == 50
    assert len(made) == 0


@pytest.mark.parametrize("kind", [9, 10])
def test_an_lru_map_never_refuses_and_never_grows(kind: int, library: NativeLibrary) -> None:
    made = hash_of(library, map_type=kind, max_entries=8)
    for number in range(200):
        made.update(word(number), bytes(made.host_value_size))

        assert len(made) == min(number + 1, 8)
    assert sorted(made.keys()) == sorted(word(number) for number in range(192, 200))


def test_an_lru_map_keeps_what_programs_look_up(library: NativeLibrary, world: World) -> None:
    made = hash_of(library, map_type=9, max_entries=16)
    favourite = word(0)
    made.update(favourite, word(0))
    with world.running() as run:
        for number in range(1, 200):
            assert library.bind(map_lookup_elem)(run.address, made.address, address_of(favourite))
            made.update(word(number), word(number))

    assert made.lookup(favourite) == word(0)


def test_replacing_in_a_full_lru_map_evicts_nobody(library: NativeLibrary) -> None:
    made = hash_of(library, map_type=9)
    for number in range(4):
        made.update(word(number), word(number))
    for _ in range(100):
        made.update(word(2), word(5))

    assert sorted(made.keys()) == [word(number) for number in range(4)]


def test_the_seed_moves_keys_unless_zero_is_asked_for(library: NativeLibrary) -> None:
    def order(flags: int) -> list[bytes]:
        made = hash_of(library, max_entries=200, map_flags=flags)
        for number in range(200):
            made.update(word(number), word(0))
        return list(made.keys())

    assert order(1 << 6) == order(1 << 6)
    assert order(0) != order(0)


@pytest.mark.parametrize(
    ("changes", "errno"),
    [
        ({"key_size": 0}, 22),
        ({"map_flags": 2}, 22),
        ({"map_type": 9, "map_flags": 1}, 524),
        ({"map_type": 5, "map_flags": 4}, 22),
        ({"value_size": 4 << 20}, 7),
        ({"map_type": 5, "value_size": 32769}, 7),
        ({"max_entries": (1 << 31) + 1}, 7),
        ({"max_entries": 1 << 27, "value_size": 4096}, 12),
    ],
)
def test_creations_that_linux_refuses(
    changes: dict[str, int], errno: int, library: NativeLibrary
) -> None:
    with pytest.raises(CommandError) as refusal:
        hash_of(library, **changes)

    assert refusal.value.errno == errno


def resident(address: int, size: int) -> int:
    """Bytes in memory of the *size* at *address*, which begins a page."""
    pages = (ctypes.c_ubyte * -(-size // PAGE_SIZE))()
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages)
    assert answer == 0, ctypes.get_errno()
    return sum(page & 1 for page in pages) * PAGE_SIZE


def test_memory_is_touched_only_when_used(library: NativeLibrary) -> None:
    made = hash_of(library, max_entries=1 << 20, value_size=64)

    assert made.memory_bytes > 64 << 20
    assert resident(made.address, made.memory_bytes) < 1 << 20
