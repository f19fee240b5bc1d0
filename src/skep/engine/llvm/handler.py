"""One handler of the start tier while it is being written: fields, registers, what comes next."""

from collections.abc import Callable, Mapping
from typing import Final

from skep.base.native import NativeFunction
from skep.engine.llvm.text import Body, integers
from skep.isa.codec import SLOT_SIZE
from skep.isa.table import Op

PARAMETERS: Final = 4  # run, ip, frame, word
TABLE: Final = "@table"  # the handler of each opcode


class Handler:
    """One handler being written, or the part of it that does one row."""

    def __init__(self, native: Mapping[NativeFunction, str]) -> None:
        self.body = Body(PARAMETERS)
        self._native = native
        self._fields: dict[str, str] = {}
        self.run, self.ip, self.frame, self.word = "%a0", "%a1", "%a2", "%a3"

    def field(self, name: str) -> str:
        """A field of the instruction: dst, src, off or imm, sign-extended."""
        found = self._fields.get(name)
        if found is None:
            found = self._fields[name] = self._extract(name)
        return found

    def _extract(self, name: str) -> str:
        body, word = self.body, self.word
        if name == "imm":
            return body.value(f"ashr i64 {word}, 32")
        if name == "off":
            return body.value(f"ashr i64 {body.value(f'shl i64 {word}, 32')}, 48")
        shift = 8 if name == "dst" else 12
        return body.value(f"and i64 {body.value(f'lshr i64 {word}, {shift}')}, 15")

    def place(self, register: str) -> str:
        """Pointer to the register whose number is *register*."""
        body = self.body
        offset = body.value(f"shl i64 {register}, 3")
        return body.pointer(body.value(f"add i64 {self.frame}, {offset}"))

    def get(self, register: str) -> str:
        """Value of the register whose number is *register*."""
        return self.body.value(f"load i64, ptr {self.place(register)}, align 8")

    def set(self, register: str, value: str) -> None:
        """Give the register whose number is *register* a value."""
        self.body.emit(f"store i64 {value}, ptr {self.place(register)}, align 8")

    def operand(self, op: Op) -> str:
        """Operand two."""
        return self.get(self.field("src")) if op.reg_source else self.field("imm")

    def address(self, base: str) -> str:
        """Pointer to what the register that *base* names and ``off`` lead to."""
        start = self.get(self.field(base))
        return self.body.pointer(self.body.value(f"add i64 {start}, {self.field('off')}"))

    def call(self, function: NativeFunction, *args: str) -> str:
        """Call a native function of the engine's own."""
        text = f'call i64 @"{self._native[function]}"({integers(args)}) alwaysinline'
        return self.body.value(text)

    def apart(self, op: Op, write: "Callable[[Handler, Op], None]") -> None:
        """Write the row *op* in a block of its own: what follows cannot use its values."""
        before = dict(self._fields)
        write(self, op)
        self._fields = before

    def next(self, slots: str = "") -> None:
        """Go on with the next instruction, or with the one so many *slots* after that."""
        body = self.body
        ip = body.value(f"add i64 {self.ip}, {SLOT_SIZE}")
        if slots:
            ip = body.value(f"add i64 {ip}, {body.value(f'shl i64 {slots}, 3')}")
        body.end(f"ret i64 {dispatch(body, self.run, ip, self.frame, 'musttail call')}")

    def leave(self, result: str) -> None:
        """End the BPF function."""
        self.body.end(f"ret i64 {result}")


def dispatch(body: Body, run: str, ip: str, frame: str, call: str) -> str:
    """Run the handler of the instruction at *ip*; returns what the BPF function returns."""
    word = body.value(f"load i64, ptr {body.pointer(ip)}, align 8")
    code = body.value(f"and i64 {word}, 255")
    place = body.value(f"getelementptr [256 x ptr], ptr {TABLE}, i64 0, i64 {code}")
    handler = body.value(f"load ptr, ptr {place}, align 8")
    return body.value(f"{call} i64 {handler}({integers((run, ip, frame, word))})")
