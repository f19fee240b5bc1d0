"""Laws of the instruction codec, assembler and disassembler, over the whole table."""

from hypothesis import given, settings
from hypothesis import strategies as st

from skep.isa import table
from skep.isa.assembler import assemble
from skep.isa.codec import decode, encode
from skep.isa.disassembler import disassemble
from skep.isa.insn import Insn
from skep.isa.table import Op, Use

S16 = st.integers(-0x8000, 0x7FFF)
S32 = st.integers(-0x8000_0000, 0x7FFF_FFFF)
REGISTERS = st.integers(0, table.MAX_REGISTER)
ANY_SLOT = st.builds(Insn, st.integers(0, 255), st.integers(0, 15), st.integers(0, 15), S16, S32)


@st.composite
def valid(draw: st.DrawFn) -> list[Insn]:
    """One instruction of a row, every field as its use allows."""
    op: Op = draw(st.sampled_from(table.OPS))
    dst = 0 if op.dst is Use.ZERO else draw(REGISTERS)
    src = 0 if op.src is Use.ZERO else draw(REGISTERS)
    off = 0 if op.off is Use.ZERO else draw(S16)
    imm = 0 if op.imm is Use.ZERO else draw(S32)
    if op.imm is Use.SPACES:
        imm = draw(st.sampled_from((1, 1 << 16)))
    insn = table.make(op, dst, src, off, imm)
    if op.kind is not table.Kind.WIDE:
        return [insn]
    return [insn, Insn(0, imm=draw(S32))]


def text_of(insns: list[Insn]) -> str:
    return "\n".join(text for _, text in disassemble(insns))


@given(st.lists(ANY_SLOT, max_size=6))
def test_encoding_what_was_decoded_gives_the_bytes(slots: list[Insn]) -> None:
    data = encode(slots)

    assert data == encode(decode(data))
    assert slots == decode(data)


@given(st.lists(valid(), max_size=6))
@settings(max_examples=300)
def test_assembling_a_disassembly_gives_the_instructions(parts: list[list[Insn]]) -> None:
    insns = [slot for part in parts for slot in part]

    assert insns == assemble(text_of(insns))


@given(st.lists(ANY_SLOT, max_size=6))
@settings(max_examples=300)
def test_any_slots_at_all_survive_disassembly(slots: list[Insn]) -> None:
    assert slots == assemble(text_of(slots))


@given(valid())
def test_a_made_instruction_is_found_under_its_row(part: list[Insn]) -> None:
    op = table.op_of(part[0])

    assert op is not None
    assert not table.reserved_field(op, part[0])
