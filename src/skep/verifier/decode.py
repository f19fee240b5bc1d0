"""From slots to steps: decode, find subprograms, resolve map references, check what is static.

The checks run in the kernel's order, since the first broken one decides the answer. Instructions
whose unused fields are not zero get a *fault*, which counts only if a path reaches them.

Source: Linux 6.18 kernel/bpf/verifier.c (add_subprog_and_kfunc, check_subprogs,
resolve_pseudo_ldimm64).
"""

import errno
from typing import Final

from skep.isa.insn import Insn
from skep.isa.table import (
    BY_NAME,
    JMP,
    JMP32,
    LD_IMM64,
    LDX,
    MODE_MEM,
    MODE_MEMSX,
    PSEUDO_CALL,
    PSEUDO_FUNC,
    PSEUDO_KFUNC_CALL,
    Kind,
    Op,
    Sem,
    group,
    known,
    op_of,
    reserved_field,
)
from skep.verifier.exceptions import exception_callback
from skep.verifier.interface import MapShape, Request
from skep.verifier.program import DST, IMM, OFF, SPECIAL, SRC, Function, Program, Step
from skep.verifier.report import Rejected
from skep.verifier.rules import flow
from skep.verifier.rules.rule import Rule

MAX_SLOTS: Final = 1_000_000
MAX_SLOTS_UNPRIVILEGED: Final = 4096
MAX_SUBPROGRAMS: Final = 256
MAX_MAPS: Final = 64
MAX_OFFSET: Final = 1 << 29
TAIL_CALL: Final = 12
ENOTSUPP: Final = 524  # the kernel's own, without a name in user space
MAP_TYPE_ARRAY: Final = 2
MAP_TYPE_ARENA: Final = 33
PAGE_SIZE: Final = 4096
CALL: Final = 0x85
EXIT: Final = 0x95
GOTOL: Final = 0x06
GOTOS: Final = (0x05, GOTOL)
PLAIN: Final[Op] = BY_NAME["mov64_imm"]  # stands for an instruction that has a fault


def refuse(rule: Rule, pc: int, detail: str, *, hint: str = "", errno: int = 0) -> Rejected:
    """Make the verdict of a static check."""
    return Rejected(rule, pc=pc, detail=detail, hint=hint, errno=errno)


def decode(request: Request, functions: list[Function] | None = None) -> Program:
    """Check everything about *request*'s instructions that needs no walk.

    Args:
        request: what is asked.
        functions: where its functions are, if they have been found.

    Raises:
        Rejected: a static rule does not hold.
    """
    insns = slots_of(request)
    found = find_functions(request) if functions is None else functions
    for function in found:
        _check_function(insns, function)
    return _resolve(request, insns, found)


def slots_of(request: Request) -> list[Insn]:
    """The instructions of *request*'s program; nobody changes them."""
    insns = request.insns
    return insns if isinstance(insns, list) else list(insns)


def find_functions(request: Request) -> list[Function]:
    """Find where the functions of *request*'s program start and end.

    Raises:
        Rejected: it is too long, or calls what is no function.
    """
    insns = slots_of(request)
    large = request.privileged or request.has_cap_bpf
    limit = MAX_SLOTS if large else MAX_SLOTS_UNPRIVILEGED
    if not 0 < len(insns) <= limit:
        raise refuse(flow.PROGRAM_SIZE, -1, f"{len(insns)} instructions")
    starts = _subprogram_starts(request, insns)
    catches = exception_callback(request)
    if catches and catches not in starts:
        if not 0 < catches < len(insns):
            raise refuse(flow.CALL_TARGET, -1, "call to invalid destination")
        starts = sorted([*starts, catches])
        if len(starts) > MAX_SUBPROGRAMS:
            raise refuse(flow.SUBPROGRAM_COUNT, -1, "too many subprograms")
    functions = [
        Function(number, start, starts[number + 1] if number + 1 < len(starts) else len(insns))
        for number, start in enumerate(starts)
    ]
    for function in functions:
        if catches and function.start == catches:
            function.catches()
    return functions


