"""Random walks through kernel objects, judged by the running kernel and by verify().

usage: python tests/conformance/fuzz_walks.py [--seed N] [--count N] [--show N]

Programs of type tracing, attached to nothing, follow pointers from the arguments of a tracepoint or
an iterator. They are loaded and closed, never run.
"""

import argparse
import collections
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.fuzz_calls import compare
from skep.btf import kinds
from skep.btf.kinds import Kind
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.uapi.program_types import TRACING
from skep.verifier import Rejected, Request, verify
from support.running_kernel import RunningKernel
from support.verify_case import World, kernel_btf

RAW_TP, ITER = 23, 28
# Not signal_generate: 6.18.44 takes its second argument for a pointer, later kernels know better.
TARGETS = (
    *((RAW_TP, f"btf_trace_{name}") for name in (
        "task_newtask", "sched_switch", "sched_wakeup", "kfree_skb", "netif_rx", "task_rename",
        "sys_enter", "sched_process_exec", "sched_process_exit", "block_rq_issue", "tcp_probe",
        "consume_skb", "net_dev_queue", "sched_process_fork", "inet_sock_set_state",
        "mm_page_alloc",
        "cgroup_mkdir", "workqueue_execute_start", "sched_pi_setprio",
    )),
    *((ITER, f"bpf_iter_{name}") for name in (
        "task", "task_file", "task_vma", "bpf_map", "bpf_prog", "bpf_link", "cgroup", "tcp", "udp",
        "unix", "netlink", "ksym",
    )),
)  # fmt: skip


class Walker:
    """Makes programs that walk, and asks both sides."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kernel = RunningKernel()
        btf = kernel_btf()
        assert btf is not None
        self.btf = btf
        self.world = World(btf)
        self.targets = [
            (attach_type, name, found)
            for attach_type, name in TARGETS
            if (found := btf.by_name(name, Kind.TYPEDEF if attach_type == RAW_TP else Kind.FUNC))
        ]

    def program(self, target: int, hidden: int) -> str:
        """Text of a walk from the arguments of *target*."""
        pick = self.random.choice
        params = self.btf.func_proto(target).params[hidden:]
        lines = ["r6 = r1", "r9 = 0"]
        for _ in range(pick((1, 1, 2))):
            number = self.random.randrange(len(params) + (self.random.random() < 0.05))
            lines.append(f"r7 = *(u64 *)(r6 + {8 * number})")
            at = params[number].type if number < len(params) else 0
            for _ in range(pick((1, 2, 3, 4))):
                if self.random.random() < 0.5:
                    lines.append("if r7 == 0 goto out")
                at = self.step(lines, at)
                if not at:
                    break
        return "\n".join([*lines, "out:", "r0 = 0", "exit"])

    def step(self, lines: list[str], at: int) -> int:
        """Add an access through r7, which points to type *at*; returns what it points to then."""
        pick, chance = self.random.choice, self.random.random()
        struct, start = self.inside(at)
        members = [] if struct is None else struct.members
        if not members or chance < 0.1:
            lines.append(f"r7 = *({pick(('u8', 'u32', 'u64'))} *)(r7 + {pick((0, 8, 16, 100))})")
            return 0
        member = pick(members)
        off = start + member.offset + (pick((1, 4, 8)) if self.random.random() < 0.1 else 0)
        if self.random.random() < 0.04:
            lines.append(f"*(u64 *)(r7 + {min(off, 32000)}) = 0")
            return at
        pointer = isinstance(self.btf.resolved(member.type), kinds.Ptr)
        size = "u64" if pointer and chance < 0.9 else pick(("u8", "u16", "u32", "u64"))
        lines.append(f"r7 = *({size} *)(r7 + {min(off, 32000)})")
        return member.type if pointer else 0

    def inside(self, at: int) -> tuple[kinds.Composite | None, int]:
        """A struct that *at* points to, or one nested in it, and its offset."""
        type_ = self.btf.resolved(at) if at else None
        if not isinstance(type_, kinds.Ptr):
            return None, 0
        struct = self.btf.resolved(type_.type)
        start = 0
        while isinstance(struct, kinds.Composite) and struct.members:
            if self.random.random() > 0.3:
                break
            member = self.random.choice(struct.members)
            inner = self.btf.type(self.btf.array_elems(member.type)[0])
            if isinstance(inner, kinds.Composite):
                struct, start = inner, start + member.offset
        return (struct, start) if isinstance(struct, kinds.Composite) else (None, 0)

    def ask(self, attach_type: int, target: int, text: str) -> tuple[int, int, str, str]:
        """Answers of kernel and verifier (0, or an errno), and what they say."""
        insns = assemble(text)
        fd, log = self.kernel.load(
            TRACING.id, encode(insns), attach_type=attach_type, attach_btf_id=target, log_level=1
        )
        if fd >= 0:
            self.kernel.close(fd)
        lines = [line for line in log.splitlines() if not line.startswith("processed")]
        request = Request(
            insns=insns, program_type=TRACING, environment=self.world, license="GPL",
            expected_attach_type=attach_type, attach_btf=self.btf, attach_btf_id=target,
        )  # fmt: skip
        try:
            verify(request)
        except Rejected as rejected:
            return min(fd, 0), rejected.errno, lines[-1] if lines else "", rejected.detail
        return min(fd, 0), 0, lines[-1] if lines else "", ""

    def run(self, count: int, show: int) -> dict[str, int]:
        """Compare *count* programs; returns how often each outcome came."""
        counts: collections.Counter[str] = collections.Counter()
        for _ in range(count):
            attach_type, name, target = self.random.choice(self.targets)
            text = self.program(target, 1 if attach_type == RAW_TP else 0)
            theirs, ours, said, detail = self.ask(attach_type, target, text)
            outcome = compare(theirs, ours)
            counts[outcome] += 1
            if not outcome.startswith("both") and counts[outcome] <= show:
                print(f"== {outcome}: {name}\n  kernel {theirs} {said}\n  here   {ours} {detail!r}")
                print("    " + text.replace("\n", "; "))
        return dict(counts)


def main() -> int:
    """Fuzz from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--show", type=int, default=10)
    options = parser.parse_args()
    counts = Walker(options.seed).run(options.count, options.show)
    print(counts)
    return 1 if counts.get("FALSE ACCEPT") else 0


if __name__ == "__main__":
    sys.exit(main())
