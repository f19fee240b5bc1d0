"""The maps that a program in assembly language names: descriptions without storage."""

from skep.btf.graph import Btf
from skep.uapi.flags import MapType
from skep.verifier.interface import MapShape

FIRST_ADDRESS = 1 << 32


class TextMap:
    """A map as the verifier sees it; frozen ones have constants."""

    def __init__(self, fd: int, map_type: int, key: int, value: int, entries: int) -> None:
        self.id = fd
        self.map_type = map_type
        self.key_size, self.value_size, self.max_entries = key, value, entries
        self.map_flags = 0
        self.name = ""
        self.frozen = False
        self.data = b""
        self.btf: Btf | None = None
        self.btf_key_type_id = self.btf_value_type_id = 0
        self.address = FIRST_ADDRESS * (fd + 1)
        self.inner: MapShape | None = None

    def constant(self, offset: int, size: int) -> int | None:
        """Bytes of a frozen array's first value."""
        if not self.frozen or self.map_type != MapType.ARRAY:
            return None
        return int.from_bytes(self.data[offset : offset + size].ljust(size, b"\0"), "little")

    def value_address(self, offset: int) -> int | None:
        """Where a value would lie, in maps that have one."""
        if self.map_type == MapType.ARENA:
            return self.address + offset
        single = self.map_type == MapType.ARRAY and self.max_entries == 1
        return self.address + offset if single and offset < self.value_size else None


class TextWorld:
    """What a program in assembly language may ask: its maps and the kernel's types."""

    def __init__(self, kernel_btf: Btf | None) -> None:
        self.kernel_btf = kernel_btf
        self.maps: dict[int, TextMap] = {}

    def map_by_fd(self, fd: int) -> MapShape | None:
        """See Environment."""
        return self.maps.get(fd)

    def btf_by_fd(self, fd: int) -> Btf | None:  # noqa: ARG002 - no modules here
        """See Environment."""
        return None

    def helper_implemented(self, helper: int) -> bool:  # noqa: ARG002 - nothing is run
        """See Environment: only the verdict is wanted."""
        return True


def copy_map(fd: int, shape: MapShape) -> TextMap:
    """A description of *shape*, without its types."""
    made = TextMap(fd, shape.map_type, shape.key_size, shape.value_size, shape.max_entries)
    made.map_flags, made.frozen = shape.map_flags, shape.frozen
    made.name = str(getattr(shape, "name", ""))
    if shape.frozen and shape.map_type == MapType.ARRAY:
        values = [shape.constant(offset, 1) or 0 for offset in range(shape.value_size)]
        made.data = bytes(values).rstrip(b"\0")
    return made
