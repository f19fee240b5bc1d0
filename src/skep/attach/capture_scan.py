"""Packets of pcap and pcapng file images, found by native code: where each lies, a batch at a time.

It stops at whatever is not a whole record of an allowed size, or an Enhanced Packet Block of a
known interface; the caller then says what that is, or what is wrong with it.

Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

from typing import Final

from skep.base.native import load32, load64, native, store32, store64, swap32

# the cursor: 8-byte words at these offsets
IMAGE: Final = 0  # address of the file image
SIZE: Final = 8  # its bytes
POSITION: Final = 16  # offset of the next record
SWAPPED: Final = 24  # its numbers are big-endian
LIMIT: Final = 32  # pcap: most bytes that a packet may have; pcapng: number of interfaces
ADDRESSES: Final = 40  # address of u64[most]: the first byte of each packet
LENGTHS: Final = 48  # address of u32[most]: bytes captured
CURSOR_SIZE: Final = 56

_HEADER: Final = 16
_CAPTURED: Final = 8
_ENHANCED: Final = 6  # the block's type
_INTERFACE: Final = 8  # offsets in the block
_BLOCK_CAPTURED: Final = 20
_BLOCK_DATA: Final = 28
_LEAST_BLOCK: Final = 32


@native
def scan_records(cursor: int, most: int) -> int:
    """Find up to *most* records and move the cursor behind them; returns how many."""
    image = load64(cursor + IMAGE)
    size = load64(cursor + SIZE)
    position = load64(cursor + POSITION)
    swapped = load64(cursor + SWAPPED)
    longest = load64(cursor + LIMIT)
    addresses = load64(cursor + ADDRESSES)
    lengths = load64(cursor + LENGTHS)
    count = 0
    while count < most and position + _HEADER <= size:
        captured = number(image + position + _CAPTURED, swapped)
        after = position + _HEADER + captured
        if captured > longest or after > size:
            break
        store64(addresses + 8 * count, image + position + _HEADER)
        store32(lengths + 4 * count, captured)
        position = after
        count += 1
    store64(cursor + POSITION, position)
    return count


@native
def scan_blocks(cursor: int, most: int) -> int:
    """Find up to *most* Enhanced Packet Blocks, move the cursor behind them; returns how many."""
    image = load64(cursor + IMAGE)
    size = load64(cursor + SIZE)
    position = load64(cursor + POSITION)
    swapped = load64(cursor + SWAPPED)
    interfaces = load64(cursor + LIMIT)
    addresses = load64(cursor + ADDRESSES)
    lengths = load64(cursor + LENGTHS)
    count = 0
    while count < most and position + _LEAST_BLOCK <= size:
        block = image + position
        total = number(block + 4, swapped)
        captured = number(block + _BLOCK_CAPTURED, swapped)
        if number(block, swapped) != _ENHANCED or total < _LEAST_BLOCK or total % 4 != 0:
            break
        if position + total > size or captured > total - _LEAST_BLOCK:
            break
        if number(block + _INTERFACE, swapped) >= interfaces:
            break
        store64(addresses + 8 * count, block + _BLOCK_DATA)
        store32(lengths + 4 * count, captured)
        position += total
        count += 1
    store64(cursor + POSITION, position)
    return count


@native
def number(address: int, swapped: int) -> int:
    """Read four bytes of a file of either byte order."""
    value = load32(address)
    return swap32(value) if swapped else value
