"""One BPF function while it is being written: its registers and its stack.

Within a block, registers are names of values, integers or pointers as they were made; between
blocks they live in stack slots, which LLVM turns into registers again: in one slot those that the
next block finds as integers, in another those that it finds as pointers. The BPF stack is one
allocation: a register that was made from the frame pointer by constants keeps its offset, so that
LLVM sees plain accesses to the stack.
"""

from typing import Final, NamedTuple

from skep.engine.llvm.text import Body

STACK_SIZE: Final = 512
FRAME_POINTER: Final = 10
PARAMETERS: Final = 6  # run, r1 to r5


class Kept(NamedTuple):
    """Registers that blocks find at their start, bit sets: as integers, and as pointers."""

    integers: int
    pointers: int


class Frame:
    """Registers and stack of one function.

    Args:
        depth: bytes of stack that the function uses; they are zero on entry, so that reading
            what was never written gives the same everywhere and tells nothing of this process.
    """

    def __init__(self, depth: int) -> None:
        self.body = Body(PARAMETERS)
        self.run = "%a0"
        self._known: dict[int, str] = {}  # registers that this block has as integers,
        self._pointers: dict[int, str] = {}  # as pointers,
        self._offsets: dict[int, int] = {}  # or as fp plus a constant
        self._held = 0  # registers whose slot for pointers has what they are
        self._stale = 0  # registers whose slot for integers does not have it
        self._slots: dict[str, str] = {}
        self._stack = ""
        self._depth = depth

    def begin(self) -> None:
        """Write the entry: arguments into registers, zeros onto the stack."""
        self._offsets[FRAME_POINTER] = 0
        for register in range(1, PARAMETERS):
            self.set(register, f"%a{register}")
        if self._depth:
            low, size = self.stack_pointer(-self._depth), self._depth
            memset = "call void @llvm.memset.p0.i64"
            self.body.emit(f"{memset}(ptr align 8 {low}, i8 0, i64 {size}, i1 false)")

    def get(self, register: int) -> str:
        """Value of *register*: a name, or a constant."""
        value = self._known.get(register)
        if value is None:
            if self._is_pointer(register):
                value = self.body.value(f"ptrtoint ptr {self.pointer(register)} to i64")
            else:
                value = self.body.value(f"load i64, ptr {self._slot(f'r{register}', 'i64')}")
            self._known[register] = value
        return value

    def pointer(self, register: int) -> str:
        """Value of *register* as a pointer."""
        value = self._pointers.get(register)
        if value is None:
            offset = self._offsets.get(register)
            if offset is not None:
                value = self.stack_pointer(offset)
            elif self._held >> register & 1:
                value = self.body.value(f"load ptr, ptr {self._slot(f'p{register}', 'ptr')}")
            else:
                value = self.body.pointer(self.get(register))
            self._pointers[register] = value
        return value

    def set(self, register: int, value: str) -> None:
        """Give *register* a value."""
        self._change(register)
        self._known[register] = value

    def set_pointer(self, register: int, value: str) -> None:
        """Give *register* a pointer as its value."""
        self._change(register)
        self._pointers[register] = value

    def set_stack_address(self, register: int, offset: int) -> None:
        """Make *register* the frame pointer plus *offset*."""
        self._change(register)
        self._offsets[register] = offset

    def move(self, target: int, source: int) -> None:
        """Make *target* what *source* is."""
        offset = self._offsets.get(source)
        if offset is not None:
            self.set_stack_address(target, offset)
        elif source in self._known:
            self.set(target, self._known[source])
        elif self._is_pointer(source):
            self.set_pointer(target, self.pointer(source))
        else:
            self.set(target, self.get(source))

    def stack_offset(self, register: int) -> int | None:
        """Constant distance of *register* from the frame pointer, if it is known."""
        return self._offsets.get(register)

    def forget(self, registers: range) -> None:
        """Drop registers that a call made unreadable."""
        for register in registers:
            self._change(register)
            self._stale &= ~(1 << register)

    def stack_pointer(self, offset: int) -> str:
        """Pointer to the frame pointer plus *offset*."""
        if not self._stack:
            self._stack = self.body.local("stack", f"[{STACK_SIZE} x i8]", align=16)
        return self.body.value(f"getelementptr i8, ptr {self._stack}, i64 {STACK_SIZE + offset}")

    def flush(self, kept: Kept) -> None:
        """Before the end of a block: put registers where the next blocks find them."""
        for register in range(FRAME_POINTER):
            bit = 1 << register
            if self._stale & kept.integers & bit:
                slot = self._slot(f"r{register}", "i64")
                self.body.emit(f"store i64 {self.get(register)}, ptr {slot}")
            if kept.pointers & ~self._held & bit:
                slot = self._slot(f"p{register}", "ptr")
                self.body.emit(f"store ptr {self.pointer(register)}, ptr {slot}")

    def label(self, name: str, kept: Kept) -> None:
        """Begin a block that finds *kept* registers."""
        if not self.body.closed:
            self.flush(kept)
        self.body.label(name)
        self._known.clear()
        self._pointers.clear()
        self._held = self._stale = kept.pointers
        self._offsets = {FRAME_POINTER: 0}

    def _is_pointer(self, register: int) -> bool:
        return (
            register in self._pointers
            or register in self._offsets
            or bool(self._held >> register & 1)
        )

    def _change(self, register: int) -> None:
        """Forget what *register* was; neither of its slots has what it will be."""
        self._known.pop(register, None)
        self._pointers.pop(register, None)
        self._offsets.pop(register, None)
        self._held &= ~(1 << register)
        self._stale |= 1 << register

    def _slot(self, name: str, kind: str) -> str:
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = self.body.local(name, kind)
        return slot
