"""Maps of maps and of programs."""

import ctypes
from dataclasses import dataclass, field

import pytest

from skep.errors import CommandError
from skep.maps.creation import Creation, Held, NativeLibrary
from skep.maps.dispatch import map_lookup_elem
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.maps.nested import FdArray
from skep.maps.stored import address_of
from skep.runtime.world import World


@dataclass
class Code:
    id: int
    address: int


@dataclass
class Table:
    """Objects by fd, as a subsystem has them."""

    objects: dict[int, Held]
    released: list[int] = field(default_factory=list)

    def resolve(self, fd: int) -> Held:
        return self.objects[fd]

    def release(self, held: Held) -> None:
        self.released.append(held.id)


def inner_map(library: NativeLibrary, number: int, **changes: int) -> Map:
    fields = {"map_type": 1, "key_size": 4, "value_size": 4, "max_entries": 2, **changes}
    made = create_map(Creation(library=library, **fields))
    made.id = number
    return made


def outer(kind: int, library: NativeLibrary, table: Table, template: Map | None) -> Map:
    return create_map(
        Creation(
            map_type=kind, key_size=4, value_size=4, max_entries=2, library=library,
            inner=template, resolve=table.resolve, release=table.release,
        )
    )  # fmt: skip


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


@pytest.mark.parametrize("kind", [12, 13])
def test_programs_see_inner_maps_and_the_host_ids(
    kind: int, library: NativeLibrary, world: World
) -> None:
    first, second = inner_map(library, 71), inner_map(library, 72)
    table = Table({3: first, 4: second})
    made = outer(kind, library, table, first)
    key = number(1)
    made.update(key, number(3))
    made.update(key, number(4))
    found = made.inline_lookup()
    assert found is not None
    with world.running() as run:
        called = library.bind(map_lookup_elem)(run.address, made.address, address_of(key))
        inline = library.bind(found[0])(run.address, address_of(key), *found[1])

    assert made.lookup(key) == number(72)
    assert called == inline == second.address
    assert table.released == [71]


@pytest.mark.parametrize("kind", [12, 13])
def test_an_inner_map_of_another_shape_is_einval(kind: int, library: NativeLibrary) -> None:
    template = inner_map(library, 1)
    table = Table({5: inner_map(library, 2, value_size=8), 6: Code(9, 0x1000)})
    made = outer(kind, library, table, template)
    for fd in (5, 6):
        with pytest.raises(CommandError) as refusal:
            made.update(number(0), number(fd))
        assert refusal.value.errno_name == "EINVAL"

    assert table.released == [2, 9]


def test_inner_arrays_may_differ_in_length_only_with_the_flag(library: NativeLibrary) -> None:
    for flags, fits in ((0, False), (1 << 12, True)):
        template = inner_map(library, 1, map_type=2, map_flags=flags)
        other = inner_map(library, 2, map_type=2, map_flags=flags, max_entries=9)
        made = outer(12, library, Table({3: other}), template)
        if fits:
            made.update(number(0), number(3))
        else:
            with pytest.raises(CommandError):
                made.update(number(0), number(3))


def test_maps_nest_only_once(library: NativeLibrary) -> None:
    made = outer(12, library, Table({}), inner_map(library, 1))
    with pytest.raises(CommandError) as refusal:
        outer(13, library, Table({}), made)

    assert refusal.value.errno_name == "EINVAL"


def test_slots_of_a_program_array_hold_code(library: NativeLibrary) -> None:
    table = Table({3: Code(40, 0x1234), 4: Code(41, 0x5678)})
    made = outer(3, library, table, None)
    assert isinstance(made, FdArray)
    made.update(number(1), number(3))
    made.update(number(1), number(4))
    slots = (ctypes.c_uint64 * 2).from_address(made.slots)

    assert list(slots) == [0, 0x5678]
    assert made.lookup(number(1)) == number(41)
    made.delete(number(1))
    assert list(slots) == [0, 0]
    assert table.released == [40, 41]


@pytest.mark.parametrize(
    ("index", "flags", "errno"), [(2, 0, "E2BIG"), (0, 1, "EINVAL"), (0, 2, "EINVAL")]
)
def test_updates_of_a_program_array_that_linux_refuses(
    index: int, flags: int, errno: str, library: NativeLibrary
) -> None:
    made = outer(3, library, Table({3: Code(1, 1)}), None)
    with pytest.raises(CommandError) as refusal:
        made.update(number(index), number(3), flags)

    assert errno == refusal.value.errno_name


def test_closing_lets_go_of_everything(library: NativeLibrary) -> None:
    template = inner_map(library, 7)
    for kind in (12, 13):
        table = Table({3: template})
        made = outer(kind, library, table, template)
        made.update(number(0), number(3))
        made.update(number(1), number(3))
        made.close()
        assert table.released == [7, 7]


def test_what_is_missing_is_refused_by_name(library: NativeLibrary) -> None:
    with pytest.raises(CommandError, match="no map type 99"):
        create_map(Creation(map_type=99, library=library))
