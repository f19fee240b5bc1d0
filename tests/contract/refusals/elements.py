"""Drivers: the commands on elements of maps, one or a batch."""

import struct
from collections.abc import Callable
from unittest.mock import patch

from contract.refusals.bench import NO_FD, Bench, Driver, Drivers
from skep.maps import trie
from skep.uapi import commands
from skep.uapi import reasons_elements as reasons
from skep.uapi.commands import Command
from support.caller import EXIT, RETURN_ONE

LOOKUP, UPDATE = commands.MAP_LOOKUP_ELEM, commands.MAP_UPDATE_ELEM
DELETE, NEXT = commands.MAP_DELETE_ELEM, commands.MAP_GET_NEXT_KEY
POP = commands.MAP_LOOKUP_AND_DELETE_ELEM
RDONLY, WRONLY, NO_PREALLOC = 1 << 3, 1 << 4, 1
F_LOCK, NOEXIST, EXIST = 4, 1, 2
ONE = struct.pack("<I", 1)
FAR = struct.pack("<I", 99)
LOCAL = 1  # the loop-back interface


def element(
    command: Command, fd: Callable[[Bench], int], key: bytes = ONE, value: bytes = bytes(64),
    **members: int,
) -> Driver:  # fmt: skip
    """A driver: *command* on the map that *fd* makes."""

    def drive(bench: Bench) -> None:
        made = bench.good(fd(bench))
        places = {"key": bench.keep(key) if key else 0}
        if command is not DELETE:
            places["value"] = bench.keep(value)
        bench.call(command, map_fd=made, **{**places, **members})

    return drive


def stored(*places: tuple[Callable[[Bench], int], bytes, Callable[[Bench], bytes], int]) -> Driver:
    """A driver: updates, each of the map of the first, the last of which is refused."""

    def drive(bench: Bench) -> None:
        fd = bench.good(places[0][0](bench))
        for _, key, value, flags in places:
            bench.store(fd, key, value(bench), flags)

    return drive


def fd_bytes(make: Callable[[Bench], int]) -> Callable[[Bench], bytes]:
    return lambda bench: struct.pack("<I", bench.good(make(bench)))


def array_of_maps(bench: Bench) -> int:
    return bench.call(
        commands.MAP_CREATE, map_type=12, key_size=4, value_size=4, max_entries=4,
        inner_map_fd=bench.array(),
    )  # fmt: skip


def made(kind: int, *sizes: int, **more: int) -> Callable[[Bench], int]:
    return lambda bench: bench.map(kind, *sizes, **more)


def storage(kind: int) -> Callable[[Bench], int]:
    return lambda bench: bench.call(
        commands.MAP_CREATE, map_type=kind, key_size=4, value_size=4, map_flags=NO_PREALLOC,
        btf_fd=bench.btf(), btf_key_type_id=1, btf_value_type_id=1,
    )  # fmt: skip


def frozen(bench: Bench) -> None:
    fd = bench.array()
    bench.good(bench.call(commands.MAP_FREEZE, map_fd=fd))
    bench.store(fd, ONE, bytes(8))


def other_kind(bench: Bench) -> None:
    fd = bench.good(bench.map(3, 4, 4))
    bench.good(bench.store(fd, ONE, struct.pack("<I", bench.socket_filter())))
    xdp = bench.good(bench.program(RETURN_ONE + EXIT, 6))
    bench.store(fd, ONE, struct.pack("<I", xdp))


def closed_slot(bench: Bench) -> None:
    """The map's last descriptor is closed while the value is looked up."""
    fd, inner = bench.good(array_of_maps(bench)), bench.array()
    held = bench.subsystem.state.objects.get("TEST", fd)
    map_ = held.target
    map_.close()
    bench.store(fd, ONE, struct.pack("<I", inner))


def full_trie(bench: Bench) -> None:
    with patch.object(trie, "PHYSICAL_MEMORY", 256):  # a machine with room for four nodes
        fd = bench.good(bench.map(11, 8, 8, 64, NO_PREALLOC))
    for number in range(64):
        if bench.store(fd, struct.pack("<II", 32, number), bytes(8)) < 0:
            return


def batch(command: Command, fd: Callable[[Bench], int], count: int = 4, **members: int) -> Driver:
    def drive(bench: Bench) -> None:
        made_ = bench.good(fd(bench))
        room = {name: bench.keep(b"", 4096) for name in ("keys", "values", "out_batch")}
        bench.call(command, map_fd=made_, count=count, **{**room, **members})

    return drive


def crowded(bench: Bench) -> int:
    """A hash of one bucket's worth of order: every bucket is asked for, none fits in one."""
    fd = bench.hash(entries=64)
    for number in range(64):
        bench.good(bench.store(fd, struct.pack("<I", number), bytes(8)))
    return fd


def past_bucket(bench: Bench) -> None:
    position = bench.keep(struct.pack("<I", 1 << 20))
    batch(commands.MAP_LOOKUP_BATCH, Bench.hash, in_batch=position)(bench)


