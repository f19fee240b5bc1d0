"""The sides that a program is timed on: skep, the running kernel, uBPF; same object, same packet.

Times exclude what other processes take of the CPU: the kernel's test runs do not count while they
are descheduled, and for skep and uBPF the thread's own clock is read.
"""

import ctypes
import mmap
import os
import struct
import time
from collections.abc import Container
from pathlib import Path
from typing import Any, Final

from skep.base.native import call, native
from skep.engine.llvm.background import background
from skep.engine.llvm.library import CompiledLibrary
from skep.errors import BpfError
from skep.isa.codec import encode
from skep.isa.table import Sem, op_of
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec, ProgramSpec
from skep.session.objects import new_subsystem
from skep.uapi.commands import MAP_UPDATE_ELEM, PROG_TEST_RUN, MapElem, TestRun

ROUTES: Final = (0x0A000000, 8), (0x0A010000, 16), (0x0A020200, 24), (0x0A030309, 32)
PACKET_SIZE: Final = 1024
MAP_32BIT: Final = 0x40
UBPF_VARIABLE: Final = "SKEP_BENCH_UBPF"
LOW: Final = 0xFFFF_FFFF
SHORT: Final = 2  # runs; one alone would not enter the native loop


def test_packet() -> bytes:
    """1024 bytes: IPv4 and TCP, and at fixed places what the parsers of the objects look for."""
    line = b"GET /index.html?page=12345&user=67 HTTP/1.1\r\nHost: example.com:8080\r\n"
    parts = {
        0: bytes(12) + b"\x08\x00",
        14: bytes.fromhex("450003f2000040004006000a7f0000017f000001"),
        34: bytes.fromhex("9c4001bb0000000100000000a0100100abcd0000"),
        64: bytes.fromhex("020405b40402080a01020304050607080103030700"),
        128: b"\x03www\x07Example\x03com\x02uk\0",
        256: b"\x2b\0", 264: b"\x2c\x01", 280: b"\x3c\0", 288: b"\x06\0",
        512: (line * 2)[:128],
        1000: b"\xee",
    }  # fmt: skip
    packet = bytearray((index * 7 & 0xFF) % 0xEE for index in range(PACKET_SIZE))
    for place, part in parts.items():
        packet[place : place + len(part)] = part
    return bytes(packet)


PACKET: Final = test_packet()


class Side:
    """The objects' programs, or *only* some, in one subsystem, skep's or the running kernel."""

    def __init__(
        self,
        name: str,
        syscall: Syscall,
        specs: list[ObjectSpec],
        only: Container[str] | None = None,
    ) -> None:
        self.name, self._syscall = name, syscall
        self._clock = time.thread_time_ns if name == "skep" else None
        self._data = ctypes.create_string_buffer(PACKET, len(PACKET))
        self._loaded = [LoadedObject(spec, syscall) for spec in specs]
        self._fds: dict[str, int] = {}
        for loaded in self._loaded:
            for spec in loaded.spec.programs:
                if only is None or spec.name in only:
                    self._fds[spec.name] = loaded.load_program(spec).fd
            self._fill(loaded)

    def _fill(self, loaded: LoadedObject) -> None:
        maps = loaded.maps
        for key in range(256):
            self._put(maps, "slots", struct.pack("<I", key), struct.pack("<Q", 3 * key))
        for key in range(0, 320, 10):
            for name, size in (("flows", 1), ("recent", 1), ("cpu_flows", os.cpu_count() or 1)):
                self._put(maps, name, struct.pack("<I", key), struct.pack("<Q", key) * size)
        for address, bits in ROUTES:
            route = struct.pack("<I", bits) + address.to_bytes(4, "big")
            self._put(maps, "routes", route, struct.pack("<Q", bits))
        for name, index, target in (("jumps", 1, "tail_target"), ("chain", 0, "tail_chain_33")):
            value = struct.pack("<I", self._fds.get(target, 0))
            self._put(maps, name, struct.pack("<I", index), value)

    def _put(self, maps: Any, name: str, key: bytes, value: bytes) -> None:
        if name not in maps:
            return
        room = [ctypes.create_string_buffer(data, len(data)) for data in (key, value)]
        where = [ctypes.addressof(each) for each in room]
        attr = MapElem(map_fd=maps[name], key=where[0], value=where[1]).encode()
        answer = self._syscall.bpf(MAP_UPDATE_ELEM.number, bytearray(attr))
        if answer < 0:
            raise OSError(-answer, f"{name} in {self.name}: {os.strerror(-answer)}")

    def run(self, name: str, repeat: int) -> tuple[float, int]:
        """Nanoseconds of one of *repeat* runs, and what the last one returned.

        A command of skep's costs some hundred microseconds before its first run when the caches are
        cold: a short one goes before, and a second short one is taken off.
        """
        if self._clock is None:
            out = self._command(name, repeat)
            return float(out.duration), out.retval
        self._command(name, SHORT)
        first = self._clock()
        self._command(name, SHORT)
        second = self._clock()
        out = self._command(name, repeat + SHORT)
        spent = self._clock() - second - (second - first)
        return max(spent, 0) / repeat, out.retval

    def _command(self, name: str, repeat: int) -> TestRun:
        attr = bytearray(TestRun(prog_fd=self._fds[name], repeat=repeat,
                                 data_size_in=len(PACKET), data_in=ctypes.addressof(self._data),
                                 ).encode())  # fmt: skip
        answer = self._syscall.bpf(PROG_TEST_RUN.number, attr)
        if answer < 0:
            raise OSError(-answer, f"{name} in {self.name}: {os.strerror(-answer)}")
        return TestRun.decode(bytes(attr))

    def warm(self, name: str) -> None:
        """Run until the best code is in place."""
        self.run(name, 1000)
        background().settle()

    def close(self) -> None:
        """Give everything back."""
        for loaded in self._loaded:
            loaded.close()


