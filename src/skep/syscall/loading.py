"""BTF_LOAD, and ENABLE_STATS: objects that are nothing but themselves.

Source: Linux 6.18 kernel/bpf/btf.c (btf_new_fd, btf_parse), kernel/bpf/syscall.c
(bpf_enable_stats).
"""

from collections.abc import Mapping
from typing import Final

from skep.btf.object_types import ObjectTypes
from skep.btf.validate import validate
from skep.errors import BtfError
from skep.syscall.call import Call
from skep.syscall.log import LogBuffer
from skep.syscall.objects import Kind
from skep.syscall.permissions import check_btf
from skep.syscall.state import BtfObject, State
from skep.uapi import reasons_programs as reasons
from skep.uapi.commands import BtfLoad, EnableStats
from skep.uapi.flags import MapFlag, StatsType
from skep.uapi.reason import Reason

TOKEN_FD: Final = int(MapFlag.TOKEN_FD)
MAX_BTF_SIZE: Final = 16 << 20
BTF_REASONS: Final[Mapping[int, Reason]] = {
    row.errno: row
    for row in (
        reasons.BTF_FORM,
        reasons.BTF_UNKNOWN,
        reasons.BTF_LARGE,
        reasons.BTF_LOOP,
        reasons.BTF_CYCLE,
    )
}
FIELD_REASONS: Final[Mapping[int, Reason]] = {
    row.errno: row
    for row in (
        reasons.FIELDS_FORM,
        reasons.FIELDS_MANY,
        reasons.FIELDS_OVERLAP,
        reasons.FIELDS_TARGET,
        reasons.FIELDS_MISPLACED,
        reasons.FIELDS_OWNERS,
    )
}


def load_btf(state: State, call: Call[BtfLoad]) -> int:
    """BTF_LOAD: types in, descriptor out."""
    attr = call.attr
    call.check(not attr.btf_flags & ~TOKEN_FD, reasons.BTF_FLAGS)
    check_btf(state, call)
    call.check(attr.btf_size <= MAX_BTF_SIZE, reasons.BTF_SIZE)
    log = LogBuffer.of_btf(call)
    data = call.read("btf", attr.btf_size)
    pieces: list[str] = []
    rows = BTF_REASONS
    try:
        btf = validate(data, log=pieces.append if log.level else None)
        rows = FIELD_REASONS
        ObjectTypes(btf, lambda: state.kernel_btf).check()
    except BtfError as error:
        refusal = call.refusal(rows[error.errno], str(error))
        refusal.__cause__ = error  # the log tells which type it is about
        log.finish("".join(pieces), refusal)
        raise refusal from error
    log.finish("".join(pieces))
    return state.objects.install(Kind.BTF, BtfObject(state.new_id(Kind.BTF), btf, data))


class Statistics:
    """An open ENABLE_STATS descriptor: run times are counted while there is one."""

    def __init__(self, id: int) -> None:  # noqa: A002
        self.id = id

    def close(self) -> None:
        """Nothing more is held."""


def enable_stats(state: State, call: Call[EnableStats]) -> int:
    """ENABLE_STATS: a descriptor; while it is open, runs and their times are counted."""
    call.check(call.attr.type == StatsType.RUN_TIME, reasons.STATS_TYPE)
    return state.objects.install(Kind.STATS, Statistics(state.new_id(Kind.STATS)))
