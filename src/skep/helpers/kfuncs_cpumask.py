"""Kernel functions on sets of CPUs, and the iterator over bits.

A ``struct bpf_cpumask`` begins with its ``struct cpumask``: as many bits as the world has CPUs, and
none of those behind them set. What programs only read may be a part of any kernel object: where
there is no such memory, the set is empty.

``struct bpf_iter_bits`` is ``{u64 bits, or the address of more; s32 count; s32 bit;}``.

Source: Linux 6.18 kernel/bpf/cpumask.c, kernel/bpf/helpers.c.
"""

from typing import Final

from skep.base.bits import U32
from skep.base.memory import Fault
from skep.base.native import (
    cmpxchg64,
    leading_zeros64,
    load32,
    load64,
    native,
    store32,
    store64,
    wrap,
)
from skep.helpers.binding import Known
from skep.helpers.kfunc_binding import KfuncBinding
from skep.helpers.kfuncs_objects import obj_drop, refcount_acquire
from skep.maps.answer import MINUS_E2BIG, MINUS_EACCES, MINUS_EFAULT, MINUS_EINVAL, MINUS_ENOMEM
from skep.runtime.heap import CPUS, END, HEAP, LARGEST, REGION, Description, allocate, drop
from skep.runtime.world import World

_ALL: Final = 0xFFFF_FFFF_FFFF_FFFF
_LOW: Final = 0xFFFF_FFFF
_AND: Final = 0
_OR: Final = 1
_XOR: Final = 2
_WITHOUT: Final = 3
_COUNT: Final = 8
_BIT: Final = 12
_MOST_WORDS: Final = LARGEST // 8


# --- words of a set -----------------------------------------------------------------------------


@native
def cpus_of(kind: int) -> int:
    """How many CPUs there are."""
    return load64(load64(kind + HEAP) + CPUS)


@native
def words_of(kind: int) -> int:
    """How many words a set has."""
    return (cpus_of(kind) + 63) >> 6


@native
def valid_bits(kind: int, number: int) -> int:
    """The bits of word *number* that stand for CPUs."""
    left = cpus_of(kind) - (number << 6)
    return _ALL if left >= 64 else (1 << left) - 1


@native
def word_of(kind: int, mask: int, number: int) -> int:
    """Word *number* of a set."""
    heap = load64(kind + HEAP)
    place = mask + 8 * number
    if place < load64(heap + REGION) or place + 8 > load64(heap + END):
        return 0
    return load64(place) & valid_bits(kind, number)


@native
def first_bit(word: int) -> int:
    """Number of the lowest bit of *word*, which is not 0."""
    return 63 - leading_zeros64(word & wrap(~word + 1))


@native
def joined(kind: int, x: int, y: int, number: int, how: int) -> int:
    """Word *number* of two sets together."""
    here = word_of(kind, x, number)
    there = word_of(kind, y, number)
    if how == _AND:
        return here & there
    if how == _OR:
        return here | there
    if how == _XOR:
        return here ^ there
    return here & ~there


@native
def first_of(kind: int, x: int, y: int, how: int) -> int:
    """The first CPU of two sets together; behind the last if there is none."""
    for number in range(words_of(kind)):
        word = joined(kind, x, y, number, how)
        if word != 0:
            return (number << 6) + first_bit(word)
    return cpus_of(kind)


@native
def store_joined(kind: int, target: int, x: int, y: int, how: int) -> int:
    """Make a set of two; whether there is something in it."""
    some = 0
    for number in range(words_of(kind)):
        word = joined(kind, x, y, number, how)
        store64(target + 8 * number, word)
        some |= word
    return some != 0


@native
def change(kind: int, cpu: int, mask: int, on: int) -> int:
    """Put a CPU into a set or take it out; whether it was in."""
    cpu &= _LOW
    if cpu >= cpus_of(kind):
        return 0
    place = mask + 8 * (cpu >> 6)
    bit = 1 << (cpu & 63)
    old = load64(place)
    seen = wrap(~old)
    while seen != old:
        old = load64(place)
        seen = cmpxchg64(place, old, old | bit if on else old & ~bit)
    return (old & bit) != 0


# --- kernel functions ---------------------------------------------------------------------------


@native
def create(run: int, kind: int) -> int:  # noqa: ARG001 - a kernel function's signature
    """An empty set; 0 if there is no room."""
    return allocate(kind)


