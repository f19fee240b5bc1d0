"""Native functions just run: the NativeLibrary where there is no compiler."""

from collections.abc import Callable

from skep.base.native import NativeFunction, is_native
from skep.errors import InternalError


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
