"""The statements of the 2014 draft of bpf(2), one by one: commands, results, errnos."""

import ctypes
import struct
import threading
from errno import E2BIG, EACCES, EBADF, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM
from pathlib import Path

import pytest

import skep
from skep.engine.interpreter import Interpreter
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.credentials import Credentials
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands, infos
from skep.uapi.commands import BY_NUMBER
from support.caller import EXIT, RETURN_ONE, Caller, insn
from support.traced import ARRAY, EXIT_ZERO, SOCKET_FILTER, code, count, good, number, store

OBJECTS = Path(__file__).parents[1] / "objects"
HASH = 1
RAW_TRACEPOINT = 17
NOEXIST, EXIST = 1, 2
BAD_ADDRESS = 0x10
KEY, OTHER, THIRD = (struct.pack("=I", value) for value in (6, 17, 4))
VALUE = struct.pack("=Q", 0x1234)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def load(caller: Caller, text: str | bytes, *, kind: int = SOCKET_FILTER, room: int = 4096,
         level: int = 1, **maps: int) -> tuple[int, str]:  # fmt: skip
    """PROG_LOAD with a log: the answer, and the log."""
    data = text if isinstance(text, bytes) else code(text, **maps)
    place = caller.keep(b"", room)
    answer = caller.program(data, kind, log_level=level, log_size=room, log_buf=place)
    return answer, ctypes.string_at(place, room).split(b"\0")[0].decode()


def hash_map(caller: Caller, entries: int = 2, value: int = 8, key: int = 4) -> int:
    return good(caller, caller.map(HASH, key=key, value=value, entries=entries))


def element(caller: Caller, command: commands.Command, fd: int, key: bytes | None,
            value: int = 0, **members: int) -> int:  # fmt: skip
    place = caller.keep(key) if key is not None else 0
    return caller.call(command, map_fd=fd, key=place, value=value, **members)


# --- the system call ------------------------------------------------------------------------------


@pytest.mark.acceptance("M2")
def test_bpf_takes_a_command_an_attr_and_its_size() -> None:
    subsystem = Subsystem()
    attr = struct.pack("=5I", HASH, 4, 8, 2, 0)
    place = ctypes.create_string_buffer(attr, 200)

    assert subsystem.bpf(0, ctypes.addressof(place), 20) >= 0
    assert subsystem.bpf(0, ctypes.addressof(place), 200) >= 0  # longer, but zero
    place[199] = b"\1"
    assert subsystem.bpf(0, ctypes.addressof(place), 200) == -E2BIG
    assert subsystem.bpf(0, BAD_ADDRESS, 20) == -EFAULT


@pytest.mark.acceptance("M3")
def test_all_operations_go_through_one_door_and_answer_a_number() -> None:
    answers = {n: Subsystem().bpf(n, bytearray(commands.ATTR_SIZE)) for n in BY_NUMBER}

    assert all(isinstance(answer, int) for answer in answers.values())
    assert min(answers.values()) < 0


@pytest.mark.acceptance("M3", "M6")
def test_a_program_is_analysed_before_it_is_loaded(caller: Caller) -> None:
    refused, log = load(caller, "1: r0 = 0\ngoto 1b\nexit")

    assert refused == -EINVAL
    assert log
    assert caller.call(commands.PROG_GET_NEXT_ID, start_id=0) == -ENOENT


@pytest.mark.acceptance("M4")
@pytest.mark.parametrize("interpreted", [False, True])
def test_both_engines_call_helpers_and_share_maps(interpreted: bool) -> None:
    world = World()
    engine = Interpreter(tuple(helper_codes(world))) if interpreted else None
    caller = Caller(Subsystem(world, engine))
    out = good(caller, caller.map(ARRAY))
    program, log = load(caller, f"r6 = 5\nr6 *= 9\n{store()}\nr0 = r6\nexit", out=out)
    assert program >= 0, log
    assert run(caller, program) == 45
    assert number(caller, out) == 45


