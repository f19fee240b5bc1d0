"""THE helper table: prototypes of the 211 helpers, read by verifier, engine and docs.

Source: Linux 6.18 ``struct bpf_func_proto`` of each helper; include/uapi/linux/bpf.h.
"""

from dataclasses import dataclass
from enum import IntEnum


class Arg(IntEnum):
    """What a helper requires of an argument (``enum bpf_arg_type``, without its flags)."""

    NONE = 0
    CONST_MAP_PTR = 1
    MAP_KEY = 2
    MAP_VALUE = 3
    MEM = 4
    ARENA = 5
    CONST_SIZE = 6
    CONST_SIZE_OR_ZERO = 7
    CTX = 8
    ANYTHING = 9
    SPIN_LOCK = 10
    SOCK_COMMON = 11
    SOCKET = 12
    BTF_ID = 13
    RINGBUF_MEM = 14
    CONST_ALLOC_SIZE = 15
    BTF_ID_SOCK_COMMON = 16
    PERCPU_BTF_ID = 17
    FUNC = 18
    STACK = 19
    CONST_STR = 20
    TIMER = 21
    KPTR = 22
    DYNPTR = 23


class Ret(IntEnum):
    """What a helper returns (``enum bpf_return_type``, without its flags)."""

    INTEGER = 0
    VOID = 1
    MAP_VALUE = 2
    SOCKET = 3
    TCP_SOCK = 4
    SOCK_COMMON = 5
    MEM = 6
    MEM_OR_BTF_ID = 7
    BTF_ID = 8


@dataclass(frozen=True, slots=True)
class ArgType:
    """One argument: its kind and the kernel's flags for it.

    *size* is the fixed size of a MEM argument in bytes (MEM_FIXED_SIZE), 0 if a size argument
    follows. *btf* names the kernel struct of a BTF_ID argument. *writes*: the helper writes through
    it (MEM_WRITE); *uninit*: it need not be initialised (MEM_UNINIT).
    """

    kind: Arg
    nullable: bool = False
    uninit: bool = False
    writes: bool = False
    release: bool = False
    aligned: bool = False
    rdonly: bool = False
    size: int = 0
    btf: str = ""
    dynptr: str = ""  # DYNPTR arguments: "local", "ringbuf", … or "" for any


@dataclass(frozen=True, slots=True)
class Helper:
    """One helper.

    Args:
        id: its number, ``BPF_FUNC_*``.
        name: without ``bpf_``.
        args: up to five.
        ret: kind of the result; *nullable* if it may be NULL; *ret_btf* names its struct.
        gpl: only for GPL-compatible programs.
        pkt_access: packet pointers are allowed as memory arguments.
        might_sleep: only in sleepable programs.
        changes_packet: invalidates packet pointers (``bpf_helper_changes_pkt_data``).
        doc: one sentence of our own.
    """

    id: int
    name: str
    args: tuple[ArgType, ...]
    ret: Ret
    nullable: bool = False
    ret_btf: str = ""
    gpl: bool = False
    pkt_access: bool = False
    might_sleep: bool = False
    changes_packet: bool = False
    allow_fastcall: bool = False
    since: str = ""
    doc: str = ""
