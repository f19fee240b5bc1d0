"""The four batch commands: many elements in one call.

``count`` comes back as the number of elements done, also when the command fails on the way. The
position between two look-ups (in_batch, out_batch) is a bucket number in hashes, 4 bytes, and the
last key in all other maps. A batch never splits a bucket, so no element that stays is missed.

Source: Linux 6.18 kernel/bpf/syscall.c (generic_map_*_batch), kernel/bpf/hashtab.c
(__htab_map_lookup_and_delete_batch).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOENT
from typing import Final

from skep.errors import CommandError
from skep.maps.hash import Hash
from skep.maps.interface import Map
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

        def one(index: int) -> None:
            key = call.read("keys", map_.key_size, index * map_.key_size)
            value = call.read("values", size, index * size)
            map_.update(key, value, attr.elem_flags)

        return _each(call, one)


def delete(state: State, call: Call[MapBatch]) -> int:
    """MAP_DELETE_BATCH: remove elements; stops at the first that is absent."""
    with _target(state, call, Batch.DELETE) as map_:

        def one(index: int) -> None:
            map_.delete(call.read("keys", map_.key_size, index * map_.key_size))

        return _each(call, one)


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
    done = 0
    while (at := map_.used_bucket(at)) < map_.bucket_count:
        keys = map_.bucket_keys(at)
        if len(keys) > attr.count - done:
            _stop(call, at, done)
            call.check(done, elements.BATCH_BUCKET, f"a bucket has {len(keys)} elements")
            return 0
        for key in keys:
            done += _give(call, map_, key, done, remove=remove)
        at += 1
    _stop(call, at, done)
    raise call.refusal(elements.BATCH_END, "no element is left")


def _give(call: Call[MapBatch], map_: Map, key: bytes, index: int, *, remove: bool) -> int:
    """Copy one element out; 0 if it went in the meantime."""
    try:
        take = map_.lookup_and_delete if remove else map_.lookup
        value = take(key, call.attr.elem_flags)
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
    done, last = 0, b""
    for found in _keys_after(map_, key):
        done += _give(call, map_, found, done, remove=False)
        last = found
        if done == attr.count:
            break
    call.put("count", done)
    if done:
        call.write("out_batch", last)
    call.check(done == attr.count, elements.BATCH_END, "no element is left")
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
