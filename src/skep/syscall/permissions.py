"""What a caller's credentials and tokens let it do, in the order in which Linux looks.

Source: Linux 6.18 kernel/bpf/syscall.c (map_create, bpf_prog_load, bpf_btf_load, …),
include/linux/bpf.h (bpf_allow_ptr_leaks).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from skep.syscall.call import Call
from skep.syscall.credentials import Capability, Credentials
from skep.syscall.loaded import LoadedProgram
from skep.syscall.state import State
from skep.syscall.tokens import Token, token_of
from skep.uapi import commands, map_types
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import BtfLoad, GetId, MapCreate, ProgLoad
from skep.uapi.flags import MAX_INSNS, UNPRIVILEGED_MAX_INSNS, MapFlag, ProgFlag, ProgType
from skep.uapi.helper_sets import BASE, FOR_PERFMON, FOR_SYS_ADMIN, UNPRIVILEGED
from skep.uapi.program_types import ProgramType

HELPERS: Final[Mapping[Capability, frozenset[int]]] = {  # that need it
    Capability.BPF: BASE - UNPRIVILEGED,
    Capability.PERFMON: FOR_PERFMON,
    Capability.SYS_ADMIN: FOR_SYS_ADMIN,
}
MAP_TOKEN: Final = int(MapFlag.TOKEN_FD)
NEEDS: Final[Mapping[int, Capability]] = {
    commands.PROG_QUERY.number: Capability.NET_ADMIN,
    commands.PROG_GET_FD_BY_ID.number: Capability.SYS_ADMIN,
    commands.LINK_GET_FD_BY_ID.number: Capability.SYS_ADMIN,
    commands.TASK_FD_QUERY.number: Capability.SYS_ADMIN,
    commands.ENABLE_STATS.number: Capability.SYS_ADMIN,
}


def check_command(call: Call[Any]) -> None:
    """Refuse a command that the caller may not use at all."""
    needed = NEEDS.get(call.command.number)
    if needed is not None and not call.credentials.may(needed):
        raise call.refusal(reasons.COMMAND, f"needs CAP_{needed.name}")


def check_walk(call: Call[GetId]) -> None:
    """Refuse to show ids, or to open objects by them."""
    call.check(call.credentials.has(Capability.SYS_ADMIN), reasons.WALK_IDS)


def check_map(state: State, call: Call[MapCreate]) -> Token | None:
    """Refuse a map that the caller may not create; the token that it goes by, if it does."""
    attr, token = call.attr, None
    if attr.map_flags & MAP_TOKEN:
        token = token_of(state, call, attr.map_token_fd,
                         reasons.CLOSED_MAP_TOKEN, reasons.NO_MAP_TOKEN)  # fmt: skip
        if not (token.allows(call.command) and token.allows_map(attr.map_type)):
            token = None  # of no use here: the caller's own rights count
    who = call.credentials
    free = not who.unprivileged_disabled or who.may(Capability.BPF, token)
    call.check(free, reasons.UNPRIVILEGED_MAP)
    row = map_types.by_id(attr.map_type)
    needed = row.capability if row is not None else ""
    if needed and not who.may(Capability[needed.removeprefix("CAP_")], token):
        raise call.refusal(reasons.MAP_TYPE, f"needs {needed}")
    return token


def check_btf(state: State, call: Call[BtfLoad]) -> None:
    """Refuse BTF that the caller may not load."""
    token = _token(state, call, call.attr.btf_flags, call.attr.btf_token_fd, "btf_token_fd")
    call.check(call.credentials.may(Capability.BPF, token), reasons.LOAD_BTF)


def check_open_btf(state: State, call: Call[GetId]) -> None:
    """Refuse a descriptor of BTF that the caller may not open by id."""
    token = _token(
        state, call, call.attr.open_flags, call.attr.fd_by_id_token_fd, "fd_by_id_token_fd"
    )
    call.check(call.credentials.may(Capability.SYS_ADMIN, token), reasons.BTF_BY_ID)


def _token(state: State, call: Call[Any], flags: int, fd: int, field: str) -> Token | None:
    """The token that *flags* say there is, if it is good for the command."""
    if not flags & MAP_TOKEN:
        return None
    token = token_of(state, call, fd, reasons.CLOSED_TOKEN, reasons.NO_TOKEN, field)
    return token if token.allows(call.command) else None


def program_token(state: State, call: Call[ProgLoad], attach_type: int) -> Token | None:
    """The token of PROG_LOAD, if it is good for the program type and the attach type."""
    attr = call.attr
    if not attr.prog_flags & ProgFlag.TOKEN_FD:
        return None
    token = token_of(state, call, attr.prog_token_fd, reasons.CLOSED_TOKEN, reasons.NO_TOKEN,
                     "prog_token_fd")  # fmt: skip
    useful = token.allows(call.command) and token.allows_program(attr.prog_type, attach_type)
    return token if useful else None


def most_insns(call: Call[ProgLoad], token: Token | None) -> int:
    """How many instructions the caller's programs may have."""
    return MAX_INSNS if call.credentials.may(Capability.BPF, token) else UNPRIVILEGED_MAX_INSNS


def check_unprivileged(call: Call[ProgLoad], token: Token | None) -> None:
    """Refuse programs of callers without CAP_BPF where the system does."""
    who = call.credentials
    free = not who.unprivileged_disabled or who.may(Capability.BPF, token)
    call.check(free, reasons.UNPRIVILEGED_PROGRAM)


def check_program_type(call: Call[ProgLoad], row: ProgramType | None, token: Token | None) -> None:
    """Refuse a program type that the caller may not load."""
    who = call.credentials
    call.check((row is not None and row.unprivileged) or who.may(Capability.BPF, token),
               reasons.PROGRAM_TYPE)  # fmt: skip
    if row is not None and row.net_admin:
        call.check(who.may(Capability.NET_ADMIN, token), reasons.NETWORK_PROGRAM)
    if row is not None and row.perfmon:
        call.check(who.may(Capability.PERFMON, token), reasons.TRACING_PROGRAM)


def has_right_to_attach(who: Credentials, program: LoadedProgram) -> bool:
    """Whether the caller may attach the program; of one kind everybody may load some."""
    return program.type.id != ProgType.CGROUP_SKB or who.may(Capability.NET_ADMIN, program.token)


def check_attach(call: Call[Any], program: LoadedProgram) -> None:
    """Refuse to attach a program that everybody may load, but not everybody may attach."""
    call.check(has_right_to_attach(call.credentials, program), reasons.ATTACH_CGROUP_SKB)


def allowed_helpers(row: ProgramType, who: Credentials, token: Token | None) -> ProgramType:
    """The program type as it is for callers without some capabilities: it has fewer helpers."""
    lost: frozenset[int] = frozenset()
    for capability, helpers in HELPERS.items():
        if not who.may(capability, token):
            lost |= helpers
    return replace(row, helpers=row.helpers - lost) if row.helpers & lost else row
