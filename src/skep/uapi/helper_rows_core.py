"""Rows of the helper table: maps, memory, ring buffers, dynptrs, time and control.

Source: Linux 6.18 kernel/bpf/helpers.c, ringbuf.c, core.c, bpf_cgrp_storage.c, cgroup.c.
"""

from skep.uapi.helper_types import (
    ALLOC_SIZE,
    ANY,
    CGROUP_OR_NULL,
    CTX,
    DYNPTR_IN,
    DYNPTR_LOCAL_OUT,
    DYNPTR_RINGBUF_OUT,
    DYNPTR_RINGBUF_RELEASE,
    FUNC,
    KEY,
    KPTR,
    LOCK,
    MAP,
    MEM_IN,
    MEM_IN_OR_NULL,
    MEM_INOUT,
    MEM_INOUT_OR_NULL,
    MEM_OUT,
    OBJECT_RELEASE,
    PERCPU,
    RECORD_RELEASE,
    SIZE,
    SIZE_OR_ZERO,
    STACK_OR_NULL,
    STR,
    TIMER,
    U64_OUT,
    VALUE,
    VALUE_OR_NULL,
    VALUE_OUT,
    Helper,
    Ret,
)

MAP_LOOKUP_ELEM = Helper(
    1,
    "map_lookup_elem",
    (MAP, KEY),
    Ret.MAP_VALUE,
    nullable=True,
    pkt_access=True,
    since="3.19",
    doc="Address of the value stored under a key, or NULL if there is none.",
)
MAP_UPDATE_ELEM = Helper(
    2,
    "map_update_elem",
    (MAP, KEY, VALUE, ANY),
    Ret.INTEGER,
    pkt_access=True,
    since="3.19",
    doc="Store a value under a key, creating or replacing as the flags allow.",
)
MAP_DELETE_ELEM = Helper(
    3,
    "map_delete_elem",
    (MAP, KEY),
    Ret.INTEGER,
    pkt_access=True,
    since="3.19",
    doc="Remove a key and its value.",
)
KTIME_GET_NS = Helper(
    5,
    "ktime_get_ns",
    (),
    Ret.INTEGER,
    since="4.1",
    doc="Nanoseconds since boot, not counting suspension.",
)
GET_PRANDOM_U32 = Helper(
    7, "get_prandom_u32", (), Ret.INTEGER, since="4.1", doc="A pseudo-random 32-bit number."
)
GET_SMP_PROCESSOR_ID = Helper(
    8,
    "get_smp_processor_id",
    (),
    Ret.INTEGER,
    allow_fastcall=True,
    since="4.1",
    doc="Number of the CPU that the program runs on.",
)
TAIL_CALL = Helper(
    12,
    "tail_call",
    (CTX, MAP, ANY),
    Ret.VOID,
    changes_packet=True,
    since="4.2",
    doc="Continue in the program at an index of a program array; returns only on failure.",
)
GET_NUMA_NODE_ID = Helper(
    42,
    "get_numa_node_id",
    (),
    Ret.INTEGER,
    since="4.10",
    doc="Number of the NUMA node that the program runs on.",
)
GET_CURRENT_CGROUP_ID = Helper(
    80,
    "get_current_cgroup_id",
    (),
    Ret.INTEGER,
    since="4.18",
    doc="Id of the cgroup of the current task.",
)
GET_LOCAL_STORAGE = Helper(
    81,
    "get_local_storage",
    (MAP, ANY),
    Ret.MAP_VALUE,
    since="4.19",
    doc="Address of the storage that belongs to this cgroup and program.",
)
MAP_PUSH_ELEM = Helper(
    87,
    "map_push_elem",
    (MAP, VALUE, ANY),
    Ret.INTEGER,
    pkt_access=True,
    since="4.20",
    doc="Add a value to a queue, stack or bloom filter.",
)
MAP_POP_ELEM = Helper(
    88,
    "map_pop_elem",
    (MAP, VALUE_OUT),
    Ret.INTEGER,
    since="4.20",
    doc="Remove the next value of a queue or stack and copy it out.",
)
MAP_PEEK_ELEM = Helper(
    89,
    "map_peek_elem",
    (MAP, VALUE_OUT),
    Ret.INTEGER,
    since="4.20",
    doc="Copy the next value of a queue or stack, or ask a bloom filter.",
)
SPIN_LOCK = Helper(
    93, "spin_lock", (LOCK,), Ret.VOID, since="5.1", doc="Take the lock in a map value."
)
SPIN_UNLOCK = Helper(
    94, "spin_unlock", (LOCK,), Ret.VOID, since="5.1", doc="Release the lock in a map value."
)
STRTOL = Helper(
    105,
    "strtol",
    (MEM_IN, SIZE, ANY, U64_OUT),
    Ret.INTEGER,
    since="5.2",
    doc="Parse a signed number at the start of a string.",
)
STRTOUL = Helper(
    106,
    "strtoul",
    (MEM_IN, SIZE, ANY, U64_OUT),
    Ret.INTEGER,
    since="5.2",
    doc="Parse an unsigned number at the start of a string.",
)
JIFFIES64 = Helper(118, "jiffies64", (), Ret.INTEGER, since="5.5", doc="The kernel's tick counter.")
GET_CURRENT_ANCESTOR_CGROUP_ID = Helper(
    123,
    "get_current_ancestor_cgroup_id",
    (ANY,),
    Ret.INTEGER,
    since="5.7",
    doc="Id of an ancestor, at a level, of the cgroup of the current task.",
)
KTIME_GET_BOOT_NS = Helper(
    125,
    "ktime_get_boot_ns",
    (),
    Ret.INTEGER,
    since="5.8",
    doc="Nanoseconds since boot, counting suspension.",
)
RINGBUF_OUTPUT = Helper(
    130,
    "ringbuf_output",
    (MAP, MEM_IN, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    since="5.8",
    doc="Copy a record into a ring buffer.",
)
RINGBUF_RESERVE = Helper(
    131,
    "ringbuf_reserve",
    (MAP, ALLOC_SIZE, ANY),
    Ret.MEM,
    nullable=True,
    ret_from="ringbuf",
    acquires=True,
    since="5.8",
    doc="Reserve room for a record in a ring buffer; it must be submitted or discarded.",
)
RINGBUF_SUBMIT = Helper(
    132,
    "ringbuf_submit",
    (RECORD_RELEASE, ANY),
    Ret.VOID,
    since="5.8",
    doc="Hand a reserved record to the reader.",
)
RINGBUF_DISCARD = Helper(
    133,
    "ringbuf_discard",
    (RECORD_RELEASE, ANY),
    Ret.VOID,
    since="5.8",
    doc="Give up a reserved record.",
)
RINGBUF_QUERY = Helper(
    134,
    "ringbuf_query",
    (MAP, ANY),
    Ret.INTEGER,
    since="5.8",
    doc="Fill level, size or a position of a ring buffer.",
)
SNPRINTF_BTF = Helper(
    149,
    "snprintf_btf",
    (MEM_INOUT, SIZE, MEM_IN, SIZE, ANY),
    Ret.INTEGER,
    since="5.10",
    doc="Write a value as text, by its type, into a buffer.",
)
PER_CPU_PTR = Helper(
    153,
    "per_cpu_ptr",
    (PERCPU, ANY),
    Ret.MEM_OR_BTF_ID,
    nullable=True,
    ret_rdonly=True,
    since="5.10",
    doc="Address of a kernel per-CPU variable on a CPU, or NULL if there is no such CPU.",
)
THIS_CPU_PTR = Helper(
    154,
    "this_cpu_ptr",
    (PERCPU,),
    Ret.MEM_OR_BTF_ID,
    ret_rdonly=True,
    since="5.10",
    doc="Address of a kernel per-CPU variable on this CPU.",
)
KTIME_GET_COARSE_NS = Helper(
    160,
    "ktime_get_coarse_ns",
    (),
    Ret.INTEGER,
    since="5.11",
    doc="Nanoseconds since boot at the last tick: cheap and coarse.",
)
FOR_EACH_MAP_ELEM = Helper(
    164,
    "for_each_map_elem",
    (MAP, FUNC, STACK_OR_NULL, ANY),
    Ret.INTEGER,
    since="5.13",
    doc="Call a function of the program for each element of a map.",
)
SNPRINTF = Helper(
    165,
    "snprintf",
    (MEM_INOUT_OR_NULL, SIZE_OR_ZERO, STR, MEM_IN_OR_NULL, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    since="5.13",
    doc="Format values into a buffer.",
)
SYS_BPF = Helper(
    166,
    "sys_bpf",
    (ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    might_sleep=True,
    since="5.14",
    doc="Call bpf(2) from a program.",
)
BTF_FIND_BY_NAME_KIND = Helper(
    167,
    "btf_find_by_name_kind",
    (MEM_IN, SIZE, ANY, ANY),
    Ret.INTEGER,
    might_sleep=True,
    since="5.14",
    doc="Find a type of the kernel or of its modules by name and kind.",
)
SYS_CLOSE = Helper(
    168,
    "sys_close",
    (ANY,),
    Ret.INTEGER,
    might_sleep=True,
    since="5.14",
    doc="Close a file descriptor from a program.",
)
TIMER_INIT = Helper(
    169,
    "timer_init",
    (TIMER, MAP, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.15",
    doc="Prepare the timer in a map value.",
)
TIMER_SET_CALLBACK = Helper(
    170,
    "timer_set_callback",
    (TIMER, FUNC),
    Ret.INTEGER,
    gpl=True,
    since="5.15",
    doc="Set the function that a timer calls.",
)
TIMER_START = Helper(
    171, "timer_start", (TIMER, ANY, ANY), Ret.INTEGER, gpl=True, since="5.15", doc="Start a timer."
)
TIMER_CANCEL = Helper(
    172,
    "timer_cancel",
    (TIMER,),
    Ret.INTEGER,
    gpl=True,
    since="5.15",
    doc="Stop a timer and wait for its callback.",
)
LOOP = Helper(
    181,
    "loop",
    (ANY, FUNC, STACK_OR_NULL, ANY),
    Ret.INTEGER,
    since="5.17",
    doc="Call a function of the program a number of times.",
)
STRNCMP = Helper(
    182,
    "strncmp",
    (MEM_IN, SIZE, STR),
    Ret.INTEGER,
    since="5.17",
    doc="Compare a string with a constant one.",
)
KPTR_XCHG = Helper(
    194,
    "kptr_xchg",
    (KPTR, OBJECT_RELEASE),
    Ret.BTF_ID,
    nullable=True,
    acquires=True,
    since="5.19",
    doc="Swap the typed pointer in a map value with another.",
)
MAP_LOOKUP_PERCPU_ELEM = Helper(
    195,
    "map_lookup_percpu_elem",
    (MAP, KEY, ANY),
    Ret.MAP_VALUE,
    nullable=True,
    pkt_access=True,
    since="5.19",
    doc="Address of one CPU's value under a key, or NULL.",
)
DYNPTR_FROM_MEM = Helper(
    197,
    "dynptr_from_mem",
    (MEM_OUT, SIZE_OR_ZERO, ANY, DYNPTR_LOCAL_OUT),
    Ret.INTEGER,
    since="5.19",
    doc="Make a dynptr over memory of a map value.",
)
RINGBUF_RESERVE_DYNPTR = Helper(
    198,
    "ringbuf_reserve_dynptr",
    (MAP, ANY, ANY, DYNPTR_RINGBUF_OUT),
    Ret.INTEGER,
    since="5.19",
    doc="Reserve a ring buffer record of any size as a dynptr; it must be submitted or discarded.",
)
RINGBUF_SUBMIT_DYNPTR = Helper(
    199,
    "ringbuf_submit_dynptr",
    (DYNPTR_RINGBUF_RELEASE, ANY),
    Ret.VOID,
    since="5.19",
    doc="Hand a reserved record to the reader.",
)
RINGBUF_DISCARD_DYNPTR = Helper(
    200,
    "ringbuf_discard_dynptr",
    (DYNPTR_RINGBUF_RELEASE, ANY),
    Ret.VOID,
    since="5.19",
    doc="Give up a reserved record.",
)
DYNPTR_READ = Helper(
    201,
    "dynptr_read",
    (MEM_OUT, SIZE_OR_ZERO, DYNPTR_IN, ANY, ANY),
    Ret.INTEGER,
    since="5.19",
    doc="Copy bytes out of a dynptr.",
)
DYNPTR_WRITE = Helper(
    202,
    "dynptr_write",
    (DYNPTR_IN, ANY, MEM_IN, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    since="5.19",
    doc="Copy bytes into a dynptr.",
)
DYNPTR_DATA = Helper(
    203,
    "dynptr_data",
    (DYNPTR_IN, ANY, ALLOC_SIZE),
    Ret.MEM,
    nullable=True,
    ret_from="dynptr",
    since="5.19",
    doc="Address of a constant-sized slice of a dynptr, or NULL if it does not fit.",
)
KTIME_GET_TAI_NS = Helper(
    208,
    "ktime_get_tai_ns",
    (),
    Ret.INTEGER,
    since="6.1",
    doc="Nanoseconds of international atomic time.",
)
USER_RINGBUF_DRAIN = Helper(
    209,
    "user_ringbuf_drain",
    (MAP, FUNC, STACK_OR_NULL, ANY),
    Ret.INTEGER,
    since="6.1",
    doc="Call a function of the program for each record that user space wrote.",
)
CGRP_STORAGE_GET = Helper(
    210,
    "cgrp_storage_get",
    (MAP, CGROUP_OR_NULL, VALUE_OR_NULL, ANY),
    Ret.MAP_VALUE,
    nullable=True,
    since="6.2",
    doc="Address of a map's value that belongs to a cgroup, created on request.",
)
CGRP_STORAGE_DELETE = Helper(
    211,
    "cgrp_storage_delete",
    (MAP, CGROUP_OR_NULL),
    Ret.INTEGER,
    since="6.2",
    doc="Remove a map's value that belongs to a cgroup.",
)

ROWS: tuple[Helper, ...] = (
    MAP_LOOKUP_ELEM,
    MAP_UPDATE_ELEM,
    MAP_DELETE_ELEM,
    KTIME_GET_NS,
    GET_PRANDOM_U32,
    GET_SMP_PROCESSOR_ID,
    TAIL_CALL,
    GET_NUMA_NODE_ID,
    GET_CURRENT_CGROUP_ID,
    GET_LOCAL_STORAGE,
    MAP_PUSH_ELEM,
    MAP_POP_ELEM,
    MAP_PEEK_ELEM,
    SPIN_LOCK,
    SPIN_UNLOCK,
    STRTOL,
    STRTOUL,
    JIFFIES64,
    GET_CURRENT_ANCESTOR_CGROUP_ID,
    KTIME_GET_BOOT_NS,
    RINGBUF_OUTPUT,
    RINGBUF_RESERVE,
    RINGBUF_SUBMIT,
    RINGBUF_DISCARD,
    RINGBUF_QUERY,
    SNPRINTF_BTF,
    PER_CPU_PTR,
    THIS_CPU_PTR,
    KTIME_GET_COARSE_NS,
    FOR_EACH_MAP_ELEM,
    SNPRINTF,
    SYS_BPF,
    BTF_FIND_BY_NAME_KIND,
    SYS_CLOSE,
    TIMER_INIT,
    TIMER_SET_CALLBACK,
    TIMER_START,
    TIMER_CANCEL,
    LOOP,
    STRNCMP,
    KPTR_XCHG,
    MAP_LOOKUP_PERCPU_ELEM,
    DYNPTR_FROM_MEM,
    RINGBUF_RESERVE_DYNPTR,
    RINGBUF_SUBMIT_DYNPTR,
    RINGBUF_DISCARD_DYNPTR,
    DYNPTR_READ,
    DYNPTR_WRITE,
    DYNPTR_DATA,
    KTIME_GET_TAI_NS,
    USER_RINGBUF_DRAIN,
    CGRP_STORAGE_GET,
    CGRP_STORAGE_DELETE,
)
