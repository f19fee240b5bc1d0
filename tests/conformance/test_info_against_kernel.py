"""What descriptors tell of their objects: skep's info and fdinfo beside the running kernel's."""

import ctypes
import struct
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from skep.base.layout import Layout
from skep.errors import BpfError
from skep.loader.kernel import KernelSyscall
from skep.loader.load import load
from skep.loader.reader import read_object
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.infos import MapInfo, ProgInfo
from support.caller import EXIT, RETURN_ONE, Caller, insn
from support.running_kernel import RunningKernel, missing

OBJECTS = Path(__file__).parents[1] / "objects"
OF_A_KERNEL = {"mnt_id", "ino"}
OWN = {"memlock", "map_id", "prog_id", "btf_id", "link_id"}
REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


class Side:
    """One of the two that are compared."""

    def __init__(self, caller: Caller, fdinfo: Callable[[int], str]) -> None:
        self.caller, self.fdinfo = caller, fdinfo

    def lines(self, fd: int) -> dict[str, str]:
        """fdinfo without what is a number of its own."""
        pairs = (line.split(":\t") for line in self.fdinfo(fd).splitlines() if line)
        return {key: "" if key in OWN else value for key, value in pairs if key not in OF_A_KERNEL}

    def info(self, fd: int, data: bytes, length: int) -> tuple[int, int]:
        """Result and info_len of OBJ_GET_INFO_BY_FD with *data* in the struct."""
        place = self.caller.keep(data, 256)
        result = self.caller.call(
            commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info=place, info_len=length
        )
        attr = self.caller.attr
        assert isinstance(attr, commands.GetInfo)
        return result, attr.info_len


def kernel_side() -> Side:
    def fdinfo(fd: int) -> str:
        return Path(f"/proc/self/fdinfo/{fd}").read_text()

    return Side(Caller(RunningKernel()), fdinfo)  # type: ignore[arg-type]  # as much as it uses


def skep_side() -> Side:
    subsystem = Subsystem()
    return Side(Caller(subsystem), subsystem.fdinfo)


def array_and_program(side: Side) -> Iterator[object]:
    caller = side.caller
    program = caller.program(RETURN_ONE + EXIT)
    slots = caller.map(3, 4, 4)
    for fd in (caller.map(2), caller.map(1, flags=1), program, slots):
        yield side.lines(fd)
    yield caller.store(slots, bytes(4), struct.pack("<I", program))
    yield side.lines(slots)
    frozen = caller.map(2, flags=8)
    yield caller.call(commands.MAP_FREEZE, map_fd=frozen)
    yield side.lines(caller.map(2, flags=16))


def lengths(side: Side) -> Iterator[object]:
    caller = side.caller
    array = caller.map(2)
    yield side.info(array, b"", 0)
    yield side.info(array, b"", 8)
    yield side.info(array, b"", 4097)
    yield side.info(array, bytes(200), 256)
    yield side.info(array, bytes(200) + b"\1", 256)
    yield side.info(0x7FFF_FFF0, b"", 8)
    yield side.info(0, b"", 8)
    program = caller.program(RETURN_ONE + EXIT)
    yield side.info(program, bytes(132) + struct.pack("<I", 7), 232)
    yield side.info(program, bytes(20) + struct.pack("<IQQ", 8, 0, 16), 232)


def hashes(side: Side) -> Iterator[object]:
    caller, place = side.caller, side.caller.keep(b"", 32)
    array = caller.map(2, value=5)
    caller.store(array, bytes(4), b"value")
    asked = bytes(88) + struct.pack("<QI", place, 32)
    yield side.info(array, asked, 104)
    caller.call(commands.MAP_FREEZE, map_fd=array)
    yield side.info(array, asked, 104)
    yield ctypes.string_at(place, 32)
    yield side.info(array, bytes(88) + struct.pack("<QI", place, 31), 104)
    yield side.info(array, bytes(88) + struct.pack("<QI", 0, 32), 104)
    for kind in (1, 6, 22):
        yield side.info(caller.map(kind, 0 if kind == 22 else 4), asked, 104)


