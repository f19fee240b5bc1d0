"""What PROG_LOAD's arguments say, checked in the order in which Linux checks it.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_load, bpf_prog_load_check_attach),
kernel/bpf/verifier.c (process_fd_array, check_btf_info).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from errno import E2BIG, EACCES, EFAULT, EINVAL, EOPNOTSUPP
from typing import Final

from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.isa.codec import decode
from skep.syscall import permissions
from skep.syscall.call import Call
from skep.syscall.credentials import Capability
from skep.syscall.environment import SubsystemEnvironment, hold_maps
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import object_name
from skep.syscall.objects import Kind
from skep.syscall.signatures import check_signature
from skep.syscall.state import BtfObject, State
from skep.syscall.tokens import Token
from skep.uapi import program_types
from skep.uapi.commands import ENOTSUPP, ProgLoad
from skep.uapi.flags import ProgFlag, ProgType
from skep.uapi.program_types import ProgramType
from skep.verifier import Proof, Request
from skep.verifier.interface import FunctionInfo, LineInfo

LICENSE_SIZE: Final = 127
KNOWN_FLAGS: Final = 0xFF | int(ProgFlag.TOKEN_FD)
MAX_TYPE_ID: Final = 0x000F_FFFF
FUNC_INFO: Final = struct.Struct("<II")
LINE_INFO: Final = struct.Struct("<IIII")
RECORDS: Final = (("func_info", FUNC_INFO), ("line_info", LINE_INFO))
MAX_RECORD: Final = 252
TARGETED: Final = frozenset({ProgType.TRACING, ProgType.LSM, ProgType.STRUCT_OPS, ProgType.EXT})
DEVICE_BOUND: Final = frozenset({ProgType.XDP, ProgType.SCHED_CLS})
ON_PROGRAMS: Final = frozenset({ProgType.TRACING, ProgType.EXT})


@dataclass(frozen=True, slots=True)
class Target:
    """What attach_btf_id counts in: the types of a kernel, or a program."""

    btf: Btf | None = None
    program: Proof | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What comes before the verifier: code and all that names it."""

    code: bytes
    license: str
    name: str
    type: ProgramType
    attach_type: int
    target: Target
    token: Token | None = None


def read_source(state: State, call: Call[ProgLoad]) -> Source:
    """Check and read everything that Linux looks at before it verifies."""
    attr = call.attr
    call.require(not attr.prog_flags & ~KNOWN_FLAGS, EINVAL, "unknown flags", "prog_flags")
    row = program_types.by_id(attr.prog_type)
    token = _check_rights(state, call, row)
    target = _target(state, call)
    attach_type = _check_attach(call, row, target)
    code = call.memory.read(attr.insns, 8 * attr.insn_cnt)
    license_ = call.string(attr.license, LICENSE_SIZE).decode("latin-1")
    check_signature(call)
    bound = attr.prog_type in DEVICE_BOUND
    call.require(not attr.prog_ifindex, EOPNOTSUPP if bound else EINVAL, "no device to offload to",
                 "prog_ifindex")  # fmt: skip
    if row is None or row.id == ProgType.LIRC_MODE2:  # infrared receivers are seldom configured
        raise call.refuse(EINVAL, "no such program type", "prog_type")
    return Source(code, license_, object_name(call, "prog_name"), row, attach_type, target,
                  token)  # fmt: skip


def _check_rights(
    state: State, call: Call[ProgLoad], row: ProgramType | None
) -> Token | None:
    """The token that the program is loaded by, if the caller may load it, and one so long."""
    expected = call.attr.expected_attach_type
    if row is not None:
        expected = program_types.effective_attach_type(row, expected)
    token = permissions.program_token(state, call, expected)
    permissions.check_unprivileged(call, token)
    most = permissions.most_insns(call, token)
    call.require(0 < call.attr.insn_cnt <= most, E2BIG, f"1 to {most} instructions", "insn_cnt")
    permissions.check_program_type(call, row, token)
    return token


def _target(state: State, call: Call[ProgLoad]) -> Target:
    attr = call.attr
    if attr.attach_prog_fd:
        holding = state.objects.find(attr.attach_prog_fd)
        target = holding.target if holding is not None else None
        if isinstance(target, LoadedProgram):
            return Target(target.proof.request.btf, target.proof)
        if not isinstance(target, BtfObject):
            raise call.refuse(EINVAL, "neither a program nor BTF", "attach_prog_fd")
        call.require(target.is_kernel, ENOTSUPP, "not the kernel's BTF", "attach_prog_fd")
        return Target(target.btf)
    if attr.attach_btf_id:
        message = "no kernel BTF is in force"
        call.require(state.kernel_btf is not None, EINVAL, message, "attach_btf_id")
        return Target(state.kernel_btf)
    return Target()


