"""Programs that were accepted once though Linux refuses them; each opens with its story."""

import errno
from dataclasses import replace

import pytest

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import Kind, Member
from skep.isa.assembler import assemble
from skep.isa.insn import Insn
from skep.session.assembly import request_of
from skep.uapi.flags import AttachType, MapType
from skep.uapi.program_types import by_name
from skep.verifier import Rejected, Request, verify
from skep.verifier.check import PROG_F_TEST_STATE_FREQ
from skep.verifier.interface import FunctionInfo, LineInfo
from support.verify_case import Shape, World
from support.verify_maps import ARRAY, NESTED, PROGRAMS, all_maps, look_up, shape

TAIL_CALL = f"r2 = map[fd {PROGRAMS}]\nr3 = 1\ncall 12\n"


def functions(linkage: int = 0, argument: str = "void", tag: str = "") -> tuple[Btf, list[int]]:
    """Types of ``int main(void *)`` and ``int sub(<argument> *)``."""
    build = Builder()
    number = build.integer("int", 4, signed=True)
    targets = {"void": 0, "int": number, "u64": build.integer("u64", 8)}
    anything, pointer = build.pointer(0), build.pointer(targets[argument])
    main = build.function("main", build.prototype(number, [("ctx", anything)]), 1)
    sub = build.function("sub", build.prototype(number, [("it", pointer)]), linkage)
    if tag:
        build.decl_tag(tag, sub, 0)
    return build.build(), [main, sub]


def ask(
    text: str, types: tuple[Btf, list[int]] | None = None, kind: str = "sched_cls"
) -> Rejected | None:
    """The verdict on *text*, whose subprogram is the label ``sub``; None if it is accepted."""
    row = by_name(kind)
    assert row is not None
    world = World(None)
    maps: dict[int, Shape] = all_maps()
    world.maps.update(maps)
    insns = assemble(text)
    starts = {pc + 1 + insn.imm for pc, insn in enumerate(insns) if insn.code == 0x85 and insn.src}
    btf, ids = types if types is not None else (None, [])
    infos = [FunctionInfo(*pair) for pair in zip([0, *sorted(starts)], ids, strict=False)]
    request = Request(
        insns=insns, program_type=row, environment=world, license="GPL", btf=btf,
        function_infos=infos,
    )  # fmt: skip
    try:
        verify(request)
    except Rejected as verdict:
        return verdict
    return None


def test_after_a_tail_call_in_a_subprogram_its_result_is_unknown() -> None:
    """A tail call that succeeds returns to the caller, with what the other program returned.

    Only the path on which it fails was walked, so the caller took 4 for the only result.
    """
    text = look_up(ARRAY, "r7 = r0\nr1 = r6\ncall sub\nr7 += r0\nr0 = *(u8 *)(r7 + 0)")
    subprogram = "sub:\n" + TAIL_CALL + "r0 = 4\nexit"
    verdict = ask(text + "\n" + subprogram, functions())
    assert verdict is not None
    assert "unbounded min value" in verdict.detail
    assert ask(text.replace("r7 += r0", "") + "\n" + subprogram, functions()) is None


def test_a_failed_tail_call_of_the_main_program_leaves_the_packet_alone() -> None:
    """It was refused: a program that goes on after a tail call has the packet that it had."""
    text = f"""
        r6 = r1
        r7 = *(u32 *)(r1 + 76)
        r8 = *(u32 *)(r1 + 80)
        r2 = r7
        r2 += 14
        if r2 > r8 goto out
        r1 = r6
        {TAIL_CALL}
        r0 = *(u8 *)(r7 + 0)
        out:
        r0 = 0
        exit
    """
    assert ask(text) is None