@pytest.mark.acceptance("M4")
def test_restricted_c_gives_the_same_in_both_engines() -> None:
    seen = []
    for interpreted in (False, True):
        world = World()
        engine = Interpreter(tuple(helper_codes(world))) if interpreted else None
        with skep.load(OBJECTS / "counter.bpf.o", subsystem=Subsystem(world, engine)) as loaded:
            results = [loaded.programs["count"].run(bytes(64)).retval for _ in range(3)]
            seen.append((results, dict(loaded.maps["counts"].items())))

    assert seen[0] == seen[1]
    assert seen[0][0] == [2, 2, 2]  # XDP_PASS


def run(caller: Caller, program: int, repeat: int = 0) -> int:
    """PROG_TEST_RUN on 64 bytes: the result."""
    packet = caller.keep(bytes(64))
    done = caller.call(commands.PROG_TEST_RUN, prog_fd=program, data_in=packet, data_size_in=64,
                       repeat=repeat)  # fmt: skip
    assert done == 0, caller.subsystem.last_error
    answer = caller.attr
    assert isinstance(answer, commands.TestRun)
    return answer.retval


@pytest.mark.acceptance("M5")
def test_maps_are_read_while_programs_write_them(caller: Caller) -> None:
    out = good(caller, caller.map(ARRAY))
    program, log = load(caller, count() + "\nr0 = 0\nexit", out=out)
    assert program >= 0, log
    threads = [threading.Thread(target=run, args=(Caller(caller.subsystem), program, 20_000))
               for _ in range(3)]  # fmt: skip
    for thread in threads:
        thread.start()
    seen = [number(caller, out)]
    while any(thread.is_alive() for thread in threads):
        seen.append(number(caller, out))
    for thread in threads:
        thread.join()

    assert seen == sorted(seen)
    assert number(caller, out) == 60_000


@pytest.mark.acceptance("M5")
def test_keys_and_values_are_opaque_bytes(caller: Caller) -> None:
    fd = hash_map(caller, key=5, value=3)
    assert caller.store(fd, b"\0\xff\0\x01\x02", b"a\0b") == 0

    assert caller.fetch(fd, b"\0\xff\0\x01\x02", 3) == b"a\0b"


@pytest.mark.acceptance("M6", "M32")
def test_a_program_is_unloaded_with_its_last_descriptor(caller: Caller) -> None:
    program = good(caller, caller.program(EXIT_ZERO))
    again = good(caller, caller.call(commands.PROG_GET_FD_BY_ID, start_id=1))
    caller.subsystem.close(program)
    assert caller.call(commands.PROG_GET_NEXT_ID, start_id=0) == 0
    caller.subsystem.close(again)

    assert caller.call(commands.PROG_GET_NEXT_ID, start_id=0) == -ENOENT


@pytest.mark.acceptance("M7")
def test_a_program_holds_its_maps_until_it_is_unloaded(caller: Caller) -> None:
    out = good(caller, caller.map(ARRAY))
    program, log = load(caller, count() + "\nr0 = 0\nexit", out=out)
    assert program >= 0, log
    caller.subsystem.close(out)
    run(caller, program)
    held = good(caller, caller.call(commands.MAP_GET_FD_BY_ID, start_id=1))
    assert number(caller, held) == 1
    caller.subsystem.close(held)
    caller.subsystem.close(program)

    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=1) == -ENOENT


@pytest.mark.acceptance("M8")
def test_a_program_on_an_event_prints_and_asks_for_the_stack() -> None:
    lines: list[str] = []
    caller = Caller(Subsystem(World(printk=lines.append)))
    point = caller.subsystem.state.world.tracepoints.declare("test:hit", "u64 value")
    stacks = good(caller, caller.map(7, value=64))
    out = good(caller, caller.map(ARRAY))
    text = f"""
        r9 = r1
        r3 = *(u64 *)(r9 + 0)
        r6 = 0x756c25
        *(u64 *)(r10 - 16) = r6
        r1 = r10
        r1 += -16
        r2 = 4
        call 6
        r1 = r9
        r2 = map stacks
        r3 = 0
        call 27
        r6 = r0
        {store()}
        r0 = 0
        exit"""
    program, log = load(caller, code(text, stacks=stacks, out=out), kind=RAW_TRACEPOINT)
    assert program >= 0, log
    name = caller.keep(b"hit\0")
    good(caller, caller.call(commands.RAW_TRACEPOINT_OPEN, prog_fd=program, name=name))
    point.fire(42)

    assert lines == ["42"]
    assert number(caller, out) == (1 << 64) - EFAULT  # a user-space world has no kernel stack


