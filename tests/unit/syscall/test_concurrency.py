"""Many callers at once: nothing is lost, and nothing stays behind.

``SKEP_SECONDS`` says how long the callers go on; 2 by default.
"""

import ctypes
import gc
import os
import random
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from skep.errors import CommandError
from skep.maps.stored import StoredMap
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.infos import ProgInfo
from skep.verifier import Rejected
from support.caller import EXIT, RETURN_ONE, Caller, insn

SECONDS = float(os.environ.get("SKEP_SECONDS", "2"))
THREADS = 8
BTF = (
    b"\x9f\xeb\1\0" + struct.pack("<IIIII", 24, 0, 16, 16, 5)
    + struct.pack("<IIII", 1, 1 << 24, 4, 32) + b"\0int\0"
)  # fmt: skip


def count_up(fd: int) -> bytes:
    """A program that adds 1 to the first value of an array of u64, atomically."""
    return (
        insn(0x18, 1, 1, 0, fd) + bytes(8)
        + insn(0x62, 10, 0, -4, 0) + insn(0xBF, 2, 10) + insn(0x07, 2, 0, 0, -4)
        + insn(0x85, imm=1) + insn(0x15, 0, 0, 2) + insn(0xB7, 1, imm=1) + insn(0xDB, 0, 1)
        + RETURN_ONE + EXIT
    )  # fmt: skip


class Worker:
    """One caller: does what chance says, and remembers what must be true in the end."""

    def __init__(self, subsystem: Subsystem, number: int, shared: int, counter: int) -> None:
        self.subsystem, self.number = subsystem, number
        self.shared, self.counter = shared, counter
        self.random = random.Random(number)
        self.key = struct.pack("<I", number)
        self.updates = self.runs = self.steps = 0
        self.failure: BaseException | None = None
        self.acts: list[Callable[[Caller], None]] = [
            self.update, self.run, self.make_and_drop, self.load_and_drop, self.refuse, self.pin,
            self.walk, self.types, self.statistics, self.nested, self.tail_call,
        ]  # fmt: skip

    def work(self, until: float) -> None:
        """Go on until the clock says so."""
        try:
            while time.monotonic() < until:
                self.random.choice(self.acts)(Caller(self.subsystem))
                self.steps += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failure = error

    def good(self, result: int) -> int:
        """*result*, which must not be a refusal."""
        assert result >= 0, self.subsystem.last_error
        return result

    def update(self, caller: Caller) -> None:
        """Count in a value of its own of the shared hash."""
        self.updates += 1
        value = struct.pack("<Q", self.updates)
        self.good(caller.store(self.shared, self.key, value))
        assert caller.fetch(self.shared, self.key) == value

    def run(self, caller: Caller) -> None:
        """Let the shared program count."""
        packet = caller.keep(bytes(64))
        repeat = self.random.randrange(1, 20)
        self.good(caller.call(
            commands.PROG_TEST_RUN, prog_fd=self.counter, data_in=packet, data_size_in=64,
            repeat=repeat,
        ))  # fmt: skip
        self.runs += repeat

    def make_and_drop(self, caller: Caller) -> None:
        """A map of chance's type, its elements, and its end."""
        kind = self.random.choice((1, 2, 5, 6, 9, 11, 22, 27))
        sizes = {11: (8, 8, 4, 1), 22: (0, 8, 4, 0), 27: (0, 0, 4096, 0)}
        fd = self.good(caller.map(kind, *sizes.get(kind, (4, 8, 4, 0))))
        if kind in {1, 2, 9}:
            self.good(caller.store(fd, bytes(4), bytes(8)))
        self.subsystem.close(fd)

    def load_and_drop(self, caller: Caller) -> None:
        """A program with a map of its own, which its last descriptor takes along."""
        array = self.good(caller.map(2))
        program = self.good(caller.program(count_up(array)))
        self.subsystem.close(array)
        info = caller.info(program, ProgInfo)
        assert isinstance(info, ProgInfo)
        assert info.nr_map_ids == 1
        self.subsystem.close(program)

    def refuse(self, caller: Caller) -> None:
        """A program that is not safe."""
        assert caller.program(insn(0x79, 0, 1, 4096) + EXIT) < 0
        assert isinstance(self.subsystem.last_error, Rejected)

    def pin(self, caller: Caller) -> None:
        """A name that all threads fight for."""
        path = f"/sys/fs/bpf/{self.random.randrange(3)}"
        place, fd = caller.keep(path.encode() + b"\0"), self.good(caller.map(2))
        caller.call(commands.OBJ_PIN, pathname=place, bpf_fd=fd)
        self.subsystem.close(fd)
        got = caller.call(commands.OBJ_GET, pathname=place)
        if got >= 0:
            self.good(caller.store(got, bytes(4), bytes(8)))
            self.subsystem.close(got)
        with suppress(CommandError):  # another was faster
            self.subsystem.files.unlink(path)

    def walk(self, caller: Caller) -> None:
        """All maps by id, as far as they stay."""
        start = 0
        for _ in range(10):
            if caller.call(commands.MAP_GET_NEXT_ID, start_id=start) < 0:
                break
            attr = caller.attr
            assert isinstance(attr, commands.GetId)
            assert attr.next_id > start
            start = attr.next_id
            fd = caller.call(commands.MAP_GET_FD_BY_ID, start_id=start)
            if fd >= 0:
                self.subsystem.close(fd)

    def types(self, caller: Caller) -> None:
        """A BTF object."""
        fd = self.good(caller.call(commands.BTF_LOAD, btf=caller.keep(BTF), btf_size=len(BTF)))
        self.subsystem.close(fd)

    def statistics(self, caller: Caller) -> None:
        """Statistics on for a moment more."""
        fd = self.good(caller.call(commands.ENABLE_STATS))
        self.subsystem.close(fd)

    def nested(self, caller: Caller) -> None:
        """A map in a map."""
        inner = self.good(caller.map(2))
        outer = self.good(caller.call(
            commands.MAP_CREATE, map_type=12, key_size=4, value_size=4, max_entries=2,
            inner_map_fd=inner,
        ))  # fmt: skip
        self.good(caller.store(outer, bytes(4), struct.pack("<I", inner)))
        self.subsystem.close(inner)
        self.subsystem.close(outer)

    def tail_call(self, caller: Caller) -> None:
        """A program in an array of programs."""
        slots = self.good(caller.map(3, 4, 4))
        program = self.good(caller.program(RETURN_ONE + EXIT))
        self.good(caller.store(slots, bytes(4), struct.pack("<I", program)))
        self.subsystem.close(program)
        self.subsystem.close(slots)


