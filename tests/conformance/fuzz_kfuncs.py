"""Random programs of kfunc calls: references, sections, iterators and dynptrs, nested and broken.

usage: fuzz_kfuncs.py SEED COUNT

Programs are put together from blocks that open and close something, and now and then a line is
left out, doubled, or moved. The running kernel loads them and never runs them. No maps are passed:
Linux 6.18 dereferences NULL when a work queue is given a map without one.
"""

import errno
import random
import sys
from collections import Counter
from typing import Final

from skep.btf.kinds import Kind
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.uapi.program_types import by_id
from skep.verifier import Rejected, verify
from skep.verifier.interface import Request
from support.running_kernel import RunningKernel
from support.verify_case import World, kernel_btf

KFUNC_CALL: Final = 2
SLOTS: Final = (-8, -16, -24, -32, -48, -64)
# name: program type, expected attach type, name and kind of the target, flags
PROGRAMS: Final = {
    "syscall": (31, 0, "", Kind.FUNC, 16),
    "sched_cls": (3, 0, "", Kind.FUNC, 0),
    "xdp": (6, 0, "", Kind.FUNC, 0),
    "tp_btf": (26, 23, "btf_trace_task_newtask", Kind.TYPEDEF, 0),
    "iter": (26, 28, "bpf_iter_task", Kind.FUNC, 0),
    "iter.s": (26, 28, "bpf_iter_task", Kind.FUNC, 16),
    "socket_filter": (1, 0, "", Kind.FUNC, 0),
}


class Pair:
    """The two judges of a program in assembly language, in which ``kfunc NAME`` is a call."""

    def __init__(self) -> None:
        btf = kernel_btf()
        assert btf is not None
        self.btf, self.kernel, self.world = btf, RunningKernel(), World(btf)
        self.known = {
            "PARENT": btf.find_member(self._struct("task_struct"), "real_parent"),
            "CPUS": btf.find_member(self._struct("task_struct"), "cpus_ptr"),
        }

    def _struct(self, name: str) -> int:
        return self.btf.by_name(name, Kind.STRUCT) or 0

    def code(self, text: str) -> list[Insn]:
        """The instructions."""
        for name, field in self.known.items():
            text = text.replace(name, str(field.offset if field is not None else 0))
        text = text.replace("TASK", str(self._struct("task_struct")))
        made: list[Insn] = []
        for line in text.splitlines():
            if line.startswith("kfunc "):
                type_id = self.btf.by_name(line.split()[1], Kind.FUNC) or 0
                made.append(Insn(0x85, 0, KFUNC_CALL, 0, type_id))
            else:
                made += assemble(line)
        return made

    def verdicts(self, text: str, program: str) -> tuple[int, int, str]:
        """The kernel's errno or 0, ours, and what both say."""
        number, attach_type, target, kind, flags = PROGRAMS[program]
        type_id = (self.btf.by_name(target, kind) or 0) if target else 0
        insns = self.code(text)
        result, log = self.kernel.load(
            number, encode(insns), attach_type=attach_type, attach_btf_id=type_id, flags=flags,
            log_level=1,
        )  # fmt: skip
        if result >= 0:
            self.kernel.close(result)
        row = by_id(number)
        assert row is not None
        ours, words = 0, ""
        try:
            verify(
                Request(
                    insns=insns, program_type=row, environment=self.world, prog_flags=flags,
                    expected_attach_type=attach_type, attach_btf_id=type_id, license="GPL",
                )
            )  # fmt: skip
        except Rejected as verdict:
            ours, words = verdict.errno, f"{verdict.rule.id}@{verdict.pc} {verdict.detail}"
        return max(0, -result), ours, f"{log[-300:]!r} {words!r}"

    def differ(self, text: str, program: str) -> str:
        """What the kernel and skep answer, if it is not the same."""
        theirs, ours, words = self.verdicts(text, program)
        if theirs == ours:
            return ""
        return f"{program}: kernel {theirs}, skep {ours}: {words}\n{text}"


def stack(register: int, off: int) -> list[str]:
    """Make *register* point to ``fp + off``."""
    return [f"r{register} = r10", f"r{register} += {off}"]


