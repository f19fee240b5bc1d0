"""The start tier's interpreter as LLVM IR: one handler for each opcode, from the ISA table.

A handler is a function ``(run, ip, frame, word)``: the run block, where the instruction stands in
the program's image (``skep.engine.llvm.image``), the registers of the BPF function, and the
instruction itself. It does what its row means, with the lowerings that the compiler uses, and ends
in a jump to the handler of the next instruction; so no handler ever returns before its BPF
function does, and what is threaded through lives in machine registers.

``begin(run, r1, …, r5, ip)`` makes a frame and runs a BPF function in it::

    word of the frame   0 .. 10     r0 .. r10
                        11          what may_goto counts down

Source: Linux kernel/bpf/core.c (___bpf_prog_run), whose jump table and patched opcodes these are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from skep.engine.llvm import alu
from skep.engine.llvm.handler import PARAMETERS, TABLE, Handler, dispatch
from skep.engine.llvm.intrinsics import atomic_exchange, atomic_update, narrow, widen
from skep.engine.llvm.native import Translator
from skep.engine.llvm.text import Body, integers
from skep.engine.machinery import (
    MAY_GOTO_LIMIT,
    NO_WORD,
    packet_word,
    tail_target,
    throw,
    thrown,
)
from skep.isa.codec import SLOT_SIZE
from skep.isa.table import OPS, Kind, Op, Select, Sem
from skep.runtime.invocation import FAULT

BEGIN: Final = "begin"
GUARDED: Final = 0x40  # what the opcode of a load from a kernel object differs by: PROBE_MEM
TAIL_CALL: Final = 0xF0  # opcodes that only images have
THROW: Final = 0xF1
STAY, LEAVE, LEAVE_CALLBACK, LEAVE_MAIN = range(4)  # what follows if what a call ran has thrown

_STACK: Final = 512
_BUDGET: Final = 11
_WORDS: Final = 12
_NATIVES: Final = (packet_word, tail_target, throw, thrown)
_ATOMIC: Final[Mapping[Sem, str]] = {
    Sem.ADD: "add", Sem.OR: "or", Sem.AND: "and", Sem.XOR: "xor", Sem.XCHG: "xchg",
}  # fmt: skip
# images hold none of these: refused, or written as others
_ELSEWHERE: Final = frozenset(
    {
        Sem.CAST, Sem.PERCPU, Sem.KFUNC,
        Sem.MAP_FD, Sem.MAP_VALUE, Sem.MAP_IDX, Sem.MAP_IDX_VALUE, Sem.BTF_ID, Sem.FUNC,
    }
)  # fmt: skip


def _alu(h: Handler, op: Op) -> None:
    place = h.place(h.field("dst"))
    x = h.body.value(f"load i64, ptr {place}, align 8")
    result = alu.arithmetic(h.body, op.sem, x, h.operand(op), op.bits)
    h.body.emit(f"store i64 {result}, ptr {place}, align 8")
    h.next()


def _load(h: Handler, op: Op) -> None:
    _finish_load(h, op, h.address("src"))


def _finish_load(h: Handler, op: Op, source: str) -> None:
    bits = op.size * 8
    value = h.body.value(f"load i{bits}, ptr {source}, align 1")
    if op.kind is Kind.LOAD_SX:
        h.set(h.field("dst"), h.body.value(f"sext i{bits} {value} to i64"))
    else:
        h.set(h.field("dst"), widen(h.body, value, bits))
    h.next()


def _guarded_load(h: Handler, op: Op) -> None:
    """A load that gives 0 outside of a region; ``imm`` leads to its first and last address."""
    body, source = h.body, h.address("src")
    first, last = _pair(h)
    address = body.value(f"ptrtoint ptr {source} to i64")
    begins = body.value(f"icmp uge i64 {address}, {first}")
    end = body.value(f"icmp ule i64 {address}, {body.value(f'sub i64 {last}, {op.size}')}")
    inside = body.value(f"and i1 {begins}, {end}")
    _finish_load(h, op, body.value(f"select i1 {inside}, ptr {source}, ptr @zero"))


def _pair(h: Handler) -> tuple[str, str]:
    """The two words of the image that ``imm`` leads to."""
    body = h.body
    place = body.value(f"add i64 {h.ip}, {h.field('imm')}")
    second = body.value(f"add i64 {place}, 8")
    first = body.value(f"load i64, ptr {body.pointer(place)}, align 8")
    return first, body.value(f"load i64, ptr {body.pointer(second)}, align 8")


def _store(h: Handler, op: Op) -> None:
    body, bits = h.body, op.size * 8
    value = narrow(body, h.operand(op), bits)
    body.emit(f"store i{bits} {value}, ptr {h.address('dst')}, align 1")
    h.next()


def _atomic(h: Handler, op: Op) -> None:
    body, bits = h.body, op.size * 8
    if op.sem is Sem.LOAD_ACQUIRE:
        value = body.value(f"load atomic i{bits}, ptr {h.address('src')} acquire, align {op.size}")
        h.set(h.field("dst"), widen(body, value, bits))
        h.next()
        return
    value, target = h.get(h.field("src")), h.address("dst")
    if op.sem is Sem.STORE_RELEASE:
        value = narrow(body, value, bits)
        body.emit(f"store atomic i{bits} {value}, ptr {target} release, align {op.size}")
    elif op.sem is Sem.CMPXCHG:
        h.set("0", atomic_exchange(body, target, h.get("0"), value, bits))
    else:
        old = atomic_update(body, _ATOMIC[op.sem], target, value, bits)
        if op.fetch:
            h.set(h.field("src"), old)
    h.next()


def _jump(h: Handler, op: Op) -> None:
    body, yes, no = h.body, h.body.fresh("yes"), h.body.fresh("no")
    x, off = h.get(h.field("dst")), h.field("off")
    body.fork(alu.condition(body, op.sem, x, h.operand(op), op.bits), yes, no)
    body.label(yes)
    h.next(off)
    body.label(no)
    h.next()


def _goto(h: Handler, op: Op) -> None:
    h.next(h.field("imm" if op.name == "gotol" else "off"))


def _may_goto(h: Handler, _: Op) -> None:
    body, off, left = h.body, h.field("off"), h.get(str(_BUDGET))
    yes, no = body.fresh("yes"), body.fresh("no")
    less = body.value(f"call i64 @llvm.usub.sat.i64(i64 {left}, i64 1)")
    h.set(str(_BUDGET), less)
    body.fork(body.value(f"icmp eq i64 {left}, 0"), yes, no)
    body.label(yes)
    h.next(off)
    body.label(no)
    h.next()


def _wide(h: Handler, _: Op) -> None:
    body = h.body
    place = body.value(f"add i64 {h.ip}, {SLOT_SIZE}")
    high = body.value(f"load i64, ptr {body.pointer(place)}, align 8")
    high = body.value(f"and i64 {high}, {0xFFFF_FFFF << 32}")
    low = body.value(f"lshr i64 {h.word}, 32")
    h.set(h.field("dst"), body.value(f"or i64 {high}, {low}"))
    h.next("1")


def _arguments(h: Handler) -> list[str]:
    return [h.run, *(h.get(str(register)) for register in range(1, 6))]


def _call_address(h: Handler, _: Op) -> None:
    """A helper or kernel function; ``imm`` leads to its address and what goes into ``dst``."""
    address, known = _pair(h)
    h.set(h.field("dst"), known)
    target = h.body.pointer(address)
    _return_to(h, h.body.value(f"call i64 {target}({integers(_arguments(h))})"))


def _call_local(h: Handler, _: Op) -> None:
    body = h.body
    offset = body.value(f"shl i64 {h.field('imm')}, 3")
    place = body.value(f"add i64 {body.value(f'add i64 {h.ip}, {SLOT_SIZE}')}, {offset}")
    _return_to(h, body.value(f"call i64 @{BEGIN}({integers([*_arguments(h), place])})"))


def _call_register(h: Handler, _: Op) -> None:
    target = h.body.pointer(h.get(h.field("dst")))
    _return_to(h, h.body.value(f"call i64 {target}({integers(_arguments(h))})"))


def _return_to(h: Handler, result: str) -> None:
    """After a call: leave if what it ran has thrown, else go on with its *result* in r0."""
    body, off = h.body, h.field("off")
    look, stay, gone = body.fresh("look"), body.fresh("stay"), body.fresh("gone")
    main, other = body.fresh("main"), body.fresh("other")
    h.set("0", result)
    body.fork(body.value(f"icmp eq i64 {off}, {STAY}"), stay, look)
    body.label(look)
    fault = body.pointer(body.value(f"add i64 {h.run}, {FAULT}"))
    code = body.value(f"load i64, ptr {fault}, align 8")
    body.fork(body.value(f"icmp eq i64 {code}, 0"), stay, gone)
    body.label(gone)
    body.fork(body.value(f"icmp eq i64 {off}, {LEAVE_MAIN}"), main, other)
    body.label(main)
    h.leave(h.call(thrown, h.run))
    body.label(other)
    h.leave(body.truth(body.value(f"icmp eq i64 {off}, {LEAVE_CALLBACK}")))
    body.label(stay)
    h.next()


def _tail_call(h: Handler) -> None:
    body = h.body
    index = body.value(f"and i64 {h.get('3')}, 4294967295")
    target = h.call(tail_target, h.run, h.get("2"), index)
    go, stay = body.fresh("tail"), body.fresh("stay")
    body.fork(body.value(f"icmp ne i64 {target}, 0"), go, stay)
    body.label(go)
    arguments = integers([h.run, h.get("1"), "0", "0", "0", "0"])
    h.leave(body.value(f"call i64 {body.pointer(target)}({arguments})"))
    body.label(stay)
    h.set("0", "0")
    h.next()


def _throw(h: Handler) -> None:
    """``bpf_throw``; ``off`` says in which kind of function."""
    body, off = h.body, h.field("off")
    main, other = body.fresh("main"), body.fresh("other")
    cookie = h.get("1")
    body.fork(body.value(f"icmp eq i64 {off}, {LEAVE_MAIN}"), main, other)
    body.label(main)
    h.leave(cookie)
    body.label(other)
    h.call(throw, h.run, cookie)
    h.leave(body.truth(body.value(f"icmp eq i64 {off}, {LEAVE_CALLBACK}")))


def _packet(h: Handler, op: Op) -> None:
    body, offset = h.body, h.field("imm")
    if op.sem is Sem.PACKET_IND:
        whole = body.value(f"add i64 {h.get(h.field('src'))}, {offset}")
        offset = body.value(f"sext i32 {body.value(f'trunc i64 {whole} to i32')} to i64")
    word = h.call(packet_word, h.run, offset, str(op.size))
    outside, inside = body.fresh("outside"), body.fresh("inside")
    body.fork(body.value(f"icmp eq i64 {word}, {NO_WORD}"), outside, inside)
    body.label(outside)
    h.leave("0")
    body.label(inside)
    h.set("0", word)
    h.next()


def _call(h: Handler, op: Op) -> None:
    (_call_local if op.sem is Sem.LOCAL else _call_address)(h, op)


def _exit(h: Handler, _: Op) -> None:
    h.leave(h.get("0"))


WRITE: Final[Mapping[Kind, Callable[[Handler, Op], None]]] = {
    Kind.ALU: _alu,
    Kind.LOAD: _load,
    Kind.LOAD_SX: _load,
    Kind.STORE_REG: _store,
    Kind.STORE_IMM: _store,
    Kind.ATOMIC: _atomic,
    Kind.JUMP: _jump,
    Kind.GOTO: _goto,
    Kind.MAY_GOTO: _may_goto,
    Kind.CALL: _call,
    Kind.CALLX: _call_register,
    Kind.EXIT: _exit,
    Kind.WIDE: _wide,
    Kind.LEGACY: _packet,
}


class _Module:
    """The handlers' module being written."""

    def __init__(self) -> None:
        self._translator = Translator()
        self._natives = {each: self._translator.symbol(each) for each in _NATIVES}
        self._functions: dict[int, str] = {}

    def add(self, code: int, write: Callable[[Handler], None]) -> None:
        """Write the handler of opcode *code*."""
        handler = Handler(self._natives)
        write(handler)
        self._functions[code] = handler.body.define(_symbol(code), "#0", "internal ")

    def text(self) -> str:
        """The whole module."""
        codes = [_symbol(code if code in self._functions else -1) for code in range(256)]
        table = ", ".join(f'ptr @"{symbol}"' for symbol in codes)
        return "".join(
            (
                "@zero = internal constant [8 x i8] zeroinitializer\n",
                f"{TABLE} = internal unnamed_addr constant [256 x ptr] [{table}]\n",
                self._translator.text(),
                *self._functions.values(),
                _unknown(),
                _begin(),
            )
        )


