"""The same hooks in the running kernel and in skep, and the same commands to both.

Programs, links and targets have one name on both sides, since their numbers differ. The kernel's
side lives in a network namespace of the calling thread and in cgroups of its own, all of which go
with it.
"""

import ctypes
import os
import random
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skep.syscall.subsystem import Subsystem
from support.running_kernel import EXIT, RETURN_ONE, RunningKernel

CLONE_NEWNET = 0x4000_0000
CGROUPS = Path("/sys/fs/cgroup/unified")
PROG_LOAD, PROG_ATTACH, PROG_DETACH, PROG_QUERY, GET_INFO = 5, 8, 9, 16, 15
LINK_CREATE, LINK_UPDATE, LINK_DETACH = 28, 29, 34
SIDES = (0, 1)  # the kernel, skep
_ATTACH = ("<IIIIIIQ", ("target", "prog", "type", "flags", "replace", "relative", "revision"))
PACKED = {
    PROG_ATTACH: _ATTACH,
    PROG_DETACH: _ATTACH,
    LINK_CREATE: ("<IIIIIIQ", ("prog", "target", "type", "flags", "relative", "pad", "revision")),
    LINK_UPDATE: ("<IIII", ("link", "new", "flags", "old")),
    LINK_DETACH: ("<I", ("link",)),
}


@dataclass
class Named:
    """An object of both sides: descriptors and ids, the kernel's first."""

    fds: tuple[int, int]
    ids: tuple[int, int] = (0, 0)


