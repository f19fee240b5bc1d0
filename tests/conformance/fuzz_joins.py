"""Random programs whose paths join with different values: what pruning must not lose.

usage: python tests/conformance/fuzz_joins.py [--nested] [--seed N] [--count N] [--show N]

Each program lets branches choose a value, some good and some not, takes it through registers, the
stack, subprograms, callbacks and loops, compares it or a copy of it, and then relies on it. Judged
as in ``fuzz_verdicts``.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.fuzz_verdicts import SIZES, Label, Maker, main
from skep.isa.insn import Insn

GOOD = (0, 1, 7, 8, 16, 24, 32, 40)
BAD = (41, 47, 48, 100, -1, -8, 0x7FFFFFFF, 1 << 20)
MASKS = (1, 7, 8, 15, 31, 32, 40, 63, 255)
FIRST, SECOND = 8, 9  # registers that survive calls, and hold values
MAP_VALUE = 7
JUMPS = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)


@dataclass
class Place:
    """Where the value is: a register, or a slot and its size."""

    register: int = FIRST
    off: int = 0
    size: int = 8


class Joiner(Maker):
    """Makes one program; the value that matters is at *place*."""

    def begin(self) -> None:
        """r6: the context, r7: a value of the array."""
        self.place = Place()
        self.rest: list[tuple[Label, Callable[[], None]]] = []  # functions to be written
        self.depth = 0
        self.emit(0xBF, 6, 1)
        self.emit(0x62, 10, 0, -4, 1)
        self.emit(0xBF, 2, 10)
        self.emit(0x07, 2, imm=-4)
        self.emit(0x18, 1, 1, imm=0)
        self.emit(0x00)
        self.emit(0x85, imm=1)
        self.exit_if(0x15, 0)
        self.emit(0xBF, MAP_VALUE, 0)

    def exit_if(self, code: int, register: int, imm: int = 0) -> None:
        """Leave the function if the comparison holds."""
        done, on = Label(), Label()
        self.branch(Insn(code, register, imm=imm), done)
        self.branch(Insn(0x05), on)
        self.code.append(done)
        self.emit(0xB7)
        self.emit(0x95)
        self.code.append(on)

    def any_number(self, register: int = 0) -> None:
        """An unknown number in *register*; calls lose r1 to r5."""
        if self.rng.random() < 0.5 or self.depth:
            self.emit(0x85, imm=7)
            if register:
                self.emit(0xBF, register, 0)
        else:
            self.emit(0x61, register, 6, self.rng.choice((0, 4, 8, 16)))

    # --- the value ----------------------------------------------------------------------------

    def choose(self) -> None:
        """Let branches decide between values."""
        self.place = Place(self.rng.choice((FIRST, SECOND)))
        join = Label()
        for _ in range(self.rng.choice((1, 1, 2))):
            other = Label()
            self.any_number()
            self.branch(Insn(self.rng.choice(JUMPS) | 5, 0, imm=self.number()), other)
            self.put(self.place.register, self.rng.random() < 0.7)
            self.branch(Insn(0x05), join)
            self.code.append(other)
        self.put(self.place.register, self.rng.random() < 0.5)
        self.code.append(join)

    def put(self, register: int, good: bool) -> None:
        """A value, known or not."""
        rng = self.rng
        if rng.random() < 0.75:
            imm = rng.choice(GOOD if good else BAD)
            self.emit(rng.choice((0xB7, 0xB7, 0xB4)), register, imm=imm)
        elif rng.random() < 0.85:
            self.any_number(register)
            self.emit(rng.choice((0x57, 0x54)), register, imm=rng.choice(MASKS))
        else:
            self.any_number(register)

    def fetch(self, register: int) -> int:
        """The register that holds the value, *register* if it must be loaded."""
        place = self.place
        if place.register:
            return place.register
        mode = 0x81 if place.size < 8 and self.rng.random() < 0.2 else 0x61
        self.emit(mode | SIZES[place.size], register, 10, place.off)
        return register

    def settle(self) -> int:
        """Put the value into one of the saved registers."""
        register = self.fetch(self.rng.choice((FIRST, SECOND)))
        if register not in (FIRST, SECOND):
            self.emit(0xBF, FIRST, register)
            register = FIRST
        self.place = Place(register)
        return register

    def other(self) -> int:
        """The saved register that does not hold the value."""
        return SECOND if self.place.register == FIRST else FIRST

    # --- ways -----------------------------------------------------------------------------------

    def spill(self) -> None:
        register, rng = self.settle(), self.rng
        size = rng.choice((8, 8, 8, 4, 4, 2, 1))
        off = -8 * rng.randrange(2, 6) + (rng.choice((0, 0, 4)) if size <= 4 else 0)
        self.emit(0x63 | SIZES[size], 10, register, off)
        if rng.random() < 0.2:
            self.emit(0x62 | SIZES[1], 10, 0, off // 8 * 8 + rng.randrange(8), rng.choice((0, 1)))
        if rng.random() < 0.5:
            self.emit(0xB7, register, imm=rng.choice(GOOD))
        smaller = [each for each in (1, 2, 4, 8) if each <= size]
        self.place = Place(0, off, rng.choice((size, size, *smaller)))

    def copy_over(self) -> None:
        register, other = self.settle(), self.other()
        self.emit(self.rng.choice((0xBF, 0xBF, 0xBC)), other, register)
        if self.rng.random() < 0.5:
            self.place = Place(other)

    def extend(self) -> None:
        register = self.settle()
        width = self.rng.choice((8, 16, 32))
        self.emit(0xBF if width == 32 else self.rng.choice((0xBF, 0xBC)), register, register, width)

    def compute(self) -> None:
        register, rng = self.settle(), self.rng
        imm = rng.choice((1, 2, 4, 8, -8, 16))
        steps: tuple[tuple[tuple[int, int], ...], ...] = (
            ((0x07, imm), (0x07, -imm)), ((0x07, imm), (0x17, imm)), ((0x67, 3), (0x77, 3)),
            ((0x67, 32), (0x77, 32)), ((0x67, 32), (0xC7, 32)), ((0x57, 63),), ((0x54, 63),),
            ((0x87, 0), (0x87, 0)), ((0xA7, imm), (0xA7, imm)), ((0x04, imm), (0x14, imm)),
            ((0x07, imm),), ((0x04, imm),), ((0x37, 2),), ((0x97, 41),), ((0x47, 1),),
            ((0xD4, 32),), ((0x27, 2), (0x77, 1)), ((0x64, 4), (0x74, 4)), ((0xC4, 1),),
        )  # fmt: skip
        for code, number in rng.choice(steps):
            self.emit(code, register, imm=number)

    def atomic(self) -> None:
        """Through the slot, by an atomic that fetches nothing: there 6.18 loses precision."""
        register, other = self.settle(), self.other()
        size, off = self.rng.choice((4, 8)), -8 * self.rng.randrange(2, 6)
        self.emit(0x7B, 10, register, off)
        self.emit(0xB7, other, imm=self.rng.choice((0, 1, 8)))
        how = self.rng.choice((0x00, 0x40, 0xA0, 0x100, 0x110))
        if how == 0x100:
            self.emit(0xC3 | SIZES[size], other, 10, off, how)
            self.place = Place(other)
        elif how == 0x110:
            self.emit(0xC3 | SIZES[size], 10, register, off, how)
            self.place = Place(0, off, size)
        else:
            self.emit(0xC3 | SIZES[size], 10, other, off, how)
            self.place = Place(0, off, size)

    # --- comparisons ------------------------------------------------------------------------------

    def limit(self) -> None:
        """Compare the value or a copy of it, and leave on one side."""
        register, rng = self.settle(), self.rng
        other = self.other()
        shift = 0
        if rng.random() < 0.5:
            self.emit(rng.choice((0xBF, 0xBF, 0xBF, 0xBC)), other, register)
            if rng.random() < 0.5:
                shift = rng.choice((1, 4, -4, 8))
                self.emit(rng.choice((0x07, 0x07, 0x04)), other, imm=shift)
            if rng.random() < 0.3:
                self.emit(0x7B, 10, register, -48)
                self.place = Place(0, -48)
            if rng.random() < 0.5 and self.place.register:
                register, other = other, register
                self.place = Place(register)
        else:
            other = register
        code = rng.choice(JUMPS) | rng.choice((5, 5, 6))
        self.exit_if(code, other, rng.choice((*GOOD, *GOOD, 39, 41, 48, -1)) + shift)

    def two_ways(self) -> None:
        """A branch whose sides do not differ much."""
        join = Label()
        register = self.settle() if self.rng.random() < 0.4 else 0
        if not register:
            self.any_number()
        code = self.rng.choice(JUMPS) | self.rng.choice((5, 5, 6))
        self.branch(Insn(code, register, imm=self.rng.choice((0, 1, 8, 40, 48))), join)
        if self.rng.random() < 0.5:
            self.emit(0xB7, self.rng.randrange(6), imm=self.number())
        elif self.rng.random() < 0.4:
            self.rng.choice((self.spill, self.compute, self.copy_over))()
        self.code.append(join)
        self.place = Place(self.rng.choice((FIRST, SECOND)), 0) if register else self.place

    # --- calls and loops --------------------------------------------------------------------------

    def through_call(self) -> None:
        """By a subprogram, as argument and result."""
        register, label = self.settle(), Label()
        self.emit(0xBF, 1, register)
        self.branch(Insn(0x85, 0, 1), label)
        if self.rng.random() < 0.7:
            self.emit(0xBF, register, 0)
        self.rest.append((label, self.subprogram))

    def subprogram(self) -> None:
        """Takes a value, and returns it or another."""
        self.emit(0xBF, FIRST, 1)
        self.place = Place(FIRST)
        self.few((self.spill, self.compute, self.limit, self.two_ways, self.copy_over, self.choose))
        self.emit(0xBF, 0, self.settle())
        self.emit(0x95)

    def by_pointer(self) -> None:
        """By a subprogram or a callback that gets a pointer to the slot."""
        register, label, off = self.settle(), Label(), -8 * self.rng.randrange(2, 6)
        self.emit(0x7B, 10, register, off)
        if self.rng.random() < 0.5:
            self.emit(0xBF, 1, 10)
            self.emit(0x07, 1, imm=off)
            self.branch(Insn(0x85, 0, 1), label)
            self.rest.append((label, lambda: self.pointed(1)))
        else:
            self.emit(0xB7, 1, imm=self.rng.choice((0, 1, 2, 5)))
            self.branch(Insn(0x18, 2, 4), label)
            self.emit(0x00)
            self.emit(0xBF, 3, 10)
            self.emit(0x07, 3, imm=off)
            self.emit(0xB7, 4)
            self.emit(0x85, imm=181)
            self.rest.append((label, lambda: self.pointed(2)))
        self.place = Place(0, off)

    def pointed(self, argument: int) -> None:
        """Changes what it gets a pointer to."""
        rng = self.rng
        pointer = 6 if rng.random() < 0.7 else argument
        if pointer == 6:
            self.emit(0xBF, 6, argument)
        self.emit(0x79, FIRST, pointer, 0)
        self.place = Place(FIRST)
        if pointer == 6:
            self.few((self.spill, self.compute, self.limit, self.two_ways, self.choose))
        else:
            self.compute()
        register = self.settle()
        if rng.random() < 0.8:
            self.emit(0x63 | SIZES[rng.choice((8, 8, 4))], pointer, register, 0)
        self.emit(0xB7, 0, imm=rng.choice((0, 0, 0, 1)))
        self.emit(0x95)

    def loop(self) -> None:
        """Some rounds that may change the value."""
        register, again, out = self.settle(), Label(), Label()
        other, rng = self.other(), self.rng
        off = -56
        endless = rng.random() < 0.4
        if not endless:
            self.emit(0x62 | SIZES[8], 10, 0, off, 0)
        self.code.append(again)
        if endless:
            self.branch(Insn(0xE5), out)
        self.place = Place(register)
        self.few((self.compute, self.copy_over, self.two_ways, self.limit), 2)
        if self.settle() != register:
            self.emit(0xBF, register, self.place.register)
        self.place = Place(register)
        if endless:
            self.branch(Insn(0x05), again)
        else:
            self.emit(0x79, other, 10, off)
            self.emit(0x07, other, imm=1)
            self.emit(0x7B, 10, other, off)
            self.branch(Insn(rng.choice((0xA5, 0x55, 0xC6)), other, imm=rng.choice((2, 4))), again)
        self.code.append(out)

    # --- uses -------------------------------------------------------------------------------------

    def use(self) -> None:
        """Rely on the value."""
        register, rng = self.settle(), self.rng
        roll = rng.random()
        if roll < 0.6:
            self.emit(0xBF, 2, MAP_VALUE)
            self.emit(0x0F, 2, register)
            self.emit(0x61 | SIZES[rng.choice((1, 8))], 3, 2, 0)
        elif roll < 0.8:
            self.emit(0xBF, 2, 10)
            self.emit(0x1F, 2, register)
            self.emit(0x72, 2, 0, -1, 0)
        else:
            self.emit(0xBF, 4, register)
            self.emit(0xBF, 3, 10)
            self.emit(0x07, 3, imm=-40)
            self.emit(0xB7, 2)
            self.emit(0xBF, 1, 6)
            self.emit(0x85, imm=26)

    def few(self, ways: tuple[Callable[[], None], ...], most: int = 3) -> None:
        """Some of *ways*."""
        for _ in range(self.rng.randrange(0, most + 1)):
            self.rng.choice(ways)()

    def program(self) -> list[Insn]:
        """See Maker."""
        self.begin()
        ways = (
            self.spill, self.spill, self.copy_over, self.extend, self.compute, self.compute,
            self.limit, self.limit, self.two_ways, self.two_ways, self.through_call,
            self.by_pointer, self.loop, self.atomic,
        )  # fmt: skip
        for _ in range(self.rng.choice((1, 1, 2))):
            self.choose()
            self.few(ways, 7)
            self.use()
        self.emit(0xB7, 0)
        self.emit(0x95)
        self.depth = 1
        while self.rest and len(self.code) < 400:
            label, write = self.rest.pop()
            self.code.append(label)
            write()
            self.depth += isinstance(self, Nester)
        return self.link()


class Nester(Joiner):
    """Makes programs whose functions call others, and get at more than numbers by pointers."""

    def begin(self) -> None:
        """See Joiner."""
        super().begin()
        self.whole = True  # r7 is a value of the array

    def through_call(self) -> None:
        """See Joiner."""
        if self.depth < 4:
            super().through_call()

    def by_pointer(self) -> None:
        """With the slot may come the pointer to the map's value, in the next one."""
        if self.depth >= 4:
            return
        if self.whole and self.rng.random() < 0.6:
            for off in range(-40, -8, 8):
                self.emit(0x7B, 10, MAP_VALUE, off)
        super().by_pointer()

    def subprogram(self) -> None:
        """See Joiner."""
        self.whole = False
        if self.rng.random() < 0.3:
            self.few((self.by_pointer, self.through_call), 1)
        super().subprogram()

    def pointed(self, argument: int) -> None:
        """May use what stands above the slot as a pointer, and call on."""
        rng = self.rng
        self.whole = rng.random() < 0.6
        self.emit(0xBF, 6, argument)
        if self.whole:
            self.emit(0x79, MAP_VALUE, 6, 8)
        self.emit(0x79, FIRST, 6, 0)
        self.place = Place(FIRST)
        ways = (
            self.spill, self.compute, self.limit, self.two_ways, self.choose, self.by_pointer,
            self.by_pointer, self.through_call, self.loop,
        )  # fmt: skip
        self.few(ways, 4)
        register = self.settle()
        if self.whole and rng.random() < 0.5:
            self.emit(0xBF, 2, MAP_VALUE)
            self.emit(0x0F, 2, register)
            self.emit(0x71, 3, 2, 0)
        if rng.random() < 0.6:
            self.emit(0x63 | SIZES[rng.choice((8, 8, 4))], 6, register, 0)
        self.emit(0xB7, 0, imm=rng.choice((0, 0, 0, 1)))
        self.emit(0x95)


if __name__ == "__main__":
    nested = "--nested" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--nested"]
    sys.exit(main(Nester if nested else Joiner, __doc__))
