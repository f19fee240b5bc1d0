"""Random calls of helpers, judged by the running kernel and by verify(): the same verdict?

usage: python tests/conformance/fuzz_calls.py [--seed N] [--count N] [--show N]

Each program sets r1 to r5 to what may or may not suit a helper, calls it, and ends. Programs are
loaded and closed, never run. Exit status 1 if something is accepted that the kernel refuses.
"""

import argparse
import collections
import ctypes
import errno
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.uapi.flags import MapType
from skep.uapi.helper_types import Arg, Helper
from skep.uapi.helpers import by_id, prototype
from skep.uapi.program_types import ProgramType, by_name, effective_attach_type
from skep.verifier import Rejected, Request, verify
from support.running_kernel import RunningKernel
from support.verify_case import Shape, World, kernel_btf
from support.verify_maps import special

KINDS = (
    "socket_filter", "sched_cls", "xdp", "cgroup_skb", "kprobe", "tracepoint", "raw_tracepoint",
    "perf_event", "sk_skb", "sock_ops", "cgroup_sock_addr", "sk_msg", "lwt_xmit", "lwt_in",
    "sk_lookup", "syscall", "cgroup_sysctl", "flow_dissector", "sk_reuseport", "cgroup_sockopt",
    "cgroup_sock", "cgroup_device", "netfilter",
)  # fmt: skip
SLEEPABLE = 16
MAPS = {  # type: key size, value size, entries
    MapType.HASH: (8, 48, 4),
    MapType.ARRAY: (4, 48, 4),
    MapType.PERCPU_ARRAY: (4, 8, 4),
    MapType.PROG_ARRAY: (4, 4, 4),
    MapType.PERF_EVENT_ARRAY: (4, 4, 4),
    MapType.RINGBUF: (0, 0, 4096),
    MapType.QUEUE: (0, 8, 4),
    MapType.STACK_TRACE: (4, 8, 4),
    MapType.LPM_TRIE: (8, 8, 4),
    MapType.DEVMAP: (4, 4, 4),
    MapType.CPUMAP: (4, 4, 4),
    MapType.XSKMAP: (4, 4, 4),
    MapType.SOCKMAP: (4, 4, 4),
    MapType.SOCKHASH: (4, 4, 4),
    MapType.BLOOM_FILTER: (0, 8, 4),
    MapType.CGROUP_ARRAY: (4, 4, 4),
    MapType.LRU_HASH: (8, 16, 4),
}
PLAIN = {
    "ctx": "r{n} = r6",
    "stack": "r{n} = r10\nr{n} += -64",
    "stack8": "r{n} = r10\nr{n} += -8",
    "new stack": "r{n} = r10\nr{n} += -256",
    "odd stack": "r{n} = r10\nr{n} += -13",
    "value": "r{n} = r8",
    "value+8": "r{n} = r8\nr{n} += 8",
    "value+40": "r{n} = r8\nr{n} += 40",
    "0": "r{n} = 0",
    "1": "r{n} = 1",
    "4": "r{n} = 4",
    "8": "r{n} = 8",
    "16": "r{n} = 16",
    "64": "r{n} = 64",
    "-1": "r{n} = -1",
    "big": "r{n} = 0x40000000",
    "0..63": "r{n} = r9\nr{n} &= 63",
    "1..64": "r{n} = r9\nr{n} &= 63\nr{n} += 1",
    "any": "r{n} = r9",
    "any32": "w{n} = w9",
    "nothing": "",
    "packet": "r{n} = r7",
    "packet+8": "r{n} = r7\nr{n} += 8",
    "result": "r{n} = r7",
    "result8": "r{n} = r8",
}
WANTED = {
    Arg.CTX: ("ctx",),
    Arg.MEM: ("stack", "stack", "new stack", "value", "packet", "stack8", "0"),
    Arg.MAP_KEY: ("stack", "value", "packet", "new stack", "stack8"),
    Arg.MAP_VALUE: ("stack", "value", "packet", "new stack", "0"),
    Arg.CONST_SIZE: ("8", "4", "16", "64", "1..64", "0..63", "0"),
    Arg.CONST_SIZE_OR_ZERO: ("8", "4", "16", "64", "1..64", "0..63", "0"),
    Arg.CONST_ALLOC_SIZE: ("8", "16", "0..63"),
    Arg.ANYTHING: ("0", "1", "8", "any", "stack", "-1"),
    Arg.SOCK_COMMON: ("result", "ctx", "0"),
    Arg.BTF_ID_SOCK_COMMON: ("result", "result8", "ctx", "0"),
    Arg.DYNPTR: ("new stack", "stack"),
    Arg.STACK: ("stack", "0"),
    Arg.CONST_STR: ("value", "stack"),
    Arg.RINGBUF_MEM: ("result", "result8", "packet+8"),
    Arg.SOCKET: ("result", "0"),
    Arg.SPIN_LOCK: ("value+8", "value+8", "value", "result"),
    Arg.TIMER: ("value+8", "value+8", "value"),
}
# helpers whose results and effects matter to later ones
STEPS = (
    1, 2, 3, 5, 26, 39, 43, 44, 54, 84, 85, 86, 95, 96, 98, 99, 131, 132, 133, 197, 198, 199, 200,
    201, 202, 203, 27, 4, 45, 93, 93, 94, 94, 169, 171, 172, 113, 130, 136, 137, 138, 139, 140, 141,
)  # fmt: skip
PACKETS = {  # offsets of data and data_end, and their size
    "sched_cls": (76, 80, "u32"),
    "cgroup_skb": (76, 80, "u32"),
    "sk_skb": (76, 80, "u32"),
    "lwt_xmit": (76, 80, "u32"),
    "lwt_in": (76, 80, "u32"),
    "xdp": (0, 4, "u32"),
    "sk_msg": (0, 8, "u64"),
    "sk_reuseport": (0, 8, "u64"),
    "flow_dissector": (76, 80, "u32"),
}


