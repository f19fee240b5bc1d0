"""One BPF function while it is being written: its registers and its stack.

Within a block, registers are names of values; between blocks they live in stack slots, which LLVM
turns into registers again. The BPF stack is one allocation: a register that was made from the
frame pointer by constants keeps its offset, so that LLVM sees plain accesses to the stack.
"""

from typing import Final

from skep.engine.llvm.text import Body

STACK_SIZE: Final = 512
FRAME_POINTER: Final = 10
PARAMETERS: Final = 6  # run, r1 to r5


class Frame:
    """Registers and stack of one function.

    Args:
        depth: bytes of stack that the function uses; they are zero on entry, so that reading
            what was never written gives the same everywhere and tells nothing of this process.
    """

    def __init__(self, depth: int) -> None:
        self.body = Body(PARAMETERS)
        self.run = "%a0"
        self._known: dict[int, str] = {}  # registers whose value this block has
        self._dirty: set[int] = set()  # those of them that their slot does not have
        self._offsets: dict[int, int] = {}  # registers that are fp plus a constant
        self._slots: dict[int, str] = {}
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
            offset = self._offsets.get(register)
            if offset is None:
                value = self.body.value(f"load i64, ptr {self._slot(register)}")
            else:
                value = self.body.value(f"ptrtoint ptr {self.stack_pointer(offset)} to i64")
            self._known[register] = value
        return value

    def set(self, register: int, value: str) -> None:
        """Give *register* a value."""
        self._known[register] = value
        self._dirty.add(register)
        self._offsets.pop(register, None)

    def set_stack_address(self, register: int, offset: int) -> None:
        """Make *register* the frame pointer plus *offset*."""
        self._known.pop(register, None)
        self._dirty.add(register)
        self._offsets[register] = offset

    def stack_offset(self, register: int) -> int | None:
        """Constant distance of *register* from the frame pointer, if it is known."""
        return self._offsets.get(register)

    def forget(self, registers: range) -> None:
        """Drop registers that a call made unreadable."""
        for register in registers:
            self._known.pop(register, None)
            self._dirty.discard(register)
            self._offsets.pop(register, None)

    def stack_pointer(self, offset: int) -> str:
        """Pointer to the frame pointer plus *offset*."""
        if not self._stack:
            self._stack = self.body.local("stack", f"[{STACK_SIZE} x i8]", align=16)
        return self.body.value(f"getelementptr i8, ptr {self._stack}, i64 {STACK_SIZE + offset}")

    def flush(self, live: int) -> None:
        """Before the end of a block: put *live* registers where the next block finds them."""
        for register in sorted(self._dirty):
            if live >> register & 1:
                self.body.emit(f"store i64 {self.get(register)}, ptr {self._slot(register)}")
        self._dirty.clear()

    def label(self, name: str, live: int) -> None:
        """Begin a block that needs the *live* registers."""
        if not self.body.closed:
            self.flush(live)
        self.body.label(name)
        self._known.clear()
        self._dirty.clear()
        self._offsets = {FRAME_POINTER: 0}

    def _slot(self, register: int) -> str:
        slot = self._slots.get(register)
        if slot is None:
            slot = self._slots[register] = self.body.local(f"r{register}")
        return slot
