"""Helpers do what the running kernel's helpers do: random calls, same results, same packets."""

import random
from collections.abc import Callable

import pytest

from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.syscall.subsystem import Subsystem
from skep.uapi.helpers import by_name
from support.running_kernel import RunningKernel, missing
from support.trial_runs import Outcome, fold, load, run, stack_words

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no kernel to compare with: {REASON}")

SCHED_CLS, XDP = 3, 6
TCP4 = (
    b"\2\2\2\2\2\2\4\4\4\4\4\4\x08\0"
    b"E\1\0\x34\1\2\x40\0\x40\6\x3d\xf1\n\0\0\1\n\0\0\2\x04\xd2\0\x50" + bytes(range(28))
)
UDP6 = b"\2\2\2\2\2\2\4\4\4\4\4\4\x86\xdd\x60\x20\0\0\0\x10\x11\x40" + bytes(range(48))
VLAN = b"\2\2\2\2\2\2\4\4\4\4\4\4\x81\0\x20\7\x08\0E\0\0\x20" + bytes(range(40))
DOUBLE = b"\2\2\2\2\2\2\4\4\4\4\4\4\x88\xa8\0\5\x81\0\0\6\x08\0E\2\0\x20" + bytes(range(40))
ARP = b"\xff" * 6 + b"\4\4\4\4\4\4\x08\6" + bytes(range(28))
PACKETS = (TCP4, UDP6, VLAN, DOUBLE, ARP)

Choose = random.Random
OFFSETS = (0, 1, 2, 10, 12, 14, 24, 25, 30, 38, 50, 60, 64, 66, 67, 80, 0xFFFF, 0x10000, 0xFFFFFFF0)
WORDS = (0, 1, 0xFF, 0x0100, 0xFFFF, 0x12345678, 0xFFFFFFFF, 0x80000000)


def wide(register: int, value: int) -> str:
    return f"r{register} = {value} ll"


def call(name: str, *arguments: int | str) -> list[str]:
    """A call of a helper; r0 and what it leaves are folded into r9."""
    row = by_name(name)
    assert row is not None
    lines = [f"; {name}{arguments}"]
    for register, argument in enumerate(arguments, 1):
        if isinstance(argument, int):
            lines.append(wide(register, argument))
        elif argument == "ctx":
            lines.append(f"r{register} = r6")
        else:
            lines += [f"r{register} = r10", f"r{register} += {argument}"]
    return [*lines, f"call {row.id}", *fold("r0")]


def some_load(choose: Choose) -> list[str]:
    size = choose.choice([1, 2, 5, 16, 32])
    return [
        *call("skb_load_bytes", "ctx", choose.choice(OFFSETS), "-64", size),
        *stack_words(64, 4),
    ]


def some_relative(choose: Choose) -> list[str]:
    where = choose.choice([0, 1, 1, 2])
    size = choose.choice([1, 4, 20])
    code = call("skb_load_bytes_relative", "ctx", choose.choice(OFFSETS), "-64", size, where)
    return [*code, *stack_words(64, 4)]


def some_store(choose: Choose) -> list[str]:
    size, flags = choose.choice([1, 2, 7, 32]), choose.choice([0, 1, 2, 3, 4])
    return call("skb_store_bytes", "ctx", choose.choice(OFFSETS), "-64", size, flags)


def some_l3(choose: Choose) -> list[str]:
    return call(
        "l3_csum_replace", "ctx", choose.choice([24, 24, *OFFSETS]), choose.choice(WORDS),
        choose.choice(WORDS), choose.choice([0, 2, 4, 2, 4, 1, 16]),
    )  # fmt: skip


def some_l4(choose: Choose) -> list[str]:
    flags = choose.choice([0, 2, 4, 2, 4, 3]) | choose.choice([0, 0, 0x10, 0x20, 0x60, 0x30, 0x100])
    return call(
        "l4_csum_replace", "ctx", choose.choice([40, 50, *OFFSETS]), choose.choice(WORDS),
        choose.choice(WORDS), flags,
    )  # fmt: skip


