"""ShapeMap: a map that is only what the verifier asks of it, for types that cannot hold anything.

A subsystem made for verdicts uses it, so that a program may be judged whose maps have no meaning
in user space (sockets, devices). It has no elements: every operation on one is refused by name.
"""

import errno

from skep.errors import NotSupported
from skep.maps.answer import refuse
from skep.maps.creation import COMMAND, Creation, require
from skep.maps.stored import StoredMap
from skep.uapi import map_types


class ShapeMap(StoredMap):
    """A map of any type that the table knows; its sizes and flags are checked by the table."""

    def __init__(self, creation: Creation) -> None:
        row = map_types.by_id(creation.map_type)
        if row is None:
            raise refuse(COMMAND, errno.EINVAL, f"there is no map type {creation.map_type}")
        for name, size, (least, most) in (
            ("key_size", creation.key_size, row.key),
            ("value_size", creation.value_size, row.value),
        ):
            require(least <= size <= most, errno.EINVAL, f"{name} {size}, not {least} to {most}")
        unknown = creation.map_flags & ~row.flags
        require(not unknown, errno.EINVAL, f"map_flags {unknown:#x} are not for this map type")
        super().__init__(creation, 0, 0)
        self.type_name = row.name

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: there is nowhere to put it."""
        del key, value, flags
        raise NotSupported(f"elements of a {self.type_name} map", "it exists for verdicts only")
