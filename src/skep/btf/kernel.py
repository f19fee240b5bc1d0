"""Which BTF stands for the kernel: a named file, the running kernel's, or the small shipped one.

Invariant: what is found is parsed, never executed or trusted; a file that is not BTF is a BtfError.
"""

import os
from pathlib import Path
from typing import Final

from skep.btf import cache
from skep.btf.graph import Btf
from skep.errors import BtfError

RUNNING: Final = Path("/sys/kernel/btf/vmlinux")
MAGICS: Final = (b"\x9f\xeb", b"\xeb\x9f")
HEADER_SIZE: Final = 24
MAX_SIZE: Final = 1 << 30
SHIPPED: Final = Path(__file__).parent.parent / "data" / "kernel.btf"


def kernel_btf(path: str | None = None) -> Btf | None:
    """The BTF in force.

    Args:
        path: a file of raw BTF; by default the running kernel's if it can be read, else the shipped
            one.

    Returns:
        The types, or None if there is no default one.

    Raises:
        BtfError: the file cannot be read, or does not hold BTF.
    """
    if path is not None:
        return read_btf(path)
    for candidate in (RUNNING, SHIPPED):
        if os.access(candidate, os.R_OK):
            return read_btf(str(candidate))
    return None


def _content(path: str) -> bytes:
    """The bytes of a file of BTF; of any other, which may have no end, the first ones."""
    with Path(path).open("rb") as file:
        head = file.read(HEADER_SIZE)
        return head + file.read(MAX_SIZE) if head[:2] in MAGICS else head


def read_btf(path: str, base: Btf | None = None) -> Btf:
    """Read a file of raw BTF, as in /sys/kernel/btf.

    Raises:
        BtfError: the file cannot be read, or does not hold BTF.
    """
    try:
        data = _content(path)
    except OSError as error:
        raise BtfError(
            source=path, where="file", found=error.strerror or str(error),
            expected="a readable file of raw BTF",
        ) from None  # fmt: skip
    if base is not None or len(data) < cache.MIN_SIZE:
        return Btf.parse(data, base, path)
    index = cache.load(data)
    btf = Btf(data, None, path, index)
    if index is None:
        cache.store(data, btf.index())
    return btf