@pytest.mark.acceptance("M10")
def test_the_six_commands_have_the_numbers_of_the_draft() -> None:
    names = ["MAP_CREATE", "MAP_LOOKUP_ELEM", "MAP_UPDATE_ELEM", "MAP_DELETE_ELEM",
             "MAP_GET_NEXT_KEY", "PROG_LOAD"]  # fmt: skip

    assert [BY_NUMBER[number_].name for number_ in range(6)] == names


@pytest.mark.acceptance("M11")
def test_members_of_the_attr_lie_where_the_draft_has_them() -> None:
    create = [commands.MapCreate.member(name).offset
              for name in ("map_type", "key_size", "value_size", "max_entries")]  # fmt: skip
    element_ = [commands.MapElem.member(name).offset for name in ("map_fd", "key", "value")]
    load_ = [commands.ProgLoad.member(name).offset
             for name in ("prog_type", "insn_cnt", "insns", "license", "log_level", "log_size",
                          "log_buf")]  # fmt: skip

    assert create == [0, 4, 8, 12]
    assert element_ == [0, 8, 16]
    assert load_ == [0, 4, 8, 16, 24, 28, 32]


@pytest.mark.acceptance("M12")
def test_a_map_tells_its_type_and_sizes(caller: Caller) -> None:
    info = caller.info(hash_map(caller, entries=7, value=24), infos.MapInfo)

    assert isinstance(info, infos.MapInfo)
    assert (info.type, info.max_entries, info.key_size, info.value_size) == (HASH, 7, 4, 24)


@pytest.mark.acceptance("M14", "M38")
def test_map_create_gives_a_new_descriptor_each_time(caller: Caller) -> None:
    assert len({hash_map(caller) for _ in range(3)}) == 3


@pytest.mark.acceptance("M14", "M44")
@pytest.mark.parametrize(
    "wrong",
    [{"map_type": 9999}, {"key_size": 0}, {"value_size": 0}, {"max_entries": 0},
     {"map_flags": 1 << 30}, {"map_type": ARRAY, "key_size": 8}],
    ids=str,
)  # fmt: skip
def test_a_map_with_bad_attributes_is_einval(caller: Caller, wrong: dict[str, int]) -> None:
    sizes = {"map_type": HASH, "key_size": 4, "value_size": 8, "max_entries": 2}

    assert caller.call(commands.MAP_CREATE, **sizes | wrong) == -EINVAL


@pytest.mark.acceptance("M14", "M40")
def test_a_map_for_which_there_is_no_memory_is_enomem() -> None:
    caller = Caller()
    answer = caller.map(ARRAY, value=1 << 20, entries=1 << 27)  # 128 TiB: no address space

    assert answer == -ENOMEM


@pytest.mark.acceptance("M15")
def test_a_key_that_leaves_the_stack_is_rejected(caller: Caller) -> None:
    fd = hash_map(caller, key=8)
    text = "r2 = r10\nr2 += -4\nr1 = map m\ncall 1\nr0 = 0\nexit"
    answer, log = load(caller, text, m=fd)

    assert answer == -EINVAL  # so Linux 6.18 answers; the draft has no errno here
    assert "invalid read from stack R2 off=-4 size=8" in log


