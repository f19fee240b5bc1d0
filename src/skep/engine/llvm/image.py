"""Images: a proof as the start tier runs it, written at the speed of copying bytes.

An image is the program's own slots, eight bytes each, and behind them pairs of words that slots
lead to: ``imm`` is then the distance in bytes from the slot to its pair. It differs from the
proof's instructions where those that the kernel runs do, too::

    instruction             in the image
    call of a helper        imm leads to {its address, what dst gets before}; dst is r0
    call of a kfunc         the same; dst is what follows its registers, if it is told something
    bpf_tail_call           opcode TAIL_CALL
    bpf_throw               opcode THROW
    any call                off: what follows if what it ran has thrown
    load of a kernel object opcode ^ GUARDED; imm leads to {first address, address past the last}
    LD_IMM64                the constant or address in both slots, src 0
    what no path reaches    opcode 0, which ends the process

Source: Linux kernel/bpf/verifier.c (bpf_do_misc_fixups), kernel/bpf/fixups.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from skep.base.bits import U64
from skep.engine.interface import HelperCode, KfuncCode
from skep.engine.llvm.control import CALLING, missing_helper, missing_kfunc
from skep.engine.llvm.control import TAIL_CALL as TAIL_CALL_HELPER
from skep.engine.llvm.control import THROW as THROW_KFUNC
from skep.engine.llvm.handlers import (
    GUARDED,
    LEAVE,
    LEAVE_CALLBACK,
    LEAVE_MAIN,
    STAY,
    TAIL_CALL,
    THROW,
)
from skep.errors import InternalError, NotSupported
from skep.isa.codec import SLOT_SIZE, encode
from skep.isa.insn import Insn
from skep.isa.table import BY_NAME, LD_IMM64, Sem, op_of
from skep.verifier.interface import CallFact, Memory, Proof, Subprogram

CALL: Final = BY_NAME["call_helper"].code
# what a guarded load-acquire is in images: nothing is reordered from one handler to another
LOADS: Final = {size: BY_NAME[f"ldx_u{8 * size}"].code for size in (1, 2, 4, 8)}
SOURCES: Final = frozenset({Sem.MAP_FD, Sem.MAP_IDX})
SHOWN: Final = bytes([0, *[255] * 255])  # seen or not as a mask of opcodes
ARGUMENTS: Final = 5
_HEAD: Final = struct.Struct("<BBhi")
_IMM: Final = struct.Struct("<i")
_PAIR: Final = struct.Struct("<QQ")

Function = HelperCode | KfuncCode
AddressOf = Callable[[Function], int]


class Reach:
    """What programs of one engine can reach.

    Args:
        helpers: code of helpers by id.
        kfuncs: code of kernel functions by name.
        address_of: machine address of such code.
        objects: address and size of the region of kernel objects.
    """

    def __init__(
        self,
        helpers: Mapping[int, HelperCode],
        kfuncs: Mapping[str, KfuncCode],
        address_of: AddressOf,
        objects: tuple[int, int],
    ) -> None:
        self.helpers, self.kfuncs, self.address_of = helpers, kfuncs, address_of
        start, size = objects
        self.objects = (start, start + size) if size else (U64, U64)


def write(proof: Proof, reach: Reach, entrance: Callable[[int], int]) -> bytes:
    """The image of *proof*, which has no arena.

    *entrance* gives addresses of its functions by their first slots.

    Raises:
        NotSupported: the program uses something that no engine here runs.
    """
    return _Image(proof, reach, entrance).whole()


class _Image:
    def __init__(self, proof: Proof, reach: Reach, entrance: Callable[[int], int]) -> None:
        self.proof, self.reach, self.entrance = proof, reach, entrance
        self.slots = bytearray(encode(proof.insns))
        self.pairs: dict[tuple[int, int], int] = {}  # to their places
        self.throws = any(fact.kfunc == THROW_KFUNC for fact in proof.calls.values())

    def whole(self) -> bytes:
        opcodes = self._seen_opcodes()
        self.slots[::SLOT_SIZE] = opcodes
        for pc in _places(opcodes, CALL):
            self._call(pc)
        for pc in _places(opcodes, LD_IMM64):
            if self.proof.insns[pc].src:
                self._constant(pc)
        for pc in _places(self.proof.memory, Memory.BTF):
            self._guard(pc)
        return bytes(self.slots) + b"".join(_PAIR.pack(*pair) for pair in self.pairs)

    def _seen_opcodes(self) -> bytes:
        """The opcodes, 0 where no path came."""
        seen, codes = self.proof.seen.translate(SHOWN), bytes(self.slots[::SLOT_SIZE])
        both = int.from_bytes(seen, "little") & int.from_bytes(codes, "little")
        return both.to_bytes(len(codes), "little")

    def _put(self, pc: int, insn: Insn) -> None:
        registers = insn.dst | insn.src << 4
        _HEAD.pack_into(self.slots, SLOT_SIZE * pc, insn.code, registers, insn.off, insn.imm)

    def _pair(self, pc: int, first: int, second: int) -> int:
        """How far the pair of these words is from slot *pc*."""
        place = self.pairs.setdefault((first, second), len(self.pairs))
        return len(self.slots) + _PAIR.size * place - SLOT_SIZE * pc

    def _guard(self, pc: int) -> None:
        insn, op = self.proof.insns[pc], op_of(self.proof.insns[pc])
        if op is None or op.sem not in (Sem.LOAD, Sem.LOAD_ACQUIRE):
            return  # stores to kernel objects were proved to be inside
        code = LOADS[op.size] if op.sem is Sem.LOAD_ACQUIRE else insn.code
        imm = self._pair(pc, *self.reach.objects)
        self._put(pc, Insn(code ^ GUARDED, insn.dst, insn.src, insn.off, imm))

    def _constant(self, pc: int) -> None:
        """LD_IMM64 of something whose address is known only here."""
        value = self._address(pc) & U64
        slots, place = self.slots, SLOT_SIZE * pc
        slots[place + 1] = self.proof.insns[pc].dst
        slots[place + 4 : place + 8] = value.to_bytes(8, "little")[:4]
        slots[place + 12 : place + 16] = value.to_bytes(8, "little")[4:]

    def _address(self, pc: int) -> int:
        proof, op = self.proof, op_of(self.proof.insns[pc])
        assert op is not None
        if op.sem is Sem.FUNC:
            return self.entrance(proof.callback_at[pc])
        if op.sem is Sem.BTF_ID:
            name = proof.btf_address_at.get(pc, ("?", 0))[0]
            raise NotSupported(f"the address of kernel symbol {name}")
        shape = proof.map_at[pc]
        if op.sem in SOURCES:
            return shape.address
        base = shape.value_address(0)
        if base is None:
            raise InternalError(f"insn {pc}: map {shape.id} has no direct values")
        return base + proof.insns[pc + 1].imm

    def _call(self, pc: int) -> None:
        insn, fact = self.proof.insns[pc], self.proof.calls.get(pc)
        op = op_of(insn)
        assert op is not None
        if op.sem is Sem.LOCAL:
            self._put(pc, Insn(CALL, 0, insn.src, self._after(pc), insn.imm))
        elif op.sem is Sem.KFUNC:
            self._call_kfunc(pc, fact)
        elif insn.imm == TAIL_CALL_HELPER:
            self._put(pc, Insn(TAIL_CALL))
        else:
            code = self.reach.helpers.get(insn.imm)
            if code is None:
                raise missing_helper(insn.imm)
            after = self._after(pc) if insn.imm in CALLING else STAY
            if code.known is None:
                self._put_call(pc, code, after)
            else:
                self._put_call(pc, code, after, ARGUMENTS, code.known(self.proof) & U64)

    def _call_kfunc(self, pc: int, fact: CallFact | None) -> None:
        name = fact.kfunc if fact else str(self.proof.insns[pc].imm)
        if fact and name == THROW_KFUNC:
            self._put(pc, Insn(THROW, 0, 0, self._after(pc)))
            return
        code = self.reach.kfuncs.get(name)
        if fact is None or code is None:
            raise missing_kfunc(name)
        if code.known is None:
            self._put_call(pc, code, STAY)
            return
        if code.registers >= ARGUMENTS:
            raise InternalError(f"{name} is told something in the place of r6")
        known = code.known(self.proof, fact) & U64
        self._put_call(pc, code, STAY, code.registers + 1, known)

    def _put_call(
        self, pc: int, code: Function, after: int, register: int = 0, known: int = 0
    ) -> None:
        imm = self._pair(pc, self.reach.address_of(code), known)
        self._put(pc, Insn(CALL, register, 0, after, imm))

    def _after(self, pc: int) -> int:
        """What follows at slot *pc* if what it called has thrown."""
        if not self.throws:
            return STAY
        part = next(part for part in self.proof.subprograms if part.start <= pc < part.end)
        return _leaving(part)


def _leaving(part: Subprogram) -> int:
    if part.start == 0:
        return LEAVE_MAIN
    return LEAVE_CALLBACK if part.is_callback else LEAVE


def _places(bytes_: bytes, byte: int) -> Iterator[int]:
    """Where in *bytes_* the *byte* stands."""
    place = bytes_.find(byte)
    while place >= 0:
        yield place
        place = bytes_.find(byte, place + 1)
