"""The common attributes of 7.2; answers were measured on Linux 7.2.12, but for those it lacks."""

import ctypes
import struct
from errno import E2BIG, EACCES, EBADF, EFAULT, EINVAL, ENOENT, ENOSPC

import pytest

from skep.uapi import commands
from skep.uapi.commands import COMMON_ATTRS, Command, CommonAttr
from support.caller import EXIT, RETURN_ONE, Caller

UNTOUCHED = b"#" * 256
REJECTED = 143  # what the log of a program that is nothing but ``exit`` takes
ACCEPTED = 98
BAD_NAME = b"Invalid map_name.\n\0"


class CommonCaller(Caller):
    """Calls with common attributes; ``true_size`` is what they hold then, -1 for as before."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = ctypes.create_string_buffer(UNTOUCHED, len(UNTOUCHED))
        self.address = ctypes.addressof(self.buffer)
        self.common: bytearray | None = None
        self.ask()

    def ask(self, level: int = 1, size: int = 256, address: int | None = None) -> None:
        """Ask for a log; in ``buffer`` if nothing else is said."""
        where = self.address if address is None else address
        self.common = bytearray(struct.pack("<QIIiI", where, size, level, -1, 0))

    def call(self, command: Command, **members: int | bytes) -> int:
        attr = bytearray(command.layout(**members).encode().ljust(commands.ATTR_SIZE, b"\0"))
        result = self.subsystem.bpf(command.number | COMMON_ATTRS, attr, None, self.common)
        self.attr = command.layout.decode(bytes(attr))
        return result

    @property
    def true_size(self) -> int:
        assert self.common is not None
        found: int = struct.unpack_from("<i", self.common, 16)[0]
        return found

    def told(self, member: str) -> int:
        """What the last call left in *member* of its attr."""
        found: int = getattr(self.attr, member)
        return found

    @property
    def text(self) -> bytes:
        return self.buffer.raw.rstrip(b"#")

    def own(self, size: int = 256, level: int = 1, address: int | None = None) -> dict[str, int]:
        """The attr's own log members of PROG_LOAD."""
        where = self.address if address is None else address
        return {"log_buf": where, "log_size": size, "log_level": level, "log_true_size": 7}


@pytest.fixture
def caller() -> CommonCaller:
    return CommonCaller()


# --- how the attributes come


def test_the_probe_answers_efault(caller: CommonCaller) -> None:
    number = commands.PROG_LOAD.number | COMMON_ATTRS

    assert caller.subsystem.bpf(number, bytearray(148), 148, None, 24) == -EFAULT
    assert caller.subsystem.bpf(number, bytearray(148), 148, 0, 24) == -EFAULT
    assert caller.subsystem.bpf(number, bytearray(148)) == -EFAULT


def test_no_bytes_of_them_are_none(caller: CommonCaller) -> None:
    number = commands.MAP_CREATE.number | COMMON_ATTRS
    attr = bytearray(struct.pack("<IIII", 2, 4, 8, 1))

    assert caller.subsystem.bpf(number, attr, None, bytearray()) > 0

    assert caller.subsystem.bpf(number, attr, None, None, 0) > 0


@pytest.mark.acceptance("L7")
def test_they_may_be_at_an_address(caller: CommonCaller) -> None:
    common = caller.keep(CommonAttr(log_buf=caller.address, log_size=256, log_level=1).encode(), 24)
    number = commands.MAP_FREEZE.number | COMMON_ATTRS

    assert caller.subsystem.bpf(number, bytearray(4), None, common, 24) == -EINVAL
    assert caller.text == b"map_fd = 0: fd 0 is a file, not a BPF object\n\0"
    assert ctypes.string_at(common + 16, 4) == len(caller.text).to_bytes(4, "little")


@pytest.mark.acceptance("L7")
@pytest.mark.parametrize(("size", "at"), [(24, 20), (24, 23), (32, 31)])
def test_what_is_beyond_the_known_must_be_zero(caller: CommonCaller, size: int, at: int) -> None:
    assert caller.common is not None
    caller.common.extend(bytes(size - 24))
    caller.common[at] = 1

    assert caller.map(2, key=5) == -E2BIG
    assert (caller.text, caller.true_size) == (b"", -1)
    caller.common[at] = 0
    assert caller.map(2, key=5) == -EINVAL
    assert caller.text