def test_a_value_of_a_map_of_maps_is_no_memory_for_a_global_function() -> None:
    """Such a value is the inner map's address: once it is not NULL, it is a map.

    While NULL was still possible, it went through as four bytes that the function may write.
    """
    main = look_up(NESTED, "").replace("if r0 == 0 goto out", "r1 = r0\ncall sub")
    text = main + "\nsub:\nr0 = 0\nif r1 == 0 goto +1\n*(u32 *)(r1 + 0) = 0\nexit"
    verdict = ask(text, functions(1, "int"))
    assert verdict is not None
    assert verdict.errno == errno.EINVAL
    assert ask(text.replace(f"map[fd {NESTED}]", f"map[fd {ARRAY}]"), functions(1, "int")) is None


@pytest.mark.parametrize(
    ("kind", "argument", "fits"),
    [
        ("sched_cls", "int", False), ("sched_cls", "u64", False), ("sched_cls", "void", True),
        ("raw_tracepoint", "u64", True), ("raw_tracepoint", "int", False),
        ("tracepoint", "int", True), ("perf_event", "u64", False),
    ],
)  # fmt: skip
def test_what_is_tagged_as_the_context_is_declared_as_it(
    kind: str, argument: str, fits: bool
) -> None:
    """The tag alone made any pointer the context, whatever it was declared to point to."""
    verdict = ask(
        "call sub\nr0 = 0\nexit\nsub:\nr0 = 0\nexit", functions(1, argument, "arg:ctx"), kind
    )
    assert (verdict is None) == fits


def test_a_tail_call_anywhere_ends_private_stacks() -> None:
    """Frames of probes have stacks of their own, unless some function has a tail call.

    Only the main program was asked whether it has one, so 800 bytes were taken for 400.
    """
    text = "*(u64 *)(r10 - 400) = 0\ncall sub\nr0 = 0\nexit\nsub:\n"
    plain = "*(u64 *)(r10 - 400) = 0\nr0 = 0\nexit"
    assert ask(text + plain, functions(), "kprobe") is None
    verdict = ask(text + TAIL_CALL + plain, functions(), "kprobe")
    assert verdict is not None
    assert "!read_ok" not in verdict.detail
    assert verdict.rule.id == "stack-depth"


def load(insns: list[Insn], maps: dict[int, Shape], **more: object) -> Rejected:
    """The refusal of *insns*."""
    row = by_name("cgroup_skb")
    assert row is not None
    world = World(None)
    world.maps.update(maps)
    request = Request(insns=insns, program_type=row, environment=world, license="GPL", **more)  # type: ignore[arg-type]
    with pytest.raises(Rejected) as caught:
        verify(request)
    return caught.value


def test_a_frozen_array_of_several_values_has_no_constants() -> None:
    """A pointer does not tell which element it is in; the first one's bytes stood for all."""
    frozen = shape(10, MapType.ARRAY, (4, 16, 4), 128)
    frozen.frozen = True
    text = look_up(10, "r0 = *(u64 *)(r0 + 0)")
    verdict = load(assemble(text), {10: frozen})
    assert verdict.errno == 524


def test_kernel_symbols_and_functions_exist_even_where_no_path_leads() -> None:
    """They were looked up when a path came to them: what is dead was never looked at."""
    wide = [Insn(0x18, 1, 3, 0, 0x7FFFFFF), Insn(0)]
    skipped = [Insn(0xB7), Insn(0x15, 0, 0, 2), *wide, Insn(0x95)]
    assert load(skipped, {}).rule.id == "kernel-symbol"
    for off, number in ((-1, errno.EINVAL), (8, errno.EPROTO)):
        skipped = [Insn(0xB7), Insn(0x15, 0, 0, 1), Insn(0x85, 0, 2, off, 5), Insn(0x95)]
        assert load(skipped, {}).errno == number


def test_line_info_is_checked_without_func_info_too() -> None:
    """Its records were taken as they came unless func_info stood beside them."""
    btf, _ = functions()
    lines = [LineInfo(0, "f", 1, 1, ""), LineInfo(9, "f", 1, 1, "")]
    verdict = load(assemble("r0 = 0\nexit"), {}, btf=btf, line_infos=lines)
    assert "Invalid line_info[1].insn_off" in verdict.detail