def text() -> str:
    """The module of ``begin`` and all handlers."""
    module, groups = _Module(), dict[int, list[Op]]()
    for op in OPS:
        if op.sem not in _ELSEWHERE:
            groups.setdefault(op.code, []).append(op)
    for code, rows in groups.items():
        module.add(code, _rows(rows))
        if rows[0].kind in (Kind.LOAD, Kind.LOAD_SX):
            module.add(code ^ GUARDED, _row(_guarded_load, rows[0]))
    module.add(TAIL_CALL, _tail_call)
    module.add(THROW, _throw)
    return module.text()


def _row(write: Callable[[Handler, Op], None], op: Op) -> Callable[[Handler], None]:
    return lambda h: write(h, op)


def _rows(rows: Sequence[Op]) -> Callable[[Handler], None]:
    """What serves one opcode: the last row, unless a field selects one of the others."""

    def write(h: Handler) -> None:
        body = h.body
        *others, last = rows
        for op in others:
            field = h.field({Select.OFF: "off", Select.IMM: "imm", Select.SRC: "src"}[op.select])
            here, more = body.fresh("row"), body.fresh("more")
            body.fork(body.value(f"icmp eq i64 {field}, {op.value}"), here, more)
            body.label(here)
            h.apart(op, WRITE[op.kind])
            body.label(more)
        WRITE[last.kind](h, last)

    return write


