"""Where one refusal is driven: a caller that remembers how its last call of bpf(2) ended.

A driver makes the calls that lead to one row of the tables of reasons; its last call must be the
one that is refused. It may put a subsystem of its own in ``bench.subsystem`` first. Drivers stand
in the modules beside this one, each in a mapping ``DRIVERS`` from row to driver; they are found by
that name.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.uapi import commands
from skep.uapi.commands import Command
from skep.uapi.reason import Reason
from support.caller import EXIT, RETURN_ONE, Caller

NO_FD: Final = 0x7FFF_FFF0  # a descriptor that is never open
BAD: Final = 0x10  # an address that nobody can read or write


class Bench(Caller):
    """A caller; ``result`` is what its last call answered, ``command`` its row, if it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.result = 0
        self.command: Command | None = None

    def call(self, command: Command, **members: int | bytes) -> int:
        """The result of *command* with the given members; what it left is in ``attr``."""
        self.command = command
        self.result = super().call(command, **members)
        return self.result

    def raw(self, command: int, attr: bytes | int, size: int | None = None) -> int:
        """The result of command number *command* with *attr*: its bytes, or an address."""
        where = attr if isinstance(attr, int) else bytearray(attr)
        self.command = commands.BY_NUMBER.get(command & ~commands.COMMAND_FLAGS_MASK)
        self.result = self.subsystem.bpf(command, where, size)
        return self.result

    def array(self, flags: int = 0, entries: int = 4) -> int:
        """A new array map."""
        return self.good(self.map(2, entries=entries, flags=flags))

    def hash(self, flags: int = 0, entries: int = 4) -> int:
        """A new hash map."""
        return self.good(self.map(1, entries=entries, flags=flags))

    def socket_filter(self) -> int:
        """A new program that does nothing."""
        return self.good(self.program(RETURN_ONE + EXIT))

    def btf(self) -> int:
        """A new BTF object, with one type: int, of 4 bytes."""
        return self.good(self.load_btf(INT))

    def load_btf(self, data: bytes, **members: int | bytes) -> int:
        """BTF_LOAD of *data*."""
        return self.call(commands.BTF_LOAD, btf=self.keep(data), btf_size=len(data), **members)

    def good(self, result: int) -> int:
        """*result*, which must not be a refusal."""
        assert result >= 0, self.subsystem.last_error
        return result


Driver = Callable[[Bench], object]
Drivers = Mapping[Reason, Driver]


def btf_bytes(types: bytes, strings: bytes) -> bytes:
    """BTF: header, types, strings."""
    header = (0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    sizes = (2, 1, 1, 4, 4, 4, 4, 4)
    fields = zip(header, sizes, strict=True)
    return b"".join(value.to_bytes(size, "little") for value, size in fields) + types + strings


def words(*values: int) -> bytes:
    """32-bit words."""
    return b"".join((value & 0xFFFF_FFFF).to_bytes(4, "little") for value in values)


INT: Final = btf_bytes(words(1, 1 << 24, 4, 32), b"\0int\0")
