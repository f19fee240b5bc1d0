"""What PROG_LOAD's arguments say, checked in the order in which Linux checks it.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_load, bpf_prog_load_check_attach),
kernel/bpf/verifier.c (process_fd_array, check_btf_info).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from socket import if_indextoname
from typing import Final, NamedTuple

from skep.btf.codec import read_words
from skep.btf.graph import Btf
from skep.isa.codec import decode
from skep.syscall import permissions
from skep.syscall.call import Call
from skep.syscall.credentials import Capability
from skep.syscall.environment import SubsystemEnvironment, hold_map
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import object_name
from skep.syscall.objects import Holding, Kind
from skep.syscall.signatures import check_signature
from skep.syscall.state import BtfObject, State
from skep.syscall.tokens import Token
from skep.uapi import program_types
from skep.uapi import reasons_programs as reasons
from skep.uapi.commands import ProgLoad
from skep.uapi.flags import ProgFlag, ProgType
from skep.uapi.program_types import ProgramType
from skep.uapi.reason import Reason
from skep.verifier import Proof, Request
from skep.verifier.interface import FunctionInfo, LineTable

LICENSE_SIZE: Final = 127
KNOWN_FLAGS: Final = 0xFF | int(ProgFlag.TOKEN_FD)
MAX_TYPE_ID: Final = 0x000F_FFFF
MAX_RECORD: Final = 252
MAX_LINES: Final = 0x7FFF_FFFF // 16  # INT_MAX / sizeof(struct bpf_line_info)
TARGETED: Final = frozenset({ProgType.TRACING, ProgType.LSM, ProgType.STRUCT_OPS, ProgType.EXT})
DEVICE_BOUND: Final = frozenset({ProgType.XDP, ProgType.SCHED_CLS})
ON_PROGRAMS: Final = frozenset({ProgType.TRACING, ProgType.EXT})


class Records(NamedTuple):
    """Records of debug information: their members' prefix, their layout, what may be wrong."""

    name: str
    layout: struct.Struct
    bad_size: Reason
    bad_tail: Reason
    bad_count: Reason


FUNC_INFO: Final = Records(
    "func_info", struct.Struct("<II"), reasons.FUNC_SIZE, reasons.FUNC_TAIL, reasons.FUNC_COUNT
)
LINE_INFO: Final = Records(
    "line_info", struct.Struct("<IIII"), reasons.LINE_SIZE, reasons.LINE_TAIL, reasons.LINE_COUNT
)
RECORDS: Final = (FUNC_INFO, LINE_INFO)


@dataclass(frozen=True, slots=True)
class Target:
    """What attach_btf_id counts in: the types of a kernel, or a program."""

    btf: Btf | None = None
    program: Proof | None = None
    holding: Holding | None = None  # of the program


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
    call.check(not attr.prog_flags & ~KNOWN_FLAGS, reasons.FLAGS)
    row = program_types.by_id(attr.prog_type)
    token = _check_rights(state, call, row)
    target = _target(state, call)
    attach_type = _check_attach(call, row, target)
    code = call.read("insns", 8 * attr.insn_cnt)
    license_ = call.text("license", LICENSE_SIZE).decode("latin-1")
    check_signature(call)
    if attr.prog_ifindex:
        _check_device(call)
    if row is None or row.id == ProgType.LIRC_MODE2:  # infrared receivers are seldom configured
        raise call.refusal(reasons.PROG_TYPE)
    name = object_name(call, "prog_name", reasons.PROG_NAME)
    return Source(code, license_, name, row, attach_type, target, token)


def _check_device(call: Call[ProgLoad]) -> None:
    """Refuse a device to run the program: none of this machine can."""
    attr = call.attr
    xdp, bound = attr.prog_type == ProgType.XDP, attr.prog_flags & ProgFlag.XDP_DEV_BOUND_ONLY
    frags = attr.prog_flags & ProgFlag.XDP_HAS_FRAGS
    call.check(attr.prog_type in DEVICE_BOUND, reasons.IFINDEX)
    allowed = int(ProgFlag.XDP_DEV_BOUND_ONLY | ProgFlag.XDP_HAS_FRAGS)
    call.check(not attr.prog_flags & ~allowed, reasons.DEVICE_FLAGS)
    call.check(bound or not frags, reasons.DEVICE_FLAGS)
    call.check(xdp or not bound, reasons.DEVICE_FLAGS)
    try:
        if_indextoname(attr.prog_ifindex)
    except (OSError, OverflowError):
        raise call.refusal(reasons.IFINDEX, "there is no such device") from None
    raise call.refusal(reasons.OFFLOAD)


def _check_rights(state: State, call: Call[ProgLoad], row: ProgramType | None) -> Token | None:
    """The token that the program is loaded by, if the caller may load it, and one so long."""
    expected = call.attr.expected_attach_type
    if row is not None:
        expected = program_types.effective_attach_type(row, expected)
    token = permissions.program_token(state, call, expected)
    permissions.check_unprivileged(call, token)
    most = permissions.most_insns(call, token)
    call.check(0 < call.attr.insn_cnt <= most, reasons.INSN_COUNT, f"1 to {most} instructions")
    permissions.check_program_type(call, row, token)
    return token


