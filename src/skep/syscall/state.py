"""State: everything that outlives one call of bpf(2)."""

from skep.base.memory import UserMemory
from skep.btf.graph import Btf
from skep.engine.interface import Engine
from skep.runtime.world import World
from skep.syscall.objects import Kind, Objects


class BtfObject:
    """A BTF that BTF_LOAD took in, or the kernel's own."""

    def __init__(self, id: int, btf: Btf, data: bytes, name: str = "") -> None:  # noqa: A002
        self.id, self.btf, self.data, self.name = id, btf, data, name
        self.is_kernel = bool(name)

    def close(self) -> None:
        """Nothing more is held."""


class State:
    """What handlers work on.

    Attributes:
        world: clock, CPUs, tasks of the programs.
        engine: compiles proofs.
        kernel_btf: the BTF in force, or None.
        memory: the caller's memory.
        objects: descriptors, ids, references.
        statistics: how many ENABLE_STATS descriptors are open.
        kernel_btf_id: its id as an object, 0 if there is none.
    """

    def __init__(
        self, *, world: World, engine: Engine, kernel_btf: Btf | None, memory: UserMemory
    ) -> None:
        self.world, self.engine = world, engine
        self.kernel_btf, self.memory = kernel_btf, memory
        self.objects = Objects()
        self.statistics = 0
        self.kernel_btf_id = 0
        if kernel_btf is not None:
            self.kernel_btf_id = self.new_id(Kind.BTF)
            known = BtfObject(self.kernel_btf_id, kernel_btf, kernel_btf.to_bytes(), "vmlinux")
            self.objects.keep(Kind.BTF, known)

    def new_id(self, kind: Kind) -> int:
        """An id for a new object."""
        return self.objects.new_id(kind)
