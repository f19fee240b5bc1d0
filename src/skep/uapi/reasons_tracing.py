"""Reasons why commands on traced events refuse a call: raw tracepoints, perf events, iterators.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_raw_tp_link_attach, bpf_task_fd_query),
kernel/bpf/bpf_iter.c, kernel/bpf/map_iter.c, kernel/events/core.c (__perf_event_set_bpf_prog),
kernel/trace/bpf_trace.c (perf_event_attach_bpf_prog, bpf_probe_register).
"""

from errno import (
    E2BIG,
    EACCES,
    EAGAIN,
    EBADF,
    EEXIST,
    EINVAL,
    ENOENT,
    ENOSPC,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
)
from typing import Final

from skep.uapi.commands import ENOTSUPP
from skep.uapi.reason import Reason

# --- raw tracepoints ------------------------------------------------------------------------------

RAW_NAMED: Final = Reason(
    "raw-tracepoint/named", EINVAL, "name", "0 for programs that name their target at load",
    "tracing programs are attached to what attach_btf_id names",
)  # fmt: skip
RAW_PROGRAM: Final = Reason(
    "raw-tracepoint/program", EINVAL, "prog_fd", "a raw tracepoint or tracing program"
)
RAW_UNKNOWN: Final = Reason(
    "raw-tracepoint/unknown", ENOENT, "name", "a tracepoint that the world declares",
    "the name is without its system, as kfree_skb; world.tracepoints.declare makes one",
)  # fmt: skip
RAW_ARGUMENTS: Final = Reason(
    "raw-tracepoint/arguments", EINVAL, "prog_fd",
    "a program that reads no arguments beyond those of the tracepoint",
)  # fmt: skip
RAW_WRITES: Final = Reason(
    "raw-tracepoint/writes", EINVAL, "prog_fd",
    "a program that touches no more of the first argument than the tracepoint lends",
)  # fmt: skip
TRACED_FUNCTION: Final = Reason(
    "trace/function", EOPNOTSUPP, "prog_fd", "a tracing program on a tracepoint (tp_btf)",
    "the kernel functions that fentry, fexit, fmod_ret and LSM programs trace are not here",
)  # fmt: skip

# --- perf events ----------------------------------------------------------------------------------

PERF_FLAGS: Final = Reason("perf-link/flags", EINVAL, "flags", "0")
PERF_FD: Final = Reason(
    "perf-link/fd", EBADF, "target_fd", "a descriptor of a perf event",
    "subsystem.perf_event_open makes one",
)  # fmt: skip
PERF_KIND: Final = Reason(
    "perf-event/program", EINVAL, "prog_fd", "a program of the kind that the event runs"
)
PERF_RECORD: Final = Reason(
    "perf-event/record", EACCES, "prog_fd", "a program that reads nothing beyond the record",
    "the tracepoint's format file shows where its fields are",
)  # fmt: skip
PERF_TAKEN: Final = Reason(
    "perf-event/taken", EEXIST, "prog_fd",
    "an event without a program, on a tracepoint without this program",
)  # fmt: skip
PERF_FULL: Final = Reason(
    "perf-event/full", E2BIG, "prog_fd", "at most 64 programs on one tracepoint"
)
PERF_OPEN: Final = Reason(
    "perf-event/open", ENOENT, "", "a tracepoint of the world, or a software event",
    "a world has no hardware counters, and no functions to probe",
)  # fmt: skip
PERF_REQUEST: Final = Reason(
    "perf-event/request", ENOTTY, "", "PERF_EVENT_IOC_SET_BPF, _ENABLE or _DISABLE"
)

# --- iterators ------------------------------------------------------------------------------------

