"""How the log writes values, slots and frames: ``R1=ctx() R10=fp0 fp-8=mmmm``.

Source: Linux 6.18 kernel/bpf/log.c (print_verifier_state and what it calls).
"""

from typing import Final

from skep.base.bits import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32, U64
from skep.btf.graph import Btf
from skep.verifier.scalar import Scalar
from skep.verifier.spelling import kind_text
from skep.verifier.state import (
    DYNPTR,
    ITER,
    ITER_ACTIVE,
    ITER_DRAINED,
    SPILL,
    Frame,
    Reference,
    Slot,
    StackObject,
)
from skep.verifier.values import (
    ARENA,
    BTF_ID,
    CONST_DYNPTR,
    CONST_MAP_PTR,
    DYNPTR_FILE,
    DYNPTR_LOCAL,
    DYNPTR_RINGBUF,
    DYNPTR_SKB,
    DYNPTR_SKB_META,
    DYNPTR_XDP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    NON_OWN_REF,
    PACKET,
    PACKET_META,
    STACK,
    Pointer,
    Value,
)

ALL: Final = -1  # every register, or every slot
SLOT_LETTERS: Final = "?rm0dif"  # by type of a stack byte
DYNPTR_NAMES: Final[tuple[tuple[int, str], ...]] = (
    (DYNPTR_LOCAL, "local"),
    (DYNPTR_RINGBUF, "ringbuf"),
    (DYNPTR_SKB, "skb"),
    (DYNPTR_XDP, "xdp"),
    (DYNPTR_SKB_META, "skb_meta"),
    (DYNPTR_FILE, "file"),
)


def signed_text(number: int) -> str:
    """A signed number: decimal if it has 16 bits, else hexadecimal of its 64 bits."""
    return str(number) if -0x8000 <= number <= 0x7FFF else f"{number & U64:#x}"


def unsigned_text(number: int) -> str:
    """An unsigned number: decimal up to 65535, else hexadecimal."""
    return str(number) if number <= 0xFFFF else f"{number:#x}"


def _bounds(scalar: Scalar) -> list[tuple[str, int]]:
    """Names and values of the bounds that say something, in the order of the log.

    Signed 32-bit bounds that would print in hexadecimal are not sign-extended.
    """
    low: int = scalar.s32_min
    high: int = scalar.s32_max
    rows: list[tuple[str, int, bool]] = [
        ("smin", scalar.smin, scalar.smin == S64_MIN),
        ("smax", scalar.smax, scalar.smax == S64_MAX),
        ("umin", scalar.umin, scalar.umin == 0),
        ("umax", scalar.umax, scalar.umax == U64),
        ("smin32", low if -0x8000 <= low <= 0x7FFF else low & U32, low == S32_MIN),
        ("smax32", high if -0x8000 <= high <= 0x7FFF else high & U32, high == S32_MAX),
        ("umin32", scalar.u32_min, scalar.u32_min == 0),
        ("umax32", scalar.u32_max, scalar.u32_max == U32),
    ]
    return [(name, value) for name, value, idle in rows if not idle]


def _range_parts(scalar: Scalar) -> list[str]:
    """Bounds as ``smin=smin32=0``: equal least, and equal greatest, ones are joined."""
    parts: list[str] = []
    rest = _bounds(scalar)
    while rest:
        name, value = rest.pop(0)
        same = [other for other, number in rest if number == value and other[1:4] == name[1:4]]
        rest = [row for row in rest if row[0] not in same]
        number = signed_text(value) if name[0] == "s" else unsigned_text(value)
        parts.append("=".join([name, *same, number]))
    if scalar.mask != U64:
        parts.append(f"var_off=({scalar.value:#x}; {scalar.mask:#x})")
    return parts


def scalar_text(scalar: Scalar, precise: bool = False) -> str:
    """A scalar, as ``scalar(smin=0,smax=255)`` or ``7``."""
    mark = "P" if precise else ""
    if scalar.is_const:
        value = scalar.value
        return mark + signed_text(value - (1 << 64) if value >> 63 else value)
    parts = _range_parts(scalar)
    if scalar.id:
        parts.insert(0, f"id={scalar.id}" + (f"{scalar.delta:+d}" if scalar.moved else ""))
    return f"{mark}scalar({','.join(parts)})"


def _type_name(btf: Btf | None, type_id: int) -> str:
    return btf.type(type_id).name if btf is not None and type_id else ""


def _kind_parts(pointer: Pointer) -> list[str]:
    """What only pointers of some kinds have, in the order of the log."""
    parts: list[str] = []
    if pointer.flags & NON_OWN_REF:
        parts.append("non_own_ref")
    if pointer.kind in (CONST_MAP_PTR, MAP_KEY, MAP_VALUE) and pointer.map is not None:
        name = getattr(pointer.map, "name", "")
        parts += [f"map={name}"] if name else []
        parts.append(f"ks={pointer.map.key_size},vs={pointer.map.value_size}")
    if pointer.off:
        parts.append(f"off={signed_text(pointer.off)}")
    if pointer.kind in (PACKET, PACKET_META):
        parts.append(f"r={unsigned_text(pointer.range & U64)}")
    if pointer.kind == MEM:
        parts.append(f"sz={unsigned_text(pointer.size)}")
    if pointer.kind == CONST_DYNPTR:
        parts.append(f"type={dynptr_name(pointer.flags)}")
    return parts


