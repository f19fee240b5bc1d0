"""What native map functions answer: 0, an address, or a negative errno as 64 bits.

Source: Linux 6.18 returns the same numbers; ENOTSUPP is the kernel's own 524.
"""

import errno
from collections.abc import Mapping
from typing import Final

from skep.base.bits import U64
from skep.uapi import reasons_elements as elements
from skep.uapi.reason import Reason, Refusal

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
MINUS_ENODATA: Final = U64 + 1 - errno.ENODATA
MINUS_EPROTO: Final = U64 + 1 - errno.EPROTO
MINUS_EDEADLK: Final = U64 + 1 - errno.EDEADLK
MINUS_ETIMEDOUT: Final = U64 + 1 - errno.ETIMEDOUT

ANSWERS: Final[Mapping[int, Reason]] = {
    row.errno: row
    for row in (
        elements.ABSENT,
        elements.PRESENT,
        elements.FULL,
        elements.TRIE_FULL,
        elements.NO_MEMORY,
        elements.FLAGS,
    )
}
INDEXED: Final = {**ANSWERS, errno.E2BIG: elements.PAST_END}


def expect_success(command: str, answer: int, rows: Mapping[int, Reason] = ANSWERS) -> None:
    """Raise the Refusal that a native function's *answer* stands for in *rows*; 0 is success."""
    if answer:
        raise Refusal(command, rows[U64 + 1 - answer])
