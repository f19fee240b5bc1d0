"""Sockets, tunnels, routes, cgroups, storage and stacks of a small world."""

import ctypes
import errno
import struct
from collections.abc import Iterator

import pytest

from skep.attach import contexts
from skep.base.memory import Fault
from skep.base.native import store32
from skep.errors import NotSupported
from skep.helpers import cgroups, elsewhere, routing, sockets, stacks, storage, tunnel
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.runtime.block import Invocation
from skep.runtime.surroundings import Device, Surroundings
from skep.runtime.world import Task, World
from skep.syscall.test_run import RUNNERS
from skep.uapi.contexts import SK_BUFF
from skep.uapi.helpers import by_name
from skep.uapi.program_types import PROGRAM_TYPES

PACKET = b"\2" * 6 + b"\4" * 6 + b"\x08\0" + b"E" + bytes(19)
U64 = (1 << 64) - 1


class Elsewhere(Surroundings):
    """Another machine: three levels of cgroups, one device that is up and one that is down."""

    namespace_cookie = 77
    cgroups = (1, 40, 500)

    def device(self, index: int) -> Device | None:
        """Ethernet devices 3, up, and 4, down; 5 is of an unknown kind."""
        kind = 280 if index == 5 else 1
        return Device(index, f"d{index}", 1500, index == 3, kind) if 3 <= index <= 5 else None


@pytest.fixture
def here() -> World:
    return World(cpus=2, task=Task(pid=9, tgid=8), surroundings=Elsewhere())


@pytest.fixture
def packet_run(here: World) -> Iterator[tuple[Invocation, int]]:
    """A run on a packet, and the address of its context."""
    stage = contexts.skb(PACKET, link_layer=True, ifindex=3)
    with here.running() as invocation:
        stage.enter(invocation)
        yield invocation, stage.address


def minus(number: int) -> int:
    return U64 + 1 - number


def storage_map(library: NativeLibrary, size: int = 12) -> Map:
    return create_map(
        Creation(
            map_type=24, key_size=4, value_size=size, map_flags=1, library=library,
            btf_key_type_id=1, btf_value_type_id=2,
        )
    )  # fmt: skip


def test_the_world_says_where_programs_are(
    library: NativeLibrary, packet_run: tuple[Invocation, int], here: World
) -> None:
    run, context = packet_run
    assert library.bind(sockets.get_netns_cookie)(run.address, context) == 77
    assert library.bind(cgroups.get_current_cgroup_id)(run.address) == 500
    assert library.bind(cgroups.skb_cgroup_id)(run.address, context) == 500
    levels = [
        cgroups.get_current_ancestor_cgroup_id(here, run.address, level & U64, 0, 0, 0, 0)
        for level in (-1, 0, 1, 2, 3)
    ]
    assert levels == [0, 1, 40, 500, 0]


def test_this_machine_has_a_loopback_and_cgroups() -> None:
    machine = Surroundings()
    loopback = machine.device(1)
    assert loopback is not None
    assert (loopback.name, loopback.kind) == ("lo", 772)
    assert machine.device(0) is None
    assert machine.device(1 << 40) is None
    assert all(machine.cgroups)
    assert machine.namespace_cookie > 0


def test_every_run_has_a_socket_of_its_own(library: NativeLibrary, here: World) -> None:
    cookie = library.bind(sockets.get_socket_cookie)
    stage = contexts.skb(PACKET, link_layer=True)
    seen = []
    for _ in range(3):
        with here.running() as run:
            stage.enter(run)
            seen.append(cookie(run.address, stage.address))
            assert cookie(run.address, stage.address) == seen[-1]
    assert len(set(seen)) == 3
    with here.running() as run:
        assert cookie(run.address, stage.address) == 0  # no packet, no socket


