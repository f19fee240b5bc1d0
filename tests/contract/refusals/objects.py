"""Drivers: capabilities, tokens, pins, ids, info, streams, exclusive maps and signatures."""

from collections.abc import Iterable
from hashlib import sha256

from contract.refusals.bench import BAD, INT, NO_FD, Bench, Driver, Drivers, btf_bytes, words
from skep.syscall.credentials import ALL, Capability, Credentials
from skep.syscall.tree import Delegation
from skep.uapi import commands
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import Command
from skep.uapi.flags import MapFlag, ProgFlag
from support.caller import EXIT, RETURN_ONE, insn

TOKEN_FD = int(MapFlag.TOKEN_FD)
PATH_FD = int(MapFlag.PATH_FD)
ROOT = "/sys/fs/bpf"
EVERYTHING = Delegation(*[(1 << 64) - 1] * 4)
# struct lock { int l; }; struct value { struct bpf_spin_lock lock; }
LOCK = btf_bytes(
    words(1, 1 << 24, 4, 32)
    + words(5, 4 << 24 | 1, 4, 19, 1, 0)
    + words(23, 4 << 24 | 1, 4, 29, 2, 0),
    b"\0int\0bpf_spin_lock\0val\0value\0lock\0",
)


def become(bench: Bench, *capabilities: Capability, disabled: int = 0, namespace: int = 0) -> None:
    """Go on as user 1000 with those capabilities only."""
    bench.subsystem = bench.subsystem.as_user(
        Credentials(
            uid=1000, gid=1000, capabilities=frozenset(capabilities), namespace=namespace,
            unprivileged_disabled=disabled,
        )
    )  # fmt: skip


def as_nobody(command: Command, *, disabled: int = 0, **members: int | bytes) -> Driver:
    def drive(bench: Bench) -> None:
        become(bench, disabled=disabled)
        bench.call(command, **members)

    return drive


def make_map(kind: int, *, disabled: int = 0) -> Driver:
    return as_nobody(
        commands.MAP_CREATE, disabled=disabled, map_type=kind, key_size=4, value_size=8,
        max_entries=1,
    )  # fmt: skip


def load_program(kind: int, capabilities: Iterable[Capability] = (), disabled: int = 0) -> Driver:
    def drive(bench: Bench) -> None:
        become(bench, *capabilities, disabled=disabled)
        bench.program(RETURN_ONE + EXIT, kind)

    return drive


def attach_as_user(bench: Bench) -> None:
    become(bench)
    program = bench.good(bench.program(RETURN_ONE + EXIT, 8))
    bench.call(commands.LINK_CREATE, prog_fd=program, attach_type=0)


def map_with_lock(bench: Bench) -> None:
    fd = bench.good(bench.load_btf(LOCK))
    become(bench)
    bench.call(
        commands.MAP_CREATE, map_type=2, key_size=4, value_size=4, max_entries=1, btf_fd=fd,
        btf_key_type_id=1, btf_value_type_id=3,
    )  # fmt: skip


# --- tokens ---------------------------------------------------------------------------------------


def token(
    *capabilities: Capability,
    path: str = "/token",
    delegation: Delegation = EVERYTHING,
    namespace: int = 1,
    own: int = 1,
    mode: int = 0o777,
) -> Driver:
    """TOKEN_CREATE of a mount of *namespace* by a user of namespace *own*."""

    def drive(bench: Bench) -> None:
        bench.subsystem.files.mount("/token", delegation, namespace, mode)
        fd = bench.subsystem.files.open_folder(path)
        become(bench, *capabilities, namespace=own)
        bench.call(commands.TOKEN_CREATE, bpffs_fd=fd)

    return drive


def map_token(bench: Bench, fd: int) -> None:
    bench.call(
        commands.MAP_CREATE, map_type=2, key_size=4, value_size=4, max_entries=1,
        map_flags=TOKEN_FD, map_token_fd=fd,
    )  # fmt: skip


def program_token(bench: Bench, fd: int) -> None:
    bench.program(RETURN_ONE + EXIT, prog_flags=int(ProgFlag.TOKEN_FD), prog_token_fd=fd)


# --- paths ----------------------------------------------------------------------------------------


def get(path: bytes, **members: int) -> Driver:
    def drive(bench: Bench) -> None:
        bench.call(commands.OBJ_GET, pathname=bench.keep(path + b"\0"), **members)

    return drive


def pin(path: str, **members: int) -> Driver:
    def drive(bench: Bench) -> None:
        fd = bench.array()
        bench.call(commands.OBJ_PIN, bpf_fd=fd, pathname=bench.keep(path.encode() + b"\0"),
                   **members)  # fmt: skip

    return drive


