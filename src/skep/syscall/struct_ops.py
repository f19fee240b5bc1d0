"""Tables of functions: what a STRUCT_OPS map may hold, where its functions are registered, links.

Registered is a table in the subsystem's own list, by the structure and its name; the host calls
its functions (``skep.session.tables``), as the kernel's subsystems do.

Source: Linux 6.18 kernel/bpf/bpf_struct_ops.c, net/ipv4/bpf_tcp_ca.c, net/ipv4/tcp_cong.c.
"""

import string
from typing import Any, Final

from skep.attach.links import Link
from skep.base.memory import UserMemory
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.maps.creation import Held
from skep.maps.struct_ops import LINK, Slot, State, StructOps, TableShape, holes_of
from skep.syscall.call import Call
from skep.syscall.hooked import install_link
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding
from skep.syscall.objects import Kind as ObjectKind
from skep.syscall.state import State as Subsystem
from skep.uapi import link_types, reasons_links, struct_ops
from skep.uapi import reasons_elements as reasons
from skep.uapi.commands import LinkCreate, MapElem
from skep.uapi.flags import AttachType, ProgType

LATIN: Final = (*range(0xC0, 0xD7), *range(0xD8, 0xF7), *range(0xF8, 0x100))
NAME: Final = frozenset((*string.ascii_letters.encode(), *string.digits.encode(), *b"_.", *LATIN))
LINK_KIND: Final = link_types.by_name("struct_ops")


def shape_of(state: Subsystem, type_id: int) -> TableShape | None:
    """What the kernel's type *type_id*, which wraps a structure, says of its tables."""
    btf = state.kernel_btf if type_id else None  # it is large, and few maps need it
    if btf is None or type_id >= len(btf) or btf.kind(type_id) != Kind.STRUCT:
        return None
    wrapper = btf.type(type_id)
    row = struct_ops.by_name(wrapper.name.removeprefix(struct_ops.PREFIX))
    inner = btf.by_name(row.name, Kind.STRUCT) if row is not None else None
    if row is None or inner is None or wrapper.name == row.name:
        return None
    common, data = btf.members(type_id)[:2]
    start, size = data.bit_offset // 8, btf.size_of(type_id)
    slots = tuple(_slot(btf, member, start) for member in btf.members(inner))
    spans = [(slot.start, slot.end) for slot in slots]
    holes = holes_of(start + btf.size_of(inner), [(0, start), *spans])
    holes += holes_of(start, [(0, btf.size_of(common.type))])
    return TableShape(row, inner, size, slots, tuple(holes))


def _slot(btf: Btf, member: kinds.Member, start: int) -> Slot:
    place = start + member.bit_offset // 8
    pointer = btf.resolved(member.type)
    target = btf.resolved(pointer.type) if isinstance(pointer, kinds.Ptr) and pointer.type else None
    is_function = isinstance(target, kinds.FuncProto)
    return Slot(member.name, place, place + btf.size_of(member.type), is_function)


def update(
    state: Subsystem, call: Call[MapElem], holding: Holding, key: bytes, value: bytes
) -> None:
    """MAP_UPDATE_ELEM: fill the table; without BPF_F_LINK its functions are in use from then on."""
    table = _table(holding)
    with state.objects.lock:
        table.check_update(key, value, call.attr.flags)
        programs = _members(state, call, table, value)
        _validate(call, table, programs)
        if not table.map_flags & LINK:
            name = _name(table, value)
            call.check(table.shape.row.registers, reasons.TABLE_UNREGISTERED)
            call.check((table.shape.row.name, name) not in state.tables, reasons.TABLE_NAME_TAKEN)
            state.tables[table.shape.row.name, name] = table
            state.objects.take(holding)  # what is in use stays, also without a descriptor
        held: dict[str, Held] = {}
        for member, program in programs.items():
            holding.holds.append(state.objects.take(program))
            held[member] = _program(program)
        table.fill(value, held)


def delete(state: Subsystem, holding: Holding, key: bytes) -> None:
    """MAP_DELETE_ELEM: take the functions out of use."""
    table = _table(holding)
    with state.objects.lock:
        table.delete(key)
        unregister(state, table)
        state.objects.drop(holding)


def unregister(state: Subsystem, table: StructOps) -> None:
    """Take *table* off the list, if it is there."""
    for place, other in list(state.tables.items()):
        if other is table:
            del state.tables[place]