def _symbol(code: int) -> str:
    return f"op.{code:02x}" if code >= 0 else "unknown"


def _unknown() -> str:
    body = Body(PARAMETERS)
    body.emit("call void @llvm.trap()")
    return body.define("unknown", "#0", "internal ")


def _begin() -> str:
    body = Body(7)
    frame = body.local("frame", f"[{_WORDS} x i64]", align=16)
    stack = body.local("stack", f"[{_STACK} x i8]", align=16)
    body.emit(f"call void @llvm.memset.p0.i64(ptr align 16 {stack}, i8 0, i64 {_STACK}, i1 false)")
    end = body.value(f"getelementptr i8, ptr {stack}, i64 {_STACK}")
    pointer = body.value(f"ptrtoint ptr {end} to i64")
    first = {**{n: f"%a{n}" for n in range(1, 6)}, 10: pointer, _BUDGET: str(MAY_GOTO_LIMIT)}
    for register, value in first.items():
        place = body.value(f"getelementptr i64, ptr {frame}, i64 {register}")
        body.emit(f"store i64 {value}, ptr {place}, align 8")
    words = body.value(f"ptrtoint ptr {frame} to i64")
    body.end(f"ret i64 {dispatch(body, '%a0', '%a6', words, 'call')}")
    return body.define(BEGIN)
