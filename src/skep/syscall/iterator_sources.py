"""What iterators visit: maps, programs, links, tasks, and the elements of a map.

Each source shows its objects as the structs that the BTF in force has, with the members that have
a meaning here; the others are zero.

Source: Linux 6.18 kernel/bpf/map_iter.c, prog_iter.c, link_iter.c, task_iter.c, arraymap.c and
hashtab.c (their seq operations).
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Final

from skep.attach.links import Link
from skep.btf.graph import Btf
from skep.errors import CommandError
from skep.maps.dispatch import map_lookup_elem
from skep.maps.interface import Map
from skep.runtime.kernel_objects import KernelObjects, KernelStruct
from skep.runtime.world import Task
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import as_map
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi.flags import MapType

PERCPU: Final = frozenset({MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH, MapType.PERCPU_ARRAY})
PLAIN: Final = frozenset({MapType.HASH, MapType.LRU_HASH, MapType.ARRAY})
COMMAND: Final = "READ"


class MapStruct:
    """``struct bpf_map`` of one map after the other."""

    def __init__(self, objects: KernelObjects, btf: Btf) -> None:
        self._struct = KernelStruct(objects, btf, "bpf_map")

    def show(self, map_: Map, references: int) -> int:
        """The address of the struct, which shows *map_*."""
        self._struct.put_known(
            id=map_.id, map_type=map_.map_type, key_size=map_.key_size,
            value_size=map_.value_size, max_entries=map_.max_entries, map_flags=map_.map_flags,
            map_extra=map_.map_extra, name=map_.name.encode("latin-1"), frozen=int(map_.frozen),
            btf_key_type_id=map_.btf_key_type_id, btf_value_type_id=map_.btf_value_type_id,
            refcnt__counter=references, usercnt__counter=references,
        )  # fmt: skip
        return self._struct.address


class ProgramStruct:
    """``struct bpf_prog`` and its aux, of one program after the other."""

    def __init__(self, objects: KernelObjects, btf: Btf) -> None:
        self._struct = KernelStruct(objects, btf, "bpf_prog")
        self._aux = KernelStruct(objects, btf, "bpf_prog_aux")
        self._struct.put("aux", self._aux.address)
        self._aux.put_known(prog=self._struct.address)

    def show(self, program: LoadedProgram, references: int) -> int:
        """The address of the struct, which shows *program*."""
        request = program.proof.request
        self._struct.put_known(
            type=program.type.id, expected_attach_type=request.expected_attach_type,
            len=len(program.proof.insns), tag=program.tag,
        )  # fmt: skip
        self._aux.put_known(
            id=program.id, name=program.name.encode("latin-1"), load_time=program.load_time_ns,
            attach_btf_id=request.attach_btf_id, refcnt__counter=references,
            verified_insns=program.proof.statistics.insns_processed,
            func_cnt=len(program.proof.subprograms), used_map_cnt=len(program.proof.maps),
        )  # fmt: skip
        return self._struct.address


class LinkStruct:
    """``struct bpf_link`` of one link after the other."""

    def __init__(self, objects: KernelObjects, btf: Btf) -> None:
        self._struct = KernelStruct(objects, btf, "bpf_link")
        self._program = ProgramStruct(objects, btf)

    def show(self, link: Link, references: int) -> int:
        """The address of the struct, which shows *link*."""
        assert isinstance(link.program, LoadedProgram)
        self._struct.put_known(
            id=link.id, type=link.kind.id, refcnt__counter=references,
            attach_type=link.attach_type, prog=self._program.show(link.program, 1),
        )  # fmt: skip
        return self._struct.address


class ObjectSource:
    """Objects of a kind in order of their ids, each as *show* makes it.

    An object that was made while the iterator was open is visited if its id is still ahead.
    """

    def __init__(self, state: State, kind: Kind, show: Callable[[Holding], int]) -> None:
        self._state, self._kind, self._show = state, kind, show
        self._id = 0
        self._holding: Holding | None = None

    def start(self) -> bool:
        """See ``Source``."""
        objects = self._state.objects
        with objects.lock:
            try:
                self._id = objects.next_id(COMMAND, self._kind, max(self._id - 1, 0))
                self._holding = objects.by_id(COMMAND, self._kind, self._id)
            except CommandError:
                self._holding = None
        return self._holding is not None

    def next(self) -> bool:
        """See ``Source``."""
        self._id += 1
        return self.start()

    def words(self, at_end: bool) -> tuple[int, ...]:
        """See ``Source``."""
        return (0 if at_end or self._holding is None else self._show(self._holding),)


def objects_of(state: State, btf: Btf, target: str) -> ObjectSource:
    """The source of the iterators bpf_map, bpf_prog and bpf_link."""
    objects = state.world.objects
    if target == "bpf_map":
        maps = MapStruct(objects, btf)
        return ObjectSource(state, Kind.MAP, lambda held: maps.show(as_map(held), held.references))
    if target == "bpf_prog":
        programs = ProgramStruct(objects, btf)
        return ObjectSource(state, Kind.PROG, lambda held: _show_program(programs, held))
    links = LinkStruct(objects, btf)
    return ObjectSource(state, Kind.LINK, lambda held: _show_link(links, held))


def _show_program(programs: ProgramStruct, held: Holding) -> int:
    assert isinstance(held.target, LoadedProgram)
    return programs.show(held.target, held.references)


def _show_link(links: LinkStruct, held: Holding) -> int:
    assert isinstance(held.target, Link)
    return links.show(held.target, held.references)


class TaskSource:
    """The tasks of a world, as they were when the iterator was opened."""

    def __init__(self, objects: KernelObjects, btf: Btf, tasks: tuple[Task, ...]) -> None:
        self._struct = KernelStruct(objects, btf, "task_struct")
        self._struct.put_known(group_leader=self._struct.address)
        self._tasks, self._at = tasks, 0

    def start(self) -> bool:
        """See ``Source``."""
        return self._at < len(self._tasks)

    def next(self) -> bool:
        """See ``Source``."""
        self._at += 1
        return self.start()

    def words(self, at_end: bool) -> tuple[int, ...]:
        """See ``Source``."""
        if at_end:
            return (0,)
        task = self._tasks[self._at]
        self._struct.put_known(pid=task.pid, tgid=task.tgid, comm=task.comm_bytes)
        return (self._struct.address,)


class ElementSource:
    """The elements of a map: its keys, with values that programs may write.

    Values of per-CPU maps are copies, one for each CPU. An element that goes before it is shown is
    left out.
    """

    def __init__(self, state: State, btf: Btf, map_: Map) -> None:
        self._map = map_
        self._struct = MapStruct(state.world.objects, btf)
        self._shown = self._struct.show(map_, 1)
        self._look_up = state.engine.library.bind(map_lookup_elem)
        self._keys: Iterator[bytes] = map_.keys()
        self._key: bytes | None = None
        self._fresh = True
        self._place = ctypes.create_string_buffer(max(map_.key_size, 8))
        self._key_address = ctypes.addressof(self._place)
        percpu = map_.map_type in PERCPU
        self._copy = ctypes.create_string_buffer(map_.host_value_size) if percpu else None
        self._value = 0

    def start(self) -> bool:
        """See ``Source``."""
        if self._fresh:
            self._fresh = False
            return self.next()
        return self._key is not None and (self._find(self._key) or self.next())

    def next(self) -> bool:
        """See ``Source``."""
        for key in self._keys:
            if self._find(key):
                self._key = key
                return True
        self._key = None
        return False

    def _find(self, key: bytes) -> bool:
        """Go to the element with *key*; False if it is gone."""
        ctypes.memmove(self._place, key, len(key))
        if self._copy is None:
            self._value = self._look_up(0, self._map.address, self._key_address)
            return bool(self._value)
        try:
            data = self._map.lookup(key)
        except CommandError:
            return False
        ctypes.memmove(self._copy, data, len(data))
        self._value = ctypes.addressof(self._copy)
        return True

    def words(self, at_end: bool) -> tuple[int, ...]:
        """See ``Source``."""
        return (self._shown, 0, 0) if at_end else (self._shown, self._key_address, self._value)
