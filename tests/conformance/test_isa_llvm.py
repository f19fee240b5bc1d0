"""The instruction syntax against LLVM's own assembler and disassembler."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from skep.isa import table
from skep.isa.codec import encode
from skep.isa.disassembler import disassemble
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, Use

MC = shutil.which("llvm-mc-19")
OBJDUMP = shutil.which("llvm-objdump-19")
OBJCOPY = shutil.which("llvm-objcopy-19")
pytestmark = pytest.mark.skipif(
    not (MC and OBJDUMP and OBJCOPY), reason="llvm-mc-19, -objdump-19 or -objcopy-19 is missing"
)

YOUNGER = (Sem.LOAD_ACQUIRE, Sem.STORE_RELEASE)  # than LLVM 19
OURS = (Sem.LOCAL, Sem.KFUNC, Sem.PERCPU)  # LLVM has no syntax that tells them apart


def in_llvm(op: Op) -> bool:
    return (
        op.sem not in YOUNGER
        and op.sem not in OURS
        and (op.kind is not Kind.WIDE or op.sem is Sem.CONST)
    )


def samples(op: Op) -> list[list[Insn]]:
    found = []
    for dst, src, off, imm in ((1, 2, 4, 100), (10, 0, -4, -5), (0, 9, 32767, 0x7FFFFFFF)):
        insn = table.make(
            op,
            0 if op.dst is Use.ZERO else dst,
            0 if op.src is Use.ZERO else src,
            0 if op.off is Use.ZERO else off,
            0 if op.imm is Use.ZERO else imm,
        )
        if op.imm is Use.SPACES:
            insn = table.make(op, dst, src, imm=1)
        if op.sem in (Sem.PACKET_IND, Sem.HELPER):
            insn = table.make(op, 0, insn.src, imm=0 if op.sem is Sem.PACKET_IND else abs(imm))
        if op.imm is Use.TARGET:  # LLVM 19 takes only 16 bits
            insn = table.make(op, imm=off)
        found.append([insn, Insn(0, imm=imm)] if op.kind is Kind.WIDE else [insn])
    return found


INSNS = [slot for op in table.OPS if in_llvm(op) for part in samples(op) for slot in part]


def llvm(arguments: list[str], text: str = "") -> str:
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    return done.stdout


def test_llvm_disassembles_to_the_same_text(tmp_path: Path) -> None:
    data = ",".join(str(byte) for byte in encode(INSNS))
    llvm([str(MC), "-triple=bpfel", "-filetype=obj", "-o", str(tmp_path / "x.o")], f".byte {data}")
    out = llvm([str(OBJDUMP), "-d", "--mcpu=v4", "--no-show-raw-insn", str(tmp_path / "x.o")])
    theirs = re.findall(r"^\s*(\d+):\s+(.*?)(?: <\.text[^>]*>)?$", out, re.MULTILINE)

    assert [(int(pc), text.strip()) for pc, text in theirs] == disassemble(INSNS)


def test_llvm_assembles_our_text_to_the_same_bytes(tmp_path: Path) -> None:
    text = "\n".join(line for _, line in disassemble(INSNS)) + "\n"
    target = str(tmp_path / "y.o")
    llvm([str(MC), "-triple=bpfel", "-mcpu=v4", "-filetype=obj", "-o", target], text)
    llvm([str(OBJCOPY), "-O", "binary", "-j", ".text", target, str(tmp_path / "y.bin")])

    assert encode(INSNS) == (tmp_path / "y.bin").read_bytes()
