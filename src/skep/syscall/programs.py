"""PROG_LOAD and PROG_BIND_MAP.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_load), kernel/bpf/verifier.c (check_btf_info).
"""

import hashlib
import os
import struct
import time
from collections.abc import Sequence
from errno import E2BIG, EACCES, EINVAL, EOPNOTSUPP
from typing import Final

from skep.btf.graph import Btf
from skep.engine.interface import Entry
from skep.errors import BtfError
from skep.isa.codec import decode, encode
from skep.isa.insn import Insn
from skep.syscall.call import Call
from skep.syscall.environment import SubsystemEnvironment, hold_maps
from skep.syscall.log import LogBuffer
from skep.syscall.maps import as_map, object_name
from skep.syscall.objects import Kind
from skep.syscall.state import BtfObject, State
from skep.uapi import program_types
from skep.uapi.commands import ProgBindMap, ProgLoad
from skep.uapi.program_types import ProgramType
from skep.verifier import Proof, Rejected, Request, verify
from skep.verifier.interface import FunctionInfo, LineInfo

MAX_INSNS: Final = 1_000_000
LICENSE_SIZE: Final = 128
KNOWN_FLAGS: Final = 0xFF | 1 << 16
SLEEPABLE: Final = 0x10
TOKEN_FD: Final = 1 << 16
FUNC_INFO: Final = struct.Struct("<II")
LINE_INFO: Final = struct.Struct("<IIII")
RECORDS: Final = (("func_info", FUNC_INFO), ("line_info", LINE_INFO))
MAX_RECORD: Final = 252
WIDE: Final = 0x18
MAP_SOURCES: Final = frozenset({1, 2})


class LoadedProgram:
    """A program that was proved and compiled.

    Attributes:
        proof: what runs.
        entry: calls it.
        btf_id: id of its BTF object, 0 if it has none.
        func_info, line_info: the records that it was loaded with, each of its known size.
        run_count, run_ns: runs and their time while statistics are on.
    """

    def __init__(self, id: int, proof: Proof, entry: Entry, original: bytes) -> None:  # noqa: A002
        self.id, self.proof, self.entry = id, proof, entry
        self.address = entry.address
        self.name = proof.request.name
        self.type = proof.request.program_type
        self.tag = tag_of(original)
        self.load_time_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.uid = os.getuid()
        self.btf_id = 0
        self.func_info = self.line_info = b""
        self.run_count = self.run_ns = 0

    @property
    def kind_of_program(self) -> tuple[str, int]:
        """What programs of one program array have in common."""
        return self.type.name, self.proof.request.prog_flags & 0x20  # XDP_HAS_FRAGS

    def close(self) -> None:
        """Machine code and proof go with the object."""


def tag_of(code: bytes) -> bytes:
    """The 8-byte tag: SHA-256 of the instructions, map descriptors taken out (6.18)."""
    insns, was_wide = [], False
    for insn in decode(code):
        first = insn.code == WIDE and insn.src in MAP_SOURCES
        cleared = Insn(insn.code, insn.dst, insn.src, insn.off, 0) if first or was_wide else insn
        insns.append(cleared)
        was_wide = first
    return hashlib.sha256(encode(insns)).digest()[:8]


def load(state: State, call: Call[ProgLoad]) -> int:
    """PROG_LOAD: bytes in, descriptor out. The whole pipeline, in order."""
    log = LogBuffer.of_program(call)
    environment = SubsystemEnvironment(state)
    try:
        code = read_code(call)
        request = build_request(state, call, environment, decode(code))
        proof = prove(request, log)
        entry = state.engine.compile(proof)
    except BaseException:
        environment.release()
        raise
    program = LoadedProgram(state.new_id(Kind.PROG), proof, entry, code)
    program.btf_id = environment.program_btf_id
    program.func_info, program.line_info = (shown_records(call, *known) for known in RECORDS)
    return state.objects.install(Kind.PROG, program, environment.holds)


