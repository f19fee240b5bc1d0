"""Internet checksums in native code, and the helpers that compute and correct them.

Sums are 32-bit one's complement numbers in memory order, as in Linux; RFC 1071, RFC 1624.
Source: Linux include/net/checksum.h, net/core/filter.c.
"""

from typing import Final

from skep.base.native import load8, load16, load32, load64, native, store16
from skep.helpers.binding import Binding
from skep.helpers.packet import is_inside
from skep.maps.answer import MINUS_EFAULT, MINUS_EINVAL, MINUS_ENOTSUPP
from skep.runtime.invocation import DATA

_LOW: Final = 0xFFFF_FFFF
_FIELD: Final = 0xF
_PSEUDO: Final = 1 << 4
_MANGLED_0: Final = 1 << 5
_ENFORCE: Final = 1 << 6
_IPV6: Final = 1 << 7
_L4_FLAGS: Final = _FIELD | _PSEUDO | _MANGLED_0 | _ENFORCE | _IPV6
_FARTHEST: Final = 0xFFFF


@native
def add_sums(x: int, y: int) -> int:
    """One's complement sum of 32-bit numbers."""
    total = (x & _LOW) + (y & _LOW)
    return (total & _LOW) + (total >> 32)


@native
def fold(x: int) -> int:
    """A 32-bit sum in 16 bits."""
    x = (x >> 16) + (x & 0xFFFF)
    return (x >> 16) + (x & 0xFFFF)


@native
def sum_bytes(data: int, size: int, start: int) -> int:
    """32-bit sum of *size* bytes, beginning with *start*."""
    total = start & _LOW
    while size >= 4:
        total += load32(data)
        data += 4
        size -= 4
    if size >= 2:
        total += load16(data)
        data += 2
        size -= 2
    if size != 0:
        total += load8(data)
    total = (total & _LOW) + (total >> 32)
    return (total & _LOW) + (total >> 32)


@native
def exchange(place: int, old: int, new: int) -> int:
    """Correct the checksum at *place* for *old* having become *new*."""
    rest = add_sums(~load16(place) & _LOW, ~old & _LOW)
    store16(place, ~fold(add_sums(rest, new)) & 0xFFFF)
    return 0


@native
def add_16(x: int, y: int) -> int:
    """One's complement sum of 16-bit numbers."""
    total = x + y
    return (total & 0xFFFF) + (total >> 16)


@native
def exchange_16(place: int, old: int, new: int) -> int:
    """As exchange, in 16 bits: of the two zeros it may leave the other."""
    rest = add_16(~load16(place) & 0xFFFF, ~old & 0xFFFF)
    store16(place, ~add_16(rest, new) & 0xFFFF)
    return 0


@native
def add_difference(place: int, difference: int) -> int:
    """Correct the checksum at *place* by a difference from csum_diff."""
    store16(place, ~fold(add_sums(difference, ~load16(place) & _LOW)) & 0xFFFF)
    return 0


@native
def correct(place: int, old: int, new: int, field: int) -> int:
    """Correct by a difference (field 0), or for a field of 2 or 4 bytes."""
    if field == 0:
        if old != 0:
            return MINUS_EINVAL
        return add_difference(place, new)
    if field == 2:
        return exchange(place, old & 0xFFFF, new & 0xFFFF)
    if field == 4:
        return exchange(place, old, new)
    return MINUS_EINVAL


@native
def place_answer(run: int, offset: int) -> int:
    """0, or -EFAULT if no checksum stands at *offset*."""
    if offset > _FARTHEST or (offset & 1) != 0 or not is_inside(run, offset, 2):
        return MINUS_EFAULT
    return 0


@native
def l3_csum_replace(
    run: int,
    context: int,  # noqa: ARG001 - a helper's signature
    offset: int,
    old: int,
    new: int,
    flags: int,
) -> int:
    """Correct an IP header's checksum."""
    if (flags & ~_FIELD) != 0:
        return MINUS_EINVAL
    offset &= _LOW
    answer = place_answer(run, offset)
    if answer != 0:
        return answer
    place = load64(run + DATA) + offset
    if flags == 2:
        return exchange_16(place, old & 0xFFFF, new & 0xFFFF)
    return correct(place, old, new, flags)


@native
def l4_csum_replace(
    run: int,
    context: int,  # noqa: ARG001 - a helper's signature
    offset: int,
    old: int,
    new: int,
    flags: int,
) -> int:
    """Correct a TCP, UDP or ICMP checksum; MARK_MANGLED_0: as UDP has it, 0 meaning none."""
    if (flags & ~_L4_FLAGS) != 0:
        return MINUS_EINVAL
    offset &= _LOW
    answer = place_answer(run, offset)
    if answer != 0:
        return answer
    place = load64(run + DATA) + offset
    marks = flags & _MANGLED_0
    if marks != 0 and (flags & _ENFORCE) == 0 and load16(place) == 0:
        return 0
    answer = correct(place, old, new, flags & _FIELD)
    if answer == 0 and marks != 0 and load16(place) == 0:
        store16(place, 0xFFFF)
    return answer


@native
def csum_diff(
    run: int,  # noqa: ARG001 - a helper's signature
    old: int,
    old_size: int,
    new: int,
    new_size: int,
    seed: int,
) -> int:
    """Checksum difference of two buffers, either of which may be empty."""
    old_size &= _LOW
    new_size &= _LOW
    total = seed & _LOW
    if new_size != 0:
        total = sum_bytes(new, new_size, total)
        if old_size != 0:
            total = add_sums(total, ~sum_bytes(old, old_size, 0) & _LOW)
    elif old_size != 0:
        total = ~sum_bytes(old, old_size, ~total & _LOW) & _LOW
    return fold(total)


@native
def csum_update(run: int, context: int, total: int) -> int:  # noqa: ARG001
    """Refuse, as Linux does for packets without a hardware checksum."""
    return MINUS_ENOTSUPP


BINDINGS: Final = (
    Binding("l3_csum_replace", l3_csum_replace),
    Binding("l4_csum_replace", l4_csum_replace),
    Binding("csum_diff", csum_diff),
    Binding("csum_update", csum_update),
)