def some_diff(choose: Choose) -> list[str]:
    old, new = choose.choice([0, 4, 8, 32]), choose.choice([0, 4, 12, 32])
    return call("csum_diff", "-64", old, "-32", new, choose.choice(WORDS))


def some_plain(choose: Choose) -> list[str]:
    name = choose.choice(["csum_update", "skb_pull_data", "skb_change_type", "set_hash"])
    return call(name, "ctx", choose.choice([0, 1, 3, 4, 40, 66, 67, 1000]))


def some_short(choose: Choose) -> list[str]:
    return call(choose.choice(["set_hash_invalid", "skb_ecn_set_ce", "skb_vlan_pop"]), "ctx")


def some_tail(choose: Choose) -> list[str]:
    sizes = (0, 13, 14, 20, 33, 34, 42, 60, 66, 70, 100, 1500, 0x80000)
    return call("skb_change_tail", "ctx", choose.choice(sizes), choose.choice([0, 0, 0, 0, 1]))


def some_head(choose: Choose) -> list[str]:
    sizes = (0, 1, 4, 14, 64, 0x80000000, 0xFFFFFFFF)
    return call("skb_change_head", "ctx", choose.choice(sizes), choose.choice([0, 0, 0, 1]))


def some_proto(choose: Choose) -> list[str]:
    return call("skb_change_proto", "ctx", choose.choice([0xDD86, 0x0008, 0x0608]), 0)


def some_room(choose: Choose) -> list[str]:
    steps = (0, 4, 8, 20, 28, 40, 0xFFFFFFFC, 0xFFFFFFEC, 0xFFFFFFF8, 0x1000, 0xFFFFFF00, -60)
    flags = (0, 0, 0, 1, 2, 4, 6, 2 | 8, 2 | 16, 26, 32, 64, 66 | 14 << 56, 66 | 4 << 56, 128, 256)
    mode = choose.choice([0, 1, 1, 2])
    step = choose.choice(steps) & 0xFFFFFFFF
    return call("skb_adjust_room", "ctx", step, mode, choose.choice(flags))


def some_vlan(choose: Choose) -> list[str]:
    kinds = (0x0081, 0xA888, 0x0008)
    return call("skb_vlan_push", "ctx", choose.choice(kinds), choose.choice([0, 5, 0x2007, 0xFFFF]))


def some_redirect(choose: Choose) -> list[str]:
    name = choose.choice(["redirect", "redirect_peer"])
    return call(name, choose.choice([0, 1, 9999]), choose.choice([0, 1, 2, 1 << 40]))


NUMBERS = (
    b"0", b"-0", b"7", b"+7", b" 12x", b"0x1fZ", b"0xg", b"017", b"08", b"-5", b"- 5", b"",
    b"18446744073709551615", b"18446744073709551616", b"9223372036854775807", b"-",
    b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809", b"\t\n 3",
    b"0X10", b"x1", b"0x", b"1" * 31, b"ffffffffffffffff", b"\xa01", b"  ", b"0", b"00x1",
)  # fmt: skip


def put_text(text: bytes, size: int) -> list[str]:
    """Store *text*, padded to *size*, at r10 - 64."""
    lines = [f"; {text!r}"]
    for place in range(0, size, 8):
        word = int.from_bytes(text[place : place + 8].ljust(8, b"\0"), "little")
        lines += [wide(7, word), f"*(u64 *)(r10 - {64 - place}) = r7"]
    return lines


def some_number(choose: Choose) -> list[str]:
    text = choose.choice(NUMBERS)
    name = choose.choice(["strtol", "strtoul"])
    size = max(len(text) + choose.choice([0, 0, 1, -1]), 1)
    flags = choose.choice([0, 8, 10, 16, 0, 10, 2, 1 << 8])
    code = [*put_text(text, 32), *call(name, "-64", size, flags, "-16")]
    return [*code, "r7 = *(u64 *)(r10 - 16)", *fold("r7")]


