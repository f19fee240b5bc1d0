"""Queues, stacks and bloom filters."""

import pytest

from skep.errors import CommandError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.dispatch import map_peek_elem, map_pop_elem, map_push_elem
from skep.maps.families import create_map
from skep.maps.queue import Queue
from skep.maps.stored import address_of


def keyless(library: NativeLibrary, kind: int, entries: int = 3, size: int = 4) -> Queue:
    made = create_map(
        Creation(map_type=kind, value_size=size, max_entries=entries, library=library)
    )
    assert isinstance(made, Queue)
    return made


@pytest.mark.parametrize(("kind", "expected"), [(22, b"abc"), (23, b"cba")])
def test_a_queue_gives_the_oldest_and_a_stack_the_newest(
    kind: int, expected: bytes, library: NativeLibrary
) -> None:
    made = keyless(library, kind)
    for letter in b"abc":
        made.update(b"", bytes([letter]) * 4)
    peeked = made.lookup()
    popped = b"".join(made.lookup_and_delete()[:1] for _ in range(3))

    assert expected == popped
    assert peeked[:1] == expected[:1]
    with pytest.raises(CommandError) as refusal:
        made.lookup_and_delete()
    assert refusal.value.errno_name == "ENOENT"


@pytest.mark.parametrize("kind", [22, 23])
def test_exist_drops_the_oldest_of_a_full_map(kind: int, library: NativeLibrary) -> None:
    made = keyless(library, kind)
    for letter in b"abc":
        made.update(b"", bytes([letter]) * 4)
    with pytest.raises(CommandError) as refusal:
        made.update(b"", b"dddd")
    made.update(b"", b"dddd", 2)

    assert refusal.value.errno_name == "E2BIG"
    assert {made.lookup_and_delete() for _ in range(3)} == {b"bbbb", b"cccc", b"dddd"}


def test_programs_get_zeros_from_an_empty_queue(library: NativeLibrary) -> None:
    made = keyless(library, 22)
    room = bytearray(b"xxxx")
    target = bytes(room)

    assert library.bind(map_pop_elem)(0, made.address, address_of(target)) == 2**64 - 2
    assert target == bytes(4)


@pytest.mark.parametrize("kind", [22, 23])
def test_there_is_no_walk_and_no_deletion(kind: int, library: NativeLibrary) -> None:
    made = keyless(library, kind)
    for operation in (lambda: made.next_key(None), lambda: made.delete(b"")):
        with pytest.raises(CommandError) as refusal:
            operation()
        assert refusal.value.errno_name == "EINVAL"


def test_a_bloom_filter_forgets_nothing(library: NativeLibrary) -> None:
    made = create_map(Creation(map_type=30, value_size=5, max_entries=100, library=library))
    values = [bytes([number]) * 5 for number in range(100)]
    push, peek = library.bind(map_push_elem), library.bind(map_peek_elem)
    for value in values[:50]:
        made.update(b"", value)
    for value in values[50:]:
        assert push(0, made.address, address_of(value), 0) == 0

    assert all(made.lookup(value) == value for value in values)
    strangers = [number.to_bytes(5, "big") for number in range(1000, 2000)]
    assert sum(peek(0, made.address, address_of(value)) == 0 for value in strangers) < 100


@pytest.mark.parametrize(
    ("operation", "errno"),
    [("lookup", "ENOENT"), ("update", "EINVAL"), ("delete", "EOPNOTSUPP"), ("next", "EOPNOTSUPP")],
)
def test_what_a_bloom_filter_refuses(operation: str, errno: str, library: NativeLibrary) -> None:
    made = create_map(Creation(map_type=30, value_size=4, max_entries=10, library=library))
    operations = {
        "lookup": lambda: made.lookup(b"none"),
        "update": lambda: made.update(b"", b"four", 1),
        "delete": lambda: made.delete(b""),
        "next": lambda: made.next_key(None),
    }
    with pytest.raises(CommandError) as refusal:
        operations[operation]()

    assert errno == refusal.value.errno_name
