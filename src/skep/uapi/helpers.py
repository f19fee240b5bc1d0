"""THE helper table: prototypes of the 211 helpers, read by verifier, engine and docs.

A few helpers take other arguments in some program types: ``VARIANTS`` says which, and
``prototype`` chooses.

Source: Linux 6.18 ``struct bpf_func_proto`` of each helper; include/uapi/linux/bpf.h.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from skep.uapi import helper_rows_core as core
from skep.uapi import helper_rows_network as network
from skep.uapi import helper_rows_tracing as tracing
from skep.uapi.helper_types import (
    ANY,
    CTX,
    MAP,
    MEM_IN,
    MEM_OUT,
    SIZE,
    SOCK,
    SOCK_COMMON_STRUCT_OR_NULL,
    SOCK_OR_NULL,
    SOCKET_OR_NULL,
    VALUE_OR_NULL,
    XDP_BUFF,
    Arg,
    ArgType,
    Helper,
    Ret,
)

__all__ = [
    "HELPERS",
    "MAX_HELPER",
    "VARIANTS",
    "Arg",
    "ArgType",
    "Helper",
    "Ret",
    "by_id",
    "by_name",
    "prototype",
]

HELPERS: Final[tuple[Helper, ...]] = tuple(
    sorted((*core.ROWS, *network.ROWS, *tracing.ROWS), key=lambda row: row.id)
)
MAX_HELPER: Final = 211

_BY_NAME: Final[Mapping[str, Helper]] = {row.name: row for row in HELPERS}

if [row.id for row in HELPERS] != list(range(1, MAX_HELPER + 1)) or len(_BY_NAME) != MAX_HELPER:
    raise AssertionError("helper ids are not 1 .. 211, each once")


def by_id(helper: int) -> Helper | None:
    """The row with number *helper*, or None."""
    return HELPERS[helper - 1] if 1 <= helper <= MAX_HELPER else None


def by_name(name: str) -> Helper | None:
    """The row called *name* (without ``bpf_``), or None."""
    return _BY_NAME.get(name)


_CLASSID_OF_PACKET: Final = replace(network.GET_CGROUP_CLASSID, args=(CTX,))
_COOKIE_OF_SOCKET: Final = replace(network.GET_SOCKET_COOKIE, args=(SOCK_OR_NULL,))
_SETSOCKOPT_OF_SOCKET: Final = replace(network.SETSOCKOPT, args=(SOCK, ANY, ANY, MEM_IN, SIZE))
_GETSOCKOPT_OF_SOCKET: Final = replace(network.GETSOCKOPT, args=(SOCK, ANY, ANY, MEM_OUT, SIZE))
_STORAGE_OF_CONTEXT: Final = replace(network.SK_STORAGE_GET, args=(MAP, CTX, VALUE_OR_NULL, ANY))
_STORAGE_OF_STRUCT: Final = replace(
    network.SK_STORAGE_GET, args=(MAP, SOCK_COMMON_STRUCT_OR_NULL, VALUE_OR_NULL, ANY)
)
_STORAGE_DELETE_OF_STRUCT: Final = replace(
    network.SK_STORAGE_DELETE, args=(MAP, SOCK_COMMON_STRUCT_OR_NULL)
)
_BUFF_LEN_OF_STRUCT: Final = replace(network.XDP_GET_BUFF_LEN, args=(XDP_BUFF,))
_ASSIGN_IN_LOOKUP: Final = replace(network.SK_ASSIGN, args=(CTX, SOCKET_OR_NULL, ANY))
_CPU_WITHOUT_FASTCALL: Final = replace(core.GET_SMP_PROCESSOR_ID, allow_fastcall=False)

_TRACING_SIDE: Final = (26, 31)  # tracing, syscall

# (helper id, program type id) -> the prototype there
VARIANTS: Final[Mapping[tuple[int, int], Helper]] = {
    **{(17, of): _CLASSID_OF_PACKET for of in (3, 4, 10, 11, 12, 19)},
    **{(46, of): _COOKIE_OF_SOCKET for of in (21, 26, 29, 31)},
    **{(49, of): _SETSOCKOPT_OF_SOCKET for of in (25, 26, 27, 29)},
    **{(57, of): _GETSOCKOPT_OF_SOCKET for of in (25, 26, 27, 29)},
    (107, 9): _STORAGE_OF_CONTEXT,
    **{(107, of): _STORAGE_OF_STRUCT for of in _TRACING_SIDE},
    **{(108, of): _STORAGE_DELETE_OF_STRUCT for of in _TRACING_SIDE},
    **{(188, of): _BUFF_LEN_OF_STRUCT for of in (26, 29, 31)},
    (124, 30): _ASSIGN_IN_LOOKUP,
    **{
        (8, of): _CPU_WITHOUT_FASTCALL
        for of in (1, 8, 9, 13, 14, 15, 16, 18, 21, 22, 23, 25, 27, 30, 32)
    },
}


def prototype(helper: int, program_type: int) -> Helper | None:
    """The prototype of *helper* in programs of type *program_type*, or None if there is none.

    Whether that type may call it at all is ``program_types.may_call``.
    """
    return VARIANTS.get((helper, program_type)) or by_id(helper)
