"""Random programs around timers, work queues, task work and exceptions: the kernel's verdict, ours.

usage: fuzz_deferred.py SEED COUNT

Programs are C, put together from right and wrong uses of special fields, callbacks, sections and
throws, many in one object. The running kernel loads them and never runs them.

No work queue or task work is given a map without special fields: Linux 6.18 follows a NULL pointer
when it verifies that. Nor is any given a map whose values have none of it: 6.18 forgets to compare.
No program has an exception callback: where only dead code calls another function, 6.18 removes that
function, keeps the callback's old number, and oopses (jit_subprogs). Should the kernel oops after
all, nothing more is loaded.
"""

import errno
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from skep.loader.door import ProgramRefused
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.target import Target
from skep.session.verdicts import verify_file
from support.verify_case import kernel_btf

SOURCES: Final = Path(__file__).parent / "kfuncs"
PER_OBJECT: Final = 60
CALLBACKS: Final = 14
# map: type of its values, and their timer, work queue and task work; all have special fields
MAPS: Final = {
    "alls": "all", "alls2": "all", "timers": "timed", "timers2": "timed", "works": "worked",
    "works2": "worked", "tasks": "tasked", "tasks2": "tasked", "lockeds": "locked",
}  # fmt: skip
TIMERS: Final = {"all": "&v->t", "timed": "&v->t", "locked": "&v->t"}
WORKS: Final = {"all": "&v->w", "worked": "&v->w"}
TASKS: Final = {"all": "&v->k", "tasked": "&v->k"}
HEAD: Final = """
#include "common.h"
extern int bpf_task_work_schedule_signal_impl(struct task_struct *, struct bpf_task_work *, void *,
	int (*)(struct bpf_map *, void *, void *), void *) __ksym;
struct all { int x; struct bpf_timer t; struct bpf_wq w; struct bpf_task_work k; int y; };
struct timed { struct bpf_timer t; };
struct worked { struct bpf_wq w; };
struct tasked { long pad; struct bpf_task_work k; };
struct locked { struct bpf_spin_lock lock; struct bpf_timer t; int x; };
#define MAP(name, kind, T) struct { __uint(type, BPF_MAP_TYPE_##kind); __uint(max_entries, 4); \\
	__type(key, int); __type(value, T); } name SEC(".maps")
MAP(alls, ARRAY, struct all); MAP(alls2, ARRAY, struct all); MAP(timers, HASH, struct timed);
MAP(timers2, LRU_HASH, struct timed); MAP(works, HASH, struct worked);
MAP(works2, ARRAY, struct worked); MAP(tasks, HASH, struct tasked);
MAP(tasks2, ARRAY, struct tasked); MAP(lockeds, ARRAY, struct locked);
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
int global;
static __noinline int thrower(int x) { if (x > 3) bpf_throw(x & 1); return x; }
static __noinline int nested(int x) { return thrower(x) + thrower(global); }
__noinline int global_thrower(int x) { if (x > 3) bpf_throw(0); return x & 1; }
__noinline int harmless(int x) { return x & 1; }
"""
RESULTS: Final = (
    "0",
    "0",
    "0",
    "1",
    "global",
    "global & 1",
    "-1",
    "(long)value",
    "*key",
    "*key & 1",
)
SECTIONS: Final = (
    ("bpf_rcu_read_lock();", "bpf_rcu_read_unlock();"),
    ("bpf_preempt_disable();", "bpf_preempt_enable();"),
    ("{ unsigned long flags; bpf_local_irq_save(&flags);", "bpf_local_irq_restore(&flags); }"),
    (
        "{ struct task_struct *t = bpf_task_from_pid(1); if (t) {",
        "bpf_task_release(t); } }",
    ),
    (
        "{ int *r = bpf_ringbuf_reserve(&ring, 8, 0); if (r) {",
        "bpf_ringbuf_discard(r, 0); } }",
    ),
    ("{ int i; bpf_for(i, 0, 4) {", "} }"),
    ("if (global > 5) {", "}"),
    (
        (
            "{ int k = 0; struct locked *l = bpf_map_lookup_elem(&lockeds, &k); if (l) { "
            "bpf_spin_lock(&l->lock);"
        ),
        "bpf_spin_unlock(&l->lock); } }",
    ),
)  # fmt: skip


