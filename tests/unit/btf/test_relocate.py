"""CO-RE relocations, each against a kernel built for it."""

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.core_patch import POISON, Slot
from skep.btf.core_spec import RelocationKind as R
from skep.btf.core_types import essential_name
from skep.btf.ext import CoreRecord
from skep.btf.graph import Btf
from skep.btf.kinds import Enumerator, Fwd, Member
from skep.btf.relocate import Relocator
from skep.errors import RelocationError

LOAD32, LOAD64, MOV = 0x61, 0x79, 0xB7


def load(off: int, code: int = LOAD32) -> tuple[Slot, ...]:
    return ((code, 1, 2, off, 0),)


def mov(imm: int) -> tuple[Slot, ...]:
    return ((MOV, 1, 0, 0, imm),)


def wide(low: int, high: int = 0) -> tuple[Slot, ...]:
    return ((0x18, 1, 0, 0, low), (0, 0, 0, 0, high))


def record(type_id: int, access: str, kind: int) -> CoreRecord:
    return CoreRecord(0, type_id, access, kind)


class Sides:
    """A program's types and a kernel's, with a structure s in both."""

    def __init__(self) -> None:
        self.local, self.target = Builder(), Builder()
        self.mine = self.local.integer("int", 4, signed=True)
        self.its = self.target.integer("int", 4, signed=True)

    def relocator(self) -> Relocator:
        return Relocator(self.local.build("prog"), self.target.build("kernel"))


@pytest.fixture
def sides() -> Sides:
    return Sides()


@pytest.fixture
def moved(sides: Sides) -> tuple[Relocator, int]:
    """s.x at 0 here and at 12, in an anonymous union, there."""
    root = sides.local.struct("s", 8, [Member("x", sides.mine, 0), Member("y", sides.mine, 32)])
    union = sides.target.union("", 4, [Member("z", sides.its, 0), Member("x", sides.its, 0)])
    sides.target.struct("s", 64, [Member("a", sides.its, 0), Member("", union, 96)])
    return sides.relocator(), root


@pytest.mark.parametrize(
    ("name", "essential"),
    [
        ("task", "task"),
        ("task___old", "task"),
        ("task___v1___v2", "task___v1"),
        ("task____old", "task____old"),
        ("___old", "___old"),
        ("task___", "task___"),
        ("a___b", "a"),
    ],
)
def test_a_flavour_is_what_follows_the_last_three_underscores(name: str, essential: str) -> None:
    assert essential_name(name) == essential


def test_a_load_gets_the_offset_of_the_kernel(moved: tuple[Relocator, int]) -> None:
    relocator, root = moved

    patched = relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0))

    assert patched == load(12)


def test_a_missing_field_poisons_the_instruction(moved: tuple[Relocator, int]) -> None:
    relocator, root = moved
    wanted = record(root, "0:1", R.FIELD_BYTE_OFFSET)

    assert relocator.relocate(wanted, load(4)) == (POISON,)
    assert relocator.relocate(wanted, mov(4)) == (POISON,)
    assert relocator.relocate(wanted, wide(4)) == (POISON, POISON)
    tried = relocator.resolve(wanted).tried
    assert tried == ("[3] struct s in kernel: no member y",)


def test_existence_of_fields_is_one_or_zero(moved: tuple[Relocator, int]) -> None:
    relocator, root = moved

    assert relocator.relocate(record(root, "0:0", R.FIELD_EXISTS), mov(1)) == mov(1)
    assert relocator.relocate(record(root, "0:1", R.FIELD_EXISTS), mov(1)) == mov(0)


def test_an_instruction_with_another_value_is_refused(moved: tuple[Relocator, int]) -> None:
    relocator, root = moved

    with pytest.raises(RelocationError, match="holds 4, not 0") as caught:
        relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(4))
    assert caught.value.local == "<byte_off> [2] struct s.x (0:0 @ offset 0)"


