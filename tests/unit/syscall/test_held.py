"""Maps of descriptors beside programs that run and maps that close."""

import gc
import struct
import weakref
from errno import EBADF

import pytest

from skep.errors import CommandError
from skep.syscall.maps import as_map
from skep.syscall.objects import Kind
from skep.uapi import commands
from skep.uapi.flags import MapType
from support.caller import Caller

OUTER = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)


def outer_and_inner(caller: Caller, kind: MapType) -> tuple[int, int]:
    inner = caller.map(MapType.ARRAY)
    outer = caller.call(
        commands.MAP_CREATE, map_type=kind, key_size=4, value_size=4, max_entries=1,
        inner_map_fd=inner,
    )  # fmt: skip
    assert caller.store(outer, bytes(4), struct.pack("<I", inner)) == 0
    return outer, inner


@pytest.mark.parametrize("kind", OUTER)
def test_an_inner_map_outlives_its_place_as_long_as_a_run_may_use_it(kind: MapType) -> None:
    # A program looks an inner map up and works on it; meanwhile the host replaces and closes it.
    caller = Caller()
    outer, template = outer_and_inner(caller, kind)
    first = caller.map(MapType.ARRAY)
    assert caller.store(outer, bytes(4), struct.pack("<I", first)) == 0
    objects = caller.subsystem.state.objects
    found = weakref.ref(objects.get("TEST", first, Kind.MAP).target)
    caller.subsystem.close(first)
    with caller.subsystem.state.world.running():
        for _ in range(1100):
            assert caller.store(outer, bytes(4), struct.pack("<I", template)) == 0
        assert found() is not None
    gc.collect()

    assert found() is None


@pytest.mark.parametrize("kind", OUTER)
def test_a_closed_map_takes_nothing_more(kind: MapType) -> None:
    # An update that lost the race against the map's last close left the inner map referred to
    # for ever.
    caller = Caller()
    outer, inner = outer_and_inner(caller, kind)
    objects = caller.subsystem.state.objects
    target = as_map(objects.get("TEST", outer, Kind.MAP))
    caller.subsystem.close(outer)
    with pytest.raises(CommandError) as refused:
        target.update(bytes(4), struct.pack("<I", inner))
    caller.subsystem.close(inner)

    assert refused.value.errno == EBADF
    assert objects.count(Kind.MAP) == 0
