"""The Map protocol, and the native descriptor that programs hold.

A map's memory is real: a descriptor at ``address`` (what ``r1 = map[fd]`` loads), and blocks of
values that it points to. Native functions (see ``skep.base.native``) do all the work on it, for
programs and for the host alike; the Python object owns the memory and checks the host's arguments.

Common head of every descriptor, 8 bytes each; what follows is the family's own::

    0 TYPE   8 KEY_SIZE   16 VALUE_SIZE   24 MAX_ENTRIES   32 FLAGS   40 ID   48 CPUS   56 STRIDE
    64 …     family words (each family's module lists its own)
    240 SPECIAL  address of (offset, size) pairs of u32 that copies of a value leave alone; 0: none
    248 LOCK     1 + offset of the bpf_spin_lock in a value; 0: none

A map is made by ``skep.maps.families.create_map(Creation(...))``.

Look-ups in line: ``inline_lookup()`` gives a native function and constants, to be called as
``function(run, key_address, *constants)``; the result is what map_lookup_elem returns. Constants
stay true as long as the map lives.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from skep.base.native import NativeFunction
from skep.btf.graph import Btf

TYPE: Final = 0
KEY_SIZE: Final = 8
VALUE_SIZE: Final = 16
MAX_ENTRIES: Final = 24
FLAGS: Final = 32
ID: Final = 40
CPUS: Final = 48
STRIDE: Final = 56  # bytes from one value to the next; of one CPU's copy in per-CPU maps
FAMILY: Final = 64
SPECIAL: Final = 240
LOCK: Final = 248
DESCRIPTOR_SIZE: Final = 256
DISOWN: Final = DESCRIPTOR_SIZE + 240  # in maps of plain values: who lets go what one owns; or 0
VALUE_TYPE: Final = DESCRIPTOR_SIZE + 248  # what it is told besides the value

InlineLookup = tuple[NativeFunction, tuple[int, ...]]


class Map(Protocol):
    """A map of any type. Host operations take and give bytes and raise CommandError.

    Per-CPU maps' host values hold one copy per CPU, each rounded up to 8 bytes.
    """

    id: int
    name: str
    map_type: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int
    map_extra: int
    frozen: bool
    btf: Btf | None
    btf_key_type_id: int
    btf_value_type_id: int
    address: int
    inner: "Map | None"
    most_bytes: int  # memory that it may come to hold

    @property
    def host_value_size(self) -> int:
        """Bytes of a value as bpf(2) passes it."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Memory that the map holds, in bytes (fdinfo memlock)."""
        ...

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Value of *key*; ENOENT if there is none."""
        ...

    def find(self, key: bytes) -> bytes | None:
        """Value of *key*, None if there is none."""
        ...

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Create or replace, as *flags* (ANY, NOEXIST, EXIST) allow."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove *key*; ENOENT if it is absent."""
        ...

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Remove *key* and give its value, at once."""
        ...

    def next_key(self, key: bytes | None) -> bytes:
        """The key after *key*, the first for None or an absent key; ENOENT after the last."""
        ...

    def keys(self) -> Iterator[bytes]:
        """Every key, safely while others change the map."""
        ...

    def elements(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value, safely while others change the map."""
        ...

    def constant(self, offset: int, size: int) -> int | None:
        """See MapShape."""
        ...

    def value_address(self, offset: int) -> int | None:
        """See MapShape."""
        ...

    def inline_lookup(self) -> InlineLookup | None:
        """Native function of ``(run, key, *constants)``, and constants; None: call the helper."""
        ...

    def close(self) -> None:
        """Drop what the map holds (programs, inner maps); its memory goes with the object."""
        ...
