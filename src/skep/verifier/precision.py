"""Backtracking: which earlier values does an exact value depend on (mark_chain_precision).

States are pruned by comparing them with earlier ones, and there the range of a scalar counts only
if it mattered for safety. When it does matter, the path is walked backwards, instruction by
instruction, and every checkpoint that held a value the result was made from is marked.

Source: Linux 6.18 kernel/bpf/verifier.c (__mark_chain_precision, backtrack_insn).
"""

from skep.verifier.program import Program
from skep.verifier.state import State


def mark_register(program: Program, state: State, pc: int, register: int) -> None:
    """Mark whatever the scalar in *register* of the innermost frame was made from."""