class Fuzzer:
    """Makes programs and asks both sides."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kernel = RunningKernel()
        self.world = World(kernel_btf())
        self.fds: list[int] = []
        for map_type, (key, value, entries) in MAPS.items():
            attr = bytearray(
                struct.pack("<IIIII", map_type, key, value, entries, 0).ljust(72, b"\0")
            )
            fd = self.kernel.bpf(0, attr)
            if fd < 0:
                continue
            row = {
                "map_type": int(map_type), "key_size": key, "value_size": value,
                "max_entries": entries,
            }  # fmt: skip
            self.world.maps[fd] = Shape(fd, row, None)
            self.fds.append(fd)
        self.hash = self.fds[0]
        self.special = [self.typed_map(*row) for row in (("bpf_spin_lock", 4), ("bpf_timer", 16))]
        self.fds += self.special

    def typed_map(self, field: str, size: int) -> int:
        """An array whose values hold a special field at 8."""
        btf, value = special(field, size)
        data = btf.to_bytes()
        keep = ctypes.create_string_buffer(data, len(data))
        attr = bytearray(struct.pack("<QQIIII", ctypes.addressof(keep), 0, len(data), 0, 0, 0))
        types = self.kernel.bpf(18, attr)
        head = struct.pack("<IIIII", MapType.ARRAY, 4, 8 + size, 4, 0).ljust(48, b"\0")
        fd = self.kernel.bpf(
            0, bytearray(head + struct.pack("<III", types, 1, value).ljust(24, b"\0"))
        )
        if fd < 0:
            raise OSError(-fd, f"the kernel makes no map with {field}")
        row = {"map_type": 2, "key_size": 4, "value_size": 8 + size, "max_entries": 4}
        shape = Shape(fd, row, None)
        shape.btf, shape.btf_value_type_id = btf, value
        self.world.maps[fd] = shape
        return fd

    def argument(self, helper: Helper, number: int) -> str:
        """Text that sets argument *number*, suitable more often than not."""
        kind = helper.args[number].kind if number < len(helper.args) else Arg.ANYTHING
        lucky = self.random.random() < 0.96
        if kind is Arg.CONST_MAP_PTR and lucky:
            return f"r{number + 1} = map[fd {self.random.choice(self.fds)}]"
        choice = self.random.choice(WANTED[kind] if lucky and kind in WANTED else tuple(PLAIN))
        return PLAIN[choice].format(n=number + 1)

    def program(self, row: ProgramType, helper: Helper) -> str:
        """A program of type *row* that calls *helper*."""
        packet = PACKETS.get(row.name)
        found = self.random.choice((self.hash, self.hash, *self.special))
        lines = [
            "r6 = r1", "call 7", "r9 = r0",
            *(f"*(u64 *)(r10 - {off}) = r9" for off in range(8, 72, 8)),
            "r2 = r10", "r2 += -8", f"r1 = map[fd {found}]", "call 1",
            "if r0 == 0 goto out", "r8 = r0",
        ]  # fmt: skip
        if packet is not None:
            data, end, size = packet
            lines += [
                f"r7 = *({size} *)(r6 + {data})", f"r3 = *({size} *)(r6 + {end})", "r4 = r7",
                "r4 += 64", "if r4 > r3 goto out",
            ]  # fmt: skip
        else:
            lines.append("r7 = r8")
        lines += self.steps(row, helper)
        lines += ["out:", f"r0 = {1 if row.name == 'xdp' else 0}", "exit"]
        return "\n".join(line for line in lines if line)

    def steps(self, row: ProgramType, helper: Helper) -> list[str]:
        """A few calls, each with what is done with its result."""
        lines: list[str] = []
        for _ in range(self.random.choice((1, 1, 2, 3, 4))):
            lines += [self.argument(helper, number) for number in range(5)]
            lines.append(f"call {helper.id}")
            chance = self.random.random()
            if chance < 0.5 and helper.ret.name != "VOID":
                lines.append("if r0 == 0 goto out" if chance < 0.4 else "if r0 != 0 goto +0")
                lines += self.random.choice((["r7 = r0"], ["r8 = r0"], ["r7 = r0", "r8 = r0"], []))
            lines += [self.access() for _ in range(self.random.choice((0, 0, 1, 2)))]
            known = [number for number in STEPS if number in row.helpers]
            number = self.random.choice(known or [helper.id])
            helper = prototype(number, row.id) or helper
        return lines

    def access(self) -> str:
        """A load, store or atomic through some register."""
        pick = self.random.choice
        size, base = pick(("u8", "u16", "u32", "u64")), pick(("r6", "r7", "r8", "r10"))
        off = pick((0, 4, 8, 12, 16, 40, 44, 47, 64)) - pick((0, 0, 1))
        if base == "r10":
            off = -8 * pick(range(1, 40)) + pick((0, 0, 4))
        place = f"*({size} *)({base} {'+' if off >= 0 else '-'} {abs(off)})"
        return pick(
            (
                f"r{pick((0, 7, 8, 9))} = {place}", f"r1 = {place}", f"{place} = {pick((0, 7))}",
                f"{place} = r{pick((0, 7, 8, 9))}",
                f"lock *(u64 *)({base} + {off & ~7}) += r9" if off >= 0 else "r9 &= 15",
            )
        )  # fmt: skip

    def ask(self, row: ProgramType, text: str) -> tuple[int, int, str, str]:
        """Answers of kernel and verifier (0, or an errno), and what they say."""
        insns = assemble(text)
        flags = SLEEPABLE if row.sleepable_only else 0
        attach_type = effective_attach_type(row, 0) or (
            row.attach_types[0] if row.attach_checked else 0
        )
        fd, log = self.kernel.load(
            row.id, encode(insns), attach_type=attach_type, flags=flags, log_level=1
        )
        if fd >= 0:
            self.kernel.close(fd)
        lines = [line for line in log.splitlines() if not line.startswith("processed")]
        request = Request(
            insns=insns, program_type=row, environment=self.world, prog_flags=flags,
            license="GPL", expected_attach_type=attach_type,
        )  # fmt: skip
        try:
            verify(request)
        except Rejected as rejected:
            return min(fd, 0), rejected.errno, lines[-1] if lines else "", rejected.detail
        return min(fd, 0), 0, lines[-1] if lines else "", ""

    def run(self, count: int, show: int) -> dict[str, int]:
        """Compare *count* programs; returns how often each outcome came."""
        counts: collections.Counter[str] = collections.Counter()
        shown: collections.Counter[str] = collections.Counter()
        for _ in range(count):
            row = by_name(self.random.choice(KINDS))
            assert row is not None
            number = self.random.choice(sorted(row.helpers))
            helper = prototype(number, row.id) or by_id(number)
            assert helper is not None
            if any(argument.kind is Arg.FUNC for argument in helper.args):
                continue
            text = self.program(row, helper)
            theirs, ours, said, detail = self.ask(row, text)
            if theirs == -errno.EINVAL and not said:
                continue  # the map belongs to programs of another type: not the verifier's affair
            outcome = compare(theirs, ours)
            counts[outcome] += 1
            key = f"{outcome} {row.name} {helper.name}"
            shown[outcome] += shown[key] == 0
            if not outcome.startswith("both") and shown[key] == 0 and shown[outcome] <= show:
                print(f"== {outcome}: {row.name} bpf_{helper.name}\n  kernel {theirs} {said}")
                print(f"  here   {ours} {detail!r}")
                tail = text.split("r4 > r3 goto out\n")[-1].split("r8 = r0\n")[-1]
                print("    " + tail.replace("\n", "; "))
            shown[key] += 1
        return dict(counts)


def compare(theirs: int, ours: int) -> str:
    """How the answers compare."""
    if ours == errno.EOPNOTSUPP:
        return "unknown"
    if theirs == 0 or ours == 0:
        if theirs == ours:
            return "both accept"
        return "FALSE ACCEPT" if ours == 0 else "false reject"
    return "both refuse" if -theirs == ours else "other errno"


def main() -> int:
    """Fuzz from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--show", type=int, default=20)
    options = parser.parse_args()
    counts = Fuzzer(options.seed).run(options.count, options.show)
    print(counts)
    return 1 if counts.get("FALSE ACCEPT") else 0


if __name__ == "__main__":
    sys.exit(main())