def test_a_program_has_one_cgroup_storage_of_a_type() -> None:
    """The kernel keeps one per program and type; a second one was let through."""
    maps = {fd: shape(fd, MapType.CGROUP_STORAGE, (16, 8, 0)) for fd in (10, 11)}
    calls = "".join(f"r1 = map[fd {fd}]\nr2 = 0\ncall 81\n" for fd in maps)
    verdict = load(assemble(calls + "r0 = 0\nexit"), maps)
    assert verdict.errno == errno.EBUSY


def kernel() -> Btf:
    """Types of a kernel that has two LSM hooks, and functions that may be traced."""
    build = Builder()
    number = build.integer("int", 4, signed=True)
    path = build.pointer(build.struct("path", 16))
    takes_path = build.prototype(number, [("path", path)])
    nothing = build.prototype(0, [("path", path)])
    for name in ("bpf_lsm_path_notify", "bpf_lsm_verify_prog", "vfs_getattr", "vfs_statfs"):
        build.function(name, takes_path, 1)
    build.function("bpf_lsm_path_free", nothing, 1)
    members = [
        Member(name, build.pointer(proto), 0)
        for name, proto in (("path_notify", takes_path), ("path_free", nothing))
    ]
    build.union("security_list_options", 8, members)
    return build.build()


def attach(kind: str, attach_type: AttachType, target: str, text: str) -> Rejected | None:
    """The verdict on a program attached to *target*."""
    row = by_name(kind)
    types = kernel()
    assert row is not None
    request = Request(
        insns=assemble(text), program_type=row, environment=World(types), license="GPL",
        expected_attach_type=attach_type, attach_btf=types,
        attach_btf_id=types.by_name(target, Kind.FUNC) or 0,
    )  # fmt: skip
    try:
        verify(request)
    except Rejected as verdict:
        return verdict
    return None


WALK_PATH = """r1 = *(u64 *)(r1 + 0)
r2 = r10
r2 += -8
r3 = 8
call 147
r0 = 0
exit
"""


def test_paths_are_walked_only_where_that_is_safe() -> None:
    """bpf_d_path takes locks: any traced function with a struct path could call it."""
    assert attach("tracing", AttachType.TRACE_FENTRY, "vfs_getattr", WALK_PATH) is None
    assert attach("lsm", AttachType.LSM_MAC, "bpf_lsm_path_notify", WALK_PATH) is None

    verdict = attach("tracing", AttachType.TRACE_FENTRY, "vfs_statfs", WALK_PATH)
    assert verdict is not None
    assert (verdict.rule.id, verdict.errno) == ("helper-available", errno.EINVAL)


def test_a_function_is_no_hook_for_its_name() -> None:
    """bpf_lsm_ begins the names of other functions, too; the kernel's union lists its hooks."""
    assert attach("lsm", AttachType.LSM_MAC, "bpf_lsm_path_notify", "r0 = 0\nexit\n") is None

    verdict = attach("lsm", AttachType.LSM_MAC, "bpf_lsm_verify_prog", "r0 = 0\nexit\n")
    assert verdict is not None
    assert "wrong type name" in verdict.detail


@pytest.mark.parametrize(("result", "accepted"), [(0, False), (1, True), (2, False)])
def test_cgroup_programs_let_hooks_without_a_result_go_on(result: int, accepted: bool) -> None:
    text = f"r0 = {result}\nexit\n"
    verdict = attach("lsm", AttachType.LSM_CGROUP, "bpf_lsm_path_free", text)

    assert (verdict is None) == accepted


def test_a_hook_without_a_result_gets_none() -> None:
    text = "r1 = -1\ncall 187\nr0 = 1\nexit\n"
    assert attach("lsm", AttachType.LSM_CGROUP, "bpf_lsm_path_notify", text) is None

    verdict = attach("lsm", AttachType.LSM_CGROUP, "bpf_lsm_path_free", text)
    assert verdict is not None
    assert "void LSM hooks" in verdict.detail


