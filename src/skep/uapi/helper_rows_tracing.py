"""Rows of the helper table: other memory, tasks, stacks, perf events, text output, LSM hooks.

Source: Linux 6.18 kernel/trace/bpf_trace.c; kernel/bpf/stackmap.c, task_iter.c,
bpf_lsm.c, bpf_task_storage.c.
"""

from skep.uapi.helper_types import (
    ANY,
    BINPRM,
    CTX,
    FILE,
    FUNC,
    INODE,
    INODE_OR_NULL,
    MAP,
    MEM_IN,
    MEM_IN_OR_NULL,
    MEM_INOUT,
    MEM_INOUT_OR_NULL,
    MEM_OUT,
    PATH,
    SEQ,
    SIZE,
    SIZE_OR_ZERO,
    SK_BUFF,
    STACK_OR_NULL,
    TASK,
    TASK_OR_NULL,
    U64_OUT,
    VALUE_OR_NULL,
    XDP_BUFF,
    Helper,
    Ret,
)

PROBE_READ = Helper(
    4,
    "probe_read",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.1",
    doc="Copy bytes from an address that may fault; kept for old programs.",
)
TRACE_PRINTK = Helper(
    6,
    "trace_printk",
    (MEM_IN, SIZE),
    Ret.INTEGER,
    gpl=True,
    since="4.1",
    doc="Format up to three values and write the line to the trace pipe.",
)
GET_CURRENT_PID_TGID = Helper(
    14,
    "get_current_pid_tgid",
    (),
    Ret.INTEGER,
    since="4.2",
    doc="Process id in the upper and thread id in the lower 32 bits.",
)
GET_CURRENT_UID_GID = Helper(
    15,
    "get_current_uid_gid",
    (),
    Ret.INTEGER,
    since="4.2",
    doc="Group id in the upper and user id in the lower 32 bits of the current task.",
)
GET_CURRENT_COMM = Helper(
    16,
    "get_current_comm",
    (MEM_OUT, SIZE),
    Ret.INTEGER,
    since="4.2",
    doc="Copy the name of the current task into a buffer.",
)
PERF_EVENT_READ = Helper(
    22,
    "perf_event_read",
    (MAP, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.3",
    doc="Value of the performance counter at an index of a perf event array.",
)
PERF_EVENT_OUTPUT = Helper(
    25,
    "perf_event_output",
    (CTX, MAP, ANY, MEM_IN, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="4.4",
    doc="Write a record to the perf ring buffer at an index of a perf event array.",
)
GET_STACKID = Helper(
    27,
    "get_stackid",
    (CTX, MAP, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.6",
    doc="Store a stack trace in a map and return its id.",
)
GET_CURRENT_TASK = Helper(
    35,
    "get_current_task",
    (),
    Ret.INTEGER,
    gpl=True,
    since="4.8",
    doc="Address of the current task_struct as a number.",
)
PROBE_WRITE_USER = Helper(
    36,
    "probe_write_user",
    (ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    gpl=True,
    since="4.8",
    doc="Write to memory of the current process; for experiments only.",
)
CURRENT_TASK_UNDER_CGROUP = Helper(
    37,
    "current_task_under_cgroup",
    (MAP, ANY),
    Ret.INTEGER,
    since="4.9",
    doc="Whether the current task belongs to the cgroup at an index, or below it.",
)
PROBE_READ_STR = Helper(
    45,
    "probe_read_str",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.11",
    doc="Copy a string from an address that may fault; kept for old programs.",
)
PERF_EVENT_READ_VALUE = Helper(
    55,
    "perf_event_read_value",
    (MAP, ANY, MEM_OUT, SIZE),
    Ret.INTEGER,
    gpl=True,
    since="4.15",
    doc="Value and running times of the performance counter at an index of a perf event array.",
)
PERF_PROG_READ_VALUE = Helper(
    56,
    "perf_prog_read_value",
    (CTX, MEM_OUT, SIZE),
    Ret.INTEGER,
    gpl=True,
    since="4.15",
    doc="Value and running times of the counter that triggered this program.",
)
OVERRIDE_RETURN = Helper(
    58,
    "override_return",
    (CTX, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.16",
    doc="Make the probed function return at once with a given value.",
)
GET_STACK = Helper(
    67,
    "get_stack",
    (CTX, MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.18",
    doc="Copy a kernel or user stack trace into a buffer.",
)
SEND_SIGNAL = Helper(
    109,
    "send_signal",
    (ANY,),
    Ret.INTEGER,
    since="5.3",
    doc="Send a signal to the process of the current task.",
)
SKB_OUTPUT = Helper(
    111,
    "skb_output",
    (SK_BUFF, MAP, ANY, MEM_IN, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.5",
    doc="Write a record, followed by bytes of a packet, to a perf ring buffer.",
)
PROBE_READ_USER = Helper(
    112,
    "probe_read_user",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.5",
    doc="Copy bytes from user memory; zeroes and an error if they cannot be read.",
)
PROBE_READ_KERNEL = Helper(
    113,
    "probe_read_kernel",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.5",
    doc="Copy bytes from kernel memory; zeroes and an error if they cannot be read.",
)
PROBE_READ_USER_STR = Helper(
    114,
    "probe_read_user_str",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.5",
    doc="Copy a string from user memory; returns its length with the NUL.",
)
PROBE_READ_KERNEL_STR = Helper(
    115,
    "probe_read_kernel_str",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.5",
    doc="Copy a string from kernel memory; returns its length with the NUL.",
)
SEND_SIGNAL_THREAD = Helper(
    117,
    "send_signal_thread",
    (ANY,),
    Ret.INTEGER,
    since="5.5",
    doc="Send a signal to the current thread.",
)
READ_BRANCH_RECORDS = Helper(
    119,
    "read_branch_records",
    (CTX, MEM_INOUT_OR_NULL, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.6",
    doc="Copy the branch records that belong to the perf event.",
)
GET_NS_CURRENT_PID_TGID = Helper(
    120,
    "get_ns_current_pid_tgid",
    (ANY, ANY, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="5.7",
    doc="Process and thread id of the current task as a pid namespace sees them.",
)
XDP_OUTPUT = Helper(
    121,
    "xdp_output",
    (XDP_BUFF, MAP, ANY, MEM_IN, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.7",
    doc="Write a record, followed by bytes of an XDP packet, to a perf ring buffer.",
)
SEQ_PRINTF = Helper(
    126,
    "seq_printf",
    (SEQ, MEM_IN, SIZE, MEM_IN_OR_NULL, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.8",
    doc="Format values into the output of an iterator.",
)
SEQ_WRITE = Helper(
    127,
    "seq_write",
    (SEQ, MEM_IN, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.8",
    doc="Write bytes into the output of an iterator.",
)
GET_TASK_STACK = Helper(
    141,
    "get_task_stack",
    (TASK, MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    since="5.9",
    doc="Copy a stack trace of a task into a buffer.",
)
INODE_STORAGE_GET = Helper(
    145,
    "inode_storage_get",
    (MAP, INODE_OR_NULL, VALUE_OR_NULL, ANY),
    Ret.MAP_VALUE,
    nullable=True,
    since="5.10",
    doc="Address of a map's value that belongs to an inode, created on request.",
)
INODE_STORAGE_DELETE = Helper(
    146,
    "inode_storage_delete",
    (MAP, INODE_OR_NULL),
    Ret.INTEGER,
    since="5.10",
    doc="Remove a map's value that belongs to an inode.",
)
D_PATH = Helper(
    147,
    "d_path",
    (PATH, MEM_INOUT, SIZE_OR_ZERO),
    Ret.INTEGER,
    since="5.10",
    doc="Copy the absolute name of a path into a buffer.",
)
COPY_FROM_USER = Helper(
    148,
    "copy_from_user",
    (MEM_OUT, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    might_sleep=True,
    since="5.10",
    doc="Copy bytes from user memory, waiting for pages that are not there.",
)
SEQ_PRINTF_BTF = Helper(
    150,
    "seq_printf_btf",
    (SEQ, MEM_IN, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.10",
    doc="Write a value as text, by its type, into the output of an iterator.",
)
TASK_STORAGE_GET = Helper(
    156,
    "task_storage_get",
    (MAP, TASK_OR_NULL, VALUE_OR_NULL, ANY),
    Ret.MAP_VALUE,
    nullable=True,
    since="5.11",
    doc="Address of a map's value that belongs to a task, created on request.",
)
TASK_STORAGE_DELETE = Helper(
    157,
    "task_storage_delete",
    (MAP, TASK_OR_NULL),
    Ret.INTEGER,
    since="5.11",
    doc="Remove a map's value that belongs to a task.",
)
GET_CURRENT_TASK_BTF = Helper(
    158,
    "get_current_task_btf",
    (),
    Ret.BTF_ID,
    ret_trusted=True,
    ret_btf="task_struct",
    gpl=True,
    since="5.11",
    doc="The current task_struct as a typed pointer.",
)
BPRM_OPTS_SET = Helper(
    159,
    "bprm_opts_set",
    (BINPRM, ANY),
    Ret.INTEGER,
    since="5.11",
    doc="Set options of a program that is being executed.",
)
IMA_INODE_HASH = Helper(
    161,
    "ima_inode_hash",
    (INODE, MEM_OUT, SIZE),
    Ret.INTEGER,
    might_sleep=True,
    since="5.11",
    doc="Copy the hash that IMA stored for an inode.",
)
SOCK_FROM_FILE = Helper(
    162,
    "sock_from_file",
    (FILE,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="socket",
    since="5.11",
    doc="The socket behind a file, or NULL if it is none.",
)
GET_FUNC_IP = Helper(
    173,
    "get_func_ip",
    (CTX,),
    Ret.INTEGER,
    gpl=True,
    since="5.15",
    doc="Address of the traced function.",
)
GET_ATTACH_COOKIE = Helper(
    174,
    "get_attach_cookie",
    (CTX,),
    Ret.INTEGER,
    since="5.15",
    doc="The number that was given when the program was attached.",
)
TASK_PT_REGS = Helper(
    175,
    "task_pt_regs",
    (TASK,),
    Ret.BTF_ID,
    ret_btf="pt_regs",
    gpl=True,
    since="5.15",
    doc="Saved user registers of a task.",
)
GET_BRANCH_SNAPSHOT = Helper(
    176,
    "get_branch_snapshot",
    (MEM_OUT, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.16",
    doc="Copy the CPU's last branch records.",
)
TRACE_VPRINTK = Helper(
    177,
    "trace_vprintk",
    (MEM_IN, SIZE, MEM_IN_OR_NULL, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.16",
    doc="Format an array of values and write the line to the trace pipe.",
)
KALLSYMS_LOOKUP_NAME = Helper(
    179,
    "kallsyms_lookup_name",
    (MEM_IN, SIZE_OR_ZERO, ANY, U64_OUT),
    Ret.INTEGER,
    since="5.16",
    doc="Find the address of a kernel symbol.",
)
FIND_VMA = Helper(
    180,
    "find_vma",
    (TASK, ANY, FUNC, STACK_OR_NULL, ANY),
    Ret.INTEGER,
    since="5.17",
    doc="Call a function of the program with the mapping that holds an address.",
)
GET_FUNC_ARG = Helper(
    183,
    "get_func_arg",
    (CTX, ANY, U64_OUT),
    Ret.INTEGER,
    since="5.17",
    doc="Copy an argument of the traced function.",
)
GET_FUNC_RET = Helper(
    184,
    "get_func_ret",
    (CTX, U64_OUT),
    Ret.INTEGER,
    since="5.17",
    doc="Copy the return value of the traced function.",
)
GET_FUNC_ARG_CNT = Helper(
    185,
    "get_func_arg_cnt",
    (CTX,),
    Ret.INTEGER,
    since="5.17",
    doc="Count of arguments of the traced function.",
)
COPY_FROM_USER_TASK = Helper(
    191,
    "copy_from_user_task",
    (MEM_OUT, SIZE_OR_ZERO, ANY, TASK, ANY),
    Ret.INTEGER,
    gpl=True,
    might_sleep=True,
    since="5.18",
    doc="Copy bytes from a task's user memory, waiting for pages.",
)
IMA_FILE_HASH = Helper(
    193,
    "ima_file_hash",
    (FILE, MEM_OUT, SIZE),
    Ret.INTEGER,
    might_sleep=True,
    since="5.18",
    doc="Copy the hash of a file, computed if IMA has none.",
)

ROWS: tuple[Helper, ...] = (
    PROBE_READ,
    TRACE_PRINTK,
    GET_CURRENT_PID_TGID,
    GET_CURRENT_UID_GID,
    GET_CURRENT_COMM,
    PERF_EVENT_READ,
    PERF_EVENT_OUTPUT,
    GET_STACKID,
    GET_CURRENT_TASK,
    PROBE_WRITE_USER,
    CURRENT_TASK_UNDER_CGROUP,
    PROBE_READ_STR,
    PERF_EVENT_READ_VALUE,
    PERF_PROG_READ_VALUE,
    OVERRIDE_RETURN,
    GET_STACK,
    SEND_SIGNAL,
    SKB_OUTPUT,
    PROBE_READ_USER,
    PROBE_READ_KERNEL,
    PROBE_READ_USER_STR,
    PROBE_READ_KERNEL_STR,
    SEND_SIGNAL_THREAD,
    READ_BRANCH_RECORDS,
    GET_NS_CURRENT_PID_TGID,
    XDP_OUTPUT,
    SEQ_PRINTF,
    SEQ_WRITE,
    GET_TASK_STACK,
    INODE_STORAGE_GET,
    INODE_STORAGE_DELETE,
    D_PATH,
    COPY_FROM_USER,
    SEQ_PRINTF_BTF,
    TASK_STORAGE_GET,
    TASK_STORAGE_DELETE,
    GET_CURRENT_TASK_BTF,
    BPRM_OPTS_SET,
    IMA_INODE_HASH,
    SOCK_FROM_FILE,
    GET_FUNC_IP,
    GET_ATTACH_COOKIE,
    TASK_PT_REGS,
    GET_BRANCH_SNAPSHOT,
    TRACE_VPRINTK,
    KALLSYMS_LOOKUP_NAME,
    FIND_VMA,
    GET_FUNC_ARG,
    GET_FUNC_RET,
    GET_FUNC_ARG_CNT,
    COPY_FROM_USER_TASK,
    IMA_FILE_HASH,
)
