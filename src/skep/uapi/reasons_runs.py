"""Reasons why PROG_TEST_RUN refuses a call.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_test_run), net/bpf/test_run.c.
"""

from errno import (
    E2BIG,
    EAFNOSUPPORT,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOMEM,
    ENOSPC,
    ENXIO,
    EOPNOTSUPP,
    ERANGE,
)
from typing import Final

from skep.uapi.commands import ENOTSUPP
from skep.uapi.reason import Reason

CONTEXT_SIZE_ALONE: Final = Reason(
    "test-run/context-alone", EINVAL, "", "a context's size and address: both 0, or neither"
)
PROG_TYPE: Final = Reason(
    "test-run/prog-type",
    ENOTSUPP,
    "prog_fd",
    "a program of a type that can be run on given data",
    "docs/explanation/what-we-leave-out.md says which cannot, and why",
)
UNUSED: Final = Reason(
    "test-run/unused-member", EINVAL, "", "0, for programs of a type that does not use the member"
)
DATA_SIZE: Final = Reason(
    "test-run/data-size-in",
    EINVAL,
    "data_size_in",
    "as many bytes as a packet may have",
    "14 at least: an Ethernet header; and at most what fits into a page with headroom",
)
DATA_LONG: Final = Reason(
    "test-run/data-long", ENOMEM, "data_size_in", "a packet of at most 17 pages of fragments"
)
PACKET: Final = Reason(
    "test-run/packet",
    EINVAL,
    "data_in",
    "the IP header that its Ethernet type announces, whole",
)
CONTEXT_LONG: Final = Reason(
    "test-run/context-long", E2BIG, "ctx_size_in", "at most a page, and zeros beyond the context"
)
CONTEXT: Final = Reason(
    "test-run/context",
    EINVAL,
    "ctx_in",
    "0 in all members but those that the caller may set",
)
CONTEXT_NEEDED: Final = Reason(
    "test-run/context-needed", EINVAL, "ctx_in", "the address of a struct bpf_sk_lookup"
)
CONTEXT_SIZE: Final = Reason(
    "test-run/context-size",
    EINVAL,
    "ctx_size_in",
    "at least as much as the program reads, at most as much as there can be",
)
PORT: Final = Reason("test-run/local-port", ERANGE, "ctx_in", "a local_port up to 65535")
FAMILY: Final = Reason("test-run/family", EAFNOSUPPORT, "ctx_in", "family AF_INET or AF_INET6")
DEVICE: Final = Reason("test-run/device", ENODEV, "ctx_in", "the index of a device that exists")
DATA_OUT: Final = Reason(
    "test-run/data-out",
    ENOSPC,
    "data_size_out",
    "at least as many bytes as the packet has after the run",
    "data_size_out says now how many there are; the start of them was written",
)
CONTEXT_OUT: Final = Reason(
    "test-run/context-out",
    ENOSPC,
    "ctx_size_out",
    "at least as many bytes as the context has",
    "ctx_size_out says now how many there are; the start of them was written",
)
FLAGS: Final = Reason("test-run/flags", EINVAL, "flags", "flags that the program type takes")
CPU_FLAG: Final = Reason("test-run/cpu-flag", EINVAL, "cpu", "0 without RUN_ON_CPU")
CPU: Final = Reason("test-run/cpu", ENXIO, "cpu", "the number of a CPU of this world")
XDP_TARGET: Final = Reason(
    "test-run/xdp-target", EINVAL, "prog_fd", "an XDP program that is not for a devmap or cpumap"
)
LIVE_FRAMES: Final = Reason(
    "test-run/live-frames", EOPNOTSUPP, "flags", "0: there are no devices to send frames to"
)
CHECKSUM: Final = Reason(
    "test-run/checksum",
    EOPNOTSUPP,
    "flags",
    "0, for a program that changes the packet: skep keeps no sum of it",
)
NOTHING_TRACED: Final = Reason(
    "test-run/nothing-traced", EFAULT, "prog_fd", "a program on a function that can be called"
)
KERNEL_OBJECTS: Final = Reason(
    "test-run/kernel-objects",
    EOPNOTSUPP,
    "prog_fd",
    "a program whose arguments are no objects of a kernel",
    "docs/explanation/what-we-leave-out.md says which cannot be run, and why",
)
