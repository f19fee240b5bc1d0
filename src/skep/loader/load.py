"""An object's spec to commands of bpf(2): what libbpf does, for the kernel or for skep.

Invariant: what fails closes all that it had opened.

Source: libbpf 1.x, ``bpf_object_load``.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from skep.base.closing import Closing
from skep.errors import BpfError, CommandError, LoadError, SectionError
from skep.isa.codec import encode
from skep.loader.attach_target import ProgramTarget
from skep.loader.datamaps import PAGE_SIZE
from skep.loader.door import Door, Program, Syscall, short_name
from skep.loader.finish import Finisher
from skep.loader.kconfig import kconfig_data
from skep.loader.spec import Content, MapSpec, ObjectSpec, ProgramSpec
from skep.loader.spec import Target as Reach
from skep.loader.target import Target
from skep.uapi.commands import MapCreate
from skep.uapi.flags import MapType, ProgType

_OF_MAPS: Final = frozenset((MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS))
_UNTYPED: Final = _OF_MAPS | {  # the kernel takes no BTF for them
    MapType.PERF_EVENT_ARRAY, MapType.CGROUP_ARRAY, MapType.STACK_TRACE, MapType.DEVMAP,
    MapType.DEVMAP_HASH, MapType.CPUMAP, MapType.XSKMAP, MapType.SOCKMAP, MapType.SOCKHASH,
    MapType.QUEUE, MapType.STACK, MapType.ARENA,
}  # fmt: skip
_FROZEN: Final = frozenset((Content.CONSTANTS, Content.KCONFIG))
_SLOT: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A program in the kernel: its descriptor, and the log if one was asked for."""

    spec: ProgramSpec
    fd: int
    log: str = ""


