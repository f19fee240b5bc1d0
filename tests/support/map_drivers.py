"""The same operations on a map of skep and on a map of the running kernel.

Each gives ``(errno, bytes)``: errno 0 and what was read, or an errno and nothing.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from typing import Protocol

from skep.errors import CommandError
from skep.maps.creation import Creation
from skep.maps.families import create_map
from support.running_kernel import RunningKernel

Answer = tuple[int, bytes]


class Driver(Protocol):
    """Operations on one map."""

    def lookup(self, key: bytes, flags: int = 0) -> Answer: ...
    def update(self, key: bytes, value: bytes, flags: int = 0) -> Answer: ...
    def delete(self, key: bytes) -> Answer: ...
    def take(self, key: bytes, flags: int = 0) -> Answer: ...
    def next_key(self, key: bytes | None) -> Answer: ...


class SkepMap:
    """A map of skep, without the subsystem around it."""

    def __init__(self, creation: Creation) -> None:
        self.map = create_map(creation)

    @staticmethod
    def _ask(operation: Callable[[], bytes | None]) -> Answer:
        try:
            return 0, operation() or b""
        except CommandError as refusal:
            return refusal.errno, b""

    def lookup(self, key: bytes, flags: int = 0) -> Answer:
        return self._ask(lambda: self.map.lookup(key, flags))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> Answer:
        return self._ask(lambda: self.map.update(key, value, flags))

    def delete(self, key: bytes) -> Answer:
        return self._ask(lambda: self.map.delete(key))

    def take(self, key: bytes, flags: int = 0) -> Answer:
        return self._ask(lambda: self.map.lookup_and_delete(key, flags))

    def next_key(self, key: bytes | None) -> Answer:
        return self._ask(lambda: self.map.next_key(key))


def kernel_create(kernel: RunningKernel, creation: Creation) -> int:
    """MAP_CREATE: fd or -errno."""
    attr = bytearray(80)
    struct.pack_into(
        "<IIIII",
        attr,
        0,
        creation.map_type,
        creation.key_size,
        creation.value_size,
        creation.max_entries,
        creation.map_flags,
    )
    struct.pack_into("<Q", attr, 64, creation.map_extra)
    return kernel.bpf(0, attr)


def kernel_cpus() -> int:
    """Possible CPUs of the running kernel."""
    with open("/sys/devices/system/cpu/possible") as file:  # noqa: PTH123
        return int(file.read().strip().split("-")[-1].split(",")[-1]) + 1


class KernelMap:
    """A map of the running kernel."""

    def __init__(self, kernel: RunningKernel, creation: Creation, value_size: int) -> None:
        self._kernel = kernel
        self._fd = kernel_create(kernel, creation)
        if self._fd < 0:
            raise OSError(-self._fd, os.strerror(-self._fd))
        self._keyless = creation.key_size == 0
        self._key_size, self._value_size = creation.key_size, value_size

    def _ask(self, command: int, key: bytes | None, value: bytes, flags: int) -> Answer:
        key_buffer = ctypes.create_string_buffer(key, len(key)) if key else None
        size = max(len(value), 1)
        value_buffer = ctypes.create_string_buffer(value, size)
        place = ctypes.addressof(key_buffer) if key_buffer is not None else 0
        attr = bytearray(32)
        struct.pack_into(
            "<IxxxxQQQ", attr, 0, self._fd, place, ctypes.addressof(value_buffer), flags
        )
        if command == 3:  # MAP_DELETE_ELEM knows no value
            struct.pack_into("<QQ", attr, 16, 0, 0)
        result = self._kernel.bpf(command, attr)
        return (-result, b"") if result < 0 else (0, value_buffer.raw[: len(value)])

    def lookup(self, key: bytes, flags: int = 0) -> Answer:
        return self._ask(1, key, bytes(self._value_size), flags)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> Answer:
        return self._ask(2, key, value, flags)[0], b""

    def delete(self, key: bytes) -> Answer:
        return self._ask(3, key, b"", 0)[0], b""

    def take(self, key: bytes, flags: int = 0) -> Answer:
        return self._ask(21, key, bytes(self._value_size), flags)

    def next_key(self, key: bytes | None) -> Answer:
        return self._ask(4, key, bytes(self._key_size), 0)

    def close(self) -> None:
        os.close(self._fd)


def all_keys(driver: Driver) -> list[bytes]:
    """Every key, as GET_NEXT_KEY walks them."""
    keys: list[bytes] = []
    number, key = driver.next_key(None)
    while number == 0:
        keys.append(key)
        number, key = driver.next_key(key)
    assert number == errno.ENOENT
    return keys
