"""What BTF_LOAD takes, and what it answers to the rest."""

import errno
import struct
from collections.abc import Callable

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.kinds import Member
from skep.btf.validate import validate
from skep.btf.validate_log import ENOTSUPP
from skep.errors import BtfError
from support.btf_oracle import btf_load, why_not

ask_kernel = pytest.mark.skipif(bool(why_not()), reason=why_not() or "the kernel answers")


def everything() -> Builder:
    """A BTF with every kind that BTF_LOAD takes."""
    b = Builder()
    number = b.integer("int", 4, signed=True)
    flag = b.integer("bool", 1, boolean=True)
    array = b.array(number, 3, number)
    inner = b.union("", 12, [Member("one", number, 0), Member("many", array, 0)])
    enum = b.enum("e", {"A": -1, "B": 5})
    wide = b.enum("w", {"BIG": 1 << 40}, size=8)
    members = [Member("a", number, 0, 3), Member("b", enum, 3, 5), Member("f", flag, 8)]
    struct = b.struct("s", 32, [*members, Member("", inner, 32), Member("w", wide, 128)])
    real = b.add(kinds.Float("double", 8))
    b.struct("t", 16, [Member("d", real, 64)])
    b.forward("fs")
    b.forward("fu", is_union=True)
    alias = b.typedef("alias", b.const(b.volatile(struct)))
    b.add(kinds.Restrict("", b.pointer(alias)))
    b.pointer(b.type_tag("user", struct))
    proto = b.prototype(number, [("p", alias), ("", 0)])
    function = b.function("f", proto, kinds.STATIC)
    variable = b.variable("v", struct)
    b.section(".data", 32, [(variable, 0, 32)])
    b.decl_tag("whole", struct)
    b.decl_tag("part", struct, 2)
    b.decl_tag("arg", function, 1)
    return b


def answer(data: bytes) -> tuple[int, str]:
    log: list[str] = []
    try:
        validate(data, log=log.append)
    except BtfError as error:
        return error.errno, "".join(log)
    return 0, "".join(log)


def test_a_btf_with_every_kind_is_taken() -> None:
    data = everything().to_bytes()

    btf = validate(data)

    assert {btf.kind(type_id) for type_id in btf.ids()} == set(kinds.Kind) - {kinds.Kind.VOID}


@ask_kernel
def test_the_log_of_every_kind_is_the_kernels() -> None:
    data = everything().to_bytes()

    assert answer(data) == btf_load(data)


def two_variables(builder: Builder, first: int, second: int) -> int:
    v, w = builder.variable("v", 1), builder.variable("w", 1)
    return builder.section(".data", 8, [(v, first, 4), (w, second, 4)])


def chain_in_parts(builder: Builder) -> None:
    """A chain that is too long for one walk; a structure makes its second half a walk before."""
    builder.struct("s", 4, [Member("x", 22, 0)])
    for position in range(40):
        builder.const(4 + position if position < 39 else 1)


def chain_down(builder: Builder, count: int) -> None:
    """Qualifiers that refer to later ones, so that one walk goes through all."""
    for position in range(count):
        builder.const(3 + position if position < count - 1 else 1)


def words(*values: int) -> bytes:
    return struct.pack(f"={len(values)}I", *(value & 0xFFFF_FFFF for value in values))


Change = Callable[[Builder], object]

