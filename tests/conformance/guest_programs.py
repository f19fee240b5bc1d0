"""Programs of the kinds that the running kernel has no trampolines for, as jobs for ``guest_load``.

They are made for the types of one kernel: hooks and flags, return values, helpers, walks from the
arguments of functions into structs. The same seed gives the same programs.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BtfError

KPROBE, RAW_TRACEPOINT, TRACING, LSM = 2, 17, 26, 29
RAW_TP, FENTRY, FEXIT, MODIFY_RETURN, LSM_MAC, LSM_CGROUP = 23, 24, 25, 26, 27, 43
KPROBE_MULTI, UPROBE_MULTI, KPROBE_SESSION, UPROBE_SESSION = 42, 48, 56, 57
SLEEPABLE = 16
HELPERS = range(1, 212)
SIZES: Final = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
STORES: Final = {1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}
NAMES: Final = {
    RAW_TP: "tp_btf", FENTRY: "fentry", FEXIT: "fexit", MODIFY_RETURN: "fmod_ret", LSM_MAC: "lsm",
    LSM_CGROUP: "lsm_cgroup", KPROBE_MULTI: "kprobe.multi", UPROBE_MULTI: "uprobe.multi",
    KPROBE_SESSION: "kprobe.session", UPROBE_SESSION: "uprobe.session",
}  # fmt: skip
FUNCTIONS: Final = (
    "bpf_fentry_test1", "bpf_modify_return_test", "bpf_modify_return_test2", "bpf_fentry_test2",
    "bpf_fentry_test7", "bpf_fentry_test9", "bpf_fentry_test10", "security_file_open",
    "security_inode_getattr", "security_bprm_check", "security_task_prctl", "security_sk_free",
    "do_exit", "do_group_exit", "kthread_exit", "migrate_disable", "__rcu_read_lock", "tcp_connect",
    "tcp_v4_connect", "vfs_read", "vfs_open", "filp_close", "__x64_sys_getpgid", "__x64_sys_exit",
    "__x64_sys_openat", "__ia32_sys_openat", "should_failslab", "should_fail_bio", "printk",
    "__filemap_add_folio", "should_fail_alloc_page", "__kfree_skb", "ip_rcv", "eth_type_trans",
    "tcp_sendmsg", "unix_stream_connect", "__netif_receive_skb_core", "bpf_rstat_flush",
    "do_unlinkat", "vfs_getattr", "dev_queue_xmit", "__dev_queue_xmit", "schedule",
    "bpf_prog_load", "bpf_map_new_fd", "__bpf_tramp_enter", "do_sys_openat2", "alloc_pid",
)  # fmt: skip
HELPED: Final = (
    # type, attach type, target, flags
    (TRACING, FENTRY, "tcp_v4_connect", 0), (TRACING, FEXIT, "vfs_getattr", 0),
    (TRACING, MODIFY_RETURN, "security_file_open", 0), (TRACING, RAW_TP, "sched_switch", 0),
    (LSM, LSM_MAC, "file_open", 0), (LSM, LSM_MAC, "file_open", SLEEPABLE),
    (LSM, LSM_MAC, "bprm_committed_creds", SLEEPABLE), (LSM, LSM_MAC, "socket_bind", 0),
    (LSM, LSM_MAC, "sk_free_security", 0), (LSM, LSM_CGROUP, "socket_post_create", 0),
    (LSM, LSM_CGROUP, "inet_csk_clone", 0), (LSM, LSM_CGROUP, "sk_alloc_security", 0),
    (LSM, LSM_CGROUP, "socket_bind", 0), (KPROBE, KPROBE_MULTI, "", 0),
    (KPROBE, KPROBE_SESSION, "", 0), (KPROBE, UPROBE_MULTI, "", SLEEPABLE), (KPROBE, 0, "", 0),
    (KPROBE, UPROBE_SESSION, "", 0),
)  # fmt: skip


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction."""
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


RETURN_ZERO: Final = insn(0xB7) + insn(0x95)
EXIT: Final = insn(0x95)


