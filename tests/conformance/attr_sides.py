"""The running kernel and skep, with the same objects on both, for calls that differ in no more.

Values of members are symbols where the numbers differ: descriptors, ids, addresses. What a pointer
points to ends where its page does: what lies beyond cannot be read on either side.
"""

import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from contract.refusals.bench import INT
from skep.base.layout import Layout
from skep.btf.kernel import kernel_btf
from skep.btf.kinds import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import ATTR_SIZE, Command
from support.running_kernel import EXIT, RETURN_ONE, RunningKernel, insn

LOCAL = 1  # the loop-back interface, of a namespace of its own
TRACE_ITER, SK_LOOKUP, XDP, SK_SKB_VERDICT, TCX_INGRESS = 28, 36, 37, 38, 46
RETURN_ZERO = insn(0xB7)
CGROUPS = next(
    (
        place
        for place in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
        if (place / "cgroup.controllers").exists()
    ),
    Path("/sys/fs/cgroup"),
)
PINS = Path("/sys/fs/bpf")
# maps with one element, and its key; two would stand in an order that each side has of its own
FILLED = {
    **dict.fromkeys(("hash", "lazy", "percpu_hash", "lru"), bytes(4)),
    "trie": bytes((32, *bytes(7))),
    **dict.fromkeys(("queue", "stack", "bloom"), b""),
}
PINNED = ("array", "socket", "iter_link")  # links of devices go some time after their pin
HIGHER = 600  # kernel descriptors begin here: no number is that of an interface
CLOSED = 0x7FFF_FFF0
PAGE = mmap.PAGESIZE
ROOM = 16 * PAGE
NEW_NETWORK = 0x4000_0000  # CLONE_NEWNET
GIVES_FD = {"MAP_CREATE", "PROG_LOAD", "BTF_LOAD", "OBJ_GET", "PROG_GET_FD_BY_ID", "LINK_CREATE",
            "MAP_GET_FD_BY_ID", "BTF_GET_FD_BY_ID", "LINK_GET_FD_BY_ID", "RAW_TRACEPOINT_OPEN",
            "ENABLE_STATS", "ITER_CREATE", "TOKEN_CREATE"}  # fmt: skip


class Fd(NamedTuple):
    """The descriptor of the object called *name*."""

    name: str


class Id(NamedTuple):
    """The id of the object called *name*."""

    name: str


class Ptr(NamedTuple):
    """The address of *data* with *room* bytes in all; *fd* is stored at its start, if named."""

    data: bytes = b""
    room: int = 0
    fd: str = ""


Value = int | bytes | Fd | Id | Ptr
Members = Mapping[str, Value]


class Door(Protocol):
    """What calls bpf(2)."""

    def bpf(self, cmd: int, attr: bytearray, size: int | None = None) -> int: ...

    def close(self, fd: int) -> None: ...


class Area:
    """Memory that ends where nobody can read or write."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, ROOM + PAGE)
        self.end = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) + ROOM
        if ctypes.CDLL(None).mprotect(ctypes.c_void_p(self.end), ctypes.c_size_t(PAGE), 0):
            raise OSError("mprotect")

    def put(self, data: bytes, room: int) -> int:
        """Address of *data*, and zeros up to *room* bytes."""
        size = max(len(data), room, 1)
        ctypes.memmove(self.end - size, data.ljust(size, b"\0"), size)
        return self.end - size


def higher(fd: int) -> int:
    """The same file as *fd*, with a number from ``HIGHER`` on."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGHER)
    os.close(fd)
    return moved


