"""Where XDP programs send packets."""

import pytest

from skep.errors import CommandError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.maps.targets import redirect_map
from skep.runtime.world import World

LOOPBACK = (1).to_bytes(4, "little")
ABSENT = (0x7FFF_FFF0).to_bytes(4, "little")


def table(library: NativeLibrary, kind: int, value_size: int = 4) -> Map:
    return create_map(
        Creation(
            map_type=kind, key_size=4, value_size=value_size, max_entries=2, cpus=2,
            library=library,
        )
    )  # fmt: skip


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


@pytest.mark.parametrize("kind", [14, 25])
def test_packets_go_to_devices_that_are_there(
    kind: int, library: NativeLibrary, world: World
) -> None:
    made = table(library, kind)
    made.update(key(1), LOOPBACK)
    send = library.bind(redirect_map)
    with world.running() as run:
        assert send(run.address, made.address, 1, 2) == 4
        assert run.redirect == (made.address, 1, 0)
        assert send(run.address, made.address, 0, 2) == 2
        assert run.redirect[0] == 0
        assert send(run.address, made.address, 1, 32) == 0
        assert send(run.address, made.address, 0, 8 | 16) == 4
        assert run.redirect == (made.address, 0, 24)

    assert made.lookup(key(1)) == LOOPBACK


@pytest.mark.parametrize(
    ("kind", "index", "value", "flags", "errno"),
    [
        (14, 0, ABSENT, 0, "EINVAL"),
        (14, 2, LOOPBACK, 0, "E2BIG"),
        (14, 0, LOOPBACK, 1, "EEXIST"),
        (14, 0, LOOPBACK, 3, "EINVAL"),
        (25, 0, bytes(4), 0, "EINVAL"),
        (16, 0, key(16385), 0, "EOVERFLOW"),
        (17, 0, LOOPBACK, 0, "EBADF"),
    ],
)
def test_updates_that_linux_refuses(
    kind: int, index: int, value: bytes, flags: int, errno: str, library: NativeLibrary
) -> None:
    with pytest.raises(CommandError) as refusal:
        table(library, kind).update(key(index), value, flags)

    assert errno == refusal.value.errno_name


def test_a_zero_empties_a_place(library: NativeLibrary) -> None:
    made = table(library, 14)
    made.update(key(0), LOOPBACK)
    made.update(key(0), bytes(4))
    made.delete(key(0))
    with pytest.raises(CommandError) as refusal:
        made.lookup(key(0))

    assert refusal.value.errno_name == "ENOENT"


def test_programs_in_elements_are_refused_by_name(library: NativeLibrary) -> None:
    with pytest.raises(CommandError, match="EOPNOTSUPP"):
        table(library, 14, 8).update(key(0), LOOPBACK + key(5))
