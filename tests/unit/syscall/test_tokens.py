"""Tokens: what a mount of bpffs delegates into a user namespace."""

from errno import EBADF, EINVAL, ENOENT, EOPNOTSUPP, EPERM

import pytest

from skep.errors import CommandError
from skep.syscall.credentials import ALL, Capability, Credentials
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.syscall.tree import Delegation
from skep.uapi import commands
from skep.uapi.flags import MapFlag, ProgFlag
from skep.uapi.infos import TokenInfo
from support.caller import EXIT, RETURN_ONE, Caller, insn

EVERY = (1 << 64) - 1
LOADS = 1 << commands.MAP_CREATE.number | 1 << commands.PROG_LOAD.number
LOADS |= 1 << commands.BTF_LOAD.number | 1 << commands.BTF_GET_FD_BY_ID.number
INSIDE = Credentials(uid=1000, gid=1000, namespace=1)  # has everything, in its own namespace
TOKEN_FD = int(MapFlag.TOKEN_FD)
BTF = (
    b"\x9f\xeb\1\0" + b"".join(n.to_bytes(4, "little") for n in (24, 0, 16, 16, 5))
    + b"".join(n.to_bytes(4, "little") for n in (1, 1 << 24, 4, 32)) + b"\0int\0"
)  # fmt: skip


def inside(delegation: Delegation, who: Credentials = INSIDE) -> tuple[Caller, int]:
    """A caller within namespace 1, and a descriptor of the root of its mount."""
    root = Subsystem()
    root.files.mount("/run/token", delegation, namespace=1)
    folder = root.files.open_folder("/run/token")
    return Caller(root.as_user(who)), folder


def with_token(delegation: Delegation, who: Credentials = INSIDE) -> tuple[Caller, int]:
    caller, folder = inside(delegation, who)
    token = caller.call(commands.TOKEN_CREATE, bpffs_fd=folder)
    assert token > 0, caller.subsystem.last_error
    return caller, token


def load(caller: Caller, token: int, kind: int = 1, **members: int) -> int:
    flags = int(ProgFlag.TOKEN_FD) if token else 0
    return caller.program(RETURN_ONE + EXIT, kind, prog_flags=flags, prog_token_fd=token, **members)


def make(caller: Caller, token: int, kind: int = 9) -> int:
    return caller.call(
        commands.MAP_CREATE, map_type=kind, key_size=4, value_size=4, max_entries=1,
        map_flags=TOKEN_FD if token else 0, map_token_fd=token,
    )  # fmt: skip


def test_without_a_token_capabilities_of_a_namespace_are_worth_nothing() -> None:
    caller, _ = inside(Delegation(LOADS, EVERY, EVERY, EVERY))

    assert make(caller, 0) == load(caller, 0) == -EPERM
    assert caller.call(commands.BTF_LOAD, btf=caller.keep(BTF), btf_size=len(BTF)) == -EPERM


def test_a_token_lets_them_count() -> None:
    caller, token = with_token(Delegation(LOADS, EVERY, EVERY, EVERY))

    assert make(caller, token) > 0
    assert load(caller, token) > 0
    assert load(caller, token, 6) > 0  # XDP: CAP_NET_ADMIN
    assert load(caller, token, 2) > 0  # kprobe: CAP_PERFMON
    assert caller.call(
        commands.BTF_LOAD, btf=caller.keep(BTF), btf_size=len(BTF), btf_flags=TOKEN_FD,
        btf_token_fd=token,
    ) > 0  # fmt: skip
    assert caller.call(
        commands.BTF_GET_FD_BY_ID, start_id=2, open_flags=TOKEN_FD, fd_by_id_token_fd=token
    ) > 0  # fmt: skip
    assert caller.call(commands.MAP_GET_NEXT_ID) == -EPERM  # no token for that