def pin_as_user(path: str, mode: int = 0o755) -> Driver:
    def drive(bench: Bench) -> None:
        fd = bench.array()
        bench.subsystem.files.make_folder(f"{ROOT}/mine")
        bench.subsystem.files.change_mode(f"{ROOT}/mine", mode)
        become(bench)
        bench.call(commands.OBJ_PIN, bpf_fd=fd, pathname=bench.keep(path.encode() + b"\0"))

    return drive


def get_pin(kind: str = "map", flags: int = 0, user: bool = False) -> Driver:
    def drive(bench: Bench) -> None:
        fd = bench.array() if kind == "map" else link(bench)
        path = bench.keep(f"{ROOT}/it\0".encode())
        bench.good(bench.call(commands.OBJ_PIN, bpf_fd=fd, pathname=path))
        if user:
            become(bench)
        bench.call(commands.OBJ_GET, pathname=path, file_flags=flags)

    return drive


def link(bench: Bench) -> int:
    bench.subsystem.state.world.tracepoints.declare("skep:something", "int number")
    name = bench.keep(b"something\0")
    program = bench.good(bench.program(RETURN_ONE + EXIT, 17))
    return bench.good(bench.call(commands.RAW_TRACEPOINT_OPEN, name=name, prog_fd=program))


def through_a_file(bench: Bench) -> None:
    pin(f"{ROOT}/file")(bench)
    get(f"{ROOT}/file/more".encode())(bench)


def around_links(bench: Bench) -> None:
    bench.subsystem.files.link(f"{ROOT}/a", "b")
    bench.subsystem.files.link(f"{ROOT}/b", "a")
    get(f"{ROOT}/a".encode())(bench)


def twice(bench: Bench) -> None:
    pin(f"{ROOT}/it")(bench)
    pin(f"{ROOT}/it")(bench)


def from_a_map(bench: Bench) -> None:
    fd = bench.array()
    get(b"it", file_flags=PATH_FD, path_fd=fd)(bench)


# --- info -----------------------------------------------------------------------------------------


def info(data: bytes, kind: str = "map", size: int | None = None) -> Driver:
    def drive(bench: Bench) -> None:
        fd = {"map": bench.array, "hash": bench.hash, "prog": bench.socket_filter}[kind]()
        length = len(data) if size is None else size
        bench.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info_len=length, info=bench.keep(data))

    return drive


def kernel_name(data: bytes) -> Driver:
    """Info of the kernel's BTF, with name and name_len after the first 16 bytes."""

    def drive(bench: Bench) -> None:
        bench.good(bench.call(commands.BTF_GET_NEXT_ID))
        fd = bench.good(bench.call(commands.BTF_GET_FD_BY_ID, start_id=1))
        place = bench.keep(bytes(16) + bench.keep(bytes(8)).to_bytes(8, "little") + data)
        bench.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info_len=32, info=place)

    return drive


def info_of_statistics(bench: Bench) -> None:
    fd = bench.good(bench.call(commands.ENABLE_STATS))
    bench.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd)


# --- exclusive maps and signatures ----------------------------------------------------------------


def exclusive(bench: Bench, code: bytes) -> int:
    return bench.good(
        bench.call(
            commands.MAP_CREATE,
            map_type=2,
            key_size=4,
            value_size=4,
            max_entries=1,
            excl_prog_hash=bench.keep(sha256(code).digest()),
            excl_prog_hash_size=32,
        )
    )


def other_program(bench: Bench) -> None:
    fd = exclusive(bench, RETURN_ONE + EXIT)
    bench.program(insn(0x18, 1, 1, 0, fd) + bytes(8) + RETURN_ONE + EXIT)


def inner_exclusive(bench: Bench) -> None:
    fd = exclusive(bench, RETURN_ONE + EXIT)
    bench.call(
        commands.MAP_CREATE, map_type=12, key_size=4, value_size=4, max_entries=1, inner_map_fd=fd
    )


def signed(size: int = 5, keyring: int = 1, address: int = 0) -> Driver:
    def drive(bench: Bench) -> None:
        place = address or bench.keep(bytes(8192))
        bench.program(RETURN_ONE + EXIT, signature=place, signature_size=size, keyring_id=keyring)

    return drive


