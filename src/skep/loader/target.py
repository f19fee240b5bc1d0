"""The kernel that an object is loaded for, as far as a loader asks: types, config, symbols.

Source: libbpf 1.x, ``bpf_object__resolve_externs``.
"""

import gzip
import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from skep.btf.graph import Btf
from skep.btf.kernel import kernel_btf


def no_symbols(_name: str) -> int | None:
    """The address of a kernel symbol where none is known."""
    return None


@dataclass(frozen=True, slots=True)
class Target:
    """A kernel.

    Args:
        btf: its types; None if they are not known.
        version: as KERNEL_VERSION(major, minor, patch) gives it.
        config: gives its configuration, ``CONFIG_X`` to ``y``, ``m``, a number or a quoted string.
        address: gives the address of a symbol, None if there is no such symbol.
        cpus: possible CPUs: values that a per-CPU map's element has.
    """

    btf: Btf | None = None
    version: int = 0
    config: Callable[[], Mapping[str, str]] = field(default=dict)
    address: Callable[[str], int | None] = no_symbols
    cpus: int = 1

    @classmethod
    def running(cls, btf: Btf | None = None) -> "Target":
        """The running kernel; *btf* instead of its types if given.

        Raises:
            BtfError: its types are malformed.
        """
        return cls(
            btf if btf is not None else kernel_btf(),
            running_version(),
            cache(read_config),
            _Symbols().address,
            possible_cpus(),
        )


def running_version(release: str | None = None) -> int:
    """KERNEL_VERSION() of the running kernel, or of a release as ``uname -r`` prints it."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release or platform.release())
    if numbers is None:
        return 0
    major, minor, patch = (int(part or 0) for part in numbers.groups())
    return major << 16 | minor << 8 | min(patch, 255)


_CONFIGS: Final = ("/boot/config-{release}", "/proc/config.gz")


def read_config() -> Mapping[str, str]:
    """The running kernel's configuration; empty if it is not to be had."""
    for name in _CONFIGS:
        path = Path(name.format(release=platform.release()))
        try:
            data = path.read_bytes()
            return parse_config(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        except (OSError, EOFError):
            continue
    return {}


def parse_config(data: bytes) -> dict[str, str]:
    """Read lines ``CONFIG_X=value``."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        name, separator, value = line.partition("=")
        if separator and name.startswith("CONFIG_"):
            found[name] = value.strip()
    return found


class _Symbols:
    """Addresses of the running kernel's symbols, read when first asked for."""

    def __init__(self) -> None:
        self._read = cache(_read_symbols)

    def address(self, name: str) -> int | None:
        """Address of a symbol; 0 if the kernel hides it."""
        return self._read().get(name)


def _read_symbols() -> Mapping[str, int]:
    found: dict[str, int] = {}
    try:
        with Path("/proc/kallsyms").open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                address, _, name = line.split(maxsplit=3)[:3]
                found.setdefault(name, int(address, 16))
    except (OSError, ValueError):
        pass
    return found


def possible_cpus() -> int:
    """How many CPUs the kernel could have."""
    try:
        text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii")
        return sum(
            int(last or first) - int(first) + 1
            for first, _, last in (part.partition("-") for part in text.strip().split(","))
        )
    except (OSError, ValueError):
        return os.cpu_count() or 1
