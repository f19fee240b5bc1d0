"""Types by id and name, and how they refer to each other."""

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.graph import Btf, Field
from skep.btf.kinds import Kind, Member
from skep.errors import BtfError


@pytest.fixture
def builder() -> Builder:
    return Builder()


def test_void_is_type_zero_of_every_btf(builder: Builder) -> None:
    builder.integer("int", 4, signed=True)
    btf = builder.build()

    assert btf.type(0) == kinds.VOID
    assert len(btf) == 2


def test_a_type_is_found_by_name_and_kind(builder: Builder) -> None:
    number = builder.integer("foo", 4)
    struct = builder.struct("foo", 0)
    btf = builder.build()

    assert number == btf.by_name("foo")
    assert struct == btf.by_name("foo", Kind.STRUCT, Kind.UNION)
    assert [number, struct] == btf.all_by_name("foo")
    assert btf.by_name("fo") is None
    assert btf.by_name("foo", Kind.ENUM) is None
    assert btf.by_name("") is None


def test_a_name_that_is_the_tail_of_another_string_is_found() -> None:
    # Linkers may store "bar" only once, as the end of "foobar".
    strings = b"\0foobar\0"
    type_ = (4).to_bytes(4, "little") + (16 << 24).to_bytes(4, "little") + b"\4\0\0\0"
    header = bytes.fromhex("9feb0100") + b"".join(
        n.to_bytes(4, "little") for n in (24, 0, 12, 12, len(strings))
    )
    btf = Btf.parse(header + type_ + strings)

    assert btf.by_name("bar", Kind.FLOAT) == 1


def test_resolve_strips_typedefs_and_strip_modifiers_does_not(builder: Builder) -> None:
    number = builder.integer("int", 4)
    alias = builder.typedef("alias", number)
    constant = builder.const(builder.volatile(builder.type_tag("user", alias)))
    btf = builder.build()

    assert number == btf.resolve(constant)
    assert alias == btf.strip_modifiers(constant)


def test_a_cycle_of_typedefs_is_an_error_and_not_a_hang(builder: Builder) -> None:
    first = builder.typedef("a", 2)
    builder.typedef("b", first)
    btf = builder.build()

    with pytest.raises(BtfError, match="cycle"):
        btf.resolve(first)
    with pytest.raises(BtfError, match="cycle"):
        btf.size_of(first)


def test_an_array_of_itself_is_an_error_and_not_a_hang(builder: Builder) -> None:
    builder.array(1, 1, 1)

    with pytest.raises(BtfError, match="cycle"):
        builder.build().size_of(1)


def test_a_structure_that_holds_itself_is_an_error_and_not_a_hang(builder: Builder) -> None:
    builder.struct("", 8, [Member("", 1, 0)])
    btf = builder.build()

    with pytest.raises(BtfError, match="cycle"):
        btf.align_of(1)
    assert btf.find_member(1, "x") is None


def test_size_of_arrays_pointers_and_variables(builder: Builder) -> None:
    number = builder.integer("u16", 2)
    row = builder.array(number, 3, number)
    table = builder.array(row, 5, number)
    pointer = builder.pointer(table)
    variable = builder.variable("v", table)
    btf = builder.build()

    assert 30 == btf.size_of(table) == btf.size_of(variable)
    assert btf.size_of(pointer) == 8
    assert (number, 15) == btf.array_elems(table)
    assert btf.align_of(table) == 2


@pytest.mark.parametrize("type_id", [0, 1, 2])
def test_what_has_no_size_says_so(builder: Builder, type_id: int) -> None:
    builder.forward("f")
    builder.prototype(0)

    with pytest.raises(BtfError, match="a type that has a size"):
        builder.build().size_of(type_id)


def test_a_size_beyond_four_gigabytes_is_an_error(builder: Builder) -> None:
    number = builder.integer("u64", 8)
    huge = builder.array(builder.array(number, 0xFFFF_FFFF, number), 0xFFFF_FFFF, number)

    with pytest.raises(BtfError, match="4 GiB"):
        builder.build().size_of(huge)


def nested(builder: Builder) -> tuple[int, int, int]:
    number = builder.integer("int", 4, signed=True)
    numbers = builder.array(number, 7, number)
    inner = builder.union("", 28, [Member("one", number, 0), Member("many", numbers, 0)])
    bits = builder.struct("bits", 4, [Member("low", number, 0, 3), Member("high", number, 3, 5)])
    outer = builder.struct(
        "outer", 64, [Member("x", number, 0), Member("", inner, 32), Member("b", bits, 256)]
    )
    return number, numbers, outer