def test_a_tunnel_key_is_read_back_from_the_other_end(
    library: NativeLibrary, packet_run: tuple[Invocation, int]
) -> None:
    run, context = packet_run
    set_key, get_key = (
        library.bind(function)
        for function in (tunnel.skb_set_tunnel_key, tunnel.skb_get_tunnel_key)
    )
    key = bytearray(44)
    struct.pack_into("<II", key, 0, 42, 0x0A000001)
    struct.pack_into("<BB", key, 20, 7, 64)
    struct.pack_into("<I", key, 28, 0x0A000002)
    given = (ctypes.c_char * 44).from_buffer(key)
    read = ctypes.create_string_buffer(44)
    place = ctypes.addressof(read)
    assert get_key(run.address, context, place, 44, 0) == minus(errno.EINVAL)
    assert set_key(run.address, context, ctypes.addressof(given), 44, 0) == 0
    assert get_key(run.address, context, place, 44, 1) == minus(errno.EPROTO)
    assert get_key(run.address, context, place, 44, 0) == 0
    assert struct.unpack_from("<II", read, 0) == (42, 0x0A000002)
    assert struct.unpack_from("<I", read, 28) == (0x0A000001,)


def test_a_tunnel_key_does_not_outlive_its_run(library: NativeLibrary, here: World) -> None:
    key, read = ctypes.create_string_buffer(44), ctypes.create_string_buffer(44)
    with here.running() as run:
        answer = library.bind(tunnel.skb_set_tunnel_key)(
            run.address, 0, ctypes.addressof(key), 44, 0
        )
        assert answer == 0
    with here.running() as again:
        assert again.address == run.address
        answer = library.bind(tunnel.skb_get_tunnel_key)(
            again.address, 0, ctypes.addressof(read), 44, 0
        )
        assert answer == minus(errno.EINVAL)


def test_copies_of_packets_are_recorded(packet_run: tuple[Invocation, int], here: World) -> None:
    run, context = packet_run

    def clone(index: int, flags: int = 0) -> int:
        return routing.clone_redirect(here, run.address, context, index, flags, 0, 0)

    assert [clone(3), clone(3, 1), clone(9), clone(3, 2)] == [0, 0, -errno.EINVAL, -errno.EINVAL]
    assert [clone(4), clone(4, 1)] == [-errno.ENETDOWN, 1]
    assert list(run.clones) == [(3, 0, PACKET), (3, 1, PACKET)]
    store32(context + SK_BUFF.field("gso_size").offset, 100)
    assert clone(3) == -errno.EBADMSG
    run.begin()
    assert not run.clones


def test_a_device_of_unknown_kind_is_refused_by_name(
    packet_run: tuple[Invocation, int], here: World
) -> None:
    run, context = packet_run
    size = ctypes.c_uint32(0)
    with pytest.raises(NotSupported, match="device kind 280"):
        routing.check_mtu(here, run.address, context, 5, ctypes.addressof(size), 0, 0)


@pytest.mark.parametrize(
    ("length", "step", "flags", "expected"),
    [(0, 0, 0, (0, 1500)), (1500, 0, 0, (0, 1500)), (1501, 0, 0, (1, 1500)),
     (1501, U64, 0, (0, 1500)), (0, 1480, 0, (0, 1500)), (0, 1481, 0, (1, 1500)),
     (7, 0, 1, (-errno.EINVAL, 7))],
)  # fmt: skip
def test_the_mtu_of_a_device_limits_packets(
    length: int, step: int, flags: int, expected: tuple[int, int],
    packet_run: tuple[Invocation, int], here: World,
) -> None:  # fmt: skip
    run, context = packet_run
    size = ctypes.c_uint32(length)
    place = ctypes.addressof(size)
    answer = routing.check_mtu(here, run.address, context, 0, place, step, flags)
    assert (answer, size.value) == expected


