"""Programs and types as text."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from skep.btf.graph import Btf
from skep.btf.kernel import RUNNING, read_btf
from skep.errors import LoadError
from skep.isa.program import Program as Listing
from skep.isa.program import SourceLine
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec, ProgramSpec
from skep.uapi import helpers
from skep.verifier.interface import Proof

ELF_MAGIC: Final = b"\x7fELF"


def helper_name(helper: int) -> str | None:
    """Name of a helper, without ``bpf_``."""
    row = helpers.by_id(helper)
    return row.name if row is not None else None


def choose(spec: ObjectSpec, names: Sequence[str] | None) -> list[ProgramSpec]:
    """The programs called *names*, all for None; LoadError lists those there are."""
    known = {program.name: program for program in spec.programs}
    for name in names or ():
        if name not in known:
            there = ", ".join(known) or "none"
            raise LoadError(f"no such program; there are: {there}", source=spec.source, name=name)
    return [program for program in spec.programs if names is None or program.name in names]


def open_object(path: str | Path) -> ObjectSpec:
    """Read an object file."""
    return read_object(object_bytes(path), str(path))


def object_bytes(path: str | Path) -> bytes:
    """The bytes of an ELF file; of any other, which may have no end, the first ones."""
    with Path(path).open("rb") as file:
        magic = file.read(4)
        return magic + file.read() if magic == ELF_MAGIC else magic


def open_btf(path: str, base: Btf | None = None) -> Btf:
    """The types of ``vmlinux``, of a raw BTF file, or of an object file."""
    if path == "vmlinux" and not Path(path).exists():
        return read_btf(str(RUNNING))
    if object_bytes(path)[:4] != ELF_MAGIC:
        return read_btf(path, base)
    spec = open_object(path)
    if spec.btf is None:
        raise LoadError("the object has no BTF", source=path, hint="compile with -g")
    return spec.btf


def btf_rows(btf: Btf) -> Iterator[dict[str, Any]]:
    """Every type as ``{"id", "kind", "name", …}``, its other members as BTF has them."""
    first = len(btf.base) if btf.base is not None else 1
    for type_id in range(first, len(btf)):
        type_ = btf.type(type_id)
        parts: dict[str, Any] = asdict(cast("Any", type_))  # every Type is a dataclass
        del parts["kind"]
        yield {"id": type_id, "kind": type_.kind.name, **parts}


def disassemble_file(
    path: str, *, programs: Sequence[str] | None = None, source: bool = True
) -> list[tuple[str, list[str]]]:
    """Name and listing of each program of an object file."""
    spec = open_object(path)
    return [
        (program.name, program_lines(spec, program, source=source))
        for program in choose(spec, programs)
    ]


def program_lines(spec: ObjectSpec, program: ProgramSpec, *, source: bool = True) -> list[str]:
    """Listing of a program as the object has it: linked, not yet relocated."""
    btf = spec.btf
    lines: dict[int, SourceLine] = {}
    functions = {0: program.name}
    if btf is not None:
        functions |= {pc: btf.type(type_id).name for pc, type_id in program.functions}
        for row in program.lines if source else ():
            lines[row.pc] = SourceLine(
                btf.string(row.file_off), row.line_col >> 10, row.line_col & 0x3FF,
                btf.string(row.line_off),
            )  # fmt: skip
    return list(Listing(program.insns, functions, lines).listing(helper_name=helper_name))


def proof_lines(proof: Proof) -> list[str]:
    """Listing of a program as it runs."""
    functions = {part.start: part.name or f"func{part.start}" for part in proof.subprograms}
    lines = {
        info.pc: SourceLine(info.file, info.line, info.column, info.text)
        for info in proof.request.line_infos
    }
    return list(Listing(proof.insns, functions, lines).listing(helper_name=helper_name))
