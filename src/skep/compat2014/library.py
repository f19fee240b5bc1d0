"""The draft's library over one subsystem: wrappers, events, packet sockets.

The draft's example runs in its own words::

    bpf = Bpf2014()
    map_fd = bpf.bpf_create_map(BPF_MAP_TYPE_HASH, 4, 8, 2)
    prog_fd = bpf.bpf_prog_load(BPF_PROG_TYPE_SOCKET, prog, len(prog), "GPL")
    sock = bpf.open_raw_sock("lo")
    sock.setsockopt(SOL_SOCKET, SO_ATTACH_BPF, prog_fd)

As there, a call answers -1 on error and leaves the reason in ``errno``; memory is passed by
address (ctypes objects). The draft's example gives ``sizeof(prog)`` as the count of instructions;
later libraries take the count, and so does ``bpf_prog_load`` here.

Source: the draft of 12 September 2014 (seed 003).
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import EACCES, EBADF, EINVAL
from typing import Any, Final

from skep.attach.tracepoints import context_end
from skep.compat2014 import tracefs
from skep.compat2014.macros import LOG_BUF_SIZE
from skep.compat2014.profile import PROFILES, Profile, UnknownFunction, translate
from skep.compat2014.sockets import RawSocket
from skep.compat2014.tracefs import TraceFile, context_of
from skep.errors import CommandError
from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.loader import logged
from skep.runtime.tracepoints import Event, Tracepoint
from skep.syscall.firing import run_on
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import MapCreate, MapElem, ProgLoad
from skep.uapi.flags import ProgType
from skep.verifier import Rejected, verify

FIRST_FILE: Final = 1 << 20  # descriptors of files, above those of objects


class Bpf2014:
    """Wrappers with the draft's names.

    Attributes:
        errno: of the last call that answered -1.
        bpf_log_buf: what the verifier said of the last program.
    """

    def __init__(self, subsystem: Subsystem | None = None) -> None:
        self.subsystem = subsystem or Subsystem()
        self.errno = 0
        self.bpf_log_buf = ""
        self._files: dict[int, TraceFile | None] = {}

    def _bpf(self, number: int, attr: bytes) -> int:
        answer = logged.call(self.subsystem, number, bytearray(attr))
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
        code = [insn for group in insns for insn in group]
        profile = PROFILES.get(prog_type)
        if profile is None or insn_cnt != len(code):
            return self._load(prog_type, code, insn_cnt, license)
        try:
            code = translate(code, profile)
        except UnknownFunction as unknown:
            self.bpf_log_buf = str(unknown)
            return self._fail(EINVAL)
        fd = self._load(profile.type, code, len(code), license)
        return self._keep_to(profile, fd) if fd >= 0 else fd

    def _load(self, prog_type: int, insns: Sequence[Insn], insn_cnt: int, terms: str) -> int:
        code, text = encode(insns), terms.encode() + b"\0"
        program = ctypes.create_string_buffer(code, max(len(code), 8 * insn_cnt))
        license_ = ctypes.create_string_buffer(text, len(text))
        log = ctypes.create_string_buffer(LOG_BUF_SIZE)
        attr = ProgLoad(
            prog_type=prog_type, insn_cnt=insn_cnt, insns=ctypes.addressof(program),
            license=ctypes.addressof(license_), log_level=1, log_size=LOG_BUF_SIZE,
            log_buf=ctypes.addressof(log),
        )  # fmt: skip
        answer = self._bpf(commands.PROG_LOAD.number, attr.encode())
        self.bpf_log_buf = log.value.decode("utf-8", "replace")
        return answer

    def _keep_to(self, profile: Profile, fd: int) -> int:
        """*fd*, if its program keeps to what the draft's type adds to today's; else -1."""
        proof = self._program(fd).proof
        if profile.context_size and (end := context_end(proof)) > profile.context_size:
            self.bpf_log_buf += f"invalid bpf_context access: it ends at {end}\n"
            return self._unload(fd, EACCES)
        if not profile.pointers:
            try:
                verify(replace(proof.request, privileged=False))
            except Rejected as rejected:
                self.bpf_log_buf = rejected.log or str(rejected)
                return self._unload(fd, rejected.errno)
        return fd

    def _unload(self, fd: int, errno: int) -> int:
        self.subsystem.close(fd)
        return self._fail(errno)

    def _fail(self, errno: int) -> int:
        self.errno = errno
        return -1

    def _program(self, fd: int) -> LoadedProgram:
        target = self.subsystem.state.objects.get("PROG", fd, Kind.PROG).target
        assert isinstance(target, LoadedProgram)
        return target

    # --- events -----------------------------------------------------------------------------------

    def open(self, path: str) -> int:
        """Open a file of the virtual tracefs: a descriptor, or -1."""
        points = self.subsystem.state.world.tracepoints
        try:
            file = tracefs.open_file(points, path, self._attach)
        except CommandError as error:
            return self._fail(error.errno)
        fd = FIRST_FILE + len(self._files)
        self._files[fd] = file
        return fd

    def write(self, fd: int, data: bytes) -> int:
        """Write to a file: bytes written, or -1."""
        file = self._files.get(fd)
        try:
            return file.write(data) if file is not None else self._fail(EBADF)
        except CommandError as error:
            return self._fail(error.errno)

    def read(self, fd: int, size: int) -> bytes | int:
        """Read from a file: the bytes, or -1."""
        file = self._files.get(fd)
        return file.read(size) if file is not None else self._fail(EBADF)

    def ioctl(self, fd: int, request: int, argument: int) -> int:
        """Control a perf event, as PERF_EVENT_IOC_SET_BPF does: 0, or -1."""
        answer = self.subsystem.ioctl(fd, request, argument)
        return answer if answer >= 0 else self._fail(-answer)

    def close(self, fd: int) -> int:
        """Close a map, program or file: 0, or -1."""
        file = self._files.get(fd)
        try:
            if file is None:
                self.subsystem.close(fd)
            else:
                self._files[fd] = None
                file.close()
        except CommandError as error:
            return self._fail(error.errno)
        return 0

    def _attach(self, point: Tracepoint, prog_fd: int) -> Callable[[], None]:
        """Put a tracing program on *point*; how to take it off."""
        state = self.subsystem.state
        holding = state.objects.take(state.objects.get("WRITE", prog_fd, Kind.PROG))
        program = self._program(prog_fd)
        fits = program.type.id == ProgType.RAW_TRACEPOINT
        if not fits or context_end(program.proof) > tracefs.CONTEXT.size:
            state.objects.drop(holding)
            raise CommandError("WRITE", EINVAL, f"fd {prog_fd} is no tracing program of the draft")

        def run(event: Event) -> None:
            run_on(state, program, context_of(event))

        def detach() -> None:
            point.forget(run)
            state.objects.drop(holding)

        point.observe(run)
        return detach

    def open_raw_sock(self, name: str) -> RawSocket:
        """A packet socket on interface *name*."""
        return RawSocket(self.subsystem, name)