def _members(
    state: Subsystem, call: Call[MapElem], table: StructOps, value: bytes
) -> dict[str, Holding]:
    """The programs by the members that they fill; all else must be what the structure takes."""
    found, row = {}, table.shape.row
    for number, slot in enumerate(table.shape.slots):
        data = slot.of(value)
        if slot.name == row.text:
            name, _, _ = data.partition(b"\0")
            good = len(name) < len(data) and name and set(name) <= NAME
            call.check(good, reasons.TABLE_NAME)
        elif slot.name == row.flags[0]:
            unknown = int.from_bytes(data, "little") & ~row.flags[1]
            call.check(not unknown, reasons.TABLE_MEMBER, f"flags {unknown:#x}", "value")
        elif not slot.is_function:
            call.check(not any(data), reasons.TABLE_MEMBER, f"{slot.name} is not 0", "value")
        elif (fd := int.from_bytes(data[:4], "little", signed=True)) != 0:
            found[slot.name] = _fitting(state, call, table, number, fd)
    return found


def _fitting(
    state: Subsystem, call: Call[MapElem], table: StructOps, number: int, fd: int
) -> Holding:
    holding = state.objects.get(call.command.name, fd, ObjectKind.PROG, "value")
    request = _program(holding).proof.request
    fits = (
        request.program_type.id == ProgType.STRUCT_OPS
        and request.attach_btf_id == table.shape.type_id
        and request.expected_attach_type == number
    )
    name = table.shape.slots[number].name
    call.check(fits, reasons.TABLE_PROGRAM, f"fd {fd} is no program for {name}")
    return holding


def _validate(call: Call[MapElem], table: StructOps, programs: dict[str, Holding]) -> None:
    for members in table.shape.row.required:
        names = " or ".join(sorted(members))
        call.check(members & programs.keys(), reasons.TABLE_REQUIRED, f"{names} is missing")


def _name(table: StructOps, value: bytes) -> str:
    for slot in table.shape.slots:
        if slot.name == table.shape.row.text:
            return slot.of(value).split(b"\0")[0].decode("latin-1")
    return ""


def _table(holding: Holding) -> StructOps:
    assert isinstance(holding.target, StructOps)
    return holding.target


def _program(holding: Holding) -> LoadedProgram:
    assert isinstance(holding.target, LoadedProgram)
    return holding.target


# --- links --------------------------------------------------------------------------------------


class StructOpsLink(Link):
    """A table in use as long as the link is there."""

    def __init__(self, state: Subsystem, id: int, table: StructOps) -> None:  # noqa: A002
        assert LINK_KIND is not None
        first: Any = next(iter(table.programs.values()))
        super().__init__(id, LINK_KIND, first, AttachType.STRUCT_OPS)
        self._state, self.table = state, table
        self._registered = True

    def release(self) -> None:
        """Take the functions out of use; another link may have put them into use since."""
        if self._registered:
            self._registered = False
            unregister(self._state, self.table)

    def detach(self) -> None:
        """LINK_DETACH: as ``release``; twice is harmless."""
        self.release()

    def info(self, asked: bytes, memory: UserMemory) -> bytes:
        """Type and id, no program, and the map's id."""
        del memory
        words = (int(self.kind.id), self.id, 0)
        number: int = self.table.id
        data: bytes = b"".join(word.to_bytes(4, "little") for word in words)
        return data + asked[12:16] + number.to_bytes(4, "little") + asked[20:]

    def fdinfo(self) -> list[tuple[str, str]]:
        """The map instead of a program."""
        rows = [("link_type", self.kind.name), ("link_id", str(self.id))]
        return [*rows, ("map_id", str(self.table.id))]


def create_link(state: Subsystem, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE: register the table."""
    table = holding.target
    ready = isinstance(table, StructOps) and table.state is State.READY
    call.check(ready, reasons_links.CREATE_STRUCT_OPS)
    assert isinstance(table, StructOps)
    place = table.shape.row.name, table.name_in_use
    call.check(table.shape.row.registers, reasons_links.CREATE_UNREGISTERED)
    call.check(place not in state.tables, reasons_links.CREATE_TABLE_NAME)
    state.tables[place] = table
    link = StructOpsLink(state, state.new_id(ObjectKind.LINK), table)
    return install_link(state, link, holding)