ITER_TARGET_FD: Final = Reason("iter-link/target-fd", EINVAL, "target_fd", "0")
ITER_FLAGS: Final = Reason("iter-link/flags", EINVAL, "flags", "0")
ITER_INFO: Final = Reason(
    "iter-link/info", EINVAL, "word24", "a length exactly if there is an iter_info"
)
ITER_INFO_TAIL: Final = Reason(
    "iter-link/info-tail", E2BIG, "word24", "no bytes set beyond the 16 known of iter_info"
)
ITER_UNKNOWN: Final = Reason(
    "iter-link/unknown", EOPNOTSUPP, "prog_fd",
    "an iterator over maps, programs, links, tasks, or the elements of a map",
    "the other objects that the kernel iterates over are not in a user-space world",
)  # fmt: skip
ITER_SLEEPABLE: Final = Reason(
    "iter-link/sleepable", EINVAL, "prog_fd", "a program that does not sleep"
)
ITER_NO_MAP: Final = Reason(
    "iter-link/no-map", EBADF, "word16", "an iter_info with the descriptor of a map"
)
ITER_MAP_KIND: Final = Reason(
    "iter-link/map-kind", EINVAL, "word16", "an array or hash map, per-CPU and LRU included"
)
ITER_MAP_ACCESS: Final = Reason(
    "iter-link/map-access", EACCES, "word16",
    "a map whose keys and values are as large as what the program touches",
)  # fmt: skip
ITER_MAP_EXCLUSIVE: Final = Reason(
    "iter-link/map-exclusive", EPERM, "word16", "a map that is not exclusive to a program"
)
ITER_TASK: Final = Reason("iter-link/task", EINVAL, "word16", "at most one of tid, pid and pid_fd")
ITER_NO_TASK: Final = Reason(
    "iter-link/pid-fd", EBADF, "word16", "an iter_info whose pid_fd is a descriptor of a process"
)
ITER_OLD_PROGRAM: Final = Reason(
    "iter-link/old-program", EPERM, "old_prog_fd", "the program that the link holds"
)
ITER_NEW_PROGRAM: Final = Reason(
    "iter-link/new-program", EINVAL, "new_prog_fd",
    "a program of the same type, attach type and target as the one in place",
)  # fmt: skip
ITER_CREATE_FLAGS: Final = Reason("iter-create/flags", EINVAL, "flags", "0")
ITER_CREATE_LINK: Final = Reason("iter-create/link", EINVAL, "link_fd", "a link of an iterator")
INFO_NAME: Final = Reason(
    "link-info/name", EINVAL, "info", "a length exactly if there is room for a name"
)
INFO_NAME_ROOM: Final = Reason(
    "link-info/name-room", ENOSPC, "info", "room for the whole name and its final zero"
)

# --- reading iterators ----------------------------------------------------------------------------

READ_KIND: Final = Reason("iter-read/kind", EINVAL, "", "a descriptor that can be read")
READ_ROOM: Final = Reason("iter-read/room", E2BIG, "", "at most 32 KiB of output for one object")
READ_AGAIN: Final = Reason(
    "iter-read/again", EAGAIN, "", "output within a million objects, and programs that return 0",
    "read again: the iterator goes on where it stopped",
)  # fmt: skip

# --- TASK_FD_QUERY --------------------------------------------------------------------------------

TASK_FLAGS: Final = Reason("task-query/flags", EINVAL, "flags", "0")
TASK_UNKNOWN: Final = Reason("task-query/task", ENOENT, "pid", "the number of a task")
TASK_FD: Final = Reason("task-query/fd", EBADF, "fd", "a descriptor that the task has open")
TASK_KIND: Final = Reason(
    "task-query/kind", ENOTSUPP, "fd", "a raw tracepoint link or a perf event"
)
TASK_PROGRAM: Final = Reason("task-query/program", ENOENT, "fd", "a perf event that has a program")
TASK_EVENT: Final = Reason("task-query/event", EOPNOTSUPP, "fd", "a perf event on a tracepoint")
TASK_ROOM: Final = Reason(
    "task-query/room", ENOSPC, "buf_len", "room for the whole name and its final zero",
    "buf_len says how long the name is; as much as fits was written",
)  # fmt: skip