def _check_attach(call: Call[ProgLoad], row: ProgramType | None, target: Target) -> int:
    """The expected attach type, if it and the target fit the program type."""
    attr = call.attr
    on_types = target.btf is not None and target.program is None
    if attr.attach_btf_id:
        call.require(attr.attach_btf_id <= MAX_TYPE_ID, EINVAL, "not a type id", "attach_btf_id")
        call.require(attr.prog_type in TARGETED, EINVAL, "only for typed programs", "attach_btf_id")
    call.require(not on_types or attr.attach_btf_id, EINVAL, "needs attach_btf_id",
                 "attach_prog_fd")  # fmt: skip
    call.require(target.program is None or attr.prog_type in ON_PROGRAMS, EINVAL,
                 "only for tracing and ext programs", "attach_prog_fd")  # fmt: skip
    if row is None:
        return attr.expected_attach_type
    attach_type = program_types.effective_attach_type(row, attr.expected_attach_type)
    call.require(program_types.may_have_attach_type(row, attach_type), EINVAL,
                 f"not for programs of type {row.name}", "expected_attach_type")  # fmt: skip
    return attach_type


def read_fds(
    state: State, call: Call[ProgLoad], environment: SubsystemEnvironment
) -> Sequence[int] | None:
    """The fd_array: known in full if it has a length, else read where it is asked."""
    attr = call.attr
    if not attr.fd_array_cnt:
        return _SparseArray(call) if attr.fd_array else None
    call.require(attr.fd_array_cnt < 0xFFFF_FFFF // 4, EINVAL, "too many", "fd_array_cnt")
    call.require(attr.fd_array, EFAULT, "not an address", "fd_array")
    data = call.memory.read(attr.fd_array, 4 * attr.fd_array_cnt)
    fds = struct.unpack(f"<{attr.fd_array_cnt}i", data)
    hold_maps(state, fds, environment)
    return fds


class _SparseArray(Sequence[int]):
    """An fd_array of unknown length."""

    def __init__(self, call: Call[ProgLoad]) -> None:
        self._call = call

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: object) -> int:  # type: ignore[override]  # no slices
        assert isinstance(index, int)
        data = self._call.memory.read(self._call.attr.fd_array + 4 * index, 4)
        return int.from_bytes(data, "little", signed=True)


def build_request(
    state: State,
    call: Call[ProgLoad],
    environment: SubsystemEnvironment,
    source: Source,
    fds: Sequence[int] | None,
    log_level: int,
) -> Request:
    """Everything that the verifier gets to see."""
    attr, who = call.attr, call.credentials
    bpf = who.may(Capability.BPF, source.token)
    perfmon = who.may(Capability.PERFMON, source.token)
    btf = _program_btf(state, call, environment)
    return Request(
        insns=decode(source.code), environment=environment,
        program_type=permissions.allowed_helpers(source.type, bpf=bpf, perfmon=perfmon),
        privileged=bpf and perfmon,
        expected_attach_type=source.attach_type, prog_flags=attr.prog_flags,
        license=source.license, name=source.name, btf=btf,
        function_infos=_functions(call) if btf else (),
        line_infos=_lines(call, btf) if btf else (),
        attach_btf=source.target.btf, attach_btf_id=attr.attach_btf_id,
        attach_program=source.target.program, fd_array=fds, log_level=log_level,
    )  # fmt: skip


def _program_btf(
    state: State, call: Call[ProgLoad], environment: SubsystemEnvironment
) -> Btf | None:
    """The program's BTF; Linux looks at it only if there are records that refer to it."""
    attr = call.attr
    if not attr.func_info_cnt and not attr.line_info_cnt:
        return None
    target = state.objects.get(call.command.name, attr.prog_btf_fd, Kind.BTF).target
    assert isinstance(target, BtfObject)
    call.require(not target.is_kernel, EACCES, "is the kernel's BTF", "prog_btf_fd")
    call.require(not attr.core_relo_cnt, EOPNOTSUPP, "relocate in the loader", "core_relo_cnt")
    environment.btf_by_fd(attr.prog_btf_fd)  # held as long as the program
    environment.program_btf_id = target.id
    return target.btf


def shown_records(call: Call[ProgLoad], kind: str, layout: struct.Struct) -> bytes:
    """The records of func_info or line_info, packed."""
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
    data = call.memory.read(address, size * min(count, call.attr.insn_cnt))
    rows = []
    for start in range(0, len(data), size):
        call.require(not any(data[start + layout.size : start + size]), E2BIG,
                     "bytes set beyond the known members", f"{kind}_rec_size")  # fmt: skip
        rows.append(layout.unpack_from(data, start))
    call.require(count <= call.attr.insn_cnt, EINVAL, "more than instructions", f"{kind}_cnt")
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
