import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from skep.btf.kernel import kernel_btf
from skep.btf.kinds import Kind
from skep.errors import CommandError, ExternError, LoadError, SectionError
from skep.isa.assembler import assemble
from skep.loader.door import Door, ProgramRefused, Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject, load, with_type
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec
from skep.loader.target import Target, parse_config, running_version
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.flags import MapType, ProgType
from support.elf_writer import ObjectWriter

OBJECTS = Path(__file__).parents[2] / "objects"
CONFIG = {
    "CONFIG_BPF_SYSCALL": "y",
    "CONFIG_BPF": "m",
    "CONFIG_NET": "y",
    "CONFIG_HZ": "250",
    "CONFIG_DEFAULT_HOSTNAME": '"(none)"',
}
TARGET = Target(kernel_btf(), 0x061200, lambda: CONFIG, {"bpf_prog_put": 0x1234}.get, 2)


def shipped(name: str) -> ObjectSpec:
    return read_object((OBJECTS / f"{name}.bpf.o").read_bytes(), f"{name}.bpf.o")


def kernel() -> KernelSyscall:
    syscall = KernelSyscall()
    fd = syscall.bpf(0, bytearray(struct.pack("<4I", 2, 4, 4, 1)))
    if fd < 0:
        pytest.skip(f"bpf(2) of the running kernel answers {errno.errorcode[-fd]}")
    syscall.close(fd)
    return syscall


@pytest.fixture(params=["skep", "kernel"])
def syscall(request: pytest.FixtureRequest) -> Syscall:
    if request.param == "kernel":
        return kernel()
    return Subsystem(kernel_btf=TARGET.btf)


def lookup(syscall: Syscall, fd: int, key: int, size: int) -> bytes | None:
    """The value of a 4-byte key."""
    key_data, value = ctypes.c_uint32(key), ctypes.create_string_buffer(size)
    attr = commands.MapElem(
        map_fd=fd, key=ctypes.addressof(key_data), value=ctypes.addressof(value)
    )
    answer = syscall.bpf(1, bytearray(attr.encode()))
    return value.raw if answer == 0 else None


# --- maps -----------------------------------------------------------------------------------------


def test_global_variables_have_their_values(syscall: Syscall) -> None:
    with LoadedObject(shipped("counter"), syscall, TARGET) as loaded:
        maps = loaded.maps

        assert lookup(syscall, maps[".data"], 0, 8) == struct.pack("<Q", 40)
        assert lookup(syscall, maps[".rodata"], 0, 4) == struct.pack("<I", 3)
        assert lookup(syscall, maps[".bss"], 0, 16) == bytes(16)
        assert lookup(syscall, maps["counter.data"], 0, 8) == struct.pack("<Q", 40)


def test_constants_are_frozen(syscall: Syscall) -> None:
    with LoadedObject(shipped("counter"), syscall, TARGET) as loaded:
        with pytest.raises(CommandError) as caught:
            Door(syscall).update(loaded.maps[".rodata"], bytes(4), bytes(4), "rodata")

        assert caught.value.errno == errno.EPERM


def test_maps_of_maps_and_program_arrays_are_filled(syscall: Syscall) -> None:
    with load(shipped("maps"), syscall, TARGET) as loaded:
        maps = loaded.maps

        assert [lookup(syscall, maps["outer"], at, 4) is not None for at in range(4)] == [
            False, True, False, True
        ]  # fmt: skip
        assert [lookup(syscall, maps["jumps"], at, 4) is not None for at in range(2)] == [
            False, True
        ]  # fmt: skip


def test_per_cpu_variables_have_their_value_on_every_cpu() -> None:
    recorder = Recorder(value_size=16)
    with LoadedObject(shipped("throws"), recorder, TARGET) as loaded:
        spec = loaded.spec.map(".percpu.counts")

    assert spec.map_type == MapType.PERCPU_ARRAY
    assert recorder.values == [struct.pack("<i4xi4x", 3, 3)]


def test_programs_that_are_left_out_are_left_out_of_program_arrays(syscall: Syscall) -> None:
    with load(shipped("maps"), syscall, TARGET, programs=["jump"]) as loaded:
        assert lookup(syscall, loaded.maps["jumps"], 1, 4) is None


def test_a_refused_map_says_which_and_why(syscall: Syscall) -> None:
    writer = ObjectWriter()
    writer.symbol("bad", writer.section("maps", struct.pack("<5I", 2, 8, 4, 1, 0)))
    spec = read_object(writer.to_bytes(), "bad.o")

    with pytest.raises(CommandError, match="MAP_CREATE: EINVAL: map bad: ") as caught:
        LoadedObject(spec, syscall, TARGET)

    assert str(caught.value).count("MAP_CREATE") == 1