@dataclass
class Jobs:
    """Makes jobs for the kernel whose types are *btf*."""

    btf: Btf
    rng: random.Random
    number: int = 0
    names: list[str] = field(default_factory=list)

    def program(
        self, label: str, kind: int, attach: int, target: str, flags: int, code: bytes,
        **more: object,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """One program, if the kernel has its target."""
        btf_id = self.find(attach, target) if target else 0
        if btf_id is None:
            return
        name = f"{NAMES.get(attach, kind)}{'.s' if flags & SLEEPABLE else ''}/{target}"
        self.number += 1
        yield {
            "number": self.number, "label": f"{label} {name}", "type": kind, "attach": attach,
            "btf_id": btf_id, "flags": flags, "insns": code.hex(), **more,
        }  # fmt: skip

    def find(self, attach: int, target: str) -> int | None:
        """BTF id of what programs of an attach type call *target*."""
        if attach == RAW_TP:
            return self.btf.by_name(f"btf_trace_{target}", Kind.TYPEDEF)
        lsm = attach in (LSM_MAC, LSM_CGROUP)
        return self.btf.by_name(f"bpf_lsm_{target}" if lsm else target, Kind.FUNC)

    def hooks(self) -> list[str]:
        """Every LSM hook of the kernel."""
        return [name[8:] for name in self._functions() if name.startswith("bpf_lsm_")]

    def _functions(self) -> list[str]:
        if not self.names:
            types = (type_ for _, type_ in self.btf.types())
            self.names = [type_.name for type_ in types if isinstance(type_, kinds.Func)]
        return self.names

    def all(self, walks: int) -> Iterator[dict[str, Any]]:
        """Every kind of program; *walks* random walks."""
        yield from self.targets()
        yield from self.returns()
        yield from self.helpers()
        yield from self.paths()
        yield from self.walks(walks)

    # --- hooks and flags ----------------------------------------------------------------------

    def targets(self) -> Iterator[dict[str, Any]]:
        """The smallest program on many targets, sleeping and not."""
        plain = [name for name in self._functions() if not name.startswith("bpf_lsm_")]
        for name in (*FUNCTIONS, *self.rng.sample(plain, 60)):
            for attach in (FENTRY, FEXIT, MODIFY_RETURN):
                for flags in (0, SLEEPABLE):
                    yield from self.program("load", TRACING, attach, name, flags, RETURN_ZERO)
        for name in self.hooks():
            for attach, flags in ((LSM_MAC, 0), (LSM_MAC, SLEEPABLE), (LSM_CGROUP, 0)):
                yield from self.program("load", LSM, attach, name, flags, RETURN_ZERO)
            yield from self.program("load 1", LSM, LSM_CGROUP, name, 0, insn(0xB7, imm=1) + EXIT)
        yield from self.program("load", LSM, LSM_CGROUP, "socket_bind", SLEEPABLE, RETURN_ZERO)
        for attach in (LSM_MAC, FENTRY, 0, LSM_CGROUP):
            for name in ("security_file_open", "bpf_lsm_file_open"):
                btf_id = self.btf.by_name(name, Kind.FUNC)
                for kind in (LSM, TRACING):
                    for job in self.program("odd", kind, attach, "", 0, RETURN_ZERO):
                        yield {**job, "btf_id": btf_id, "label": f"odd {kind} {attach} {name}"}

    # --- results ------------------------------------------------------------------------------

    def returns(self) -> Iterator[dict[str, Any]]:
        """Results: constants, what the hook gave so far, what is unknown."""
        hooks = self.hooks()
        voids = [name for name in hooks if self._proto(LSM_MAC, name).returns == 0]
        chosen = [
            "xfrm_state_pol_flow_match", "inode_xattr_skipcap", "audit_rule_known", "task_prctl",
            "file_open", *self.rng.sample(voids, 6), *self.rng.sample(hooks, 20),
        ]  # fmt: skip
        for name in chosen:
            for attach in (LSM_MAC, LSM_CGROUP):
                for label, code in self._results(attach, name):
                    yield from self.program(label, LSM, attach, name, 0, code)
        for attach, name in (
            (FENTRY, "vfs_open"), (FEXIT, "vfs_open"), (MODIFY_RETURN, "security_file_open"),
            (MODIFY_RETURN, "bpf_modify_return_test"), (MODIFY_RETURN, "security_sk_free"),
            (FEXIT, "filp_close"), (FEXIT, "alloc_pid"), (RAW_TP, "sched_switch"),
            (FEXIT, "security_sk_free"), (FENTRY, "alloc_pid"),
        ):  # fmt: skip
            for label, code in self._results(attach, name):
                yield from self.program(label, TRACING, attach, name, 0, code)
        for attach in (0, KPROBE_MULTI, KPROBE_SESSION, UPROBE_MULTI, UPROBE_SESSION):
            for flags in (0, SLEEPABLE):
                for value in (0, 1, 2, -1):
                    code = insn(0xB7, imm=value) + EXIT
                    yield from self.program(f"return {value}", KPROBE, attach, "", flags, code)

    def _results(self, attach: int, name: str) -> Iterator[tuple[str, bytes]]:
        if self.find(attach, name) is None:
            return
        for value in (1, -1, -4095, -4096, 2):
            yield f"return {value}", insn(0xB7, imm=value) + EXIT
        yield "return w-1", insn(0xB4, imm=-1) + EXIT
        yield "return nothing", EXIT
        yield "return ctx", insn(0xBF, 0, 1) + EXIT
        yield "return unknown", insn(0x85, imm=7) + EXIT
        end = 8 * len(self._proto(attach, name).params)
        for code, size in ((0x79, 8), (0x61, 4), (0x81, 4), (0x69, 2)):
            yield f"return result/{size}", insn(code, 0, 1, end) + EXIT
        yield "read result", insn(0x79, 2, 1, end) + RETURN_ZERO
        yield "read behind", insn(0x79, 2, 1, end + 8) + RETURN_ZERO
        yield "read inside", insn(0x69, 2, 1, end + 2) + RETURN_ZERO

    def _proto(self, attach: int, name: str) -> kinds.FuncProto:
        return self.btf.func_proto(self.find(attach, name) or 0)

    # --- helpers ------------------------------------------------------------------------------

    def helpers(self) -> Iterator[dict[str, Any]]:
        """Each helper from each kind: whether it may be called at all, and with what."""
        for kind, attach, target, flags in HELPED:
            for helper in HELPERS:
                if helper in (2, 3):
                    continue
                end = insn(0xB7, imm=int(attach == LSM_CGROUP)) + EXIT
                bare = insn(0x85, imm=helper) + end
                yield from self.program(f"bare {helper}", kind, attach, target, flags, bare)
        for kind, attach, target, flags in HELPED:
            if not target or attach == RAW_TP:
                continue
            for helper in HELPERS:
                with_argument = insn(0x79, 1, 1) + b"".join(
                    insn(0xB7, register) for register in (2, 3, 4, 5)
                )
                end = insn(0xB7, imm=int(attach == LSM_CGROUP)) + EXIT
                code = with_argument + insn(0x85, imm=helper) + end
                yield from self.program(f"argument {helper}", kind, attach, target, flags, code)

    def paths(self) -> Iterator[dict[str, Any]]:
        """bpf_d_path and sockets' storage, which not every probe may use."""
        yield {"name": "storage", "map": (24, 4, 8, 0, 1)}
        for name in self._functions():
            hook = name.removeprefix("bpf_lsm_")
            for number, param in enumerate(self.btf.func_proto(self._id(name)).params[:5]):
                wanted = self._pointed_name(param.type)
                kinds_ = ((LSM, LSM_MAC, 0), (LSM, LSM_MAC, SLEEPABLE), (LSM, LSM_CGROUP, 0))
                if hook == name:
                    kinds_ = (
                        (TRACING, FENTRY, 0),
                        (TRACING, FEXIT, 0),
                        (TRACING, MODIFY_RETURN, 0),
                    )
                if wanted not in ("path", "file", "sock") or self.rng.random() > 0.2:
                    continue
                for kind, attach, flags in kinds_:
                    code = insn(0x79, 1, 1, 8 * number) + self._with(wanted)
                    code += insn(0xB7, imm=int(attach == LSM_CGROUP)) + EXIT
                    for job in self.program(wanted, kind, attach, hook, flags, code):
                        yield job if wanted != "sock" else {**job, "maps": [(2, "storage")]}

    def _id(self, name: str) -> int:
        return self.btf.by_name(name, Kind.FUNC) or 0

    def _pointed_name(self, type_id: int) -> str:
        type_ = self.btf.resolved(type_id) if type_id else None
        return self.btf.resolved(type_.type).name if isinstance(type_, kinds.Ptr) else ""

    def _with(self, wanted: str) -> bytes:
        """Give r1 to a helper."""
        if wanted == "sock":
            return (
                insn(0xBF, 2, 1) + insn(0x18, 1, 1) + insn(0) + insn(0xB7, 3) + insn(0xB7, 4)
                + insn(0x85, imm=self.rng.choice((107, 108)))
            )  # fmt: skip
        path = b""
        if wanted == "file":
            file = self.btf.by_name("file", Kind.STRUCT) or 0
            path = insn(0x07, 1, imm=self.btf.member_path(file, "f_path").offset)
        buffer = insn(0xBF, 2, 10) + insn(0x07, 2, imm=-64) + insn(0xB7, 3, imm=64)
        return path + buffer + insn(0x85, imm=self.rng.choice((147, 147, 161, 193)))

    # --- walks --------------------------------------------------------------------------------

    def walks(self, count: int) -> Iterator[dict[str, Any]]:
        """Random walks from arguments into structs."""
        functions = [
            name for name in self._functions()
            if not name.startswith(("bpf_lsm_", "__bpf_trace_", "__pfx", "__cfi"))
        ]  # fmt: skip
        hooks = self.hooks()
        made = 0
        while made < count:
            attach = self.rng.choice((FENTRY, FEXIT, LSM_MAC, LSM_MAC, LSM_CGROUP, MODIFY_RETURN))
            if attach in (LSM_MAC, LSM_CGROUP):
                kind, name = LSM, self.rng.choice(hooks)
            elif attach == MODIFY_RETURN:
                names = [name for name in functions if name.startswith("security_")]
                kind, name = TRACING, self.rng.choice(names)
            else:
                kind, name = TRACING, self.rng.choice(functions)
            if len(self._proto(attach, name).params) > 12:
                continue
            made += 1
            code = Walk(self.btf, self.rng, self._proto(attach, name)).code()
            code += insn(0xB7, imm=int(attach == LSM_CGROUP)) + EXIT
            yield from self.program(f"walk {made}", kind, attach, name, 0, code)


class Walk:
    """One walk: from an argument through pointers."""

    def __init__(self, btf: Btf, rng: random.Random, proto: kinds.FuncProto) -> None:
        self.btf, self.rng, self.proto = btf, rng, proto

    def code(self) -> bytes:
        """The program."""
        rng = self.rng
        count = len(self.proto.params)
        number = (
            rng.randrange(count + 1) if rng.random() < 0.1 or not count else rng.randrange(count)
        )
        size = 8 if rng.random() < 0.85 else rng.choice((1, 2, 4))
        code = insn(0xBF, 6, 1) + insn(SIZES[size], 1, 1, 8 * number)
        at = self._pointed(self.proto.params[number].type) if number < count else 0
        for _ in range(rng.randrange(0, 4)):
            step, at = self._step(at)
            code += step
        roll = rng.random()
        if roll < 0.15:
            code += self._use()
        elif roll < 0.2:
            code += insn(STORES[rng.choice((1, 2, 4, 8))], 1, 6, rng.choice((0, 8, 16)))
        elif roll < 0.25:
            code += insn(0x07, 1, imm=rng.choice((0, 8, -8, 64))) + insn(0x79, 2, 1)
        return code

    def _use(self) -> bytes:
        """Give r1 to a helper that wants a kernel object."""
        helper = self.rng.choice(
            (115, 137, 138, 139, 140, 147, 159, 161, 162, 171, 175, 178, 193, 46)
        )
        code = insn(0xBF, 2, 10) + insn(0x07, 2, imm=-16)
        if helper == 159:
            code = insn(0xB7, 2)
        return code + insn(0xB7, 3, imm=8) + insn(0x85, imm=helper)

    def _step(self, at: int) -> tuple[bytes, int]:
        """Load a member of struct *at* through r1 into r1."""
        rng = self.rng
        null = insn(0x55, 1, 0, 2, 0) + RETURN_ZERO if rng.random() < 0.4 else b""
        type_ = self.btf.resolved(at) if at else None
        if not isinstance(type_, kinds.Composite) or not type_.members or rng.random() < 0.1:
            size = rng.choice((1, 2, 4, 8))
            return null + insn(SIZES[size], 1, 1, rng.randrange(0, 64, 4)), 0
        pointers = [m for m in type_.members if self._pointed(m.type)]
        member = rng.choice(pointers if pointers and rng.random() < 0.75 else type_.members)
        try:
            size = self.btf.size_of(member.type)
        except BtfError:
            size = 8
        if size not in SIZES or rng.random() < 0.08:
            size = rng.choice((1, 2, 4, 8))
        off = member.offset + (rng.choice((1, 4, -4, 8)) if rng.random() < 0.08 else 0)
        return null + insn(SIZES[size], 1, 1, max(-8, min(off, 32000))), self._pointed(member.type)

    def _pointed(self, type_id: int) -> int:
        """The struct that a pointer of this type points to; 0 if it is none."""
        if not type_id:
            return 0
        type_ = self.btf.resolved(type_id)
        if not isinstance(type_, kinds.Ptr) or not type_.type:
            return 0
        target = self.btf.resolve(type_.type)
        return target if isinstance(self.btf.type(target), kinds.Composite) else 0