class Side:
    """One of the two: a door, and its objects by name."""

    def __init__(self, door: Door, *, real: bool) -> None:
        self.door, self.real = door, real
        self.fds: dict[str, int] = {}
        self.lasting: dict[str, int] = {}
        self._areas: list[Area] = []

    def keep(self, name: str, fd: int) -> int:
        if self.real and fd >= 0:
            fd = higher(fd)
        if fd >= 0:
            self.fds[name] = fd
        return fd

    def fd(self, name: str) -> int:
        return self.lasting.get(name) or self.fds.get(name, CLOSED)

    def id(self, name: str) -> int:
        """The id that OBJ_GET_INFO_BY_FD tells; it stands behind one or no word of the info."""
        info = ctypes.create_string_buffer(256)
        attr = bytearray(struct.pack("<IIQ", self.fd(name), 256, ctypes.addressof(info)))
        if self.door.bpf(commands.OBJ_GET_INFO_BY_FD.number, attr) < 0:
            return CLOSED
        return int(struct.unpack_from("<I", info.raw, 12 if name == "btf" else 4)[0])

    def number(self, value: Value, slot: int) -> int | bytes:
        """What stands for *value* on this side; pointers take their place from *slot*."""
        if isinstance(value, Fd):
            return self.fd(value.name)
        if isinstance(value, Id):
            return self.id(value.name)
        if not isinstance(value, Ptr):
            return value
        while len(self._areas) <= slot:
            self._areas.append(Area())
        head = struct.pack("<i", self.fd(value.fd)) if value.fd else b""
        return self._areas[slot].put(head + value.data[len(head) :], value.room)

    def encode(self, command: Command, members: Members) -> bytearray:
        known: dict[str, int | bytes] = {}
        for slot, (name, value) in enumerate(members.items()):
            number = self.number(value, slot)
            if isinstance(number, int):
                size = command.layout.member(name).size
                number &= (1 << 8 * size) - 1
                if command.layout.member(name).c_type == "__s32" and number >> 31:
                    number -= 1 << 32
            known[name] = number
        return bytearray(command.layout(**known).encode().ljust(ATTR_SIZE, b"\0"))

    def call(self, command: Command, members: Members) -> int:
        return self.door.bpf(command.number, self.encode(command, members))

    def close(self) -> None:
        for fd in self.fds.values():
            self.door.close(fd)
        self.fds = {}


class Answer(NamedTuple):
    """A result (0 for a descriptor), and what the attr holds afterwards."""

    result: int
    attr: Layout


class Pair:
    """Both sides, in a network namespace of their own."""

    def __init__(self) -> None:
        self.skep = Subsystem()
        self.sides = (Side(RunningKernel(), real=True), Side(self.skep, real=False))
        kernel, skep = self.sides
        self.cgroup = CGROUPS / f"skep{os.getpid()}"
        self.cgroup.mkdir()
        kernel.lasting = {
            "file": os.open("/dev/null", os.O_RDONLY),
            "cgroup": higher(os.open(self.cgroup, os.O_RDONLY)),
            "netns": higher(os.open("/proc/self/ns/net", os.O_RDONLY)),
        }
        skep.lasting = {
            "file": kernel.lasting["file"],
            "cgroup": self.skep.open_cgroup(f"/skep{os.getpid()}"),
            "netns": self.skep.open_netns(),
        }

    def end(self) -> None:
        """Leave nothing behind."""
        self.unpin()
        for side in self.sides:
            side.close()
        for fd in self.sides[0].lasting.values():
            os.close(fd)
        self.cgroup.rmdir()

    def fill(self) -> None:
        """Make the objects, afresh."""
        for side in self.sides:
            side.close()
            for name, command, members in OBJECTS:
                side.keep(name, side.call(command, members))
            side.call(commands.MAP_FREEZE, {"map_fd": Fd("frozen")})
        for side in self.sides:
            for name, key in FILLED.items():
                place: Value = Ptr(key) if key else 0
                members = {"map_fd": Fd(name), "key": place, "value": Ptr(b"", ROOM)}
                side.call(commands.MAP_UPDATE_ELEM, members)
        self.unpin()
        for name in PINNED:
            members = {"pathname": Ptr(pin_path(name)), "bpf_fd": Fd(name)}
            for side in self.sides:
                side.call(commands.OBJ_PIN, members)

    def unpin(self) -> None:
        """Take the names away that OBJ_PIN gave."""
        for path in PINS.glob(f"skep{os.getpid()}*"):
            path.unlink()
        for name in self.skep.files.names(str(PINS)):
            self.skep.files.unlink(f"{PINS}/{name}")

    def both(
        self, command: Command, members: Members, change: Callable[[bytearray], int | None]
    ) -> list[Answer]:
        """The answers of both to one call; *change* alters the attr, and gives its size."""
        answers = []
        for side in self.sides:
            attr = side.encode(command, members)
            size = change(attr)
            result = side.door.bpf(command.number, attr, size)
            if result >= 0 and command.name in GIVES_FD:
                side.door.close(result)
                result = 0
            left = command.layout.decode(bytes(attr[:ATTR_SIZE]))
            answers.append(Answer(min(result, 0), left))
        return answers


def pin_path(name: str) -> bytes:
    """Where a test pins *name*, with its NUL."""
    return b"%s/skep%d%s\0" % (bytes(PINS), os.getpid(), name.encode())