def prove(request: Request, log: LogBuffer) -> Proof:
    """Verify, and write the text log whatever the verdict; a log that was cut is a refusal."""
    try:
        proof = verify(request)
    except Rejected as rejected:
        log.finish(rejected.log)
        raise
    log.finish(proof.log)
    return proof


def read_code(call: Call[ProgLoad]) -> bytes:
    """The instructions, as bytes; checks what comes before them."""
    attr = call.attr
    call.require(not attr.prog_flags & ~KNOWN_FLAGS, EINVAL, "unknown flags", "prog_flags")
    call.require(not attr.prog_flags & TOKEN_FD, EOPNOTSUPP, "there are no tokens", "prog_flags")
    call.require(0 < attr.insn_cnt <= MAX_INSNS, E2BIG, f"1 to {MAX_INSNS} instructions",
                 "insn_cnt")  # fmt: skip
    call.require(not attr.core_relo_cnt, EOPNOTSUPP, "relocate in the loader", "core_relo_cnt")
    call.require(not attr.prog_ifindex, EOPNOTSUPP, "no device to offload to", "prog_ifindex")
    call.require(not attr.signature, EOPNOTSUPP, "signatures are not checked yet", "signature")
    return call.memory.read(attr.insns, 8 * attr.insn_cnt)


def build_request(
    state: State, call: Call[ProgLoad], environment: SubsystemEnvironment, insns: Sequence[Insn]
) -> Request:
    """Everything that the verifier gets to see."""
    attr = call.attr
    license_ = call.string(attr.license, LICENSE_SIZE).decode("latin-1")
    name = object_name(call, "prog_name")
    type_, attach_type = check_type(call)
    btf = _program_btf(state, call, environment)
    attach_btf, attach_program = _target(state, call, type_)
    array = _fd_array(state, call, environment)
    return Request(
        insns=insns, program_type=type_, environment=environment,
        expected_attach_type=attach_type, prog_flags=attr.prog_flags, license=license_,
        name=name, btf=btf,
        function_infos=_functions(call) if btf else (),
        line_infos=_lines(call, btf) if btf else (),
        attach_btf=attach_btf, attach_btf_id=attr.attach_btf_id, attach_program=attach_program,
        fd_array=array, log_level=attr.log_level,
    )  # fmt: skip


def check_type(call: Call[ProgLoad]) -> tuple[ProgramType, int]:
    """Program type and expected attach type, if they go together."""
    attr = call.attr
    type_ = program_types.by_id(attr.prog_type)
    if type_ is None:
        raise call.refuse(EINVAL, "no such program type", "prog_type")
    if type_.name == "lirc_mode2":
        raise call.refuse(EINVAL, "infrared receivers are not configured", "prog_type")
    attach_type = program_types.effective_attach_type(type_, attr.expected_attach_type)
    call.require(program_types.may_have_attach_type(type_, attach_type), EINVAL,
                 f"not for programs of type {type_.name}", "expected_attach_type")  # fmt: skip
    return type_, attach_type


def _program_btf(
    state: State, call: Call[ProgLoad], environment: SubsystemEnvironment
) -> Btf | None:
    attr = call.attr
    if not (attr.prog_btf_fd or attr.func_info_cnt or attr.line_info_cnt):
        return None
    target = state.objects.get(call.command.name, attr.prog_btf_fd, Kind.BTF).target
    assert isinstance(target, BtfObject)
    call.require(not target.is_kernel, EACCES, "is the kernel's BTF", "prog_btf_fd")
    environment.btf_by_fd(attr.prog_btf_fd)  # held as long as the program
    environment.program_btf_id = target.id
    return target.btf