def test_a_member_of_an_anonymous_union_is_a_member_of_its_parent(builder: Builder) -> None:
    number, numbers, outer = nested(builder)
    btf = builder.build()

    assert Field(numbers, 32) == btf.find_member(outer, "many")
    assert Field(number, 64 + 96) == btf.member_path(outer, "many[4]")
    assert Field(number, 259, 5) == btf.member_path(outer, "b.high")
    assert btf.member_path(outer, "b.high").offset == 32
    assert btf.find_member(outer, "low") is None


@pytest.mark.parametrize("path", ["y", "x.y", "many[z]", "x[0]", "b[", "many[1"])
def test_a_path_that_leads_nowhere_names_the_step(builder: Builder, path: str) -> None:
    _, _, outer = nested(builder)

    with pytest.raises(BtfError, match="on the path"):
        builder.build().member_path(outer, path)


def test_a_prototype_is_found_behind_functions_and_pointers(builder: Builder) -> None:
    number = builder.integer("int", 4)
    proto = builder.prototype(number, [("x", number), ("", 0)])
    function = builder.function("f", proto)
    pointer = builder.pointer(proto)
    btf = builder.build()

    assert btf.type(proto) is btf.func_proto(function)
    assert btf.type(proto) is btf.func_proto(pointer)
    assert btf.func_proto(proto).variadic
    with pytest.raises(BtfError, match="a function"):
        btf.func_proto(number)


def test_tags_of_declarations_and_of_what_a_pointer_points_to(builder: Builder) -> None:
    number = builder.integer("int", 4)
    struct = builder.struct("s", 4, [Member("m", number, 0)])
    builder.decl_tag("whole", struct)
    builder.decl_tag("part", struct, 0)
    builder.decl_tag("part too", struct, 0)
    pointer = builder.pointer(builder.type_tag("user", builder.type_tag("rcu", struct)))
    btf = builder.build()

    assert btf.decl_tags(struct) == ["whole"]
    assert btf.decl_tags(struct, 0) == ["part", "part too"]
    assert btf.decl_tags(number) == []
    assert btf.type_tags(pointer) == ["user", "rcu"]


def test_enumeration_values_are_signed_as_the_type_says(builder: Builder) -> None:
    narrow = builder.enum("e", {"MINUS": -1, "ONE": 1})
    wide = builder.enum("w", {"BIG": 1 << 40, "TOP": (1 << 64) - 1}, size=8)
    btf = builder.build()

    assert btf.enum_values(narrow) == {"MINUS": -1, "ONE": 1}
    assert btf.enum_values(wide) == {"BIG": 1 << 40, "TOP": (1 << 64) - 1}


def test_a_split_btf_continues_ids_strings_and_tags_of_its_base(builder: Builder) -> None:
    number = builder.integer("int", 4)
    builder.decl_tag("base", number)
    base = builder.build()
    upper = Builder(base)
    pointer = upper.pointer(number)
    alias = upper.typedef("int", number)
    upper.decl_tag("upper", number)
    split = upper.build()

    assert 3 == pointer == split.first_id
    assert number == split.by_name("int")
    assert [number, alias] == split.all_by_name("int")
    assert split.size_of(alias) == 4
    assert split.decl_tags(number) == ["base", "upper"]
    assert base.decl_tags(number) == ["base"]
    assert split.base is base
    assert not base.has(alias)


def test_a_module_name_stored_only_in_the_base_strings_is_found(builder: Builder) -> None:
    off = builder.string("shared")
    builder.integer("int", 4)
    base = builder.build()
    data = bytearray(Builder(base).to_bytes())
    data[24:24] = off.to_bytes(4, "little") + (16 << 24).to_bytes(4, "little") + b"\4\0\0\0"
    data[12:20] = (12).to_bytes(4, "little") * 2

    assert Btf.parse(bytes(data), base).by_name("shared") == 2


def test_a_reference_beyond_the_last_type_names_type_and_offset(builder: Builder) -> None:
    builder.integer("int", 4)
    builder.pointer(99)
    btf = builder.build()

    with pytest.raises(BtfError, match="type id 99 in type 2") as caught:
        btf.check()
    assert caught.value.type_id == 2
    assert caught.value.offset == 24 + 16 + 8


def test_an_unknown_id_is_an_error(builder: Builder) -> None:
    btf = builder.build()

    for type_id in (1, -1, 1 << 40):
        with pytest.raises(BtfError, match="no such type"):
            btf.type(type_id)