def test_what_the_mount_does_not_delegate_the_token_does_not_allow() -> None:
    hash_only = with_token(Delegation(LOADS, 1 << 1, 1 << 1, 1 << 0))

    assert make(*hash_only, 1) > 0
    assert make(*hash_only, 2) == -EPERM
    assert load(*hash_only, 1) > 0
    assert load(*hash_only, 6) == -EPERM
    assert make(*with_token(Delegation(1 << 5, EVERY, EVERY, EVERY))) == -EPERM
    assert load(*with_token(Delegation(1 << 0, EVERY, EVERY, EVERY))) == -EPERM
    assert load(*with_token(Delegation(LOADS, EVERY, EVERY, 1 << 1))) == -EPERM  # attach type 0


def test_a_token_gives_no_capability_that_its_user_does_not_have() -> None:
    who = Credentials(
        uid=1000, namespace=1, capabilities=frozenset({Capability.BPF})
    )  # fmt: skip
    caller, token = with_token(Delegation(LOADS, EVERY, EVERY, EVERY), who)

    assert load(caller, token) > 0
    assert load(caller, token, 6) == -EPERM
    leak = insn(0xBF, 0, 10) + EXIT
    assert caller.program(leak, prog_flags=int(ProgFlag.TOKEN_FD), prog_token_fd=token) < 0


def test_a_token_works_in_its_own_namespace_only() -> None:
    caller, token = with_token(Delegation(LOADS, EVERY, EVERY, EVERY))
    stranger = Caller(caller.subsystem.as_user(Credentials(uid=1000, namespace=2)))

    assert make(stranger, token) == -EPERM
    assert make(Caller(caller.subsystem.as_user(Credentials())), token) > 0  # needs none


@pytest.mark.parametrize(
    ("who", "errno"),
    [
        (Credentials(namespace=2), EPERM),
        (Credentials(namespace=1, capabilities=ALL - {Capability.BPF}), EPERM),
        (Credentials(), EPERM),  # of the initial namespace, which is another
    ],
)
def test_only_the_namespace_of_the_mount_makes_tokens(who: Credentials, errno: int) -> None:
    caller, folder = inside(Delegation(LOADS), who)

    assert caller.call(commands.TOKEN_CREATE, bpffs_fd=folder) == -errno


def test_what_tokens_are_not_made_of() -> None:
    caller, folder = inside(Delegation())
    root = Caller(caller.subsystem.as_user(Credentials()))
    below = root.subsystem.files
    below.make_folder("/run/token/below")

    assert caller.call(commands.TOKEN_CREATE, bpffs_fd=folder) == -ENOENT
    for path in ("/", "/run/token/below"):
        fd = below.open_folder(path)
        assert caller.call(commands.TOKEN_CREATE, bpffs_fd=fd) == -EINVAL
    initial = below.open_folder("/sys/fs/bpf")
    assert root.call(commands.TOKEN_CREATE, bpffs_fd=initial) == -EOPNOTSUPP
    assert root.call(commands.TOKEN_CREATE, bpffs_fd=root.map(2)) == -EINVAL
    assert root.call(commands.TOKEN_CREATE, bpffs_fd=0x7FFF_FFF0) == -EBADF


def test_a_token_tells_what_it_allows() -> None:
    caller, token = with_token(Delegation(LOADS, EVERY, 3, 0))

    assert caller.info(token, TokenInfo) == TokenInfo(
        allowed_cmds=LOADS, allowed_maps=EVERY, allowed_progs=3, allowed_attachs=0
    )
    lines = caller.subsystem.fdinfo(token).splitlines()
    assert f"allowed_cmds:\t{LOADS:#x}" in lines
    assert "allowed_maps:\tany" in lines
    assert "allowed_progs:\t0x3" in lines
    assert "allowed_attachs:\t0x0" in lines


def test_a_token_goes_with_its_descriptor() -> None:
    caller, token = with_token(Delegation(LOADS, EVERY, EVERY, EVERY))
    objects = caller.subsystem.state.objects

    assert objects.count(Kind.TOKEN) == 1
    caller.subsystem.close(token)
    assert objects.count(Kind.TOKEN) == 0
    assert make(caller, token) == -EBADF


def test_folders_have_descriptors_and_files_have_not() -> None:
    root = Subsystem()

    assert root.files.open_folder("/sys/fs/bpf") > 0
    with pytest.raises(CommandError) as caught:
        root.files.open_folder("/nowhere")
    assert caught.value.errno == ENOENT
