"""Proof to LLVM IR: functions, blocks, order; one instruction after another.

Each subprogram is a function ``u64 f(run, r1 .. r5)``; the first is ``main``, the only one that
others see. Slots that no path reaches are left out, and a jump that can only go one way becomes
that way, so nothing is written about what the verifier did not look at.
"""

from collections.abc import Iterator
from typing import Final

from skep.engine.arenas import arena_of, base_register
from skep.engine.hooks import NO_HOOKS, Hooks
from skep.engine.llvm import alu, arena, memory
from skep.engine.llvm.control import Ending, Site, call, packet_load, subprogram_symbol
from skep.engine.llvm.extents import extents
from skep.engine.llvm.frame import Frame, Kept
from skep.engine.llvm.hooked import with_hooks
from skep.engine.llvm.lines import Notes
from skep.engine.llvm.linkage import Linkage
from skep.engine.llvm.liveness import live_registers
from skep.engine.llvm.loops import tests_at_both_ends
from skep.engine.llvm.pointers import SECOND, is_address, pointer_operand, pointer_registers
from skep.engine.machinery import MAY_GOTO_LIMIT, exception_callback, spend
from skep.errors import InternalError, NotSupported
from skep.isa import flow
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, op_of
from skep.uapi.flags import MapType
from skep.verifier.interface import Memory, Proof, Subprogram

WITHOUT_OLD: Final = frozenset({Sem.MOV, Sem.SEXT8, Sem.SEXT16, Sem.SEXT32})
INLINE_SIZE: Final = 64  # slots up to which a subprogram is always inlined
ALL: Final = 0x7FF  # every register


def generate(
    proof: Proof,
    linkage: Linkage,
    objects: tuple[int, int] = (0, 0),
    *,
    metered: bool = False,
    notes: Notes | None = None,
    hooks: Hooks = NO_HOOKS,
) -> str:
    """Write the LLVM module of *proof*.

    Args:
        proof: the program.
        linkage: how it reaches maps and helpers; collects imports.
        objects: address and size of the region of kernel objects.
        metered: count back edges against the run block's FUEL.
        notes: say of all code which instruction it comes from.
        hooks: what runs instead of its functions, or before and after them.

    Raises:
        NotSupported: the program uses something that this engine cannot run.
    """
    start, size = objects
    region = memory.Objects(linkage.data(start) if size else "0", size)
    functions = [
        _Function(proof, linkage, part, region, metered).text(number, notes)
        for number, part in enumerate(proof.subprograms)
    ]
    for number, part in enumerate(proof.subprograms):
        if part.start in hooks:
            symbol = subprogram_symbol(part.start)
            functions[number] = with_hooks(functions[number], symbol, hooks[part.start], linkage)
    zero = f"{memory.ZERO} = internal constant [8 x i8] zeroinitializer, align 8\n"
    nodes = notes.text() if notes is not None else ""
    return linkage.text() + zero + "\n".join(functions) + nodes


def has_loops(proof: Proof) -> bool:
    """Tell whether an instruction may run more than once in a run, as far as jumps show."""
    if proof.callback_at:
        return True
    for pc, insn in enumerate(proof.insns):
        if insn.off >= 0 and insn.imm >= 0:
            continue  # neither field can be a distance backwards
        op = op_of(insn) if proof.seen[pc] else None
        target = flow.jump_target(pc, op, insn) if op is not None else None
        if target is not None and target <= pc:
            return True
    return False


