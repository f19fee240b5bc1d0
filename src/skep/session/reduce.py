"""reduce(): the smallest program that breaks the same rule in the same way.

Lines are deleted in ever smaller runs, then made simpler one by one, as long as the verifier still
refuses the same instruction for the same reason. Numbers in the diagnostic may change.

Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002 (ddmin).
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from skep.errors import NotSupported
from skep.isa.insn import Insn
from skep.isa.table import Kind, Sem, op_of
from skep.session.assembly import request_of
from skep.session.assembly_text import write_text
from skep.session.assembly_world import TextMap, TextWorld, copy_map
from skep.session.reduce_edit import Lines, assemble, functions_of, lines_of, places, simpler
from skep.uapi.program_types import effective_attach_type
from skep.verifier import Rejected, verify
from skep.verifier.interface import MapShape, Request

_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\d+")
_VALUES: Final = re.compile(r"\([^()]*\)")  # of a register: ranges and ids differ
_BY_INDEX: Final = {Sem.MAP_IDX: 1, Sem.MAP_IDX_VALUE: 2}
_BY_FD: Final = (Sem.MAP_FD, Sem.MAP_VALUE, *_BY_INDEX)


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left.

    Args:
        request: the program. *text*: the same, as ``skep verify`` reads it.
        rejected: the verdict on it. *original*: the verdict on what it came from.
        before, after: slots. *tests*: verifications.
        finished: nothing more can be left out; else time was up.
    """

    request: Request
    text: str
    rejected: Rejected
    original: Rejected
    before: int
    after: int
    tests: int
    finished: bool


class _TimeUp(Exception):  # noqa: N818 - the best so far is good
    pass


