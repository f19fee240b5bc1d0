"""What load, store and atomic instructions do to a state.

Source: Linux 6.18 kernel/bpf/verifier.c (check_load_mem, check_store_reg, check_atomic,
check_ld_abs, save_aux_ptr_type).
"""

from typing import Final

from skep.isa.table import Kind, Sem
from skep.verifier.check import Check
from skep.verifier.interface import Memory
from skep.verifier.program import Step
from skep.verifier.rules.memory import (
    ATOMIC_TARGET,
    LEGACY_LOAD_ALLOWED,
    LEGACY_LOAD_CONTEXT,
    NO_ADDRESS_STORED,
    SAME_KIND,
)
from skep.verifier.scalar import UNKNOWN, ZERO
from skep.verifier.slot_sets import slot_bit
from skep.verifier.spelling import type_text
from skep.verifier.state import SLOT_SIZE
from skep.verifier.transfer.accesses import read_memory, write_memory
from skep.verifier.transfer.arithmetic import require_writable
from skep.verifier.transfer.regions import require_aligned, require_unmodified
from skep.verifier.transfer.returns import require_nothing_held
from skep.verifier.transfer.stack import ANYTHING, IMMEDIATE, read_stack
from skep.verifier.transfer.stack_ranges import slot_of
from skep.verifier.transfer.subprograms import return_to_caller
from skep.verifier.values import (
    ARENA,
    BTF_ID,
    BUF,
    CONST_MAP_PTR,
    CTX,
    FLOW_KEYS,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    PACKET,
    PACKET_END,
    PACKET_META,
    SOCK_COMMON,
    SOCKET,
    STACK,
    TCP_SOCK,
    TP_BUFFER,
    UNTRUSTED,
    XDP_SOCK,
    Pointer,
    Value,
)

_LOAD_SX: Final = Kind.LOAD_SX
_STORE_IMM: Final = Kind.STORE_IMM
_MEMORY_OF: Final[dict[int, Memory]] = {
    STACK: Memory.STACK,
    CTX: Memory.CONTEXT,
    MAP_VALUE: Memory.MAP_VALUE,
    MAP_KEY: Memory.MEMORY,
    PACKET: Memory.PACKET,
    PACKET_META: Memory.PACKET,
    FLOW_KEYS: Memory.MEMORY,
    SOCKET: Memory.MEMORY,
    SOCK_COMMON: Memory.MEMORY,
    TCP_SOCK: Memory.MEMORY,
    XDP_SOCK: Memory.MEMORY,
    TP_BUFFER: Memory.MEMORY,
    BUF: Memory.MEMORY,
    MEM: Memory.MEMORY,
    BTF_ID: Memory.BTF,
    CONST_MAP_PTR: Memory.BTF,
    ARENA: Memory.ARENA,
}
# Accesses of these are rewritten, or may fault: so an instruction keeps to one of them.
_BITWISE: Final = frozenset((Sem.AND, Sem.OR, Sem.XOR))
_DISTINCT: Final = frozenset((CTX, SOCKET, SOCK_COMMON, TCP_SOCK, XDP_SOCK, BTF_ID, ARENA))
_NO_ATOMICS: Final = frozenset(
    (
        CTX, PACKET, PACKET_META, PACKET_END, FLOW_KEYS, SOCKET, SOCK_COMMON, TCP_SOCK, XDP_SOCK,
    )
)  # fmt: skip


def note_access(check: Check, value: Value, trust_may_differ: bool = False) -> None:
    """Record what the current instruction touches, and require that it is always of one kind."""
    if not isinstance(value, Pointer):
        return
    first = check.step.accessed
    if first is not None and first.kind == value.kind and first.flags == value.flags:
        return
    pc = check.pc
    memory = _memory_of(value)
    if first is None:
        check.step.accessed = value
        check.memory[pc] = memory
        return
    if not (trust_may_differ and _differ_in_trust(first, value)) and (
        first.kind in _DISTINCT or value.kind in _DISTINCT
    ):
        check.refuse(
            SAME_KIND,
            "same insn cannot be used with different pointers",
            found=f"{type_text(first)} and {type_text(value)}",
        )
    if check.memory[pc] != memory:
        faulting = Memory.BTF in (memory, check.memory[pc])
        check.memory[pc] = Memory.BTF if faulting else Memory.MEMORY


def _memory_of(value: Pointer) -> int:
    if value.kind == MEM and value.flags & UNTRUSTED:
        return Memory.BTF
    return _MEMORY_OF.get(value.kind, Memory.UNKNOWN)


def _differ_in_trust(x: Pointer, y: Pointer) -> bool:
    return x.kind in (BTF_ID, MEM) and y.kind in (BTF_ID, MEM)


def load(check: Check, step: Step) -> None:
    """``dst = *(size *)(src + off)``, zero- or sign-extended."""
    pointer = check.read(step.src)
    require_writable(check, step.dst)
    signed = step.kind is _LOAD_SX
    value = read_memory(check, step.src, step.off, step.size, signed=signed)
    note_access(check, pointer, trust_may_differ=True)
    check.frame.regs[step.dst] = value


