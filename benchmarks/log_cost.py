"""B6: what the log of bpf(2) costs: nothing when unused, and how much when asked for.

Three commands that succeed, each without a log, with a log of text, and with one of messages; and
one that is refused. Beside it the same commands on a door that knows no logs at all: the rows
"without a log" may be at most 2 % dearer. Ways take turns, batch by batch, and the best batch of
each counts, since whatever else the machine does only makes it slower.
"""

import ctypes
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EINVAL
from typing import Any, Final

from skep.base.memory import Fault, UserMemory
from skep.errors import CommandError, NotSupported
from skep.loader.kernel import KernelSyscall
from skep.syscall.call import AttrBytes, decode
from skep.syscall.permissions import check_command
from skep.syscall.routes import HANDLERS
from skep.syscall.subsystem import DEFAULT_SIZE, Subsystem
from skep.uapi.commands import (
    BY_NUMBER,
    COMMAND_FLAGS_MASK,
    COMMON_ATTRS,
    MAP_CREATE,
    MAP_FREEZE,
    MAP_LOOKUP_ELEM,
    PROG_LOAD,
    CommonAttr,
    MapCreate,
    MapElem,
    MapFreeze,
    ProgLoad,
)
from skep.uapi.log_messages import TLV
from skep.uapi.reason import Refusal

ALLOWED: Final = 1.02
CODE: Final = struct.pack("<BBhi", 0xB7, 0, 0, 1) + struct.pack("<BBhi", 0x95, 0, 0, 0)
BATCHES: Final = 40
SIZES: Final = {"lookup": 2500, "create": 250, "load": 10, "refused": 1000}  # calls of a batch


class Bare(Subsystem):
    """A subsystem whose door knows no logs: the same steps, without those that are for the log."""

    def bpf(self, cmd: int, attr: Any, size: int | None = None, *_: object) -> int:
        where = self._where(attr, size, DEFAULT_SIZE)
        outer, self._calling.credentials = self._calling.credentials, self.credentials
        try:
            answer, error = self._answer(cmd, where, self.state.memory)
        finally:
            self._calling.credentials = outer
        self._last.error = error
        return answer

    def _answer(
        self, cmd: int, where: AttrBytes, memory: UserMemory, _: object = None
    ) -> tuple[int, Exception | None]:
        try:
            return self._serve(cmd, where, memory), None
        except CommandError as error:
            return -error.errno, error

    def _serve(self, cmd: int, where: AttrBytes, memory: UserMemory, _: object = None) -> int:
        command = BY_NUMBER.get(cmd)
        if cmd & COMMAND_FLAGS_MASK or command is None:
            return -EINVAL
        call = decode(command, where, memory)
        call.credentials = self._calling.credentials or self.credentials
        check_command(call)
        try:
            return HANDLERS[cmd](self.state, call)
        except Refusal as refusal:
            call.place(refusal)
            raise
        except (Fault, NotSupported, MemoryError) as error:
            raise call.explained(error) from error


@dataclass(frozen=True)
class Way:
    """One way to call: on *syscall*, with the common attributes that ask for *level* and *size*."""

    name: str
    syscall: Any
    level: int = 0
    size: int = 0


class Caller:
    """Makes the four calls in one way."""

    def __init__(self, way: Way) -> None:
        self.syscall, self.flag = way.syscall, COMMON_ATTRS if way.level else 0
        self._log = ctypes.create_string_buffer(max(way.size, 1))
        asked = CommonAttr(log_level=way.level, log_size=way.size,
                           log_buf=ctypes.addressof(self._log))  # fmt: skip
        common = bytearray(asked.encode()[:16] if way.level & TLV else asked.encode())
        self.more = (None, common) if way.level else ()
        self._kept = [ctypes.create_string_buffer(data, len(data)) for data in
                      (bytes(4), bytes(8), CODE, b"GPL\0")]  # fmt: skip
        key, value, code, license_ = map(ctypes.addressof, self._kept)
        self.create_attr = bytearray(
            MapCreate(map_type=2, key_size=4, value_size=8, max_entries=4).encode()
        )
        self.load_attr = bytearray(
            ProgLoad(prog_type=1, insn_cnt=2, insns=code, license=license_).encode()
        )
        fd = self.syscall.bpf(MAP_CREATE.number, bytearray(self.create_attr))
        self.lookup_attr = bytearray(MapElem(map_fd=fd, key=key, value=value).encode())
        self.bad_attr = bytearray(MapFreeze(map_fd=0x7FFFFFF0).encode())

    def lookup(self) -> None:
        self.syscall.bpf(MAP_LOOKUP_ELEM.number | self.flag, self.lookup_attr, *self.more)

    def create(self) -> None:
        fd = self.syscall.bpf(MAP_CREATE.number | self.flag, self.create_attr, *self.more)
        self.syscall.close(fd)

    def load(self) -> None:
        fd = self.syscall.bpf(PROG_LOAD.number | self.flag, self.load_attr, *self.more)
        self.syscall.close(fd)

    def refused(self) -> None:
        self.syscall.bpf(MAP_FREEZE.number | self.flag, self.bad_attr, *self.more)


def ways(kernel: bool) -> list[Way]:
    """All ways; the running kernel's last, where it answers."""
    subsystem = Subsystem()
    found = [
        Way("no log code", Bare()),
        Way("no log", subsystem),
        Way("text", subsystem, 1, 4096),
        Way("text, rolling, 128 B", subsystem, 1, 128),
        Way("text, fixed", subsystem, 9, 4096),
        Way("messages", subsystem, 1 | TLV, 4096),
    ]
    return [*found, Way("kernel, no log", KernelSyscall())] if kernel else found


def best(calls: Sequence[Callable[[], None]], count: int) -> list[float]:
    """Nanoseconds of one call of each, the best of many batches that take turns."""
    least = [float("inf")] * len(calls)
    for turn in range(BATCHES + 1):
        for index, call in enumerate(calls):
            began = time.perf_counter_ns()
            for _ in range(count):
                call()
            spent = (time.perf_counter_ns() - began) / count
            if turn:  # the first batch warms up
                least[index] = min(least[index], spent)
    return least


def measure(kernel: bool) -> list[dict[str, Any]]:
    """Print the table; its rows for JSON."""
    every = ways(kernel)
    callers = [Caller(way) for way in every]
    rows = []
    print(f"{'cost of the log, ns a call':26}" + "".join(f"{way.name:>22}" for way in every))
    for name, count in SIZES.items():
        spent = best([getattr(caller, name) for caller in callers], count)
        ratio = spent[1] / spent[0]
        verdict = "" if name == "refused" or ratio <= ALLOWED else "  MORE THAN ALLOWED"
        print(f"log {name:22}" + "".join(f"{each:22.0f}" for each in spent)
              + f"   without the flag {100 * (ratio - 1):+.1f} %{verdict}", flush=True)  # fmt: skip
        named = dict(zip((way.name for way in every), spent, strict=True))
        rows.append({"name": f"log {name}", "unit": "ns", "ways": named, "ratio": ratio})
    return rows
