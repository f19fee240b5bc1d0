"""What maps together may come to hold, and what making one does not take."""

from errno import ENOMEM

import pytest

from skep.syscall.subsystem import Subsystem
from support.caller import Caller


def test_maps_together_hold_no_more_than_the_subsystem_allows() -> None:
    caller = Caller(Subsystem(map_memory=100_000))
    first = caller.map(2, value=60_000, entries=1)
    assert first > 0
    assert caller.map(2, value=60_000, entries=1) == -ENOMEM
    assert caller.map(33, key=0, value=0, entries=20, flags=1 << 10) == -ENOMEM
    assert caller.map(27, key=0, value=0, entries=65536) == -ENOMEM
    small = caller.map(1, key=4, value=8, entries=100)
    assert small > 0
    caller.subsystem.close(first)

    assert caller.map(2, value=60_000, entries=1) > 0
    assert caller.subsystem.state.map_bytes < 100_000


@pytest.mark.parametrize(("kind", "flags"), [(1, 0), (1, 1), (5, 0), (9, 0), (10, 0), (11, 1)])
def test_hashes_and_tries_count_with_all_their_entries(kind: int, flags: int) -> None:
    caller = Caller(Subsystem(map_memory=100_000))

    assert caller.map(kind, key=8, value=1000, entries=200, flags=flags) == -ENOMEM
    assert caller.subsystem.state.map_bytes == 0
    assert caller.map(kind, key=8, value=8, entries=10, flags=flags) > 0


def test_maps_without_kernel_types_do_without_reading_them() -> None:
    caller = Caller(Subsystem())

    assert caller.map(1, key=4, value=8, entries=1) > 0
    assert caller.subsystem.state._find_kernel_btf is not None  # nobody has asked for them