@pytest.mark.acceptance("M16")
def test_a_store_beyond_the_value_is_rejected(caller: Caller) -> None:
    fd = hash_map(caller, value=1)
    text = """
        *(u32 *)(r10 - 4) = 0
        r2 = r10
        r2 += -4
        r1 = map m
        call 1
        if r0 == 0 goto +1
        *(u32 *)(r0 + 0) = 1
        r0 = 0
        exit"""
    answer, log = load(caller, text, m=fd)

    assert answer == -EACCES
    assert "invalid access to map value, value_size=1 off=0 size=4" in log


@pytest.mark.acceptance("M17")
def test_hash_maps_work_and_type_unspec_is_einval(caller: Caller) -> None:
    fd = hash_map(caller)
    caller.store(fd, KEY, VALUE)

    assert caller.fetch(fd, KEY) == VALUE
    assert caller.map(0) == -EINVAL


@pytest.mark.acceptance("M18", "M48")
def test_lookup_gives_the_value_or_enoent(caller: Caller) -> None:
    fd = hash_map(caller)
    assert caller.fetch(fd, KEY) == -ENOENT
    caller.store(fd, KEY, VALUE)

    assert caller.fetch(fd, KEY) == VALUE


@pytest.mark.acceptance("M19", "M49")
def test_update_creates_changes_and_is_e2big_when_the_map_is_full(caller: Caller) -> None:
    fd = hash_map(caller, entries=2)
    assert [caller.store(fd, key, VALUE) for key in (KEY, OTHER)] == [0, 0]
    assert caller.store(fd, THIRD, VALUE) == -E2BIG
    assert caller.store(fd, KEY, bytes(8)) == 0

    assert caller.fetch(fd, KEY) == bytes(8)


@pytest.mark.acceptance("M20", "M48")
def test_delete_removes_or_is_enoent(caller: Caller) -> None:
    fd = hash_map(caller)
    caller.store(fd, KEY, VALUE)

    assert element(caller, commands.MAP_DELETE_ELEM, fd, KEY) == 0
    assert caller.fetch(fd, KEY) == -ENOENT
    assert element(caller, commands.MAP_DELETE_ELEM, fd, KEY) == -ENOENT


@pytest.mark.acceptance("M21")
def test_get_next_key_walks_all_elements(caller: Caller) -> None:
    fd = hash_map(caller, entries=8)
    keys = {struct.pack("=I", key) for key in range(5)}
    for key in keys:
        caller.store(fd, key, VALUE)
    place = caller.keep(b"", 4)
    walked, at = [], struct.pack("=I", 999)  # absent: the first
    while element(caller, commands.MAP_GET_NEXT_KEY, fd, at, place) == 0:
        at = ctypes.string_at(place, 4)
        walked.append(at)

    assert (set(walked), len(walked)) == (keys, 5)
    assert element(caller, commands.MAP_GET_NEXT_KEY, fd, at, place) == -ENOENT
    assert element(caller, commands.MAP_GET_NEXT_KEY, fd, None, place) == 0
    assert ctypes.string_at(place, 4) == walked[0]
    assert element(caller, commands.MAP_GET_NEXT_KEY, fd, at[:0], BAD_ADDRESS) in (-EFAULT, -ENOENT)


@pytest.mark.acceptance("M22")
def test_closing_the_descriptor_deletes_the_map(caller: Caller) -> None:
    caller.subsystem.close(hash_map(caller))

    assert caller.call(commands.MAP_GET_NEXT_ID, start_id=0) == -ENOENT


@pytest.mark.acceptance("M28")
def test_insn_cnt_counts_instructions_not_bytes(caller: Caller) -> None:
    data = RETURN_ONE + EXIT
    short = caller.call(commands.PROG_LOAD, prog_type=1, insn_cnt=1, insns=caller.keep(data),
                        license=caller.keep(b"GPL\0"))  # fmt: skip

    assert short == -EINVAL  # the exit is left out
    assert caller.program(data) >= 0


