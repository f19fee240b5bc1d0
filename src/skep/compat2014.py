"""The names of the 2014 draft of bpf(2): wrappers, instruction macros, packet sockets.

The draft's example runs in its own words::

    bpf = Bpf2014()
    map_fd = bpf.bpf_create_map(BPF_MAP_TYPE_HASH, 4, 8, 2)
    prog_fd = bpf.bpf_prog_load(BPF_PROG_TYPE_SOCKET, prog, sizeof(prog), "GPL")
    sock = bpf.open_raw_sock("lo")
    sock.setsockopt(SOL_SOCKET, SO_ATTACH_BPF, prog_fd)

As there, a call answers -1 on error and leaves the reason in ``errno``; memory is passed by
address (ctypes objects). The draft's example gives ``sizeof(prog)`` as the count of instructions;
later libraries take the count, and so does ``bpf_prog_load`` here.

Source: the draft of 12 September 2014 (seed 003); helper names of the draft that Linux never had
(bpf_fetch_*, bpf_memcmp, bpf_get_current) are not here yet.
"""

import ctypes
import threading
from collections.abc import Sequence
from typing import Any, Final

from skep.attach.live import LiveInterface
from skep.errors import CommandError, NotSupported
from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.session.replay import PacketRunner
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import MapCreate, MapElem, ProgLoad

BPF_MAP_TYPE_HASH: Final = 1
BPF_PROG_TYPE_SOCKET: Final = 1  # SOCKET_FILTER today
BPF_FUNC_map_lookup_elem: Final = 1
BPF_FUNC_map_update_elem: Final = 2
BPF_FUNC_map_delete_elem: Final = 3
SOL_SOCKET: Final = 1
SO_ATTACH_BPF: Final = 50
LOG_BUF_SIZE: Final = 65536

BPF_B: Final = 0x10
BPF_H: Final = 0x08
BPF_W: Final = 0x00
BPF_DW: Final = 0x18
BPF_ADD: Final = 0x00
BPF_JEQ: Final = 0x10
BPF_REG_0, BPF_REG_1, BPF_REG_2, BPF_REG_6, BPF_REG_10 = 0, 1, 2, 6, 10


def BPF_MOV64_REG(dst: int, src: int) -> list[Insn]:  # noqa: N802 - the draft's names
    """``dst = src``."""
    return [Insn(0xBF, dst, src)]


def BPF_MOV64_IMM(dst: int, imm: int) -> list[Insn]:  # noqa: N802
    """``dst = imm``."""
    return [Insn(0xB7, dst, 0, 0, imm)]


def BPF_ALU64_IMM(op: int, dst: int, imm: int) -> list[Insn]:  # noqa: N802
    """``dst op= imm``."""
    return [Insn(0x07 | op, dst, 0, 0, imm)]


def BPF_LD_ABS(size: int, imm: int) -> list[Insn]:  # noqa: N802
    """``r0 = packet[imm]``; the packet is in r6."""
    return [Insn(0x20 | size, 0, 0, 0, imm)]


def BPF_STX_MEM(size: int, dst: int, src: int, off: int) -> list[Insn]:  # noqa: N802
    """``*(size *)(dst + off) = src``."""
    return [Insn(0x63 | size, dst, src, off)]


def BPF_LD_MAP_FD(dst: int, map_fd: int) -> list[Insn]:  # noqa: N802
    """``dst = the map of map_fd``: two slots."""
    return [Insn(0x18, dst, 1, 0, map_fd), Insn(0)]


def BPF_CALL_FUNC(function: int) -> list[Insn]:  # noqa: N802
    """``r0 = function(r1, …, r5)``."""
    return [Insn(0x85, 0, 0, 0, function)]


def BPF_JMP_IMM(op: int, dst: int, imm: int, off: int) -> list[Insn]:  # noqa: N802
    """``if dst op imm goto pc + off``."""
    return [Insn(0x05 | op, dst, 0, off, imm)]


def BPF_XADD(size: int, dst: int, src: int, off: int, _imm: int = 0) -> list[Insn]:  # noqa: N802
    """``lock *(size *)(dst + off) += src``; the draft passes a fifth argument."""
    return [Insn(0xC3 | size, dst, src, off)]


def BPF_EXIT_INSN() -> list[Insn]:  # noqa: N802
    """``return r0``."""
    return [Insn(0x95)]


