"""Storage maps: values that hang on a socket, a task, an inode or a cgroup, not in the map.

The host names the owner by a file descriptor, of which a world has none; programs reach the
storage of the run's own socket and cgroup (``skep.helpers.storage``), which goes with the run.

Source: Linux 6.18 kernel/bpf/bpf_local_storage.c, local_storage.c, net/core/bpf_sk_storage.c.
"""

from typing import Final

from skep.maps.creation import (
    ACCESS_FLAGS,
    NO_PREALLOC,
    NUMA_NODE,
    PERCPU_VALUE_LIMIT,
    Creation,
    check_flags,
    check_key,
    check_long,
    check_value,
    require,
    round8,
)
from skep.maps.stored import StoredMap
from skep.maps.value import EXIST, F_LOCK
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

PERCPU_CGROUP_STORAGE: Final = 21
CLONE: Final = 1 << 9
VALUE_LIMIT: Final = 0xFFFF - 128  # U16_MAX less the element's own header
_ISOLATED_KEY: Final = 16  # struct bpf_cgroup_storage_key
_DETACHED: Final = "nothing is attached to that cgroup"


class LocalStorage(StoredMap):
    """SK_STORAGE, TASK_STORAGE, INODE_STORAGE and CGRP_STORAGE."""

    def __init__(self, creation: Creation) -> None:
        flags = creation.map_flags
        good = flags & NO_PREALLOC and not flags & ~(NO_PREALLOC | CLONE)
        require(good, reasons.CREATE_FLAGS, "storage needs NO_PREALLOC, and may have CLONE")
        require(not creation.max_entries, reasons.CREATE_ENTRIES_SET)
        check_key(creation, 4)
        check_value(creation)
        typed = creation.btf_key_type_id and creation.btf_value_type_id
        require(typed, reasons.CREATE_STORAGE_TYPES)
        check_long(creation, VALUE_LIMIT)
        super().__init__(creation, round8(creation.value_size), 0)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: the fd in *key* names nothing with storage."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise Refusal("MAP_LOOKUP_ELEM", elements.STORAGE_OWNER)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *key* names nothing with storage."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        raise Refusal("MAP_UPDATE_ELEM", elements.STORAGE_OWNER)

    def delete(self, key: bytes) -> None:
        """Refuse: the fd in *key* names nothing with storage."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise Refusal("MAP_DELETE_ELEM", elements.STORAGE_OWNER)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: storage is not walked from the map."""
        raise Refusal("MAP_GET_NEXT_KEY", elements.NO_OPERATION)


class CgroupStorage(StoredMap):
    """CGROUP_STORAGE and PERCPU_CGROUP_STORAGE: made by attaching, which a world does not do."""

    def __init__(self, creation: Creation) -> None:
        self._percpu = creation.map_type == PERCPU_CGROUP_STORAGE
        check_key(creation, 8, _ISOLATED_KEY)
        check_value(creation)
        most = min(VALUE_LIMIT, PERCPU_VALUE_LIMIT) if self._percpu else VALUE_LIMIT
        check_long(creation, most)
        check_flags(creation, NUMA_NODE | ACCESS_FLAGS)
        require(not creation.max_entries, reasons.CREATE_ENTRIES_SET)
        super().__init__(creation, round8(creation.value_size), 0)

    @property
    def host_value_size(self) -> int:
        """One copy for each CPU in the per-CPU form."""
        return self._stride * self.cpus if self._percpu else self.value_size

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: no cgroup has such storage."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT, _DETACHED)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: no cgroup has such storage."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        if flags & ~(EXIST if self._percpu else F_LOCK | EXIST):
            raise Refusal("MAP_UPDATE_ELEM", elements.FLAGS)
        raise Refusal("MAP_UPDATE_ELEM", elements.ABSENT, _DETACHED)

    def delete(self, key: bytes) -> None:
        """Refuse: storage goes with its cgroup."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise Refusal("MAP_DELETE_ELEM", elements.STORAGE_STAYS)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: there is none."""
        raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)
