"""Who may do what: capabilities, and how programs of the unprivileged are verified."""

from errno import E2BIG, EACCES, EINVAL, EPERM

import pytest

from skep.syscall.call import Refusal
from skep.syscall.credentials import ALL, PRIVILEGED, Capability, Credentials
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands, map_types, program_types
from skep.uapi.infos import ProgInfo
from support.caller import EXIT, RETURN_ONE, Caller, insn

NOBODY = Credentials(uid=1000, gid=1000, capabilities=frozenset(), unprivileged_disabled=0)
CALL = 0x85
NEED_MORE = {  # than sizes: BTF, or flags and pages
    "sk_storage", "inode_storage", "task_storage", "cgrp_storage", "struct_ops", "arena",
}  # fmt: skip


def caller_with(*capabilities: Capability, disabled: int = 0) -> Caller:
    return Caller(
        Subsystem(
            credentials=Credentials(
                uid=1000, capabilities=frozenset(capabilities), unprivileged_disabled=disabled
            )
        )
    )


def test_sys_admin_stands_for_the_capabilities_of_bpf_but_not_the_other_way_round() -> None:
    admin = Credentials(capabilities=frozenset({Capability.SYS_ADMIN}))
    others = Credentials(capabilities=ALL - {Capability.SYS_ADMIN})

    assert all(admin.may(each) for each in (Capability.BPF, Capability.NET_ADMIN))
    assert not admin.has(Capability.BPF)
    assert not others.may(Capability.SYS_ADMIN)


def test_capabilities_of_a_namespace_count_there_only() -> None:
    inside = Credentials(namespace=1)

    assert inside.has(Capability.BPF, 1)
    assert not inside.has(Capability.BPF)
    assert not inside.has(Capability.BPF, 2)
    assert PRIVILEGED.has(Capability.BPF, 1)  # the initial namespace is above all


@pytest.mark.acceptance("M39", "M50")
@pytest.mark.parametrize("disabled", [1, 2])
def test_where_the_unprivileged_are_shut_out_nothing_can_be_made(disabled: int) -> None:
    caller = caller_with(disabled=disabled)

    assert caller.map(1) == -EPERM
    assert caller.program(RETURN_ONE + EXIT) == -EPERM
    error = caller.subsystem.last_error
    assert isinstance(error, Refusal)
    assert error.rule == "capability/program-without-bpf"
    assert error.hint


@pytest.mark.acceptance("M39")
@pytest.mark.parametrize(
    "row", [row for row in map_types.MAP_TYPES if row.capability and row.name not in NEED_MORE]
)
def test_a_map_type_needs_its_capability(row: map_types.MapType) -> None:
    needed = Capability[row.capability.removeprefix("CAP_")]
    others = [each for each in ALL if each not in {needed, Capability.SYS_ADMIN}]
    sizes = {"key_size": 4, "value_size": 8, "max_entries": 1, "map_type": row.id}
    if row.name in {"queue", "stack", "bloom_filter"}:
        sizes["key_size"] = 0
    if row.name in {"xskmap", "cpumap", "insn_array"} or row.id in {14, 15, 25}:
        sizes["value_size"] = 4
    if row.name == "lpm_trie":
        sizes |= {"map_flags": 1, "key_size": 8}
    without, with_it = caller_with(*others), caller_with(needed)

    assert with_it.call(commands.MAP_CREATE, **sizes) > 0
    assert without.call(commands.MAP_CREATE, **sizes) == -EPERM


@pytest.mark.acceptance("M39")
@pytest.mark.parametrize(
    "row", [row for row in program_types.PROGRAM_TYPES if row.net_admin or row.perfmon]
)
def test_a_program_type_needs_its_capabilities(row: program_types.ProgramType) -> None:
    needed = {Capability.BPF}
    needed |= {Capability.NET_ADMIN} if row.net_admin else set()
    needed |= {Capability.PERFMON} if row.perfmon else set()

    for missing in needed:
        caller = caller_with(*needed - {missing})
        assert caller.program(RETURN_ONE + EXIT, row.id) == -EPERM
        assert missing.name in str(caller.subsystem.last_error)
    assert caller_with(*needed).program(RETURN_ONE + EXIT, row.id) != -EPERM


@pytest.mark.acceptance("M49")
def test_programs_of_the_unprivileged_are_short() -> None:
    caller = caller_with()

    assert caller.program(RETURN_ONE * 4095 + EXIT) > 0
    assert caller.program(RETURN_ONE * 4096 + EXIT) == -E2BIG
    assert caller_with(Capability.BPF).program(RETURN_ONE * 4096 + EXIT) > 0
    assert caller.program(b"") == -E2BIG


def test_programs_of_the_unprivileged_leak_no_pointer() -> None:
    leak = insn(0xBF, 0, 10) + EXIT

    assert caller_with().program(leak) == -EACCES
    assert caller_with(Capability.BPF).program(leak) == -EACCES
    assert caller_with(Capability.BPF, Capability.PERFMON).program(leak) > 0
    assert caller_with(Capability.SYS_ADMIN).program(leak) > 0


def test_functions_need_cap_bpf() -> None:
    code = insn(CALL, 0, 1, 0, 1) + EXIT + RETURN_ONE + EXIT

    assert caller_with().program(code) == -EPERM
    assert caller_with(Capability.BPF).program(code) > 0


@pytest.mark.parametrize(
    ("helper", "needed"),
    [(7, set()), (118, {Capability.BPF}), (35, {Capability.BPF, Capability.PERFMON})],
)
def test_helpers_need_what_linux_asks_for(helper: int, needed: set[Capability]) -> None:
    code = insn(CALL, imm=helper) + RETURN_ONE + EXIT

    assert caller_with(*needed).program(code) > 0
    for missing in needed:
        assert caller_with(*needed - {missing}).program(code) == -EINVAL


def test_whoever_loads_a_program_is_told_and_others_see_no_code() -> None:
    root = Caller()
    fd = root.program(RETURN_ONE + EXIT)
    mine = root.info(fd, ProgInfo)
    user = Caller(root.subsystem.as_user(NOBODY))
    theirs = user.info(fd, ProgInfo)
    own = user.info(user.program(RETURN_ONE + EXIT), ProgInfo)

    assert isinstance(mine, ProgInfo)
    assert isinstance(theirs, ProgInfo)
    assert isinstance(own, ProgInfo)
    assert mine.xlated_prog_len == 16
    assert (theirs.xlated_prog_len, theirs.jited_prog_len, theirs.nr_jited_ksyms) == (0, 0, 0)
    assert theirs.tag == mine.tag
    assert own.created_by_uid == 1000


def test_a_view_has_the_same_objects_and_an_error_of_its_own() -> None:
    root = Subsystem()
    user = root.as_user(NOBODY)
    caller = Caller(user)
    fd = caller.map(1)

    assert fd > 0
    assert Caller(root).store(fd, bytes(4), bytes(8)) == 0
    assert caller.call(commands.MAP_GET_NEXT_ID) == -EPERM
    assert user.last_error is not None
    assert root.last_error is None