class _Writer:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def text(self, count: int) -> str:
        """Callbacks, then *count* programs."""
        parts = [HEAD]
        parts += [f"static int callback{n}(void *, int *, void *);" for n in range(CALLBACKS)]
        parts += [self.callback(number) for number in range(CALLBACKS)]
        parts += [self.program(number) for number in range(count)]
        return "\n".join(parts)

    def callback(self, number: int) -> str:
        struct = self.pick(*dict.fromkeys(MAPS.values()))
        body = self.body(self.rng.randrange(3), struct, "callback")
        return (
            f"static __noinline int callback{number}(void *map, int *key, void *value) {{ "
            f"int x = 0; struct {struct} *v = value; {body} return {self.pick(*RESULTS)}; }}"
        )

    def program(self, number: int) -> str:
        kind = self.pick("S", "S", "S", "T", "T", "C")
        map_ = self.pick(*MAPS)
        struct = MAPS[map_]
        body = self.body(self.rng.randrange(1, 5), struct, map_)
        result = self.pick("0", "0", "0", "1", "global & 1", "global")
        look = f"int key0 = 0; struct {struct} *v = bpf_map_lookup_elem(&{map_}, &key0);"
        checked = "if (!v) return 0;" if self.rng.random() < 0.96 else ""
        head = f"{kind}(p{number})"
        if kind == "C":
            head = f'SEC("?cgroup_skb/ingress") int p{number}(struct __sk_buff *ctx)'
        return f"{head} {{ int x = 0; {look} {checked} {body} return {result}; }}"

    def body(self, count: int, struct: str, place: str) -> str:
        return " ".join(self.statement(struct, place) for _ in range(count))

    def statement(self, struct: str, place: str) -> str:
        roll = self.rng.random()
        if roll < 0.2:
            return self.section(struct, place)
        if roll < 0.35:
            return self.throw()
        if roll < 0.42:
            return self.other(struct)
        choices = [
            make
            for fields, make in ((TIMERS, self.timer), (WORKS, self.work), (TASKS, self.task))
            if struct in fields
        ]
        return self.rng.choice(choices)(struct, place)

    def section(self, struct: str, place: str) -> str:
        opens, closes = self.rng.choice(SECTIONS)
        inner = self.body(self.rng.randrange(2), struct, place)
        # 6.18 forgets what is held where a global function throws; we refuse that
        inner = inner.replace("global_thrower", "harmless")
        if self.rng.random() < 0.08 and "{" not in closes and "}" not in closes:
            opens, closes = self.pick(opens, ""), self.pick(closes, "")
        return f"{opens} {inner} {closes}"

    def throw(self) -> str:
        call = self.pick(
            "bpf_throw(0);", "bpf_throw(1);", "bpf_throw(7);", "bpf_throw(global);",
            "thrower(global);", "nested(global);", "global_thrower(global);", "harmless(global);",
        )  # fmt: skip
        return self.pick(call, f"if (global == 3) {call}")

    def other(self, struct: str) -> str:
        reads = {"all": "v->x = global;", "tasked": "v->pad = 1;", "locked": "v->x++;"}
        return self.pick(
            reads.get(struct, "global = 1;"), "global++;", 'bpf_printk("x");',
            "{ char b[8]; bpf_copy_from_user(b, 8, (void *)1); }",
            "bpf_task_from_pid(1);", "bpf_ktime_get_ns();", "*(int *)v = 1;",
        )  # fmt: skip

    def map_of(self, place: str, fields: Mapping[str, str]) -> str:
        others = [f"&{name}" for name, struct in MAPS.items() if struct in fields]
        own = "map" if place == "callback" else f"&{place}"
        return self.pick(own, own, own, *others[:1], *others[-1:])

    def field(self, good: str) -> str:
        if self.rng.random() < 0.9:
            return good
        wrong = self.pick(f"(void *){good} + 8", "(void *)v", "(void *)v + 4", "(void *)v + x")
        return f"(void *)({wrong})"

    def function(self) -> str:
        return f"callback{self.rng.randrange(CALLBACKS)}"

    def timer(self, struct: str, place: str) -> str:
        at, flags = self.field(TIMERS[struct]), self.pick("0", "1", "global")
        clock = self.pick("0", "1", "7", "99", "global")
        return self.pick(
            f"bpf_timer_init({at}, {self.map_of(place, TIMERS)}, {clock});",
            f"bpf_timer_set_callback({at}, {self.function()});",
            f"bpf_timer_start({at}, {self.pick('0', '1000', 'global')}, {flags});",
            f"x = bpf_timer_cancel({at});",
        )

    def work(self, struct: str, place: str) -> str:
        at = self.field(WORKS[struct])
        return self.pick(
            f"bpf_wq_init({at}, {self.map_of(place, WORKS)}, 0);",
            f"bpf_wq_set_callback_impl({at}, (void *){self.function()}, 0, 0);",
            f"bpf_wq_start({at}, {self.pick('0', '1')});",
        )

    def task(self, struct: str, place: str) -> str:
        at, task = self.field(TASKS[struct]), self.pick("t", "t", "t", "t->real_parent", "0")
        call = (
            f"bpf_task_work_schedule_signal_impl({task}, {at}, {self.map_of(place, TASKS)}, "
            f"(void *){self.function()}, 0);"
        )
        return f"{{ struct task_struct *t = bpf_get_current_task_btf(); {call} }}"


