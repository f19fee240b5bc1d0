"""Native functions just run: the NativeLibrary where there is no compiler."""

import ctypes
from collections.abc import Callable

from skep.base.native import NativeFunction, is_native
from skep.errors import InternalError
from skep.maps.creation import ElementCalls, ElementCodes
from skep.maps.stored import address_of


class PlainLibrary:
    """Native functions as the Python functions that they are."""

    def bind(self, function: NativeFunction) -> Callable[..., int]:
        """Return *function* itself."""
        if not is_native(function):
            raise InternalError(f"{function!r} is not a function marked @native")
        return function

    def address(self, function: NativeFunction) -> int:
        """Return 0: nothing is compiled."""
        del function
        return 0

    def element_calls(
        self, codes: ElementCodes, this: int, key_size: int, value_size: int
    ) -> ElementCalls:
        """Calls that run *codes* on the map at *this*."""
        read, write, remove = codes

        def is_sized(data: object, size: int) -> bool:
            return isinstance(data, bytes) and len(data) == size

        def fetch(key: bytes) -> bytes | None:
            target = ctypes.create_string_buffer(value_size)
            if not is_sized(key, key_size):
                return None
            refused = read(this, address_of(key), ctypes.addressof(target), 0)
            return None if refused else target.raw

        def store(key: bytes, value: bytes, flags: int) -> int:
            if not is_sized(key, key_size) or not is_sized(value, value_size):
                return 1
            return write(this, address_of(key), address_of(value), flags)

        def drop(key: bytes) -> int:
            return remove(this, address_of(key)) if is_sized(key, key_size) else 1

        return ElementCalls(fetch, store, drop)
