import pytest

from skep.errors import AssemblyError
from skep.isa.assembler import assemble, parse
from skep.isa.disassembler import disassemble, format_insn
from skep.isa.insn import Insn
from skep.isa.kernel_text import format_kernel
from skep.isa.table import slot


def test_labels_jump_both_ways() -> None:
    insns = assemble("again: r0 += 1; if r0 < 5 goto again\ngoto out\nr0 = 7\nout: exit")

    assert [insn.off for insn in insns] == [0, -2, 1, 0, 0]


def test_numeric_labels_mean_the_nearest_one() -> None:
    insns = assemble("1: r0 = 0\n1: goto 1b\ngoto 1f\nr0 = 1\n1: exit")

    assert [insn.off for insn in insns] == [0, -1, 1, 0, 0]


def test_a_call_of_a_label_is_local_and_a_call_of_a_number_is_not() -> None:
    insns = assemble("call 5\ncall f\nexit\nf: exit")

    assert [slot("call_helper", imm=5), slot("call_local", imm=1)] == insns[:2]


def test_helpers_may_be_called_by_name() -> None:
    names = {"bpf_ktime_get_ns": 5}

    assert [slot("call_helper", imm=5)] == assemble("call bpf_ktime_get_ns", names.get)


@pytest.mark.parametrize("comment", ["# x", "// x", "; 12: x = y;"])
def test_comments_are_skipped(comment: str) -> None:
    assert [slot("exit")] == assemble(f"{comment}\nexit")


def test_a_position_printed_by_objdump_is_skipped() -> None:
    assert [slot("ja", off=1)] == assemble("goto +0x1 <.text+0x48>")


def test_lines_of_the_text_are_kept_for_each_slot() -> None:
    assembly = parse("r1 = 1 ll\n\nmain: exit")

    assert assembly.lines == [1, 1, 3]
    assert assembly.labels == {"main": 2}


@pytest.mark.parametrize(
    ("text", "line", "column", "token"),
    [
        ("r0 = 0\nr1 + 5", 2, 4, "+"),
        ("r11 = 0", 1, 1, "r11"),
        ("r0 = 0x100000000", 1, 6, "0x100000000"),
        ("exit r0", 1, 6, "r0"),
        ("goto nowhere", 1, 6, "nowhere"),
        ("r0 = w1", 1, 6, "w1"),
        ("r1 = -r2", 1, 7, "r2"),
        ("*(u32 *)(r1 + 40000) = 1", 1, 15, "40000"),
        ("r0 = 1; r0 = $", 1, 14, "$"),
        ("r0 = @", 1, 6, "@"),
        ("a: exit\na: exit", 2, 1, "a"),
        ("if r1 ** 5 goto 1", 1, 7, "*"),
        ("r1 = be16 r2", 1, 11, "r2"),
        ("lock *(u8 *)(r1 + 0) += r2", 1, 8, "u8"),
    ],
)
def test_an_error_points_at_the_word(text: str, line: int, column: int, token: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(text)

    assert (line, column, token) == (caught.value.line, caught.value.column, caught.value.token)


@pytest.mark.parametrize(
    ("insns", "text"),
    [
        ([slot("ld_imm64_map_fd", 1, imm=5), Insn(0)], "r1 = map[fd 5]"),
        ([slot("ld_imm64_map_value", 1, imm=5), Insn(0, imm=8)], "r1 = map[fd 5][0] + 8"),
        ([slot("ld_imm64_map_idx", 1, imm=0), Insn(0)], "r1 = map[idx 0]"),
        ([slot("ld_imm64_btf_id", 1, imm=12), Insn(0, imm=7)], "r1 = btf[id 12, fd 7]"),
        ([slot("ld_imm64_func", 1, imm=4), Insn(0)], "r1 = func[+0x4]"),
        ([slot("ld_imm64_map_fd", 1, imm=5), Insn(0, imm=1)], ".quad 0x500001118"),
        ([slot("call_kfunc", imm=12, off=1)], "call kfunc[12, 1]"),
        ([slot("ld_ind_u8", src=2, imm=4)], "r0 = *(u8 *)skb[r2 + 0x4]"),
        ([slot("store_release_u32", 1, 2, 8)], "store_release((u32 *)(r1 + 0x8), w2)"),
        ([Insn(0x0F, 1, 2, imm=5)], ".quad 0x50000210f"),
    ],
)
def test_what_clang_cannot_say_has_a_form_of_ours(insns: list[Insn], text: str) -> None:
    written = disassemble(insns)

    assert text == written[0][1]
    assert insns == assemble("\n".join(part for _, part in written))


def test_labels_and_helper_names_are_written_when_given() -> None:
    label = {3: "out"}.get

    assert format_insn(slot("ja", off=1), pc=1, label=label) == "goto out"
    assert (
        format_insn(slot("call_helper", imm=181), helper_name={181: "loop"}.get) == "call bpf_loop"
    )


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("r0 = 0", "(b7) r0 = 0"),
        ("w1 = w2", "(bc) w1 = w2"),
        ("r1 = (s8)r2", "(bf) r1 = (s8)r2"),
        ("r1 = be16 r1", "(dc) r1 = be16 r1"),
        ("r1 = -r1", "(87) r1 = -r1"),
        ("r1 s/= 3", "(37) r1 s/= 3"),
        ("w1 = *(u32 *)(r2 - 4)", "(61) r1 = *(u32 *)(r2 -4)"),
        ("*(u8 *)(r1 + 0) = 5", "(72) *(u8 *)(r1 +0) = 5"),
        ("*(u32 *)(r1 + 0) = w5", "(63) *(u32 *)(r1 +0) = r5"),
        ("lock *(u32 *)(r1 + 0) |= w5", "(c3) lock *(u32 *)(r1 +0) |= r5"),
        (
            "r5 = atomic_fetch_add((u64 *)(r1 + 0), r5)",
            "(db) r5 = atomic64_fetch_add((u64 *)(r1 +0), r5)",
        ),
        ("r0 = cmpxchg_64(r1 + 0, r0, r5)", "(db) r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r5)"),
        ("if w1 s> -1 goto +3", "(66) if w1 s> 0xffffffff goto pc+3"),
        ("goto -3", "(05) goto pc-3"),
        ("gotol +3", "(06) gotol pc+3"),
        ("may_goto +3", "(e5) may_goto pc+3"),
        ("call 5", "(85) call unknown#5"),
        ("call +5", "(85) call pc+5"),
        ("exit", "(95) exit"),
        ("r0 = *(u16 *)skb[r2]", "(48) r0 = *(u16 *)skb[r2 + 0]"),
        ("r1 = 5 ll", "(18) r1 = 0x5"),
        ("r1 = addr_space_cast(r2, 0, 1)", "(bf) r1 = addr_space_cast(r2, 0, 1)"),
    ],
)  # fmt: skip
def test_the_kernel_form_is_the_kernels(text: str, kernel: str) -> None:
    insns = assemble(text)

    assert kernel == format_kernel(insns[0], insns[1] if len(insns) > 1 else None)


def test_the_kernel_form_of_an_unknown_opcode() -> None:
    assert format_kernel(Insn(0xFF)) == "(ff) alu64"
    assert format_kernel(Insn(0x0A)) == "BUG_st_0a"
    assert format_kernel(Insn(0x99)) == "BUG_ldx_99"
