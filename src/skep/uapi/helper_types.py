"""What a helper prototype is made of, and the argument types that recur in the rows.

Source: Linux 6.18 include/linux/bpf.h, ``enum bpf_arg_type``, ``enum bpf_return_type``,
``struct bpf_func_proto``.
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
        ret_from: a MEM result is a "ringbuf" record or a "dynptr" slice.
        ret_trusted: the BTF_ID result is trusted. *ret_rdonly*: the MEM result is read-only.
        gpl: only for GPL-compatible programs.
        pkt_access: packet pointers are allowed as memory arguments.
        might_sleep: only in sleepable programs.
        changes_packet: invalidates packet pointers (``bpf_helper_changes_pkt_data``).
        acquires: the result is a reference that must be released (``is_acquire_function``).
        since: first Linux version.
        doc: one sentence of our own.
    """

    id: int
    name: str
    args: tuple[ArgType, ...]
    ret: Ret
    nullable: bool = False
    ret_btf: str = ""
    ret_from: str = ""
    ret_trusted: bool = False
    ret_rdonly: bool = False
    gpl: bool = False
    pkt_access: bool = False
    might_sleep: bool = False
    changes_packet: bool = False
    acquires: bool = False
    allow_fastcall: bool = False
    since: str = ""
    doc: str = ""


CTX = ArgType(Arg.CTX)
CTX_OR_NULL = ArgType(Arg.CTX, nullable=True)
ANY = ArgType(Arg.ANYTHING)
MAP = ArgType(Arg.CONST_MAP_PTR)
KEY = ArgType(Arg.MAP_KEY)
VALUE = ArgType(Arg.MAP_VALUE)
VALUE_OUT = ArgType(Arg.MAP_VALUE, uninit=True, writes=True)
VALUE_OR_NULL = ArgType(Arg.MAP_VALUE, nullable=True)
MEM_IN = ArgType(Arg.MEM, rdonly=True)
MEM_IN_OR_NULL = ArgType(Arg.MEM, nullable=True, rdonly=True)
MEM_OUT = ArgType(Arg.MEM, uninit=True, writes=True)
MEM_INOUT = ArgType(Arg.MEM, writes=True)
MEM_INOUT_OR_NULL = ArgType(Arg.MEM, nullable=True, writes=True)
SIZE = ArgType(Arg.CONST_SIZE)
SIZE_OR_ZERO = ArgType(Arg.CONST_SIZE_OR_ZERO)
LOCK = ArgType(Arg.SPIN_LOCK)
SOCK_COMMON = ArgType(Arg.SOCK_COMMON)
SOCK = ArgType(Arg.BTF_ID_SOCK_COMMON)
SOCK_OR_NULL = ArgType(Arg.BTF_ID_SOCK_COMMON, nullable=True)
SOCK_RELEASE = ArgType(Arg.BTF_ID_SOCK_COMMON, release=True)
SOCKET_OR_NULL = ArgType(Arg.SOCKET, nullable=True)
RECORD_RELEASE = ArgType(Arg.RINGBUF_MEM, release=True)
ALLOC_SIZE = ArgType(Arg.CONST_ALLOC_SIZE)
PERCPU = ArgType(Arg.PERCPU_BTF_ID)
FUNC = ArgType(Arg.FUNC)
STACK_OR_NULL = ArgType(Arg.STACK, nullable=True)
STR = ArgType(Arg.CONST_STR)
TIMER = ArgType(Arg.TIMER)
DYNPTR_IN = ArgType(Arg.DYNPTR, rdonly=True)
DYNPTR_LOCAL_OUT = ArgType(Arg.DYNPTR, dynptr="local", uninit=True, writes=True)
DYNPTR_RINGBUF_OUT = ArgType(Arg.DYNPTR, dynptr="ringbuf", uninit=True, writes=True)
DYNPTR_RINGBUF_RELEASE = ArgType(Arg.DYNPTR, dynptr="ringbuf", release=True)
KPTR = ArgType(Arg.KPTR)
OBJECT_RELEASE = ArgType(Arg.BTF_ID, btf="", nullable=True, release=True)
TASK = ArgType(Arg.BTF_ID, btf="task_struct")
U64_OUT = ArgType(Arg.MEM, aligned=True, size=8, uninit=True, writes=True)
U32_INOUT = ArgType(Arg.MEM, aligned=True, size=4, writes=True)
HEADER20 = ArgType(Arg.MEM, rdonly=True, size=20)
HEADER40 = ArgType(Arg.MEM, rdonly=True, size=40)
TASK_OR_NULL = ArgType(Arg.BTF_ID, btf="task_struct", nullable=True)
SEQ = ArgType(Arg.BTF_ID, btf="seq_file")
INODE_OR_NULL = ArgType(Arg.BTF_ID, btf="inode", nullable=True)
CGROUP_OR_NULL = ArgType(Arg.BTF_ID, btf="cgroup", nullable=True)
INODE = ArgType(Arg.BTF_ID, btf="inode")
FILE = ArgType(Arg.BTF_ID, btf="file")
PATH = ArgType(Arg.BTF_ID, btf="path")
BINPRM = ArgType(Arg.BTF_ID, btf="linux_binprm")
SK_BUFF = ArgType(Arg.BTF_ID, btf="sk_buff")
XDP_BUFF = ArgType(Arg.BTF_ID, btf="xdp_buff")
TCP_SOCK_PTR = ArgType(Arg.BTF_ID, btf="tcp_sock")
SOCK_COMMON_STRUCT_OR_NULL = ArgType(Arg.BTF_ID, btf="sock_common", nullable=True)
