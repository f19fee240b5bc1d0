"""Loops."""

import ctypes

import pytest

from skep.helpers.control import loop
from skep.maps.creation import NativeLibrary
from skep.runtime.world import World


@pytest.mark.parametrize(
    ("count", "flags", "answer", "calls"),
    [
        (3, 0, 3, 3),
        (100, 0, 6, 6),
        (0, 0, 0, 0),
        (1, 1, 2**64 - 22, 0),
        ((8 << 20) + 1, 0, 2**64 - 7, 0),
    ],
)
def test_loop_calls_until_it_is_told_to_stop(
    count: int, flags: int, answer: int, calls: int, library: NativeLibrary, world: World
) -> None:
    seen: list[tuple[int, int]] = []

    @ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 6)
    def callback(_run: int, number: int, context: int, _3: int, _4: int, _5: int) -> int:
        seen.append((number, context))
        return int(number == 5)

    place = ctypes.cast(callback, ctypes.c_void_p).value
    with world.running() as run:
        found = library.bind(loop)(run.address, count, place, 77, flags)

    assert found == answer
    assert seen == [(number, 77) for number in range(calls)]
