"""ShapeMap: a map that is only what the verifier asks of it, for types that cannot hold anything.

A subsystem made for verdicts uses it, so that a program may be judged whose maps have no meaning
in user space (sockets, devices). It has no elements: every operation on one is refused by name.
"""

from skep.maps.creation import COMMAND, Creation, require
from skep.maps.stored import StoredMap
from skep.uapi import map_types
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal


class ShapeMap(StoredMap):
    """A map of any type that the table knows; its sizes and flags are checked by the table."""

    def __init__(self, creation: Creation) -> None:
        row = map_types.by_id(creation.map_type)
        if row is None:
            raise Refusal(
                COMMAND, reasons.CREATE_MAP_TYPE, f"there is no map type {creation.map_type}"
            )
        for reason, size, (least, most) in (
            (reasons.CREATE_KEY_SIZE, creation.key_size, row.key),
            (reasons.CREATE_VALUE_SIZE, creation.value_size, row.value),
        ):
            require(least <= size <= most, reason, f"{least} to {most} bytes are allowed")
        unknown = creation.map_flags & ~row.flags
        require(not unknown, reasons.CREATE_FLAGS, f"{unknown:#x} is not for this map type")
        super().__init__(creation, 0, 0)
        self.type_name = row.name

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: there is nowhere to put it."""
        del key, value, flags
        why = f"the {self.type_name} map exists for verdicts only"
        raise Refusal("MAP_UPDATE_ELEM", elements.VERDICTS_ONLY, why)
