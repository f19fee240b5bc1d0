"""The native loop over many packets: one call from Python runs a program on all of them.

``Entry.batch(run, batch, count, results)`` takes the addresses of

* *run*: a run block whose ORIGIN says which context the program has (SKB or XDP);
* *batch*: eleven 8-byte words that describe the packets, the offsets below::

    offset  word          meaning
    0       ADDRESSES     address of u64[count]: first byte of each packet's link header
    8       LENGTHS       address of u32[count]: bytes of each packet
    16      CONTEXT       address of the context's native block (skep.uapi.contexts)
    24      TEMPLATE      address of what the context holds before each run; 0: it stays as it is
    32      CONTEXT_SIZE  bytes of the context's native block
    40      HISTOGRAM     address of u64[BINS]: r0 is counted at its index, or in the last one
    48      BINS          number of counters; 0: do not count
    56      SKIP          bytes from the link header to where the program's data begins
    64      BUFFER        where each packet is copied before it is run; 0: run it where it is
    72      HEADROOM      bytes of BUFFER before the packet
    80      BUFFER_SIZE   bytes of BUFFER; longer packets are cut

* *results*: u64[count], one r0 for each packet; 0: do not keep them.

A program that changes packets needs a BUFFER. For each packet the loop fills the run block
(packet bounds, headers, TAIL_CALLS; CHECKSUM is as before the first packet) and the context (data,
data_end, data_meta; len and protocol of an __sk_buff). It stops early when a run leaves a FAULT.
"""

from typing import Final

from skep.base.native import (
    call,
    copy,
    load16,
    load32,
    load64,
    native,
    store32,
    store64,
)
from skep.runtime.invocation import (
    ALLOWANCE,
    CHECKSUM,
    DATA,
    DATA_END,
    DATA_META,
    FAULT,
    FUEL,
    HEAD,
    LIMIT,
    LINK_HEADER,
    NETWORK_HEADER,
    ORIGIN,
    TAIL_CALLS,
    Origin,
)
from skep.uapi.contexts import SK_BUFF, XDP_MD, Context

ADDRESSES: Final = 0
LENGTHS: Final = 8
CONTEXT: Final = 16
TEMPLATE: Final = 24
CONTEXT_SIZE: Final = 32
HISTOGRAM: Final = 40
BINS: Final = 48
SKIP: Final = 56
BUFFER: Final = 64
HEADROOM: Final = 72
BUFFER_SIZE: Final = 80
BATCH_SIZE: Final = 88

_ETHERNET: Final = 14
_ETHERTYPE: Final = 12
_SKB: Final = int(Origin.SKB)


def _slot(context: Context, name: str) -> int:
    return context.native_base + 8 * context.field(name).slot


_LEN: Final = SK_BUFF.field("len").offset
_PROTOCOL: Final = SK_BUFF.field("protocol").offset
_SKB_DATA: Final = _slot(SK_BUFF, "data")
_SKB_END: Final = _slot(SK_BUFF, "data_end")
_SKB_META: Final = _slot(SK_BUFF, "data_meta")
_XDP_DATA: Final = _slot(XDP_MD, "data")
_XDP_END: Final = _slot(XDP_MD, "data_end")
_XDP_META: Final = _slot(XDP_MD, "data_meta")


@native
def run_batch(run: int, entry: int, batch: int, count: int, results: int) -> int:
    """Run the program at *entry* on *count* packets; returns how many it came to."""
    addresses = load64(batch + ADDRESSES)
    lengths = load64(batch + LENGTHS)
    context = load64(batch + CONTEXT)
    checksum = load64(run + CHECKSUM)
    template = load64(batch + TEMPLATE)
    for i in range(count):
        if template != 0:
            copy(context, template, load64(batch + CONTEXT_SIZE))
        place_packet(run, batch, load64(addresses + 8 * i), load32(lengths + 4 * i))
        fill_context(run, context)
        store64(run + TAIL_CALLS, 0)
        store64(run + FUEL, load64(run + ALLOWANCE))
        store64(run + CHECKSUM, checksum)
        result = call(entry, run, context)
        if results != 0:
            store64(results + 8 * i, result)
        count_result(batch, result)
        if load64(run + FAULT) != 0:
            return i + 1
    return count


@native
def place_packet(run: int, batch: int, address: int, length: int) -> int:
    """Put the packet's bounds into the run block, after copying it if there is a buffer."""
    buffer = load64(batch + BUFFER)
    start = address
    head = address
    limit = address + length
    if buffer != 0:
        head = buffer
        limit = buffer + load64(batch + BUFFER_SIZE)
        start = buffer + load64(batch + HEADROOM)
        if start + length > limit:
            length = limit - start
        copy(start, address, length)
    end = start + length
    data = start + load64(batch + SKIP)
    data = min(data, end)
    store64(run + HEAD, head)
    store64(run + LIMIT, limit)
    store64(run + DATA, data)
    store64(run + DATA_META, data)
    store64(run + DATA_END, end)
    store64(run + LINK_HEADER, start)
    store64(run + NETWORK_HEADER, start + _ETHERNET if length >= _ETHERNET else 0)
    return 0


@native
def fill_context(run: int, context: int) -> int:
    """Put the packet's bounds into the context, and what an __sk_buff says of the packet."""
    data = load64(run + DATA)
    end = load64(run + DATA_END)
    if load64(run + ORIGIN) == _SKB:
        store32(context + _LEN, end - data)
        if load64(run + NETWORK_HEADER) != 0:
            store32(context + _PROTOCOL, load16(load64(run + LINK_HEADER) + _ETHERTYPE))
        store64(context + _SKB_DATA, data)
        store64(context + _SKB_META, data)
        store64(context + _SKB_END, end)
    else:
        store64(context + _XDP_DATA, data)
        store64(context + _XDP_META, data)
        store64(context + _XDP_END, end)
    return 0


@native
def count_result(batch: int, result: int) -> int:
    """Count *result* in the histogram."""
    bins = load64(batch + BINS)
    if bins != 0:
        counter = load64(batch + HISTOGRAM) + 8 * (result if result < bins else bins - 1)
        store64(counter, load64(counter) + 1)
    return 0
