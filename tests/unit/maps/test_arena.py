"""Arenas: which pages are free, where they lie, what is in them."""

import ctypes
import os
import random

import pytest

from skep.base.native import call, load64
from skep.engine.library import PlainLibrary
from skep.errors import CommandError
from skep.maps.arena import ALLOC, BASE, Arena
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.page_ranges import PageRanges

PAGE = 4096
MMAPABLE = 1 << 10


def arena(pages: int = 100, start: int = 0, flags: int = MMAPABLE, **sizes: int) -> Arena:
    made = create_map(
        Creation(
            map_type=33, max_entries=pages, map_flags=flags, map_extra=start,
            library=PlainLibrary(), **sizes,
        )  # type: ignore[arg-type]  # sizes are numbers
    )  # fmt: skip
    assert isinstance(made, Arena)
    return made


def test_ranges_are_those_of_a_set_of_pages() -> None:
    rng = random.Random(7)
    ranges, free = PageRanges(64), set(range(64))
    for _ in range(3000):
        start = rng.randrange(64)
        count = rng.randrange(1, 65 - start)
        pages = set(range(start, start + count))
        assert ranges.is_free(start, count) == (pages <= free)
        if rng.random() < 0.5:
            ranges.take(start, count)
            free -= pages
        else:
            ranges.give(start, count)
            free |= pages
        assert ranges.free == len(free)
        wanted = rng.randrange(1, 9)
        found = ranges.find(wanted)
        runs = [set(range(at, at + wanted)) <= free for at in range(65 - wanted)]
        assert (found is not None) == any(runs)
        assert found is None or runs[found]


def test_the_least_range_that_is_large_enough_is_taken() -> None:
    ranges = PageRanges(20)
    ranges.take(4, 1)
    ranges.take(8, 1)

    assert [ranges.find(count) for count in (1, 4, 5, 12)] == [5, 0, 9, None]


@pytest.mark.parametrize(
    ("errno", "pages", "start", "flags"),
    [
        (22, 0, 0, MMAPABLE),
        (22, 1, 0, 0),
        (22, 1, 0, MMAPABLE | 1),
        (22, 1, 5, MMAPABLE),
        (7, (1 << 20) + 1, 0, MMAPABLE),
        (34, 2, 0xFFFF_F000, MMAPABLE),
        (34, 3, 2**64 - PAGE, MMAPABLE),
    ],
)
def test_creation_is_refused_as_linux_does(errno: int, pages: int, start: int, flags: int) -> None:
    with pytest.raises(CommandError) as refusal:
        arena(pages, start, flags)

    assert refusal.value.errno == errno


def test_a_pointer_of_user_space_is_an_address_of_this_process() -> None:
    made = arena()
    place = made.pages.allocate(0, 1)
    ctypes.c_uint64.from_address(place).value = 77

    assert made.view[made.offset_of(place)] == 77
    assert load64(load64(made.address + BASE) + (place & 0xFFFF_FFFF)) == 77


def test_two_arenas_may_want_the_same_place() -> None:
    first, second = arena(start=6 << 44), arena(start=6 << 44)
    places = [each.pages.allocate(0, 2) for each in (first, second)]
    first.view[:3] = b"one"
    second.view[:3] = b"two"

    assert places == [6 << 44] * 2
    assert first.memory.address == 6 << 44 != second.memory.address
    assert bytes(first.view[:3]) + bytes(second.view[:3]) == b"onetwo"


def test_pages_are_zeros_again_after_they_were_freed() -> None:
    made = arena()
    place = made.pages.allocate(0, 3)
    made.view[:5000] = b"\xff" * 5000
    held = made.memory_bytes
    made.pages.free(place, 3)

    assert held >= 2 * PAGE > made.memory_bytes
    assert made.pages.allocate(0, 3) == place
    assert not any(made.view[:5000])


def test_what_the_host_touched_is_allocated() -> None:
    made = arena(pages=4)
    made.view[PAGE] = 1
    first = made.memory.start

    assert made.pages.allocate(first + PAGE, 1) == 0
    assert made.pages.allocate(0, 3) == 0
    assert {made.pages.allocate(0, 1) for _ in range(4)} == {
        0, first, first + 2 * PAGE, first + 3 * PAGE,
    }  # fmt: skip
    made.pages.free(first + PAGE, 1)
    assert made.pages.allocate(0, 1) == first + PAGE
    assert made.view[PAGE] == 0


def test_what_is_reserved_is_not_allocated() -> None:
    made = arena(pages=4)
    first = made.memory.start

    assert made.pages.reserve(first + PAGE, 2) == 0
    assert made.pages.reserve(first, 2) == 2**64 - 16
    assert made.pages.reserve(first + 3 * PAGE, 2) == 2**64 - 22
    assert made.pages.allocate(0, 2) == 0
    assert [made.pages.allocate(0, 1) for _ in range(3)] == [first + 3 * PAGE, first, 0]


def test_programs_find_the_functions_in_the_descriptor() -> None:
    made = arena()

    assert call(load64(made.address + ALLOC), 0, 2, 0xFFFF_FFFF) == made.memory.start


def test_a_view_outlives_its_arena() -> None:
    view = arena().view
    view[5] = 9

    assert view[5] == 9


def test_a_pointer_that_is_none_has_no_offset() -> None:
    made = arena(pages=2)
    with pytest.raises(IndexError, match="not in the arena"):
        made.offset_of(made.memory.start + 2 * PAGE)


def test_nobody_changes_the_size_of_the_file() -> None:
    made = arena(4)

    for size in (0, 3 * PAGE, 5 * PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(made.memory.fd, size)
    made.view[-1] = 1
    made.pages.free(made.memory.start, 4)
    assert made.view[-1] == 0