class Bpf2014:
    """The draft's library over one subsystem.

    Attributes:
        errno: of the last call that answered -1.
        bpf_log_buf: what the verifier said of the last program.
    """

    def __init__(self, subsystem: Subsystem | None = None) -> None:
        self.subsystem = subsystem or Subsystem()
        self.errno = 0
        self.bpf_log_buf = ""

    def _bpf(self, number: int, attr: bytes) -> int:
        answer = self.subsystem.bpf(number, bytearray(attr))
        if answer >= 0:
            return answer
        self.errno = -answer
        return -1

    def bpf_create_map(
        self, map_type: int, key_size: int, value_size: int, max_entries: int
    ) -> int:
        """MAP_CREATE: a map descriptor, or -1."""
        attr = MapCreate(map_type=map_type, key_size=key_size, value_size=value_size,
                         max_entries=max_entries)  # fmt: skip
        return self._bpf(commands.MAP_CREATE.number, attr.encode())

    def _element(self, number: int, fd: int, key: Any, value: Any = None) -> int:
        place = ctypes.addressof(value) if value is not None else 0
        attr = MapElem(map_fd=fd, key=ctypes.addressof(key), value=place)
        return self._bpf(number, attr.encode())

    def bpf_update_elem(self, fd: int, key: Any, value: Any) -> int:
        """MAP_UPDATE_ELEM: 0, or -1."""
        return self._element(commands.MAP_UPDATE_ELEM.number, fd, key, value)

    def bpf_lookup_elem(self, fd: int, key: Any, value: Any) -> int:
        """MAP_LOOKUP_ELEM into *value*: 0, or -1."""
        return self._element(commands.MAP_LOOKUP_ELEM.number, fd, key, value)

    def bpf_delete_elem(self, fd: int, key: Any) -> int:
        """MAP_DELETE_ELEM: 0, or -1."""
        return self._element(commands.MAP_DELETE_ELEM.number, fd, key)

    def bpf_get_next_key(self, fd: int, key: Any, next_key: Any) -> int:
        """MAP_GET_NEXT_KEY into *next_key*: 0, or -1."""
        return self._element(commands.MAP_GET_NEXT_KEY.number, fd, key, next_key)

    def bpf_prog_load(
        self,
        prog_type: int,
        insns: Sequence[list[Insn]],
        insn_cnt: int,
        license: str,  # noqa: A002
    ) -> int:
        """PROG_LOAD: a program descriptor, or -1; *insn_cnt* counts 8-byte slots."""
        code = encode([insn for group in insns for insn in group])
        text = license.encode() + b"\0"
        program = ctypes.create_string_buffer(code, len(code))
        terms = ctypes.create_string_buffer(text, len(text))
        log = ctypes.create_string_buffer(LOG_BUF_SIZE)
        attr = ProgLoad(
            prog_type=prog_type, insn_cnt=insn_cnt, insns=ctypes.addressof(program),
            license=ctypes.addressof(terms), log_level=1, log_size=LOG_BUF_SIZE,
            log_buf=ctypes.addressof(log),
        )  # fmt: skip
        answer = self._bpf(commands.PROG_LOAD.number, attr.encode())
        self.bpf_log_buf = log.value.decode("utf-8", "replace")
        return answer

    def open_raw_sock(self, name: str) -> "RawSocket":
        """A packet socket on interface *name*."""
        return RawSocket(self.subsystem, name)


class RawSocket:
    """A packet socket that runs a program on every packet, on a thread of its own."""

    def __init__(self, subsystem: Subsystem, name: str) -> None:
        self._subsystem, self._live = subsystem, LiveInterface(name, wait=0.02)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def setsockopt(self, level: int, option: int, prog_fd: int) -> int:
        """Attach the program (SOL_SOCKET, SO_ATTACH_BPF); 0."""
        if (level, option) != (SOL_SOCKET, SO_ATTACH_BPF):
            raise NotSupported(f"socket option {level}, {option}", "only SO_ATTACH_BPF is served")
        if self._thread is not None:
            raise CommandError("SETSOCKOPT", 22, "a program is attached already")
        state = self._subsystem.state
        target = state.objects.get("SETSOCKOPT", prog_fd, Kind.PROG).target
        assert isinstance(target, LoadedProgram)
        runner = PacketRunner(state, target)
        self._thread = threading.Thread(target=self._run, args=(runner,), daemon=True)
        self._thread.start()
        return 0

    def _run(self, runner: PacketRunner) -> None:
        for batch in self._live.batches():
            runner.run(batch)
            if self._stop.is_set() and not len(batch):
                return

    def close(self) -> None:
        """Stop once all that arrived was run; close the socket."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._live.close()
