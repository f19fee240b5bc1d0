"""Rules of control flow and of whole programs: one that breaks each and one that keeps it."""

import errno
from dataclasses import replace

import pytest

from skep.btf.build import Builder
from skep.btf.kinds import GLOBAL, STATIC
from skep.isa.insn import Insn
from skep.uapi.flags import AttachType
from skep.verifier.interface import FunctionInfo, Request
from support.verify_maps import ARRAY, HASH, LOCKED, all_maps, shape
from support.verify_text import accepted, rejected, request

SLEEPABLE = 16
END = "\nr0 = 0\nexit"


def _many_maps(count: int) -> Request:
    maps = {fd: shape(fd, 2, (4, 8, 1)) for fd in range(count)}
    return request("".join(f"r1 = map[fd {fd}]\n" for fd in maps) + END, maps=maps)


def _long(size: int) -> Request:
    return request("r0 = 0\n" * (size - 1) + "exit", privileged=False)


def _functions(count: int) -> Request:
    calls = "".join(f"call f{n}\n" for n in range(count))
    return request(calls + "exit\n" + "".join(f"f{n}: r0 = 0\nexit\n" for n in range(count)))


def _slots(*insns: Insn) -> Request:
    return replace(request("r0 = 0\nexit"), insns=insns)


def _direct(off: int) -> Request:
    text = f"r1 = map[fd 5][0] + {off}{END}"
    return request(text, maps={5: shape(5, 2, (4, 8, 1))})


def _branches(count: int) -> Request:
    """Every second way of *count* tests is still to be walked when the last one is met."""
    text = "r6 = r1\nr0 = 0\nr7 = *(u32 *)(r6 + 0)\n"
    text += "".join(f"if r7 == {n} goto +0\n" for n in range(count))
    return request(text + "exit")


def _signature(returns_pointer: bool) -> Request:
    builder = Builder()
    number = builder.integer("int", 4, signed=True)
    returns = builder.pointer(number) if returns_pointer else number
    infos = [
        FunctionInfo(0, builder.function("m", builder.prototype(number), STATIC)),
        FunctionInfo(2, builder.function("g", builder.prototype(returns), GLOBAL)),
    ]
    text = "call g\nexit\ng: r0 = 0\nexit"
    return request(text, functions=infos, btf=builder.build())


def _locked_call(linkage: int) -> Request:
    builder = Builder()
    number = builder.integer("int", 4, signed=True)
    prototype = builder.prototype(number)
    infos = [
        FunctionInfo(pc, builder.function(name, prototype, kind))
        for pc, name, kind in ((0, "m", STATIC), (17, "g", linkage))
    ]
    text = f"""
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map[fd {LOCKED}]
    call 1
    if r0 == 0 goto out
    r6 = r0
    r1 = r6
    r1 += 8
    call 93
    call g
    r1 = r6
    r1 += 8
    call 94
    out: r0 = 0
    exit
    g: r0 = 0
    exit
    """
    return request(text, kind="sched_cls", functions=infos, btf=builder.build(), maps=all_maps())


def _legacy_in_callback(legacy: bool) -> Request:
    builder = Builder()
    number = builder.integer("int", 4, signed=True)
    prototype = builder.prototype(number)
    body = "r0 = 0\nif r0 == 0 goto +1\nr0 = *(u8 *)skb[0]\nexit" if legacy else "r0 = 0\nexit"
    text = f"r1 = 9\nr2 = func[cb]\nr3 = 0\nr4 = 0\ncall 181\nr0 = 0\nexit\ncb: {body}"
    infos = [
        FunctionInfo(0, builder.function("m", prototype, STATIC)),
        FunctionInfo(8, builder.function("cb", prototype, STATIC)),
    ]
    return request(text, kind="sched_cls", functions=infos, btf=builder.build())


def _sleepable(kind: str) -> Request:
    return request("r0 = 0\nexit", kind=kind, flags=SLEEPABLE)


