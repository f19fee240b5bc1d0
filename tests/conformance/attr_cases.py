"""Attrs for every command: ones that would do, and what is done to them.

Nothing asked for attaches to what was not made for it, writes to memory that was not, or takes
much memory: what would is not asked.
"""

import os
import random
from collections.abc import Callable, Mapping, Sequence

from conformance.attr_sides import (
    CLOSED,
    FILLED,
    LOCAL,
    PINNED,
    Fd,
    Id,
    Members,
    Ptr,
    Value,
    map_of,
    pin_path,
    program,
)
from contract.refusals.bench import BAD, INT
from skep.uapi import commands
from skep.uapi.commands import Command

HIGH = 0xFFFF_8000_0000_0000  # an address of the kernel's
MAPS = ("array", "hash", "lazy", "percpu", "percpu_hash", "lru", "trie", "queue", "stack", "bloom",
        "ringbuf", "prog_array", "perf", "devmap", "devmap_hash", "cpumap", "xskmap", "sockmap",
        "sockhash", "cgroups", "stacks", "cgroup_storage", "read_only", "write_only", "frozen",
        "maps", "hash_maps")  # fmt: skip
PROGRAMS = ("socket", "sched", "xdp", "cgroup_skb", "raw", "syscall", "lookup", "flow", "sk_skb",
            "sk_msg", "bind4", "iter")  # fmt: skip
LINKS = ("iter_link", "tcx_link", "xdp_link", "cgroup_link", "netns_link")
STRANGERS = ("btf", "file", "closed", "cgroup", "netns")
# program, target and attach type that go together
HOOKS: Sequence[tuple[str, Value, int]] = (
    ("sched", LOCAL, 46), ("sched", LOCAL, 47), ("cgroup_skb", Fd("cgroup"), 0),
    ("cgroup_skb", Fd("cgroup"), 1), ("bind4", Fd("cgroup"), 8), ("sk_skb", Fd("sockmap"), 38),
    ("sk_msg", Fd("sockhash"), 7), ("flow", 0, 17), ("lookup", Fd("netns"), 36),
    ("xdp", LOCAL, 37), ("iter", 0, 28), ("flow", Fd("netns"), 17),
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 24, 64, 255, 256, 4096, 0x7FFF_FFFF, 1 << 31, 2**32 - 1)
ARP = bytes(12) + b"\x08\x06" + bytes(46)
ONE = (1).to_bytes(4, "little")
# members that an int of a caller's choice would make dangerous, slow or without a meaning
BOUNDED: Mapping[str, Sequence[int]] = {
    "repeat": (0, 1, 2, 100),
    "start_id": (0, 0x7FFF_FFFE, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF),
    "target_fd": (0, LOCAL, 0x7FFF_0000, 0xFFFF_FFFF),
    "attach_btf_id": (0, 0x10_0000, 0xFFFF_FFFF),
    "pid": (0, 0x7FFF_FFFF, 0xFFFF_FFFF),
    "prog_token_fd": (0, CLOSED),
    "keyring_id": (0, 1, 2**31),
    "map_ifindex": (0, 1, 0x7FFF_0000, 0xFFFF_FFFF),
    "prog_ifindex": (0, 1, 0x7FFF_0000, 0xFFFF_FFFF),
}
DESCRIPTORS = frozenset({"attach_prog_fd", "bpf_fd", "path_fd", "target_fd", "attach_bpf_fd",
                         "fd", "inner_map_fd", "btf_fd"})  # fmt: skip
SMALL = 1 << 26
LONE = 1 << 20

Case = tuple[Members, int | None, list[tuple[int, int]]]


def some_fd(rng: random.Random) -> Fd:
    return Fd(rng.choice(rng.choice((MAPS, PROGRAMS, LINKS, STRANGERS))))


def output(room: int = 4096) -> Ptr:
    return Ptr(b"", room)


