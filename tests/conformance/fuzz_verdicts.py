"""Random programs get the same verdict from skep as from the running kernel.

usage: python tests/conformance/fuzz_verdicts.py [--seed N] [--count N] [--store DIR] [--show N]

Programs are made of plausible pieces (numbers, branches, loops, stack, map values, packets,
subprograms), some of them slightly wrong. A program that skep accepts and the kernel refuses is a
hole; one that the kernel accepts and skep refuses is a nuisance. Differing programs are shrunk.
"""

import argparse
import collections
import ctypes
import json
import random
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skep.isa.insn import Insn
from skep.isa.table import op_of
from skep.uapi.program_types import by_id
from skep.verifier import Rejected, Request, verify
from skep.verifier.listing import step_text
from skep.verifier.program import Step
from support import kernel
from support.verify_case import Shape, World

SCHED_CLS = 3
ARRAY, HASH = 2, 1
PERFMON, SYS_ADMIN = 38, 21
VALUE_SIZE = 48
NOP = Insn(0x05)
MAX_COST = 3000  # instructions that the kernel processes
SECONDS = 10
SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
ALU = (0x00, 0x10, 0x20, 0x40, 0x50, 0xA0, 0x60, 0x70, 0xC0, 0x30, 0x90)
JUMPS = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
SCALAR, FP, MAP, PACKET, CTX, NULLABLE = "scalar", "fp", "map", "packet", "ctx", "nullable"


class Label:
    """A place to jump to."""