def _subprogram_starts(request: Request, insns: list[Insn]) -> list[int]:
    starts = {0}
    for pc, insn in enumerate(insns):
        if insn.code != CALL and insn.code != LD_IMM64:
            continue
        local = insn.code == CALL and insn.src == PSEUDO_CALL
        reference = insn.code == LD_IMM64 and insn.src == PSEUDO_FUNC
        kfunc = insn.code == CALL and insn.src == PSEUDO_KFUNC_CALL
        if not (local or reference or kfunc):
            continue
        if not (request.privileged or request.has_cap_bpf):
            raise refuse(
                flow.PRIVILEGED_CALL,
                pc,
                "loading/calling other bpf or kernel functions are allowed for "
                "CAP_BPF and CAP_SYS_ADMIN",
            )
        if kfunc:
            continue
        target = pc + insn.imm + 1
        if not 0 <= target < len(insns):
            raise Rejected(
                flow.CALL_TARGET,
                pc=pc,
                detail="call to invalid destination",
                found=f"the call leads to insn {target}",
            )
        starts.add(target)
        if len(starts) > MAX_SUBPROGRAMS:
            raise refuse(flow.SUBPROGRAM_COUNT, pc, "too many subprograms")
    return sorted(starts)


def _check_function(insns: list[Insn], function: Function) -> None:
    for pc in range(function.start, function.end):
        insn = insns[pc]
        code = insn.code
        if code == CALL and insn.src == 0 and insn.imm == TAIL_CALL:
            function.has_tail_call = True
        if code & 0xE7 in (0x20, 0x40):
            function.has_ld_abs = True
        if code & 7 not in (JMP, JMP32) or code & 0xF0 in (0x80, 0x90):
            continue
        target = pc + 1 + (insn.imm if code == GOTOL else insn.off)
        if not function.start <= target < function.end:
            raise refuse(flow.JUMP_IN_RANGE, pc, f"jump out of range from insn {pc} to {target}")
    last = insns[function.end - 1].code
    if last != EXIT and last not in GOTOS:
        raise refuse(flow.SUBPROGRAM_ENDS, function.end - 1, "last insn is not an exit or jmp")


def _resolve(request: Request, insns: list[Insn], functions: list[Function]) -> Program:
    size = len(insns)
    steps: list[Step | None] = [None] * size
    maps: list[MapShape] = []
    named: dict[int, MapShape] = {}  # by descriptor
    pc = 0
    previous = -1
    while pc < size:
        insn = insns[pc]
        if insn.code & 7 == LDX and (
            insn.code & 0xE0 not in (MODE_MEM, MODE_MEMSX) or insn.imm != 0
        ):
            raise refuse(flow.RESERVED_FIELDS, pc, "BPF_LDX uses reserved fields")
        wide = insn.code == LD_IMM64
        step = _wide(request, insns, pc, maps, named) if wide else _step(pc, insn)
        step.previous = previous
        steps[pc] = step
        previous = pc
        pc = step.next_pc
    program = Program(steps, functions)
    program.maps = maps
    return program


def _step(pc: int, insn: Insn) -> Step:
    op = op_of(insn)
    if op is None or not op.loadable:
        if not known(insn.code):
            raise refuse(flow.KNOWN_OPCODE, pc, f"unknown opcode {insn.code:02x}")
        step = Step(pc, insn, PLAIN)
        step.fault = _fault(insn, op)
    else:
        step = Step(pc, insn, op)
        if _is_suspect(insn, step.facts.reserved):
            step.fault = _fault(insn, op)
    if step.jumps:
        step.target = pc + 1 + (insn.imm if insn.code == GOTOL else insn.off)
    elif insn.code == CALL and insn.src == PSEUDO_CALL:
        step.target = pc + 1 + insn.imm
    return step


def _is_suspect(insn: Insn, reserved: int) -> bool:
    """Whether ``_fault`` may find something: it is a slow way to learn that nothing is wrong."""
    return (
        reserved >= SPECIAL
        or insn.src > 10
        or insn.dst > 10
        or (insn.off != 0 and reserved & OFF != 0)
        or (insn.imm != 0 and reserved & IMM != 0)
        or (insn.src != 0 and reserved & SRC != 0)
        or (insn.dst != 0 and reserved & DST != 0)
    )


