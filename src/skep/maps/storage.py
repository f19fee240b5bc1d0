"""Storage maps: values that hang on a socket, a task, an inode or a cgroup, not in the map.

The host names the owner by a file descriptor, of which a world has none; programs reach the
storage of the run's own socket and cgroup (``skep.helpers.storage``), which goes with the run.

Source: Linux 6.18 kernel/bpf/bpf_local_storage.c, local_storage.c, net/core/bpf_sk_storage.c.
"""

import errno
from typing import Final

from skep.maps.answer import ENOTSUPP, refuse
from skep.maps.creation import (
    ACCESS_FLAGS,
    NO_PREALLOC,
    NUMA_NODE,
    PERCPU_VALUE_LIMIT,
    Creation,
    check_flags,
    require,
    round8,
)
from skep.maps.stored import StoredMap
from skep.maps.value import EXIST, F_LOCK

PERCPU_CGROUP_STORAGE: Final = 21
CLONE: Final = 1 << 9
VALUE_LIMIT: Final = 0xFFFF - 128  # U16_MAX less the element's own header
_ISOLATED_KEY: Final = 16  # struct bpf_cgroup_storage_key


class LocalStorage(StoredMap):
    """SK_STORAGE, TASK_STORAGE, INODE_STORAGE and CGRP_STORAGE."""

    def __init__(self, creation: Creation) -> None:
        flags = creation.map_flags
        good = flags & NO_PREALLOC and not flags & ~(NO_PREALLOC | CLONE)
        require(bool(good), errno.EINVAL, "map_flags must be NO_PREALLOC, perhaps CLONE")
        require(not creation.max_entries, errno.EINVAL, "max_entries is not 0")
        require(creation.key_size == 4, errno.EINVAL, f"key_size is {creation.key_size}, not 4")
        require(creation.value_size != 0, errno.EINVAL, "value_size is 0")
        typed = creation.btf_key_type_id and creation.btf_value_type_id
        require(bool(typed), errno.EINVAL, "storage needs BTF types of key and value")
        require(creation.value_size <= VALUE_LIMIT, errno.E2BIG, f"value_size past {VALUE_LIMIT}")
        super().__init__(creation, round8(creation.value_size), 0)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: the fd in *key* names nothing with storage."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise refuse("MAP_LOOKUP_ELEM", errno.EBADF, "the fd names nothing with storage")

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *key* names nothing with storage."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        raise refuse("MAP_UPDATE_ELEM", errno.EBADF, "the fd names nothing with storage")

    def delete(self, key: bytes) -> None:
        """Refuse: the fd in *key* names nothing with storage."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise refuse("MAP_DELETE_ELEM", errno.EBADF, "the fd names nothing with storage")

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: storage is not walked from the map."""
        raise refuse("MAP_GET_NEXT_KEY", ENOTSUPP)


class CgroupStorage(StoredMap):
    """CGROUP_STORAGE and PERCPU_CGROUP_STORAGE: made by attaching, which a world does not do."""

    def __init__(self, creation: Creation) -> None:
        self._percpu = creation.map_type == PERCPU_CGROUP_STORAGE
        good = creation.key_size in {8, _ISOLATED_KEY}
        require(good, errno.EINVAL, f"key_size is {creation.key_size}, neither 8 nor 16")
        require(creation.value_size != 0, errno.EINVAL, "value_size is 0")
        most = min(VALUE_LIMIT, PERCPU_VALUE_LIMIT) if self._percpu else VALUE_LIMIT
        require(creation.value_size <= most, errno.E2BIG, f"value_size is past {most}")
        check_flags(creation, NUMA_NODE | ACCESS_FLAGS)
        require(not creation.max_entries, errno.EINVAL, "max_entries is not 0")
        super().__init__(creation, round8(creation.value_size), 0)

    @property
    def host_value_size(self) -> int:
        """One copy for each CPU in the per-CPU form."""
        return self._stride * self.cpus if self._percpu else self.value_size

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: no cgroup has such storage."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise refuse("MAP_LOOKUP_ELEM", errno.ENOENT, "nothing is attached to that cgroup")

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: no cgroup has such storage."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        if flags & ~(EXIST if self._percpu else F_LOCK | EXIST):
            raise refuse("MAP_UPDATE_ELEM", errno.EINVAL)
        raise refuse("MAP_UPDATE_ELEM", errno.ENOENT, "nothing is attached to that cgroup")

    def delete(self, key: bytes) -> None:
        """Refuse: storage goes with its cgroup."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise refuse("MAP_DELETE_ELEM", errno.EINVAL, "storage goes with its cgroup")

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: there is none."""
        raise refuse("MAP_GET_NEXT_KEY", errno.ENOENT)