@native
def first(run: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """The first CPU in a set."""
    return first_of(kind, mask, mask, _AND)


@native
def first_zero(run: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """The first CPU that is not in a set."""
    for number in range(words_of(kind)):
        word = ~word_of(kind, mask, number) & valid_bits(kind, number)
        if word != 0:
            return (number << 6) + first_bit(word)
    return cpus_of(kind)


@native
def first_and(run: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """The first CPU in both sets."""
    return first_of(kind, x, y, _AND)


@native
def set_cpu(run: int, cpu: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """Put a CPU into a set."""
    return change(kind, cpu, mask, 1)


@native
def clear_cpu(run: int, cpu: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """Take a CPU out of a set."""
    return change(kind, cpu, mask, 0)


@native
def test_cpu(run: int, cpu: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """Whether a CPU is in a set."""
    cpu &= _LOW
    if cpu >= cpus_of(kind):
        return 0
    return word_of(kind, mask, cpu >> 6) >> (cpu & 63) & 1


@native
def setall(run: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """Put every CPU into a set."""
    for number in range(words_of(kind)):
        store64(mask + 8 * number, valid_bits(kind, number))
    return 0


@native
def clear(run: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """Take every CPU out of a set."""
    return store_joined(kind, mask, mask, mask, _XOR)


@native
def and_(run: int, target: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """What is in both sets; whether there is something."""
    return store_joined(kind, target, x, y, _AND)


@native
def or_(run: int, target: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """What is in one of two sets."""
    return store_joined(kind, target, x, y, _OR)


@native
def xor(run: int, target: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """What is in only one of two sets."""
    return store_joined(kind, target, x, y, _XOR)


@native
def copy_mask(run: int, target: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """Copy a set."""
    return store_joined(kind, target, mask, mask, _AND)


@native
def equal(run: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """Whether two sets are equal."""
    return first_of(kind, x, y, _XOR) == cpus_of(kind)


@native
def intersects(run: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """Whether some CPU is in both sets."""
    return first_of(kind, x, y, _AND) != cpus_of(kind)


@native
def subset(run: int, x: int, y: int, kind: int) -> int:  # noqa: ARG001
    """Whether all of *x* is in *y*."""
    return first_of(kind, x, y, _WITHOUT) == cpus_of(kind)


@native
def empty(run: int, mask: int, kind: int) -> int:
    """Whether there is nothing in a set."""
    return first(run, mask, kind) == cpus_of(kind)


@native
def full(run: int, mask: int, kind: int) -> int:
    """Whether every CPU is in a set."""
    return first_zero(run, mask, kind) == cpus_of(kind)


@native
def weight(run: int, mask: int, kind: int) -> int:  # noqa: ARG001
    """How many CPUs are in a set."""
    count = 0
    for number in range(words_of(kind)):
        word = word_of(kind, mask, number)
        while word != 0:
            word &= word - 1
            count += 1
    return count


@native
def populate(run: int, mask: int, source: int, size: int, kind: int) -> int:  # noqa: ARG001
    """Take a set from the program's memory."""
    if size < 8 * words_of(kind):
        return MINUS_EACCES
    for number in range(words_of(kind)):
        store64(mask + 8 * number, load64(source + 8 * number) & valid_bits(kind, number))
    return 0


# --- bits ---------------------------------------------------------------------------------------


def iter_bits_new(
    world: World, _run: int, iterator: int, source: int, words: int, _r4: int, _r5: int
) -> int:
    """Begin to go through the bits of *words* words, which are copied."""
    words &= U32
    store64(iterator, 0)
    store32(iterator + _COUNT, 0)
    store32(iterator + _BIT, U32)
    if source == 0 or words == 0:
        return MINUS_EINVAL
    if words > _MOST_WORDS:
        return MINUS_E2BIG
    try:
        bits = world.memory.read(source, 8 * words)
    except Fault:
        return MINUS_EFAULT
    place = iterator
    if words > 1:
        heap = world.objects.heap
        place = heap.bind(allocate)(heap.describe(Description(LARGEST)))
        if place == 0:
            return MINUS_ENOMEM
        store64(iterator, place)
    for number in range(words):
        store64(place + 8 * number, int.from_bytes(bits[8 * number : 8 * number + 8], "little"))
    store32(iterator + _COUNT, 64 * words)
    return 0


@native
def iter_bits_next(run: int, iterator: int) -> int:  # noqa: ARG001
    """The address of the number of the next bit that is set, 0 behind the last one."""
    count = load32(iterator + _COUNT)
    bit = (load32(iterator + _BIT) + 1) & _LOW
    place = iterator if count == 64 else load64(iterator)
    while bit < count:
        word = load64(place + 8 * (bit >> 6)) >> (bit & 63)
        if word != 0:
            store32(iterator + _BIT, bit + first_bit(word))
            return iterator + _BIT
        bit = ((bit >> 6) + 1) << 6
    store32(iterator + _BIT, bit - 1)
    return 0


@native
def iter_bits_destroy(run: int, iterator: int) -> int:  # noqa: ARG001
    """Give the copy back."""
    if load32(iterator + _COUNT) > 64:
        drop(load64(iterator))
    return 0


_ON_MASKS: Final = (
    ("first", first), ("first_zero", first_zero), ("first_and", first_and), ("set_cpu", set_cpu),
    ("clear_cpu", clear_cpu), ("test_cpu", test_cpu), ("test_and_set_cpu", set_cpu),
    ("test_and_clear_cpu", clear_cpu), ("setall", setall), ("clear", clear), ("and", and_),
    ("or", or_), ("xor", xor), ("equal", equal), ("intersects", intersects), ("subset", subset),
    ("empty", empty), ("full", full), ("copy", copy_mask), ("any_distribute", first),
    ("any_and_distribute", first_and), ("weight", weight), ("populate", populate),
)  # fmt: skip
BINDINGS: Final = (
    KfuncBinding("bpf_cpumask_create", create, known=Known.CPUMASK_TYPE),
    KfuncBinding("bpf_cpumask_release", obj_drop),
    KfuncBinding("bpf_cpumask_acquire", refcount_acquire),
    *(
        KfuncBinding(f"bpf_cpumask_{name}", function, known=Known.CPUMASK_TYPE)
        for name, function in _ON_MASKS
    ),
    KfuncBinding("bpf_iter_bits_new", upcall=iter_bits_new),
    KfuncBinding("bpf_iter_bits_next", iter_bits_next),
    KfuncBinding("bpf_iter_bits_destroy", iter_bits_destroy),
)
