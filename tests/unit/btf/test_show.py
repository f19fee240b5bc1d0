"""Values as bpf_snprintf_btf prints them; the expected texts are the kernel's."""

import struct

import pytest

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import Member
from skep.btf.show import COMPACT, NONAME, PTR_RAW, ZERO, show


@pytest.fixture
def b() -> Builder:
    return Builder()


@pytest.fixture
def sched_info(b: Builder) -> tuple[Btf, int, bytes]:
    long = b.integer("long unsigned int", 8)
    long_long = b.integer("long long unsigned int", 8)
    names = ["pcount", "run_delay", "max_run_delay", "last_queued"]
    types = [long, long_long, long_long, long_long]
    members = [Member(n, t, 64 * i) for i, (n, t) in enumerate(zip(names, types, strict=True))]
    root = b.struct("sched_info", 32, members)
    return b.build(), root, struct.pack("=4Q", 112, 9617899, 3934322, 0)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (
            0,
            (
                "(struct sched_info){\n .pcount = (long unsigned int)112,\n"
                " .run_delay = (long long unsigned int)9617899,\n"
                " .max_run_delay = (long long unsigned int)3934322,\n}\n"
            ),
        ),
        (
            COMPACT,
            (
                "(struct sched_info){.pcount = (long unsigned int)112,"
                ".run_delay = (long long unsigned int)9617899,"
                ".max_run_delay = (long long unsigned int)3934322,}"
            ),
        ),
        (NONAME, "{\n 112,\n 9617899,\n 3934322,\n}\n"),
        (COMPACT | NONAME | PTR_RAW | ZERO, "{112,9617899,3934322,0,}"),
    ],
)
def test_flags_choose_names_lines_and_zeros(
    sched_info: tuple[Btf, int, bytes], flags: int, text: str
) -> None:
    btf, root, data = sched_info

    assert show(btf, root, data, flags) == text


def test_pointers_are_sixteen_digits_hashed_unless_raw(b: Builder) -> None:
    head = b.struct("list_head", 16)
    pointer = b.pointer(head)
    btf = b.build()
    data = (0xFFFF_8881_0026_B220).to_bytes(8, "little")

    raw = show(btf, pointer, data, COMPACT | PTR_RAW, lambda _: 5)
    hashed = show(btf, pointer, data, COMPACT, lambda _: 0x84AB_1D43)

    assert raw == "(struct list_head *)0xffff88810026b220"
    assert hashed == "(struct list_head *)0x0000000084ab1d43"


def test_a_pointer_to_void_has_a_nameless_type(b: Builder) -> None:
    pointer = b.pointer(0)

    assert show(b.build(), pointer, bytes(8), COMPACT) == "( *)0x0000000000000000"


def test_a_typedef_lends_its_name_and_takes_the_keyword_away(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    pid = b.typedef("pid_t", b.typedef("__kernel_pid_t", number))
    root = b.typedef("s_t", b.struct("s", 4, [Member("pid", pid, 0)]))
    btf = b.build()

    assert show(btf, root, struct.pack("=i", -2), COMPACT) == "(s_t){.pid = (pid_t)-2,}"


def test_nested_structures_that_are_zero_are_left_out(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    inner = b.struct("in", 4, [Member("x", number, 0)])
    root = b.struct("out", 12, [Member(n, inner, 32 * i) for i, n in enumerate("abc")])
    btf = b.build()
    data = struct.pack("=iii", 0, 7, 0)

    assert show(btf, root, data, COMPACT) == "(struct out){.b = (struct in){.x = (int)7,},}"
    assert show(btf, root, data, COMPACT | ZERO).count("(struct in)") == 3


def test_characters_end_at_nul_and_other_arrays_do_not(b: Builder) -> None:
    char = b.integer("char", 1, signed=True)
    short = b.integer("short int", 2, signed=True)
    text, numbers = b.array(char, 6, char), b.array(short, 3, char)
    btf = b.build()

    assert show(btf, text, b"ab\0cd\0", COMPACT) == "(char[])['a','b',]"
    assert show(btf, numbers, struct.pack("=3h", 1, 0, 3), COMPACT) == "(short int[])[1,3,]"


def test_enumerators_print_by_name_even_if_zero(b: Builder) -> None:
    enum = b.enum("e", {"NONE": 0, "ONE": 1})
    root = b.struct("s", 8, [Member("a", enum, 0), Member("b", enum, 32)])

    text = show(b.build(), root, struct.pack("=II", 0, 9), COMPACT)

    assert text == "(struct s){.a = (enum e)NONE,.b = (enum e)9,}"


def test_bit_fields_print_as_hexadecimal(b: Builder) -> None:
    number = b.integer("unsigned int", 4)
    root = b.struct("s", 4, [Member("a", number, 0, 3), Member("b", number, 3, 9)])

    text = show(b.build(), root, struct.pack("=I", 5 | 300 << 3), COMPACT)

    assert text == "(struct s){.a = (unsigned int)0x5,.b = (unsigned int)0x12c,}"


def test_short_data_is_refused(b: Builder) -> None:
    number = b.integer("int", 4)

    with pytest.raises(ValueError, match="2 bytes for a type of 4"):
        show(b.build(), number, b"ab")