def _target(
    state: State, call: Call[ProgLoad], type_: ProgramType
) -> tuple[Btf | None, Proof | None]:
    """BTF and program that attach_btf_id refers to."""
    attr = call.attr
    if not attr.attach_btf_id:
        call.require(not attr.attach_prog_fd, EINVAL, "needs attach_btf_id", "attach_prog_fd")
        return None, None
    call.require(type_.typed or type_.name in {"lsm", "struct_ops", "ext"}, EINVAL,
                 f"not for programs of type {type_.name}", "attach_btf_id")  # fmt: skip
    if attr.attach_prog_fd:
        target = state.objects.get(call.command.name, attr.attach_prog_fd).target
        if isinstance(target, LoadedProgram):
            return target.proof.request.btf, target.proof
        if isinstance(target, BtfObject):
            return target.btf, None
        raise call.refuse(EINVAL, "neither a program nor BTF", "attach_prog_fd")
    call.require(state.kernel_btf is not None, EINVAL, "no kernel BTF is in force", "attach_btf_id")
    return state.kernel_btf, None


def _fd_array(
    state: State, call: Call[ProgLoad], environment: SubsystemEnvironment
) -> Sequence[int] | None:
    attr = call.attr
    if not attr.fd_array:
        call.require(not attr.fd_array_cnt, EINVAL, "without fd_array", "fd_array_cnt")
        return None
    if not attr.fd_array_cnt:
        return _SparseArray(call)
    data = call.memory.read(attr.fd_array, 4 * attr.fd_array_cnt)
    fds = struct.unpack(f"<{attr.fd_array_cnt}i", data)
    hold_maps(state, fds, environment)
    return fds


class _SparseArray(Sequence[int]):
    """An fd_array of unknown length, read where it is asked."""

    def __init__(self, call: Call[ProgLoad]) -> None:
        self._call = call

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: object) -> int:  # type: ignore[override]  # no slices
        assert isinstance(index, int)
        data = self._call.memory.read(self._call.attr.fd_array + 4 * index, 4)
        return int.from_bytes(data, "little", signed=True)


def shown_records(call: Call[ProgLoad], kind: str, layout: struct.Struct) -> bytes:
    """The records of func_info or line_info, packed."""
    if not call.attr.prog_btf_fd:
        return b""
    return b"".join(layout.pack(*row) for row in _records(call, kind, layout))


def _records(call: Call[ProgLoad], kind: str, layout: struct.Struct) -> list[tuple[int, ...]]:
    """The records of func_info or line_info; longer ones must end in zeros."""
    size: int = getattr(call.attr, f"{kind}_rec_size")
    count: int = getattr(call.attr, f"{kind}_cnt")
    address: int = getattr(call.attr, kind)
    if not count:
        return []
    good = layout.size <= size <= MAX_RECORD and size % 4 == 0
    call.require(good, EINVAL, f"{layout.size} to {MAX_RECORD}, by 4", f"{kind}_rec_size")
    call.require(count <= call.attr.insn_cnt, EINVAL, "more than instructions", f"{kind}_cnt")
    data = call.memory.read(address, size * count)
    rows = []
    for start in range(0, len(data), size):
        call.require(not any(data[start + layout.size : start + size]), E2BIG,
                     "bytes set beyond the known members", f"{kind}_rec_size")  # fmt: skip
        rows.append(layout.unpack_from(data, start))
    return rows


def _functions(call: Call[ProgLoad]) -> list[FunctionInfo]:
    return [FunctionInfo(pc, type_id) for pc, type_id in _records(call, "func_info", FUNC_INFO)]


def _lines(call: Call[ProgLoad], btf: Btf) -> list[LineInfo]:
    lines = []
    for pc, file, text, place in _records(call, "line_info", LINE_INFO):
        try:
            names = btf.string(file), btf.string(text)
        except BtfError as error:
            raise call.refuse(EINVAL, f"line_info of insn {pc}: {error}") from None
        lines.append(LineInfo(pc, names[0], place >> 10, place & 0x3FF, names[1]))
    return lines


def bind_map(state: State, call: Call[ProgBindMap]) -> int:
    """PROG_BIND_MAP: the program keeps the map alive."""
    call.require(not call.attr.flags, EINVAL, "must be 0", "flags")
    objects = state.objects
    with objects.lock:
        program = objects.get(call.command.name, call.attr.prog_fd, Kind.PROG)
        held = objects.get(call.command.name, call.attr.map_fd, Kind.MAP)
        as_map(held)
        if held not in program.holds:
            program.holds.append(objects.take(held))
    return 0
