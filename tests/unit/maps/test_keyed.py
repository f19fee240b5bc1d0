"""The host's ways to elements: one at a time, many at a time, refused ones."""

import ctypes

import pytest

from skep.errors import CommandError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.keyed import KeyedMap, address_in

KINDS = {1: 0, 2: 0, 5: 0, 6: 0, 9: 0, 10: 0, 11: 1}


def made(library: NativeLibrary, kind: int, entries: int = 8, **more: object) -> KeyedMap:
    wanted = {"map_flags": KINDS[kind], "key_size": 4, "value_size": 8, "cpus": 2, **more}
    if kind == 11:
        wanted["key_size"] = 8
    table = create_map(Creation(map_type=kind, max_entries=entries, library=library, **wanted))  # type: ignore[arg-type]
    assert isinstance(table, KeyedMap)
    return table


def key_of(table: KeyedMap, number: int) -> bytes:
    if table.map_type == 11:
        return (32).to_bytes(4, "little") + number.to_bytes(4, "big")
    return number.to_bytes(4, "little")


def value_of(table: KeyedMap, number: int) -> bytes:
    return bytes([number]) * table.host_value_size


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_one_by_one_is_read_together(kind: int, library: NativeLibrary) -> None:
    table = made(library, kind)
    expected = {key_of(table, n): value_of(table, n) for n in range(8)}
    for key, value in expected.items():
        table.update(key, value)

    assert dict(table.elements()) == expected
    assert sorted(table.keys()) == sorted(expected)
    assert {key: table.find(key) for key in expected} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_together_is_read_one_by_one(kind: int, library: NativeLibrary) -> None:
    table = made(library, kind)
    expected = {key_of(table, n): value_of(table, n) for n in range(8)}
    keys, values = bytearray(b"".join(expected)), bytearray(b"".join(expected.values()))

    assert table.store_many(address_in(keys), address_in(values), 8) == (8, 0)
    assert {key: table.lookup(key) for key in expected} == expected


@pytest.mark.parametrize("kind", set(KINDS) - {2, 6})
def test_deletions_together_count_or_stop(kind: int, library: NativeLibrary) -> None:
    table = made(library, kind)
    for number in (1, 2, 3):
        table.update(key_of(table, number), value_of(table, number))
    keys = bytearray(b"".join(key_of(table, number) for number in (1, 7, 2, 3)))

    assert table.drop_many(address_in(keys), 4, strict=True) == (1, 2**64 - 2)
    assert table.drop_many(address_in(keys), 4) == (2, 0)
    assert list(table.keys()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_absent_keys_and_keys_of_the_wrong_size_are_told_apart(
    kind: int, library: NativeLibrary
) -> None:
    table = made(library, kind)
    absent = key_of(table, 77)

    assert table.find(absent) is None
    with pytest.raises(CommandError, match="ENOENT"):
        table.lookup(absent)
    for wrong in (b"", absent + b"x", absent[:-1]):
        for ask in (table.find, table.lookup, table.delete):
            with pytest.raises(CommandError, match="EINVAL"):
                ask(wrong)
        with pytest.raises(CommandError, match="EINVAL"):
            table.update(wrong, value_of(table, 1))
    with pytest.raises(CommandError, match="EINVAL"):
        table.update(absent, b"short")


def test_what_is_not_bytes_is_no_key(library: NativeLibrary) -> None:
    table = made(library, 1)

    for wrong in (None, 5, "abcd", bytearray(4)):
        assert table.calls.fetch(wrong) is None  # type: ignore[arg-type]
        assert table.calls.store(wrong, bytes(8), 0) != 0  # type: ignore[arg-type]
        assert table.calls.drop(wrong) != 0  # type: ignore[arg-type]


def test_calls_with_too_few_arguments_are_type_errors(library: NativeLibrary) -> None:
    table = made(library, 1)

    with pytest.raises(TypeError):
        table.calls.store(b"1234")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        table.calls.store(b"1234", bytes(8), "flags")  # type: ignore[arg-type]


def test_special_fields_are_left_alone_by_all_ways(library: NativeLibrary) -> None:
    table = made(library, 2, value_size=24, special=((8, 8),), entries=2)
    assert hasattr(table, "values")
    ctypes.memmove(table.values + 8, b"a timer!", 8)
    both = bytearray(bytes(4) + b"\1\0\0\0")
    data = bytearray(b"x" * 48)
    table.update(bytes(4), b"x" * 24)
    assert table.store_many(address_in(both), address_in(data), 2) == (2, 0)

    seen = b"x" * 8 + bytes(8) + b"x" * 8
    assert table.lookup(bytes(4)) == table.find(bytes(4)) == seen
    assert dict(table.elements()) == {bytes(4): seen, b"\1\0\0\0": seen}
    assert ctypes.string_at(table.values + 8, 8) == b"a timer!"


def test_a_lock_in_the_value_is_free_after_a_locked_update(library: NativeLibrary) -> None:
    table = made(library, 1, value_size=16, special=((0, 4),), lock_offset=0)
    table.update(b"1234", bytes(16))
    table.update(b"1234", bytes(8) + b"abcdefgh", 4)

    assert table.lookup(b"1234", 4) == bytes(8) + b"abcdefgh"


@pytest.mark.parametrize("entries", [1, 5, 300])
def test_portions_grow_until_a_bucket_fits(entries: int, library: NativeLibrary) -> None:
    table = made(library, 1, entries, map_flags=1 << 6)
    for number in range(entries):
        table.update(key_of(table, number), value_of(table, number % 256))
    found: list[bytes] = []
    portion = table.read_buckets(0, 1)  # type: ignore[attr-defined]
    while portion.index < table.bucket_count:  # type: ignore[attr-defined]
        room = 1
        while not portion.count and portion.index < table.bucket_count:  # type: ignore[attr-defined]
            room *= 2
            portion = table.read_buckets(portion.index, room)  # type: ignore[attr-defined]
        found += [bytes(portion.keys[4 * n : 4 * n + 4]) for n in range(portion.count)]
        portion = table.read_buckets(portion.index, 1)  # type: ignore[attr-defined]
    found += [bytes(portion.keys[4 * n : 4 * n + 4]) for n in range(portion.count)]

    assert sorted(found) == sorted(table.keys())


def test_reading_buckets_may_empty_them(library: NativeLibrary) -> None:
    table = made(library, 1, 100)
    for number in range(100):
        table.update(key_of(table, number), value_of(table, number))
    portion = table.read_buckets(0, 100, remove=True)  # type: ignore[attr-defined]

    assert portion.count == 100
    assert len(table) == 0  # type: ignore[arg-type]
    assert list(table.keys()) == []
    table.update(key_of(table, 1), value_of(table, 1))
    assert len(table) == 1  # type: ignore[arg-type]


def test_a_trie_is_read_on_behind_a_key_that_went(library: NativeLibrary) -> None:
    table = made(library, 11, 20_000)
    keys = bytearray(b"".join(key_of(table, number) for number in range(9000)))
    values = bytearray(9000 * 8)
    table.store_many(address_in(keys), address_in(values), 9000)
    seen: list[bytes] = []
    for count, portion, _ in table.portions(values=False):
        each = [bytes(portion[8 * n : 8 * n + 8]) for n in range(count)]
        seen += each
        table.delete(each[-1])

    assert sorted(seen) == sorted(key_of(table, number) for number in range(9000))