def blocks() -> int:
    """How many blocks of memory are mapped."""
    return Path("/proc/self/maps").read_text().count("memfd:skep")


def alive() -> int:
    """How many maps and programs there are."""
    gc.collect()
    return sum(isinstance(each, (StoredMap, LoadedProgram)) for each in gc.get_objects())


def resident() -> int:
    """Bytes of memory that the process has."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def work(subsystem: Subsystem, seconds: float) -> list[Worker]:
    caller = Caller(subsystem)
    shared, array = caller.map(1, entries=THREADS), caller.map(2, entries=1)
    counter = caller.program(count_up(array))
    statistics = caller.call(commands.ENABLE_STATS)
    assert min(shared, array, counter, statistics) > 0
    workers = [Worker(subsystem, number, shared, counter) for number in range(THREADS)]
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=each.work, args=(until,)) for each in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [worker.failure for worker in workers if worker.failure is not None] == []
    runs = sum(worker.runs for worker in workers)
    assert caller.fetch(array, bytes(4)) == struct.pack("<Q", runs)
    info = caller.info(counter, ProgInfo)
    assert isinstance(info, ProgInfo)
    assert info.run_cnt == runs
    for each in workers:
        if each.updates:
            assert caller.fetch(shared, each.key) == struct.pack("<Q", each.updates)
    for fd in (shared, array, counter, statistics):
        subsystem.close(fd)
    return workers


def test_many_callers_lose_nothing_and_leave_nothing() -> None:
    subsystem = Subsystem()
    work(subsystem, 0.5)  # what is made once and stays
    before, mapped, memory = alive(), blocks(), resident()

    workers = work(subsystem, SECONDS)

    objects = subsystem.state.objects
    for pin in subsystem.files.pins():
        subsystem.files.unlink(pin.path)
    assert [(kind, objects.count(kind)) for kind in Kind if objects.count(kind)] == [
        (kind, 1) for kind in [Kind.BTF] if objects.count(kind)
    ]
    assert not subsystem.state.statistics
    assert alive() <= before
    assert blocks() <= mapped
    steps = sum(worker.steps for worker in workers)
    assert resident() - memory < (32 << 20) + 512 * steps  # LLVM keeps some of what it links


def test_the_collector_is_never_left_off() -> None:
    assert gc.isenabled()
    subsystem = Subsystem()

    def load() -> None:
        caller = Caller(subsystem)
        for _ in range(30):
            subsystem.close(caller.program(RETURN_ONE + EXIT))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert gc.isenabled()


def test_an_id_is_never_given_twice() -> None:
    subsystem, found = Subsystem(), []

    def make() -> None:
        caller = Caller(subsystem)
        for _ in range(50):
            fd = caller.map(2)
            found.append(subsystem.state.objects.get("TEST", fd).id)
            subsystem.close(fd)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == len(found) == 200


@pytest.mark.parametrize("kind", [Kind.MAP, Kind.PROG])
def test_what_one_thread_sees_of_an_error_is_its_own(kind: Kind) -> None:
    subsystem, wrong = Subsystem(), []
    command = commands.MAP_GET_FD_BY_ID if kind is Kind.MAP else commands.PROG_GET_FD_BY_ID

    def ask(number: int) -> None:
        caller = Caller(subsystem)
        for _ in range(50):
            caller.call(command, start_id=number)
            if str(number) not in str(subsystem.last_error):
                wrong.append((number, subsystem.last_error))

    threads = [threading.Thread(target=ask, args=(1000 + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
