"""Changed copies of programs: an instruction or two dropped, doubled, exchanged or altered."""

import random
from dataclasses import replace
from typing import Final

from skep.isa.insn import Insn

# Linux 6.18 dereferences NULL when these get a map without special fields.
DEADLY: Final = (
    "bpf_wq_init", "bpf_wq_start", "bpf_wq_set_callback_impl", "bpf_task_work_schedule_signal",
    "bpf_task_work_schedule_resume", "bpf_task_work_schedule_signal_impl",
    "bpf_task_work_schedule_resume_impl",
)  # fmt: skip
TAIL_CALL: Final = 12
CALL, KFUNC = 0x85, 2
NOP: Final = Insn(0x05)
SIZES: Final = (0x00, 0x08, 0x10, 0x18)
ALU: Final = (0x00, 0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0)
JUMPS: Final = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
ATOMICS: Final = (0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1, 0x100, 0x110)
BORDERS: Final = (0, 1, -1, 7, 8, 15, 16, 31, 32, 63, 64, 255, 0x7FFFFFFF, -(2**31), 4096)
KFUNCS: Final = (
    "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable",
    "bpf_obj_drop_impl", "bpf_obj_new_impl", "bpf_task_acquire", "bpf_task_release",
    "bpf_refcount_acquire_impl", "bpf_list_push_back_impl", "bpf_list_pop_front",
    "bpf_iter_num_next", "bpf_iter_num_destroy", "bpf_dynptr_adjust", "bpf_dynptr_is_null",
    "bpf_dynptr_size", "bpf_dynptr_clone", "bpf_rdonly_cast", "bpf_cast_to_kern_ctx",
    "bpf_get_kmem_cache", "bpf_throw", "bpf_cgroup_release", "bpf_cpumask_release",
)  # fmt: skip


class Mutator:
    """Changes programs."""

    def __init__(self, rng: random.Random, deadly: frozenset[int], kfuncs: tuple[int, ...]) -> None:
        self.rng, self.deadly, self.kfuncs = rng, deadly, kfuncs

    def mutant(self, insns: list[Insn]) -> list[Insn] | None:
        """A changed copy; None if it must not be loaded."""
        made = list(insns)
        for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
            self._change(made)
        return None if made == insns or self.is_deadly(made) else made

    def is_deadly(self, insns: list[Insn]) -> bool:
        """Tell whether the kernel must not be asked.

        A subprogram that ends by a tail call or a legacy load makes Linux 6.18.44 write beyond its
        masks when precision is walked back over it.
        """
        if any(insn.code == CALL and insn.src == KFUNC and insn.imm in self.deadly
               for insn in insns):  # fmt: skip
            return True
        whole = not any((insn.code == CALL and insn.src == 1) or (insn.code == 0x18 and
                        insn.src == 4) for insn in insns)  # fmt: skip
        return not whole and any(
            (insn.code == CALL and not insn.src and insn.imm == TAIL_CALL)
            or (insn.code & 7 == 0 and insn.code & 0xE0 in (0x20, 0x40))
            for insn in insns
        )

    def _change(self, insns: list[Insn]) -> None:
        rng = self.rng
        at = rng.randrange(len(insns))
        insn = insns[at]
        if is_wide(insn):
            if insn.code and rng.random() < 0.3:
                insns[at] = replace(insn, dst=rng.randrange(10))
            return
        kind = rng.random()
        if kind < 0.36:
            self._move(insns, at, kind)
        else:
            insns[at] = self._field(insn)

    def _move(self, insns: list[Insn], at: int, kind: float) -> None:
        """Take instructions out, or let them stand elsewhere."""
        rng = self.rng
        if kind < 0.12:
            insns[at] = NOP
        elif kind < 0.18:
            other = rng.randrange(len(insns))
            if not is_wide(insns[other]):
                insns[at], insns[other] = insns[other], insns[at]
        elif kind < 0.24:
            self._copy(insns, at, rng.randrange(len(insns)), rng.randrange(1, 7))
        elif kind < 0.28:
            for place in range(at, min(at + rng.randrange(2, 7), len(insns))):
                if not is_wide(insns[place]):
                    insns[place] = NOP
        else:
            insns[at] = self._jump()

    def _copy(self, insns: list[Insn], to: int, start: int, count: int) -> None:
        """Let some instructions stand in another place, too."""
        for insn in insns[start : start + count]:
            if to >= len(insns) or is_wide(insns[to]) or is_wide(insn):
                return
            insns[to] = insn
            to += 1

    def _jump(self) -> Insn:
        """A branch past what comes next."""
        rng = self.rng
        off, kind = rng.randrange(1, 9), rng.random()
        if kind < 0.05:
            return Insn(0xE5, off=off)
        if kind < 0.15:
            return Insn(0x05, off=off)
        code = rng.choice(JUMPS) | rng.choice((5, 5, 6))
        return Insn(code, rng.randrange(10), 0, off, rng.choice((0, 0, 1, 8)))

    def _field(self, insn: Insn) -> Insn:
        rng = self.rng
        kind = insn.code & 7
        if insn.code == CALL:
            return self._call(insn)
        if insn.code == 0x95:
            return NOP
        choice = rng.choice(("code", "code", "dst", "src", "off", "off", "imm", "imm"))
        if choice == "code":
            return replace(insn, code=self._code(insn))
        if choice in ("dst", "src"):
            return replace(insn, **{choice: rng.randrange(11)})
        if choice == "off" and kind not in (4, 7):
            return replace(insn, off=near(rng, insn.off, 16))
        atomic = kind == 3 and insn.code & 0xE0 == 0xC0
        imm = rng.choice(ATOMICS) if atomic else near(rng, insn.imm, 32)
        return replace(insn, imm=imm)

    def _code(self, insn: Insn) -> int:
        rng, code = self.rng, insn.code
        kind = code & 7
        if kind in (0, 1, 2, 3):  # loads and stores
            modes = (0x60, 0x60, 0x80) if kind == 1 else (code & 0xE0,)
            return rng.choice(modes) | rng.choice(SIZES) | kind
        if kind in (5, 6):
            flip = rng.random()
            if flip < 0.3:
                return code ^ 3 if code & 0xF0 not in (0x80, 0x90) else code
            if flip < 0.5:
                return code ^ 8
            return rng.choice(JUMPS) | code & 0x0F
        flip = rng.random()
        if flip < 0.35:
            return code ^ 3  # the other width
        return code ^ 8 if flip < 0.5 else rng.choice(ALU) | code & 0x0F

    def _call(self, insn: Insn) -> Insn:
        rng = self.rng
        if insn.src == KFUNC:
            return replace(insn, imm=rng.choice(self.kfuncs))
        if insn.src:
            return replace(insn, imm=insn.imm + rng.choice((-2, -1, 1, 2)))
        return replace(insn, imm=rng.randrange(1, 212))


def is_wide(insn: Insn) -> bool:
    """Whether the instruction is half of a wide one."""
    return insn.code in (0x18, 0)


def near(rng: random.Random, number: int, bits: int) -> int:
    """Another number, not far from *number* or at some border."""
    chosen = rng.choice(
        (number + rng.choice((-1, 1)), number + rng.choice((-8, -4, -2, 2, 4, 8)),
         -number, rng.choice(BORDERS), number ^ (1 << rng.randrange(bits)))
    )  # fmt: skip
    half = 1 << bits - 1
    return (chosen + half) % (2 * half) - half
