"""The four batch commands: many elements in one call.

``count`` comes back as the number of elements done, also when the command fails on the way. The
position between two look-ups (in_batch, out_batch) is a bucket number in hashes, 4 bytes, and the
last key in all other maps. A batch never splits a bucket, so no element that stays is missed.
Where elements are bytes that stand for themselves, native loops move them, a portion at a time.

Source: Linux 6.18 kernel/bpf/syscall.c (generic_map_*_batch), kernel/bpf/hashtab.c
(__htab_map_lookup_and_delete_batch).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOENT
from typing import Final

from skep.errors import CommandError
from skep.maps.array import IndexedValues
from skep.maps.hash import Hash, Portion
from skep.maps.interface import Map
from skep.maps.keyed import KeyedMap
from skep.maps.stored import address_of
from skep.syscall.call import Call
from skep.syscall.maps import as_map
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.uapi import map_types
from skep.uapi import reasons_elements as elements
from skep.uapi.commands import MapBatch
from skep.uapi.flags import MapFlag, UpdateFlag
from skep.uapi.map_types import Batch
from skep.uapi.reason import Refusal

POSITION_SIZE: Final = 4  # of a bucket number
PORTION: Final = 1 << 20  # bytes of keys and values that are moved together, at least an element
# what the members of the commands on one element are called here
MEMBERS: Final = {"key": "keys", "value": "values", "flags": "elem_flags"}


def lookup(state: State, call: Call[MapBatch]) -> int:
    """MAP_LOOKUP_BATCH: copy elements out, from in_batch on."""
    with _target(state, call, Batch.LOOKUP) as map_:
        return _read(call, map_, remove=False)


def lookup_and_delete(state: State, call: Call[MapBatch]) -> int:
    """MAP_LOOKUP_AND_DELETE_BATCH: copy elements out and remove them."""
    with _target(state, call, Batch.LOOKUP_AND_DELETE) as map_:
        return _read(call, map_, remove=True)


def update(state: State, call: Call[MapBatch]) -> int:
    """MAP_UPDATE_BATCH: create or replace elements."""
    with _target(state, call, Batch.UPDATE) as map_:
        attr, size = call.attr, map_.host_value_size
        if isinstance(map_, KeyedMap) and map_.in_bulk:
            return _in_portions(call, map_, _store)

        def one(index: int) -> None:
            key = call.read("keys", map_.key_size, index * map_.key_size)
            value = call.read("values", size, index * size)
            map_.update(key, value, attr.elem_flags)

        return _each(call, one)


def delete(state: State, call: Call[MapBatch]) -> int:
    """MAP_DELETE_BATCH: remove elements; stops at the first that is absent."""
    with _target(state, call, Batch.DELETE) as map_:
        if isinstance(map_, KeyedMap) and map_.in_bulk:
            return _in_portions(call, map_, _drop)

        def one(index: int) -> None:
            map_.delete(call.read("keys", map_.key_size, index * map_.key_size))

        return _each(call, one)


def _store(call: Call[MapBatch], map_: KeyedMap, first: int, count: int) -> tuple[int, int]:
    """Store *count* elements from number *first* on; how many were, and what stopped it."""
    key_size, value_size = map_.key_size, map_.host_value_size
    keys = call.read("keys", count * key_size, first * key_size)
    values = call.read("values", count * value_size, first * value_size)
    flags = call.attr.elem_flags
    return map_.store_many(address_of(keys), address_of(values), count, flags)


def _drop(call: Call[MapBatch], map_: KeyedMap, first: int, count: int) -> tuple[int, int]:
    """Remove *count* elements from number *first* on; how many were, and what stopped it."""
    keys = call.read("keys", count * map_.key_size, first * map_.key_size)
    return map_.drop_many(address_of(keys), count, strict=True)


def _portion(map_: Map) -> int:
    """How many elements are moved together."""
    return max(PORTION // (map_.key_size + map_.host_value_size), 1)


def _in_portions(
    call: Call[MapBatch],
    map_: KeyedMap,
    move: Callable[[Call[MapBatch], KeyedMap, int, int], tuple[int, int]],
) -> int:
    """As ``_each``, many elements at a time; one at a time where memory ends within a portion."""
    if not call.attr.count:
        return 0
    call.put("count", 0)
    done, portion = 0, _portion(map_)
    try:
        while done < call.attr.count:
            count = min(portion, call.attr.count - done)
            try:
                moved, answer = move(call, map_, done, count)
            except Refusal:
                if count == 1:
                    raise
                portion = 1
                continue
            done += moved
            map_.require_success(call.command.name, answer, call.attr.elem_flags)
    finally:
        call.put("count", done)
    return 0


@contextmanager
def _target(state: State, call: Call[MapBatch], what: Batch) -> Iterator[Map]:
    """The map of a batch command, alive for its length, if the command is allowed on it."""
    fd = call.attr.map_fd
    with state.objects.using(call.command.name, fd, Kind.MAP, "map_fd") as holding:
        map_ = as_map(holding)
        access = state.objects.access(fd)
        if what in (Batch.LOOKUP, Batch.LOOKUP_AND_DELETE):
            call.check(not access & MapFlag.WRONLY, elements.NOT_READABLE)
        if what is not Batch.LOOKUP:
            call.check(not access & MapFlag.RDONLY, elements.NOT_WRITABLE)
            call.check(not map_.frozen, elements.FROZEN)
        row = map_types.by_id(map_.map_type)
        call.check(row is not None and what in row.batch, elements.BATCH_TYPE)
        flags = call.attr.elem_flags
        call.check(not flags & ~int(UpdateFlag.LOCK), elements.BATCH_ELEM_FLAGS)
        call.check(not flags or getattr(map_, "lock_offset", -1) >= 0, elements.NO_LOCK, "",
                   "elem_flags")  # fmt: skip
        try:
            yield map_
        except Refusal as refusal:  # of one element: its members have other names here
            if refusal.offset < 0:
                call.place(refusal, MEMBERS.get(refusal.field, ""))
            raise


def _each(call: Call[MapBatch], one: Callable[[int], None]) -> int:
    """Do *one* for each index below count; tell how many went well."""
    if not call.attr.count:
        return 0
    call.put("count", 0)
    done = 0
    try:
        for done in range(call.attr.count):
            one(done)
        done = call.attr.count
    finally:
        call.put("count", done)
    return 0


def _read(call: Call[MapBatch], map_: Map, *, remove: bool) -> int:
    if isinstance(map_, Hash):
        call.check(not call.attr.flags, elements.BATCH_FLAGS)
        return _read_buckets(call, map_, remove=remove) if call.attr.count else 0
    return _read_keys(call, map_) if call.attr.count else 0


def _read_buckets(call: Call[MapBatch], map_: Hash, *, remove: bool) -> int:
    attr, at = call.attr, 0
    call.put("count", 0)
    if attr.in_batch:
        at = int.from_bytes(call.read("in_batch", POSITION_SIZE), "little")
    call.check(at < map_.bucket_count, elements.BATCH_POSITION)
    done, flags = 0, attr.elem_flags
    while at < map_.bucket_count:
        room = min(attr.count - done, _portion(map_))
        portion = map_.read_buckets(at, room, flags, remove=remove)
        while not portion.count and portion.index < map_.bucket_count and room < attr.count - done:
            room = min(2 * room, attr.count - done)
            portion = map_.read_buckets(portion.index, room, flags, remove=remove)
        if portion.count:
            _write_elements(call, map_, done, portion)
        done, at = done + portion.count, portion.index
        if not portion.count and at < map_.bucket_count:
            _stop(call, at, done)
            call.check(done, elements.BATCH_BUCKET, f"a bucket has more than {attr.count} elements")
            return 0
    _stop(call, at, done)
    raise call.refusal(elements.BATCH_END, "no element is left")


def _write_elements(call: Call[MapBatch], map_: Map, first: int, portion: Portion) -> None:
    """Copy what was read to the caller's memory, from element number *first* on."""
    key_size, value_size = map_.key_size, map_.host_value_size
    call.write("keys", bytes(portion.keys[: portion.count * key_size]), first * key_size)
    call.write("values", bytes(portion.values[: portion.count * value_size]), first * value_size)


