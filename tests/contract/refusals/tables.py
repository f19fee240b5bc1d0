"""Drivers: refusals of struct_ops maps."""

from collections.abc import Mapping
from typing import Final

from contract.refusals.bench import Bench, Driver, Drivers
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.uapi import commands, reasons_links
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as maps
from support.tables import ATTACH, LINK, NEEDED, STRUCT_OPS, Layout

NAME: Final = b"one"


def layout(bench: Bench, name: str = "tcp_congestion_ops") -> Layout:
    btf = bench.subsystem.state.kernel_btf
    assert btf is not None
    return Layout(btf, name)


def make(bench: Bench, flags: int = 0, shape: Layout | None = None, **members: int) -> int:
    shape = shape or layout(bench)
    good = {"map_type": STRUCT_OPS, "key_size": 4, "value_size": shape.size, "max_entries": 1,
            "btf_vmlinux_value_type_id": shape.wrapper, "map_flags": flags,
            "btf_fd": bench.btf()}  # fmt: skip
    return bench.call(commands.MAP_CREATE, **{**good, **members})


def create(**members: int) -> Driver:
    return lambda bench: make(bench, 0, None, **members)


def programs(bench: Bench, shape: Layout) -> dict[str, int]:
    code = encode(assemble("r0 = 5\nexit"))
    return {
        member: bench.good(
            bench.program(
                code, 27, attach_btf_id=shape.inner, expected_attach_type=shape.number(member)
            )
        )
        for member in NEEDED
    }


def fill(bench: Bench, flags: int = 0, byte: int = -1, name: bytes = NAME, **changes: int) -> int:
    """A table with all that it needs, but for *changes*, and 1 at *byte*; its descriptor."""
    shape = layout(bench)
    members: Mapping[str, int] = {**programs(bench, shape), **changes}
    value = shape.value(name, **members)
    if byte >= 0:
        value[byte] = 1
    fd = bench.good(make(bench, flags))
    bench.store(fd, bytes(4), bytes(value))
    return fd


def update(byte: int = -1, name: bytes = NAME, **changes: int) -> Driver:
    return lambda bench: fill(bench, LINK, byte, name, **changes)


def twice(bench: Bench) -> None:
    fd = fill(bench)
    bench.store(fd, bytes(4), bytes(layout(bench).size))


def same_name(bench: Bench) -> None:
    fill(bench)
    fill(bench)


def delete(bench: Bench, fd: int) -> None:
    bench.call(commands.MAP_DELETE_ELEM, map_fd=fd, key=bench.keep(bytes(4)))


def delete_twice(bench: Bench) -> None:
    fd = fill(bench)
    delete(bench, fd)
    delete(bench, fd)


def link(bench: Bench, fd: int) -> int:
    return bench.call(commands.LINK_CREATE, prog_fd=fd, attach_type=ATTACH)


def link_twice(bench: Bench) -> None:
    fd = fill(bench, LINK)
    bench.good(link(bench, fd))
    link(bench, fd)


def dummy(bench: Bench, flags: int) -> int:
    shape = layout(bench, "bpf_dummy_ops")
    fd = bench.good(make(bench, flags, shape))
    code = encode(assemble("r0 = 5\nexit"))
    test = bench.good(bench.program(code, 27, attach_btf_id=shape.inner))
    bench.store(fd, bytes(4), bytes(shape.value(b"", test_1=test)))
    return fd


DRIVERS: Drivers = {
    maps.CREATE_ENTRIES_TABLE: create(max_entries=2),
    maps.CREATE_TABLE_TYPE: create(btf_vmlinux_value_type_id=0),
    maps.CREATE_TABLE_UNKNOWN: create(btf_vmlinux_value_type_id=1),
    elements.TABLE_HOLES: update(byte=20),
    elements.TABLE_STATE: update(byte=4),
    elements.TABLE_FILLED: twice,
    elements.TABLE_GOING: delete_twice,
    elements.TABLE_LINKED: lambda bench: delete(bench, fill(bench, LINK)),
    elements.TABLE_NAME: update(name=b"a b"),
    elements.TABLE_NAME_TAKEN: same_name,
    elements.TABLE_MEMBER: update(key=1),
    elements.TABLE_PROGRAM: lambda bench: fill(bench, ssthresh=bench.socket_filter()),
    elements.TABLE_REQUIRED: update(ssthresh=0),
    elements.TABLE_UNREGISTERED: lambda bench: dummy(bench, 0),
    reasons_links.CREATE_UNREGISTERED: lambda bench: link(bench, dummy(bench, LINK)),
    reasons_links.CREATE_TABLE_NAME: link_twice,
}