def pointer_text(pointer: Pointer, frame: int) -> str:
    """A pointer, as ``map_value(map=m,ks=4,vs=8)``; *frame* is the number of its holder's frame."""
    text = kind_text(pointer.kind, pointer.flags)
    if pointer.kind == ARENA:
        return text
    if pointer.kind == STACK:
        if pointer.frame != frame:
            text += f"[{pointer.frame}]"
        if pointer.var.is_const:
            return text + signed_text(pointer.off + pointer.var.smin)
    if pointer.kind == BTF_ID:
        text += _type_name(pointer.btf, pointer.btf_id)
    parts = [f"id={pointer.id}"] if pointer.id else []
    parts += [f"ref_obj_id={pointer.ref_id}"] if pointer.ref_id else []
    parts += _kind_parts(pointer)
    if not pointer.var.is_const:
        parts += _range_parts(pointer.var)
    elif pointer.var.value:
        parts.append(f"imm={signed_text(pointer.var.smin)}")
    return f"{text}({','.join(parts)})"


def dynptr_name(flavor: int) -> str:
    """Kind of a dynptr, as ``ringbuf``."""
    for flag, name in DYNPTR_NAMES:
        if flavor & flag:
            return name
    return "<invalid>"


def value_text(value: Value, frame: int = 0, precise: bool = False) -> str:
    """What a register of frame number *frame* holds."""
    if isinstance(value, Scalar):
        return scalar_text(value, precise)
    return pointer_text(value, frame)


def _object_text(where: str, thing: StackObject) -> str:
    if thing.kind == DYNPTR:
        parts = [f"id={thing.id}"] if thing.id else []
        parts += [f"ref_id={thing.ref_id}"] if thing.ref_id else []
        parts += [f"dynptr_id={thing.id}"] if thing.id else []
        return f"{where}=dynptr_{dynptr_name(thing.flavor)}({','.join(parts)})"
    name = _type_name(thing.btf, thing.btf_id).removeprefix("bpf_iter_") or "<invalid>"
    state = {ITER_ACTIVE: "active", ITER_DRAINED: "drained"}.get(thing.active, "<invalid>")
    return f"{where}=iter_{name}(ref_id={thing.ref_id},state={state},depth={thing.depth})"


def slot_text(slot: Slot, spi: int, frame: int, precise: bool = False) -> str:
    """A stack slot, as ``fp-8=mmmm``; "" for one that was never written or shows elsewhere."""
    if slot.types == bytes(8):
        return ""
    where = f"fp{-8 * (spi + 1)}"
    letters = "".join(SLOT_LETTERS[kind] for kind in slot.types)
    if slot.types[0] == SPILL and slot.value is not None:
        # bytes above a spill of less than eight stand first: the kernel counts from the top
        rest = letters[::-1].rstrip("r")
        return f"{where}={rest}{value_text(slot.value, frame, precise)}"
    if slot.types[0] in (DYNPTR, ITER) and slot.object is not None:
        return _object_text(where, slot.object) if slot.object.first else ""
    return f"{where}={letters[::-1]}"


def references_text(refs: tuple[Reference, ...]) -> str:
    """References held, as ``refs=2,5``; "" for none."""
    ids = [str(reference.id) for reference in refs if reference.id]
    return f"refs={','.join(ids)}" if ids else ""


def frame_parts(
    frame: Frame,
    refs: tuple[Reference, ...] = (),
    registers: int = ALL,
    slots: int = ALL,
    precise: tuple[int, int] = (0, 0),
) -> list[str]:
    """What is known in *frame*, in the order of the log.

    Args:
        frame: the frame.
        refs: what is held.
        registers: which registers to write, as a bit set.
        slots: which slots to write, as a bit set by number.
        precise: registers and slots whose exact value matters.
    """
    parts = [f"frame{frame.number}:"] if frame.number else []
    for number, value in enumerate(frame.regs):
        if value is not None and registers >> number & 1:
            mattered = precise[0] >> number & 1 == 1
            parts.append(f"R{number}={value_text(value, frame.number, mattered)}")
    for spi, slot in enumerate(frame.stack):
        if slots >> spi & 1:
            parts.append(slot_text(slot, spi, frame.number, precise[1] >> spi & 1 == 1))
    parts.append(references_text(refs))
    parts.append("cb" if frame.in_callback else "")
    parts.append("async_cb" if frame.in_async_callback else "")
    return [part for part in parts if part]


def register_set_text(registers: int) -> str:
    """A set of registers, as ``r1,r6``."""
    return ",".join(f"r{number}" for number in range(11) if registers >> number & 1)


def slot_set_text(slots: int) -> str:
    """A set of stack slots, as ``-8,-16``."""
    return ",".join(str(-8 * (spi + 1)) for spi in range(64) if slots >> spi & 1)
