"""struct_ops maps answer as the running kernel's do: the same calls, on tables of this test's own.

A table is registered with the kernel under a name that nobody uses, and taken off again.
"""

import ctypes
import itertools
import os
from collections.abc import Callable
from typing import Final

import pytest

from contract.refusals.bench import btf_bytes, words
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import Command
from support import running_kernel
from support.tables import ATTACH, LINK, NEEDED, STRUCT_OPS, Layout
from support.verify_case import kernel_btf

pytestmark = pytest.mark.skipif(
    bool(running_kernel.missing()) or kernel_btf() is None, reason=running_kernel.missing()
)

NAMES: Final = (b"skep_" + os.urandom(4).hex().encode(),)


class Side:
    """Calls on one subsystem; what they answered stands in *answers*."""

    def __init__(self, syscall: Syscall) -> None:
        btf = kernel_btf()
        assert btf is not None
        self.layout, self.syscall = Layout(btf), syscall
        self.answers: list[tuple[object, ...]] = []
        self.fds: list[int] = []
        self.types = self.opened(self._types())

    def call(self, what: str, command: Command, **members: int | bytes) -> int:
        """The result; descriptors are noted as 0."""
        attr = bytearray(command.layout(**members).encode())
        answer = self.syscall.bpf(command.number, attr)
        self.answers.append((what, min(answer, 0)))
        return answer

    def _types(self) -> int:
        """A descriptor of some BTF, which such a map needs."""
        data = ctypes.create_string_buffer(btf_bytes(words(1, 1 << 24, 4, 32), b"\0int\0"))
        return self.call("btf", commands.BTF_LOAD, btf=ctypes.addressof(data),
                         btf_size=len(data) - 1)  # fmt: skip

    def opened(self, fd: int) -> int:
        """*fd*, which is to be closed."""
        if fd > 0:
            self.fds.append(fd)
        return fd

    def map(self, flags: int = 0, **members: int) -> int:
        """A struct_ops map."""
        good = {"map_type": STRUCT_OPS, "key_size": 4, "value_size": self.layout.size,
                "max_entries": 1, "btf_vmlinux_value_type_id": self.layout.wrapper,
                "map_flags": flags, "btf_fd": self.types}  # fmt: skip
        return self.opened(self.call("create", commands.MAP_CREATE, **{**good, **members}))

    def program(self, member: str, kind: int = 27) -> int:
        """A program that answers 5, for *member*."""
        number = self.layout.number(member)
        code = ctypes.create_string_buffer(encode(assemble("r0 = 5\nexit")))
        license_ = ctypes.create_string_buffer(b"GPL")
        typed = (
            {"attach_btf_id": self.layout.inner, "expected_attach_type": number}
            if kind == 27
            else {}
        )
        return self.opened(
            self.call(
                f"load {member}", commands.PROG_LOAD, prog_type=kind, insn_cnt=2,
                insns=ctypes.addressof(code), license=ctypes.addressof(license_), **typed,
            )
        )  # fmt: skip

    def element(
        self,
        what: str,
        command: Command,
        fd: int,
        value: bytes | bytearray = b"",
        key: int = 0,
        flags: int = 0,
    ) -> bytes:
        """A command on one element; what it left in the value."""
        place = ctypes.c_uint32(key)
        room = ctypes.create_string_buffer(bytes(value), self.layout.size)
        self.call(what, command, map_fd=fd, key=ctypes.addressof(place),
                  value=ctypes.addressof(room), flags=flags)  # fmt: skip
        return room.raw

    def update(
        self, fd: int, value: bytearray, what: str = "", key: int = 0, flags: int = 0
    ) -> None:
        """MAP_UPDATE_ELEM."""
        self.element(f"update {what}", commands.MAP_UPDATE_ELEM, fd, value, key, flags)

    def look(self, fd: int, key: int = 0) -> None:
        """MAP_LOOKUP_ELEM; which bytes are set, and the state."""
        data = self.element("look", commands.MAP_LOOKUP_ELEM, fd, key=key)
        self.answers.append(("value", data[4:8], self.layout.filled(data)))

    def delete(self, fd: int, key: int = 0) -> None:
        """MAP_DELETE_ELEM."""
        place = ctypes.c_uint32(key)
        self.call("delete", commands.MAP_DELETE_ELEM, map_fd=fd, key=ctypes.addressof(place))

    def link(self, fd: int) -> int:
        """LINK_CREATE."""
        return self.opened(self.call("link", commands.LINK_CREATE, prog_fd=fd, attach_type=ATTACH))

    def close(self) -> None:
        """Close everything, the last first."""
        while self.fds:
            self.syscall.close(self.fds.pop())


