"""Calls of a program as LLVM IR: helpers, look-ups in line, subprograms, tail calls, exits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from skep.engine import held
from skep.engine.llvm.frame import Frame
from skep.engine.llvm.linkage import Linkage
from skep.engine.llvm.text import integers
from skep.engine.machinery import NO_WORD, THROWING, packet_word, tail_target, throw, thrown
from skep.errors import NotSupported
from skep.isa.insn import Insn
from skep.isa.table import Op, Sem
from skep.maps.interface import InlineLookup
from skep.runtime.invocation import FAULT
from skep.uapi import helpers as uapi
from skep.verifier.interface import CallFact, MapShape, Proof, Subprogram

MAP_LOOKUP_ELEM: Final = 1
TAIL_CALL: Final = 12
ARRAY: Final = 2  # map type
ARGUMENTS: Final = range(1, 6)
THROW: Final = "bpf_throw"
CALLING: Final = frozenset({164, 180, 181, 209})  # helpers that call the program back


@dataclass(frozen=True, slots=True)
class Ending:
    """How a function ends before its time.

    Args:
        metered: a run may be stopped, so what it holds is noted.
        throwing: where the functions start that may throw.
        catch: where that starts which what is thrown goes to; 0: it is the program's result.
        part: the function.
    """

    metered: bool
    throwing: frozenset[int]
    catch: int
    part: Subprogram

    @property
    def result(self) -> str:
        """What the function returns then: a callback, that its helper shall stop."""
        return "1" if self.part.is_callback else "0"


@dataclass(frozen=True, slots=True)
class Site:
    """Where code is being written: the program, one of its functions, one instruction."""

    proof: Proof
    linkage: Linkage
    frame: Frame
    pc: int
    insn: Insn
    op: Op
    ending: "Ending"

    @property
    def fact(self) -> CallFact | None:
        """What the verifier knows of this call."""
        return self.proof.calls.get(self.pc)


def subprogram_symbol(start: int) -> str:
    """Name of the function that begins at slot *start*."""
    return "main" if start == 0 else f"sub.{start}"


def call(site: Site) -> None:
    """Write a call of any kind; its result goes to r0, and r1 to r5 become unreadable."""
    frame = site.frame
    before: list[str] = []
    if site.ending.metered:
        before = [frame.get(register) for register in ARGUMENTS]
        _note_given(site, before)
    if site.op.sem is Sem.LOCAL:
        result = _call_local(site)
    elif site.op.sem is Sem.INDIRECT:
        target = frame.body.pointer(frame.get(site.insn.dst))
        result = f"call i64 {target}({integers(_arguments(frame))})"
    elif site.op.sem is Sem.KFUNC and site.fact and site.fact.kfunc == THROW:
        _throw(site)
        return
    elif site.op.sem is Sem.KFUNC:
        result = _call_kfunc(site)
    elif site.insn.imm == TAIL_CALL:
        _tail_call(site)
        return
    else:
        result = _call_helper(site)
    value = frame.body.value(result)
    if site.ending.metered:
        _note_taken(site, before, value)
    frame.forget(ARGUMENTS)
    frame.set(0, value)
    if site.ending.metered or _may_have_thrown(site):
        _leave_early(site)


def _may_have_thrown(site: Site) -> bool:
    """Whether what was called may have thrown: helpers and their callbacks never do."""
    return site.op.sem is Sem.LOCAL and site.pc + 1 + site.insn.imm in site.ending.throwing


def _effects(site: Site) -> held.Effects:
    if site.op.sem is Sem.HELPER:
        return held.of_helper(site.insn.imm)
    if site.op.sem is Sem.KFUNC and site.fact is not None:
        return held.of_kfunc(site.fact.kfunc)
    return held.NOTHING


def _note_given(site: Site, before: Sequence[str]) -> None:
    for effect in _effects(site).gives:
        value = before[effect.register - 1]
        note = site.linkage.native(held.give, site.frame.run, str(effect.kind), value)
        site.frame.body.value(note)


def _note_taken(site: Site, before: Sequence[str], result: str) -> None:
    for effect in _effects(site).takes:
        value = before[effect.register - 1] if effect.register else result
        answer = result if effect.only_if_zero else "0"
        note = site.linkage.native(held.take, site.frame.run, str(effect.kind), value, answer)
        site.frame.body.value(note)


def _throw(site: Site) -> None:
    """``bpf_throw(cookie)``: the program ends, from whichever function."""
    frame, body = site.frame, site.frame.body
    if site.ending.part.start != 0:
        body.value(site.linkage.native(throw, frame.run, frame.get(1)))
        body.end(f"ret i64 {site.ending.result}")
    else:
        _return_thrown(site, frame.get(1))


def _return_thrown(site: Site, cookie: str) -> None:
    """The main function ends with *cookie*, or with what the exception callback makes of it."""
    body, catch = site.frame.body, site.ending.catch
    if catch:
        arguments = integers([site.frame.run, cookie, "0", "0", "0", "0"])
        cookie = body.value(f'call i64 @"{subprogram_symbol(catch)}"({arguments})')
    body.end(f"ret i64 {cookie}")


def _leave_early(site: Site) -> None:
    """After a call of what may have ended the run: end this function too."""
    if site.op.sem is Sem.KFUNC or (site.op.sem is Sem.HELPER and site.insn.imm not in CALLING):
        return
    frame, body = site.frame, site.frame.body
    place = body.pointer(body.value(f"add i64 {frame.run}, {FAULT}"))
    fault = body.value(f"load i64, ptr {place}")
    leave, stay = body.fresh("leave"), body.fresh("stay")
    body.fork(body.value(f"icmp ne i64 {fault}, 0"), leave, stay)
    body.label(leave)
    if site.ending.throwing and site.ending.part.start == 0:
        _catch(site, fault)
    else:
        body.end(f"ret i64 {site.ending.result}")
    body.label(stay)


def _catch(site: Site, fault: str) -> None:
    """End the main function: something was thrown, or the run was stopped."""
    body = site.frame.body
    caught, stopped = body.fresh("caught"), body.fresh("stopped")
    body.fork(body.value(f"icmp eq i64 {fault}, {THROWING}"), caught, stopped)
    body.label(stopped)
    body.end("ret i64 0")
    body.label(caught)
    _return_thrown(site, body.value(site.linkage.native(thrown, site.frame.run)))


def _arguments(frame: Frame) -> list[str]:
    return [frame.run, *(frame.get(register) for register in ARGUMENTS)]


def _call_local(site: Site) -> str:
    symbol = subprogram_symbol(site.pc + 1 + site.insn.imm)
    return f'call i64 @"{symbol}"({integers(_arguments(site.frame))})'


def _call_helper(site: Site) -> str:
    frame, linkage, helper = site.frame, site.linkage, site.insn.imm
    lookup = inline_lookup(site.fact.map) if site.fact and site.fact.map else None
    if helper == MAP_LOOKUP_ELEM and lookup is not None:
        element = _constant_element(site)
        if element:
            return element
        function, constants = lookup
        return linkage.inline(function, frame.run, frame.get(2), constants)
    code = linkage.helper(helper)
    if code is None:
        raise missing_helper(helper)
    args = [frame.get(register) for register in ARGUMENTS]
    if code.known is not None:
        args[-1] = linkage.constant(code.known(site.proof))
    return linkage.call(code, frame.run, args)


def _call_kfunc(site: Site) -> str:
    fact, frame, linkage = site.fact, site.frame, site.linkage
    code = linkage.kfunc(fact.kfunc) if fact else None
    if fact is None or code is None:
        raise missing_kfunc(fact.kfunc if fact else str(site.insn.imm))
    args = [frame.get(register) for register in range(1, code.registers + 1)]
    if code.known is not None:
        args.append(linkage.constant(code.known(site.proof, fact)))
    return linkage.call(code, frame.run, args)


def _constant_element(site: Site) -> str:
    """Spell the address of an array's element whose index is a constant; "" where it is not."""
    fact = site.fact
    if fact is None or fact.map is None or fact.constant_key is None:
        return ""
    shape, index = fact.map, fact.constant_key
    first, size = getattr(shape, "values", 0), -(-shape.value_size // 8) * 8
    if shape.map_type != ARRAY or not first or index >= shape.max_entries:
        return ""
    element = site.linkage.element(first, size * shape.max_entries, size * index)
    return f"ptrtoint ptr {element} to i64"


def missing_helper(helper: int) -> NotSupported:
    """Make the refusal of a helper that the engine was not given."""
    row = uapi.by_id(helper)
    return NotSupported(f"helper {row.name if row else helper}", "the engine has no code for it")


def missing_kfunc(name: str) -> NotSupported:
    """Make the refusal of a kernel function that the engine was not given."""
    return NotSupported(f"kfunc {name}", "the engine has no code for it")


def inline_lookup(shape: MapShape) -> InlineLookup | None:
    """Native function and constants of look-ups in *shape*, if its class has them."""
    make = cast("Callable[[], InlineLookup | None] | None", getattr(shape, "inline_lookup", None))
    return make() if make else None


def _tail_call(site: Site) -> None:
    """``bpf_tail_call(ctx, array, index)``: on success nothing of this program is left to do."""
    frame, body = site.frame, site.frame.body
    array = frame.get(2)
    if site.fact and site.fact.map:
        array = site.linkage.data(site.fact.map.address)
    index = body.value(f"and i64 {frame.get(3)}, 4294967295")
    target = body.value(site.linkage.native(tail_target, frame.run, array, index))
    context = frame.get(1)
    frame.forget(ARGUMENTS)
    frame.set(0, "0")
    go, stay = body.fresh("tail"), body.fresh("stay")
    body.fork(body.value(f"icmp ne i64 {target}, 0"), go, stay)
    body.label(go)
    arguments = integers([frame.run, context, "0", "0", "0", "0"])
    result = body.value(f"musttail call i64 {body.pointer(target)}({arguments})")
    body.end(f"ret i64 {result}")
    body.label(stay)


def packet_load(site: Site) -> None:
    """LD_ABS and LD_IND: a word of the packet to r0; outside of it the function returns 0."""
    frame, body, insn = site.frame, site.frame.body, site.insn
    if site.op.sem is Sem.PACKET_IND:
        whole = body.value(f"add i64 {frame.get(insn.src)}, {insn.imm}")
        low = body.value(f"trunc i64 {whole} to i32")
        offset = body.value(f"sext i32 {low} to i64")
    else:
        offset = str(insn.imm)
    word = body.value(site.linkage.native(packet_word, frame.run, offset, str(site.op.size)))
    outside, inside = body.fresh("outside"), body.fresh("inside")
    body.fork(body.value(f"icmp eq i64 {word}, {NO_WORD}"), outside, inside)
    body.label(outside)
    body.end("ret i64 0")
    body.label(inside)
    frame.forget(ARGUMENTS)
    frame.set(0, word)