def _attached(function: str) -> Request:
    builder = Builder()
    number = builder.integer("int", 4, signed=True)
    target = builder.function(function, builder.prototype(number, [("x", number)]))
    wanted = request("r0 = 0\nexit", kind="tracing")
    return replace(
        wanted,
        expected_attach_type=int(AttachType.TRACE_FEXIT),
        attach_btf=builder.build(),
        attach_btf_id=target,
    )


def _symbol(variable: bool) -> Request:
    builder = Builder()
    number = builder.integer("int", 4)
    symbol = builder.variable("jiffies", number) if variable else number
    wanted = request(f"r1 = btf[id {symbol}]\nr0 = *(u32 *)(r1 + 0)\nexit")
    wanted.environment.kernel_btf = builder.build()
    return wanted


PAIRS = [
    ("program-size", _long(4097), _long(4096)),
    ("known-opcode", _slots(Insn(0x8F), Insn(0x95)), _slots(Insn(0xB7), Insn(0x95))),
    (
        "register-number",
        _slots(Insn(0xB7, dst=11), Insn(0xB7), Insn(0x95)),
        _slots(Insn(0xB7, dst=9), Insn(0xB7), Insn(0x95)),
    ),
    ("subprogram-count", _functions(256), _functions(255)),
    (
        "privileged-call",
        request("call f\nexit\nf: r0 = 0\nexit", privileged=False),
        request("call f\nexit\nf: r0 = 0\nexit"),
    ),
    ("map-count", _many_maps(65), _many_maps(64)),
    ("map-value-address", _direct(8), _direct(7)),
    (
        "map-fits-program",
        request(f"r1 = map[fd {LOCKED}]{END}", kind="kprobe", maps=all_maps()),
        request(f"r1 = map[fd {LOCKED}]{END}", kind="xdp", maps=all_maps()),
    ),
    ("kernel-symbol", _symbol(variable=False), _symbol(variable=True)),
    (
        "loop-progress",
        request("r0 = 0\nr6 = *(u32 *)(r1 + 0)\nif r6 == 7 goto -1\nexit"),
        request("r0 = 0\nr6 = *(u32 *)(r1 + 0)\nif r6 == 7 goto +0\nexit"),
    ),
    (
        "return-scalar",
        request("r0 = r1\nexit", privileged=False),
        request("r0 = *(u32 *)(r1 + 0)\nexit", privileged=False),
    ),
    ("global-function-signature", _signature(returns_pointer=True), _signature(False)),
    ("no-call-in-critical-section", _locked_call(GLOBAL), _locked_call(STATIC)),
    ("no-legacy-load-in-callback", _legacy_in_callback(True), _legacy_in_callback(False)),
    ("sleepable-type", _sleepable("xdp"), _sleepable("syscall")),
    ("attach-target", _attached("do_exit"), _attached("do_sys_open")),
    (
        "arena-cast",
        request(f"r1 = addr_space_cast(r1, 0, 1){END}"),
        request(f"r1 = r1{END}"),
    ),
    (
        "insn-budget",
        request("r0 = 0\nr0 += 1\nif r0 < 1000000 goto -2\nr0 = 0\nexit"),
        request("r0 = 0\nr0 += 1\nif r0 < 1000 goto -2\nr0 = 0\nexit"),
    ),
]
SLOW = ("insn-budget",)


@pytest.mark.parametrize(
    ("rule", "breaks", "keeps"),
    [
        pytest.param(*row, id=row[0], marks=[pytest.mark.slow] if row[0] in SLOW else [])
        for row in PAIRS
    ],
)
def test_a_rule_is_broken_and_kept(rule: str, breaks: Request, keeps: Request) -> None:
    assert rejected(breaks).rule.id == rule
    accepted(keeps)


@pytest.mark.slow
def test_too_many_waiting_branches_are_too_complex() -> None:
    verdict = rejected(_branches(8200))

    assert (verdict.rule.id, verdict.errno) == ("jump-sequence", errno.EFAULT)


def test_a_map_is_looked_up_by_index_in_the_array_of_fds() -> None:
    wanted = request(f"r1 = map[idx 1]{END}", maps=all_maps())

    assert rejected(wanted).errno == errno.EPROTO
    accepted(replace(wanted, fd_array=[HASH, ARRAY]))