def map_create(rng: random.Random) -> Members:
    shapes = ((1, 4, 8, 4, 0), (2, 4, 8, 4, 0), (5, 4, 8, 4, 0), (6, 4, 8, 4, 0), (9, 4, 8, 4, 0),
              (11, 8, 8, 4, 1), (22, 0, 8, 4, 0), (30, 0, 8, 4, 0), (27, 0, 0, 4096, 0),
              (3, 4, 4, 4, 0), (4, 4, 4, 4, 0), (14, 4, 4, 4, 0), (15, 4, 4, 4, 0), (7, 4, 8, 4, 0),
              (16, 4, 4, 4, 0), (17, 4, 4, 4, 0), (19, 8, 8, 0, 0), (8, 4, 4, 4, 0))  # fmt: skip
    members = dict(map_of(*rng.choice(shapes)))
    extra = rng.randrange(6)
    if extra == 0:
        members |= {"key_size": 4, "value_size": 4, "btf_fd": Fd("btf"), "btf_key_type_id": 1,
                    "btf_value_type_id": 1}  # fmt: skip
    elif extra == 1:
        members |= {**map_of(rng.choice((12, 13)), 4, 4, 4), "inner_map_fd": some_fd(rng)}
    elif extra == 2:
        members["map_name"] = rng.choice((b"abc", b"a b", b"x" * 16, b"a.b_9", b"\xff"))
    return members


def element(rng: random.Random) -> Members:
    name = rng.choice(rng.choice((MAPS, ("array", "percpu", *FILLED))))
    key: Value = Ptr(rng.choice((bytes(16), bytes(16), ONE + bytes(12))))
    if name == "trie":
        key = Ptr(bytes((rng.choice((32, 32, 0, 33)), *bytes(7))))
    if name in {"queue", "stack", "bloom"} and rng.random() < 0.9:
        key = 0
    inner = rng.choice(("", "", "array", "socket", "hash"))
    return {"map_fd": Fd(name), "key": key, "value": Ptr(bytes(8), 64, inner)}


def flagged(rng: random.Random) -> Members:
    return {**element(rng), "flags": rng.choice((0, 0, 0, 0, 0, 1, 2, 4))}


def without_value(rng: random.Random) -> Members:
    return {name: value for name, value in element(rng).items() if name != "value"}


def batch(rng: random.Random) -> Members:
    return {"keys": output(), "values": output(), "out_batch": output(16),
            "count": rng.choice((0, 1, 4, 9)), "map_fd": Fd(rng.choice(MAPS))}  # fmt: skip


def prog_load(rng: random.Random) -> Members:
    kinds = ((1, 0), (3, 0), (6, 0), (8, 0), (2, 0), (5, 0), (17, 0), (7, 0), (9, 2), (13, 0),
             (14, 0), (16, 0), (18, 8), (22, 0), (25, 21), (30, 36))  # fmt: skip
    kind, attach = rng.choice(kinds)
    members: dict[str, Value] = dict(program(kind, attach=attach))
    extra = rng.randrange(6)
    if extra == 0:
        members |= {"log_level": rng.choice((1, 2, 4)), "log_size": 65536, "log_buf": output(65536)}
    elif extra == 1:
        members["prog_name"] = rng.choice((b"abc", b"a b", b"x" * 16))
    elif extra == 2:
        members |= {"prog_btf_fd": Fd("btf"), "line_info": Ptr(bytes(4) + ONE * 2 + bytes(4)),
                    "line_info_cnt": 1, "line_info_rec_size": 16}  # fmt: skip
    elif extra == 3:
        members |= {"fd_array": Ptr(b"", 8, some_fd(rng).name), "fd_array_cnt": 1}
    return members


def path(rng: random.Random) -> Value:
    """A path: of a pin, of none, of what cannot be one."""
    if rng.random() < 0.5:
        return Ptr(pin_path(rng.choice(PINNED)))
    name = rng.choice((b"a", b"b", b"a.b", b"", b"c/d", b"x" * 300))
    where = rng.choice((b"/sys/fs/bpf/", b"/sys/fs/bpf/", b"/nowhere/", b""))
    return Ptr(where + b"skep%d" % os.getpid() + name + b"\0")


def pin(rng: random.Random) -> Members:
    return {"pathname": path(rng), "bpf_fd": some_fd(rng)}


def unpin(rng: random.Random) -> Members:
    return {"pathname": path(rng)}