def test_a_refused_map_can_be_left_out(syscall: Syscall) -> None:
    writer = ObjectWriter()
    maps = writer.section("maps", struct.pack("<10I", 2, 8, 4, 1, 0, 2, 4, 4, 1, 0))
    symbols = writer.symbol("bad", maps), writer.symbol("good", maps, 20)
    for name, symbol in zip(("uses_bad", "uses_good"), symbols, strict=True):
        code = writer.code(f"xdp.{name}", "r1 = 0 ll\nr0 = 0\nexit")
        writer.function(name, code)
        writer.relocate(code, 0, symbol)
    spec = read_object(writer.to_bytes(), "bad.o")
    with LoadedObject(spec, syscall, TARGET, partial=True) as loaded:
        bad, good = (with_type(program, ProgType.XDP) for program in spec.programs)

        assert set(loaded.maps) == {"good"}
        assert loaded.load_program(good).fd > 0
        with pytest.raises(CommandError, match="map bad"):
            loaded.load_program(bad)


def test_a_perf_event_array_without_a_size_has_one_entry_per_cpu(syscall: Syscall) -> None:
    with LoadedObject(shipped("maps"), syscall, TARGET) as loaded:
        assert Door(syscall).map_info(loaded.maps["events"]).max_entries == TARGET.cpus


def test_kernel_configuration_reaches_the_program(syscall: Syscall) -> None:
    with LoadedObject(shipped("externs"), syscall, TARGET) as loaded:
        data = lookup(syscall, loaded.maps[".kconfig"], 0, 38)

    assert data == struct.pack("<QiiI?c16s", 250, 2, 0, 0x061200, True, b"y", b"(none)")


def test_a_strong_extern_without_a_value_is_an_error(syscall: Syscall) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "CONFIG_HZ"}
    target = Target(TARGET.btf, 1, lambda: config)

    with pytest.raises(ExternError) as caught:
        LoadedObject(shipped("externs"), syscall, target)

    assert "CONFIG_HZ" in caught.value.name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CONFIG_BPF_SYSCALL", "m"),  # a bool
        ("CONFIG_BPF", "7"),  # a tristate
        ("CONFIG_HZ", '"x"'),  # an integer
        ("CONFIG_HZ", "0x10000000000000000"),
        ("CONFIG_HZ", "many"),
        ("CONFIG_DEFAULT_HOSTNAME", "5"),
    ],
)
def test_a_value_of_another_type_is_an_error(name: str, text: str) -> None:
    target = Target(TARGET.btf, 1, lambda: {**CONFIG, name: text})

    with pytest.raises(ExternError, match=name):
        LoadedObject(shipped("externs"), Subsystem(), target)


def test_maps_pinned_by_name_are_shared() -> None:
    syscall = kernel()
    pins = Path(f"/sys/fs/bpf/skep-test-{os.getpid()}")
    try:
        pins.mkdir()
    except OSError as error:
        pytest.skip(f"no file system for pins: {error}")
    try:
        with (
            LoadedObject(shipped("maps"), syscall, TARGET, pins=str(pins)) as first,
            LoadedObject(shipped("maps"), syscall, TARGET, pins=str(pins)) as second,
        ):
            door = Door(syscall)
            ids = [door.map_info(each.maps["bloom"]).id for each in (first, second)]
            others = [door.map_info(each.maps["ring"]).id for each in (first, second)]

            assert ids[0] == ids[1]
            assert others[0] != others[1]
        pinned = syscall.bpf(0, bytearray(struct.pack("<4I", 2, 4, 4, 1)))
        (pins / "bloom").unlink()
        door.pin(pinned, str(pins / "bloom"))
        syscall.close(pinned)
        with pytest.raises(LoadError, match="another map"):
            LoadedObject(shipped("maps"), syscall, TARGET, pins=str(pins))
    finally:
        for pin in pins.iterdir():
            pin.unlink()
        pins.rmdir()


# --- programs -------------------------------------------------------------------------------------


def test_all_programs_but_the_optional_ones_are_loaded(syscall: Syscall) -> None:
    with load(shipped("counter"), syscall, TARGET) as loaded:
        assert set(loaded.programs) == {"count", "drop"}
        assert loaded.load_program("later").fd > 0


def test_named_programs_are_loaded_alone(syscall: Syscall) -> None:
    with load(shipped("counter"), syscall, TARGET, programs=["later"]) as loaded:
        assert set(loaded.programs) == {"later"}


def test_a_program_of_an_unknown_section_wants_a_type(syscall: Syscall) -> None:
    spec = shipped("legacy")
    with LoadedObject(spec, syscall, TARGET) as loaded:
        with pytest.raises(SectionError):
            loaded.load_program("peek")
        typed = with_type(spec.program("peek"), ProgType.SOCKET_FILTER)

        assert loaded.load_program(typed).fd > 0


def test_externs_and_core_relocations_load_on_the_kernel() -> None:
    syscall = kernel()
    for name in ("externs", "core"):
        with load(shipped(name), syscall, Target.running()) as loaded:
            assert loaded.notes == []
            assert len(loaded.programs) == 1


