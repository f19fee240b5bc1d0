"""What objects tell of themselves: OBJ_GET_INFO_BY_FD, fdinfo, streams."""

import ctypes
import struct
from hashlib import sha256
from pathlib import Path

import pytest

import skep
from skep.engine.interpreter import Interpreter
from skep.errors import CommandError, RunError
from skep.loader.load import load
from skep.loader.reader import read_object
from skep.runtime.stream import CAPACITY, Stream
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.loaded import LoadedProgram
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.infos import MapInfo, ProgInfo
from support.caller import EXIT, RETURN_ONE, Caller, insn

OBJECTS = Path(__file__).parents[2] / "objects"
CALL = 0x85
# r0 = f(1) + 1, and f is long enough to have code of its own
WITH_FUNCTION = (
    insn(0xB7, 1, imm=1) + insn(CALL, 0, 1, 0, 2) + insn(0x07, 0, imm=1) + EXIT
    + insn(0xBF, 0, 1) + insn(CALL, imm=7) * 70 + EXIT
)  # fmt: skip


@pytest.fixture
def caller() -> Caller:
    return Caller()


def info_of(caller: Caller, fd: int, **asked: int) -> ProgInfo:
    found = caller.info(fd, ProgInfo, ProgInfo(**asked))
    assert isinstance(found, ProgInfo)
    return found


def test_machine_code_is_told_function_by_function(caller: Caller) -> None:
    fd = caller.program(WITH_FUNCTION)
    first = info_of(caller, fd)
    count = first.nr_jited_ksyms
    code = caller.keep(b"", first.jited_prog_len)
    addresses, sizes = caller.keep(b"", 8 * count), caller.keep(b"", 4 * count)
    info_of(
        caller, fd, jited_prog_len=first.jited_prog_len, jited_prog_insns=code,
        nr_jited_ksyms=count, jited_ksyms=addresses, nr_jited_func_lens=count,
        jited_func_lens=sizes,
    )  # fmt: skip
    starts = struct.unpack(f"<{count}Q", ctypes.string_at(addresses, 8 * count))
    lengths = struct.unpack(f"<{count}I", ctypes.string_at(sizes, 4 * count))

    assert count == first.nr_jited_func_lens == 2
    assert sum(lengths) == first.jited_prog_len
    assert ctypes.string_at(code, first.jited_prog_len) == b"".join(
        ctypes.string_at(start, length) for start, length in zip(starts, lengths, strict=True)
    )


def test_less_room_gives_less_and_tells_all(caller: Caller) -> None:
    fd = caller.program(RETURN_ONE + EXIT)
    place = caller.keep(b"", 16)
    found = info_of(caller, fd, xlated_prog_len=8, xlated_prog_insns=place)

    assert found.xlated_prog_len == 16
    assert ctypes.string_at(place, 16) == RETURN_ONE + bytes(8)


def test_an_interpreted_program_has_no_machine_code() -> None:
    world = World()
    caller = Caller(Subsystem(world, Interpreter(tuple(helper_codes(world)))))
    fd = caller.program(RETURN_ONE + EXIT)
    found = info_of(caller, fd)

    assert (found.jited_prog_len, found.nr_jited_ksyms) == (0, 0)
    assert "prog_jited:\t0" in caller.subsystem.fdinfo(fd).splitlines()


def test_every_function_has_a_tag(caller: Caller) -> None:
    fd = caller.program(WITH_FUNCTION)
    place = caller.keep(b"", 16)
    found = info_of(caller, fd, nr_prog_tags=2, prog_tags=place)
    tags = ctypes.string_at(place, 16)

    assert found.nr_prog_tags == 2
    assert found.tag == sha256(WITH_FUNCTION).digest()[:8]
    assert tags[:8] == sha256(WITH_FUNCTION[:32]).digest()[:8]
    assert tags[8:] == sha256(WITH_FUNCTION[32:]).digest()[:8]


def test_runs_are_counted_while_statistics_are_on(caller: Caller) -> None:
    fd = caller.program(RETURN_ONE + EXIT)

    def run() -> None:
        assert caller.call(
            commands.PROG_TEST_RUN, prog_fd=fd, data_in=caller.keep(bytes(64)), data_size_in=64,
            repeat=3,
        ) == 0  # fmt: skip

    run()
    assert info_of(caller, fd).run_cnt == 0
    statistics = caller.call(commands.ENABLE_STATS)
    run()
    caller.subsystem.close(statistics)
    run()
    found = info_of(caller, fd)

    assert found.run_cnt == 3
    assert found.run_time_ns > 0
    assert f"run_cnt:\t{found.run_cnt}" in caller.subsystem.fdinfo(fd).splitlines()


def test_a_loaded_object_tells_its_types_lines_and_maps() -> None:
    with skep.load(OBJECTS / "counter.bpf.o") as loaded:
        caller = Caller(loaded.subsystem)
        for program in loaded.programs.values():
            lines = caller.keep(b"", 16 * 500)
            found = info_of(
                caller, program.fd, nr_line_info=500, line_info=lines, line_info_rec_size=16
            )
            assert found.btf_id > 0
            assert found.nr_func_info >= 1
            assert found.nr_line_info > 1
            assert int.from_bytes(ctypes.string_at(lines, 4), "little") == 0  # the first slot
            assert 1 <= found.nr_map_ids <= len(loaded.maps)
            assert found.name.rstrip(b"\0").decode() == program.name[:15]
            assert found.verified_insns > 0
            assert found.load_time > 0


