"""LINK_CREATE of iterators, ITER_CREATE, and reading.

Source: Linux 6.18 kernel/bpf/bpf_iter.c (bpf_iter_link_attach, bpf_iter_new_fd),
kernel/bpf/map_iter.c (bpf_iter_attach_map), kernel/bpf/task_iter.c (bpf_iter_attach_task).
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from skep.attach.iterators import IteratorLink, SeqFile, Source
from skep.attach.links import Attachable
from skep.attach.tracepoints import SLEEPABLE
from skep.btf.graph import Btf
from skep.maps.interface import Map
from skep.runtime.block import Invocation
from skep.runtime.kernel_objects import KernelStruct
from skep.runtime.world import Task
from skep.syscall.call import Call
from skep.syscall.firing import run_in
from skep.syscall.hooked import install_link, loaded
from skep.syscall.iterator_sources import (
    PERCPU,
    PLAIN,
    ElementSource,
    TaskSource,
    objects_of,
)
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import as_map
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_tracing as reasons
from skep.uapi.commands import IterCreate, LinkCreate
from skep.uapi.reason import Refusal

INFO: Final = struct.Struct("=4I")  # union bpf_iter_link_info
PREFIX: Final = "bpf_iter_"
OBJECTS: Final = frozenset({"bpf_map", "bpf_prog", "bpf_link"})
PAGE: Final = 4096

Opener = tuple[Callable[[], Source], tuple[str, int] | None, list[Holding]]


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE of an iterator program: a link that can be opened."""
    attr = call.attr
    call.check(not attr.target_fd, reasons.ITER_TARGET_FD)
    call.check(not attr.flags, reasons.ITER_FLAGS)
    info = _info(call)
    program = loaded(holding)
    target = target_of(program)
    resched = target == "task"
    sleeps = program.proof.request.prog_flags & SLEEPABLE
    call.check(resched or not sleeps, reasons.ITER_SLEEPABLE)
    open_, detail, held = _opener(state, call, program, target, info)
    link = IteratorLink(state.new_id(Kind.LINK), program, target, open_, detail)
    return install_link(state, link, holding, *held)


def target_of(program: LoadedProgram) -> str:
    """What an iterator program visits, as ``bpf_map``."""
    request = program.proof.request
    btf = _kernel_types(program)
    return btf.name(request.attach_btf_id).removeprefix(PREFIX)


def _kernel_types(program: LoadedProgram) -> Btf:
    request = program.proof.request
    btf = request.attach_btf or request.environment.kernel_btf
    assert btf is not None, "the verifier has found the target"
    return btf


def _info(call: Call[LinkCreate]) -> tuple[int, ...]:
    """Union bpf_iter_link_info, as four words."""
    place, size = call.attr.word16, call.attr.word24 & 0xFFFF_FFFF
    call.check(bool(place) == bool(size), reasons.ITER_INFO)
    if not place:
        return (0,) * 4
    call.check(size <= PAGE, reasons.ITER_INFO_TAIL, "more than a page")
    data = call.read("word16", size)
    call.check(not any(data[INFO.size :]), reasons.ITER_INFO_TAIL)
    return INFO.unpack(data[: INFO.size].ljust(INFO.size, b"\0"))


def _opener(
    state: State,
    call: Call[LinkCreate],
    program: LoadedProgram,
    target: str,
    info: tuple[int, ...],
) -> Opener:
    """How sessions get their source, what the link's info adds, and what it holds."""
    btf = _kernel_types(program)
    if target in OBJECTS:
        return partial(objects_of, state, btf, target), None, []
    if target == "bpf_map_elem":
        held = _map_of(state, call, program, info[0])
        map_ = as_map(held)
        return partial(ElementSource, state, btf, map_), ("map_id", map_.id), [held]
    if target == "task":
        tid, pid, pid_fd, _ = info
        call.check(bool(tid) + bool(pid) + bool(pid_fd) <= 1, reasons.ITER_TASK)
        pid = _process_of(call, pid_fd) if pid_fd else pid
        detail = ("tid", tid) if tid else ("pid", pid) if pid else None
        return partial(_tasks, state, btf, tid, pid), detail, []
    raise call.refusal(reasons.ITER_UNKNOWN, f"an iterator over {target}")


