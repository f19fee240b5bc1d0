"""Programs with functions and BTF, made in a few words: targets of extensions, and what extends."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skep.btf import kinds
from skep.btf.build import Builder
from skep.uapi import commands
from support.caller import EXIT, Caller, insn

XDP, TRACING, EXT, SCHED_CLS, CGROUP_SKB, KPROBE, RAW_TRACEPOINT = 6, 26, 28, 3, 8, 2, 17
FENTRY, FEXIT, MODIFY_RETURN, TRACE_RAW_TP, TRACE_ITER, LSM_MAC = 24, 25, 26, 23, 28, 27
CONTEXTS = {
    1: "__sk_buff", KPROBE: "pt_regs", SCHED_CLS: "__sk_buff", 4: "__sk_buff", XDP: "xdp_md",
    7: "bpf_perf_event_data", CGROUP_SKB: "__sk_buff", 9: "bpf_sock", 10: "__sk_buff",
    11: "__sk_buff", 12: "__sk_buff", 13: "bpf_sock_ops", 14: "__sk_buff",
    15: "bpf_cgroup_dev_ctx", 16: "sk_msg_md", RAW_TRACEPOINT: "bpf_raw_tracepoint_args",
    18: "bpf_sock_addr", 19: "__sk_buff", 21: "sk_reuseport_md", 22: "__sk_buff",
    23: "bpf_sysctl", 24: "bpf_raw_tracepoint_args", 25: "bpf_sockopt", 30: "bpf_sk_lookup",
    32: "bpf_nf_ctx",
}  # fmt: skip
ANY_RESULT = frozenset((1, KPROBE, SCHED_CLS, 4, XDP, 7, 10, 11, 12, 14, 16, 19, 21, 22))
ONLY = {19: 1, 20: 1}  # attach types, of cgroup_sock_addr, whose programs return 1
STATIC, GLOBAL = kinds.STATIC, kinds.GLOBAL


def number(value: int) -> bytes:
    """r0 = *value*, and the end."""
    return insn(0xB7, 0, imm=value) + EXIT


def product() -> bytes:
    """r0 = r1 * r2, as ints."""
    return insn(0xBC, 0, 1) + insn(0x2C, 0, 2) + EXIT


@dataclass(frozen=True)
class Fn:
    """A function: its parameters as ``"int, ctx, pair*"``, what it returns, and its code."""

    name: str
    takes: str = "int, int"
    returns: str = "int"
    linkage: int = GLOBAL
    code: bytes = field(default_factory=lambda: number(7))


class Types:
    """BTF of functions."""

    def __init__(self, context: str, pair_size: int = 8) -> None:
        self.made = Builder()
        self._context, self._pair_size = context, pair_size
        self._ids: dict[str, int] = {"void": 0}

    def id(self, name: str) -> int:
        """The type that *name* spells: a number, a structure, or a pointer to one."""
        if name not in self._ids:
            self._ids[name] = self._make(name)
        return self._ids[name]

    def _make(self, name: str) -> int:
        made = self.made
        if name.endswith("*"):
            return made.pointer(self.id(name[:-1]))
        if name == "ctx":
            return made.pointer(self.id("struct " + self._context))
        if name.startswith("const "):
            return made.const(self.id(name[6:]))
        if name.startswith("typedef "):
            return made.typedef("alias", self.id(name[8:]))
        if name.startswith("enum"):
            return made.enum(name, {f"{name}_{each}": each for each in range(int(name[4:]))})
        if name.startswith("struct "):
            return made.struct(name[7:], 8)
        if name == "pair":
            first = self.id("int")
            members = [kinds.Member("a", first, 0), kinds.Member("b", first, 32)]
            return made.struct("pair", self._pair_size, members)
        sizes = {"char": 1, "short": 2, "int": 4, "u32": 4, "long": 8, "u64": 8}
        return made.integer(name, sizes[name], signed=name[0] != "u")

    def function(self, fn: Fn) -> int:
        """A FUNC; what follows ``!`` in a parameter is its tag."""
        words = [each.split("!") for each in re.split(r", ?", fn.takes) if each]
        params = [(f"a{at}", self.id(word[0])) for at, word in enumerate(words)]
        made = self.made.function(
            fn.name, self.made.prototype(self.id(fn.returns), params), fn.linkage
        )
        for at, word in enumerate(words):
            for tag in word[1:]:
                self.made.decl_tag(f"arg:{tag}", made, at)
        return made


def call_of(fn: Fn) -> bytes:
    """Instructions that pass what *fn* takes, before the call; r6 is the context."""
    code = insn(0x7A, 10, off=-8, imm=3) + insn(0x7A, 10, off=-16, imm=4)
    for at, name in enumerate(each for each in re.split(r", ?", fn.takes) if each):
        if at >= 5:
            break
        if "*" in name:
            code += insn(0xBF, at + 1, 10) + insn(0x07, at + 1, imm=-16)
        elif name.startswith("ctx"):
            code += insn(0xBF, at + 1, 6)
        else:
            code += insn(0xB7, at + 1, imm=at + 2)
    return code


@dataclass
class Loaded:
    """A program that was tried to load: its descriptor or -errno, and the ids of its functions."""

    fd: int
    functions: dict[str, int]
    btf_fd: int
    log: str = ""


def load_parts(
    caller: Caller, kind: int, types: Types, parts: Sequence[tuple[int, bytes]],
    names: dict[str, int], *, quiet: bool = False, **members: Any,
) -> Loaded:  # fmt: skip
    """A program made of functions: the BTF id and the code of each; *quiet*: without a log."""
    data = types.made.to_bytes()
    btf_fd = caller.call(commands.BTF_LOAD, btf=caller.keep(data), btf_size=len(data))
    assert btf_fd >= 0, "BTF that is right"
    code = b"".join(part for _, part in parts)
    records, at = b"", 0
    for type_id, part in parts:
        records += struct.pack("<II", at, type_id)
        at += len(part) // 8
    room = caller.keep(b"", 1 << 16)
    log = {} if quiet else {"log_level": 1, "log_size": 1 << 16, "log_buf": room}
    fd = caller.program(
        code, kind, prog_btf_fd=btf_fd, func_info_rec_size=8, func_info=caller.keep(records),
        func_info_cnt=len(parts), **log, **members,
    )  # fmt: skip
    return Loaded(fd, names, btf_fd, caller.text_at(room))


def load_target(
    caller: Caller, functions: Sequence[Fn], kind: int = XDP, *, main: str = "ctx",
    linkage: int = GLOBAL, uncalled: Sequence[Fn] = (), pair_size: int = 8, **members: Any,
) -> Loaded:  # fmt: skip
    """A program that returns the sum of what *functions* do; it never comes to the *uncalled*."""
    types = Types(CONTEXTS.get(kind, "xdp_md"), pair_size)
    code = insn(0xBF, 6, 1) + insn(0xB7, 7, imm=0)
    calls = []
    for fn in (*functions, *uncalled):
        dead = fn in uncalled
        passed = call_of(fn)
        code += insn(0xB7, 8) + insn(0x15, 8, off=len(passed) // 8 + 2) if dead else b""
        code += passed
        calls.append(len(code))
        code += insn(0x85, src=1) + insn(0x0F, 7, 0)
    code += insn(0xBF, 0, 7) + EXIT
    if kind not in ANY_RESULT:
        code = code[:-16] + number(ONLY.get(members.get("expected_attach_type", 0), 0))
    start = len(code) // 8
    for at, fn in zip(calls, (*functions, *uncalled), strict=True):
        code = code[:at] + insn(0x85, src=1, imm=start - at // 8 - 1) + code[at + 8 :]
        start += len(fn.code) // 8
    parts = [(types.function(Fn("main", main, linkage=linkage)), code)]
    names = {"main": parts[0][0]}
    for fn in (*functions, *uncalled):
        names[fn.name] = types.function(fn)
        parts.append((names[fn.name], fn.code))
    return load_parts(caller, kind, types, parts, names, **members)


def load_on(
    caller: Caller, target: Loaded, name: str, fn: Fn, kind: int = EXT, *, context: str = "xdp_md",
    pair_size: int = 8, **members: Any,
) -> Loaded:  # fmt: skip
    """A program *fn* that is loaded for the function called *name* of *target*."""
    types = Types(context, pair_size)
    type_id = types.function(fn)
    named = target.functions.get(name, 0)
    members = {"attach_prog_fd": target.fd, "attach_btf_id": named, **members}
    return load_parts(caller, kind, types, [(type_id, fn.code)], {fn.name: type_id}, **members)


def tracer(code: bytes = b"") -> Fn:
    """A tracing program's function."""
    return Fn("tracer", "u64*", "int", code=code or number(0))


def link(caller: Caller, program: int, target: int = 0, type_id: int = 0, **members: Any) -> int:
    """LINK_CREATE at a function of a program; what was refused before stays so."""
    if program < 0:
        return program
    return caller.call(
        commands.LINK_CREATE, prog_fd=program, target_fd=target, word16=type_id, **members
    )


def run(caller: Caller, program: int, data: bytes = bytes(64)) -> int:
    """What the program returns, or -errno; what was refused before stays so."""
    if program < 0:
        return program
    result = caller.call(
        commands.PROG_TEST_RUN, prog_fd=program, data_in=caller.keep(data), data_size_in=len(data)
    )
    found: int = getattr(caller.attr, "retval", 0)
    return result if result < 0 else found