@pytest.mark.acceptance("M28")
@pytest.mark.parametrize(("terms", "loads"), [(b"GPL\0", True), (b"MIT\0", False)])
def test_gpl_only_helpers_need_a_gpl_compatible_licence(
    caller: Caller, terms: bytes, loads: bool
) -> None:
    text = "r6 = 0x41\n*(u64 *)(r10 - 8) = r6\nr1 = r10\nr1 += -8\nr2 = 2\ncall 6\nr0 = 0\nexit"
    data = code(text)
    place = caller.keep(b"", 4096)
    answer = caller.call(commands.PROG_LOAD, prog_type=RAW_TRACEPOINT, insn_cnt=len(data) // 8,
                         insns=caller.keep(data), license=caller.keep(terms), log_level=1,
                         log_size=4096, log_buf=place)  # fmt: skip

    assert (answer >= 0) == loads
    if not loads:
        assert answer == -EINVAL
        text = "cannot call GPL-restricted function from non-GPL compatible program"
        assert text in ctypes.string_at(place).decode()


@pytest.mark.acceptance("M29", "M47")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("r0 = r2\nexit", "R2 !read_ok"),
        ("*(u64 *)(r10 - 520) = 0\nr0 = 0\nexit", "invalid write to stack R10 off=-520 size=8"),
        ("*(u64 *)(r10 - 9) = 0\nr0 = 0\nexit", "misaligned stack access off 0+-9+0 size 8"),
        ("r1 = 0\nr0 = *(u64 *)(r1 + 0)\nexit", "R1 invalid mem access 'scalar'"),
        ("r1 = 0\nr2 = r10\nr2 += -4\ncall 1\nexit", "R1 type=scalar expected=map_ptr"),
    ],
)
def test_an_unsafe_program_is_eacces_and_the_log_says_why(
    caller: Caller, text: str, why: str
) -> None:
    answer, log = load(caller, text)

    assert answer == -EACCES
    assert log.count("\n") >= 2
    assert why in log.replace("0+0+-9", "0+-9+0")


@pytest.mark.acceptance("M30")
def test_a_log_that_does_not_fit_is_enospc_even_of_a_good_program(caller: Caller) -> None:
    answer, log = load(caller, RETURN_ONE + EXIT, room=16)

    assert answer == -ENOSPC
    assert 0 < len(log) < 16


@pytest.mark.acceptance("M31")
def test_log_level_0_is_no_log_and_goes_with_no_buffer(caller: Caller) -> None:
    assert caller.program(RETURN_ONE + EXIT) >= 0
    answer, log = load(caller, RETURN_ONE + EXIT, level=0)

    assert (answer, log) == (-EINVAL, "")


@pytest.mark.acceptance("M33")
def test_user_space_sets_a_map_that_the_program_obeys(caller: Caller) -> None:
    settings = good(caller, caller.map(ARRAY))
    text = """
        *(u32 *)(r10 - 4) = 0
        r2 = r10
        r2 += -4
        r1 = map settings
        call 1
        if r0 == 0 goto +1
        r0 = *(u64 *)(r0 + 0)
        exit"""
    program, log = load(caller, text, settings=settings)
    assert program >= 0, log
    results = []
    for value in (7, 9):
        caller.store(settings, bytes(4), struct.pack("=Q", value))
        results.append(run(caller, program))

    assert results == [7, 9]


@pytest.mark.acceptance("M38")
def test_commands_on_elements_answer_zero(caller: Caller) -> None:
    fd, place = hash_map(caller), caller.keep(b"", 8)
    answers = [caller.store(fd, KEY, VALUE)]
    answers += [
        element(caller, command, fd, KEY, value)
        for command, value in (
            (commands.MAP_LOOKUP_ELEM, place),
            (commands.MAP_GET_NEXT_KEY, place),
            (commands.MAP_DELETE_ELEM, 0),
        )
    ]

    assert answers == [0, 0, -ENOENT, 0]  # one element: its key is the last