@pytest.mark.parametrize("slot", [(0x85, 0, 0, 0, 1), (0x0F, 1, 2, 0, 0), (0x05, 0, 0, 0, 0)])
def test_an_instruction_that_holds_no_value_is_refused(
    moved: tuple[Relocator, int], slot: Slot
) -> None:
    relocator, root = moved

    with pytest.raises(RelocationError, match="can hold no relocated value"):
        relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), (slot,))


def test_flavours_of_either_side_are_candidates(sides: Sides) -> None:
    root = sides.local.struct("s___mine", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s___its", 8, [Member("x", sides.its, 32)])
    sides.target.struct("s_other", 8, [Member("x", sides.its, 0)])

    patched = sides.relocator().relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0))

    assert patched == load(4)


def test_candidates_that_disagree_are_all_listed(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 8, [Member("x", sides.its, 0)])
    sides.target.struct("s", 8, [Member("x", sides.its, 32)])
    sides.target.struct("s", 8, [Member("y", sides.its, 32)])

    with pytest.raises(RelocationError, match="do not agree") as caught:
        sides.relocator().relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0))
    assert caught.value.candidates == (
        "<byte_off> [2] struct s.x (0:0 @ offset 0) in kernel: 0",
        "<byte_off> [3] struct s.x (0:0 @ offset 4) in kernel: 4",
        "[4] struct s in kernel: no member x",
    )


def test_what_matched_once_decides_for_later_relocations_of_the_type(sides: Sides) -> None:
    members = [Member("x", sides.mine, 0), Member("y", sides.mine, 32)]
    root = sides.local.struct("s", 8, members)
    both = [Member("x", sides.its, 0), Member("y", sides.its, 32)]
    sides.target.struct("s", 8, both)
    sides.target.struct("s", 12, [Member("x", sides.its, 32)])
    relocator = sides.relocator()

    relocator.relocate(record(root, "0:1", R.FIELD_BYTE_OFFSET), load(4))

    assert relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0)) == load(0)


def test_array_elements_must_lie_inside_the_kernels_array(sides: Sides) -> None:
    mine = sides.local.array(sides.mine, 9, sides.mine)
    its = sides.target.array(sides.its, 4, sides.its)
    root = sides.local.struct("s", 36, [Member("a", mine, 0)])
    sides.target.struct("s", 32, [Member("pad", sides.its, 0), Member("a", its, 128)])
    relocator = sides.relocator()

    inside = relocator.relocate(record(root, "0:0:3", R.FIELD_BYTE_OFFSET), load(12))
    outside = relocator.relocate(record(root, "0:0:4", R.FIELD_BYTE_OFFSET), load(16))

    assert inside == load(16 + 12)
    assert outside == (POISON,)


def test_a_flexible_array_has_every_element(sides: Sides) -> None:
    mine = sides.local.array(sides.mine, 0, sides.mine)
    its = sides.target.array(sides.its, 0, sides.its)
    root = sides.local.struct("s", 0, [Member("a", mine, 0)])
    sides.target.struct("s", 4, [Member("pad", sides.its, 0), Member("a", its, 32)])

    patched = sides.relocator().relocate(record(root, "0:0:5", R.FIELD_BYTE_OFFSET), load(20))

    assert patched == load(24)


def test_an_array_of_the_root_counts_whole_structures_of_the_kernel(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 24, [Member("x", sides.its, 64)])

    patched = sides.relocator().relocate(record(root, "2:0", R.FIELD_BYTE_OFFSET), load(8))

    assert patched == load(2 * 24 + 8)


def test_a_load_of_an_unsigned_integer_follows_its_size(sides: Sides) -> None:
    mine = sides.local.integer("u32", 4)
    its = sides.target.integer("u64", 8)
    root = sides.local.struct("s", 4, [Member("x", mine, 0)])
    sides.target.struct("s", 16, [Member("x", its, 64)])

    patched = sides.relocator().relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0))

    assert patched == load(8, LOAD64)


def test_a_load_of_a_signed_integer_of_another_size_is_poisoned(sides: Sides) -> None:
    its = sides.target.integer("s64", 8, signed=True)
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 8, [Member("x", its, 0)])
    relocator = sides.relocator()

    assert relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0)) == (POISON,)
    assert relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), mov(0)) == mov(0)


