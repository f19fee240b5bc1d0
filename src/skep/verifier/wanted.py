"""What backtracking looks for: registers and stack slots, by frame.

Source: Linux 6.18 kernel/bpf/verifier.c (struct backtrack_state).
"""

from typing import TypeAlias

from mypy_extensions import i64

from skep.errors import InternalError
from skep.verifier.slot_sets import slot_bit

Tale: TypeAlias = list[object] | None  # where to note, event by event, how the search goes


class CannotFollow(Exception):  # noqa: N818 - not an error
    """The walk met something that breaks the chain."""


class Wanted:
    """Registers and stack slots whose origin is looked for, as bit sets by frame.

    Those of the current frame stand in *regs* and *slots*, those of its callers, outermost first,
    in *outer*: registers, then slots, of each.
    """

    __slots__ = ("frame", "outer", "regs", "slots", "tale")

    def __init__(self, frame: int, tale: Tale = None) -> None:
        self.frame = frame
        self.tale = tale
        self.regs: i64 = 0
        self.slots: i64 = 0
        self.outer: list[int] = [0] * (2 * frame)

    def is_empty(self) -> bool:
        """Whether nothing is looked for any more."""
        if self.regs != 0 or self.slots != 0:
            return False
        for word in self.outer:  # noqa: SIM110 - any() is slow
            if word != 0:
                return False
        return True

    def enter(self) -> None:
        """Walk backwards into a function that has returned."""
        self.outer.append(self.regs)
        self.outer.append(self.slots)
        self.frame += 1
        self.regs = 0
        self.slots = 0

    def leave(self) -> None:
        """Walk backwards out of a function, through its call."""
        if self.frame == 0:
            raise InternalError("backtracking leaves the main program")
        if self.regs != 0 or self.slots != 0:
            raise CannotFollow
        self.frame -= 1
        self.slots = self.outer.pop()
        self.regs = self.outer.pop()

    def has(self, register: i64) -> bool:
        """Whether *register* of the current frame is looked for."""
        return self.regs >> register & 1 == 1

    def add(self, register: i64) -> None:
        """Look for *register* of the current frame; r10 needs no looking for."""
        if register != 10:
            self.regs |= slot_bit(register)

    def drop(self, register: i64) -> None:
        """*register* of the current frame was found."""
        self.regs &= ~slot_bit(register)

    def regs_of(self, frame: int) -> i64:
        """Registers of frame number *frame*."""
        return self.regs if frame == self.frame else self.outer[2 * frame]

    def slots_of(self, frame: int) -> i64:
        """Slots of frame number *frame*."""
        return self.slots if frame == self.frame else self.outer[2 * frame + 1]

    def set_regs(self, frame: int, regs: i64) -> None:
        """Look for just *regs* of frame number *frame*."""
        if frame == self.frame:
            self.regs = regs
        else:
            self.outer[2 * frame] = regs

    def set_slots(self, frame: int, slots: i64) -> None:
        """Look for just *slots* of frame number *frame*."""
        if frame == self.frame:
            self.slots = slots
        else:
            self.outer[2 * frame + 1] = slots
