"""What native map functions answer: 0, an address, or a negative errno as 64 bits.

Source: Linux 6.18 returns the same numbers; ENOTSUPP is the kernel's own 524.
"""

import errno
from typing import Final

from skep.base.bits import U64
from skep.errors import CommandError

ENOTSUPP: Final = 524

MINUS_EPERM: Final = U64 + 1 - errno.EPERM
MINUS_ENOENT: Final = U64 + 1 - errno.ENOENT
MINUS_E2BIG: Final = U64 + 1 - errno.E2BIG
MINUS_EAGAIN: Final = U64 + 1 - errno.EAGAIN
MINUS_ENOMEM: Final = U64 + 1 - errno.ENOMEM
MINUS_EFAULT: Final = U64 + 1 - errno.EFAULT
MINUS_EACCES: Final = U64 + 1 - errno.EACCES
MINUS_EBUSY: Final = U64 + 1 - errno.EBUSY
MINUS_EEXIST: Final = U64 + 1 - errno.EEXIST
MINUS_EINVAL: Final = U64 + 1 - errno.EINVAL
MINUS_ENOSPC: Final = U64 + 1 - errno.ENOSPC
MINUS_ERANGE: Final = U64 + 1 - errno.ERANGE
MINUS_EOPNOTSUPP: Final = U64 + 1 - errno.EOPNOTSUPP
MINUS_ENOTSUPP: Final = U64 + 1 - ENOTSUPP
MINUS_EPROTO: Final = U64 + 1 - errno.EPROTO

_MEANING: Final = {
    errno.ENOENT: "there is no such element",
    errno.EEXIST: "the element exists already",
    errno.E2BIG: "the map is full, or the index is past its end",
    errno.ENOSPC: "the map is full",
    errno.ENOMEM: "no memory for another element",
    errno.EINVAL: "the map does not take these flags or this key",
    errno.EBUSY: "another thread holds the element",
    errno.EOPNOTSUPP: "maps of this type have no such operation",
    ENOTSUPP: "maps of this type have no such operation",
}


def refuse(command: str, number: int, message: str = "") -> CommandError:
    """The CommandError that says errno *number*, in words if no *message* is given."""
    return CommandError(command, number, message or _MEANING.get(number, "refused"))


def expect_success(command: str, answer: int) -> None:
    """Raise the CommandError that a native function's *answer* stands for; 0 is success."""
    if answer:
        raise refuse(command, U64 + 1 - answer)