def test_a_resized_load_must_have_had_the_old_size(sides: Sides) -> None:
    mine = sides.local.integer("u32", 4)
    its = sides.target.integer("u64", 8)
    root = sides.local.struct("s", 4, [Member("x", mine, 0)])
    sides.target.struct("s", 8, [Member("x", its, 0)])

    with pytest.raises(RelocationError, match="accesses 2 bytes, not 4"):
        sides.relocator().relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0, 0x69))


def test_an_offset_beyond_the_instructions_reach_is_refused(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 40000, [Member("x", sides.its, 33000 * 8)])
    relocator = sides.relocator()

    with pytest.raises(RelocationError, match="33000 does not fit"):
        relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), load(0))
    assert relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), mov(0)) == mov(33000)


@pytest.mark.parametrize(
    ("kind", "was", "value"),
    [
        (R.FIELD_BYTE_OFFSET, 77, 4),
        (R.FIELD_BYTE_SIZE, 77, 4),
        (R.FIELD_SIGNED, 1, 0),
        (R.FIELD_LSHIFT_U64, 77, 64 - 3 - 5),
        (R.FIELD_RSHIFT_U64, 60, 59),
    ],
)
def test_aspects_of_a_bit_field(sides: Sides, kind: int, was: int, value: int) -> None:
    its = sides.target.integer("u32", 4)
    root = sides.local.struct("s", 4, [Member("b", sides.mine, 0, 4)])
    sides.target.struct("s", 8, [Member("b", its, 35, 5)])

    patched = sides.relocator().relocate(record(root, "0:0", kind), mov(was))

    assert patched == mov(value)


def test_a_bit_field_across_a_unit_is_loaded_by_the_next_size(sides: Sides) -> None:
    its = sides.target.integer("u8", 1)
    root = sides.local.struct("s", 4, [Member("b", sides.mine, 0, 4)])
    sides.target.struct("s", 8, [Member("b", its, 6, 4)])
    relocator = sides.relocator()

    size = relocator.relocate(record(root, "0:0", R.FIELD_BYTE_SIZE), mov(4))
    offset = relocator.relocate(record(root, "0:0", R.FIELD_BYTE_OFFSET), mov(0))

    assert (size, offset) == (mov(2), mov(0))


@pytest.mark.parametrize(
    ("kind", "was", "value"),
    [(R.FIELD_BYTE_SIZE, 4, 2), (R.FIELD_SIGNED, 1, 0), (R.FIELD_LSHIFT_U64, 32, 48)],
)
def test_aspects_of_a_plain_field(sides: Sides, kind: int, was: int, value: int) -> None:
    its = sides.target.integer("u16", 2)
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 4, [Member("x", its, 16)])

    assert sides.relocator().relocate(record(root, "0:0", kind), mov(was)) == mov(value)


def test_a_field_of_another_kind_does_not_match(sides: Sides) -> None:
    pointer = sides.target.pointer(sides.its)
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 8, [Member("x", pointer, 0)])
    relocator = sides.relocator()

    resolution = relocator.resolve(record(root, "0:0", R.FIELD_BYTE_OFFSET))

    assert resolution.new is None
    assert resolution.tried == ("[3] struct s in kernel: .x is PTR, not INT int",)


@pytest.mark.parametrize(
    ("kind", "was", "value"),
    [
        (R.TYPE_ID_LOCAL, 77, 2),
        (R.TYPE_ID_TARGET, 77, 3),
        (R.TYPE_EXISTS, 1, 1),
        (R.TYPE_SIZE, 4, 24),
        (R.TYPE_MATCHES, 1, 1),
    ],
)
def test_aspects_of_a_type_that_is_there(sides: Sides, kind: int, was: int, value: int) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.pointer(0)
    sides.target.struct("s", 24, [Member("x", sides.its, 64)])

    assert sides.relocator().relocate(record(root, "0", kind), mov(was)) == mov(value)


