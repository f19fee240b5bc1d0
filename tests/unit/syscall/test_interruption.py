"""What happens between two steps of one command leaves nothing half done.

Another thread closes a descriptor, memory goes away, Ctrl-C comes: here all of it happens at a
chosen moment, while the command reads the caller's memory.
"""

import struct
from collections.abc import Callable
from errno import EBADF, EFAULT

import pytest

from skep.base.memory import Fault, OwnMemory
from skep.syscall.objects import FIRST_FD, Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from support.caller import EXIT, RETURN_ONE, Caller, insn

FUNCTION_TYPES = (
    struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 40, 40, 7)
    + struct.pack("<IIII", 1, 1 << 24, 4, 32)  # int
    + struct.pack("<III", 0, 13 << 24, 1)  # int (void)
    + struct.pack("<III", 5, 12 << 24 | 1, 2)  # global function
    + b"\0int\0f\0"
)


class Moment(OwnMemory):
    """Memory where something happens when an address is read for the *count*-th time."""

    def __init__(self) -> None:
        super().__init__()
        self.address, self.count = 0, 0
        self.happen: Callable[[], object] = lambda: None

    def at(self, address: int, happen: Callable[[], object], count: int = 1) -> None:
        """Let *happen* be called then."""
        self.address, self.happen, self.count = address, happen, count

    def read(self, address: int, size: int) -> bytes:
        """See ``OwnMemory.read``."""
        if address == self.address:
            self.count -= 1
            if not self.count:
                self.happen()
        return super().read(address, size)


@pytest.fixture
def memory() -> Moment:
    return Moment()


@pytest.fixture
def caller(memory: Moment) -> Caller:
    return Caller(Subsystem(memory=memory))


def count(caller: Caller, kind: Kind) -> int:
    return caller.subsystem.state.objects.count(kind)


def interrupt() -> None:
    raise KeyboardInterrupt


def unmap() -> None:
    raise Fault(0, 8)


def test_a_template_that_is_closed_in_the_meantime_is_ebadf(caller: Caller, memory: Moment) -> None:
    inner, digest = caller.map(2), caller.keep(bytes(32))
    memory.at(digest, lambda: caller.subsystem.close(inner))

    found = caller.call(
        commands.MAP_CREATE, map_type=12, key_size=4, value_size=4, max_entries=1,
        inner_map_fd=inner, excl_prog_hash=digest, excl_prog_hash_size=32,
    )  # fmt: skip

    assert found == -EBADF
    assert count(caller, Kind.MAP) == 0


def test_an_interrupted_creation_makes_nothing(caller: Caller, memory: Moment) -> None:
    inner, digest = caller.map(2), caller.keep(bytes(32))
    memory.at(digest, interrupt)

    with pytest.raises(KeyboardInterrupt):
        caller.call(
            commands.MAP_CREATE, map_type=12, key_size=4, value_size=4, max_entries=1,
            inner_map_fd=inner, excl_prog_hash=digest, excl_prog_hash_size=32,
        )  # fmt: skip

    assert caller.map(2) == inner + 1
    assert caller.subsystem.state.objects.get("TEST", inner).references == 1


def test_an_array_that_is_closed_in_the_meantime_takes_no_program(
    caller: Caller, memory: Moment
) -> None:
    slots, program = caller.map(3, 4, 4), caller.program(RETURN_ONE + EXIT)
    value = caller.keep(program.to_bytes(4, "little"))
    memory.at(value, lambda: caller.subsystem.close(slots))

    found = caller.call(
        commands.MAP_UPDATE_ELEM, map_fd=slots, key=caller.keep(bytes(4)), value=value
    )

    assert found == -EBADF
    assert caller.subsystem.state.objects.get("TEST", program).references == 1


@pytest.mark.parametrize("happen", [interrupt, unmap])
@pytest.mark.parametrize("time", [1, 2])
def test_a_load_that_ends_early_holds_nothing(
    caller: Caller, memory: Moment, happen: Callable[[], object], time: int
) -> None:
    # The records are read once more when all is done; a refusal then left the maps held for good.
    array = caller.map(2)
    types = caller.keep(FUNCTION_TYPES)
    btf = caller.call(commands.BTF_LOAD, btf=types, btf_size=len(FUNCTION_TYPES))
    assert btf > 0, caller.subsystem.last_error
    functions = caller.keep(struct.pack("<II", 0, 3))
    memory.at(functions, happen, time)
    code = insn(0x18, 1, 1, 0, array) + bytes(8) + RETURN_ONE + EXIT

    try:
        found = caller.program(
            code, prog_btf_fd=btf, func_info=functions, func_info_cnt=1, func_info_rec_size=8
        )
    except KeyboardInterrupt:
        found = -EFAULT

    assert found == -EFAULT
    caller.subsystem.close(array)
    assert (count(caller, Kind.MAP), count(caller, Kind.PROG)) == (0, 0)


def test_descriptors_stay_apart_after_an_interruption(caller: Caller, memory: Moment) -> None:
    digest = caller.keep(bytes(32))
    fds = [caller.map(2) for _ in range(3)]
    memory.at(digest, interrupt)
    with pytest.raises(KeyboardInterrupt):
        caller.call(
            commands.MAP_CREATE, map_type=2, key_size=4, value_size=4, max_entries=1,
            excl_prog_hash=digest, excl_prog_hash_size=32,
        )  # fmt: skip

    assert [*fds, caller.map(2)] == list(range(FIRST_FD, FIRST_FD + 4))