def test_a_socket_s_value_lives_as_long_as_the_run(library: NativeLibrary, here: World) -> None:
    table = storage_map(library)
    first = ctypes.create_string_buffer(b"first value\0", 12)
    with here.running() as run:

        def get(value: int, flags: int) -> int:
            return storage.sk_storage_get(here, run.address, table.address, 1, value, flags, 0)

        def delete(sock: int) -> int:
            return storage.sk_storage_delete(here, run.address, table.address, sock, 0, 0, 0)

        assert get(0, 0) == 0
        assert get(0, 2) == 0
        assert delete(1) == -errno.ENOENT
        assert delete(0) == -errno.EINVAL
        place = get(ctypes.addressof(first), 1)
        assert place % 8 == 0
        assert ctypes.string_at(place, 12) == b"first value\0"
        assert get(0, 0) == get(0, 1) == place
        assert delete(1) == 0
        assert ctypes.string_at(place, 12) == b"first value\0"  # readers may still hold it
        assert ctypes.string_at(get(0, 1), 12) == bytes(12)
    with here.running() as run:
        assert get(0, 0) == 0


def test_storage_of_a_cgroup_begins_with_zeros(library: NativeLibrary, here: World) -> None:
    tables = [
        create_map(Creation(map_type=kind, key_size=8, value_size=20, library=library))
        for kind in (19, 21)
    ]
    with here.running() as run:
        places = [
            storage.get_local_storage(here, run.address, table.address, 0, 0, 0, 0)
            for table in (*tables, *tables)
        ]
        assert places[:2] == places[2:]
        assert places[0] != places[1]
        assert ctypes.string_at(places[0], 20) == bytes(20)


def test_storage_of_kernel_objects_is_refused_by_name(here: World) -> None:
    assert storage.owned_storage_get(here, 0, 0, 0, 0, 1, 0) == 0
    assert storage.owned_storage_delete(here, 0, 0, 0, 0, 0, 0) == -errno.EINVAL
    with pytest.raises(NotSupported, match="storage of kernel objects"):
        storage.owned_storage_get(here, 0, 0, 1, 0, 1, 0)


@pytest.mark.parametrize(
    ("size", "flags", "answer"),
    [(16, 0, 0), (16, 1 << 8, 0), (16, 3, minus(errno.EFAULT)), (12, 0, minus(errno.EINVAL)),
     (16, 1 << 11, minus(errno.EINVAL)), (16, 3 << 8, minus(errno.EINVAL)),
     (16, 9 << 8, minus(errno.EINVAL)), (0, 0, 0)],
)  # fmt: skip
def test_stacks_are_empty(
    size: int, flags: int, answer: int, library: NativeLibrary, here: World
) -> None:
    room = ctypes.create_string_buffer(b"\xff" * 24, 24)
    with here.running() as run:
        get = library.bind(stacks.get_stack)
        assert get(run.address, 0, ctypes.addressof(room), size, flags) == answer
    assert room.raw == bytes(size) + b"\xff" * (24 - size)


def test_no_stack_has_an_id(library: NativeLibrary, here: World) -> None:
    with here.running() as run:
        get = library.bind(stacks.get_stackid)
        assert get(run.address, 0, 0, 0x7FF) == minus(errno.EFAULT)
        assert get(run.address, 0, 0, 1 << 11) == minus(errno.EINVAL)


def test_nothing_can_be_read_from_the_task_s_address(library: NativeLibrary, here: World) -> None:
    with here.running() as run:
        address = library.bind(stacks.get_current_task)(run.address)
    assert address >> 47 == 0x1FFFF
    with pytest.raises(Fault, match="not accessible"):
        here.memory.read(address, 8)


@pytest.mark.parametrize("name", elsewhere.NAMES)
def test_only_what_nothing_runs_ends_a_run_by_name(name: str, here: World) -> None:
    row = by_name(name)
    assert row is not None
    callers = {kind.name for kind in PROGRAM_TYPES if row.id in kind.helpers}
    typed = {"tracing", "syscall"}  # those get kernel objects only from hooks
    assert callers & RUNNERS.keys() <= typed
    binding = next(binding for binding in elsewhere.BINDINGS if binding.name == name)
    assert binding.upcall is not None
    with pytest.raises(NotSupported, match=f"bpf_{name}"):
        binding.upcall(here, 0, 0, 0, 0, 0, 0)