def verdicts(seed: int, count: int, folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, the kernel's errno (0 if it accepts) and ours, of *count* programs."""
    source, built = folder / f"fuzz{seed}.c", folder / f"fuzz{seed}.o"
    source.write_text(_Writer(seed).text(count))
    command = ["clang-19", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86",
               f"-I{folder}", f"-I{SOURCES}", "-Wno-everything", "-c", str(source),
               "-o", str(built)]  # fmt: skip
    subprocess.run(command, check=True)
    spec = read_object(built.read_bytes(), str(built))
    theirs: dict[str, int] = {}
    running = Target.running(kernel_btf())
    with LoadedObject(spec, KernelSyscall(), running, explain=False, partial=True) as loaded:
        for program in spec.programs:
            try:
                loaded.load_program(program)
                theirs[program.name] = 0
            except ProgramRefused as refused:
                theirs[program.name] = getattr(refused.__cause__, "errno", refused.errno)
    for verdict in verify_file(built):
        ours = getattr(errno, verdict.errno, 524) if verdict.errno else 0
        yield verdict.program, theirs[verdict.program], ours


def oopses() -> str:
    """How often the running kernel oopsed; empty where it does not tell."""
    counter = Path("/sys/kernel/oops_count")
    return counter.read_text() if counter.exists() else ""


def run(seed: int, count: int, folder: Path) -> Counter[str]:
    """Outcomes of *count* programs, and the names of those that differ."""
    found: Counter[str] = Counter()
    healthy = oopses()
    for number in range(-(-count // PER_OBJECT)):
        if oopses() != healthy:
            raise RuntimeError(f"the kernel oopsed at seed {seed + number - 1}")
        for name, theirs, ours in verdicts(seed + number, PER_OBJECT, folder):
            if bool(theirs) == bool(ours):
                found["both accept" if not ours else "both refuse"] += 1
                if theirs != ours:
                    found["other errno"] += 1
                    found[f"{seed + number} {name}: errno {theirs}, ours {ours}"] += 1
                continue
            kind = "FALSE ACCEPT" if theirs else "false reject"
            found[kind] += 1
            found[f"{seed + number} {name}: {kind}, kernel {theirs}, ours {ours}"] += 1
    return found


def main() -> None:
    """Compare, and print what differs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        dump = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
        types = subprocess.run(dump, check=True, capture_output=True).stdout
        (folder / "vmlinux.h").write_bytes(types)
        for what, times in sorted(run(int(sys.argv[1]), int(sys.argv[2]), folder).items()):
            print(f"{times:6} {what}")


if __name__ == "__main__":
    main()
