"""One 8-byte instruction slot.

::

    7      0 7  4 3  0 15            0 31                            0
    | code  | src| dst|      off      |              imm              |

Wide instructions (LD_IMM64) take two slots; the second holds the high half of the constant in
``imm`` and zero elsewhere. A *pc* counts slots, as the kernel does.

Source: RFC 9669, section 3.
"""

from dataclasses import dataclass


@dataclass(init=False, unsafe_hash=True, slots=True)
class Insn:
    """One slot: *off* is signed 16-bit, *imm* signed 32-bit. Nobody changes one."""

    code: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0

    # Written out, and the class not frozen, since the compiler leaves a frozen dataclass's to
    # Python: that takes six times as long, for each instruction of each program.
    def __init__(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.code, self.dst, self.src, self.off, self.imm = code, dst, src, off, imm
