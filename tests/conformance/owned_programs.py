"""Programs of owned things, as text: what ``fuzz_owned`` judges.

``kfunc NAME`` is a call, ``map[NAME]`` a map of ``tests/objects/owned.bpf.c``, ``ENTRY`` its type.
"""

import random
from collections.abc import Callable
from typing import Final

LOCK, LIST, TREE, KEPT, TASK, DATA = 0, 8, 24, 40, 48, 56  # members of a box
IN_TREE, KEY = 24, 64  # members of an entry
BOX, OTHER, NODE, MORE = 6, 7, 8, 9  # registers and what they hold
SLOT, DYNPTR, ITERATOR = -16, -40, -56
DEEPEST: Final = 3


class Owner:
    """Makes one program."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.labels = 0
        self.depth = 0
        self.locked = False
        self.held: list[int] = []  # registers with something to look at
        self.functions: list[tuple[str, Callable[[], list[str]]]] = []

    def program(self) -> str:
        """A program, more often right than wrong."""
        lines = [
            f"*(u64 *)(r10 + {DYNPTR}) = 0", f"*(u64 *)(r10 + {SLOT}) = 0", "r9 = 0",
            *self.look_up(BOX), *self.look_up(OTHER), "r8 = 0", *self.block(),
        ]  # fmt: skip
        lines += ["r0 = 0", "exit"]
        while self.functions:
            name, write = self.functions.pop()
            self.depth = 2
            self.locked, self.held = False, []
            lines += [f"{name}:", *write()]
        return "\n".join(self.damaged(lines))

    def damaged(self, lines: list[str]) -> list[str]:
        """Now and then a line left out, twice there, or moved."""
        lines = list(lines)
        fixed = [not line.endswith(":") for line in lines]
        places = [at for at, free in enumerate(fixed) if free and at > 2]
        for _ in range(self.rng.choice((0, 0, 0, 0, 1, 1, 2))):
            at, other = self.rng.choice(places), self.rng.choice(places)
            change = self.rng.randrange(4)
            if change == 0:
                lines[at] = "r5 = 0"
            elif change == 1:
                lines[at] = lines[other]
            elif change == 2:
                lines[at], lines[other] = lines[other], lines[at]
            else:
                lines[at] = f"if r{self.rng.randrange(10)} == 0 goto +{self.rng.randrange(1, 5)}"
        return lines

    def label(self) -> str:
        """A new name."""
        self.labels += 1
        return f"l{self.labels}"

    def block(self) -> list[str]:
        """Some statements; deeper ones nest less."""
        lines: list[str] = []
        for _ in range(self.rng.choice((1, 1, 2, 2, 3)) if self.depth else 3):
            ways = INNER if self.locked else OUTER
            if self.depth >= DEEPEST:
                ways = LEAVES
            lines += self.rng.choice(ways)(self)
        return lines

    def deeper(self, register: int = 0) -> list[str]:
        """A block one level down, while *register* holds something."""
        self.depth += 1
        self.held.append(register or BOX)
        lines = self.block()
        self.held.pop()
        self.depth -= 1
        return lines

    def pointer(self, register: int, base: int, off: int) -> list[str]:
        """Make *register* point to *off* from *base*, seldom elsewhere."""
        if self.rng.random() < 0.01:
            off += self.rng.choice((-8, 8, 16))
        return [f"r{register} = r{base}", *([f"r{register} += {off}"] if off else [])]

    def box(self) -> int:
        """A register with a box; mostly the same one."""
        return BOX if self.rng.random() < 0.95 else OTHER

    # --- what there is to do ----------------------------------------------------------------------

    def look_up(self, register: int) -> list[str]:
        on = self.label()
        name = self.rng.choice(("boxes", "boxes", "drawers"))
        return [
            f"*(u32 *)(r10 - 4) = {self.rng.choice((0, 1))}", "r2 = r10", "r2 += -4",
            f"r1 = map[{name}]", "call 1", f"if r0 != 0 goto {on}", "exit", f"{on}:",
            f"r{register} = r0",
        ]  # fmt: skip

    def make(self) -> list[str]:
        """A node, what is done with it, and its end."""
        over, register = self.label(), self.rng.choice((NODE, NODE, MORE))
        return [
            "r1 = ENTRY", "r2 = 0", "kfunc bpf_obj_new_impl", f"if r0 == 0 goto {over}",
            f"r{register} = r0", *self.deeper(register), *self.end_of(register), f"{over}:",
        ]  # fmt: skip

    def end_of(self, register: int) -> list[str]:
        """Get rid of a node."""
        ways = (self.drop, self.drop, self.insert, self.insert, self.exchange, self.pass_on)
        lines = self.rng.choice(ways)(register)
        return lines if self.rng.random() < 0.9 else [*lines, *self.touch(register)]

    def drop(self, register: int) -> list[str]:
        return [f"r1 = r{register}", "r2 = 0", "kfunc bpf_obj_drop_impl"]

    def insert(self, register: int) -> list[str]:
        """Into the list or the tree."""
        lines = [] if self.locked else self.lock()
        if self.rng.random() < 0.6:
            lines += [
                *self.pointer(1, self.box(), LIST), *self.pointer(2, register, 0), "r3 = 0",
                "r4 = 0", f"kfunc bpf_list_push_{self.rng.choice(('front', 'back'))}_impl",
            ]  # fmt: skip
        else:
            less = self.label()
            self.functions.append((less, self.less))
            lines += [
                *self.pointer(1, self.box(), TREE), *self.pointer(2, register, IN_TREE),
                f"r3 = func[{less}]", "r4 = 0", "r5 = 0", "kfunc bpf_rbtree_add_impl",
            ]  # fmt: skip
        if self.rng.random() < 0.3:
            lines += self.touch(register)
        return lines if self.locked else [*lines, *self.unlock()]

    def less(self) -> list[str]:
        """The order of the tree."""
        return [
            f"r1 = *(u64 *)(r1 + {KEY - IN_TREE})", f"r2 = *(u64 *)(r2 + {KEY - IN_TREE})",
            "r0 = 1", "if r1 < r2 goto +1", "r0 = 0", "exit",
        ]  # fmt: skip

    def exchange(self, register: int = 0) -> list[str]:
        """Into the box, and what was there out of it."""
        over = self.label()
        given = f"r2 = r{register}" if register else "r2 = 0"
        return [
            *self.pointer(1, self.box(), KEPT), given, "call 194",
            f"if r0 == 0 goto {over}", *self.drop(0), f"{over}:",
        ]  # fmt: skip

    def take(self) -> list[str]:
        """Take what a box keeps."""
        over = self.label()
        return [
            *self.pointer(1, self.box(), KEPT), "r2 = 0", "call 194", f"if r0 == 0 goto {over}",
            f"r{MORE} = r0", *self.deeper(MORE), *self.end_of(MORE), f"{over}:",
        ]  # fmt: skip

    def pass_on(self, register: int) -> list[str]:
        """To a subprogram."""
        name = self.label()
        self.functions.append((name, self.taker))
        return [f"r1 = r{register}", f"r2 = r{BOX}", f"call {name}"]

    def taker(self) -> list[str]:
        """A subprogram that gets a node and a box."""
        if self.rng.random() < 0.5:
            return ["r6 = r2", "r7 = r2", "r8 = r1", *self.end_of(NODE), "r0 = 0", "exit"]
        return ["r6 = r2", "r7 = r2", "r8 = r1", "r9 = 0", *self.deeper(NODE), *self.end_of(NODE),
                "r0 = 0", "exit"]  # fmt: skip

    def share(self) -> list[str]:
        """Another reference to a node."""
        if not set(self.held) & {NODE, MORE}:
            return self.number()
        return [f"r1 = r{max(self.held)}", "r2 = 0", "kfunc bpf_refcount_acquire_impl",
                *([f"if r0 == 0 goto +{3}"] if self.rng.random() < 0.1 else []),
                "r1 = r0", "r2 = 0", "kfunc bpf_obj_drop_impl"]  # fmt: skip

    def touch(self, register: int = 0) -> list[str]:
        register = register or self.rng.choice((BOX, *self.held))
        off = DATA if register == BOX else self.rng.choice((KEY,) * 30 + (DATA, 0))
        load = f"r1 = *(u64 *)(r{register} + {off})"
        return [self.rng.choice((load, load, f"*(u64 *)(r{register} + {off}) = 1"))]

    # --- locks and sections -----------------------------------------------------------------------

    def lock(self) -> list[str]:
        return [*self.pointer(1, self.box(), LOCK), "call 93"]

    def unlock(self) -> list[str]:
        return [*self.pointer(1, self.box(), LOCK), "call 94"]

    def under_lock(self) -> list[str]:
        self.locked = True
        inner = self.deeper()
        self.locked = False
        return [*self.lock(), *inner, *self.unlock()]

    def pop(self) -> list[str]:
        """Take the first of the list or of the tree, and drop it after the lock."""
        over, out = self.label(), self.label()
        if self.rng.random() < 0.5:
            end = self.rng.choice(("front", "back"))
            lines = [
                *self.lock(), *self.pointer(1, self.box(), LIST), f"kfunc bpf_list_pop_{end}",
                f"r{MORE} = r0", *self.unlock(), f"if r{MORE} == 0 goto {over}",
            ]  # fmt: skip
        else:
            lines = [
                *self.lock(), *self.pointer(1, self.box(), TREE), "kfunc bpf_rbtree_first",
                f"if r0 == 0 goto {out}", *self.pointer(1, self.box(), TREE), "r2 = r0",
                "kfunc bpf_rbtree_remove", f"r{MORE} = r0", *self.unlock(),
                f"if r{MORE} == 0 goto {over}", f"r{MORE} += -{IN_TREE}",
            ]  # fmt: skip
        lines += [*self.deeper(MORE), *self.end_of(MORE)]
        if f"if r0 == 0 goto {out}" in lines:
            lines += [f"goto {over}", f"{out}:", *self.unlock()]
        return [*lines, f"{over}:"]

    def peek(self) -> list[str]:
        """Look at the first one under the lock."""
        over = self.label()
        if not self.locked and self.rng.random() < 0.98:
            return self.number()
        if self.rng.random() < 0.5:
            return [
                *self.pointer(1, self.box(), LIST), "kfunc bpf_list_front",
                f"if r0 == 0 goto {over}", f"r1 = *(u64 *)(r0 + {KEY})", f"{over}:",
            ]  # fmt: skip
        return [
            *self.pointer(1, self.box(), TREE), "kfunc bpf_rbtree_first",
            f"if r0 == 0 goto {over}", f"r{MORE} = r0", f"r1 = *(u64 *)(r0 + {KEY - IN_TREE})",
            *([f"*(u64 *)(r10 + {SLOT}) = r{MORE}"] if self.rng.random() < 0.3 else []), f"{over}:",
        ]  # fmt: skip

    def protected(self) -> list[str]:
        """What a box keeps, in an RCU section."""
        over, off = self.label(), self.rng.choice((KEPT, TASK))
        return [
            "kfunc bpf_rcu_read_lock", f"r1 = *(u64 *)(r{self.box()} + {off})",
            f"if r1 == 0 goto {over}", f"r{MORE} = r1",
            f"r2 = *(u64 *)(r1 + {KEY if off == KEPT else 0})",
            *self.deeper(MORE), f"{over}:", "kfunc bpf_rcu_read_unlock",
        ]  # fmt: skip

    def task(self) -> list[str]:
        """A task into the box."""
        over, out = self.label(), self.label()
        return [
            "call 158", "r1 = r0", "kfunc bpf_task_acquire", f"if r0 == 0 goto {over}", "r2 = r0",
            *self.pointer(1, self.box(), TASK), "call 194", f"if r0 == 0 goto {out}", "r1 = r0",
            "kfunc bpf_task_release", f"{out}:", f"{over}:",
        ]  # fmt: skip

    # --- records, dynptrs, iterators --------------------------------------------------------------

    def record(self) -> list[str]:
        over = self.label()
        end = self.rng.choice((132, 133))
        return [
            "r1 = map[ring]", "r2 = 72", "r3 = 0", "call 131", f"if r0 == 0 goto {over}",
            f"r{MORE} = r0", *self.deeper(MORE), f"r1 = r{MORE}", "r2 = 0", f"call {end}",
            f"{over}:",
        ]  # fmt: skip

    def dynptr(self) -> list[str]:
        place = ["r4 = r10", f"r4 += {DYNPTR}"]
        end = self.rng.choice((199, 200))
        return [
            "r1 = map[ring]", "r2 = 72", "r3 = 0", *place, "call 198", *self.slice(),
            *self.deeper(), *self.slice(), "r1 = r10", f"r1 += {DYNPTR}", "r2 = 0", f"call {end}",
        ]  # fmt: skip

    def slice(self) -> list[str]:
        over, rng = self.label(), self.rng
        if rng.random() < 0.5:
            return []
        return [
            "r1 = r10", f"r1 += {DYNPTR}", "r2 = 0", "r3 = 8", "call 203",
            f"if r0 == 0 goto {over}", f"r1 = *(u64 *)(r0 + {rng.choice((0, 0, 0, 8))})",
            *([f"r{MORE} = r0"] if rng.random() < 0.3 else []), f"{over}:",
        ]  # fmt: skip

    def rounds(self) -> list[str]:
        """A loop of an iterator."""
        again, out = self.label(), self.label()
        place = ["r1 = r10", f"r1 += {ITERATOR}"]
        inner = self.deeper()
        return [
            *place, "r2 = 0", "r3 = 5", "kfunc bpf_iter_num_new", f"{again}:", *place,
            "kfunc bpf_iter_num_next", f"if r0 == 0 goto {out}", *inner, f"goto {again}",
            f"{out}:", *place, "kfunc bpf_iter_num_destroy",
        ]  # fmt: skip

    def each(self) -> list[str]:
        """A callback for the values of a map, or some times."""
        name = self.label()
        if self.rng.random() < 0.5:
            self.functions.append((name, lambda: self.called("r6 = r3")))
            return [f"r1 = map[{self.rng.choice(('boxes', 'drawers'))}]", f"r2 = func[{name}]",
                    "r3 = 0", "r4 = 0", "call 164"]  # fmt: skip
        self.functions.append((name, lambda: self.called("r6 = *(u64 *)(r2 + 0)")))
        return [f"*(u64 *)(r10 + {SLOT}) = r{BOX}", "r1 = 3", f"r2 = func[{name}]", "r3 = r10",
                f"r3 += {SLOT}", "r4 = 0", "call 181"]  # fmt: skip

    def called(self, box: str) -> list[str]:
        """A callback; *box* puts a box into r6."""
        return [box, "r7 = r6", "r8 = 0", "r9 = 0", *self.deeper(), "r0 = 0", "exit"]

    # --- the rest ---------------------------------------------------------------------------------

    def maybe(self) -> list[str]:
        """A branch."""
        over = self.label()
        number = f"r0 = *(u64 *)(r{BOX} + {DATA})" if self.locked else "call 7"
        return [number, f"if r0 == 0 goto {over}", *self.deeper(), f"{over}:"]

    def spill(self) -> list[str]:
        register = self.rng.choice((BOX, *self.held))
        return [
            f"*(u64 *)(r10 + {SLOT}) = r{register}", f"r{register} = 0",
            f"r{register} = *(u64 *)(r10 + {SLOT})",
        ]  # fmt: skip

    def number(self) -> list[str]:
        return self.rng.choice((["r0 = 1"], ["r5 = 0"], [f"r1 = *(u64 *)(r{BOX} + {DATA})"]))


OUTER: Final[tuple[Callable[[Owner], list[str]], ...]] = (
    Owner.make, Owner.make, Owner.make, Owner.under_lock, Owner.pop, Owner.pop, Owner.take,
    Owner.exchange, Owner.protected, Owner.task, Owner.record, Owner.dynptr, Owner.rounds,
    Owner.each, Owner.maybe, Owner.maybe, Owner.spill, Owner.share, Owner.touch,
)  # fmt: skip
INNER: Final[tuple[Callable[[Owner], list[str]], ...]] = (
    Owner.peek, Owner.peek, Owner.touch, Owner.maybe, Owner.spill, Owner.number,
)  # fmt: skip
LEAVES: Final[tuple[Callable[[Owner], list[str]], ...]] = (
    Owner.touch, Owner.number, Owner.spill, Owner.share, Owner.peek,
)  # fmt: skip
