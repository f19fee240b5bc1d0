"""Hints on loads and stores, and on the numbers that say where they go and how far."""

from typing import Final

from skep.isa.table import Kind, Sem
from skep.uapi.access import access
from skep.uapi.contexts import Context, Field
from skep.uapi.contexts import by_name as context_by_name
from skep.uapi.helper_rows_tracing import GET_CURRENT_TASK
from skep.uapi.program_types import by_id, effective_attach_type
from skep.verifier.scalar import Scalar
from skep.verifier.story import Comparison, Origin, Story
from skep.verifier.values import (
    BTF_ID,
    CTX,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    PACKET,
    PACKET_END,
    SOCKET,
    Pointer,
)

_STORES: Final = (Kind.STORE_REG, Kind.STORE_IMM)
_MOST_NAMES: Final = 12
_CURRENT_TASK: Final = GET_CURRENT_TASK.id

# --- packets ----------------------------------------------------------------------------------


def packet(story: Story) -> str:
    """Advice on an access beyond what was compared with the end of the packet."""
    step, pointer = story.step, story.pointer
    if step is None or pointer is None:
        return ""
    checked, compared = _last_check(story)
    if compared is not None and not compared.var.is_const and pointer.var.is_const:
        most = compared.var.umax + compared.off
        return (
            f"{story.named(checked)} compares data plus {compared.var.umin + compared.off} to "
            f"{most} bytes with data_end, so as little as the former may be there: compare what is "
            "accessed, too"
        )
    if pointer.range > 0:
        end = f"the access ends at byte {pointer.off + step.off + step.size}"
        need = end if step.kind is not Kind.CALL else "the helper is given more"
        return f"only {pointer.range} bytes were compared with data_end, {need}: compare all of it"
    if checked < 0:
        return ""
    where = story.named(checked)
    if not pointer.var.is_const:
        return f"{where} was made before a variable offset was added: compare the sum with data_end"
    return (
        f"{where} compares another copy of the pointer: the compiler loaded it twice, or the check "
        "moved; access memory through the pointer that was compared, barrier_var() keeps it"
    )


def _last_check(story: Story) -> tuple[int, Pointer | None]:
    """The last comparison of a pointer with the end of the packet: its slot, the pointer."""
    checked, compared = -1, None
    for entered in story.path:
        jump = story.program.steps[entered.pc]
        if jump is None or jump.kind is not Kind.JUMP or not jump.reg_source:
            continue
        sides = (entered.frame.regs[jump.dst], entered.frame.regs[jump.src])
        if any(isinstance(side, Pointer) and side.kind == PACKET_END for side in sides):
            checked = entered.pc
            for side in sides:
                if isinstance(side, Pointer) and side.kind == PACKET:
                    compared = side
    return checked, compared


# --- what is no address -----------------------------------------------------------------------


def address(story: Story) -> str:
    """Advice on memory that is accessed through a number."""
    register, value = story.register, story.value
    if register < 0 or isinstance(value, Pointer):
        return ""
    return unusable(story, register) or _loaded_address(story, register)


def unusable(story: Story, register: int) -> str:
    """Why a register holds no pointer any more: the packet moved, or what it pointed to is gone."""
    lost = story.lost_at(register)
    if lost is None:
        return ""
    pc, old = lost
    if old.kind == PACKET:
        return (
            f"{story.named(pc)} may have moved the packet: load data and data_end again behind it, "
            "and compare again"
        )
    if old.ref_id:
        return f"{story.named(pc)} released it: use it before, and only once"
    return ""


def _loaded_address(story: Story, register: int) -> str:
    value, origin = story.value, story.origin(register)
    if isinstance(value, Scalar) and value.is_number(0):
        return "it is NULL on this path: leave the function where it is found to be"
    if origin is None or origin.number >= len(story.path):
        return ""
    entered = story.path[origin.number]
    load = story.program.steps[entered.pc]
    if load is None:
        return ""
    where = story.named(entered.pc)
    if load.kind is Kind.CALL and load.sem is Sem.HELPER and load.imm == _CURRENT_TASK:
        return f"what {where} returns is a number: bpf_get_current_task_btf() returns a pointer"
    if load.kind not in (Kind.LOAD, Kind.LOAD_SX):
        return ""
    base = entered.frame.regs[load.src]
    if isinstance(base, Pointer) and base.kind == MAP_VALUE:
        return (
            f"what {where} loads from a map is a number, even if a pointer was stored there: look "
            "the object up again, or keep it in a field declared __kptr"
        )
    return (
        f"what {where} loads is a number: read what it points to with bpf_probe_read_kernel() or "
        "BPF_CORE_READ(), or, if it is an address of the process, with bpf_probe_read_user()"
    )