FORMATS = (
    b"plain", b"%d", b"%5d|%-5d|%05d", b"%+d % d", b"%x %X %u", b"%lx %lld %llu", b"%i%%", b"%",
    b"%q", b"%p", b"%px|", b"%pK", b"%s", b"%hd", b"%.3d", b"%#x", b"%c%c", b"%5c", b"%lc", b"%%%",
    b"%-8x", b"%08x", b"%ld%d%d", b"%l", b"%d%d%d%d", b"%pI4", b"%pi4", b"%pI6", b"%pi6", b"%pI5",
    b"%20d", b"% 5d", b"%+05d", b"%pB?", b"%ps", b"tab\t%d", b"bell\7", b"%s%d", b"%sx", b"%s,%d",
    b"%pks", b"%pus", b"%pkx", b"%-3c.", b"%0+5d", b"%-+5d", b"%1d", b"%012x", b"\xc3\xa9",
)  # fmt: skip


def some_print(choose: Choose) -> list[str]:
    """trace_printk gives the length of what it printed."""
    text = choose.choice(FORMATS)
    size = choose.choice([24, len(text) + 1, len(text) + 1, len(text) or 1])
    words = (0, 1, 9, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, 0x123456789ABCDEF0)
    arguments = [choose.choice(words) for _ in range(3)]
    if any(letter in text for letter in (b"%ps", b"%pB")):
        arguments = [0xFFFF_0000_0000_0000] * 3  # no symbol is there
    if b"s" in text and b"%ps" not in text:
        arguments = [0, 0, 0]
    return [*put_text(text, 24), *call("trace_printk", "-64", size, *arguments)]


SKB_STEPS: tuple[Callable[[Choose], list[str]], ...] = (
    some_load, some_relative, some_store, some_l3, some_l4, some_diff, some_plain, some_short,
    some_tail, some_head, some_proto, some_room, some_vlan, some_vlan, some_short, some_redirect,
    some_number, some_number,
)  # fmt: skip


def some_xdp_move(choose: Choose) -> list[str]:
    name = choose.choice(["xdp_adjust_head", "xdp_adjust_meta", "xdp_adjust_tail"])
    steps = (0, 1, 4, 8, 32, 52, 53, 54, 100, 255, 256, 300, 3000, 4000)
    step = choose.choice(steps) * choose.choice([1, -1])
    return call(name, "ctx", step & 0xFFFFFFFF)


def some_xdp_bytes(choose: Choose) -> list[str]:
    name = choose.choice(["xdp_load_bytes", "xdp_store_bytes"])
    size = choose.choice([1, 2, 7, 32])
    return [*call(name, "ctx", choose.choice(OFFSETS), "-64", size), *stack_words(64, 4)]


def some_xdp_word(choose: Choose) -> list[str]:
    if choose.random() < 0.5:
        return call("xdp_get_buff_len", "ctx")
    return call("redirect", choose.choice([0, 1]), choose.choice([0, 1]))


XDP_STEPS: tuple[Callable[[Choose], list[str]], ...] = (
    some_xdp_move, some_xdp_move, some_xdp_move, some_xdp_bytes, some_xdp_word, some_diff,
)  # fmt: skip


def pointers(data: int, end: int, meta: int) -> list[str]:
    """Fold the size of packet and metadata."""
    return [
        f"r1 = *(u32 *)(r6 + {data})", f"r2 = *(u32 *)(r6 + {end})", f"r3 = *(u32 *)(r6 + {meta})",
        "r2 -= r1", "r1 -= r3", *fold("r2"), *fold("r1"),
    ]  # fmt: skip


