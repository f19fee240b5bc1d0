"""load() and Object: an object file in a subsystem, its maps, programs and globals by name."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from skep.attach.places import Places
from skep.base.closing import Closing
from skep.btf.graph import Btf
from skep.btf.kernel import kernel_btf
from skep.engine.interface import Engine
from skep.errors import LoadError
from skep.loader import load as loader
from skep.loader.datamaps import ARENA
from skep.loader.door import ProgramRefused
from skep.loader.reader import read_object
from skep.loader.spec import Content, ObjectSpec
from skep.loader.target import Target
from skep.runtime.block import Limits
from skep.runtime.world import NO_LIMITS, World
from skep.session.attachment import Attachment, attach, attach_on
from skep.session.globals import Section
from skep.session.listings import choose, open_object
from skep.session.maps import Map
from skep.session.placement import Place
from skep.session.programs import Program
from skep.session.ring import RingReader, RingWriter
from skep.session.tables import Table
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import as_map
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi.flags import MapType
from skep.verifier import Rejected

SECTIONS: Final = (Content.DATA, Content.CONSTANTS, Content.KCONFIG)


def new_subsystem(
    btf: str | Btf | None = None,
    printk: Callable[[str], None] | None = None,
    engine: Engine | None = None,
    limits: Limits = NO_LIMITS,
) -> Subsystem:
    """A subsystem of its own over the kernel types of *btf*: a file, types, or the default."""
    types = kernel_btf(btf) if isinstance(btf, str) else btf
    return Subsystem(World(printk=printk, limits=limits), engine, types)


def target_of(subsystem: Subsystem) -> Target:
    """The kernel that programs are made ready for."""
    from dataclasses import replace

    running = Target.running(subsystem.state.kernel_btf)
    return replace(running, cpus=subsystem.state.world.cpus)


def load(
    source: str | Path | bytes | ObjectSpec,
    *,
    btf: str | Btf | None = None,
    programs: Iterable[str] | None = None,
    pins: str | None = None,
    subsystem: Subsystem | None = None,
    attach_to: Program | None = None,
    fuel: int = 0,
    deadline_ns: int = 0,
) -> "Object":
    """Load an object file: create its maps, verify and compile its programs.

    Args:
        source: a file, its bytes, or a spec.
        btf: kernel types in force; the running kernel's by default, else the shipped ones.
        programs: names of the programs to load; by default all that load by themselves.
        pins: directory of maps that are pinned by name, in a bpffs of the subsystem; it is made if
            it is not there.
        subsystem: where to load; by default one of the object's own.
        attach_to: the program whose functions those of the object replace or trace; they are
            loaded where it is.
        fuel: how often a run may jump backwards or call a callback before it is stopped; 0 for
            any number. The limits are those of the object's own subsystem.
        deadline_ns: how long one call of a program may last; 0 for as long as it likes.

    Raises:
        ElfError, BtfError: the file is malformed.
        LoadError: something in it cannot be made ready here.
        CommandError: a map was refused.
        Rejected: a program was refused by the verifier.
    """
    lines: list[str] = []
    if attach_to is not None:
        subsystem = attach_to.subsystem
    own = subsystem or new_subsystem(btf, lines.append, limits=Limits(fuel, deadline_ns))
    spec = spec_of(source)
    names = None if programs is None else list(programs)
    choose(spec, names)  # a name that is not there is told before anything is made
    if pins is not None:
        own.files.make_folder(pins, parents=True)
    try:
        to = attach_to.fd if attach_to is not None else None
        kernel = target_of(own)
        loaded = loader.load(spec, own, kernel, programs=names, pins=pins, attach_to=to)
    except ProgramRefused as refused:
        if isinstance(refused.__cause__, Rejected):
            raise refused.__cause__ from None
        raise
    return Object(own, loaded, lines)


def spec_of(source: str | Path | bytes | ObjectSpec) -> ObjectSpec:
    """The spec of a file, of its bytes, or the spec itself."""
    if isinstance(source, ObjectSpec):
        return source
    if isinstance(source, bytes):
        return read_object(source)
    return open_object(source)


class Object(Closing):
    """A loaded object; a context manager that closes all it opened.

    Data sections are attributes: ``obj.bss.counter``, ``obj.data``, ``obj.rodata``; a custom one
    is ``obj.sections[".data.limits"]``. Those in an arena are attributes of ``obj.arena``.

    Attributes:
        maps: maps by name.
        programs: programs by name.
        sections: data sections by name.
    """

    def __init__(
        self, subsystem: Subsystem, loaded: loader.LoadedObject, printk: list[str]
    ) -> None:
        self.subsystem, self._loaded, self._printk = subsystem, loaded, printk
        self.source = loaded.spec.source
        objects = subsystem.state.objects
        data = {each.name: each.section for each in loaded.spec.maps if each.content in SECTIONS}
        maps: dict[str, Map] = {}
        self.sections: dict[str, Section] = {}
        for spec in loaded.spec.maps:
            fd = loaded.maps[spec.name]
            target = as_map(objects.get("LOAD", fd, Kind.MAP))
            maps[spec.name] = Map(target, fd, spec.name)
            if spec.name in data:
                self.sections[data[spec.name]] = Section(target)
            elif spec.map_type == MapType.ARENA and loaded.spec.btf is not None:
                types = loaded.spec.btf, loaded.spec.btf.by_name(ARENA) or 0
                self.sections[".arena"] = Section(target, types)
        self.maps = MappingProxyType(maps)
        self.programs = MappingProxyType(
            {name: self._program(name, each.fd) for name, each in loaded.programs.items()}
        )

    def _program(self, name: str, fd: int) -> Program:
        target = self.subsystem.state.objects.get("LOAD", fd, Kind.PROG).target
        assert isinstance(target, LoadedProgram)
        return Program(self.subsystem, target, fd, name)

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """Tables of functions for the kernel, by name of their variables."""
        types = self._loaded.btf_fd
        return MappingProxyType(
            {
                each.name: Table(self.subsystem, each, self.programs, types)
                for each in self._loaded.spec.tables
            }
        )

    def __getattr__(self, name: str) -> Any:
        sections = self.__dict__.get("sections", {})
        section = sections.get(f".{name}")
        if section is None:
            known = ", ".join(sections) or "none"
            raise AttributeError(f"no {name!r}; data sections: {known}")
        return section

    def only_program(self, name: str | None = None) -> Program:
        """The program called *name*; without one, the object's only program."""
        there = ", ".join(self.programs) or "none"
        if name is not None:
            if name not in self.programs:
                raise LoadError(f"no such program; there are: {there}", name=name)
            return self.programs[name]
        if len(self.programs) != 1:
            raise LoadError(f"which program? There are: {there}", source=self.source)
        return next(iter(self.programs.values()))

    @property
    def world(self) -> World:
        """What programs find out and where events happen: ``world.tracepoints`` and more."""
        return self.subsystem.state.world

    @property
    def places(self) -> Places:
        """What programs can be attached to: cgroups, devices, the network namespace."""
        return self.subsystem.places

    def attach(
        self, name: str, *, on: Place | None = None, cookie: int = 0, over: Map | None = None
    ) -> Attachment:
        """Put a program on a place, or on the tracepoint or the objects that its section names.

        Args:
            name: of the program.
            on: a cgroup, device or network namespace of ``places``, a socket map; of an extension,
                another program than that which it was loaded for.
            cookie: what bpf_get_attach_cookie answers.
            over: the map whose elements an iterator visits.

        Raises:
            LoadError: the world has no such tracepoint; the program does not go there.
            CommandError: the subsystem refuses.
            NotSupported: sections of the kind do not say where.
        """
        program = self.only_program(name)
        spec = next(each for each in self._loaded.spec.programs if each.name == name)
        if on is not None:
            return attach_on(self.subsystem, program.fd, spec, on)
        return attach(self.subsystem, program.fd, spec, cookie, over)

    def ring(self, name: str, decode: Callable[[bytes], Any] = bytes) -> RingReader:
        """A reader of the ring buffer or perf event array called *name*."""
        return RingReader(self.maps[name], decode)

    def writer(self, name: str, encode: Callable[[Any], bytes] = bytes) -> RingWriter:
        """A writer of the user ring buffer called *name*."""
        return RingWriter(self.maps[name], encode)

    def printk(self) -> list[str]:
        """Lines that programs wrote with trace_printk so far."""
        return list(self._printk)

    def close(self) -> None:
        """Close every descriptor; maps and programs go with the last reference."""
        self._loaded.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()