# --- numbers ----------------------------------------------------------------------------------


def bounds(story: Story) -> str:
    """Advice on a number without bounds: was another copy of it compared?"""
    origin = _offset(story)
    if origin is None:
        return _constant(story)
    latest = story.comparisons[::-1]
    ordering = [comparison for comparison in latest if comparison.orders]
    for comparison in ordering + [each for each in latest if not each.orders]:
        other = comparison.origin
        where = story.named(comparison.pc)
        if other.number == origin.number:
            return _lost(story, comparison, origin)
        if other.key and other.key == origin.key:
            return (
                f"{where} checks what insn {other.pc} loaded, and insn {origin.pc} loads it again: "
                "it may have changed; keep the value in a local variable"
            )
    if story.refused.rule == "pointer-offset-bounded":
        return ""
    return f"nothing bounds what {story.named(origin.pc)} gave: {_wanted(story)}"


def _number(story: Story) -> Scalar | None:
    """The number that is too large, or may be negative."""
    step, value = story.step, story.value
    if step is None:
        return None
    if step.kind is Kind.ALU:
        for register in (step.src, step.dst) if step.reg_source else (step.dst,):
            operand = story.frame.regs[register]
            if isinstance(operand, Scalar):
                return operand
        return None
    if step.kind is Kind.CALL:
        sizes = [story.frame.regs[register] for register in (story.register, story.register + 1)]
        return next((size for size in sizes if isinstance(size, Scalar)), None)
    return value.var if isinstance(value, Pointer) else value


def _offset(story: Story) -> Origin | None:
    """Where the number came from that is too large, or may be negative."""
    step = story.step
    if step is None:
        return None
    if step.kind is Kind.ALU:
        register = step.src if step.reg_source else step.dst
        if not isinstance(story.frame.regs[register], Scalar):
            register = step.dst
        return story.origin(register)
    register, pointer = story.register, story.pointer
    if pointer is None:
        return story.origin(register)
    place = (story.frame.number, register)
    if step.kind is Kind.CALL and place not in story.added:
        return story.origin(register + 1)  # the size stands behind the pointer
    return story.added.get(place)


def _lost(story: Story, comparison: Comparison, origin: Origin) -> str:
    other, where = comparison.origin, story.named(comparison.pc)
    if (comparison.half or other.low) and not origin.low:
        return (
            f"{where} bounds the lower 32 bits only, and all 64 are used: compare the 64-bit "
            "value, or use the 32-bit one"
        )
    slot = origin.slot if origin.slot >= 0 else other.slot
    if slot >= 0:
        return (
            f"{where} bounds another copy: the value went through the stack at fp-{8 * slot + 8} "
            "and its bound was lost; compare it once more where it is used"
        )
    number = _number(story)
    if number is not None and number.smin < 0:
        return (
            f"{where} bounds the value, but not on both sides: it may be negative; make it "
            "unsigned, or compare it with 0 as well"
        )
    return f"{where} bounds the value, but not enough: {_wanted(story)}"


def _wanted(story: Story) -> str:
    """What the number has to be compared with."""
    number, most = _number(story), _most(story)
    if most < 0 or number is None:
        return "make it unsigned, and compare it with the size right before its use"
    if number.smin < 0 <= most:
        return f"compare it first; from 0 to {most} stays inside of the object"
    return f"it may be up to {number.umax}, and no more than {most} stays inside of the object"


def _most(story: Story) -> int:
    """The greatest number that keeps the access inside of its memory; -1 if that is not known."""
    step, pointer = story.step, story.pointer
    if step is None or pointer is None:
        return -1
    room = _room(pointer)
    if step.kind is Kind.CALL:
        return room - pointer.off - (0 if pointer.var.is_const else pointer.var.umax)
    return room - pointer.off - step.off - step.size if room >= 0 else -1


def _room(pointer: Pointer) -> int:
    """Bytes of the object that *pointer* points into; -1 if that is not known."""
    if pointer.kind == MEM:
        return pointer.size
    shape = pointer.map
    if shape is None:
        return -1
    return {MAP_VALUE: shape.value_size, MAP_KEY: shape.key_size}.get(pointer.kind, -1)


def _constant(story: Story) -> str:
    """Advice on an access at a known place outside of its memory."""
    step, pointer = story.step, story.pointer
    if step is None or pointer is None or step.kind is Kind.CALL or not pointer.var.is_const:
        return ""
    room = _room(pointer)
    first = pointer.off + int(pointer.var.smin) + step.off
    inside = first >= 0 and first + step.size <= room
    if room < 0 or inside:
        return ""
    return (
        f"the object has {room} bytes, and the access takes bytes {first} to "
        f"{first + step.size - 1}: is the type, or the size of the map's values, the right one?"
    )


