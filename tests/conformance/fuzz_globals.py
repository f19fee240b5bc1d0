"""Random calls of global functions get the same verdict from skep as from the running kernel.

usage: python tests/conformance/fuzz_globals.py [--seed N] [--count N] [--show N]

Prototypes have arguments of all kinds, tagged and not; callers pass what fits, or nearly. The tags
``trusted`` and ``untrusted`` ask for types of the kernel.
"""

import argparse
import collections
import os
import random
import struct
import sys
from dataclasses import dataclass, field
from typing import Any

from conformance.fuzz_verdicts import ARRAY, SCHED_CLS, VALUE_SIZE
from conformance.guest_load import Loader, system
from conformance.guest_programs import insn
from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.isa.codec import decode
from skep.uapi.program_types import by_id, effective_attach_type
from skep.verifier import Rejected, Request, verify
from skep.verifier.interface import FunctionInfo
from support.verify_case import Shape, World, kernel_btf

TRACING, RAW_TP = 26, 23
POINTERS = (
    "void", "int", "u64", "char", "pair", "__sk_buff", "task_struct", "no_such", "bpf_dynptr",
    "task_struct___mine", "forward",
)  # fmt: skip
TAGS = ("nonnull", "nullable", "ctx", "trusted", "untrusted", "arena", "odd")
LOADS = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
EXIT = insn(0x95)


@dataclass
class Maker:
    """Makes one program: main, and one global function."""

    rng: random.Random
    tracing: bool
    params: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def types(self) -> tuple[bytes, Btf, list[int]]:
        """The program's types, and the ids of its functions."""
        build, rng = Builder(), self.rng
        number = build.integer("int", 4, signed=True)
        word = build.integer("u64", 8)
        named = {
            "void": 0, "int": number, "u64": word, "char": build.integer("char", 1),
            "pair": build.struct("pair", 16), "__sk_buff": build.struct("__sk_buff", 192),
            "task_struct": build.struct("task_struct", 64),
            "task_struct___mine": build.struct("task_struct___mine", 8),
            "no_such": build.struct("no_such", 8), "bpf_dynptr": build.struct("bpf_dynptr", 16),
            "forward": build.forward("forward"),
        }  # fmt: skip
        params, tags = [], []
        for index in range(rng.randrange(1, 4)):
            pointed = rng.choice((*POINTERS, "pair", "u64", "task_struct", "", ""))
            count = rng.choice((0, 0, 1, 1, 1, 2))
            chosen = tuple(rng.sample(TAGS, count)) if pointed else ()
            if not pointed and rng.random() < 0.05:
                chosen = ("nonnull",)
            target = named.get(pointed, 0)
            if pointed and rng.random() < 0.2 and target:
                target = build.const(target)
            declared = build.pointer(target) if pointed else rng.choice((number, word))
            params.append((f"a{index}", declared))
            tags += [(index, tag) for tag in chosen]
            self.params.append((pointed, chosen))
        returns = rng.choice((number, number, number, word, 0, build.pointer(0)))
        main = build.function("main", build.prototype(number, [("ctx", build.pointer(0))]), 1)
        sub = build.function(
            "sub", build.prototype(returns if rng.random() < 0.3 else number, params), 1
        )
        for index, tag in tags:
            build.decl_tag(f"arg:{tag}", sub, index)
        return build.to_bytes(), build.build(), [main, sub]

    def code(self) -> tuple[bytes, int]:
        """Both functions, and where the second begins."""
        rng = self.rng
        main = insn(0xBF, 6, 1)
        if self.tracing:
            main += insn(0x79, 8, 1, 8)  # a task
        main += b"".join(insn(0x7A, 10, 0, off, 0) for off in (-8, -16, -24))
        held = [6, 8 if self.tracing else 6]
        if rng.random() < 0.4:
            main += insn(0x62, 10, 0, -28, 1) + insn(0xBF, 2, 10) + insn(0x07, 2, imm=-28)
            main += insn(0x18, 1, 1) + insn(0) + insn(0x85, imm=1)
            if rng.random() < 0.6:
                main += insn(0x55, 0, 0, 2, 0) + insn(0xB7) + EXIT
            main += insn(0xBF, 7, 0)
            held.insert(1, 7)
        for index, (pointed, tags) in enumerate(self.params):
            main += self.value(index + 1, pointed, tags, held)
        main += insn(0x85, 0, 1, 0, 2) + insn(0xB7) + EXIT
        body = b"".join(self.use(index + 1, row[0]) for index, row in enumerate(self.params))
        end = EXIT if rng.random() < 0.03 else insn(0xB7, imm=rng.randrange(3)) + EXIT
        return main + body + end, len(main) // 8

    def value(self, register: int, pointed: str, tags: tuple[str, ...], held: Any) -> bytes:
        """Something for an argument."""
        rng = self.rng
        fitting = {
            "": insn(0xB7, register, imm=rng.randrange(9)), "__sk_buff": insn(0xBF, register, 6),
            "task_struct": insn(0xBF, register, held[-1]), "void": insn(0xBF, register, 6),
        }  # fmt: skip
        if "ctx" in tags and rng.random() < 0.8:
            return insn(0xBF, register, 6)
        if rng.random() < 0.6 and pointed in fitting:
            return fitting[pointed]
        stack = insn(0xBF, register, 10) + insn(0x07, register, imm=rng.choice((-8, -16, -24, -4)))
        return rng.choice(
            (stack, stack, insn(0xB7, register), insn(0xBF, register, rng.choice(held)),
             insn(0xBF, register, rng.choice(held)) + insn(0x07, register, imm=8),
             insn(0xBF, register, 6) + insn(0x07, register, imm=rng.choice((0, 8))), b"",
             insn(0xB7, register, imm=77))
        )  # fmt: skip

    def use(self, register: int, pointed: str) -> bytes:
        """What the function does with an argument."""
        rng = self.rng
        if rng.random() < 0.25:
            return b""
        check = insn(0x55, register, 0, 2, 0) + insn(0xB7) + EXIT if rng.random() < 0.6 else b""
        size = rng.choice((1, 2, 4, 8))
        off = rng.choice((0, 0, 0, 4, 8, 12, 16, 24)) // size * size
        if not pointed:
            return check + insn(0xBF, 0, register)
        if rng.random() < 0.75:
            load = insn(LOADS[size], 0, register, off)
            return check + load + (insn(0x79, 0, 0) if rng.random() < 0.1 else b"")
        return check + insn({1: 0x72, 2: 0x6A, 4: 0x62, 8: 0x7A}[size], register, 0, off, 1)