@pytest.mark.parametrize("kind", [R.TYPE_ID_TARGET, R.TYPE_EXISTS, R.TYPE_SIZE, R.TYPE_MATCHES])
def test_aspects_of_a_type_that_is_not_there_are_zero(sides: Sides, kind: int) -> None:
    root = sides.local.struct("gone", 4)
    was = 4 if kind == R.TYPE_SIZE else 1

    assert sides.relocator().relocate(record(root, "0", kind), mov(was)) == mov(0)


def test_type_ids_reach_the_wide_immediate(sides: Sides) -> None:
    root = sides.local.struct("s", 4)
    sides.target.struct("s", 24)

    patched = sides.relocator().relocate(record(root, "0", R.TYPE_ID_TARGET), wide(1, 5))

    assert patched == wide(2)


def matches(sides: Sides, mine: int) -> bool:
    relocator = sides.relocator()
    return relocator.relocate(record(mine, "0", R.TYPE_MATCHES), mov(1)) == mov(1)


def test_a_structure_matches_if_the_kernels_has_all_its_members(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 8, [Member("y", sides.its, 0), Member("x", sides.its, 32)])

    assert matches(sides, root)


def test_a_structure_with_a_member_of_another_size_does_not_match(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 8, [Member("x", sides.target.integer("int", 8, signed=True), 0)])

    assert not matches(sides, root)


def test_behind_a_pointer_a_declaration_stands_for_the_definition(sides: Sides) -> None:
    declared = sides.local.pointer(sides.local.forward("t"))
    defined = sides.target.pointer(sides.target.struct("t", 4))
    root = sides.local.struct("s", 8, [Member("p", declared, 0)])
    sides.target.struct("s", 8, [Member("p", defined, 0)])

    assert matches(sides, root)


def test_behind_a_pointer_a_union_is_no_structure(sides: Sides) -> None:
    declared = sides.local.pointer(sides.local.forward("t", is_union=True))
    defined = sides.target.pointer(sides.target.struct("t", 4))
    root = sides.local.struct("s", 8, [Member("p", declared, 0)])
    sides.target.struct("s", 8, [Member("p", defined, 0)])

    assert not matches(sides, root)


def test_functions_match_by_parameters_and_result(sides: Sides) -> None:
    mine = sides.local.prototype(0, [("a", sides.mine)])
    same = sides.target.prototype(0, [("b", sides.its)])
    root = sides.local.typedef("f", sides.local.pointer(mine))
    sides.target.typedef("f", sides.target.pointer(same))

    assert matches(sides, root)


def test_functions_with_other_parameters_do_not_match(sides: Sides) -> None:
    mine = sides.local.prototype(0, [("a", sides.mine)])
    more = sides.target.prototype(0, [("a", sides.its), ("b", sides.its)])
    root = sides.local.typedef("f", sides.local.pointer(mine))
    sides.target.typedef("f", sides.target.pointer(more))

    assert not matches(sides, root)


def test_types_that_contain_themselves_are_not_compared_for_ever(sides: Sides) -> None:
    for builder in (sides.local, sides.target):
        itself = builder.struct("s", 8, [Member("x", 2, 0), Member("y", 2, 0)])
        assert itself == 2

    assert not matches(sides, 2)


@pytest.mark.parametrize("size", [4, 8])
def test_enumerators_are_found_by_name_in_both_kinds_of_enumeration(
    sides: Sides, size: int
) -> None:
    root = sides.local.enum("e", {"A": 1, "B___old": 2, "C": 3})
    sides.target.enum("e", {"B": -7}, size=size)
    relocator = sides.relocator()

    assert relocator.relocate(record(root, "1", R.ENUMVAL_EXISTS), mov(1)) == mov(1)
    assert relocator.relocate(record(root, "0", R.ENUMVAL_EXISTS), mov(1)) == mov(0)
    assert relocator.relocate(record(root, "1", R.ENUMVAL_VALUE), mov(2)) == mov(-7)
    assert relocator.relocate(record(root, "1", R.ENUMVAL_VALUE), wide(2)) == wide(-7, -1)
    assert relocator.relocate(record(root, "2", R.ENUMVAL_VALUE), wide(3)) == (POISON, POISON)