def test_a_tracepoint_buffer_does_not_come_back_from_the_stack() -> None:
    """Linux 6.18 keeps no such pointer in a slot: what is loaded again is a number."""
    text = "r6 = *(u64 *)(r1 + 0)\n*(u64 *)(r6 + 0) = 0\n{}\n*(u64 *)(r7 + 0) = 0\nr0 = 0\nexit"
    spilled = "*(u64 *)(r10 - 8) = r6\nr7 = *(u64 *)(r10 - 8)"
    assert ask(text.format("r7 = r6"), kind="raw_tracepoint_writable") is None

    verdict = ask(text.format(spilled), kind="raw_tracepoint_writable")
    assert verdict is not None
    assert "R7 invalid mem access 'scalar'" in verdict.detail


def test_sign_extension_forgets_which_bits_are_known() -> None:
    """The number and its range stay, its bits do not: 0 or 32 may be any number up to 32."""
    text = look_up(
        ARRAY, "r8 = *(u32 *)(r6 + 0)\nr8 &= 32\n{}r8 ^= 2\nr0 += r8\nr0 = *(u8 *)(r0 + 0)"
    )
    size = all_maps()[ARRAY].value_size
    assert 34 < size <= 63
    assert ask(text.format("")) is None

    verdict = ask(text.format("r8 = (s32)r8\n"))
    assert verdict is not None
    assert "max value is outside of the allowed memory range" in verdict.detail


def test_an_atomic_across_slots_is_misaligned() -> None:
    """It was an IndexError: the bytes were read before the alignment was checked."""
    verdict = ask("r1 = 1\nlock *(u64 *)(r10 - 12) += r1\nr0 = 0\nexit")
    assert verdict is not None
    assert verdict.detail == "misaligned stack access off 0+0+-12 size 8"


def test_what_a_helper_takes_in_this_program_type_is_compared() -> None:
    """bpf_get_cgroup_classid() takes nothing, except in programs on packets.

    So r1 was held to matter no more before the call, and of two ways that meet there the second one
    was taken for the first, which had the context in r1.
    """
    text = """.type sched_cls
    r6 = r1
    call bpf_get_prandom_u32
    r1 = r6
    if r0 != 0 goto bad
    goto join
    bad: r1 = 5
    join: r7 = 1
    call bpf_get_cgroup_classid
    r0 = 0
    exit
    """
    request = replace(request_of(text, None), prog_flags=PROG_F_TEST_STATE_FREQ)

    with pytest.raises(Rejected, match="R1 type=scalar expected=ctx"):
        verify(request)


def without_perfmon(text: str, has_cap_bpf: bool) -> Rejected | None:
    """The verdict for somebody who must not see addresses."""
    row = by_name("sched_cls")
    assert row is not None
    world = World(None)
    world.maps.update(all_maps())
    request = Request(
        insns=assemble(text), program_type=row, environment=world, license="GPL",
        privileged=False, has_cap_bpf=has_cap_bpf,
    )  # fmt: skip
    try:
        verify(request)
    except Rejected as verdict:
        return verdict
    return None


def test_cap_bpf_alone_keeps_numbers_on_the_stack() -> None:
    """It was CAP_PERFMON that numbers were kept for, and that told which of them matter.

    So of two paths one more was walked than by Linux, or one less. Loops stay refused: Linux takes
    most of them for endless when it follows what a processor may guess.
    """
    spill = look_up(ARRAY, "r1 = 8\n*(u64 *)(r10 - 16) = r1\nr2 = *(u64 *)(r10 - 16)\nr0 += r2")
    assert without_perfmon(spill, has_cap_bpf=True) is None
    assert without_perfmon(spill, has_cap_bpf=False) is not None

    verdict = without_perfmon("r1 = 0\nagain:\nr1 += 1\nif r1 < 4 goto again\nr0 = 0\nexit", True)
    assert verdict is not None
    assert verdict.rule.id == "back-edge-allowed"