@pytest.mark.acceptance("M14", "M39", "M50")
def test_a_caller_without_capabilities_is_eperm(caller: Caller) -> None:
    fd = hash_map(caller)
    nobody = Credentials(uid=1000, gid=1000, capabilities=frozenset())
    stranger = Caller(caller.subsystem.as_user(nobody))

    assert stranger.map(HASH) == -EPERM
    assert stranger.program(EXIT_ZERO) == -EPERM
    assert stranger.call(commands.MAP_GET_FD_BY_ID, start_id=1) == -EPERM
    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=1) > fd


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.acceptance("M41")
def test_a_descriptor_that_is_not_open_is_ebadf(caller: Caller) -> None:
    answers = {element(caller, command, 0x7FFF_0000, KEY, caller.keep(b"", 8))
               for command in (commands.MAP_LOOKUP_ELEM, commands.MAP_UPDATE_ELEM,
                               commands.MAP_GET_NEXT_KEY)}  # fmt: skip
    program = good(caller, caller.program(EXIT_ZERO))

    assert answers == {-EBADF}
    assert element(caller, commands.MAP_LOOKUP_ELEM, program, KEY, 1) == -EINVAL


@pytest.mark.acceptance("M42")
def test_pointers_outside_the_address_space_are_efault(caller: Caller) -> None:
    fd = hash_map(caller)
    caller.store(fd, KEY, VALUE)
    terms, insns, place = caller.keep(b"GPL\0"), caller.keep(RETURN_ONE + EXIT), caller.keep(KEY)
    elements = [
        caller.call(commands.MAP_LOOKUP_ELEM, map_fd=fd, key=key, value=value)
        for key, value in ((BAD_ADDRESS, place), (place, BAD_ADDRESS))
    ]
    loads = [
        caller.call(commands.PROG_LOAD, prog_type=1, insn_cnt=2, insns=insns_, license=terms,
                    log_level=1 if log else 0, log_size=4096 if log else 0, log_buf=log)
        for insns_, log in ((BAD_ADDRESS, 0), (insns, BAD_ADDRESS))
    ]  # fmt: skip

    assert elements == loads == [-EFAULT, -EFAULT]


@pytest.mark.acceptance("M43")
@pytest.mark.parametrize("command", [39, 9999, -1])
def test_an_unknown_command_is_einval(command: int) -> None:
    assert Subsystem().bpf(command, bytearray(commands.ATTR_SIZE)) == -EINVAL


@pytest.mark.acceptance("M45")
def test_members_that_a_command_does_not_use_must_be_zero(caller: Caller) -> None:
    fd = hash_map(caller)
    caller.store(fd, KEY, VALUE)
    place = caller.keep(b"", 8)

    assert element(caller, commands.MAP_DELETE_ELEM, fd, KEY, place) == -EINVAL
    assert element(caller, commands.MAP_GET_NEXT_KEY, fd, KEY, place, flags=1) == -EINVAL
    assert caller.fetch(fd, KEY) == VALUE


@pytest.mark.acceptance("M46")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (insn(0xFF) + EXIT, "unknown opcode ff"),
        (insn(0xBF, 0, 1, imm=5) + EXIT, "BPF_MOV uses reserved fields"),
        (insn(0x05, off=10) + EXIT, "jump out of range from insn 0 to 11"),
        (insn(0xB7) + insn(0x05, off=-1) + EXIT, ""),
        (insn(0x85, imm=9999) + EXIT, "invalid func unknown#9999"),
        (insn(0xB7), "last insn is not an exit or jmp"),
    ],
    ids=["opcode", "reserved", "jump", "loop", "function", "exit"],
)
def test_an_invalid_program_is_einval(caller: Caller, data: bytes, why: str) -> None:
    answer, log = load(caller, data)

    assert answer == -EINVAL
    assert why in log


@pytest.mark.acceptance("M49")
@pytest.mark.parametrize("size", [0, 1_000_001])
def test_a_program_of_no_or_too_many_instructions_is_e2big(caller: Caller, size: int) -> None:
    answer = caller.call(commands.PROG_LOAD, prog_type=1, insn_cnt=size, insns=caller.keep(EXIT),
                         license=caller.keep(b"GPL\0"))  # fmt: skip

    assert answer == -E2BIG