def _target(state: State, call: Call[ProgLoad]) -> Target:
    attr = call.attr
    if attr.attach_prog_fd:
        holding = state.objects.find(attr.attach_prog_fd)
        target = holding.target if holding is not None else None
        if isinstance(target, LoadedProgram):
            return Target(target.proof.request.btf, target.proof, holding)
        if not isinstance(target, BtfObject):
            raise call.refusal(reasons.TARGET_FD)
        call.check(target.is_kernel, reasons.TARGET_BTF)
        return Target(target.btf)
    if attr.attach_btf_id:
        call.check(state.kernel_btf is not None, reasons.TARGET_NO_TYPES)
        return Target(state.kernel_btf)
    return Target()


def _check_attach(call: Call[ProgLoad], row: ProgramType | None, target: Target) -> int:
    """The expected attach type, if it and the target fit the program type."""
    attr = call.attr
    on_types = target.btf is not None and target.program is None
    if attr.attach_btf_id:
        call.check(attr.attach_btf_id <= MAX_TYPE_ID, reasons.TARGET_RANGE)
        call.check(attr.prog_type in TARGETED, reasons.TARGET_TYPED)
    call.check(not on_types or attr.attach_btf_id, reasons.TARGET_WITHOUT_ID)
    on_program = target.program is not None
    call.check(not on_program or attr.prog_type in ON_PROGRAMS, reasons.TARGET_PROGRAM)
    if row is None:
        return attr.expected_attach_type
    attach_type = program_types.effective_attach_type(row, attr.expected_attach_type)
    fits = program_types.may_have_attach_type(row, attach_type)
    call.check(fits, reasons.ATTACH_TYPE, f"not for programs of type {row.name}")
    return attach_type


def read_fds(
    state: State, call: Call[ProgLoad], environment: SubsystemEnvironment
) -> Sequence[int] | None:
    """The fd_array: known in full if it has a length, else read where it is asked."""
    attr = call.attr
    if not attr.fd_array_cnt:
        return _SparseArray(call) if attr.fd_array else None
    call.check(attr.fd_array_cnt < 0xFFFF_FFFF // 4, reasons.FD_COUNT)
    call.check(attr.fd_array, reasons.FD_ARRAY)
    known, fds = _SparseArray(call), []
    for index in range(attr.fd_array_cnt):  # one by one: the first that is wrong decides
        fds.append(known[index])
        hold_map(state, fds[-1], environment)
    return fds


class _SparseArray(Sequence[int]):
    """An fd_array of unknown length."""

    def __init__(self, call: Call[ProgLoad]) -> None:
        self._call = call

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: object) -> int:  # type: ignore[override]  # no slices
        assert isinstance(index, int)
        data = self._call.read("fd_array", 4, 4 * index)
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
        program_type=permissions.allowed_helpers(source.type, who, source.token),
        privileged=bpf and perfmon, has_cap_bpf=bpf,
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
    name, fd = call.command.name, attr.prog_btf_fd
    target = state.objects.get(name, fd, Kind.BTF, "prog_btf_fd").target
    assert isinstance(target, BtfObject)
    call.check(not target.is_kernel, reasons.PROG_BTF)
    call.check(not attr.core_relo_cnt, reasons.CORE)
    environment.btf_by_fd(attr.prog_btf_fd)  # held as long as the program
    environment.program_btf_id = target.id
    return target.btf


def read_records(call: Call[ProgLoad], records: Records) -> bytes:
    """The records of func_info or line_info, packed: as much of each as is known."""
    name, known = records.name, records.layout.size
    size: int = getattr(call.attr, f"{name}_rec_size")
    count: int = getattr(call.attr, f"{name}_cnt")
    if not count:
        return b""
    call.check(known <= size <= MAX_RECORD and size % 4 == 0, records.bad_size)
    call.check(records is FUNC_INFO or count <= MAX_LINES, records.bad_count)
    data = call.read(name, size * min(count, call.attr.insn_cnt))
    if size > known:  # longer ones must end in zeros
        rows = [data[start : start + size] for start in range(0, len(data), size)]
        call.check(not any(any(row[known:]) for row in rows), records.bad_tail)
        data = b"".join(row[:known] for row in rows)
    call.check(count <= call.attr.insn_cnt, records.bad_count)
    return data


def _functions(call: Call[ProgLoad]) -> list[FunctionInfo]:
    rows = FUNC_INFO.layout.iter_unpack(read_records(call, FUNC_INFO))
    return [FunctionInfo(pc, type_id) for pc, type_id in rows]


def _lines(call: Call[ProgLoad], btf: Btf) -> LineTable:
    table = LineTable(read_words(read_records(call, LINE_INFO)), btf)
    index = table.first_nameless()
    if index >= 0:
        where = f"insn {table.starts[index]}: its file or its text is no string of the program's"
        refusal = call.refusal(reasons.LINE_NAMES, where)
        refusal.text = f"Invalid line_info[{index}].line_off or .file_name_off\n"
        raise refusal
    return table
