"""A program array is for one kind of programs: the first that uses it or stands in it decides."""

import struct
from errno import EINVAL

import pytest

from skep.errors import CommandError
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.loader.door import Door, Program, ProgramRefused
from skep.syscall.subsystem import Subsystem
from skep.uapi.commands import MapCreate

XDP, SCHED_CLS = 6, 3
RETURN = encode(assemble("r0 = 0x0\nexit"))


@pytest.fixture(name="door")
def _door() -> Door:
    return Door(Subsystem())


def program(door: Door, kind: int, code: bytes = RETURN, attach_type: int = 0) -> int:
    ready = Program(name="p", program_type=kind, insns=code, license="GPL",
                    expected_attach_type=attach_type)  # fmt: skip
    return door.load_program(ready)[0]


def caller(array: int) -> bytes:
    wide = struct.pack("<BBhiBBhi", 0x18, 2 | 1 << 4, 0, array, 0, 0, 0, 0)
    return wide + encode(assemble("r3 = 0x0\ncall 0xc\nr0 = 0x0\nexit"))


def array_of(door: Door) -> int:
    return door.create_map(MapCreate(map_type=3, key_size=4, value_size=4, max_entries=2))


def put(door: Door, array: int, fd: int) -> None:
    door.update(array, bytes(4), struct.pack("<I", fd), "slot")


def test_programs_of_one_kind_share_an_array(door: Door) -> None:
    array = array_of(door)
    program(door, XDP, caller(array))

    put(door, array, program(door, XDP))


def test_a_program_of_another_type_is_not_put_into_an_array_in_use(door: Door) -> None:
    array = array_of(door)
    program(door, XDP, caller(array))

    with pytest.raises(CommandError) as raised:
        put(door, array, program(door, SCHED_CLS))

    assert raised.value.errno == EINVAL


def test_a_program_of_another_type_may_not_use_the_array(door: Door) -> None:
    array = array_of(door)
    put(door, array, program(door, XDP))

    with pytest.raises(ProgramRefused) as raised:
        program(door, SCHED_CLS, caller(array))

    assert raised.value.errno == EINVAL


def test_programs_of_another_attach_type_are_apart_too(door: Door) -> None:
    array = array_of(door)
    put(door, array, program(door, XDP))

    with pytest.raises(CommandError):
        put(door, array, program(door, XDP, attach_type=33))
