"""create_map: MAP_CREATE's fields in, a Map out; the one place where map types meet classes."""

from collections.abc import Callable, Mapping
from typing import Final

from skep.maps.arena import Arena
from skep.maps.array import Array, PercpuArray
from skep.maps.bloom import BloomFilter
from skep.maps.creation import COMMAND, Creation
from skep.maps.empty import CgroupArray, ReuseportArray, SocketHash, SocketMap, StackTraces
from skep.maps.hash import Hash
from skep.maps.interface import Map
from skep.maps.nested import ArrayOfMaps, HashOfMaps, ProgArray
from skep.maps.perf import PerfEventArray
from skep.maps.queue import Queue
from skep.maps.storage import CgroupStorage, LocalStorage
from skep.maps.stream import RingBuffer
from skep.maps.struct_ops import StructOps
from skep.maps.targets import DeviceHash, SocketArray, TargetArray
from skep.maps.trie import Trie
from skep.maps.user_ring import UserRingBuffer
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

FAMILIES: Final[Mapping[int, Callable[[Creation], Map]]] = {
    1: Hash,
    2: Array,
    3: ProgArray,
    4: PerfEventArray,
    5: Hash,
    6: PercpuArray,
    7: StackTraces,
    8: CgroupArray,
    9: Hash,
    10: Hash,
    11: Trie,
    12: ArrayOfMaps,
    13: HashOfMaps,
    14: TargetArray,
    15: SocketMap,
    16: TargetArray,
    17: SocketArray,
    18: SocketHash,
    19: CgroupStorage,
    20: ReuseportArray,
    21: CgroupStorage,
    22: Queue,
    23: Queue,
    24: LocalStorage,
    25: DeviceHash,
    26: StructOps,
    27: RingBuffer,
    28: LocalStorage,
    29: LocalStorage,
    30: BloomFilter,
    31: UserRingBuffer,
    32: LocalStorage,
    33: Arena,
}

_BLOOM_FILTER: Final = 30
_ARENA: Final = 33


def create_map(creation: Creation) -> Map:
    """Make the map, with the checks of Linux 6.18.

    Raises:
        Refusal: MAP_CREATE refuses it.
    """
    kind = creation.map_type
    if creation.map_extra and kind not in {_BLOOM_FILTER, _ARENA}:
        raise Refusal(COMMAND, reasons.CREATE_MAP_EXTRA)
    family = FAMILIES.get(kind)
    if family is None:
        raise Refusal(COMMAND, reasons.CREATE_MAP_TYPE, f"there is no map type {kind}")
    return family(creation)
