"""A loaded program as what other programs are attached to: extensions, and what traces it.

Source: libbpf 1.x, ``bpf_program__set_attach_target``, ``libbpf_find_prog_btf_id``.
"""

from dataclasses import dataclass
from typing import Self

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.door import Door


@dataclass(frozen=True, slots=True)
class ProgramTarget:
    """A program: its descriptor, and its types."""

    fd: int
    btf: Btf

    @classmethod
    def of(cls, door: Door, fd: int) -> Self:
        """What the descriptor *fd* names.

        Raises:
            CommandError: it names no program.
            LoadError: the program has no types.
        """
        data = door.program_types(fd)
        if not data:
            raise LoadError("it was loaded without BTF", name="the program to attach to")
        return cls(fd, Btf.parse(data, source="the program to attach to"))

    def function(self, name: str) -> int | None:
        """The BTF id of the function called *name*, None if there is none."""
        return self.btf.by_name(name, Kind.FUNC)