class _Function:
    def __init__(
        self,
        proof: Proof,
        linkage: Linkage,
        part: Subprogram,
        objects: memory.Objects,
        metered: bool,
    ) -> None:
        self.proof, self.linkage, self.part, self.metered = proof, linkage, part, metered
        self.objects = objects
        throwing = frozenset(each.start for each in proof.subprograms if each.might_throw)
        self.ending = Ending(metered, throwing, exception_callback(proof), part)
        self.frame = Frame(min(-(-part.stack_depth // 8) * 8, 512))
        self.ops = {pc: op for pc, op in self._instructions() if self._is_seen(pc)}
        self.leaders = self._leaders()
        blocks = flow.blocks(proof.insns, part.start, part.end)
        self.live = live_registers(proof.insns, blocks)
        self.pointers = pointer_registers(proof, blocks)
        seen = [block for block in blocks if self._is_seen(block.start)]
        self.doubled = tests_at_both_ends(proof, seen)
        self.extents = extents(proof, seen)
        self.budget = ""  # pointer to what may_goto counts down

    def text(self, number: int, notes: Notes | None) -> str:
        """The function, the *number*-th."""
        body, part = self.frame.body, self.part
        self.frame.begin()
        if self.metered and part.is_callback:
            self._stop_without_fuel("1")
        self._reserve_budget()
        expected = part.start
        start = part.start  # of the block that is being written
        for pc, op in self.ops.items():
            if pc != expected:
                self._trap()
            if pc in self.leaders:
                self.frame.label(f"b{pc}", self._kept(pc))
                start = pc
            self._write(pc, op, notes)
            if self.doubled.get(start) == pc:
                self.frame.label(f"again{start}", self._kept(start))
                for again in range(start, pc + 1):
                    self._write(again, self.ops[again], notes)
            expected = pc + (2 if op.kind is Kind.WIDE else 1)
        self._trap()
        symbol, small = subprogram_symbol(part.start), part.end - part.start <= INLINE_SIZE
        note = notes.of_function(number) if notes is not None else ""
        if part.start == 0:
            return body.define(symbol, f"#0{note}")
        attributes = "#0 alwaysinline" if small else "#0"
        return body.define(symbol, attributes + note, "internal ")

    def _write(self, pc: int, op: Op, notes: Notes | None) -> None:
        if notes is not None:
            self.frame.body.note = notes.of_insn(pc)
        self._instruction(pc, op)

    def _instructions(self) -> Iterator[tuple[int, Op]]:
        insns, pc = self.proof.insns, self.part.start
        while pc < self.part.end:
            op = op_of(insns[pc])
            if op is None:
                raise InternalError(f"insn {pc}: opcode {insns[pc].code:#x} was proved")
            yield pc, op
            pc += 2 if op.kind is Kind.WIDE else 1

    def _is_seen(self, pc: int) -> bool:
        return self.part.start <= pc < self.part.end and bool(self.proof.seen[pc])

    def _trap(self) -> None:
        """End a block from which no path goes on, such as one whose last call never returns."""
        if not self.frame.body.closed:
            self.frame.body.emit("call void @llvm.trap()")
            self.frame.body.end("unreachable")

    def _leaders(self) -> set[int]:
        leaders = {self.part.start}
        for pc, op in self.ops.items():
            target = flow.jump_target(pc, op, self.proof.insns[pc])
            if target is not None:
                leaders |= {target, pc + 1}
        return leaders

    def _kept(self, *targets: int) -> Kept:
        integers = pointers = 0
        for pc in targets:
            live, as_pointers = self.live.get(pc, ALL), self.pointers.get(pc, 0)
            integers |= live & ~as_pointers
            pointers |= live & as_pointers
        return Kept(integers, pointers)

    def _reserve_budget(self) -> None:
        if any(op.kind is Kind.MAY_GOTO for op in self.ops.values()):
            self.budget = self.frame.body.local("budget")
            self.frame.body.emit(f"store i64 {MAY_GOTO_LIMIT}, ptr {self.budget}")

    def _instruction(self, pc: int, op: Op) -> None:
        frame, insn = self.frame, self.proof.insns[pc]
        guarded = self.proof.memory[pc] == Memory.BTF
        match op.kind:
            case Kind.ALU:
                self._alu(pc, op, insn)
            case Kind.LOAD | Kind.LOAD_SX:
                if is_address(self.proof, pc):
                    memory.load_address(frame, insn)
                else:
                    objects = self.objects if guarded else None
                    memory.load(frame, op, insn, objects, self._in_arena(pc, op, insn))
            case Kind.STORE_REG | Kind.STORE_IMM:
                memory.store(frame, op, insn, self._in_arena(pc, op, insn))
            case Kind.ATOMIC:
                objects = self.objects if guarded else None
                memory.atomic(frame, op, insn, objects, self._in_arena(pc, op, insn))
            case Kind.WIDE:
                self._wide(pc, op, insn)
            case Kind.ADDR_SPACE_CAST:
                arena.cast(frame, self.linkage, arena_of(self.proof), insn)
            case _:
                self._control(pc, op, insn)

    def _control(self, pc: int, op: Op, insn: Insn) -> None:
        frame = self.frame
        site = Site(self.proof, self.linkage, frame, pc, insn, op, self.ending)
        match op.kind:
            case Kind.JUMP | Kind.GOTO | Kind.MAY_GOTO:
                self._jump(pc, op, insn)
            case Kind.CALL | Kind.CALLX:
                call(site)
            case Kind.EXIT:
                frame.body.end(f"ret i64 {frame.get(0)}")
            case Kind.LEGACY:
                packet_load(site)
            case _:
                raise NotSupported(op.symbol)

    def _in_arena(self, pc: int, op: Op, insn: Insn) -> str:
        """Pointer to what the access at *pc* touches in an arena; empty if it is elsewhere."""
        if self.proof.memory[pc] != Memory.ARENA:
            return ""
        register = base_register(op, insn)
        return arena.pointer(self.frame, self.linkage, arena_of(self.proof), register, insn.off)

    def _alu(self, pc: int, op: Op, insn: Insn) -> None:
        frame = self.frame
        if op.sem is Sem.PERCPU:
            raise NotSupported("per-CPU addresses")
        if op.sem is Sem.MOV and op.bits == 64 and op.reg_source:
            frame.move(insn.dst, insn.src)
            return
        which = pointer_operand(self.proof, pc, op)
        if self._move_stack_address(op, insn):
            return
        if which:
            self._move_pointer(op, insn, which)
            return
        y = frame.get(insn.src) if op.reg_source else str(insn.imm)
        x = "0" if op.sem in WITHOUT_OLD else frame.get(insn.dst)
        frame.set(insn.dst, alu.arithmetic(frame.body, op.sem, x, y, op.bits))

    def _move_stack_address(self, op: Op, insn: Insn) -> bool:
        """Whether the result is the frame pointer plus a constant."""
        old = self.frame.stack_offset(insn.dst)
        if old is None or op.reg_source or op.sem is not Sem.ADD or op.bits != 64:
            return False
        self.frame.set_stack_address(insn.dst, old + insn.imm)
        return True

    def _move_pointer(self, op: Op, insn: Insn, which: int) -> None:
        """A sum of a pointer, operand one or two as *which* says, and an integer."""
        frame, body = self.frame, self.frame.body
        if which == SECOND:
            base, offset = frame.pointer(insn.src), frame.get(insn.dst)
        else:
            offset = frame.get(insn.src) if op.reg_source else str(insn.imm)
            base = frame.pointer(insn.dst)
            if op.sem is Sem.SUB:
                offset = body.value(f"sub i64 0, {offset}")
        frame.set_pointer(insn.dst, body.value(f"getelementptr i8, ptr {base}, i64 {offset}"))

    def _wide(self, pc: int, op: Op, insn: Insn) -> None:
        proof, frame = self.proof, self.frame
        high = proof.insns[pc + 1].imm
        if op.sem is Sem.CONST:
            frame.set(insn.dst, str((high & 0xFFFF_FFFF) << 32 | insn.imm & 0xFFFF_FFFF))
        elif op.sem is Sem.FUNC:
            symbol = subprogram_symbol(proof.callback_at[pc])
            frame.set_pointer(insn.dst, f'@"{symbol}"')
        elif op.sem is Sem.BTF_ID:
            name = proof.btf_address_at.get(pc, ("?", 0))[0]
            raise NotSupported(f"the address of kernel symbol {name}")
        elif op.sem in (Sem.MAP_FD, Sem.MAP_IDX):
            frame.set_pointer(insn.dst, self.linkage.pointer(proof.map_at[pc].address))
        else:
            shape = proof.map_at[pc]
            base = shape.value_address(0)
            if base is None:
                raise InternalError(f"insn {pc}: map {shape.id} has no direct values")
            if shape.map_type == MapType.ARENA:  # a pointer of user space
                value = self.linkage.pointer(base + high)
            else:
                value = self.linkage.element(base, shape.value_size, high)
            frame.set_pointer(insn.dst, value)

    def _jump(self, pc: int, op: Op, insn: Insn) -> None:
        body, target = self.frame.body, flow.jump_target(pc, op, insn)
        assert target is not None
        if self.metered and target <= pc and self._is_seen(target):
            self._stop_without_fuel("0")
        if op.kind is Kind.GOTO or not self._is_seen(pc + 1):
            self._go(pc, target)
        elif not self._is_seen(target):
            self._go(pc, pc + 1)
        elif op.kind is Kind.MAY_GOTO:
            self._may_goto(pc, target)
        else:
            y = self.frame.get(insn.src) if op.reg_source else str(insn.imm)
            truth = alu.condition(body, op.sem, self.frame.get(insn.dst), y, op.bits)
            self._fork(pc, truth, target)

    def _go(self, pc: int, target: int) -> None:
        self.frame.flush(self._kept(target))
        self.frame.body.jump(self._label(pc, target))

    def _fork(self, pc: int, truth: str, target: int) -> None:
        """Go to *target* if *truth* holds, else on."""
        body, ways = self.frame.body, [self._label(pc, target), self._label(pc, pc + 1)]
        if pc not in self.extents:
            self.frame.flush(self._kept(target, pc + 1))
            body.fork(truth, *ways)
            return
        register, size, jumps = self.extents[pc]
        end = self.frame.pointer(register)
        self.frame.flush(self._kept(target, pc + 1))
        way, inside = 0 if jumps else 1, body.fresh("inside")
        after, ways[way] = ways[way], inside
        body.fork(truth, *ways)
        body.label(inside)
        start = body.value(f"getelementptr i8, ptr {end}, i64 -{size}")
        known = f'"dereferenceable"(ptr {start}, i64 {size})'
        body.emit(f"call void @llvm.assume(i1 true) [{known}]")
        body.jump(after)

    def _label(self, pc: int, target: int) -> str:
        """Where the jump at *pc* goes to for *target*."""
        return f"again{target}" if target <= pc and target in self.doubled else f"b{target}"

    def _may_goto(self, pc: int, target: int) -> None:
        body = self.frame.body
        left = body.value(f"load i64, ptr {self.budget}")
        spent = body.value(f"icmp eq i64 {left}, 0")
        less = body.value(f"call i64 @llvm.usub.sat.i64(i64 {left}, i64 1)")
        body.emit(f"store i64 {less}, ptr {self.budget}")
        self._fork(pc, spent, target)

    def _stop_without_fuel(self, result: str) -> None:
        body = self.frame.body
        empty = body.value(self.linkage.native(spend, self.frame.run))
        stop, go = body.fresh("stop"), body.fresh("go")
        body.fork(body.value(f"icmp ne i64 {empty}, 0"), stop, go)
        body.label(stop)
        body.end(f"ret i64 {result}")
        body.label(go)