def test_more_than_a_page_is_too_much(caller: CommonCaller) -> None:
    caller.common = bytearray(4097)

    assert caller.map(2) == -E2BIG


@pytest.mark.acceptance("L7")
def test_the_attr_is_looked_at_first(caller: CommonCaller) -> None:
    attr = bytearray(200)
    attr[190] = 1

    assert caller.subsystem.bpf(14 | COMMON_ATTRS, attr, None, None, 24) == -E2BIG
    attr[190] = 0
    assert caller.subsystem.bpf(14 | COMMON_ATTRS, attr, None, None, 24) == -EFAULT


@pytest.mark.acceptance("L7")
def test_a_true_size_that_does_not_fit_is_not_told(caller: CommonCaller) -> None:
    assert caller.common is not None
    del caller.common[16:]

    assert caller.program(EXIT) == -EACCES
    assert len(caller.text) == REJECTED
    assert len(caller.common) == 16


def test_without_the_flag_they_are_not_read(caller: CommonCaller) -> None:
    attr = bytearray(struct.pack("<IIII", 2, 5, 8, 1))

    assert caller.subsystem.bpf(0, attr, None, caller.common) == -EINVAL
    assert caller.subsystem.bpf(0, attr, None, 8, 24) == -EINVAL
    assert (caller.text, caller.true_size) == (b"", -1)


def test_other_flags_are_einval(caller: CommonCaller) -> None:
    attr = bytearray(struct.pack("<IIII", 2, 4, 8, 1))

    assert caller.subsystem.bpf(1 << 17, attr, None, caller.common) == -EINVAL
    assert caller.subsystem.bpf(COMMON_ATTRS | 1 << 17, attr, None, caller.common) == -EINVAL
    assert (caller.text, caller.true_size) == (b"", -1)


# --- which log is meant


@pytest.mark.parametrize(
    ("level", "size", "address"),
    [(0, 256, None), (32, 256, None), (1, 0, None), (1, 0x4000_0000, None), (1, 5, 0)],
)
def test_a_request_that_contradicts_itself_is_einval(
    caller: CommonCaller, level: int, size: int, address: int | None
) -> None:
    caller.ask(level, size, address)

    assert caller.program(RETURN_ONE + EXIT) == -EINVAL
    assert caller.call(commands.BTF_LOAD) == -EINVAL
    assert caller.map(2) == -EINVAL
    assert (caller.text, caller.true_size) == (b"", -1)


def test_commands_without_logs_do_not_mind_it(caller: CommonCaller) -> None:
    caller.ask(level=32)

    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=999) == -ENOENT
    assert (caller.text, caller.true_size) == (b"", -1)


def test_a_contradiction_comes_before_other_refusals(caller: CommonCaller) -> None:
    caller.ask(level=32)

    assert caller.program(b"") == -EINVAL
    caller.ask()
    assert caller.program(b"") == -E2BIG


@pytest.mark.parametrize("own", [{"size": 255}, {"level": 2}, {"address": 64}])
def test_two_different_logs_are_einval_and_stay_untouched(
    caller: CommonCaller, own: dict[str, int]
) -> None:
    assert caller.program(EXIT, **caller.own(**own)) == -EINVAL
    assert (caller.text, caller.true_size, caller.told("log_true_size")) == (b"", -1, 7)


def test_two_equal_logs_are_one_and_the_attr_gets_the_size(caller: CommonCaller) -> None:
    assert caller.program(EXIT, **caller.own()) == -EACCES
    assert len(caller.text) == REJECTED
    assert (caller.true_size, caller.told("log_true_size")) == (-1, REJECTED)


def test_the_common_log_gets_its_size_itself(caller: CommonCaller) -> None:
    assert caller.program(EXIT, log_level=2, log_true_size=7) == -EACCES
    assert len(caller.text) == REJECTED
    assert (caller.true_size, caller.told("log_true_size")) == (REJECTED, 7)


