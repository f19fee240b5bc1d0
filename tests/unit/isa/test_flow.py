from skep.isa.assembler import assemble
from skep.isa.flow import Block, blocks, subprogram_starts, successors
from skep.isa.program import Program, SourceLine
from skep.isa.table import slot

LOOP = assemble("r0 = 0\nagain: r0 += 1\nif r0 < 5 goto again\nr1 = 1 ll\ngoto out\nout: exit")


def test_a_conditional_jump_falls_through_first() -> None:
    assert successors(2, LOOP[2]) == (3, 1)


def test_a_jump_to_the_next_slot_has_one_successor() -> None:
    assert successors(0, slot("jeq64_imm", 1, off=0)) == (1,)


def test_exit_has_no_successor_and_a_wide_constant_skips_its_second_slot() -> None:
    assert successors(6, LOOP[6]) == ()
    assert successors(3, LOOP[3]) == (5,)


def test_a_long_jump_counts_by_its_immediate() -> None:
    assert successors(1, slot("gotol", imm=-3)) == (-1,)


def test_blocks_end_at_jumps_and_begin_at_their_targets() -> None:
    expected = [
        Block(0, 1, (1,)),
        Block(1, 3, (3, 1)),
        Block(3, 7, ()),
    ]

    assert expected == blocks(LOOP)


def test_subprograms_begin_where_calls_and_function_constants_point() -> None:
    insns = assemble("call f\nr1 = func[g]\nexit\nf: exit\ng: exit")

    assert subprogram_starts(insns) == [0, 4, 5]
    assert [Block(4, 5, ())] == blocks(insns, 4, 5)


def test_a_listing_shows_functions_lines_and_labels() -> None:
    line = SourceLine("/src/a.c", 7, 3, "  x++;")
    program = Program(LOOP, {0: "int f(void)"}, {1: line})

    text = list(program.listing(labels=True))

    assert text[0] == "int f(void):"
    assert text[2].startswith("; x++;")
    assert text[2].endswith("a.c:7")
    assert text[3:6] == ["LBB0_1:", "   1: r0 += 0x1", "   2: if r0 < 0x5 goto LBB0_1"]