def _fault(insn: Insn, op: Op | None) -> str:
    """What is wrong with fields of *insn*, in the kernel's words; "" if nothing is."""
    if op is None or not op.loadable:
        if group(insn.code) == "BPF_ATOMIC":
            return f"BPF_ATOMIC uses invalid atomic opcode {insn.imm & 0xFF:02x}"
        return f"{group(insn.code)} uses reserved fields"
    field = reserved_field(op, insn)
    if field:
        if op.kind is Kind.ADDR_SPACE_CAST:
            return "addr_space_cast insn can only convert between address space 1 and 0"
        if op.kind is Kind.MAY_GOTO:
            return f"invalid may_goto {field}"
        return f"{op.group} uses reserved fields"
    if insn.src > 10:
        return f"R{insn.src} is invalid"
    if insn.dst > 10:
        return f"R{insn.dst} is invalid"
    return ""


# --- wide instructions ------------------------------------------------------------------------


def _wide(
    request: Request,
    insns: list[Insn],
    pc: int,
    maps: list[MapShape],
    named: dict[int, MapShape],
) -> Step:
    insn = insns[pc]
    if pc + 1 >= len(insns) or _occupied(insns[pc + 1]):
        raise refuse(flow.WHOLE_WIDE, pc, "invalid bpf_ld_imm64 insn")
    second = insns[pc + 1]
    op = op_of(insn)
    if op is None:
        raise refuse(flow.WHOLE_WIDE, pc, "unrecognized bpf_ld_imm64 insn")
    step = Step(pc, insn, op)
    step.next_pc = pc + 2
    step.high = second.imm
    if insn.off != 0:
        step.fault = "BPF_LD_IMM64 uses reserved fields"
    elif insn.dst > 10:
        step.fault = f"R{insn.dst} is invalid"
    sem = op.sem
    if sem is Sem.FUNC:
        step.target = pc + 1 + insn.imm
    if sem is Sem.MAP_FD or sem is Sem.MAP_IDX:
        if second.imm != 0:
            raise refuse(flow.WHOLE_WIDE, pc, "unrecognized bpf_ld_imm64 insn")
        step.map = _map(request, step, maps, named)
    elif sem is Sem.MAP_VALUE or sem is Sem.MAP_IDX_VALUE:
        step.map = _map(request, step, maps, named)
        _check_direct_value(pc, step.map, second.imm & 0xFFFF_FFFF)
    return step


def _occupied(second: Insn) -> bool:
    return second.code != 0 or second.dst != 0 or second.src != 0 or second.off != 0


def _map(
    request: Request, step: Step, maps: list[MapShape], named: dict[int, MapShape]
) -> MapShape:
    fd = step.imm
    if step.sem is Sem.MAP_IDX or step.sem is Sem.MAP_IDX_VALUE:
        if request.fd_array is None:
            raise refuse(
                flow.MAP_FD,
                step.pc,
                "fd_idx without fd_array is invalid",
                errno=errno.EPROTO,
            )
        if not 0 <= fd < len(request.fd_array):
            raise refuse(flow.MAP_FD, step.pc, "fd_array is too short", errno=errno.EFAULT)
        fd = request.fd_array[fd]
    known = named.get(fd)
    if known is not None:
        return known
    shape = request.environment.map_by_fd(fd)
    if shape is None:
        raise refuse(flow.MAP_FD, step.pc, f"fd {fd} is not pointing to valid bpf_map")
    if shape not in maps:
        if len(maps) >= MAX_MAPS:
            raise refuse(
                flow.MAP_COUNT,
                step.pc,
                f"The total number of maps per program has reached the limit of {MAX_MAPS}",
            )
        maps.append(shape)
    named[fd] = shape
    return shape


def _check_direct_value(pc: int, shape: MapShape, off: int) -> None:
    if off >= MAX_OFFSET:
        raise refuse(flow.MAP_ADDRESS, pc, f"direct value offset of {off} is not allowed")
    if shape.map_type not in (MAP_TYPE_ARRAY, MAP_TYPE_ARENA):
        raise refuse(flow.MAP_ADDRESS, pc, "no direct value access support for this map type")
    detail = f"invalid access to map value pointer, value_size={shape.value_size} off={off}"
    if shape.map_type == MAP_TYPE_ARENA:
        if off > shape.max_entries * PAGE_SIZE:
            raise refuse(flow.MAP_ADDRESS, pc, detail, errno=errno.ERANGE)
        return
    if shape.max_entries != 1:
        raise refuse(flow.MAP_ADDRESS, pc, detail, errno=ENOTSUPP)
    if off >= shape.value_size:
        raise refuse(flow.MAP_ADDRESS, pc, detail)
