"""Table: functions that programs fill, put into use and called by the application.

In Linux such a table is plugged into a subsystem of the kernel, which calls it; here the host is
what calls.
"""

import struct
from collections.abc import Mapping
from typing import Final

from skep.base.closing import Closing
from skep.btf import kinds
from skep.btf.core_types import essential_name
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.door import Door
from skep.loader.structops import TableSpec, value_for
from skep.session.programs import Program
from skep.syscall.firing import run_on
from skep.syscall.subsystem import Subsystem
from skep.uapi.commands import LINK_CREATE, LinkCreate, MapCreate
from skep.uapi.flags import OBJ_NAME_SIZE, AttachType, MapFlag, MapType

KEY: Final = bytes(4)
WORD: Final = (1 << 64) - 1


class InUse(Closing):
    """A table in use, until it is closed; a context manager."""

    def __init__(self, subsystem: Subsystem, map_fd: int, link_fd: int) -> None:
        self._subsystem, self.map_fd, self.link_fd = subsystem, map_fd, link_fd

    def close(self) -> None:
        """Take the functions out of use; twice is harmless."""
        map_fd, link_fd, self.map_fd, self.link_fd = self.map_fd, self.link_fd, 0, 0
        try:
            if link_fd:
                self._subsystem.close(link_fd)
            elif map_fd:
                Door(self._subsystem).delete(map_fd, KEY, "table")
        finally:
            if map_fd:
                self._subsystem.close(map_fd)


class Table:
    """A table of an object: ``table.call("ssthresh", socket)``.

    Attributes:
        structure: name of the kernel's structure.
        programs: those that fill members, by the members' names.
    """

    def __init__(
        self, subsystem: Subsystem, spec: TableSpec, programs: Mapping[str, Program], types_fd: int
    ) -> None:
        self._subsystem, self._spec, self._types_fd = subsystem, spec, types_fd
        self.name, self.structure = spec.name, essential_name(spec.structure)
        self.programs = {
            member: programs[name] for member, name in spec.programs.items() if name in programs
        }

    def attach(self) -> InUse:
        """Put the table into use, as the kernel would register it.

        Raises:
            LoadError: a program is not loaded, or a member has no place in the kernel's structure.
            CommandError: it is refused.
        """
        kernel = self._subsystem.kernel_types
        if kernel is None or len(self.programs) < len(self._spec.programs):
            raise LoadError("its programs are not loaded", name=self.name)
        fds = {each.name: each.fd for each in self.programs.values()}
        wrapper, value = value_for(self._spec, kernel, fds)
        door = Door(self._subsystem)
        flags = int(MapFlag.LINK) if self._spec.linked else 0
        fd = door.create_map(
            MapCreate(
                map_type=int(MapType.STRUCT_OPS), key_size=len(KEY), value_size=len(value),
                max_entries=1, map_flags=flags, btf_fd=self._types_fd,
                map_name=self.name.encode()[: OBJ_NAME_SIZE - 1],
                btf_vmlinux_value_type_id=wrapper,
            )
        )  # fmt: skip
        try:
            door.update(fd, KEY, value, f"table {self.name}")
            link = 0
            if self._spec.linked:
                attr = LinkCreate(prog_fd=fd, attach_type=int(AttachType.STRUCT_OPS))
                link = door.call(LINK_CREATE, attr, f"table {self.name}")
        except BaseException:
            self._subsystem.close(fd)
            raise
        return InUse(self._subsystem, fd, link)

    def call(self, member: str, *arguments: int) -> int | None:
        """Call the function that fills *member*; None if it returns nothing.

        Arguments are numbers, or addresses: of objects that ``world.objects.make`` made.

        Raises:
            KeyError: no program fills the member.
            TypeError: it takes another number of arguments.
            LoadError: the object is closed.
        """
        btf, prototype = self._prototype(member)
        if len(arguments) != len(prototype.params):
            raise TypeError(f"{member} takes {len(prototype.params)} arguments")
        words = struct.pack(f"={len(arguments)}Q", *(each & WORD for each in arguments))
        program = self.programs[member]
        loaded, state = program.loaded, self._subsystem.state
        holding = state.objects.find(program.fd)
        if holding is None or holding.target is not loaded:
            raise LoadError("its object is closed", name=self.name)
        result = run_on(state, loaded, words)
        if not prototype.returns:
            return None
        type_ = btf.resolved(prototype.returns)
        data = (result & WORD).to_bytes(8, "little")[: btf.size_of(prototype.returns)]
        signed = isinstance(type_, kinds.Int) and type_.signed
        return int.from_bytes(data, "little", signed=signed)

    def _prototype(self, member: str) -> tuple[Btf, kinds.FuncProto]:
        """The kernel's type of a member that a program fills."""
        btf = self._subsystem.kernel_types
        type_id = btf.by_name(self.structure, Kind.STRUCT) if btf is not None else None
        if btf is None or not type_id or member not in self.programs:
            raise KeyError(member)
        types = {each.name: each.type for each in btf.members(type_id)}
        pointer = btf.resolved(types[member])
        assert isinstance(pointer, kinds.Ptr)
        prototype = btf.resolved(pointer.type)
        assert isinstance(prototype, kinds.FuncProto)
        return btf, prototype

    def __repr__(self) -> str:
        return f"<skep.Table {self.name}: {self.structure}>"