def test_a_level_without_a_buffer_leaves_the_attrs_own_in_force(caller: CommonCaller) -> None:
    caller.ask(size=0, address=0)

    assert caller.program(EXIT, log_true_size=7) == -EACCES
    assert (caller.true_size, caller.told("log_true_size")) == (-1, 0)
    assert caller.program(EXIT, log_level=1) == -EACCES
    assert (caller.true_size, caller.told("log_true_size")) == (-1, REJECTED)


def test_btf_is_logged_where_the_common_attributes_want_it(caller: CommonCaller) -> None:
    data = caller.keep(bytes(24))

    assert caller.call(commands.BTF_LOAD, btf=data, btf_size=24, btf_log_true_size=7) == -EINVAL
    assert b"magic" in caller.text
    assert (caller.true_size, caller.told("btf_log_true_size")) == (len(caller.text), 7)


# --- what stands in it


def test_a_good_program_is_logged_too(caller: CommonCaller) -> None:
    assert caller.program(RETURN_ONE + EXIT) > 0
    assert len(caller.text) == caller.true_size == ACCEPTED


@pytest.mark.parametrize(("level", "text"), [(1, b"read 0\n\0"), (9, b"0: R1=c\0")])
def test_a_program_whose_log_was_cut_is_enospc(
    caller: CommonCaller, level: int, text: bytes
) -> None:
    caller.ask(level, size=8)

    assert caller.program(EXIT) == -ENOSPC
    assert (caller.text, caller.true_size) == (text, REJECTED)
    assert caller.program(RETURN_ONE + EXIT) == -ENOSPC


def test_a_buffer_that_cannot_be_written_is_efault_and_its_size_told(caller: CommonCaller) -> None:
    caller.ask(size=64, address=8)

    assert caller.program(EXIT) == -EFAULT
    assert caller.true_size == REJECTED
    caller.ask(size=64, address=8)
    assert caller.call(commands.MAP_CREATE, map_type=2, key_size=4, value_size=8, max_entries=1,
                       map_name=b"a b") == -EFAULT  # fmt: skip
    assert caller.true_size == len(BAD_NAME)


ARRAY = {"map_type": 2, "key_size": 4, "value_size": 8, "max_entries": 1}
KERNEL_TYPE = b"btf_vmlinux_value_type_id "


@pytest.mark.parametrize(
    ("members", "errno", "text"),
    [
        ({"btf_vmlinux_value_type_id": 1}, EINVAL,
         KERNEL_TYPE + b"can only be used with struct_ops maps."),
        ({"map_type": 26, "btf_vmlinux_value_type_id": 1, "btf_key_type_id": 1}, EINVAL,
         KERNEL_TYPE + b"is mutually exclusive with btf_key_type_id and btf_value_type_id."),
        ({"btf_key_type_id": 1}, EINVAL, b"Invalid btf_value_type_id."),
        ({"map_extra": 1, "map_flags": 4, "numa_node": 4096}, EINVAL, b"Invalid map_extra."),
        ({"map_flags": 4, "numa_node": 4096, "map_type": 77}, EINVAL, b"Invalid numa_node."),
        ({"map_type": 77}, EINVAL, b"Invalid map_type."),
        ({"map_flags": 1 << 16, "map_token_fd": 999}, EBADF, b"Invalid map_token_fd."),
        ({"map_flags": 1 << 16}, EINVAL, b"Invalid map_token_fd."),
        ({"map_name": b"a b", "btf_fd": 999, "btf_value_type_id": 1}, EINVAL, b"Invalid map_name."),
        ({"map_name": b"a" * 16}, EINVAL, b"Invalid map_name."),
        ({"btf_fd": 999, "btf_key_type_id": 1, "btf_value_type_id": 1}, EBADF, b"Invalid btf_fd."),
        ({"excl_prog_hash_size": 32}, EINVAL, b"Invalid excl_prog_hash_size."),
        ({"excl_prog_hash": 64, "excl_prog_hash_size": 5}, EINVAL, b"Invalid excl_prog_hash_size."),
    ],
)  # fmt: skip
def test_map_create_says_what_linux_says(
    caller: CommonCaller, members: dict[str, int | bytes], errno: int, text: bytes
) -> None:
    assert caller.call(commands.MAP_CREATE, **(ARRAY | members)) == -errno
    assert caller.text == text + b"\n\0"
    assert caller.true_size == len(caller.text)


