"""Programs on functions of other programs, tried through any bpf(2): skep's or a kernel's.

usage: python -m conformance.functions_cases SEED COUNT ANSWERS   (as root, inside of a guest)

Every case is a target and something that is loaded for one of its functions; the answer is a list
of results: errno of both loads, of links, and what runs return.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conformance.functions_scenarios import SCENARIOS
from skep.loader.kernel import KernelSyscall
from support.caller import insn
from support.functions import (
    CGROUP_SKB,
    CONTEXTS,
    EXT,
    FENTRY,
    FEXIT,
    GLOBAL,
    LSM_MAC,
    MODIFY_RETURN,
    RAW_TRACEPOINT,
    SCHED_CLS,
    STATIC,
    TRACE_ITER,
    TRACE_RAW_TP,
    TRACING,
    XDP,
    Fn,
    Loaded,
    link,
    load_on,
    load_target,
    number,
    run,
    tracer,
)
from support.opener import Opener

Case = Callable[[Opener], list[Any]]
NUMBERS = ("int", "u32", "long", "u64", "char", "short", "enum2", "enum3", "const int",
           "typedef int", "typedef const long")  # fmt: skip
POINTERS = (*("ctx",) * 10, *("pair*",) * 8, *("const pair*",) * 3, "int*", "void*",
            "struct other*", "struct other*", "struct __sk_buff*", "struct xdp_md*",
            "struct bpf_dynptr*", "char*", "pair**")  # fmt: skip
TAGS = ("!ctx", "!nonnull", "!nullable", "!trusted", "!arena", "!untrusted", "!odd")
KINDS = ((XDP, 0), (SCHED_CLS, 0), (CGROUP_SKB, 0), (CGROUP_SKB, 1), (1, 0), (XDP, 37),
         (RAW_TRACEPOINT, 0), (30, 36), (9, 2))  # fmt: skip
FLAGS = 1 << 4


def signature(rng: random.Random) -> str:
    """Random parameters."""
    words = []
    for _ in range(
        rng.choice((0, *(1,) * 5, *(2,) * 5, 3, 3, 3, 4, 5) if rng.random() < 0.98 else (6,))
    ):
        word = rng.choice(NUMBERS if rng.random() < 0.6 else POINTERS)
        if "*" in word and rng.random() < 0.12:
            word += rng.choice(TAGS)
        elif word == "ctx" and rng.random() < 0.2:
            word += "!ctx"
        words.append(word)
    return ", ".join(words)


def changed(rng: random.Random, takes: str) -> str:
    """Parameters that differ in one place, if at all."""
    words = [each for each in takes.split(", ") if each]
    what = rng.randrange(12)
    if what < 8 or not words:
        return takes if what < 7 or words else "int"
    at = rng.randrange(len(words))
    if what == 8:
        return ", ".join(words[:at] + words[at + 1 :])
    if what == 9:
        return ", ".join([*words, "int"])
    words[at] = rng.choice(NUMBERS + POINTERS)
    if "*" in words[at] and rng.random() < 0.3:
        words[at] += rng.choice(TAGS)
    return ", ".join(words)


def body(rng: random.Random, takes: str) -> bytes:
    """Code that reads what it is given, or does not."""
    code = b""
    words = [each for each in takes.split(", ") if each]
    at = rng.randrange(5) + 1
    if rng.random() < 0.5 and at <= len(words) and "*" in words[at - 1]:
        code += insn(0x15, at, off=1) + insn(0x61, 0, at, off=rng.choice((0, 4, 8, 60)))
    elif rng.random() < 0.3 and at <= len(words) and words[at - 1].startswith("ctx"):
        code += insn(0x61, 0, at, off=rng.choice((0, 4, 12, 100)))
    elif rng.random() < 0.3:
        code += insn(0xBF, 0, at)
    if rng.random() < 0.2:
        code += insn(0x85, imm=rng.choice((5, 6, 7, 8, 14, 44, 65, 54, 35)))
    return code + number(rng.choice((0, 0, 1, 1, 2, 7)))


RETURNS = ("int", "int", "int", "long", "u32", "enum2", "enum3", "char", "void", "pair*", "pair")


def shape(rng: random.Random) -> tuple[dict[str, Any], list[Fn], list[Fn], str]:
    """A target: how it is loaded, its functions, those it never comes to, the one of interest."""
    kind, attach = rng.choice(KINDS) if rng.random() < 0.5 else (XDP, 0)
    main = rng.choice(("ctx",) * 8 + ("void*", "u64*!ctx", "ctx!ctx", "long", "ctx, int", ""))
    linkage = STATIC if rng.random() < 0.08 else GLOBAL
    first = Fn("first", signature(rng), rng.choice(RETURNS) if rng.random() < 0.2 else "int",
               STATIC if rng.random() < 0.2 else GLOBAL,
               code=number(rng.randrange(5)))  # fmt: skip
    uncalled = [Fn("dead", "int")] if rng.random() < 0.15 else []
    named = rng.choice(("first",) * 6 + ("main", "main", "dead"))
    how = {"kind": kind, "expected_attach_type": attach, "main": main, "linkage": linkage}
    return how, [first], uncalled, named


def attempt(rng: random.Random) -> Case:
    """One random case."""
    how, functions, uncalled, named = shape(rng)
    fn = Fn("main", how["main"], linkage=how["linkage"])
    fn = next((each for each in (*functions, *uncalled) if each.name == named), fn)
    extends = rng.random() < 0.7
    members: dict[str, Any] = {}
    if extends:
        takes = changed(rng, fn.takes)
        returns = fn.returns if rng.random() < 0.85 else rng.choice(RETURNS)
        program = Fn("other", takes, returns, STATIC if rng.random() < 0.05 else GLOBAL,
                     code=body(rng, takes))  # fmt: skip
        if rng.random() < 0.03:
            members["prog_flags"] = FLAGS
    else:
        attach = rng.choice((FENTRY, FENTRY, FEXIT, FEXIT, MODIFY_RETURN, TRACE_RAW_TP,
                             TRACE_ITER, LSM_MAC, 0))  # fmt: skip
        code = insn(rng.choice((0x79, 0x79, 0x61)), 1, 1, off=8 * rng.randrange(8))
        if rng.random() < 0.3:
            code += insn(0x79, 1, 1, off=8 * rng.randrange(4))
        program = tracer(code + number(rng.choice((0, 0, 0, 1))))
        members["expected_attach_type"] = attach
        if rng.random() < 0.05:
            members["prog_flags"] = FLAGS
    context = CONTEXTS[how["kind"]] if rng.random() < 0.95 else "__sk_buff"

    def case(caller: Opener) -> list[Any]:
        target = load_target(caller, functions, uncalled=uncalled, **how)
        if target.fd < 0:
            return [target.fd, target.log[-300:]]
        kind = EXT if extends else TRACING
        loaded = load_on(caller, target, named, program, kind, context=context, **members)
        found: list[Any] = [0, min(loaded.fd, 0)]
        if loaded.fd >= 0 and extends:
            found += _linked(caller, target, loaded)
        return [*found, loaded.log[-400:]]

    return case


def _linked(caller: Opener, target: Loaded, program: Loaded) -> list[Any]:
    runs = [run(caller, target.fd)]
    held = link(caller, program.fd)
    runs += [min(held, 0), run(caller, target.fd)]
    if held >= 0:
        caller.close(held)
        runs.append(run(caller, target.fd))
    return runs


def cases(seed: int, count: int) -> Iterator[tuple[str, Case]]:
    """Random cases, by label."""
    for number_ in range(count):
        yield f"{seed}.{number_}", attempt(random.Random(f"{seed}.{number_}"))


def answers(caller: Opener, seed: int, count: int) -> Iterator[list[Any]]:
    """What bpf(2) says to every case: its label, and results."""
    for label, case in cases(seed, count):
        try:
            yield [label, *case(caller)]
        finally:
            caller.close_all()


def scenes(caller: Opener) -> Iterator[list[Any]]:
    """What bpf(2) says in every scenario: its name, and results."""
    for name, scenario in SCENARIOS.items():
        try:
            yield [name, *scenario(caller)]
        finally:
            caller.close_all()


def main() -> None:
    """Ask the kernel that runs."""
    seed, count, place = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    with place.open("w", encoding="utf-8") as out:
        for answer in scenes(Opener(KernelSyscall())):
            print(json.dumps(answer), file=out)
        for answer in answers(Opener(KernelSyscall()), seed, count):
            print(json.dumps(answer), file=out)


if __name__ == "__main__":
    main()
