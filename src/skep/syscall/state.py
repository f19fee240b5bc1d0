"""State: everything that outlives one call of bpf(2)."""

import os
import threading
from collections.abc import Callable

from skep.attach.places import Places
from skep.base.memory import UserMemory
from skep.btf.graph import Btf
from skep.engine.interface import Engine
from skep.engine.proof_only import ProofEngine
from skep.maps.nested import ProgArray
from skep.maps.struct_ops import StructOps
from skep.runtime.world import World
from skep.syscall.objects import Holding, Kind, Objects
from skep.syscall.owners import Owners
from skep.syscall.tree import Tree


class BtfObject:
    """A BTF that BTF_LOAD took in, or the kernel's own."""

    def __init__(self, id: int, btf: Btf, data: bytes, name: str = "") -> None:  # noqa: A002
        self.id, self.btf, self.data, self.name = id, btf, data, name
        self.is_kernel = bool(name)

    def close(self) -> None:
        """Nothing more is held."""


class Active(threading.local):
    """Ids of the programs that run on events in a thread."""

    def __init__(self) -> None:
        self.ids: set[int] = set()


class State:
    """What handlers work on.

    Attributes:
        world: clock, CPUs, tasks of the programs.
        engine: compiles proofs.
        runs: programs may be run; if not, the engine is only a place-holder.
        memory: the caller's memory.
        compiles: programs become machine code.
        objects: descriptors, ids, references.
        tree: folders and pins.
        owners: which programs each map of programs is for.
        active: which programs run on events, thread by thread.
        places: what programs can be attached to.
        kernel_btf_id: the id of the kernel's BTF as an object, if there is one.
        map_memory: bytes that all maps together may come to hold; None for any number.
        map_bytes: what those that are there may come to hold.
        tables: tables of functions that are in use, by structure and name.
    """

    def __init__(
        self,
        *,
        world: World,
        engine: Engine,
        kernel_btf: Callable[[], Btf | None],
        memory: UserMemory,
        map_memory: int | None = None,
    ) -> None:
        self.map_memory, self.map_bytes = map_memory, 0
        self.tables: dict[tuple[str, str], StructOps] = {}
        self.world, self.engine, self.memory = world, engine, memory
        self.runs = not isinstance(engine, ProofEngine)
        self.compiles = engine.name == "llvm"
        self.objects = Objects(self._forget, self._empty)
        self.tree = Tree(os.getuid(), os.getgid())
        self.owners = Owners()
        self.active = Active()
        self.places = Places(world, timed=lambda: self.statistics)
        self.kernel_btf_id = self.new_id(Kind.BTF)
        self._find_kernel_btf: Callable[[], Btf | None] | None = kernel_btf
        self._kernel_btf: Btf | None = None

    @property
    def statistics(self) -> bool:
        """Whether runs are counted and timed: an ENABLE_STATS descriptor is open."""
        return self.objects.count(Kind.STATS) > 0

    def _forget(self, gone: Holding) -> None:
        if gone.kind is Kind.MAP:
            self.owners.forget(gone.id)
            self.map_bytes -= getattr(gone.target, "most_bytes", 0)

    def _empty(self, unused: Holding) -> None:
        """Empty a map that only programs refer to, of programs and of what they deferred.

        Those in it may be the same programs.
        """
        if isinstance(unused.target, ProgArray):
            unused.target.clear()
        elif unused.kind is Kind.MAP and len(self.world.agenda.fields):
            self.world.agenda.fields.release(unused.id)

    @property
    def kernel_btf(self) -> Btf | None:
        """The BTF in force, or None; read when it is first asked for, since it is large."""
        with self.objects.lock:
            if self._find_kernel_btf is not None:
                self._kernel_btf, self._find_kernel_btf = self._find_kernel_btf(), None
                if self._kernel_btf is not None:
                    data = self._kernel_btf.to_bytes()
                    known = BtfObject(self.kernel_btf_id, self._kernel_btf, data, "vmlinux")
                    self.objects.keep(Kind.BTF, known)
            return self._kernel_btf

    def new_id(self, kind: Kind) -> int:
        """An id for a new object."""
        return self.objects.new_id(kind)
