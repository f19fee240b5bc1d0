"""Records of a pcap file image, found by native code: where each packet lies, a batch at a time.

It stops at whatever is not a whole record of an allowed size; the caller then says what is wrong.

Source: draft-ietf-opsawg-pcap.
"""

from typing import Final

from skep.base.native import load32, load64, native, store32, store64, swap32

# the cursor: 8-byte words at these offsets
IMAGE: Final = 0  # address of the file image
SIZE: Final = 8  # its bytes
POSITION: Final = 16  # offset of the next record
SWAPPED: Final = 24  # its numbers are big-endian
LONGEST: Final = 32  # most bytes that a packet may have
ADDRESSES: Final = 40  # address of u64[most]: the first byte of each packet
LENGTHS: Final = 48  # address of u32[most]: bytes captured
CURSOR_SIZE: Final = 56

_HEADER: Final = 16
_CAPTURED: Final = 8


@native
def scan_records(cursor: int, most: int) -> int:
    """Find up to *most* records and move the cursor behind them; returns how many."""
    image = load64(cursor + IMAGE)
    size = load64(cursor + SIZE)
    position = load64(cursor + POSITION)
    swapped = load64(cursor + SWAPPED)
    longest = load64(cursor + LONGEST)
    addresses = load64(cursor + ADDRESSES)
    lengths = load64(cursor + LENGTHS)
    count = 0
    while count < most and position + _HEADER <= size:
        captured = load32(image + position + _CAPTURED)
        if swapped:
            captured = swap32(captured)
        after = position + _HEADER + captured
        if captured > longest or after > size:
            break
        store64(addresses + 8 * count, image + position + _HEADER)
        store32(lengths + 4 * count, captured)
        position = after
        count += 1
    store64(cursor + POSITION, position)
    return count