def hook(rng: random.Random) -> tuple[Value, Value, int]:
    """A program, a target and an attach type; mostly such as go together."""
    if rng.random() < 0.2:
        return some_fd(rng), some_fd(rng), rng.randrange(60)
    program_, target, attach_type = rng.choice(HOOKS)
    return Fd(program_), target, attach_type


def attach(rng: random.Random) -> Members:
    program_, target, attach_type = hook(rng)
    return {"target_fd": target, "attach_bpf_fd": program_, "attach_type": attach_type,
            "attach_flags": rng.choice((0, 0, 1, 2, 2))}  # fmt: skip


def test_run(rng: random.Random) -> Members:
    name = rng.choice(("socket", "sched", "xdp", "cgroup_skb", "raw", "syscall"))
    members: dict[str, Value] = {"prog_fd": Fd(name)}
    if name not in {"raw", "syscall"}:
        members |= {"data_in": Ptr(ARP), "data_size_in": len(ARP)}
    if rng.random() < 0.5 and "data_in" in members:
        members |= {"data_out": output(), "data_size_out": 4096}
    if rng.random() < 0.3:
        members |= {"ctx_in": Ptr(b"", 192), "ctx_size_in": rng.choice((8, 24, 192))}
    return members


def next_id(_: random.Random) -> Members:
    return {}


def fd_by_id(names: Sequence[str]) -> Callable[[random.Random], Members]:
    return lambda rng: {"start_id": Id(rng.choice(names))}


def get_info(rng: random.Random) -> Members:
    return {"bpf_fd": some_fd(rng), "info_len": rng.choice((0, 4, 64, 80, 200, 232, 256, 4096)),
            "info": output()}  # fmt: skip


def query(rng: random.Random) -> Members:
    _, target, attach_type = hook(rng)
    return {"target_fd": target, "attach_type": attach_type, "prog_ids": output(),
            "prog_cnt": rng.choice((0, 4))}  # fmt: skip


def raw_open(rng: random.Random) -> Members:
    return {"name": Ptr(b"skep_has_no_such\0"), "prog_fd": some_fd(rng)}


def btf_load(rng: random.Random) -> Members:
    members: dict[str, Value] = {"btf": Ptr(INT), "btf_size": len(INT)}
    if rng.random() < 0.3:
        members |= {"btf_log_buf": output(65536), "btf_log_size": 65536, "btf_log_level": 1}
    return members


def task_query(rng: random.Random) -> Members:
    return {"pid": os.getpid(), "fd": some_fd(rng), "buf": output(64), "buf_len": 64}


def link_create(rng: random.Random) -> Members:
    program_, target, attach_type = hook(rng)
    return {"prog_fd": program_, "target_fd": target, "attach_type": attach_type}


def link_update(rng: random.Random) -> Members:
    return {"link_fd": some_link(rng), "new_prog_fd": Fd(rng.choice(PROGRAMS))}


def some_link(rng: random.Random) -> Fd:
    return Fd(rng.choice(LINKS)) if rng.random() < 0.9 else some_fd(rng)


def one_link(rng: random.Random) -> Members:
    return {"link_fd": some_link(rng)}


def bind_map(rng: random.Random) -> Members:
    return {"prog_fd": Fd(rng.choice(PROGRAMS)), "map_fd": Fd(rng.choice(MAPS))}


def one_fd(member: str) -> Callable[[random.Random], Members]:
    return lambda rng: {member: some_fd(rng)}


def stream(rng: random.Random) -> Members:
    return {"stream_buf": output(64), "stream_buf_len": 64, "stream_id": rng.choice((1, 2)),
            "prog_fd": Fd(rng.choice(PROGRAMS))}  # fmt: skip


