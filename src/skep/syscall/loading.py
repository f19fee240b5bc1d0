"""BTF_LOAD, and ENABLE_STATS: objects that are nothing but themselves.

Source: Linux 6.18 kernel/bpf/btf.c (btf_new_fd, btf_parse), kernel/bpf/syscall.c
(bpf_enable_stats).
"""

from errno import E2BIG, EINVAL
from typing import Final

from skep.btf.validate import validate
from skep.errors import BtfError
from skep.syscall.call import Call
from skep.syscall.log import LogBuffer
from skep.syscall.objects import Kind
from skep.syscall.permissions import check_btf
from skep.syscall.state import BtfObject, State
from skep.uapi.commands import BtfLoad, EnableStats
from skep.uapi.flags import MapFlag, StatsType

TOKEN_FD: Final = int(MapFlag.TOKEN_FD)
MAX_BTF_SIZE: Final = 16 << 20


def load_btf(state: State, call: Call[BtfLoad]) -> int:
    """BTF_LOAD: types in, descriptor out."""
    attr = call.attr
    call.require(not attr.btf_flags & ~TOKEN_FD, EINVAL, "TOKEN_FD or 0", "btf_flags")
    check_btf(state, call)
    call.require(attr.btf_size <= MAX_BTF_SIZE, E2BIG, "at most 16 MiB", "btf_size")
    log = LogBuffer.of_btf(call)
    data = call.memory.read(attr.btf, attr.btf_size)
    pieces: list[str] = []
    try:
        btf = validate(data, log=pieces.append if log.level else None)
    except BtfError as error:
        log.finish("".join(pieces))
        raise call.refuse(getattr(error, "errno", EINVAL), str(error), "") from None
    log.finish("".join(pieces))
    return state.objects.install(Kind.BTF, BtfObject(state.new_id(Kind.BTF), btf, data))


class Statistics:
    """An open ENABLE_STATS descriptor: run times are counted while there is one."""

    def __init__(self, id: int, state: State) -> None:  # noqa: A002
        self.id, self._state = id, state
        state.statistics += 1

    def close(self) -> None:
        """Count no longer for this one."""
        self._state.statistics -= 1


def enable_stats(state: State, call: Call[EnableStats]) -> int:
    """ENABLE_STATS: a descriptor; while it is open, runs and their times are counted."""
    call.require(call.attr.type == StatsType.RUN_TIME, EINVAL, "only RUN_TIME", "type")
    with state.objects.lock:
        return state.objects.install(Kind.STATS, Statistics(state.new_id(Kind.STATS), state))
