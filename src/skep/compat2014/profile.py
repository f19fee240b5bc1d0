"""Programs of the 2014 draft, written again as programs of today.

A draft program keeps its instructions; only its calls change. Functions that live on get today's
number. ``bpf_map_update_elem`` had no flags yet::

    call map_update_elem            r4 = 0
                                    call 2

The others become functions of the program's own, added behind it, which read with
probe_read_kernel: what cannot be read gives 0, and never stops the program::

    call fetch_u32                  call pc+n       n: r3 = r1; r1 = r10 - 8; …; r0 = *(u32 *)r1

The context is that of a raw tracepoint, of which the draft has the first seven words:
arg1 … arg6, ret.

Source: the draft of 12 September 2014 (seed 003), its list of functions for TYPE_TRACING.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from skep.compat2014 import macros
from skep.isa.assembler import assemble
from skep.isa.insn import Insn
from skep.uapi import program_types
from skep.uapi.flags import ProgType

CONTEXT_SIZE: Final = 56  # struct bpf_context
CALL: Final = 0x85
WIDE: Final = 0x18
EXIT: Final = 0x95
GOTO_FAR: Final = 0x06  # jumps by imm
LOCAL: Final = 1  # source register of a call of the program's own function
CODE_OF: Final = 4  # source register of a load of a function's address
JUMPS: Final = frozenset({5, 6})  # instruction classes
COMPARED: Final = 64  # most bytes that bpf_memcmp compares

_FETCH: Final = """
    r3 = r1
    *(u64 *)(r10 - 8) = 0
    r1 = r10
    r1 += -8
    r2 = {size}
    call 113
    r0 = *(u{bits} *)(r10 - 8)
    exit"""
_MEMCMP: Final = """
    r6 = r1
    r7 = r2
    r8 = r3
    if r8 == 0 goto equal
    if r8 > 64 goto unreadable
    r1 = r10
    r1 += -64
    r2 = r8
    r3 = r6
    call 113
    if r0 != 0 goto unreadable
    r1 = r10
    r1 += -128
    r2 = r8
    r3 = r7
    call 113
    if r0 != 0 goto unreadable
    r1 = r10
    r1 += -64
    r2 = r10
    r2 += -128
    r9 = 0
    next: if r9 >= r8 goto equal
    r0 = *(u8 *)(r1 + 0)
    r3 = *(u8 *)(r2 + 0)
    r0 -= r3
    if r0 != 0 goto out
    r1 += 1
    r2 += 1
    r9 += 1
    goto next
    equal: r0 = 0
    goto out
    unreadable: r0 = -1
    out: exit"""

RENAMED: Final[Mapping[int, int]] = {
    macros.BPF_FUNC_map_lookup_elem: 1,
    macros.BPF_FUNC_map_delete_elem: 3,
    macros.BPF_FUNC_ktime_get_ns: 5,
    macros.BPF_FUNC_printk: 6,
    macros.BPF_FUNC_get_current: 35,
}
UPDATE: Final = macros.BPF_FUNC_map_update_elem
WRITTEN: Final[Mapping[int, str]] = {
    macros.BPF_FUNC_memcmp: _MEMCMP,
    macros.BPF_FUNC_fetch_ptr: _FETCH.format(size=8, bits=64),
    macros.BPF_FUNC_fetch_u8: _FETCH.format(size=1, bits=8),
    macros.BPF_FUNC_fetch_u16: _FETCH.format(size=2, bits=16),
    macros.BPF_FUNC_fetch_u32: _FETCH.format(size=4, bits=32),
    macros.BPF_FUNC_fetch_u64: _FETCH.format(size=8, bits=64),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """A program type of the draft.

    Args:
        name: as the draft has it.
        type: the program type of today that it becomes.
        functions: that its programs may call.
        context_size: bytes of context that they see; 0 for what today's type has.
        pointers: they may show pointers to user space.
    """

    name: str
    type: int
    functions: frozenset[int]
    context_size: int = 0
    pointers: bool = True


_MAPS: Final = frozenset({
    macros.BPF_FUNC_map_lookup_elem, UPDATE, macros.BPF_FUNC_map_delete_elem,
})  # fmt: skip
_FILTER: Final = program_types.by_id(ProgType.SOCKET_FILTER)
assert _FILTER is not None

PROFILES: Final[Mapping[int, Profile]] = {
    macros.BPF_PROG_TYPE_SOCKET: Profile(
        "SOCKET", ProgType.SOCKET_FILTER, _FILTER.helpers - {macros.BPF_FUNC_printk},
    ),
    macros.BPF_PROG_TYPE_TRACING_2014: Profile(
        "TRACING", ProgType.RAW_TRACEPOINT, _MAPS | RENAMED.keys() | WRITTEN.keys(), CONTEXT_SIZE,
    ),
    macros.BPF_PROG_TYPE_USER_TRACING: Profile(
        "USER_TRACING", ProgType.RAW_TRACEPOINT, _MAPS | {macros.BPF_FUNC_ktime_get_ns},
        CONTEXT_SIZE, pointers=False,
    ),
}  # fmt: skip


class UnknownFunction(Exception):  # noqa: N818 - what happened
    """A program calls a function that its type does not have."""

    def __init__(self, function: int, pc: int, profile: Profile) -> None:
        super().__init__(f"{pc}: (85) call {function}\ninvalid func {function}: {profile.name} "
                         "programs may not call it\n")  # fmt: skip


def translate(insns: Sequence[Insn], profile: Profile) -> list[Insn]:
    """*insns* as a program of today.

    Raises:
        UnknownFunction: they call what programs of the type may not.
    """
    groups = _groups(insns, profile)
    starts, at = [], 0
    for group in groups:
        starts.append(at)
        at += len(group)
    own, added = _added(groups, at)
    starts.append(at)
    out: list[Insn] = []
    for pc, group in enumerate(groups):
        insn = group[-1]
        here = len(out) + len(group) - 1
        if _is_call(insn) and insn.imm in own:
            group[-1] = replace(insn, src=LOCAL, imm=own[insn.imm] - here - 1)
        else:
            group[-1] = _moved(insns[pc], insn, pc, here, starts)
        out += group
    return out + added


def _groups(insns: Sequence[Insn], profile: Profile) -> list[list[Insn]]:
    """What each slot of the program becomes; jumps and added functions are not placed yet."""
    groups: list[list[Insn]] = []
    wide = False
    for pc, insn in enumerate(insns):
        group = [insn]
        if not wide and _is_call(insn):
            if insn.imm not in profile.functions:
                raise UnknownFunction(insn.imm, pc, profile)
            if insn.imm == UPDATE:
                group = [Insn(0xB7, 4), insn]
            else:
                group = [replace(insn, imm=RENAMED.get(insn.imm, insn.imm))]
        wide = not wide and insn.code == WIDE
        groups.append(group)
    return groups


def _is_call(insn: Insn) -> bool:
    return insn.code == CALL and insn.src == 0


def _added(groups: list[list[Insn]], end: int) -> tuple[dict[int, int], list[Insn]]:
    """The functions that stand behind the program: where each begins, and their code."""
    called = {group[-1].imm for group in groups if _is_call(group[-1])}
    own: dict[int, int] = {}
    code: list[Insn] = []
    for function in sorted(called & WRITTEN.keys()):
        own[function] = end + len(code)
        code += assemble(WRITTEN[function])
    return own, code


def _moved(old: Insn, insn: Insn, pc: int, here: int, starts: list[int]) -> Insn:
    """*insn* with its jump, if it is one, to where its target has gone."""
    last = len(starts) - 1

    def target(distance: int) -> int:
        to = pc + 1 + distance
        return starts[to] - here - 1 if 0 <= to <= last else distance

    if old.code & 7 in JUMPS and old.code not in (CALL, EXIT):
        far = old.code == GOTO_FAR
        return replace(insn, imm=target(old.imm)) if far else replace(insn, off=target(old.off))
    if (old.code == CALL and old.src == LOCAL) or (old.code == WIDE and old.src == CODE_OF):
        return replace(insn, imm=target(old.imm))
    return insn