class LoadedObject(Closing):
    """An object in the kernel. Closing it closes every descriptor.

    Args:
        spec: the object.
        syscall: what serves bpf(2).
        target: the kernel that the object is loaded for; the running one by default.
        pins: directory for maps that are pinned by name; None to pin none.
        log_level: of the verifier's log.
        explain: load again with a log what is refused without one.
        partial: leave out maps that are refused; what refers to them is refused for that reason.
        attach_to: descriptor of the program whose functions the object's programs replace or trace.

    Raises:
        CommandError: a map was refused.
        ExternError: a kconfig extern has no value.
    """

    def __init__(
        self,
        spec: ObjectSpec,
        syscall: Syscall,
        target: Target | None = None,
        *,
        pins: str | None = None,
        log_level: int = 0,
        explain: bool = True,
        partial: bool = False,
        attach_to: int | None = None,
    ) -> None:
        self.spec = spec
        self.door = Door(syscall)
        self.target = target if target is not None else Target.running()
        self.pins = pins
        self.log_level, self.explain = log_level, explain
        self.notes: list[str] = []
        self.btf_fd = 0
        self._map_fds: list[int] = []  # 0 for a map that was left out
        self._lost: dict[int, BpfError] = {}
        self._programs: dict[str, LoadedProgram] = {}
        traced = ProgramTarget.of(self.door, attach_to) if attach_to is not None else None
        try:
            self._load_btf()
            for map_ in spec.maps:
                self._map_fds.append(self._map_or_lost(map_) if partial else self._map(map_))
            self._fill_maps_of_maps()
        except BaseException:
            self.close()
            raise
        self._finisher = Finisher(spec, self.target, self._map_fds, traced)

    def close(self) -> None:
        """Close every descriptor; twice is harmless."""
        fds = [program.fd for program in self._programs.values()]
        fds += [fd for fd in (*self._map_fds, self.btf_fd) if fd]
        self._programs, self._map_fds, self.btf_fd = {}, [], 0
        for fd in fds:
            self.door.close(fd)

    @property
    def maps(self) -> Mapping[str, int]:
        """Descriptors of the maps by name; data maps also by section (``.bss``)."""
        found: dict[str, int] = {}
        for spec, fd in self._made():
            found[spec.name] = fd
            if spec.content is not Content.NOTHING:
                found[spec.section] = fd
        return MappingProxyType(found)

    def _made(self) -> Iterator[tuple[MapSpec, int]]:
        for spec, fd in zip(self.spec.maps, self._map_fds, strict=False):
            if fd:
                yield spec, fd

    @property
    def programs(self) -> Mapping[str, LoadedProgram]:
        """The programs loaded so far, by name."""
        return MappingProxyType(self._programs)

    # --- types and maps -------------------------------------------------------------------------

    def _load_btf(self) -> None:
        if self.spec.btf is None:
            return
        try:
            self.btf_fd = self.door.load_btf(self.spec.btf.to_bytes())
        except CommandError as error:  # programs and maps can do without
            self.notes.append(str(error))

    def _map_or_lost(self, spec: MapSpec) -> int:
        try:
            return self._map(spec)
        except BpfError as error:
            self._lost[len(self._map_fds)] = error
            return 0

    def _map(self, spec: MapSpec) -> int:
        path = f"{self.pins}/{spec.name}" if spec.pinned and self.pins is not None else ""
        fd = self._reuse(spec, path) if path else None
        if fd is not None:
            return fd
        fd = self._create(spec)
        try:
            self._initialise(spec, fd)
            if path:
                self.door.pin(fd, path)
        except BaseException:
            self.door.close(fd)
            raise
        return fd

    def _reuse(self, spec: MapSpec, path: str) -> int | None:
        fd = self.door.pinned(path)
        if fd is None:
            return None
        info = self.door.map_info(fd)
        wanted = (spec.map_type, spec.key_size, spec.value_size, self._entries(spec))
        found = (info.map_type, info.key_size, info.value_size, info.max_entries)
        extras = (info.map_flags, info.map_extra) == (spec.map_flags, spec.map_extra)
        if wanted == found and extras:
            return fd
        self.door.close(fd)
        raise LoadError("what is pinned there is another map", name=f"map {spec.name}", source=path)

    def _entries(self, spec: MapSpec) -> int:
        if spec.map_type == MapType.PERF_EVENT_ARRAY and spec.max_entries == 0:
            return self.target.cpus
        return spec.max_entries

    def _create(self, spec: MapSpec) -> int:
        inner = self._create(spec.inner) if spec.inner is not None else 0
        try:
            typed = self.btf_fd != 0 and spec.map_type not in _UNTYPED
            attr = MapCreate(
                map_type=spec.map_type,
                key_size=spec.key_size,
                value_size=spec.value_size,
                max_entries=self._entries(spec),
                map_flags=spec.map_flags,
                inner_map_fd=inner,
                numa_node=spec.numa_node,
                map_name=short_name(spec.name),
                map_extra=spec.map_extra,
                btf_fd=self.btf_fd if typed else 0,
                btf_key_type_id=spec.key_type if typed else 0,
                btf_value_type_id=spec.value_type if typed else 0,
            )
            return self._create_typed(attr)
        finally:
            if inner:
                self.door.close(inner)

    def _create_typed(self, attr: MapCreate) -> int:
        try:
            return self.door.create_map(attr)
        except CommandError as error:
            if not attr.btf_key_type_id and not attr.btf_value_type_id:
                raise
            self.notes.append(f"{error}; again without types")
        plain = replace(attr, btf_fd=0, btf_key_type_id=0, btf_value_type_id=0)
        return self.door.create_map(plain)

    def _initialise(self, spec: MapSpec, fd: int) -> None:
        if spec.map_type == MapType.ARENA:
            self._initialise_arena(spec, fd)
            return
        zero = spec.content is Content.DATA and not any(spec.data)
        if spec.content is Content.NOTHING or zero:  # as the kernel makes it
            return
        data = spec.data.ljust(spec.value_size, b"\0")
        if spec.content is Content.KCONFIG and self.spec.btf is not None:
            data = kconfig_data(self.spec.externs, self.spec.btf, self.target, spec.value_size)
        if spec.content is Content.PERCPU:
            data = data.ljust(-(-len(data) // 8) * 8, b"\0") * self.target.cpus
        self.door.update(fd, _SLOT.pack(0), data, f"map {spec.name}")
        if spec.content in _FROZEN:
            self.door.freeze(fd, f"map {spec.name}")

    def _initialise_arena(self, spec: MapSpec, fd: int) -> None:
        """Map it, if it has variables, or lies where it is mapped first."""
        if spec.data or not spec.map_extra:
            size = spec.max_entries * PAGE_SIZE
            memory = self.door.map_arena(fd, spec.map_extra, size, f"map {spec.name}")
            memory[: len(spec.data)] = spec.data

    def _fill_maps_of_maps(self) -> None:
        fds = {spec.name: fd for spec, fd in self._made()}
        lost = {self.spec.maps[index].name for index in self._lost}
        for spec, _ in self._made():
            if spec.map_type in _OF_MAPS:
                slots = {at: name for at, name in spec.slots.items() if name not in lost}
                self._fill(replace(spec, slots=slots), fds)

    def _fill(self, spec: MapSpec, fds: Mapping[str, int]) -> None:
        for slot, name in spec.slots.items():
            if name not in fds:
                raise LoadError(f"slot {slot} names {name!r}", name=f"map {spec.name}")
            what = f"map {spec.name}, slot {slot}"
            self.door.update(self.maps[spec.name], _SLOT.pack(slot), _SLOT.pack(fds[name]), what)

    # --- programs -------------------------------------------------------------------------------

    def load_program(self, program: ProgramSpec | str) -> LoadedProgram:
        """Load one program of the object, or a changed spec of one.

        Raises:
            ProgramRefused: the kernel refused it.
            LoadError: it could not be made ready.
            NotSupported: its type cannot be loaded yet.
        """
        spec = self.spec.program(program) if isinstance(program, str) else program
        if spec.problem is not None and not (
            isinstance(spec.problem, SectionError) and spec.program_type
        ):
            raise spec.problem
        for reference in spec.references:
            if reference.target is not Reach.EXTERN and reference.index in self._lost:
                raise self._lost[reference.index]
        attach_id, attach_type, attach_fd = self._finisher.attach(spec)
        ready = Program(
            name=spec.name,
            program_type=spec.program_type,
            attach_btf_id=attach_id,
            attach_fd=attach_fd,
            insns=encode(self._finisher.finish(spec)),
            license=self.spec.license,
            kernel_version=self.spec.kernel_version,
            expected_attach_type=attach_type,
            prog_flags=spec.prog_flags,
            btf_fd=self.btf_fd,
            functions=spec.functions,
            lines=[(line.pc, line.file_off, line.line_off, line.line_col) for line in spec.lines],
        )
        fd, log = self.door.load_program(ready, log_level=self.log_level, explain=self.explain)
        previous = self._programs.pop(spec.name, None)
        if previous is not None:
            self.door.close(previous.fd)
        for map_, map_fd in self._made():
            if map_.content is Content.CONSTANTS:
                self.door.bind_map(fd, map_fd)
        self._programs[spec.name] = LoadedProgram(spec, fd, log)
        return self._programs[spec.name]

    def fill_program_arrays(self) -> None:
        """Put loaded programs into the arrays that the source initialises with them."""
        fds = {name: program.fd for name, program in self._programs.items()}
        left_out = {program.name for program in self.spec.programs} - set(fds)
        for spec, _ in self._made():
            if spec.map_type == MapType.PROG_ARRAY:
                slots = {at: name for at, name in spec.slots.items() if name not in left_out}
                self._fill(replace(spec, slots=slots), fds)


def load(
    spec: ObjectSpec,
    syscall: Syscall,
    target: Target | None = None,
    *,
    programs: Iterable[str] | None = None,
    pins: str | None = None,
    log_level: int = 0,
    attach_to: int | None = None,
) -> LoadedObject:
    """Load an object: its maps, and its programs.

    Args:
        spec: the object.
        syscall: what serves bpf(2).
        target: the kernel it is loaded for; the running one by default.
        programs: names of those to load; by default all that load by themselves.
        pins: directory for maps that are pinned by name.
        log_level: of the verifier's log.
        attach_to: descriptor of the program that the object's programs are attached to.

    Raises:
        CommandError: a map was refused; ProgramRefused: a program.
        LoadError: something could not be made ready.
    """
    loaded = LoadedObject(
        spec, syscall, target, pins=pins, log_level=log_level, attach_to=attach_to
    )
    try:
        wanted = set(programs) if programs is not None else None
        for program in spec.programs:
            if program.name in wanted if wanted is not None else program.autoload:
                loaded.load_program(program)
        loaded.fill_program_arrays()
    except BaseException:
        loaded.close()
        raise
    return loaded


def with_type(
    program: ProgramSpec, program_type: ProgType, attach_type: int | None = None
) -> ProgramSpec:
    """The same program with a type that its section does not tell."""
    known = program.expected_attach_type if attach_type is None else attach_type
    return replace(program, program_type=program_type, expected_attach_type=known)