def store(check: Check, step: Step) -> None:
    """``*(size *)(dst + off) = src`` or an immediate."""
    immediate = step.kind is _STORE_IMM
    if not immediate:
        check.read(step.src)
    pointer = check.read(step.dst)
    write_memory(check, step.dst, step.off, step.size, IMMEDIATE if immediate else step.src)
    note_access(check, pointer)
    _note_store(check, step, pointer)


def _note_store(check: Check, step: Step, value: Value) -> None:
    """Record which slot the store overwrites whole, if any."""
    instance = check.frame.instance
    if instance is None:
        return
    if isinstance(value, Pointer) and value.kind == STACK:
        off = value.off + int(value.var.smin) + step.off
        if step.size == SLOT_SIZE and value.var.is_const and off % SLOT_SIZE == 0:
            instance.note_store(value.frame, step.pc, slot_bit(slot_of(off)))
            return
    instance.note_store(0, step.pc, 0)


# --- atomics ----------------------------------------------------------------------------------


def atomic(check: Check, step: Step) -> None:
    """An atomic operation, load or store."""
    if step.sem is Sem.LOAD_ACQUIRE:
        _require_atomic_target(check, step.src, "loads from")
        pointer = check.read(step.src)
        require_writable(check, step.dst)
        value = read_memory(check, step.src, step.off, step.size, strict=True)
        note_access(check, pointer)
        check.frame.regs[step.dst] = value
    elif step.sem is Sem.STORE_RELEASE:
        check.read(step.src)
        pointer = check.read(step.dst)
        write_memory(check, step.dst, step.off, step.size, step.src, strict=True)
        note_access(check, pointer)
        _require_atomic_target(check, step.dst, "stores into")
    else:
        _modify(check, step)


def _modify(check: Check, step: Step) -> None:
    source = check.read(step.src)
    pointer = check.read(step.dst)
    if step.sem is Sem.CMPXCHG:
        _require_number(check, check.read(0), 0)
    _require_number(check, source, step.src)
    _require_atomic_target(check, step.dst, "stores into", step.op.fetch and step.sem in _BITWISE)
    if isinstance(pointer, Pointer) and pointer.kind == STACK:
        require_aligned(check, pointer, step.off, step.size, True)
        read_stack(check, pointer, step.dst, step.off + pointer.off, step.size, False)
    if step.op.fetch and step.sem is not Sem.CMPXCHG:
        require_writable(check, step.src)
    loaded = 0 if step.sem is Sem.CMPXCHG else step.src
    if step.op.fetch and loaded == step.dst:
        # Linux overwrites the register before it looks at the address in it, so it refuses.
        check.frame.regs[loaded] = UNKNOWN
    old = read_memory(check, step.dst, step.off, step.size, strict=True)
    note_access(check, pointer)
    write_memory(check, step.dst, step.off, step.size, ANYTHING, strict=True)
    if step.op.fetch:
        check.frame.regs[loaded] = old


def _require_number(check: Check, value: Value, register: int) -> None:
    if not check.privileged and isinstance(value, Pointer):
        check.refuse(NO_ADDRESS_STORED, f"R{register} leaks addr into mem")


def _require_atomic_target(check: Check, register: int, words: str, looped: bool = False) -> None:
    """Refuse atomics where memory is not plain; those that are *looped* fault in the middle.

    In arenas Linux's compiler for x86 has no fetching "and", "or" and "xor" for this reason.
    """
    value = check.read(register)
    if not isinstance(value, Pointer):
        return
    if value.kind in _NO_ATOMICS or (looped and value.kind == ARENA):
        check.refuse(
            ATOMIC_TARGET, f"BPF_ATOMIC {words} R{register} {type_text(value)} is not allowed"
        )


# --- other instructions -----------------------------------------------------------------------


def legacy_load(check: Check, step: Step) -> None:
    """BPF_LD_ABS, BPF_LD_IND: a big-endian load from the packet that ends the program if it fails.

    It is a call in disguise: r6 is the context, r0 to r5 are overwritten.
    """
    if not check.request.program_type.skb_loads:
        check.refuse(
            LEGACY_LOAD_ALLOWED,
            "BPF_LD_[ABS|IND] instructions not allowed for this program type",
        )
    for frame in check.state.frames:
        if frame.in_callback:
            check.refuse(LEGACY_LOAD_ALLOWED, "cannot use BPF_LD_[ABS|IND] within callback")
    skb = check.read(6)
    require_nothing_held(check, "BPF_LD_[ABS|IND]")
    if not isinstance(skb, Pointer) or skb.kind != CTX:
        check.refuse(LEGACY_LOAD_CONTEXT, "at the time of BPF_LD_ABS|IND R6 != pointer to skb")
    if step.sem is Sem.PACKET_IND:
        check.read(step.src)
    require_unmodified(check, skb, 6)
    check.memory[check.pc] = Memory.PACKET
    regs = check.frame.regs
    for number in range(1, 6):
        regs[number] = None
    regs[0] = UNKNOWN
    if len(check.state.frames) > 1:
        # Out of the packet's bounds it returns 0 from the subprogram.
        check.push_branch(step.next_pc)
        check.frame.regs[0] = ZERO
        return_to_caller(check, step)