SEEDS: Mapping[str, Callable[[random.Random], Members]] = {
    "MAP_CREATE": map_create,
    "MAP_LOOKUP_ELEM": flagged,
    "MAP_UPDATE_ELEM": flagged,
    "MAP_DELETE_ELEM": without_value,
    "MAP_GET_NEXT_KEY": element,
    "MAP_LOOKUP_AND_DELETE_ELEM": flagged,
    "MAP_FREEZE": one_fd("map_fd"),
    "MAP_LOOKUP_BATCH": batch,
    "MAP_LOOKUP_AND_DELETE_BATCH": batch,
    "MAP_UPDATE_BATCH": batch,
    "MAP_DELETE_BATCH": batch,
    "PROG_LOAD": prog_load,
    "PROG_BIND_MAP": bind_map,
    "PROG_TEST_RUN": test_run,
    "BTF_LOAD": btf_load,
    "ENABLE_STATS": next_id,
    "OBJ_GET_INFO_BY_FD": get_info,
    "PROG_GET_NEXT_ID": next_id,
    "MAP_GET_NEXT_ID": next_id,
    "BTF_GET_NEXT_ID": next_id,
    "LINK_GET_NEXT_ID": next_id,
    "PROG_GET_FD_BY_ID": fd_by_id(PROGRAMS),
    "MAP_GET_FD_BY_ID": fd_by_id(MAPS),
    "BTF_GET_FD_BY_ID": fd_by_id(("btf",)),
    "LINK_GET_FD_BY_ID": fd_by_id(LINKS),
    "OBJ_PIN": pin,
    "OBJ_GET": unpin,
    "PROG_ATTACH": attach,
    "PROG_DETACH": attach,
    "PROG_QUERY": query,
    "RAW_TRACEPOINT_OPEN": raw_open,
    "TASK_FD_QUERY": task_query,
    "LINK_CREATE": link_create,
    "LINK_UPDATE": link_update,
    "LINK_DETACH": one_link,
    "ITER_CREATE": one_link,
    "TOKEN_CREATE": one_fd("bpffs_fd"),
    "PROG_STREAM_READ_BY_FD": stream,
    "PROG_ASSOC_STRUCT_OPS": bind_map,
}


def case(command: Command, rng: random.Random) -> Case:
    """One call: members, size of the attr (None for all of it), bytes to set in it."""
    while True:
        members = dict(SEEDS[command.name](rng))
        size, pokes = None, []
        for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
            if rng.random() < 0.8:
                _mutate(command, members, rng)
            else:
                size, pokes = _resize(command, rng)
        if modest(command, members):
            return members, size, pokes


def _mutate(command: Command, members: dict[str, Value], rng: random.Random) -> None:
    member = rng.choice(command.layout.members())
    name, old = member.name, members.get(member.name, 0)
    if member.c_type == "__aligned_u64" or isinstance(old, Ptr) or name.startswith("word"):
        members[name] = rng.choice((0, BAD, HIGH, output(), old))
    elif member.c_type.startswith("char"):
        members[name] = rng.choice((b"abc", b"a b", b"x" * 16, b"a\0b", b"\xff", b""))
    elif isinstance(old, Fd) or name in DESCRIPTORS or name.endswith("_fd"):
        members[name] = some_fd(rng) if rng.random() < 0.9 else rng.choice((0, CLOSED))
    elif name in BOUNDED:
        members[name] = rng.choice(BOUNDED[name])
    elif isinstance(old, int):
        bits = 8 * member.size
        flipped = old ^ 1 << rng.randrange(bits)
        members[name] = rng.choice((rng.choice(NUMBERS), flipped, old + 1, (old - 1) % (1 << bits)))


def _resize(command: Command, rng: random.Random) -> tuple[int | None, list[tuple[int, int]]]:
    """Another size, or a byte set behind what the command knows or all commands know."""
    last = command.layout.member(command.last).end
    ends = [member.end for member in command.layout.members()]  # no number is cut in two
    sizes = (0, last, 168, 176, 200, 4096, 4097, rng.choice(ends), rng.choice(ends))
    places = (last, last + 1, 167, 168, 175, 199, last + rng.randrange(40))
    if rng.random() < 0.5:
        return rng.choice(sizes), []
    return rng.choice((None, 200)), [(rng.choice(places), 1)]


def modest(command: Command, members: Members) -> bool:
    """Whether the kernel may be asked: it takes little memory, whatever it answers."""
    if command is not commands.MAP_CREATE:
        return True
    key, value, entries, kind = (
        number if isinstance(number := members.get(name, 0), int) else 0
        for name in ("key_size", "value_size", "max_entries", "map_type")
    )
    if kind in {27, 30, 31, 33} or kind in {14, 16, 17, 25, 7, 18}:
        return entries <= LONE
    return (key + value + 8) * entries <= SMALL
