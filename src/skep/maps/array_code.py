"""The operations of arrays in native code, and where their descriptor has what.

Words: 64 VALUES, address of value 0; 72 SPAN, bytes from one CPU's copies to the next CPU's
(per-CPU only). Value *i* stands at ``VALUES + i * STRIDE (+ cpu * SPAN)``.

Source: Linux kernel/bpf/arraymap.c.
"""

from typing import Final

from skep.base.native import call, fill, load32, load64, native, store32, store64
from skep.maps.answer import MINUS_E2BIG, MINUS_EEXIST, MINUS_EINVAL
from skep.maps.interface import FAMILY, LOCK, MAX_ENTRIES, STRIDE
from skep.maps.value import EXIST, F_LOCK, NOEXIST, copy_value, disown, read_value, write_value
from skep.runtime.invocation import CPU, FAULT, SCRATCH

VALUES: Final = FAMILY
SPAN: Final = FAMILY + 8

_NO_LOCK: Final = ~F_LOCK & 0xFFFF_FFFF_FFFF_FFFF


@native
def array_lookup(this: int, key: int) -> int:
    """Address of the value, or 0 past the end."""
    index = load32(key)
    if index >= load64(this + MAX_ENTRIES):
        return 0
    return load64(this + VALUES) + index * load64(this + STRIDE)


@native
def array_at(run: int, key: int, values: int, count: int, stride: int) -> int:  # noqa: ARG001
    """The inline form of array_lookup."""
    index = load32(key)
    if index >= count:
        return 0
    return values + index * stride


@native
def array_flags_answer(this: int, index: int, flags: int) -> int:
    """0, or why an update of *index* with *flags* fails."""
    if (flags & _NO_LOCK) > EXIST:
        return MINUS_EINVAL
    if index >= load64(this + MAX_ENTRIES):
        return MINUS_E2BIG
    if flags & NOEXIST:
        return MINUS_EEXIST
    if flags & F_LOCK and load64(this + LOCK) == 0:
        return MINUS_EINVAL
    return 0


@native
def array_update(this: int, key: int, value: int, flags: int) -> int:
    """Overwrite an element."""
    index = load32(key)
    answer = array_flags_answer(this, index, flags)
    if answer == 0:
        target = load64(this + VALUES) + index * load64(this + STRIDE)
        write_value(this, target, value, flags)
        disown(this, target)
    return answer


@native
def array_read(this: int, key: int, target: int, flags: int) -> int:
    """Copy the element out for the host, under the element's lock if *flags* say so."""
    value = array_lookup(this, key)
    read_value(this, target, value, flags)
    return 0


@native
def percpu_array_lookup_on(this: int, key: int, cpu: int) -> int:
    """Address of the copy of *cpu*, or 0 past the end or for a CPU that is not there."""
    value = array_lookup(this, key)
    if value == 0:
        return 0
    return value + cpu * load64(this + SPAN)


@native
def percpu_array_lookup(run: int, this: int, key: int) -> int:
    """Address of this CPU's copy, or 0 past the end."""
    return percpu_array_lookup_on(this, key, load64(run + CPU))


@native
def percpu_array_at(run: int, key: int, values: int, count: int, stride: int, span: int) -> int:
    """The inline form of percpu_array_lookup."""
    index = load32(key)
    if index >= count:
        return 0
    return values + index * stride + load64(run + CPU) * span


@native
def percpu_array_update(run: int, this: int, key: int, value: int, flags: int) -> int:
    """Overwrite this CPU's copy."""
    index = load32(key)
    answer = array_flags_answer(this, index, flags)
    if answer == 0:
        target = percpu_array_lookup_on(this, key, load64(run + CPU))
        copy_value(this, target, value)
        disown(this, target)
    return answer


@native
def percpu_array_copy_out(this: int, key: int, target: int, cpus: int) -> int:
    """Give the host all copies, one behind the other."""
    stride = load64(this + STRIDE)
    fill(target, 0, stride * cpus)
    for cpu in range(cpus):
        copy_value(this, target + cpu * stride, percpu_array_lookup_on(this, key, cpu))
    return 0


@native
def percpu_array_copy_in(this: int, key: int, value: int, cpus: int, flags: int) -> int:
    """Overwrite all copies from the host's bytes."""
    if flags > EXIST:
        return MINUS_EINVAL
    answer = array_flags_answer(this, load32(key), flags)
    if answer == 0:
        stride = load64(this + STRIDE)
        for cpu in range(cpus):
            target = percpu_array_lookup_on(this, key, cpu)
            copy_value(this, target, value + cpu * stride)
            disown(this, target)
    return answer


@native
def array_disown(this: int, copies: int) -> int:
    """Let go what every element owns, each in as many *copies*."""
    for copy in range(copies):
        value = load64(this + VALUES) + copy * load64(this + SPAN)
        for _index in range(load64(this + MAX_ENTRIES)):
            disown(this, value)
            value += load64(this + STRIDE)
    return 0


@native
def array_for_each(run: int, this: int, callback: int, context: int, percpu: int) -> int:
    """Call *callback* on each element until it says 1; returns how many it saw.

    The key is the program's to read: it stands in scratch memory, one place for each nesting.
    """
    key = load64(run + SCRATCH)
    store64(run + SCRATCH, key + 8)
    value = load64(this + VALUES)
    if percpu != 0:
        value += load64(run + CPU) * load64(this + SPAN)
    seen = 0
    going = 1
    while going != 0 and seen < load64(this + MAX_ENTRIES):
        store32(key, seen)
        seen += 1
        if call(callback, run, this, key, value, context, 0) != 0 or load64(run + FAULT) != 0:
            going = 0
        value += load64(this + STRIDE)
    store64(run + SCRATCH, key)
    return seen