class Maker:
    """Makes one program."""

    def __init__(self, rng: random.Random, program: str) -> None:
        self.rng = rng
        self.program = program
        self.readable: list[int] = []  # registers that hold something to load from
        self.free = [6, 7, 8]
        self.sections = 0

    def program_text(self) -> str:
        """A program, broken or not."""
        lines = ["r9 = r1", *self.block(0), *self.block(0)]
        for _ in range(self.rng.choice((0, 0, 0, 0, 1, 1, 2))):
            at = self.rng.randrange(1, len(lines)) if len(lines) > 1 else 0
            change = self.rng.randrange(3)
            # jumps keep their distance: a line is replaced, not taken out
            if change == 0:
                lines[at] = "r5 = 0"
            elif change == 1:
                lines[at] = self.rng.choice(lines[1:] or lines)
            else:
                other = self.rng.randrange(1, len(lines)) if len(lines) > 1 else 0
                lines[at], lines[other] = lines[other], lines[at]
        return "\n".join([*lines, "r0 = 0", "exit"])

    def block(self, depth: int) -> list[str]:
        """Some statements."""
        lines: list[str] = []
        for _ in range(self.rng.randrange(1, 3 if depth else 4)):
            lines += self.statement(depth)
        return lines

    def statement(self, depth: int) -> list[str]:
        """One statement; deeper ones nest less."""
        leaves = (self.load, self.load, self.parent, self.helper, self.slot, self.sleep, self.mask)
        nests = (
            self.hold, self.hold, self.rcu, self.preempt, self.irq, self.numbers, self.tasks,
            self.packet,
        )  # fmt: skip
        if depth > 2 or not self.free or self.rng.random() < 0.3:
            return self.rng.choice(leaves)()
        return self.rng.choice(nests)(depth)

    def saved(self, depth: int) -> tuple[int, list[str]]:
        """A register for what r0 points to, and what is done meanwhile."""
        register = self.free.pop()
        self.readable.append(register)
        inner = self.block(depth + 1)
        self.readable.remove(register)
        self.free.append(register)
        return register, [f"r{register} = r0", *inner]

    def section(self, depth: int) -> list[str]:
        """What is done in a critical section."""
        self.sections += 1
        inner = self.block(depth + 1)
        self.sections -= 1
        return inner

    # --- what opens and closes ----------------------------------------------------------------

    def hold(self, depth: int) -> list[str]:
        """A reference from its acquisition to its release."""
        choices = [
            (["r1 = 1", "kfunc bpf_task_from_pid"], "bpf_task_release"),
            (["r1 = 1", "kfunc bpf_cgroup_from_id"], "bpf_cgroup_release"),
            (["r1 = 0", "kfunc bpf_lookup_system_key"], "bpf_key_put"),
        ]
        if self.program in ("syscall", "tp_btf", "iter", "iter.s"):
            choices.append((["kfunc bpf_cpumask_create"], "bpf_cpumask_release"))
        made, released = self.rng.choice(choices)
        saved, inner = self.saved(depth)
        body = [*inner, f"r1 = r{saved}", f"kfunc {released}"]
        return [*made, f"if r0 == 0 goto +{len(body)}", *body]

    def rcu(self, depth: int) -> list[str]:
        """An RCU read-side section."""
        return ["kfunc bpf_rcu_read_lock", *self.section(depth), "kfunc bpf_rcu_read_unlock"]

    def preempt(self, depth: int) -> list[str]:
        """A section without preemption."""
        return ["kfunc bpf_preempt_disable", *self.section(depth), "kfunc bpf_preempt_enable"]

    def irq(self, depth: int) -> list[str]:
        """A section without interrupts."""
        off = self.rng.choice(SLOTS)
        return [
            *stack(1, off), "kfunc bpf_local_irq_save", *self.section(depth), *stack(1, off),
            "kfunc bpf_local_irq_restore",
        ]  # fmt: skip

    def numbers(self, depth: int) -> list[str]:
        """A loop over numbers."""
        off = self.rng.choice(SLOTS)
        body = ["r5 = *(u32 *)(r0 + 0)", *self.block(depth + 1)]
        return self._loop("num", off, ["r2 = 0", "r3 = 10"], body)

    def tasks(self, depth: int) -> list[str]:
        """A loop over tasks."""
        off = self.rng.choice(SLOTS[2:])
        _, body = self.saved(depth)
        return self._loop("task", off, ["r2 = 0", "r3 = 0"], body)

    def _loop(self, name: str, off: int, arguments: list[str], body: list[str]) -> list[str]:
        back = len(body) + 5
        return [
            *stack(1, off), *arguments, f"kfunc bpf_iter_{name}_new",
            *stack(1, off), f"kfunc bpf_iter_{name}_next",
            f"if r0 == 0 goto +{len(body) + 1}", *body, f"goto -{back}",
            *stack(1, off), f"kfunc bpf_iter_{name}_destroy",
        ]  # fmt: skip

    def packet(self, depth: int) -> list[str]:
        """A slice of the packet."""
        if self.program not in ("sched_cls", "xdp", "socket_filter"):
            return self.hold(depth)
        off, kind = self.rng.choice(SLOTS[1:]), "xdp" if self.program == "xdp" else "skb"
        write = self.rng.choice(("", "", "_rdwr"))
        _, body = self.saved(depth)
        buffer = self.rng.choice((["r3 = 0"], stack(3, -80)))
        return [
            "r1 = r9", "r2 = 0", *stack(3, off), f"kfunc bpf_dynptr_from_{kind}", *stack(1, off),
            "r2 = 0", *buffer, f"r4 = {self.rng.choice((8, 8, 16, 17))}",
            f"kfunc bpf_dynptr_slice{write}", f"if r0 == 0 goto +{len(body)}", *body,
        ]  # fmt: skip

    # --- the rest -----------------------------------------------------------------------------

    def load(self) -> list[str]:
        """A load from something saved."""
        register = self.rng.choice(self.readable) if self.readable else 9
        off = self.rng.choice((0, 4))
        return [f"r1 = *(u32 *)(r{register} + {off})"] if register != 9 else ["call 7"]

    def parent(self) -> list[str]:
        """The parent of the current task, or of a saved one; perhaps a reference to it."""
        start = ["call 158"]
        if self.readable and self.rng.random() < 0.2:
            start = [f"r0 = r{self.rng.choice(self.readable)}"]
        lines = [*start, "r1 = *(u64 *)(r0 + PARENT)"]
        if self.rng.random() < 0.5:
            body = ["r1 = r0", "kfunc bpf_task_release"]
            lines += ["kfunc bpf_task_acquire", f"if r0 == 0 goto +{len(body)}", *body]
        elif self.free:
            lines.append(f"r{self.free[-1]} = r1")
        return lines

    def helper(self) -> list[str]:
        """A harmless helper, and one that moves the packet."""
        if self.program == "sched_cls" and self.rng.random() < 0.5:
            return ["r1 = r9", "r2 = 0", "call 39"]
        return ["call 7"]

    def slot(self) -> list[str]:
        """A store to, or a load from, the stack."""
        off = self.rng.choice((*SLOTS, -72, -72, -72))
        return self.rng.choice(
            ([f"*(u64 *)(r10 + {off}) = 0"], [f"r1 = *(u64 *)(r10 + {off})"], ["r5 = 0"])
        )

    def sleep(self) -> list[str]:
        """Something that sleeps, mostly where that is allowed."""
        if (self.program not in ("syscall", "iter.s") or self.sections) and (
            self.rng.random() < 0.9
        ):
            return ["call 7"]
        return [*stack(1, -96), "r2 = 8", "r3 = 0", "r4 = 0", "kfunc bpf_copy_from_user_str"]

    def mask(self) -> list[str]:
        """A question about the CPUs of a task, or of a saved mask."""
        if self.program not in ("syscall", "tp_btf", "iter", "iter.s"):
            return ["call 7"]
        start = ["call 158", "r1 = *(u64 *)(r0 + CPUS)"]
        if self.readable and self.rng.random() < 0.3:
            start = [f"r1 = r{self.rng.choice(self.readable)}"]
        return [*start, "kfunc bpf_cpumask_first"]


def run(seed: int, count: int, show: int = 5) -> Counter[str]:
    """Judge *count* programs; print the first differences."""
    rng = random.Random(seed)
    pair = Pair()
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        program = rng.choice(tuple(PROGRAMS))
        text = Maker(rng, program).program_text()
        try:
            theirs, ours, words = pair.verdicts(text, program)
        except ValueError:
            continue
        outcome = _outcome(theirs, ours)
        outcomes[outcome] += 1
        if outcome not in ("both accept", "both refuse") and outcomes[outcome] <= show:
            print(f"{outcome}: {program}: kernel {theirs}, skep {ours}: {words}\n{text}\n")
    return outcomes


def _outcome(theirs: int, ours: int) -> str:
    if theirs == ours:
        return "both refuse" if ours else "both accept"
    if ours == errno.EOPNOTSUPP:
        return "not supported"
    if theirs and ours:
        return "another errno"
    return "false refusal" if ours else "FALSE ACCEPT"


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2]), show=3))