class _Reducer:
    """A program that shrinks."""

    def __init__(self, request: Request, rejected: Rejected, deadline: float) -> None:
        self.request, self.deadline = request, deadline
        self.lines = lines_of(request.insns)
        self.infos = tuple(request.function_infos)
        self.shape = shape_of(rejected.detail)
        self.rule = rejected.rule
        self.refused = rejected.pc
        self.rejected = rejected
        self.tests = 0

    def candidate(self, lines: Lines, request: Request) -> Request | None:
        """The request for *lines*; None if they make no program."""
        insns = assemble(lines) if lines else None
        if insns is None:
            return None
        infos = functions_of(lines, self.infos) if request.btf is not None else []
        return replace(request, insns=insns, function_infos=infos)

    def try_(self, lines: Lines, request: Request | None = None) -> bool:
        """Keep *lines* if they are refused for the same reason."""
        if time.monotonic() > self.deadline:
            raise _TimeUp
        wanted = self.candidate(lines, request or self.request)
        if wanted is None:
            return False
        self.tests += 1
        try:
            verify(wanted)
        except Rejected as found:
            if not self._is_same(found, lines):
                return False
            self.lines, self.rejected = lines, found
            self.request = wanted
            return True
        return False

    def _is_same(self, found: Rejected, lines: Lines) -> bool:
        if found.rule is not self.rule or shape_of(found.detail) != self.shape:
            return False
        if self.refused < 0 or found.pc < 0:
            return self.refused == found.pc
        ids = dict(zip(places(lines), (line.id for line in lines), strict=True))
        return ids.get(found.pc) == self.refused

    # --- steps --------------------------------------------------------------------------------

    def simplify_surroundings(self) -> None:
        """Leave out types, flags and the like where the verdict is the same without."""
        for change in _SURROUNDINGS:
            simpler_request = change(self.request)
            if simpler_request is not None:
                self.try_(self.lines, simpler_request)

    def delete(self) -> bool:
        """Delete runs of lines, the longest first; tell whether any was."""
        before = len(self.lines)
        size = max(len(self.lines) // 2, 1)
        while size:
            start = 0
            while start < len(self.lines):
                rest = self.lines[:start] + self.lines[start + size :]
                if not self.try_(rest):
                    start += size
            size //= 2
        return len(self.lines) < before

    def simplify(self) -> bool:
        """Make lines simpler; tell whether any was."""
        changed = False
        for index in range(len(self.lines)):
            for line in simpler(self.lines[index]):
                if line.id != self.refused and self.try_(
                    (*self.lines[:index], line, *self.lines[index + 1 :])
                ):
                    changed = True
                    break
        return changed


def shape_of(detail: str) -> str:
    """A diagnostic without its numbers and ranges."""
    return _NUMBER.sub("N", _VALUES.sub("()", detail))


def reduce(request: Request, seconds: float = 60.0) -> Reduced | None:
    """Shrink a program that is refused; None if it is accepted.

    Args:
        request: the program.
        seconds: when to stop with what there is.

    Raises:
        NotSupported: it uses what the text form cannot say.
    """
    alone = _alone(request)
    try:
        verify(alone)
    except Rejected as rejected:
        original = rejected
    else:
        return None
    reducer = _Reducer(alone, original, time.monotonic() + seconds)
    finished = True
    try:
        reducer.simplify_surroundings()
        reducer.delete()
        while reducer.simplify():
            reducer.delete()
        reducer.simplify_surroundings()
    except _TimeUp:
        finished = False
    left = _without_unused_maps(reducer.request)
    text = write_text(left, list(_comments(reducer)))
    return Reduced(
        left, text, reducer.rejected, original, len(request.insns), len(left.insns),
        reducer.tests, finished,
    )  # fmt: skip


def is_same_again(reduced: Reduced) -> bool:
    """Whether the text, read again, is refused by the same rule."""
    try:
        verify(request_of(reduced.text, reduced.request.environment.kernel_btf))
    except Rejected as again:
        return again.rule is reduced.original.rule
    return False


def _comments(reducer: _Reducer) -> Iterator[str]:
    rejected = reducer.rejected
    yield f"{rejected.rule.id}: {rejected.rule.sentence}"
    yield f"insn {rejected.pc}: {rejected.detail}" if rejected.pc >= 0 else rejected.detail


# --- a program that needs nothing of its subsystem ----------------------------------------------


def _alone(request: Request) -> Request:
    """*request* with descriptions of its maps, numbered from 1."""
    if request.attach_program is not None or (
        request.attach_btf is not None and request.attach_btf is not request.environment.kernel_btf
    ):
        raise NotSupported("reducing a program", "it attaches to another program or a module")
    world = TextWorld(request.environment.kernel_btf)
    known: dict[int, int] = {}
    insns = [_with_map(insn, request, world, known) for insn in request.insns]
    return replace(
        request, insns=insns, environment=world, fd_array=None, collect_journal=False,
        log_level=0, observer=None, line_infos=(),
    )  # fmt: skip


def _with_map(insn: Insn, request: Request, world: TextWorld, known: dict[int, int]) -> Insn:
    op = op_of(insn)
    if op is not None and op.sem is Sem.KFUNC and insn.off:
        raise NotSupported("reducing a program", "it calls a function of a module")
    if op is None or op.kind is not Kind.WIDE or op.sem not in _BY_FD:
        return insn
    fd = insn.imm
    if op.sem in _BY_INDEX:
        fds = request.fd_array
        if fds is None or not 0 <= insn.imm < len(fds):
            return insn
        fd = fds[insn.imm]
    shape = request.environment.map_by_fd(fd)
    if shape is None:
        return insn
    if fd not in known:
        known[fd] = _add_map(world, shape)
    return replace(insn, src=_BY_INDEX.get(op.sem, insn.src), imm=known[fd])


def _add_map(world: TextWorld, shape: MapShape) -> int:
    number = len(world.maps) + 1
    made = world.maps[number] = copy_map(number, shape)
    made.btf, made.btf_key_type_id = shape.btf, shape.btf_key_type_id
    made.btf_value_type_id = shape.btf_value_type_id
    if shape.inner is not None:
        made.inner = world.maps[_add_map(world, shape.inner)]
    return number


def _world_of(request: Request) -> TextWorld:
    world = request.environment
    assert isinstance(world, TextWorld)
    return world


def _untyped(shape: TextMap) -> TextMap:
    made = copy_map(shape.id, shape)
    made.inner = shape.inner
    return made


def _without_map_types(request: Request) -> Request | None:
    world = _world_of(request)
    if all(shape.btf is None for shape in world.maps.values()):
        return None
    plain = TextWorld(world.kernel_btf)
    plain.maps = {fd: _untyped(shape) for fd, shape in world.maps.items()}
    for made in plain.maps.values():
        made.inner = next(
            (plain.maps[fd] for fd, old in world.maps.items() if old is made.inner), None
        )
    return replace(request, environment=plain)


def _without_unused_maps(request: Request) -> Request:
    world = _world_of(request)
    ops = ((insn, op_of(insn)) for insn in request.insns)
    used = {insn.imm for insn, op in ops if op is not None and op.sem in _BY_FD}
    left = TextWorld(world.kernel_btf)
    inner = {id(world.maps[fd].inner) for fd in used if fd in world.maps}
    left.maps = {fd: shape for fd, shape in world.maps.items() if fd in used or id(shape) in inner}
    return replace(request, environment=left)


def _with_usual_attach_type(request: Request) -> Request | None:
    usual = effective_attach_type(request.program_type, 0)
    if request.attach_btf_id or request.expected_attach_type == usual:
        return None
    return replace(request, expected_attach_type=usual)


_SURROUNDINGS: Final[tuple[Callable[[Request], Request | None], ...]] = (
    lambda request: replace(request, btf=None) if request.btf is not None else None,
    _without_map_types,
    _with_usual_attach_type,
    lambda request: replace(request, prog_flags=0) if request.prog_flags else None,
    lambda request: replace(request, name="") if request.name else None,
)