def zero_size(story: Story) -> str:
    """Advice on a size that may be 0."""
    register = story.register
    number = story.frame.regs[register] if register > 0 else None
    buffer = story.frame.regs[register - 1] if register > 1 else None
    room = _room(buffer) if isinstance(buffer, Pointer) else -1
    more = ""
    if isinstance(number, Scalar) and (number.smin < 0 or number.umax >= 1 << 29):
        more = ", and bound it by the size of the buffer" + (f", {room}" if room >= 0 else "")
    return (
        f"the size in r{register} may be 0: leave the function if it is{more}; clang may drop a "
        "comparison that it holds to be needless, barrier_var() keeps it"
    )


# --- contexts ---------------------------------------------------------------------------------


def context_field(story: Story) -> str:
    """Advice on an access of a context that hits no field as it may be accessed."""
    step, pointer = story.step, story.pointer
    if step is None or pointer is None or step.kind is Kind.CALL:
        return ""
    if "doesn't have" in story.refused.detail:
        return "take no more arguments than the function has, BPF_PROG() included"
    context = context_by_name(story.request.program_type.context)
    if context is None or pointer.kind != CTX:
        return ""
    at = pointer.off + step.off
    if at < 0 or at >= context.size:
        return f"struct {context.name} has {context.size} bytes, and the access begins at byte {at}"
    fields = [field for field in context.fields if field.offset <= at < field.offset + field.size]
    if not fields:
        return f"struct {context.name} has no field at byte {at} that programs may access"
    if step.kind in _STORES:
        return _not_written(story, context, fields[-1], step.size)
    return _not_read(story, fields[-1], at, step.size)


def _not_read(story: Story, field: Field, at: int, size: int) -> str:
    own = story.request.program_type
    if field.readers and own.id not in field.readers:
        return f"{own.name} programs may not read {field.name}; {_types(field.readers)} may"
    if size not in field.reads or at % size or (field.at_start and at != field.offset):
        whole = field.reads == (field.size,) or field.at_start
        sizes = " or ".join(str(number) for number in field.reads) or "no"
        way = "whole" if whole else f"{sizes} bytes at a time, aligned"
        return f"{field.name} is {field.size} bytes at offset {field.offset}: load it {way}"
    if field.read_on:
        return f"{field.name} may be read under other attach types only"
    return ""


def _not_written(story: Story, context: Context, field: Field, size: int) -> str:
    own = story.request.program_type
    if field.writes and own.id in (field.writers or (own.id,)) and size not in field.writes:
        sizes = " or ".join(str(number) for number in field.writes)
        return f"store to {field.name} {sizes} bytes at a time"
    attach_type = effective_attach_type(own, story.request.expected_attach_type)
    others = [
        each.name
        for each in context.fields
        if any(access(context, own.id, attach_type, each.offset, n, True) for n in each.writes)
    ]
    names = ", ".join(dict.fromkeys(others)) or "nothing"
    return f"{own.name} programs may not write {field.name}; what they may write is {names}"


def _types(numbers: tuple[int, ...]) -> str:
    rows = [by_id(number) for number in numbers[:_MOST_NAMES]]
    return ", ".join(row.name for row in rows if row is not None)


def unmodified(story: Story) -> str:
    """Advice on a pointer that must be used as it was given."""
    step, pointer = story.step, story.pointer
    if step is None or pointer is None:
        return ""
    if pointer.kind == CTX and step.kind is not Kind.CALL:
        return (
            "the context is accessed at constant offsets: load its fields into variables, and "
            "choose among those"
        )
    if step.kind is Kind.CALL:
        return f"pass the pointer as it was given, without the {pointer.off} bytes added to it" * (
            pointer.var.is_const
        )
    if pointer.kind in (BTF_ID, SOCKET) and not pointer.var.is_const:
        return "members are accessed at constant offsets: read elements of arrays one by one"
    return ""


def read_only(story: Story) -> str:
    """Advice on a store to what programs may only read."""
    pointer = story.pointer
    if pointer is None or pointer.kind not in (MAP_VALUE, BTF_ID):
        return ""
    if pointer.kind == BTF_ID:
        return "objects of the kernel are read by programs, and changed by kernel functions only"
    return (
        "a variable that is declared const, and a map with BPF_F_RDONLY_PROG, cannot be written by "
        "programs: drop the const, or write elsewhere"
    )