def test_a_map_tells_what_it_was_made_with(caller: Caller) -> None:
    fd = caller.call(
        commands.MAP_CREATE, map_type=1, key_size=4, value_size=12, max_entries=7, map_flags=1,
        map_name=b"a_map" + bytes(11),
    )  # fmt: skip
    found = caller.info(fd, MapInfo)

    assert isinstance(found, MapInfo)
    assert (found.type, found.key_size, found.value_size, found.max_entries) == (1, 4, 12, 7)
    assert (found.map_flags, found.name.rstrip(b"\0")) == (1, b"a_map")


# --- fdinfo ---------------------------------------------------------------------------------------


def test_fdinfo_of_a_map_tells_who_may_use_it(caller: Caller) -> None:
    fd = caller.map(3, 4, 4)
    assert "owner_prog_type" not in caller.subsystem.fdinfo(fd)
    program = caller.program(RETURN_ONE + EXIT)
    assert caller.store(fd, bytes(4), struct.pack("<I", program)) == 0
    lines = dict(line.split(":\t") for line in caller.subsystem.fdinfo(fd).splitlines())

    assert (lines["owner_prog_type"], lines["owner_jited"]) == ("1", "1")
    assert (lines["map_type"], lines["key_size"], lines["frozen"]) == ("3", "4", "0")


@pytest.mark.parametrize(("flags", "shown"), [(0, "02000002"), (8, "02000000"), (16, "02000001")])
def test_fdinfo_tells_how_a_descriptor_was_opened(caller: Caller, flags: int, shown: str) -> None:
    assert f"flags:\t{shown}" in caller.subsystem.fdinfo(caller.map(2, flags=flags))


def test_fdinfo_of_nothing_is_refused(caller: Caller) -> None:
    with pytest.raises(CommandError):
        caller.subsystem.fdinfo(0x7FFF_FFF0)


# --- exclusive maps -------------------------------------------------------------------------------


def test_an_exclusive_map_is_forgotten_with_its_id(caller: Caller) -> None:
    fd = caller.call(
        commands.MAP_CREATE, map_type=2, key_size=4, value_size=4, max_entries=1,
        excl_prog_hash=caller.keep(bytes(32)), excl_prog_hash_size=32,
    )  # fmt: skip
    found = caller.info(fd, MapInfo)
    assert isinstance(found, MapInfo)
    owners = caller.subsystem.state.owners

    assert owners.is_exclusive(found.id)
    code = insn(0x18, 1, 1, 0, fd) + bytes(8) + RETURN_ONE + EXIT
    log = caller.keep(b"", 4096)
    assert caller.program(code, log_level=1, log_buf=log, log_size=4096) == -13
    assert b"doesn't match map's excl_prog_hash" in ctypes.string_at(log)
    caller.subsystem.close(fd)
    assert not owners.is_exclusive(found.id)


# --- streams --------------------------------------------------------------------------------------


def test_a_stream_gives_what_was_written_once_and_in_order() -> None:
    stream, found = Stream(), bytearray()
    for text in (b"one ", b"two ", b"three"):
        assert stream.write(text)

    assert stream.read(6, found.extend) == 6
    assert stream.read(100, found.extend) == 7
    assert stream.read(100, found.extend) == 0
    assert found == b"one two three"


def test_a_full_stream_drops_whole_messages() -> None:
    stream = Stream()

    assert stream.write(bytes(CAPACITY - 1))
    assert not stream.write(b"x")
    assert stream.read(CAPACITY, bytes) == CAPACITY - 1
    assert stream.write(b"x")


def test_what_cannot_be_given_stays() -> None:
    stream = Stream()
    stream.write(b"text")

    def fail(data: bytes) -> None:
        raise ValueError(data)

    with pytest.raises(ValueError, match="text"):
        stream.read(10, fail)
    assert stream.read(10, bytes) == 4


def test_a_run_that_is_stopped_says_why_on_standard_error(caller: Caller) -> None:
    fd = caller.program(RETURN_ONE + EXIT)
    target = caller.subsystem.state.objects.get("TEST", fd).target
    assert isinstance(target, LoadedProgram)
    with pytest.raises(RunError), target.telling():
        raise RunError("the run is out of fuel")
    place = caller.keep(b"", 64)

    def read(stream: int, size: int) -> int:
        return caller.call(
            commands.PROG_STREAM_READ_BY_FD, prog_fd=fd, stream_id=stream, stream_buf=place,
            stream_buf_len=size,
        )  # fmt: skip

    assert read(1, 64) == 0
    assert read(2, 7) == 7
    assert ctypes.string_at(place, 7) == b"ERROR: "
    assert read(2, 64) == 23
    assert ctypes.string_at(place, 23) == b"the run is out of fuel\n"
    assert read(2, 64) == 0


def test_every_line_has_a_place_in_the_machine_code() -> None:
    spec = read_object((OBJECTS / "counter.bpf.o").read_bytes(), "counter.bpf.o")
    caller = Caller()
    with load(spec, caller.subsystem) as loaded:
        fd = next(iter(loaded.programs.values())).fd
        first = info_of(caller, fd)
        count, size = first.nr_jited_line_info, first.jited_prog_len
        lines, ksym = caller.keep(b"", 8 * count), caller.keep(b"", 8)
        info_of(caller, fd, nr_jited_line_info=count, jited_line_info_rec_size=8,
                jited_line_info=lines, nr_jited_ksyms=1, jited_ksyms=ksym)  # fmt: skip
        (start,) = struct.unpack("<Q", ctypes.string_at(ksym, 8))
        places = struct.unpack(f"<{count}Q", ctypes.string_at(lines, 8 * count))

    assert count == first.nr_line_info > 3
    assert all(start <= place < start + size for place in places)
    assert len(set(places)) > count // 2