class Judge:
    """Asks both."""

    def __init__(self) -> None:
        self.kernel = kernel_btf()
        self.world = World(self.kernel)
        self.loader = Loader(system)
        job = {"name": "array", "map": (ARRAY, 4, VALUE_SIZE, 4, 0)}
        list(self.loader.answers(iter([job])))
        row = {"map_type": ARRAY, "key_size": 4, "value_size": VALUE_SIZE, "max_entries": 4}
        self.world.maps[self.loader.fds["array"]] = Shape(self.loader.fds["array"], row, None)

    def ask(self, seed: int) -> tuple[str, dict[str, Any]]:
        """Class of the outcome: "" if both agree."""
        rng = random.Random(seed)
        maker = Maker(rng, rng.random() < 0.5)
        data, btf, ids = maker.types()
        code, start = maker.code()
        places = [pc for pc in range(start) if code[8 * pc : 8 * pc + 2] == b"\x18\x11"]
        functions = struct.pack("<IIII", 0, ids[0], start, ids[1])
        target = 0
        if maker.tracing and self.kernel is not None:
            target = self.kernel.by_name("btf_trace_task_newtask", Kind.TYPEDEF) or 0
        job = {
            "number": seed, "type": TRACING if maker.tracing else SCHED_CLS,
            "attach": RAW_TP if maker.tracing else 0, "btf_id": target, "insns": code.hex(),
            "functions": functions.hex(), "btf": "types", "maps": [(pc, "array") for pc in places],
        }  # fmt: skip
        answers = list(self.loader.answers(iter([{"name": "types", "types": data.hex()}, job])))
        theirs = answers[0]
        os.close(self.loader.fds["types"])
        bound = bytearray(code)
        for pc in places:
            struct.pack_into("<i", bound, 8 * pc + 4, self.loader.fds["array"])
        code = bytes(bound)
        return self._compare(job, code, btf, list(zip((0, start), ids, strict=True)), theirs, maker)

    def _compare(
        self, job: dict[str, Any], code: bytes, btf: Btf, infos: list[tuple[int, int]],
        theirs: dict[str, Any], maker: Maker,
    ) -> tuple[str, dict[str, Any]]:  # fmt: skip
        row = by_id(job["type"])
        assert row is not None
        request = Request(
            insns=decode(code), program_type=row, environment=self.world, license="GPL", btf=btf,
            expected_attach_type=effective_attach_type(row, job["attach"]),
            function_infos=[FunctionInfo(*info) for info in infos], attach_btf_id=job["btf_id"],
            attach_btf=self.kernel if job["btf_id"] else None,
        )  # fmt: skip
        ours, said = 0, ""
        try:
            verify(request)
        except Rejected as rejected:
            ours, said = rejected.errno, f"{rejected.rule.id}: {rejected.detail}"
        story = {
            "params": maker.params,
            "ours": (ours, said),
            "theirs": theirs,
            "insns": len(code) // 8,
        }
        if ours == theirs["errno"]:
            return "", story
        if not ours:
            return "HOLE", story
        if any("nonnull" in tags for _, tags in maker.params) and "type=scalar" in said:
            return "NULL for nonnull", story  # Linux lets a constant NULL pass
        return ("nuisance" if not theirs["errno"] else "errno"), story


def run(seed: int, count: int, show: int) -> dict[str, int]:
    """Compare *count* programs; returns how often each outcome came."""
    judge = Judge()
    tally: dict[str, int] = collections.Counter()
    for number in range(seed, seed + count):
        outcome, story = judge.ask(number)
        agreed = "both accept" if story["ours"][0] == 0 else "both refuse"
        tally[outcome or agreed] += 1
        if outcome and tally[outcome] <= show:
            print(f"--- seed {number}: {outcome}: {story}")
    return dict(tally)


def main() -> int:
    """Run as a script; exit status 1 if there is a hole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--show", type=int, default=4)
    args = parser.parse_args()
    tally = run(args.seed, args.count, args.show)
    for outcome, times in sorted(tally.items(), key=lambda row: -row[1]):
        print(f"{times:6d} {outcome}")
    return int("HOLE" in tally)


if __name__ == "__main__":
    sys.exit(main())