def test_map_create_says_that_unused_bytes_are_set(caller: CommonCaller) -> None:
    attr = bytearray(commands.MapCreate(map_type=2).encode().ljust(168, b"\0"))
    attr[120] = 1

    assert caller.subsystem.bpf(COMMON_ATTRS, attr, None, caller.common) == -EINVAL
    assert caller.text == b"Invalid attr.\n\0"


@pytest.mark.parametrize(("level", "text"), [(1, b"_name.\n\0"), (9, b"Invalid\0")])
def test_map_create_is_enospc_if_what_linux_says_was_cut(
    caller: CommonCaller, level: int, text: bytes
) -> None:
    caller.ask(level, size=8)

    assert caller.call(commands.MAP_CREATE, **ARRAY, map_name=b"a b") == -ENOSPC
    assert (caller.text, caller.true_size) == (text, len(BAD_NAME))


def test_the_size_of_map_creates_log_can_be_asked_without_a_buffer(caller: CommonCaller) -> None:
    caller.ask(size=0, address=0)

    assert caller.call(commands.MAP_CREATE, **ARRAY, map_name=b"a b") == -EINVAL
    assert caller.true_size == len(BAD_NAME)


def test_a_map_that_was_made_leaves_the_buffer_alone(caller: CommonCaller) -> None:
    caller.ask(level=2, size=1)

    assert caller.map(2) > 0
    assert (caller.text, caller.true_size) == (b"", 0)


# --- where Linux says nothing


def test_every_command_says_why_it_refuses(caller: CommonCaller) -> None:
    fd = caller.map(2)

    assert caller.call(commands.MAP_LOOKUP_ELEM, map_fd=fd, flags=8) == -EINVAL
    assert caller.text == b"flags = 8: 0 or F_LOCK\n\0"
    assert caller.true_size == len(caller.text)


@pytest.mark.parametrize(
    ("command", "members", "errno", "text"),
    [
        (
            commands.MAP_CREATE,
            {"map_type": 2, "key_size": 5, "max_entries": 1},
            EINVAL,
            b"key_size = 5: keys have 4 bytes",
        ),
        (commands.PROG_LOAD, {"prog_flags": 1 << 30}, EINVAL, b"prog_flags = 1073741824: "),
        (commands.BTF_LOAD, {"btf_flags": 1}, EINVAL, b"btf_flags = 1: "),
        (commands.MAP_GET_FD_BY_ID, {"start_id": 999}, ENOENT, b"no map has id 999"),
        (commands.MAP_CREATE, {"map_type": 33}, EINVAL, b"at least 1"),
        (commands.OBJ_GET, {"pathname": 8}, EFAULT, b"at 0x8 are not accessible"),
    ],
)
def test_refusals_of_which_linux_says_nothing_are_one_line(
    caller: CommonCaller, command: Command, members: dict[str, int], errno: int, text: bytes
) -> None:
    assert caller.call(command, **members) == -errno
    assert text in caller.text
    assert caller.text.count(b"\n") == 1
    assert caller.true_size == len(caller.text)


def test_a_line_that_does_not_fit_leaves_the_answer_as_it_is(caller: CommonCaller) -> None:
    caller.ask(size=8)
    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=999) == -ENOENT
    assert caller.text == b"id 999\n\0"
    assert caller.true_size == len("start_id = 999: no map has id 999\n") + 1

    caller.ask(size=64, address=8)
    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=999) == -ENOENT


def test_a_command_that_succeeds_says_nothing(caller: CommonCaller) -> None:
    fd = caller.map(2)
    caller.ask()

    assert caller.call(commands.MAP_FREEZE, map_fd=fd) == 0
    assert (caller.text, caller.true_size) == (b"", -1)


def test_level_zero_says_nothing(caller: CommonCaller) -> None:
    caller.ask(level=0, size=0, address=0)

    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=999) == -ENOENT
    assert (caller.text, caller.true_size) == (b"", -1)