def own_network() -> None:
    """Leave the network namespace: what is attached goes with this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare")


def map_of(kind: int, key: int, value: int, entries: int, flags: int = 0) -> dict[str, Value]:
    return {"map_type": kind, "key_size": key, "value_size": value, "max_entries": entries,
            "map_flags": flags}  # fmt: skip


def program(kind: int, code: bytes = RETURN_ONE + EXIT, attach: int = 0) -> dict[str, Value]:
    return {"prog_type": kind, "insn_cnt": len(code) // 8, "insns": Ptr(code),
            "license": Ptr(b"GPL\0"), "expected_attach_type": attach}  # fmt: skip


def made_map(name: str, *shape: int) -> tuple[str, Command, dict[str, Value]]:
    return name, commands.MAP_CREATE, map_of(*shape)


def made_program(name: str, kind: int, attach: int = 0) -> tuple[str, Command, dict[str, Value]]:
    return name, commands.PROG_LOAD, program(kind, attach=attach)


def made_link(
    name: str, prog: str, target: Value, attach: int
) -> tuple[str, Command, dict[str, Value]]:
    members: dict[str, Value] = {"prog_fd": Fd(prog), "target_fd": target, "attach_type": attach}
    return name, commands.LINK_CREATE, members


def kernel_type(name: str) -> int:
    """The id of the function called *name* in the running kernel."""
    btf = kernel_btf()
    return btf.by_name(name, Kind.FUNC) or 0 if btf is not None else 0


ITER_TASK = kernel_type("bpf_iter_task")
OBJECTS: tuple[tuple[str, Command, Members], ...] = (
    made_map("array", 2, 4, 8, 4),
    made_map("hash", 1, 4, 8, 4),
    made_map("lazy", 1, 4, 8, 4, 1),
    made_map("percpu", 6, 4, 8, 4),
    made_map("percpu_hash", 5, 4, 8, 4),
    made_map("lru", 9, 4, 8, 64),
    made_map("trie", 11, 8, 8, 4, 1),
    made_map("queue", 22, 0, 8, 4),
    made_map("stack", 23, 0, 8, 4),
    made_map("bloom", 30, 0, 8, 4),
    made_map("ringbuf", 27, 0, 0, 4096),
    made_map("prog_array", 3, 4, 4, 4),
    made_map("perf", 4, 4, 4, 4),
    made_map("devmap", 14, 4, 4, 4),
    made_map("devmap_hash", 25, 4, 4, 4),
    made_map("cpumap", 16, 4, 4, 4),
    made_map("xskmap", 17, 4, 4, 4),
    made_map("sockmap", 15, 4, 4, 4),
    made_map("sockhash", 18, 4, 4, 4),
    made_map("cgroups", 8, 4, 4, 4),
    made_map("stacks", 7, 4, 8, 4),
    made_map("cgroup_storage", 19, 8, 8, 0),
    made_map("read_only", 1, 4, 8, 4, 1 << 3),
    made_map("write_only", 1, 4, 8, 4, 1 << 4),
    made_map("frozen", 2, 4, 8, 4),
    ("maps", commands.MAP_CREATE, {**map_of(12, 4, 4, 4), "inner_map_fd": Fd("array")}),
    ("hash_maps", commands.MAP_CREATE, {**map_of(13, 4, 4, 4), "inner_map_fd": Fd("array")}),
    ("btf", commands.BTF_LOAD, {"btf": Ptr(INT), "btf_size": len(INT)}),
    made_program("socket", 1),
    made_program("sched", 3),
    made_program("xdp", 6),
    made_program("cgroup_skb", 8),
    made_program("raw", 17),
    made_program("lookup", 30, SK_LOOKUP),
    made_program("flow", 22),
    made_program("sk_skb", 14, SK_SKB_VERDICT),
    made_program("sk_msg", 16),
    made_program("bind4", 18, 8),
    ("syscall", commands.PROG_LOAD, {**program(31), "prog_flags": 1 << 4}),
    ("iter", commands.PROG_LOAD,
     {**program(26, RETURN_ZERO + EXIT, TRACE_ITER), "attach_btf_id": ITER_TASK}),
    made_link("iter_link", "iter", 0, TRACE_ITER),
    made_link("tcx_link", "sched", LOCAL, TCX_INGRESS),
    made_link("xdp_link", "xdp", LOCAL, XDP),
    made_link("cgroup_link", "cgroup_skb", Fd("cgroup"), 0),
    made_link("netns_link", "lookup", Fd("netns"), SK_LOOKUP),
)  # fmt: skip