def crowded_batch(bench: Bench) -> None:
    """With more keys than buckets, one bucket has two; asked for one, one at a time."""
    fd, at = crowded(bench), bench.keep(b"", 8)
    room = {name: bench.keep(b"", 4096) for name in ("keys", "values")}
    start: dict[str, int] = {}
    for _ in range(64):
        result = bench.call(
            commands.MAP_LOOKUP_BATCH, map_fd=fd, count=1, out_batch=at, **room, **start
        )
        if result < 0:
            return
        start = {"in_batch": at}


zeros = lambda count: lambda _: bytes(count)  # noqa: E731 - as short as what it stands for

DRIVERS: Drivers = {
    reasons.NOT_READABLE: element(LOOKUP, lambda bench: bench.array(WRONLY)),
    reasons.NOT_WRITABLE: element(UPDATE, lambda bench: bench.array(RDONLY)),
    reasons.FROZEN: frozen,
    reasons.NO_KEY: element(POP, made(22, 0)),
    reasons.KEY_NULL: element(LOOKUP, Bench.array, key=b""),
    reasons.READ_FLAGS: element(LOOKUP, Bench.array, flags=1),
    reasons.FLAGS: element(UPDATE, Bench.array, flags=8),
    reasons.NO_LOCK: element(LOOKUP, Bench.array, flags=F_LOCK),
    reasons.POP_FLAGS: element(POP, made(22, 0), key=b"", flags=F_LOCK),
    reasons.SLOT_FLAGS: element(UPDATE, made(3, 4, 4), flags=1),
    reasons.ABSENT: element(LOOKUP, Bench.hash),
    reasons.LAST: element(NEXT, lambda bench: bench.array(entries=2)),
    reasons.PRESENT: element(UPDATE, Bench.array, flags=NOEXIST),
    reasons.FULL: stored(
        (lambda bench: bench.hash(entries=1), ONE, zeros(8), 0), (Bench.hash, FAR, zeros(8), 0)
    ),
    reasons.PAST_END: element(UPDATE, Bench.array, key=FAR),
    reasons.PAST_END_DELETE: element(DELETE, made(14, 4, 4), key=FAR),
    reasons.TRIE_FULL: stored(
        (made(11, 8, 8, 1, NO_PREALLOC), struct.pack("<II", 32, 1), zeros(8), 0),
        (Bench.hash, struct.pack("<II", 32, 2), zeros(8), 0),
    ),
    reasons.NO_MEMORY: full_trie,
    reasons.BAD_KEY: element(DELETE, made(11, 8, 8, 4, NO_PREALLOC), key=struct.pack("<II", 33, 0)),
    reasons.NOT_DELETABLE: element(DELETE, Bench.array),
    reasons.NO_OPERATION: element(LOOKUP, made(27, 0, 0, 4096), key=b""),
    reasons.NO_OPERATION_KEYLESS: element(DELETE, made(22, 0), key=b""),
    reasons.NO_OPERATION_OPAQUE: element(DELETE, made(30, 0), key=b""),
    reasons.SLOT_FD: element(UPDATE, made(4, 4, 4), value=struct.pack("<I", NO_FD)),
    reasons.SLOT_CLOSED: closed_slot,
    reasons.SLOT_PROGRAM: other_kind,
    reasons.SLOT_SHAPE: stored((array_of_maps, ONE, fd_bytes(Bench.hash), 0)),
    reasons.SOCKET_RANGE: element(UPDATE, made(15, 4, 4), value=struct.pack("<I", 0xFFFF_FFFF)),
    reasons.SOCKET: element(UPDATE, made(15, 4, 4), value=struct.pack("<I", NO_FD)),
    reasons.COOKIE: element(LOOKUP, made(15, 4, 4)),
    reasons.NO_SOCKET_FD: element(UPDATE, made(15, 4, 4), value=struct.pack("<I", 1)),
    reasons.NO_SOCKET: element(DELETE, made(15, 4, 4)),
    reasons.CGROUP: element(UPDATE, made(8, 4, 4), value=struct.pack("<I", NO_FD)),
    reasons.STACK_PUT: element(UPDATE, made(7, 4, 8)),
    reasons.STORAGE_OWNER: element(LOOKUP, storage(29)),
    reasons.STORAGE_STAYS: element(DELETE, made(19, 8, 8, 0), key=bytes(8)),
    reasons.DEVICE: element(UPDATE, made(14, 4, 4), value=struct.pack("<I", 0x7FFF_0000)),
    reasons.DEVICE_PROGRAM: element(UPDATE, made(14, 4, 8), value=struct.pack("<II", LOCAL, 5)),
    reasons.QUEUE_LONG: element(UPDATE, made(16, 4, 4), value=struct.pack("<I", 16385)),
    reasons.NO_CPU: element(
        UPDATE, made(16, 4, 4, 8192), key=struct.pack("<I", 8191), value=struct.pack("<I", 64)
    ),
    reasons.BATCH_TYPE: batch(commands.MAP_LOOKUP_BATCH, made(22, 0)),
    reasons.BATCH_ELEM_FLAGS: batch(commands.MAP_LOOKUP_BATCH, Bench.hash, elem_flags=1),
    reasons.BATCH_FLAGS: batch(commands.MAP_LOOKUP_BATCH, Bench.hash, flags=1),
    reasons.BATCH_POSITION: past_bucket,
    reasons.BATCH_END: batch(commands.MAP_LOOKUP_BATCH, Bench.hash),
    reasons.BATCH_BUCKET: crowded_batch,
}
