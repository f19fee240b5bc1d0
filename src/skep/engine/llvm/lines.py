"""Which instruction machine code comes from.

Compiled code says nothing about it. When somebody asks, the program is compiled once more with
the slot of every instruction as its line number, which changes no code, and LLVM's line table is
read.

Source: LLVM's DILocation; DWARF 5, section 6.2.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Final

from elftools.elf.elffile import ELFFile

from skep.engine.interface import CodePlace
from skep.verifier.interface import Subprogram

FUNCTIONS: Final = 8  # number of the first function's node; those before are named in HEAD
HEAD: Final = """\
!llvm.dbg.cu = !{!0}
!llvm.module.flags = !{!4, !5}
!0 = distinct !DICompileUnit(language: DW_LANG_C99, file: !1, emissionKind: LineTablesOnly)
!1 = !DIFile(filename: "bpf", directory: "")
!2 = !{}
!3 = !DISubroutineType(types: !2)
!4 = !{i32 2, !"Debug Info Version", i32 3}
!5 = !{i32 7, !"Dwarf Version", i32 4}
"""


class Notes:
    """What instructions and functions of a module end in, so that their origin is kept."""

    def __init__(self, parts: Sequence[Subprogram], slots: int) -> None:
        self._parts, self._slots = parts, slots

    def of_function(self, number: int) -> str:
        """The note of the function of the *number*-th subprogram."""
        return f" !dbg !{FUNCTIONS + number}"

    def of_insn(self, pc: int) -> str:
        """The note of all that comes from the instruction at *pc*."""
        return f", !dbg !{FUNCTIONS + len(self._parts) + pc}"

    def text(self) -> str:
        """The nodes that notes refer to."""
        lines, first = [HEAD], FUNCTIONS + len(self._parts)
        for number, part in enumerate(self._parts):
            node = FUNCTIONS + number
            lines.append(
                f'!{node} = distinct !DISubprogram(name: "{part.start}", file: !1, line: 1, '
                "type: !3, unit: !0, spFlags: DISPFlagDefinition)\n"
            )
            lines += [
                f"!{first + pc} = !DILocation(line: {pc + 1}, scope: !{node})\n"
                for pc in range(part.start, min(part.end, self._slots))
            ]
        return "".join(lines)


def places(code: bytes) -> Iterator[CodePlace]:
    """Where code of an instruction begins, by address in the section of the object's code."""
    dwarf = ELFFile(io.BytesIO(code)).get_dwarf_info()
    for unit in dwarf.iter_CUs():
        table = dwarf.line_program_for_CU(unit)
        for row in table.get_entries() if table is not None else ():
            state = row.state
            if state is not None and not state.end_sequence and state.line:
                yield CodePlace(state.line - 1, state.address)
