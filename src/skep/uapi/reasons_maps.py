"""Reasons why MAP_CREATE, MAP_FREEZE and the commands on elements refuse a call.

Source: Linux 6.18 kernel/bpf/syscall.c (map_create, map_lookup_elem, map_update_elem, …).
"""

from errno import EINVAL
from typing import Final

from skep.uapi.reason import Reason

CREATE_MAP_EXTRA: Final = Reason(
    "map-create/map-extra", EINVAL, "map_extra",
    "0, unless the map is a bloom filter or an arena",
    "map_extra is the number of hash functions of a bloom filter, the address of an arena",
    "Invalid map_extra.\n",
)  # fmt: skip