@native
def run_plain(entry: int, memory: int, size: int, count: int) -> int:
    """Call the function at *entry* with *memory* and *size*, *count* times."""
    result = 0
    for _ in range(count):
        result = call(entry, memory, size)
    return result


class Ubpf:
    """Programs that call no helper and use no map, in uBPF's JIT; bounds are not checked there."""

    name = "ubpf"

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._library.ubpf_create.restype = ctypes.c_void_p
        self._library.ubpf_compile.restype = ctypes.c_void_p
        self._loop = CompiledLibrary().bind(run_plain)
        self._low = mmap.mmap(-1, 16384, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._low))
        self._context = base
        struct.pack_into("<5I", self._low, 0, base + 4096, base + 4096 + PACKET_SIZE, 0, 0, 0)
        self._entries: dict[str, int] = {}

    def load(self, spec: ProgramSpec) -> bool:
        """Load and compile; False for a program that needs more than uBPF has."""
        ops = [op_of(insn) for insn in spec.insns]
        calls = any(op is not None and op.sem in (Sem.HELPER, Sem.KFUNC) for op in ops)
        if calls or spec.references:
            return False
        error, code = ctypes.c_char_p(), encode(spec.insns)
        machine = ctypes.c_void_p(self._library.ubpf_create())
        if self._library.ubpf_load(machine, code, len(code), ctypes.byref(error)):
            return False
        entry = self._library.ubpf_compile(machine, ctypes.byref(error))
        if entry:
            self._entries[spec.name] = entry
        return bool(entry)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def run(self, name: str, repeat: int) -> tuple[float, int]:
        """Nanoseconds of one of *repeat* runs, and what the last one returned."""
        self._low[4096 : 4096 + PACKET_SIZE] = PACKET
        began = time.thread_time_ns()
        result = self._loop(self._entries[name], self._context, 24, repeat)
        return (time.thread_time_ns() - began) / repeat, result & LOW


def objects(paths: list[Path]) -> list[ObjectSpec]:
    """What object files ask for."""
    return [read_object(path.read_bytes()) for path in paths]


def skep_side(paths: list[Path]) -> Side:
    """The objects in a subsystem of their own."""
    return Side("skep", new_subsystem(), objects(paths))


def kernel_side(paths: list[Path]) -> Side | None:
    """The objects in the running kernel, or None where it does not let us."""
    try:
        return Side("kernel", KernelSyscall(), objects(paths))
    except (BpfError, OSError) as error:
        print(f"no kernel to compare with: {error}")
        return None


def ubpf_side(specs: list[ProgramSpec]) -> Ubpf | None:
    """What uBPF can run of *specs*, where SKEP_BENCH_UBPF names a libubpf.so."""
    library = os.environ.get(UBPF_VARIABLE)
    if not library:
        return None
    side = Ubpf(library)
    for spec in specs:
        side.load(spec)
    return side
