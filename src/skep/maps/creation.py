"""What a map is made from: the fields of MAP_CREATE, and what the subsystem lends to it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from skep.base.native import NativeFunction
from skep.btf.graph import Btf
from skep.maps.interface import Map
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Reason, Refusal

COMMAND: Final = "MAP_CREATE"

NO_PREALLOC: Final = 1 << 0
NO_COMMON_LRU: Final = 1 << 1
NUMA_NODE: Final = 1 << 2
RDONLY: Final = 1 << 3
WRONLY: Final = 1 << 4
ZERO_SEED: Final = 1 << 6
RDONLY_PROG: Final = 1 << 7
WRONLY_PROG: Final = 1 << 8
MMAPABLE: Final = 1 << 10
PRESERVE_ELEMS: Final = 1 << 11
INNER_MAP: Final = 1 << 12
ACCESS_FLAGS: Final = RDONLY | WRONLY | RDONLY_PROG | WRONLY_PROG

VALUE_LIMIT: Final = 4 << 20  # KMALLOC_MAX_SIZE
PERCPU_VALUE_LIMIT: Final = 32 << 10  # PCPU_MIN_UNIT_SIZE
PHYSICAL_MEMORY: Final = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class ElementCalls(NamedTuple):
    """The quick way of the host to the elements of one map; bytes in, bytes out.

    Attributes:
        fetch: of a key: its value, or None where that is refused.
        store: of a key, a value and flags: 0, or anything else where that is refused.
        drop: of a key: 0, or anything else where that is refused.

    What is no bytes, or has another size than the map's, is refused too.
    """

    fetch: Callable[[bytes], bytes | None]
    store: Callable[[bytes, bytes, int], int]
    drop: Callable[[bytes], int]


ElementCodes = tuple[NativeFunction, NativeFunction, NativeFunction]


class NativeLibrary(Protocol):
    """Gives native functions as callables (``skep.engine.interface.NativeLibrary``)."""

    def bind(self, function: NativeFunction) -> Callable[..., int]:
        """The callable that runs *function*."""
        ...

    def element_calls(
        self, codes: ElementCodes, this: int, key_size: int, value_size: int
    ) -> ElementCalls:
        """Calls that run *codes*, which answer 0 if all is well, on the map at *this*.

        They are ``(this, key, target, flags)``, ``(this, key, value, flags)`` and ``(this, key)``.
        """
        ...


class Held(Protocol):
    """What a map of file descriptors holds: an inner map, a program, a perf ring."""

    id: int
    address: int  # inner map: descriptor; program: machine code; perf ring: its control page


def _resolve_nothing(fd: int) -> Held:
    raise Refusal("MAP_UPDATE_ELEM", elements.SLOT_FD, f"fd {fd} names nothing here")


def _keep(_held: Held) -> None:
    """Do nothing: for holders that count no references."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A map to be.

    Args:
        map_type, key_size, value_size, max_entries, map_flags, map_extra, name: as in MAP_CREATE.
        library: runs the native functions.
        cpus: possible CPUs: copies of each per-CPU value.
        special: (offset, size) of the value's fields that copies leave alone, by offset.
        owned: address of a function that lets go what a value owns, and what it is told besides
            the value's address; None if values own nothing.
        lock_offset: where a value has its bpf_spin_lock; -1 if it has none.
        inner: template of a map-in-map.
        has_kernel_type: it names a type of the kernel for its value; *table* is what that says of
            a table of functions, None if it is no such type.
        resolve: what the fd in an update of a map of file descriptors stands for, counted as one
            reference more; raises CommandError.
        release: gives that reference back; programs that run may use the object until they end.
    """

    map_type: int
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    map_flags: int = 0
    map_extra: int = 0
    name: str = ""
    library: NativeLibrary
    cpus: int = 1
    btf: Btf | None = None
    btf_key_type_id: int = 0
    btf_value_type_id: int = 0
    special: tuple[tuple[int, int], ...] = ()
    owned: tuple[int, int] | None = None
    lock_offset: int = -1
    inner: Map | None = None
    has_kernel_type: bool = False
    table: object = None
    resolve: Callable[[int], Held] = _resolve_nothing
    release: Callable[[Held], None] = _keep


def round8(size: int) -> int:
    """*size* rounded up to a multiple of 8."""
    return (size + 7) & ~7


def power_above(count: int) -> int:
    """The least power of two that is at least *count*."""
    return 1 << max(count - 1, 0).bit_length()


def require(holds: object, reason: Reason, detail: str = "") -> None:
    """Refuse the creation for *reason* unless *holds*; *detail* says why, in words."""
    if not holds:
        raise Refusal(COMMAND, reason, detail)


def check_key(creation: Creation, *sizes: int) -> None:
    """Refuse a key of another size than *sizes*, with EINVAL."""
    allowed = " or ".join(str(size) for size in sizes)
    require(creation.key_size in sizes, reasons.CREATE_KEY_SIZE, f"keys have {allowed} bytes")


def check_value(creation: Creation, *sizes: int) -> None:
    """Refuse a value of another size than *sizes*, or of none if *sizes* are none, with EINVAL."""
    allowed = " or ".join(str(size) for size in sizes) or "at least 1"
    good = creation.value_size in sizes if sizes else creation.value_size
    require(good, reasons.CREATE_VALUE_SIZE, f"values have {allowed} bytes")


def check_long(creation: Creation, most: int) -> None:
    """Refuse a value of more than *most* bytes, with E2BIG."""
    fits = creation.value_size <= most
    require(fits, reasons.CREATE_VALUE_LONG, f"values have at most {most} bytes")


def check_flags(creation: Creation, allowed: int) -> None:
    """Refuse flags outside *allowed* and contradictory access flags, with EINVAL."""
    unknown = creation.map_flags & ~allowed
    require(not unknown, reasons.CREATE_FLAGS, f"{unknown:#x} is not for this map type")
    both = creation.map_flags & (RDONLY_PROG | WRONLY_PROG)
    exclude = "RDONLY_PROG and WRONLY_PROG exclude each other"
    require(both != RDONLY_PROG | WRONLY_PROG, reasons.CREATE_FLAGS, exclude)


def check_memory(size: int) -> None:
    """Refuse with ENOMEM what the machine could never hold."""
    fits = size <= PHYSICAL_MEMORY
    require(fits, reasons.CREATE_MEMORY, f"{size} bytes are more than this machine has")
