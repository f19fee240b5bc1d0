"""LINK_CREATE and RAW_TRACEPOINT_OPEN of programs on functions of other programs.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_tracing_prog_attach).
"""

from typing import Any, Final

from skep.attach.functions import FunctionLink, Functions, words_seen
from skep.base.bits import U32
from skep.engine.hooks import FunctionHooks, Hooks, Tracer
from skep.engine.interface import Entry
from skep.syscall.call import Call
from skep.syscall.hooked import install_link, loaded, program_at
from skep.syscall.lending import defers
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_functions as reasons
from skep.uapi.commands import LinkCreate
from skep.uapi.flags import ProgType
from skep.uapi.reasons_tracing import TRACED_FUNCTION
from skep.verifier import Proof, Rejected
from skep.verifier.extension import extension_of, find_function, require_target

MANY: Final = 1 << 20  # runs to come: a program that others call is worth compiling


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE: put a program at a function of the program that it was loaded for, or another.

    What traces functions of the kernel is refused: they are not here.
    """
    attr = call.attr
    target_fd, type_id = attr.target_fd, attr.word16 & U32
    call.check(bool(target_fd) == bool(type_id), reasons.PAIR)
    target = None
    if target_fd:
        call.check(loaded(holding).type.id == ProgType.EXT, reasons.RETARGET)
        target = program_at(state, call, target_fd, "target_fd")
    how = (attr.attach_type, attr.word24)
    return _attach(state, call, holding, (target, type_id), how)


def open_old(state: State, call: Call[Any], holding: Holding) -> int:
    """RAW_TRACEPOINT_OPEN: put a program at the function that it was loaded for."""
    expected = loaded(holding).proof.request.expected_attach_type
    return _attach(state, call, holding, (None, 0), (expected, 0))


def _attach(
    state: State,
    call: Call[Any],
    holding: Holding,
    wanted: tuple[Holding | None, int],
    how: tuple[int, int],
) -> int:
    """Put the program at function *wanted*, as attach type and with the cookie that *how* says."""
    program = loaded(holding)
    request = program.proof.request
    call.check(request.attach_program is not None, TRACED_FUNCTION)
    known, (target, type_id) = program.target, wanted
    if target is None:
        target, type_id = known, request.attach_btf_id
    if target is None:
        raise call.refusal(reasons.NO_TARGET)
    if target is not known or type_id != request.attach_btf_id:
        _require_fit(call, program.proof, loaded(target).proof, type_id)
    place = functions_of(state, loaded(target))
    function = find_function(loaded(target).proof, type_id)
    number = state.new_id(Kind.LINK)
    link = FunctionLink(number, program, how, place, function)
    place.add(link, functions_of(state, program))
    fd = install_link(state, link, holding, target)
    if known is not None:  # attached once, it does not keep its first target any more
        program.target = None
        holding.holds.remove(known)
        state.objects.drop(known)
    return fd


def _require_fit(call: Call[Any], proof: Proof, target: Proof, type_id: int) -> None:
    """Refuse a target other than that which the extension was verified for, unless it fits too."""
    first = proof.request.attach_program
    assert first is not None, "extensions are loaded for a program"
    for name in ("program_type", "expected_attach_type"):
        same = getattr(first.request, name) == getattr(target.request, name)
        call.check(same, reasons.KIND)
    try:
        require_target(extension_of(proof), target, type_id)
    except Rejected as rejected:
        raise call.refusal(reasons.FIT, rejected.detail) from None


def functions_of(state: State, program: LoadedProgram) -> Functions:
    """The functions of *program*, and what stands at them."""
    if program.functions is None:
        program.functions = Functions(program, lambda places: _change(state, program, places))
    return program.functions


def _change(state: State, program: LoadedProgram, places: Functions) -> None:
    """Compile *program* again, with what stands at its functions; runs under way go on."""
    hooks = {start: _hooks_at(program.proof, places, start) for start in places.starts}
    if state.runs:
        for start in hooks:
            for link in places.at(start):
                link.program.entry.hot(MANY)
    old, program.entry = program.entry, _compiled(state, program, hooks)
    if defers(program.proof):  # timers hold addresses in the code that set their callbacks
        program.past.append(old)
    else:
        state.world.retire(old)


def _compiled(state: State, program: LoadedProgram, hooks: Hooks) -> Entry:
    return state.engine.compile(program.proof, hooks) if hooks else program.plain


def _hooks_at(target: Proof, places: Functions, start: int) -> FunctionHooks:
    links = list(places.at(start))
    if links[0].extends:
        return FunctionHooks(instead=links[0].program.entry)
    before = tuple(Tracer(link.program.entry, link.cookie) for link in links if not link.is_at_end)
    after = tuple(Tracer(link.program.entry, link.cookie) for link in links if link.is_at_end)
    words = words_seen(target, links[0].function)
    return FunctionHooks(before=before, after=after, arguments=words)