DRIVERS: Drivers = {
    reasons.UNPRIVILEGED_MAP: make_map(2, disabled=2),
    reasons.UNPRIVILEGED_PROGRAM: load_program(1, disabled=1),
    reasons.MAP_TYPE: make_map(9),
    reasons.MAP_FIELDS: map_with_lock,
    reasons.PROGRAM_TYPE: load_program(6),
    reasons.NETWORK_PROGRAM: load_program(6, [Capability.BPF]),
    reasons.TRACING_PROGRAM: load_program(2, [Capability.BPF]),
    reasons.LOAD_BTF: as_nobody(commands.BTF_LOAD, btf_size=len(INT)),
    reasons.BTF_BY_ID: as_nobody(commands.BTF_GET_FD_BY_ID, start_id=1),
    reasons.WALK_IDS: as_nobody(commands.MAP_GET_NEXT_ID),
    reasons.COMMAND: as_nobody(commands.ENABLE_STATS),
    reasons.ATTACH_CGROUP_SKB: attach_as_user,
    reasons.CLOSED_TOKEN: lambda bench: program_token(bench, NO_FD),
    reasons.NO_TOKEN: lambda bench: program_token(bench, bench.array()),
    reasons.CLOSED_MAP_TOKEN: lambda bench: map_token(bench, NO_FD),
    reasons.NO_MAP_TOKEN: lambda bench: map_token(bench, bench.array()),
    reasons.TOKEN_FLAGS: lambda bench: bench.call(commands.TOKEN_CREATE, flags=1),
    reasons.TOKEN_FOLDER: token(*ALL, path="/"),
    reasons.TOKEN_FOLDER_ACCESS: token(mode=0o600),
    reasons.TOKEN_NAMESPACE: token(*ALL, own=2),
    reasons.TOKEN_CAPABILITY: token(),
    reasons.TOKEN_INITIAL: token(*ALL, namespace=0, own=0),
    reasons.TOKEN_NOTHING: token(*ALL, delegation=Delegation()),
    reasons.PATH_EMPTY: get(b""),
    reasons.PATH_LONG: get(b"/" * 4096),
    reasons.NAME_LONG: get(f"{ROOT}/{'n' * 256}".encode()),
    reasons.PATH_FD: get(b"it", path_fd=5),
    reasons.PATH_FD_CLOSED: get(b"it", file_flags=PATH_FD, path_fd=NO_FD),
    reasons.PATH_FD_FILE: from_a_map,
    reasons.PATH_ABSENT: get(b"/nothing"),
    reasons.PATH_FOLDER: through_a_file,
    reasons.PATH_LOOP: around_links,
    reasons.PATH_DOT: pin(f"{ROOT}/a.b"),
    reasons.PATH_SEARCH: pin_as_user(f"{ROOT}/mine/it", mode=0o700),
    reasons.PATH_WRITE: pin_as_user(f"{ROOT}/mine/it"),
    reasons.PATH_EXISTS: twice,
    reasons.PATH_OPEN: get_pin(user=True),
    reasons.PATH_NO_OBJECT: get(ROOT.encode()),
    reasons.PIN_ELSEWHERE: pin("/it"),
    reasons.PIN_FLAGS: pin(f"{ROOT}/it", file_flags=1),
    reasons.PIN_OBJECT: lambda bench: bench.call(
        commands.OBJ_PIN, bpf_fd=bench.btf(), pathname=bench.keep(b"/it\0")
    ),
    reasons.GET_FLAGS: get(ROOT.encode(), file_flags=0x18),
    reasons.GET_FD: get(ROOT.encode(), bpf_fd=5),
    reasons.GET_LINK_FLAGS: get_pin("link", flags=int(MapFlag.RDONLY)),
    reasons.START_ID: lambda bench: bench.call(commands.MAP_GET_NEXT_ID, start_id=0x7FFF_FFFF),
    reasons.OPEN_FLAGS: lambda bench: bench.call(commands.MAP_GET_FD_BY_ID, open_flags=1),
    reasons.BTF_OPEN_FLAGS: lambda bench: bench.call(commands.BTF_GET_FD_BY_ID, open_flags=8),
    reasons.INFO_CLOSED: lambda bench: bench.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=NO_FD),
    reasons.INFO_KIND: info_of_statistics,
    reasons.INFO_LONG: info(bytes(8), size=5000),
    reasons.INFO_TAIL: info(bytes(200) + b"\1"),
    reasons.INFO_POINTER: info(bytes(20) + words(8) + bytes(8) + BAD.to_bytes(8, "little"), "prog"),
    reasons.INFO_RECORD: info(bytes(132) + words(7), "prog"),
    reasons.INFO_NO_HASH: info(bytes(88) + words(1, 0, 32), "hash"),
    reasons.INFO_HASH_SIZE: info(bytes(96) + words(32)),
    reasons.INFO_NOT_FROZEN: info(bytes(88) + words(1, 0, 32)),
    reasons.INFO_NAME: kernel_name(words(0)),
    reasons.INFO_NAME_ROOM: kernel_name(words(3)),
    reasons.STREAM_ID: lambda bench: bench.call(
        commands.PROG_STREAM_READ_BY_FD, prog_fd=bench.socket_filter(), stream_id=3
    ),
    reasons.EXCLUSIVE_MAP: other_program,
    reasons.EXCLUSIVE_INNER: inner_exclusive,
    reasons.SIGNATURE_SIZE: signed(size=8193),
    reasons.SIGNATURE_KEYRING: signed(keyring=3),
    reasons.SIGNATURE_MEMORY: signed(address=BAD),
    reasons.SIGNATURE: signed(),
}