def creations(side: Side) -> None:
    for flags, members in itertools.product(
        (0, LINK, 1, 1 << 10, 1 << 15),
        ({}, {"key_size": 8}, {"max_entries": 2}, {"value_size": 8}, {"max_entries": 0},
         {"btf_fd": 0}, {"btf_fd": 7777},
         {"btf_vmlinux_value_type_id": 0}, {"btf_vmlinux_value_type_id": 1},
         {"btf_vmlinux_value_type_id": side.layout.inner}, {"btf_vmlinux_value_type_id": 1 << 24}),
    ):  # fmt: skip
        side.map(flags, **members)


def good(side: Side, name: bytes = NAMES[0]) -> bytearray:
    fds = {member: side.program(member) for member in NEEDED}
    return side.layout.value(name, **fds)


def values(side: Side) -> None:
    """What a table may hold; each in a map of its own, which no link puts into use.

    A module as owner is left out: Linux answers 0 and stores nothing, skep refuses.
    """
    fds = {member: side.program(member) for member in NEEDED}
    stranger = side.program("ssthresh", kind=1)
    for name, changes in (
        (NAMES[0], {}), (b"", {}), (b"a b", {}), (b"x" * 16, {}), (b"x" * 15, {}), (b"a.b", {}),
        (b"a-b", {}), (b"\xc3", {}),
        (NAMES[0], {"ssthresh": 0}), (NAMES[0], {"undo_cwnd": 0}), (NAMES[0], {"cong_avoid": 0}),
        (NAMES[0], {"key": 1}), (NAMES[0], {"list": 1}),
        (NAMES[0], {"flags": 1}), (NAMES[0], {"flags": 2}), (NAMES[0], {"flags": 4}),
        (NAMES[0], {"flags": 8}), (NAMES[0], {"flags": 32}),
        (NAMES[0], {"ssthresh": fds["undo_cwnd"]}), (NAMES[0], {"ssthresh": stranger}),
        (NAMES[0], {"ssthresh": 7777}), (NAMES[0], {"ssthresh": -1}), (NAMES[0], {"get_info": 1}),
        (NAMES[0], {"ssthresh": side.map(LINK)}),
    ):  # fmt: skip
        fd = side.map(LINK)
        side.update(
            fd, side.layout.value(name, **{**fds, **changes}), f"{name!r} {sorted(changes)}"
        )
        side.look(fd)
    for place in (0, 4, 8, 63, side.layout.start + 150, side.layout.size - 1):
        data = side.layout.value(NAMES[0], **fds)
        data[place] = 1
        side.update(side.map(LINK), data, f"hole {place}")
    fd = side.map(LINK)
    side.update(fd, side.layout.value(NAMES[0], **fds), "key", key=1)
    side.update(fd, side.layout.value(NAMES[0], **fds), "flags", flags=1)


def states(side: Side) -> None:
    fd, value = side.map(), good(side)
    try:
        walk_states(side, fd, value)
    finally:  # else the kernel would keep the table
        side.delete(fd)


def walk_states(side: Side, fd: int, value: bytearray) -> None:
    side.look(fd)
    side.look(fd, key=1)
    side.delete(fd)
    side.delete(fd, key=1)
    side.element("next", commands.MAP_GET_NEXT_KEY, fd)
    side.element("next", commands.MAP_GET_NEXT_KEY, fd, key=1)
    side.update(fd, value)
    side.update(fd, value, "again")
    side.look(fd)
    other = side.map()
    side.update(other, value, "the same name")
    side.link(fd)
    side.delete(fd)
    side.look(fd)
    side.delete(fd)
    side.update(fd, value, "after it was freed")
    side.update(other, value, "the name is free")
    side.delete(other)
    side.delete(other)


def links(side: Side) -> None:
    fd, value = side.map(LINK), good(side)
    side.link(fd)
    side.update(fd, value)
    side.look(fd)
    side.delete(fd)
    first = side.link(fd)
    side.link(fd)
    side.look(fd)
    assert first > 0
    side.call("detach", commands.LINK_DETACH, link_fd=first)
    side.call("detach", commands.LINK_DETACH, link_fd=first)
    second = side.link(fd)
    side.look(fd)
    side.syscall.close(second)
    side.fds.remove(second)
    side.link(fd)


@pytest.mark.parametrize("scene", [creations, values, states, links])
def test_tables_are_what_they_are_in_linux(scene: Callable[[Side], None]) -> None:
    found = []
    for syscall in (KernelSyscall(), Subsystem()):
        side = Side(syscall)
        try:
            scene(side)
        finally:
            side.close()
        found.append(side.answers)

    assert found[1] == found[0]