WRONG: list[tuple[str, int, str, Change]] = [
    ("int-bits", 22, "exceeds type_size", lambda b: b.add(kinds.Int("x", 1, 16, 0, 0))),
    ("int-128", 22, "exceeds 128", lambda b: b.add(kinds.Int("x", 16, 128, 8, 0))),
    ("int-coding", ENOTSUPP, "encoding", lambda b: b.add(kinds.Int("x", 4, 32, 0, 3))),
    ("ptr-name", 22, "Invalid name", lambda b: b.add(kinds.Ptr("x", 1))),
    ("ptr-loop", errno.EEXIST, "Loop", lambda b: b.pointer(b.pointer(3))),
    ("ptr-var", 22, "type_id", lambda b: b.pointer(b.variable("v", 1))),
    ("typedef-anon", 22, "Invalid name", lambda b: b.typedef("", 1)),
    ("typedef-digit", 22, "Invalid name", lambda b: b.typedef("1x", 1)),
    ("typedef-long", 22, "Invalid name", lambda b: b.typedef("x" * 513, 1)),
    ("tag-empty", 22, "Invalid name", lambda b: b.type_tag("", 1)),
    ("fwd-anon", 22, "Invalid name", lambda b: b.forward("")),
    ("array-void", 22, "Invalid elem", lambda b: b.array(0, 1, 1)),
    ("array-fwd", 22, "Invalid elem", lambda b: b.array(b.forward("f"), 1, 1)),
    ("array-index", 22, "Invalid index", lambda b: b.array(1, 1, b.pointer(1))),
    ("array-big", 22, "U32_MAX", lambda b: b.array(b.array(1, 1 << 20, 1), 1 << 20, 1)),
    ("array-self", errno.EEXIST, "Loop", lambda b: b.array(2, 1, 1)),
    ("struct-out", 22, "exceeds", lambda b: b.struct("s", 4, [Member("x", 1, 16)])),
    ("struct-back", 22, "bits_offset",
     lambda b: b.struct("s", 8, [Member("x", 1, 32), Member("y", 1, 0)])),
    ("struct-void", 22, "Invalid type_id", lambda b: b.struct("s", 4, [Member("x", 0, 0)])),
    ("struct-self", errno.EEXIST, "Loop", lambda b: b.struct("s", 4, [Member("x", 2, 0)])),
    ("struct-ptr", 22, "byte aligned", lambda b: b.struct("s", 16, [Member("p", b.pointer(1), 4)])),
    ("bits-many", 22, "bitfield_size", lambda b: b.struct("s", 8, [Member("x", 1, 0, 33)])),
    ("bits-ptr", 22, "bitfield_size",
     lambda b: b.struct("s", 8, [Member("x", b.pointer(1), 0, 3)])),
    ("union-off", 22, "bits_offset", lambda b: b.union("u", 8, [Member("x", 1, 8)])),
    ("enum-size", 22, "Unexpected size", lambda b: b.enum("e", {"A": 1}, size=3)),
    ("enum-anon", 22, "Invalid name", lambda b: b.enum("e", {"": 1})),
    ("func-proto", 22, "Invalid type_id", lambda b: b.function("f", 1)),
    ("func-extern", 22, "linkage", lambda b: b.function("f", b.prototype(0), kinds.EXTERN)),
    ("func-arg", 22, "Invalid arg#1", lambda b: b.function("f", b.prototype(0, [("", 1)]))),
    ("proto-void", 22, "Invalid arg#1", lambda b: b.prototype(0, [("x", 0), ("y", 1)])),
    ("proto-ret", 22, "return type", lambda b: b.prototype(b.forward("f"))),
    ("var-void", 22, "Invalid type_id", lambda b: b.variable("v", 0)),
    ("var-fwd", 22, "Invalid type_id", lambda b: b.variable("v", b.forward("f"))),
    ("var-extern", 22, "Linkage", lambda b: b.variable("v", 1, kinds.EXTERN)),
    ("sec-empty", 22, "size == 0", lambda b: b.section(".data", 0, [])),
    ("sec-name", 22, "Invalid name", lambda b: b.section("a\tb", 4, [])),
    ("sec-order", 22, "Invalid offset", lambda b: two_variables(b, 0, 2)),
    ("sec-novar", 22, "Not a VAR", lambda b: b.section(".data", 4, [(1, 0, 4)])),
    ("float-size", 22, "type_size", lambda b: b.add(kinds.Float("f", 3))),
    ("float-off", 22, "aligned",
     lambda b: b.struct("s", 16, [Member("f", b.add(kinds.Float("f", 8)), 32)])),
    ("decl-part", 22, "component_idx", lambda b: b.decl_tag("t", b.struct("s", 0), 0)),
    ("decl-minus", 22, "component_idx", lambda b: b.decl_tag("t", b.struct("s", 0), -2)),
    ("decl-int", 22, "Invalid type_id", lambda b: b.decl_tag("t", 1)),
    ("chain", errno.ELOOP, "chain", chain_in_parts),
    ("deep", errno.E2BIG, "depth:32", lambda b: chain_down(b, 40)),
]  # fmt: skip


CASES = [pytest.param(code, text, change, id=name) for name, code, text, change in WRONG]


def broken(change: Change) -> bytes:
    builder = Builder()
    builder.integer("int", 4, signed=True)
    change(builder)
    return builder.to_bytes()


@pytest.mark.parametrize(("code", "text", "change"), CASES)
def test_a_wrong_type_is_refused_with_its_errno(code: int, text: str, change: Change) -> None:
    with pytest.raises(BtfError, match=text) as caught:
        validate(broken(change))
    assert caught.value.errno == code


@ask_kernel
@pytest.mark.parametrize(("code", "text", "change"), CASES)
def test_errno_and_log_of_a_wrong_type_are_the_kernels(
    code: int, text: str, change: Change
) -> None:
    data = broken(change)

    assert answer(data) == btf_load(data)
    assert (answer(data)[0], text in answer(data)[1]) == (code, True)


HEADERS = [
    (0, b"\x9e", errno.EINVAL),
    (2, b"\x02", ENOTSUPP),
    (3, b"\x01", ENOTSUPP),
    (4, words(7), errno.EINVAL),
    (4, words(1 << 30), errno.EINVAL),
    (8, words(4), errno.EINVAL),
    (12, words(0), errno.EINVAL),
    (16, words(1 << 31), errno.EINVAL),
    (20, words(0), errno.EINVAL),
]


@ask_kernel
@pytest.mark.parametrize(("at", "value", "code"), HEADERS)
def test_errno_and_log_of_a_wrong_header_are_the_kernels(at: int, value: bytes, code: int) -> None:
    good = everything().to_bytes()
    data = good[:at] + value + good[at + len(value) :]

    assert answer(data) == btf_load(data)
    assert answer(data)[0] == code


def test_data_beyond_the_known_header_is_e2big() -> None:
    good = everything().to_bytes()
    longer = good[:4] + words(28) + good[8:24]

    assert answer(longer + words(1) + good[24:])[0] == errno.E2BIG
    assert answer(longer + words(0) + good[24:])[0] == 0


def test_more_than_sixteen_megabytes_are_e2big() -> None:
    assert answer(bytes((16 << 20) + 1))[0] == errno.E2BIG


def test_a_refusal_names_type_offset_and_what_is_expected() -> None:
    builder = Builder()
    builder.integer("int", 4)
    builder.typedef("", 1)

    with pytest.raises(BtfError) as caught:
        validate(builder.to_bytes(), "BTF of x.o")
    error = caught.value
    assert (error.source, error.type_id, error.offset) == ("BTF of x.o", 2, 24 + 16)
    assert "an identifier" in error.expected