def _map_of(state: State, call: Call[LinkCreate], program: LoadedProgram, fd: int) -> Holding:
    """The map whose elements are visited, if the program can have them."""
    call.check(fd, reasons.ITER_NO_MAP)
    held = state.objects.get(call.command.name, fd, Kind.MAP, "word16")
    map_ = as_map(held)
    call.check(not state.owners.is_exclusive(map_.id), reasons.ITER_MAP_EXCLUSIVE)
    call.check(map_.map_type in PLAIN | PERCPU, reasons.ITER_MAP_KIND)
    _check_sizes(call, program, map_)
    return held


def _check_sizes(call: Call[LinkCreate], program: LoadedProgram, map_: Map) -> None:
    touched = program.proof.buffers
    for what, reach, size in (
        ("keys", touched.get("rdonly", 0), map_.key_size),
        ("values", touched.get("rdwr", 0), map_.host_value_size),
    ):
        message = f"it touches {reach} bytes of {what} of {size}"
        call.check(reach <= size, reasons.ITER_MAP_ACCESS, message)


def _process_of(call: Call[LinkCreate], fd: int) -> int:
    """The process that a pidfd names."""
    try:
        with open(f"/proc/self/fdinfo/{fd}") as lines:  # noqa: PTH123 - procfs
            found = dict(line.rstrip().split(":\t", 1) for line in lines if ":\t" in line)
    except OSError:
        raise call.refusal(reasons.ITER_NO_TASK, f"fd {fd} is not open") from None
    call.check("Pid" in found, reasons.ITER_NO_TASK, f"fd {fd} names no process")
    return int(found["Pid"])


def _tasks(state: State, btf: Btf, tid: int, pid: int) -> TaskSource:
    def wanted(task: Task) -> bool:
        return (not tid or task.pid == tid) and (not pid or task.tgid == pid)

    return TaskSource(state.world.objects, btf, tuple(filter(wanted, state.world.tasks())))


def create_iterator(state: State, call: Call[IterCreate]) -> int:
    """ITER_CREATE: a descriptor to read from; a session of its own."""
    call.check(not call.attr.flags, reasons.ITER_CREATE_FLAGS)
    with state.objects.lock:
        held = state.objects.get(call.command.name, call.attr.link_fd, Kind.LINK, "link_fd")
        link = held.target
        if not isinstance(link, IteratorLink):
            raise call.refusal(reasons.ITER_CREATE_LINK)
        program = link.program
        assert isinstance(program, LoadedProgram)
        btf, objects = _kernel_types(program), state.world.objects
        meta, file = (KernelStruct(objects, btf, name) for name in ("bpf_iter_meta", "seq_file"))
        session = state.new_id(Kind.ITERATOR)
        source = link.open()
        opened = SeqFile(session, program, source, (meta, file), state.world, partial(_run, state))
        holds = [state.objects.take(each) for each in held.holds]
        return state.objects.install(Kind.ITERATOR, opened, holds)


def _run(state: State, program: Attachable, invocation: Invocation, address: int) -> int:
    assert isinstance(program, LoadedProgram)
    return run_in(state, program, invocation, address)


def read(state: State, fd: int, size: int) -> bytes:
    """Read from an iterator; Refusal as ``SeqFile.read``, and if *fd* cannot be read."""
    with state.objects.lock:
        held = state.objects.take(state.objects.get("READ", fd))
    try:
        if not isinstance(held.target, SeqFile):
            raise Refusal("READ", reasons.READ_KIND, f"fd {fd} is a {held.kind.name.lower()}")
        return held.target.read(size)
    finally:
        state.objects.drop(held)
