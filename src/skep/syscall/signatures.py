"""Signed programs: what PROG_LOAD checks of a signature, which nothing here can verify.

Linux verifies PKCS #7 against the keys of a keyring; there are no keys in a user-space world. The
members are checked as Linux does, then the program is refused with the errno of a kernel that is
built without verification.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_verify_signature).
"""

from typing import Final

from skep.base.memory import Fault
from skep.syscall.call import Call
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import ProgLoad

MAX_SIZE: Final = 8192  # KMALLOC_MAX_CACHE_SIZE
SYSTEM_KEYRINGS: Final = frozenset({0, 1, 2})
USER_KEYRINGS: Final = frozenset({-3, -4, -5})  # of the session, the user, the user's session


def check_signature(call: Call[ProgLoad]) -> None:
    """Refuse a program with a signature."""
    attr = call.attr
    if not attr.signature:
        return
    call.check(attr.signature_size <= MAX_SIZE, reasons.SIGNATURE_SIZE)
    call.check(attr.keyring_id in SYSTEM_KEYRINGS | USER_KEYRINGS, reasons.SIGNATURE_KEYRING)
    try:
        call.memory.read(attr.signature, attr.signature_size)
    except Fault as fault:
        raise call.refusal(reasons.SIGNATURE_MEMORY, str(fault)) from None
    raise call.refusal(reasons.SIGNATURE)