@dataclass
class Maker:
    """Makes one program; *kinds* is a rough idea of what registers hold."""

    rng: random.Random
    code: list[Insn | Label] = field(default_factory=list)
    jumps: dict[int, Label] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)
    slots: set[int] = field(default_factory=set)
    functions: list[Label] = field(default_factory=list)
    callbacks: list[Label] = field(default_factory=list)
    open: list[tuple[int, Label]] = field(default_factory=list)

    def emit(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        """Add an instruction."""
        self.code.append(Insn(code, dst, src, off, imm))

    def branch(self, insn: Insn, target: Label) -> None:
        """Add a jump to *target*."""
        self.jumps[len(self.code)] = target
        self.code.append(insn)

    def some(self, kind: str) -> int:
        """A register that holds *kind*, rarely any; -1 if there is none."""
        if self.rng.random() < 0.004:
            return self.rng.randrange(11)
        found = [register for register, what in self.kinds.items() if what == kind]
        return self.rng.choice(found) if found else -1

    def target(self) -> int:
        """A register to write, seldom a saved one that holds the context."""
        return self.rng.choice((0, 1, 2, 3, 4, 5, 7, 7, 8, 8, 9, 9))

    def number(self) -> int:
        """An immediate."""
        rng = self.rng
        return rng.choice(
            (rng.randrange(-8, 9), rng.randrange(0, 64), rng.randrange(0, 600),
             rng.choice((255, 0xFFFF, -1, 0x7FFFFFFF, -(2**31), 1 << 20)), rng.randrange(-64, 0))
        )  # fmt: skip

    # --- pieces -------------------------------------------------------------------------------

    def constant(self) -> None:
        register = self.target()
        self.emit(self.rng.choice((0xB7, 0xB7, 0xB4)), register, imm=self.number())
        self.kinds[register] = SCALAR

    def unknown(self) -> None:
        if self.rng.random() < 0.5:
            self.emit(0x85, imm=self.rng.choice((5, 7)))
            self.clobber()
            self.kinds[0] = SCALAR
            register = 0
        else:
            register = self.target()
            self.emit(0x61, register, 6, self.rng.choice((0, 4, 8, 16, 24, 40)))
            self.kinds[register] = SCALAR
        if self.rng.random() < 0.6:
            bits = self.rng.choice((1, 3, 7, 15, 31, 32, 40, 63, 255))
            self.emit(self.rng.choice((0x57, 0x54)), register, imm=bits)

    def clobber(self) -> None:
        for register in range(6):
            self.kinds.pop(register, None)

    def arithmetic(self) -> None:
        dst = self.some(SCALAR)
        if dst < 0:
            return self.constant()
        code = self.rng.choice(ALU)
        wide = self.rng.choice((0x07, 0x07, 0x04))
        roll = self.rng.random()
        if roll < 0.08:
            self.emit(0x80 | wide, dst)
        elif roll < 0.15:
            self.emit(0xB8 | wide, dst, dst, self.rng.choice((8, 16)))
        elif roll < 0.6:
            imm = self.number()
            if code in (0x60, 0x70, 0xC0):
                imm = self.rng.randrange(32)
            if code in (0x30, 0x90):
                imm = imm or 1
            self.emit(code | wide, dst, 0, 0, imm)
        else:
            src = self.some(SCALAR)
            if src >= 0:
                self.emit(code | wide | 8, dst, src)
        return None

    def copy(self) -> None:
        if not self.kinds:
            return
        src = self.rng.choice(list(self.kinds))
        dst = self.target()
        narrow = self.kinds[src] == SCALAR and self.rng.random() < 0.25
        self.emit(0xBC if narrow else 0xBF, dst, src)
        self.kinds[dst] = self.kinds[src]

    def compare(self) -> None:
        dst = self.some(SCALAR)
        if dst < 0:
            return
        code = self.rng.choice(JUMPS) | self.rng.choice((0x05, 0x05, 0x06))
        label = Label()
        src = self.some(SCALAR) if self.rng.random() < 0.25 else -1
        if src >= 0:
            self.branch(Insn(code | 8, dst, src), label)
        else:
            self.branch(Insn(code, dst, imm=self.number()), label)
        self.open.append((self.rng.randrange(1, 6), label))

    def leave(self) -> None:
        """Compare, and exit on one side: what bounds checks look like."""
        dst = self.some(SCALAR)
        if dst < 0:
            return
        label = Label()
        limit = self.rng.choice((7, 15, 31, 32, 40, 44, 47, 48, 63, 100))
        self.branch(Insn(self.rng.choice((0xA5, 0xB5, 0xA6)), dst, imm=limit), label)
        self.emit(0xB7)
        self.emit(0x95)
        self.code.append(label)

    def offset(self) -> int:
        return -8 * self.rng.randrange(1, 8) + self.rng.choice((0, 0, 0, 0, 4, 1))

    def store_stack(self) -> None:
        size = self.rng.choice((8, 8, 8, 4, 2, 1))
        off = self.offset() // size * size
        src = self.rng.choice(list(self.kinds)) if self.kinds else -1
        base = self.some(FP) if self.rng.random() < 0.3 else 10
        if self.rng.random() < 0.3 or src < 0:
            self.emit(0x62 | SIZES[size], max(base, 0) if base != 10 else 10, 0, off, self.number())
        else:
            if self.kinds[src] != SCALAR:
                size, off = 8, off // 8 * 8
            self.emit(0x63 | SIZES[size], 10, src, off)
        self.slots.add(off)

    def load_stack(self) -> None:
        if not self.slots:
            return self.store_stack()
        off = self.rng.choice(sorted(self.slots))
        size = 8 if off % 8 == 0 and self.rng.random() < 0.7 else self.rng.choice((1, 2, 4))
        dst = self.target()
        mode = 0x61 if size == 8 or self.rng.random() < 0.8 else 0x81
        self.emit(mode | SIZES[size], dst, 10, off)
        self.kinds[dst] = SCALAR
        return None

    def vary_stack(self) -> None:
        index = self.some(SCALAR)
        if index < 0:
            return
        dst = self.target()
        if dst == index:
            return
        self.emit(0xBF, dst, 10)
        self.emit(0x07, dst, 0, 0, -8 * self.rng.randrange(1, 10))
        self.emit(0x0F, dst, index)
        self.kinds[dst] = FP
        size = self.rng.choice((1, 1, 8))
        if self.rng.random() < 0.5:
            self.emit(0x61 | SIZES[size], self.target(), dst, -8)
        else:
            self.emit(0x62 | SIZES[size], dst, 0, -8, 0)

    def look_up(self) -> None:
        number = self.rng.choice((0, 1))
        self.emit(0x62, 10, 0, -4, self.rng.randrange(0, 6))
        if self.rng.random() < 0.4:
            value = self.some(SCALAR)
            if value >= 0:
                self.emit(0x63, 10, value, -4)
        self.emit(0xBF, 2, 10)
        self.emit(0x07, 2, imm=-4)
        self.emit(0x18, 1, 1, imm=number)
        self.emit(0x00)
        self.emit(0x85, imm=1)
        self.clobber()
        self.kinds[0] = NULLABLE
        if self.rng.random() < 0.9:
            label = Label()
            self.branch(Insn(0x55, 0), label)
            self.emit(0xB7)
            self.emit(0x95)
            self.code.append(label)
        dst = self.rng.choice((7, 8, 9))
        self.emit(0xBF, dst, 0)
        self.kinds[dst] = self.kinds[0] = MAP
        self.slots.add(-8)

    def use_map(self) -> None:
        base = self.some(MAP)
        if base < 0:
            return self.look_up()
        index = self.some(SCALAR) if self.rng.random() < 0.5 else -1
        if index >= 0:
            if index == base:
                return None
            if self.rng.random() < 0.6:
                self.emit(0x57, index, imm=self.rng.choice((3, 7, 15, 31, 32)))
            dst = self.rng.choice((2, 3, 4))
            if dst == index:
                return None
            self.emit(0xBF, dst, base)
            self.emit(self.rng.choice((0x0F, 0x0F, 0x1F)), dst, index)
            self.kinds[dst] = MAP
            base = dst
        self.access(base, self.rng.randrange(-1, VALUE_SIZE + 1))
        return None

    def access(self, base: int, off: int) -> None:
        size = self.rng.choice((1, 2, 4, 8))
        off = off // size * size if self.rng.random() < 0.9 else off
        roll = self.rng.random()
        if roll < 0.5:
            dst = self.target()
            self.emit(0x61 | SIZES[size], dst, base, off)
            self.kinds[dst] = SCALAR
        elif roll < 0.8:
            src = self.some(SCALAR)
            if src >= 0:
                self.emit(0x63 | SIZES[size], base, src, off)
        else:
            src = self.some(SCALAR)
            operation = self.rng.choice((0x00, 0x01, 0x41, 0xE1, 0xF1))
            if src >= 0 and size >= 4:
                self.emit(0xC3 | SIZES[size], base, src, off, operation)

    def open_packet(self) -> None:
        data, end = self.rng.sample((2, 3, 7, 8, 9), 2)
        moved = self.rng.choice((4, 5))
        self.emit(0x61, data, 6, 76)
        self.emit(0x61, end, 6, 80)
        self.emit(0xBF, moved, data)
        self.emit(0x07, moved, imm=self.rng.choice((1, 14, 20, 34, 54)))
        if self.rng.random() < 0.35:
            index = self.some(SCALAR)
            if index >= 0 and index not in (data, end, moved):
                if self.rng.random() < 0.7:
                    self.emit(0x57, index, imm=self.rng.choice((3, 7, 255, 0xFFFF)))
                self.emit(0x0F, moved, index)
                if self.rng.random() < 0.5:
                    data = moved
        label = Label()
        code, x, y = self.rng.choice(
            ((0x2D, moved, end), (0x3D, moved, end), (0xAD, end, moved), (0xBD, end, moved))
        )
        self.branch(Insn(code, x, y), label)
        self.kinds[data] = PACKET
        self.kinds.pop(end, None)
        for _ in range(self.rng.randrange(1, 4)):
            self.access(data, self.rng.randrange(-2, 36))
        self.open.append((self.rng.randrange(0, 2), label))

    def loop(self) -> None:
        counter = self.rng.choice((7, 8, 9))
        self.emit(0xB7, counter, imm=0)
        self.kinds[counter] = SCALAR
        label = Label()
        self.code.append(label)
        for _ in range(self.rng.randrange(0, 4)):
            self.rng.choice((self.arithmetic, self.load_stack, self.store_stack, self.use_map))()
        step = self.rng.choice((1, 1, 1, 2, 0))
        self.emit(0x07, counter, imm=step)
        code = self.rng.choice((0xA5, 0x55, 0xA6, 0xC5))
        self.branch(Insn(code, counter, imm=self.rng.choice((4, 6, 10, 20))), label)

    def buffer(self, register: int) -> None:
        """Point *register* at some stack."""
        self.emit(0xBF, register, 10)
        self.emit(0x07, register, imm=-8 * self.rng.randrange(1, 9))

    def size(self, register: int) -> None:
        """Put a size into *register*: a constant, or a bounded number."""
        value = self.some(SCALAR) if self.rng.random() < 0.4 else -1
        if value >= 0 and value not in (1, 2, 3):
            self.emit(0xBF, register, value)
            if self.rng.random() < 0.8:
                self.emit(0x57, register, imm=self.rng.choice((7, 15, 31, 32)))
            if self.rng.random() < 0.4:
                self.emit(0x07, register, imm=1)
        else:
            self.emit(0xB7, register, imm=self.rng.choice((1, 4, 8, 8, 16, 24, 0)))

    def packet_bytes(self) -> None:
        """skb_load_bytes, or skb_store_bytes, which moves the packet."""
        store = self.rng.random() < 0.4
        self.buffer(3)
        self.size(4)
        self.emit(0xB7, 5)
        self.emit(0xB7, 2, imm=self.rng.choice((0, 14, 4000)))
        self.emit(0xBF, 1, 6)
        self.emit(0x85, imm=9 if store else 26)
        self.clobber()
        self.kinds[0] = SCALAR
        if not store:
            self.slots.add(-8)

    def update(self) -> None:
        """map_update_elem or map_delete_elem."""
        self.emit(0x62, 10, 0, -4, self.rng.randrange(0, 6))
        self.emit(0xBF, 2, 10)
        self.emit(0x07, 2, imm=self.rng.choice((-4, -4, -4, -8, -2)))
        value = self.some(MAP)
        if value >= 0 and value not in (1, 2) and self.rng.random() < 0.7:
            self.emit(0xBF, 3, value)
        else:
            self.buffer(3)
        self.emit(0xB7, 4, imm=self.rng.choice((0, 1, 9)))
        self.emit(0x18, 1, 1, imm=self.rng.choice((0, 1)))
        self.emit(0x00)
        self.emit(0x85, imm=self.rng.choice((2, 2, 3)))
        self.clobber()
        self.kinds[0] = SCALAR

    def context(self) -> None:
        """Read or write a field of the context."""
        off = self.rng.choice((0, 8, 8, 32, 48, 52, 60, 64, 128, 152, 200))
        size = self.rng.choice((4, 4, 4, 2, 1, 8))
        value = self.some(SCALAR)
        if self.rng.random() < 0.5 and value >= 0:
            self.emit(0x63 | SIZES[size], 6, value, off)
        else:
            dst = self.target()
            self.emit(0x61 | SIZES[size], dst, 6, off)
            self.kinds[dst] = SCALAR

    def legacy(self) -> None:
        """BPF_LD_ABS and BPF_LD_IND."""
        if self.rng.random() < 0.6:
            self.emit(self.rng.choice((0x20, 0x28, 0x30)), imm=self.rng.randrange(40))
        else:
            value = self.some(SCALAR)
            if value < 0:
                return
            self.emit(self.rng.choice((0x40, 0x48, 0x50)), 0, value, 0, self.rng.randrange(20))
        self.clobber()
        self.kinds[0] = SCALAR

    def may_goto(self) -> None:
        """A loop without a bound of its own."""
        top, out = Label(), Label()
        self.code.append(top)
        self.branch(Insn(0xE5), out)
        for _ in range(self.rng.randrange(0, 3)):
            self.rng.choice((self.arithmetic, self.load_stack, self.store_stack, self.constant))()
        self.branch(Insn(0x05), top)
        self.code.append(out)

    def call_back(self) -> None:
        """bpf_loop."""
        self.callbacks.append(Label())
        self.size(1)
        self.branch(Insn(0x18, 2, 4), self.callbacks[-1])
        self.emit(0x00)
        if self.rng.random() < 0.6:
            self.buffer(3)
        else:
            self.emit(0xB7, 3)
        self.emit(0xB7, 4)
        self.emit(0x85, imm=181)
        self.clobber()
        self.kinds[0] = SCALAR

    def callback(self, label: Label) -> None:
        """The function that bpf_loop calls."""
        self.code.append(label)
        self.kinds = {1: SCALAR, 2: self.rng.choice((FP, SCALAR))}
        self.slots, self.open = set(), []
        pieces = (self.arithmetic, self.compare, self.store_stack, self.through_pointer, self.copy)
        for _ in range(self.rng.randrange(0, 4)):
            self.close_some()
            self.rng.choice(pieces)()
        self.close_all()
        self.emit(0xB7, 0, imm=self.rng.choice((0, 0, 1, 2)))
        self.emit(0x95)

    def through_pointer(self) -> None:
        """Load or store through a pointer to some stack."""
        base = self.some(FP)
        if base < 0:
            return
        if self.rng.random() < 0.5:
            self.emit(0x7A, base, 0, self.rng.choice((0, 0, 8, -8)), self.number())
        else:
            dst = self.target()
            self.emit(0x79, dst, base, self.rng.choice((0, 0, 8, -8)))
            self.kinds[dst] = SCALAR

    def call(self) -> None:
        if not self.functions or self.rng.random() < 0.3:
            self.functions.append(Label())
        if self.rng.random() < 0.3:
            self.buffer(1)
        for register in range(1, self.rng.randrange(2, 4)):
            if register not in self.kinds:
                self.emit(0xB7, register, imm=self.number())
        self.branch(Insn(0x85, 0, 1), self.functions[-1])
        self.clobber()
        self.kinds[0] = SCALAR

    def function(self, label: Label) -> None:
        """A subprogram: numbers and its own stack."""
        self.code.append(label)
        self.kinds = {1: self.rng.choice((SCALAR, SCALAR, FP)), 2: SCALAR}
        self.slots = set()
        self.open = []
        pieces = (
            self.arithmetic, self.compare, self.store_stack, self.load_stack, self.copy,
            self.through_pointer,
        )  # fmt: skip
        for _ in range(self.rng.randrange(1, 7)):
            self.close_some()
            self.rng.choice(pieces)()
        self.close_all()
        self.emit(0xB7, 0, imm=self.number())
        if self.rng.random() < 0.5:
            self.emit(0xBF, 0, 1)
        self.emit(0x95)

    # --- whole programs -----------------------------------------------------------------------

    def close_some(self) -> None:
        """Place the labels whose distance is used up."""
        rest = []
        for distance, label in self.open:
            if distance <= 0:
                self.code.append(label)
            else:
                rest.append((distance - 1, label))
        self.open = rest

    def close_all(self) -> None:
        for _, label in self.open:
            self.code.append(label)
        self.open = []

    def program(self) -> list[Insn]:
        """Make a program; LD_IMM64 of maps hold 0 (array) or 1 (hash) for their fd."""
        self.emit(0xBF, 6, 1)
        self.kinds = {6: CTX}
        pieces: tuple[tuple[Callable[[], None], float], ...] = (
            (self.constant, 2), (self.unknown, 4), (self.arithmetic, 6), (self.copy, 3),
            (self.compare, 4), (self.leave, 3), (self.store_stack, 4), (self.load_stack, 4),
            (self.vary_stack, 1), (self.look_up, 1), (self.use_map, 4), (self.open_packet, 2),
            (self.loop, 1), (self.call, 1), (self.packet_bytes, 1), (self.update, 1),
            (self.context, 1), (self.legacy, 0.3), (self.may_goto, 0.4), (self.call_back, 0.5),
            (self.through_pointer, 1),
        )  # fmt: skip
        names, weights = zip(*pieces, strict=True)
        for _ in range(self.rng.randrange(4, 22)):
            self.close_some()
            self.rng.choices(names, weights)[0]()
        self.close_all()
        self.emit(0xB7, 0, imm=0)
        self.emit(0x95)
        for label in self.functions:
            self.function(label)
        for label in self.callbacks:
            self.callback(label)
        return self.link()

    def link(self) -> list[Insn]:
        """Resolve labels."""
        place: dict[int, int] = {}
        slot_of: list[int] = []
        count = 0
        for item in self.code:
            slot_of.append(count)
            if isinstance(item, Label):
                place[id(item)] = count
            else:
                count += 1
        insns: list[Insn] = []
        for index, item in enumerate(self.code):
            if isinstance(item, Label):
                continue
            label = self.jumps.get(index)
            if label is not None:
                distance = place[id(label)] - slot_of[index] - 1
                if item.code in (0x85, 0x18):
                    insns.append(Insn(item.code, item.dst, item.src, 0, distance))
                else:
                    insns.append(Insn(item.code, item.dst, item.src, distance, item.imm))
            else:
                insns.append(item)
        return insns


def _stop(_number: int, _frame: object) -> None:
    raise TimeoutError


def weaken() -> None:
    """Give up what lets programs leak addresses: CAP_PERFMON and CAP_SYS_ADMIN; keep CAP_BPF."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, words = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(head, words):
        raise OSError(ctypes.get_errno(), "capget")
    words[0] &= ~(1 << SYS_ADMIN)
    words[3] &= ~(1 << PERFMON - 32)
    if libc.capset(head, words):
        raise OSError(ctypes.get_errno(), "capset")


class Judge:
    """Asks both for their verdicts; *weak*: as somebody who has CAP_BPF and no CAP_PERFMON."""

    def __init__(self, weak: bool = False) -> None:
        self.weak = weak
        self.fds = [
            kernel.create_map(ARRAY, 4, VALUE_SIZE, 4),
            kernel.create_map(HASH, 4, VALUE_SIZE, 4),
        ]
        self.world = World(None)
        for fd, map_type in zip(self.fds, (ARRAY, HASH), strict=True):
            row = {"map_type": map_type, "key_size": 4, "value_size": VALUE_SIZE, "max_entries": 4}
            self.world.maps[fd] = Shape(fd, row, None)
        self.type = by_id(SCHED_CLS)
        if weak:
            weaken()

    def bind(self, insns: list[Insn]) -> list[Insn]:
        """Put the file descriptors of the maps in."""
        return [
            Insn(insn.code, insn.dst, insn.src, insn.off, self.fds[insn.imm & 1])
            if insn.code == 0x18 and insn.src == 1
            else insn
            for insn in insns
        ]

    def ours(self, insns: list[Insn], log_level: int = 0) -> tuple[int, str, int, str]:
        """errno (0: accepted), rule, instructions processed, message or log."""
        assert self.type is not None
        request = Request(
            insns=insns, program_type=self.type, environment=self.world, license="GPL",
            log_level=log_level, privileged=not self.weak, has_cap_bpf=True,
        )  # fmt: skip
        try:
            proof = verify(request)
        except Rejected as rejected:
            return rejected.errno, rejected.rule.id, 0, rejected.log or rejected.detail
        return 0, "", proof.statistics.insns_processed, proof.log

    def theirs(self, insns: list[Insn]) -> tuple[int, int, str]:
        """errno, instructions processed, last lines of the log."""
        verdict = kernel.load(insns, SCHED_CLS, log_level=1, log_size=1 << 18)
        found = re.search(r"processed (\d+) insns", verdict.log)
        lines = verdict.log.strip().splitlines()[-4:-1]
        return verdict.errno, int(found[1]) if found else 0, "\n".join(lines)

    def compare(self, insns: list[Insn]) -> str:
        """Class of the outcome: "" if both agree and accept, "both refuse", or a difference."""
        bound = self.bind(insns)
        theirs, cost, _ = self.theirs(bound)
        if cost > MAX_COST:
            return "too long"
        signal.alarm(SECONDS)
        try:
            ours, rule, our_cost, _ = self.ours(bound)
        except Exception as error:  # noqa: BLE001 - a crash is a finding
            return f"CRASH {type(error).__name__}"
        finally:
            signal.alarm(0)
        if ours == 0 and theirs != 0:
            return "HOLE"
        if ours != 0 and theirs == 0:
            return f"nuisance {rule}"
        if ours == 0 and cost != our_cost:
            return "fewer steps" if our_cost < cost else "more steps"
        if ours == 0:
            return ""
        return "both refuse" if ours == theirs else f"errno {ours} for {theirs} {rule}"


def shrink(judge: Judge, insns: list[Insn], outcome: str) -> list[Insn]:
    """Replace instructions by nothing while the outcome stays the same."""
    again = True
    while again:
        again = False
        for index in range(len(insns)):
            if insns[index] == NOP or insns[index].code == 0:
                continue
            trial = list(insns)
            trial[index] = NOP
            if insns[index].code == 0x18:
                trial[index + 1] = NOP
            if judge.compare(trial) == outcome:
                insns, again = trial, True
    return insns


def listing(insns: list[Insn]) -> str:
    """The program as text, without what was shrunk away."""
    lines = []
    for pc, insn in enumerate(insns):
        op = op_of(insn)
        if op is not None and insn != NOP:
            lines.append(f"{pc}: {step_text(Step(pc, insn, op))}")
    return "\n".join(lines)


INTERESTING = re.compile("HOLE|nuisance|CRASH|errno|fewer|more")


def run(
    seed: int,
    count: int,
    store: Path | None,
    show: int,
    only: str,
    maker: type[Maker] = Maker,
    *,
    weak: bool = False,
) -> dict[str, int]:
    """Compare *count* programs; returns how often each outcome came."""
    signal.signal(signal.SIGALRM, _stop)
    judge = Judge(weak)
    tally: dict[str, int] = collections.Counter()
    shown = 0
    for number in range(seed, seed + count):
        insns = maker(random.Random(number)).program()
        outcome = judge.compare(insns)
        tally[outcome or "both accept"] += 1
        if not INTERESTING.match(outcome) or not re.match(only, outcome) or shown >= show:
            continue
        shown += 1
        small = shrink(judge, insns, outcome)
        bound = judge.bind(small)
        print(f"--- seed {number}: {outcome}\n{listing(small)}")
        print("kernel:", judge.theirs(bound)[2])
        if not outcome.startswith("CRASH"):
            print("skep:", judge.ours(bound)[3])
        if store is not None:
            row = {"seed": number, "outcome": outcome, "code": kernel.encode(small).hex()}
            with (store / "found.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
    return dict(tally)


def main(maker: type[Maker] = Maker, description: str | None = __doc__) -> int:
    """Run as a script; exit status 1 if there is a hole or a crash."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--show", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--weak", action="store_true", help="without CAP_PERFMON")
    args = parser.parse_args()
    if kernel.refusal():
        print(kernel.refusal())
        return 0
    tally = run(args.seed, args.count, args.store, args.show, args.only, maker, weak=args.weak)
    for outcome, times in sorted(tally.items(), key=lambda row: -row[1]):
        print(f"{times:6d} {outcome}")
    return int(any(outcome.startswith(("HOLE", "CRASH")) for outcome in tally))


if __name__ == "__main__":
    sys.exit(main())