@dataclass
class Twins:
    """Both sides; values in calls are numbers, names of things, or ``id:`` and a name."""

    kernel: RunningKernel = field(default_factory=RunningKernel)
    skep: Subsystem = field(default_factory=Subsystem)
    named: dict[str, Named] = field(default_factory=dict)
    journal: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    count: int = 0

    def bpf(self, side: int, cmd: int, attr: bytearray) -> int:
        """The command at one side."""
        return (self.kernel, self.skep)[side].bpf(cmd, attr)

    def value(self, side: int, what: int | str) -> int:
        """What *what* is at one side."""
        if isinstance(what, int):
            return what
        if what.startswith("id:"):
            return self.named[what[3:]].ids[side]
        return self.named[what].fds[side]

    def load(self, name: str, kind: int, attach_type: int = 0, code: bytes = b"") -> None:
        """Load a program that returns 1."""
        fds = []
        code = code or RETURN_ONE + EXIT
        for side in SIDES:
            insns = ctypes.create_string_buffer(code, len(code))
            license_ = ctypes.create_string_buffer(b"GPL")
            attr = bytearray(168)
            where = ctypes.addressof(insns), ctypes.addressof(license_)
            struct.pack_into("<IIQQ", attr, 0, kind, len(code) // 8, *where)
            struct.pack_into("<I", attr, 68, attach_type)
            fds.append(self.bpf(side, PROG_LOAD, attr))
        assert min(fds) >= 0, (name, fds, self.skep.last_error)
        self.name(name, (fds[0], fds[1]))

    def name(self, name: str, fds: tuple[int, int]) -> None:
        """Give an object a name, and learn its ids."""
        infos = [self.info(side, fds[side]) for side in SIDES]
        ids = [struct.unpack_from("<I", info, 4)[0] for info in infos]
        self.named[name] = Named(fds, (ids[0], ids[1]))

    def info(self, side: int, fd: int) -> bytes:
        """The first 64 bytes of the info of *fd*."""
        room = ctypes.create_string_buffer(64)
        attr = bytearray(16)
        struct.pack_into("<IIQ", attr, 0, fd, 64, ctypes.addressof(room))
        result = self.bpf(side, GET_INFO, attr)
        assert result == 0, (side, result, self.skep.last_error)
        return room.raw

    def call(self, cmd: int, **values: int | str) -> tuple[int, int]:
        """The same command to both; notes if the answers differ; errnos, or 0."""
        code, names = PACKED[cmd]
        results = []
        for side in SIDES:
            members = [self.value(side, values.get(name, 0)) for name in names]
            attr = bytearray(64)
            struct.pack_into(code, attr, 0, *members)
            results.append(self.bpf(side, cmd, attr))
        reason = str(self.skep.last_error) if results[1] < 0 else ""
        step = f"{cmd} {values}: kernel {results[0]}, skep {results[1]} {reason}"
        self.journal.append(step)
        self.count += 1
        if min(results[0], 0) != min(results[1], 0):
            self.different.append(step)
        return results[0], results[1]

    def create(self, name: str, **values: int | str) -> bool:
        """LINK_CREATE at both sides; the link gets *name*."""
        results = self.call(LINK_CREATE, **values)
        if min(results) >= 0:
            self.name(name, results)
            return True
        for side in SIDES:
            if results[side] >= 0:
                self.close_fd(side, results[side])
        return False

    def query(self, target: int | str, attach_type: int, flags: int = 0, room: int = 80) -> None:
        """PROG_QUERY at both sides; notes if results, counts, flags, revision or order differ."""
        seen = [self._query(side, target, attach_type, flags, room) for side in SIDES]
        self.count += 1
        step = f"query {target} {attach_type} {flags} {room}: kernel {seen[0]}, skep {seen[1]}"
        self.journal.append(step)
        if seen[0] != seen[1]:
            self.different.append(step)

    def _query(
        self, side: int, target: int | str, attach_type: int, flags: int, room: int
    ) -> tuple[object, ...]:
        ids, links = (ctypes.create_string_buffer(b"\xee" * 4 * 80, 4 * 80) for _ in range(2))
        attr = bytearray(64)
        where = ctypes.addressof(ids) if room else 0
        link_ids = ctypes.addressof(links) if not flags else 0
        values = self.value(side, target), attach_type, flags, 0, where, room, 0, link_ids
        struct.pack_into("<IIIIQIxxxxQQ", attr, 0, *values)
        result = self.bpf(side, PROG_QUERY, attr)
        (attach_flags,) = struct.unpack_from("<I", attr, 12)
        (count,) = struct.unpack_from("<I", attr, 24)
        (revision,) = struct.unpack_from("<Q", attr, 56)
        names = [
            [self._named(side, number, of) for number in struct.unpack(f"<{80}I", each.raw)]
            for each, of in ((ids, "program"), (links, "link"))
        ]
        return (
            result,
            attach_flags,
            count,
            revision,
            *([name for name in each if name != "?"] for each in names),
        )

    def _named(self, side: int, number: int, of: str = "program") -> str:
        if number == 0xEEEE_EEEE:
            return "?"
        if number == 0:
            return "-"
        for name, each in self.named.items():
            if each.ids[side] == number and _kind(name) == of:
                return name
        return f"number {number}"

    def compare_link(self, name: str, *offsets: int) -> None:
        """Note if the info of link *name* differs: program, and the 32-bit words at *offsets*."""
        seen = []
        for side in SIDES:
            info = self.info(side, self.named[name].fds[side])
            kind, _, program = struct.unpack_from("<III", info)
            words = [struct.unpack_from("<I", info, offset)[0] for offset in offsets]
            seen.append((kind, self._named(side, program), words))
        self.count += 1
        self.journal.append(f"info {name}: kernel {seen[0]}, skep {seen[1]}")
        if seen[0] != seen[1]:
            self.different.append(self.journal[-1])

    def close(self, name: str) -> None:
        """Close *name* at both sides."""
        for side, fd in enumerate(self.named.pop(name).fds):
            self.close_fd(side, fd)
        self.journal.append(f"close {name}")

    def close_fd(self, side: int, fd: int) -> None:
        """Close a descriptor."""
        (self.kernel, self.skep)[side].close(fd)

    def close_all(self) -> None:
        """Close what is open."""
        for name in list(self.named):
            self.close(name)

    def links(self) -> list[str]:
        """The names of links."""
        return [name for name in self.named if name.startswith("link")]


def _kind(name: str) -> str:
    return next((kind for kind in ("link", "map") if name.startswith(kind)), "program")


@contextmanager
def own_cgroups(twins: Twins, *paths: str) -> Iterator[None]:
    """Cgroups called ``/a``, ``/a/b``, … at both sides, the kernel's below one of this test."""
    top = CGROUPS / f"skep-{os.getpid()}-{threading.get_native_id()}"
    made = []
    try:
        for path in ("", *paths):
            (top / path.strip("/")).mkdir()
            made.append(top / path.strip("/"))
            fd = os.open(made[-1], os.O_RDONLY | os.O_DIRECTORY)
            twins.named[path or "/"] = Named((fd, twins.skep.open_cgroup(f"/top{path}")))
        yield
    finally:
        twins.close_all()
        for folder in reversed(made):
            folder.rmdir()


def in_own_network(work: Callable[[], None]) -> None:
    """Run *work* in a thread with a network namespace of its own."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            work()
        except BaseException as error:  # noqa: BLE001 - given to the caller
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def pick_flags(rng: random.Random, *flags: int) -> int:
    """Some of *flags*, mostly few."""
    chosen = 0
    while rng.random() < 0.5:
        chosen |= rng.choice(flags)
    return chosen