def test_a_64_bit_enumerator_fills_both_halves(sides: Sides) -> None:
    root = sides.local.enum("e", {"A": 1}, size=8)
    sides.target.enum("e", {"A": 0x1234_5678_9ABC_DEF0}, size=8)

    patched = sides.relocator().relocate(record(root, "0", R.ENUMVAL_VALUE), wide(1))

    assert patched == wide(0x9ABC_DEF0 - (1 << 32), 0x1234_5678)


@pytest.mark.parametrize(
    "access", ["", ":", "0:", "0:9", "-1", "0:0:0", "0x0", " 0", "0::0", "9" * 40, "0:" * 70 + "0"]
)
def test_access_strings_that_do_not_fit_are_refused(
    moved: tuple[Relocator, int], access: str
) -> None:
    relocator, root = moved

    with pytest.raises(RelocationError, match="byte_off"):
        relocator.resolve(record(root, access, R.FIELD_BYTE_OFFSET))


def test_an_unknown_kind_of_relocation_is_refused(moved: tuple[Relocator, int]) -> None:
    relocator, root = moved

    with pytest.raises(RelocationError, match="unknown kind 13"):
        relocator.resolve(record(root, "0:0", 13))


def test_anonymous_types_cannot_be_relocated(sides: Sides) -> None:
    root = sides.local.struct("", 4, [Member("x", sides.mine, 0)])

    with pytest.raises(RelocationError, match="anonymous"):
        sides.relocator().resolve(record(root, "0:0", R.FIELD_BYTE_OFFSET))


def test_without_kernel_types_only_local_ids_can_be_relocated(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    relocator = Relocator(sides.local.build(), None)

    assert relocator.resolve(record(root, "0", R.TYPE_ID_LOCAL)).new == root
    with pytest.raises(RelocationError, match="not known"):
        relocator.resolve(record(root, "0", R.TYPE_EXISTS))


def test_modules_are_asked_only_for_what_the_kernel_does_not_have(sides: Sides) -> None:
    inside = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    outside = sides.local.struct("m", 4, [Member("x", sides.mine, 0)])
    sides.target.struct("s", 4, [Member("x", sides.its, 0)])
    kernel = sides.target.build("kernel")
    module = Builder(kernel)
    module.struct("s", 64, [Member("x", sides.its, 64)])
    module.struct("m", 64, [Member("x", sides.its, 64)])
    relocator = Relocator(sides.local.build(), kernel, [module.build("module")])

    def offset(root: int) -> int | None:
        return relocator.resolve(record(root, "0:0", R.FIELD_BYTE_OFFSET)).new

    assert (offset(inside), offset(outside)) == (0, 8)


def test_a_forward_declaration_is_no_candidate_for_a_structure(sides: Sides) -> None:
    root = sides.local.struct("s", 4, [Member("x", sides.mine, 0)])
    sides.target.add(Fwd("s", is_union=False))

    assert sides.relocator().resolve(record(root, "0:0", R.FIELD_BYTE_OFFSET)).tried == ()


def test_unsigned_32_bit_enumerators_are_read_as_libbpf_reads_them(sides: Sides) -> None:
    root = sides.local.enum("e", {"ALL": 1})
    top = kinds.Enum("e", 4, False, (Enumerator("ALL", 0xFFFF_FFFF),))
    sides.target.add(top)

    patched = sides.relocator().relocate(record(root, "0", R.ENUMVAL_VALUE), mov(1))

    assert patched == mov(-1)


def test_every_kernel_field_relocates_to_itself() -> None:
    builder = Builder()
    number = builder.integer("u32", 4)
    inner = builder.struct("", 8, [Member("b", number, 0), Member("c", number, 32)])
    members = [Member("a", number, 0), Member("", inner, 32), Member("d", number, 96)]
    root = builder.struct("s", 16, members)
    btf: Btf = builder.build()

    for access, off in [("0:0", 0), ("0:1:0", 4), ("0:1:1", 8), ("0:2", 12)]:
        wanted = record(root, access, R.FIELD_BYTE_OFFSET)
        assert Relocator(btf, btf).relocate(wanted, load(off)) == load(off)
