"""Section: a data section's variables as attributes, live in the map's memory."""

import ctypes
from collections.abc import Iterator
from typing import Any

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.maps import interface
from skep.maps.arena import Arena
from skep.session.codec import Codec, codec


class Section:
    """The variables of one data section: ``obj.bss.counter``, ``obj.rodata.limit``.

    Reading and writing goes straight to the memory that programs use. Writing to a frozen section
    (.rodata) raises AttributeError.
    """

    def __init__(self, target: interface.Map, types: tuple[Btf | None, int] | None = None) -> None:
        """Of the map *target*; *types*, BTF and its DATASEC, are the map's own by default."""
        btf, section = types or (target.btf, target.btf_value_type_id)
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_btf", btf)
        object.__setattr__(self, "_places", dict(_variables(btf, section)))
        object.__setattr__(self, "_codecs", {})

    def _address(self, name: str) -> tuple[int, int, Codec]:
        try:
            offset, size, type_id = self._places[name]
        except KeyError:
            known = ", ".join(self._places) or "none"
            raise AttributeError(f"no variable {name!r}; there are: {known}") from None
        found = self._codecs.get(name)
        if found is None:
            found = self._codecs[name] = codec(self._btf, type_id, size)
        target = self._target
        arena = isinstance(target, Arena)  # whose addresses may be those of other processes
        start = target.memory.address if arena else target.value_address(0)
        return start + offset, size, found

    def __getattr__(self, name: str) -> Any:
        address, size, found = self._address(name)
        return found.decode(ctypes.string_at(address, size))

    def __setattr__(self, name: str, value: Any) -> None:
        if self._target.frozen:
            raise AttributeError(f"{name!r} stands in a frozen section")
        address, size, found = self._address(name)
        data = found.encode(value)
        ctypes.memmove(address, data, size)

    def __dir__(self) -> list[str]:
        return list(self._places)

    def __repr__(self) -> str:
        return f"<skep.Section {', '.join(self._places)}>"


def _variables(btf: Btf | None, type_id: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Name, then offset, size and type of each variable."""
    if btf is None or not type_id:
        return
    section = btf.type(type_id)
    if not isinstance(section, kinds.DataSec):
        return
    for entry in section.entries:
        variable = btf.type(entry.type)
        if isinstance(variable, kinds.Var):
            yield variable.name, (entry.offset, entry.size, variable.type)
