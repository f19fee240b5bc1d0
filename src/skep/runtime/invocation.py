"""The run block: what native code can see of one run, at a fixed address.

Every compiled function of a program takes ``(run, r1, r2, r3, r4, r5)``, all 64-bit, and returns
r0; so does every native helper. *run* is the address of a run block::

    offset  field       meaning
    0       CPU         virtual CPU of this run: index of per-CPU maps
    8       TAIL_CALLS  tail calls made so far; the 33rd+1 fails
    16      CONTEXT     address of the context structure
    24      DATA        first byte of the packet (data)
    32      DATA_END    one past the linear part (data_end)
    40      DATA_META   first byte of metadata (data_meta)
    48      HEAD        lowest address that data may move to
    56      LIMIT       highest address that data_end may move to
    64      HANDLE      number by which upcalls find the Python Invocation
    72      CLOCK_NS    0: read the real clock; else every clock helper returns it
    80      REDIRECT    what redirect helpers recorded: map address, or 0
    88      REDIRECT_KEY    ifindex or map key
    96      REDIRECT_FLAGS
    104     FUEL        back edges left before the run is stopped; 0: not metered
    112     FAULT       set to a RunError code by native code that had to stop
    120     ORIGIN      kind of context (Origin below): which packet helpers apply
    128     COOKIE      attach cookie
    136     RANDOM      state of the pseudo-random generator, never 0
    144     SCRATCH     address of 512 bytes for helpers
    152     PID_TGID    tgid << 32 | pid
    160     UID_GID     gid << 32 | uid
    168     COMM        address of 16 bytes
    176     PRINTK      address of the trace ring, or 0
    184     RETVAL      what get_retval / set_retval see
    192     LINK_HEADER     first byte of the packet's link header, or 0 (LD_ABS, *_relative)
    200     NETWORK_HEADER  first byte of its network header, or 0
    208     NAMESPACE   cookie of the network namespace
    216     CGROUP      id of the process's cgroup
    224     SOCKET      cookie of the socket that the run's packet has
    232     TUNNEL      address of what skb_set_tunnel_key set (skep.helpers.tunnel)
    240     CHECKSUM    0: not checked; 1 + n: n + 1 checksums known good; 255: sum is known
    248     HELD        address of the table of what the run holds (skep.engine.held), or 0
    256     THROWN      what bpf_throw was given
    264     DEADLINE    CLOCK_MONOTONIC in ns at which the run is stopped; 0: never
    272     ALLOWANCE   FUEL that each run of a batch begins with
"""

from enum import IntEnum
from typing import Final

CPU: Final = 0
TAIL_CALLS: Final = 8
CONTEXT: Final = 16
DATA: Final = 24
DATA_END: Final = 32
DATA_META: Final = 40
HEAD: Final = 48
LIMIT: Final = 56
HANDLE: Final = 64
CLOCK_NS: Final = 72
REDIRECT: Final = 80
REDIRECT_KEY: Final = 88
REDIRECT_FLAGS: Final = 96
FUEL: Final = 104
FAULT: Final = 112
ORIGIN: Final = 120
COOKIE: Final = 128
RANDOM: Final = 136
SCRATCH: Final = 144
PID_TGID: Final = 152
UID_GID: Final = 160
COMM: Final = 168
PRINTK: Final = 176
RETVAL: Final = 184
LINK_HEADER: Final = 192
NETWORK_HEADER: Final = 200
NAMESPACE: Final = 208
CGROUP: Final = 216
SOCKET: Final = 224
TUNNEL: Final = 232
CHECKSUM: Final = 240
HELD: Final = 248
THROWN: Final = 256
DEADLINE: Final = 264
ALLOWANCE: Final = 272
RUN_SIZE: Final = 320
HELD_SIZE: Final = 8192

MAX_TAIL_CALLS: Final = 33


class Origin(IntEnum):
    """What kind of context a run has; packet helpers keep that context in step."""

    OTHER = 0
    SKB = 1
    XDP = 2