def program(kind: int, seed: int, steps: tuple[Callable[[Choose], list[str]], ...]) -> str:
    """A program of some random calls."""
    choose = random.Random(seed)
    lines = ["r6 = r1", "r9 = 0"]
    for place in range(8, 72, 8):
        lines += [wide(7, choose.getrandbits(64)), f"*(u64 *)(r10 - {place}) = r7"]
    for _ in range(choose.randrange(1, 5)):
        lines += choose.choice(steps)(choose)
        if kind == SCHED_CLS:
            lines += pointers(76, 80, 140)
            for offset in (0, 4, 16, 20, 24, 28, 68):
                lines += [f"r1 = *(u32 *)(r6 + {offset})", *fold("r1")]
        else:
            lines += pointers(0, 4, 8)
    lines += ["r0 = r9", "r0 >>= 32", "r0 ^= r9", "w0 = w0", "exit"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def kernel() -> RunningKernel:
    return RunningKernel()


@pytest.fixture(scope="module")
def subsystem() -> Subsystem:
    return Subsystem()


def outcomes(bpf: Callable[..., int], kind: int, code: bytes, close: Callable[[int], None],
             packets: tuple[bytes, ...]) -> list[Outcome]:  # fmt: skip
    fd, log = load(bpf, kind, code)
    assert fd >= 0, log[-2000:]
    try:
        return [run(bpf, fd, packet) for packet in packets]
    finally:
        close(fd)


def compare(
    kernel: RunningKernel, subsystem: Subsystem, kind: int, text: str,
    packets: tuple[bytes, ...] = PACKETS,
) -> None:  # fmt: skip
    code = encode(assemble(text))
    expected = outcomes(kernel.bpf, kind, code, kernel.close, packets)
    found = outcomes(subsystem.bpf, kind, code, lambda fd: subsystem.close(fd) and None, packets)
    if expected == found:
        return
    calls = [line for line in text.splitlines() if line.startswith(";")]
    number = next(at for at, outcome in enumerate(expected) if outcome != found[at])
    raise AssertionError("\n".join([f"packet {number}", *calls, *_difference(
        expected[number], found[number])]))  # fmt: skip


def _difference(kernel: Outcome, ours: Outcome) -> list[str]:
    lines = [f"errno {kernel.errno} {ours.errno}, retval {kernel.retval:#x} {ours.retval:#x}"]
    if kernel.data != ours.data:
        lines += [f"kernel {kernel.data.hex()}", f"ours   {ours.data.hex()}"]
    return lines


def test_number(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(60):
        compare(kernel, subsystem, SCHED_CLS, program(SCHED_CLS, seed, (some_number,)), (TCP4,))


def test_lengths_of_printed_lines(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(150):
        compare(kernel, subsystem, SCHED_CLS, program(SCHED_CLS, seed, (some_print,)), (TCP4,))


@pytest.mark.parametrize("step", SKB_STEPS[:16], ids=lambda step: step.__name__)
def test_each_helper_on_socket_buffers(
    step: Callable[[Choose], list[str]], kernel: RunningKernel, subsystem: Subsystem
) -> None:
    for seed in range(8):
        compare(kernel, subsystem, SCHED_CLS, program(SCHED_CLS, seed, (step,)))


def test_random_calls_on_socket_buffers(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(100, 160):
        compare(kernel, subsystem, SCHED_CLS, program(SCHED_CLS, seed, SKB_STEPS))


@pytest.mark.parametrize("step", XDP_STEPS[2:], ids=lambda step: step.__name__)
def test_each_helper_on_xdp(
    step: Callable[[Choose], list[str]], kernel: RunningKernel, subsystem: Subsystem
) -> None:
    for seed in range(20):
        compare(kernel, subsystem, XDP, program(XDP, seed, (step,)))


def test_random_calls_on_xdp(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(100, 140):
        compare(kernel, subsystem, XDP, program(XDP, seed, XDP_STEPS))
