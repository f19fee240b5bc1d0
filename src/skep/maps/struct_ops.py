"""STRUCT_OPS: a table of functions of the kernel, filled by programs.

Its one value wraps the kernel's structure: a count of references, a state, then the members; a
function pointer is a program's descriptor when the host stores it, and its id when it reads it.

::

    state    INIT ─ update ─► IN_USE ─ delete ─► TO_BE_FREED     registered by the update
    LINK     INIT ─ update ─► READY                              registered by links

Source: Linux 6.18 kernel/bpf/bpf_struct_ops.c.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from skep.maps.creation import Creation, Held, check_flags, check_key, require
from skep.maps.stored import StoredMap
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Reason, Refusal
from skep.uapi.struct_ops import Structure

LINK: Final = 1 << 13
TYPE_OF_MODULE: Final = 1 << 15
COUNT: Final = slice(0, 4)  # in the value: refcount_t, then the state
STATE: Final = slice(4, 8)


class State(IntEnum):
    """enum bpf_struct_ops_state."""

    INIT = 0
    IN_USE = 1
    TO_BE_FREED = 2
    READY = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """A member: its bytes in the value, and whether it is a function pointer."""

    name: str
    start: int
    end: int
    is_function: bool

    def of(self, value: bytes) -> bytes:
        """Its bytes."""
        return value[self.start : self.end]


@dataclass(frozen=True, slots=True)
class TableShape:
    """What BTF says of a kind of table.

    Args:
        row: its structure in ``uapi.struct_ops``.
        type_id: of the structure in the kernel's BTF.
        size: bytes of the value.
        slots: the members, in order.
        holes: the bytes of the value that belong to nothing.
    """

    row: Structure
    type_id: int
    size: int
    slots: tuple[Slot, ...]
    holes: tuple[slice, ...]


class StructOps(StoredMap):
    """A STRUCT_OPS map.

    Attributes:
        state: whether its functions are in use.
        programs: those that fill members, by the members' names.
    """

    def __init__(self, creation: Creation) -> None:
        check_key(creation, 4)
        require(creation.max_entries == 1, reasons.CREATE_ENTRIES_TABLE)
        check_flags(creation, LINK | TYPE_OF_MODULE)
        require(creation.has_kernel_type, reasons.CREATE_TABLE_TYPE)
        in_module = creation.map_flags & TYPE_OF_MODULE
        require(not in_module, reasons.CREATE_FLAGS, "there are no modules, whose types it names")
        shape = creation.table
        require(shape is not None, reasons.CREATE_TABLE_UNKNOWN)
        assert isinstance(shape, TableShape)
        size = f"values have {shape.size} bytes"
        require(creation.value_size == shape.size, reasons.CREATE_VALUE_SIZE, size)
        super().__init__(creation, 0, 0)
        self.shape = shape
        self.state = State.INIT
        self.programs: Mapping[str, Held] = {}
        self._value = bytes(shape.size)

    @property
    def name_in_use(self) -> str:
        """The name that the table is registered by."""
        for slot in self.shape.slots:
            if slot.name == self.shape.row.text:
                return slot.of(self._value).split(b"\0")[0].decode("latin-1")
        return ""

    def check_update(self, key: bytes, value: bytes, flags: int) -> None:
        """Refuse what cannot be stored, as far as no program is concerned."""
        command = "MAP_UPDATE_ELEM"
        self.check_key(command, key)
        self.check_value(command, value)
        for holds, reason in (
            (not flags, elements.SLOT_FLAGS),
            (not any(key), elements.PAST_END),
            (not any(any(value[hole]) for hole in self.shape.holes), elements.TABLE_HOLES),
            (not any(value[:8]), elements.TABLE_STATE),
            (self.state is State.INIT, elements.TABLE_FILLED),
        ):
            _require(command, holds, reason)

    def fill(self, value: bytes, programs: Mapping[str, Held]) -> None:
        """Store *value*, whose function pointers are *programs*; READY, or IN_USE without LINK."""
        data = bytearray(value)
        for slot in self.shape.slots:
            held = programs.get(slot.name)
            if held is not None:
                data[slot.start : slot.end] = held.id.to_bytes(slot.end - slot.start, "little")
        self._value, self.programs = bytes(data), programs
        self.state = State.READY if self.map_flags & LINK else State.IN_USE

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """The value with its state; zeros until there is one."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        _require("MAP_LOOKUP_ELEM", not any(key), elements.ABSENT)
        data = bytearray(self._value)
        data[STATE] = self.state.to_bytes(4, "little")
        return bytes(data)

    def delete(self, key: bytes) -> None:
        """Take the functions out of use; only tables without LINK."""
        command = "MAP_DELETE_ELEM"
        self.check_key(command, key)
        _require(command, not self.map_flags & LINK, elements.TABLE_LINKED)
        _require(command, self.state is not State.TO_BE_FREED, elements.TABLE_GOING)
        _require(command, self.state is State.IN_USE, elements.ABSENT)
        self.state = State.TO_BE_FREED

    def next_key(self, key: bytes | None) -> bytes:
        """There is one key: 0."""
        if key is not None:
            self.check_key("MAP_GET_NEXT_KEY", key)
            _require("MAP_GET_NEXT_KEY", any(key), elements.LAST)
        return bytes(4)


def holes_of(size: int, members: Sequence[tuple[int, int]]) -> list[slice]:
    """What *members*, from byte to byte and in order, leave of *size* bytes."""
    found, before = [], 0
    for start, end in (*members, (size, size)):
        if start > before:
            found.append(slice(before, start))
        before = end
    return found


def _require(command: str, holds: object, reason: Reason) -> None:
    if not holds:
        raise Refusal(command, reason)