def exclusive(side: Side) -> Iterator[object]:
    caller = side.caller

    def make(code: bytes | None, size: int = 32) -> int:
        place = caller.keep(sha256(code).digest()) if code is not None else 0
        return caller.call(
            commands.MAP_CREATE, map_type=2, key_size=4, value_size=4, max_entries=1,
            excl_prog_hash=place, excl_prog_hash_size=size,
        )  # fmt: skip

    def using(fd: int) -> bytes:
        return insn(0x18, 1, 1, 0, fd) + bytes(8) + RETURN_ONE + EXIT

    plain, other, mine = make(None, 0), make(RETURN_ONE + EXIT), make(using(0))
    yield [min(0, result) for result in (plain, other, mine, make(b"", 31), make(None, 32))]
    yield [min(0, caller.program(using(fd))) for fd in (plain, other, mine)]
    template = {"map_type": 12, "key_size": 4, "value_size": 4, "max_entries": 1}
    yield caller.call(commands.MAP_CREATE, inner_map_fd=other, **template)
    outer = caller.call(commands.MAP_CREATE, inner_map_fd=plain, **template)
    yield caller.store(outer, bytes(4), struct.pack("<I", other))
    program = caller.program(RETURN_ONE + RETURN_ONE + EXIT)
    yield caller.call(commands.PROG_BIND_MAP, prog_fd=program, map_fd=other)
    fds = caller.keep(struct.pack("<I", other))
    yield min(0, caller.program(RETURN_ONE * 2 + EXIT, fd_array=fds, fd_array_cnt=1))


def signatures(side: Side) -> Iterator[object]:
    caller, place = side.caller, side.caller.keep(bytes(9000))
    code = RETURN_ONE + EXIT
    for keyring in range(-6, 5):
        for address, size in ((place, 100), (place, 8192), (place, 8193), (0, 5), (16, 9)):
            yield min(0, caller.program(
                code, signature=address, signature_size=size, keyring_id=keyring
            ))  # fmt: skip


def streams(side: Side) -> Iterator[object]:
    caller = side.caller
    program, array = caller.program(RETURN_ONE + EXIT), caller.map(2)
    for fd in (program, array, 0x7FFF_FFF0):
        for stream in range(4):
            yield caller.call(
                commands.PROG_STREAM_READ_BY_FD, prog_fd=fd, stream_id=stream, stream_buf_len=8
            )


@pytest.mark.parametrize(
    "scene", [array_and_program, lengths, hashes, exclusive, signatures, streams]
)
def test_a_scene_plays_as_in_linux(scene: Callable[[Side], Iterator[object]]) -> None:
    assert list(scene(skep_side())) == list(scene(kernel_side()))


NUMBERS = {  # that are each side's own
    "id", "load_time", "created_by_uid", "btf_id", "map_ids", "jited_prog_len", "xlated_prog_len",
    "jited_prog_insns", "xlated_prog_insns", "verified_insns",
}  # fmt: skip


# subprograms that became part of their callers have no code of their own
OF_AN_ENGINE = {"nr_jited_ksyms", "nr_jited_func_lens"}


def shown(side: Side, fd: int, layout: type[Layout]) -> dict[str, object]:
    info = side.caller.info(fd, layout)
    return {
        member.name: value if member.name not in NUMBERS else bool(value)
        for member in layout.members()
        if member.name not in OF_AN_ENGINE
        for value in [getattr(info, member.name)]
    }


@pytest.mark.parametrize("name", ["counter", "maps", "session"])
def test_what_a_loaded_object_tells_is_what_linux_tells(name: str) -> None:
    path = OBJECTS / f"{name}.bpf.o"
    spec = read_object(path.read_bytes(), path.name)
    skep, kernel = skep_side(), kernel_side()
    try:
        theirs = load(spec, KernelSyscall())
    except BpfError as error:
        pytest.skip(f"the kernel does not load it: {error}")
    try:
        mine = load(spec, skep.caller.subsystem)
        assert mine.programs.keys() == theirs.programs.keys()
        for each, program in mine.programs.items():
            there = shown(kernel, theirs.programs[each].fd, ProgInfo)
            here = shown(skep, program.fd, ProgInfo)
            assert {
                key: (value, here[key]) for key, value in there.items() if value != here[key]
            } == {}
        for each, fd in mine.maps.items():
            assert shown(kernel, theirs.maps[each], MapInfo) == shown(skep, fd, MapInfo)
    finally:
        theirs.close()