def _give(call: Call[MapBatch], map_: Map, key: bytes, index: int) -> int:
    """Copy one element out; 0 if it went in the meantime."""
    try:
        value = map_.lookup(key, call.attr.elem_flags)
    except CommandError as error:
        if error.errno == ENOENT:
            return 0
        raise
    call.write("keys", key, index * map_.key_size)
    call.write("values", value, index * map_.host_value_size)
    return 1


def _stop(call: Call[MapBatch], position: int, done: int) -> None:
    """Tell where to go on, and how many elements there were."""
    call.write("out_batch", position.to_bytes(POSITION_SIZE, "little"))
    call.put("count", done)


def _read_keys(call: Call[MapBatch], map_: Map) -> int:
    attr = call.attr
    call.put("count", 0)
    key = call.read("in_batch", map_.key_size) if attr.in_batch else None
    if isinstance(map_, IndexedValues) and not attr.elem_flags:
        return _read_indices(call, map_, key)
    done, last = 0, b""
    for found in _keys_after(map_, key):
        done += _give(call, map_, found, done)
        last = found
        if done == attr.count:
            break
    call.put("count", done)
    if done:
        call.write("out_batch", last)
    call.check(done == attr.count, elements.BATCH_END, "no element is left")
    return 0


def _read_indices(call: Call[MapBatch], map_: IndexedValues, key: bytes | None) -> int:
    index = map_.max_entries if key is None else int.from_bytes(key, "little")
    first = index + 1 if index < map_.max_entries else 0
    most = min(call.attr.count, map_.max_entries - first)
    done = 0
    while done < most:
        count = min(most - done, _portion(map_))
        keys, values = map_.read_indices(first + done, count)
        _write_elements(call, map_, done, Portion(first, count, keys, values))
        done += count
    call.put("count", done)
    if done:
        call.write("out_batch", (first + done - 1).to_bytes(POSITION_SIZE, "little"))
    call.check(done == call.attr.count, elements.BATCH_END, "no element is left")
    return 0


def _keys_after(map_: Map, key: bytes | None) -> Iterator[bytes]:
    while True:
        try:
            key = map_.next_key(key)
        except CommandError as error:
            if error.errno == ENOENT:
                return
            raise
        yield key