def test_a_refusal_brings_the_log_and_the_program(syscall: Syscall) -> None:
    writer = ObjectWriter()
    writer.function("bad", writer.code("xdp", "r0 = r5\nexit"))
    spec = read_object(writer.to_bytes(), "bad.o")

    with pytest.raises(ProgramRefused) as caught:
        load(spec, syscall, TARGET)

    assert (caught.value.errno, caught.value.program) == (errno.EACCES, "bad")
    assert "R5 !read_ok" in caught.value.log
    assert "R5 !read_ok" in str(caught.value)


def test_a_log_is_given_for_accepted_programs_if_asked_for(syscall: Syscall) -> None:
    with LoadedObject(shipped("maps"), syscall, TARGET, log_level=4) as loaded:
        assert "processed 2 insns" in loaded.load_program("leaf").log


def one(section: str) -> ObjectSpec:
    writer = ObjectWriter()
    writer.function("main", writer.code(section, "r0 = 0\nexit"))
    return read_object(writer.to_bytes(), "one.o")


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ("fentry", LoadError),
        ("fentry/no_such_function_at_all", LoadError),
        ("struct_ops/x", LoadError),
        ("freplace/x", LoadError),
    ],
)
def test_what_has_no_target_is_refused_by_name(section: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(one(section), Subsystem(kernel_btf=TARGET.btf), TARGET)


class Recorder:
    """A bpf(2) that grants everything, up to one command, and remembers."""

    def __init__(self, refused: int = -1, value_size: int = 4) -> None:
        self.refused, self.value_size = refused, value_size
        self.calls: list[tuple[int, bytes]] = []
        self.open: set[int] = set()
        self.values: list[bytes] = []

    def bpf(self, cmd: int, attr: bytearray, /) -> int:
        self.calls.append((cmd, bytes(attr)))
        if cmd == 2:
            pointer = commands.MapElem.decode(bytes(attr)).value
            self.values.append(ctypes.string_at(pointer, self.value_size))
        if len(self.calls) - 1 == self.refused:
            return -errno.EPERM
        if cmd not in {0, 5, 7, 18}:
            return 0
        fd = 100 + len(self.calls)
        self.open.add(fd)
        return fd

    def close(self, fd: int, /) -> None:
        self.open.remove(fd)


@pytest.fixture(scope="module")
def steps() -> Iterator[int]:
    recorder = Recorder()
    with load(shipped("maps"), recorder, TARGET):
        yield len(recorder.calls)


def test_whatever_fails_leaves_nothing_open(steps: int) -> None:
    for refused in range(steps):
        recorder = Recorder(refused)
        with suppress(CommandError):
            load(shipped("maps"), recorder, TARGET).close()

        assert recorder.open == set(), f"after command {refused}"


def test_iterators_find_their_target_in_the_kernels_types() -> None:
    btf = TARGET.btf
    if btf is None or btf.by_name("bpf_iter_task", Kind.FUNC) is None:
        pytest.skip("no kernel types with iterators")
    recorder = Recorder()
    with load(one("iter/task"), recorder, TARGET):
        attr = commands.ProgLoad.decode(recorder.calls[-1][1])

    assert attr.attach_btf_id == btf.by_name("bpf_iter_task", Kind.FUNC)
    assert attr.expected_attach_type == 28


def test_a_struct_ops_program_is_loaded_for_its_member() -> None:
    spec = shipped("ops")
    with LoadedObject(spec, kernel(), Target.running()) as loaded:
        try:
            assert loaded.load_program("half").fd > 0
        except LoadError as error:
            pytest.skip(f"no TCP congestion control to fill: {error}")
        with pytest.raises(LoadError, match="no struct_ops map refers to it"):
            loaded.load_program("lonely")


def test_a_weak_extern_that_is_missing_is_zero_and_its_call_is_poisoned() -> None:
    recorder = Recorder()
    with LoadedObject(shipped("externs"), recorder, TARGET) as loaded:
        insns = loaded._finisher.finish(loaded.spec.program("read_config"))
        calls = [insn.imm for insn in insns if insn.code == 0x85 and insn.src == 0]

    assert any(imm > 2_002_000_000 for imm in calls)
    assert any(insn.code == 0x18 and insn.imm == 0x1234 for insn in insns)
    assert assemble("exit")[0] in insns


# --- target ---------------------------------------------------------------------------------------


def test_releases_become_version_codes() -> None:
    assert running_version("6.18.44-fc-v669") == 0x06122C
    assert running_version("5.4") == 0x050400
    assert running_version("4.19.999") == 0x0413FF
    assert running_version("?") == 0


def test_configuration_lines_are_read() -> None:
    text = b'# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C="x=y"\nother=1\n'

    assert parse_config(text) == {"CONFIG_B": "y", "CONFIG_C": '"x=y"'}
