"""Rules about control flow, calls between subprograms, stack depth and the limits of the walk."""

import errno
from typing import Final

from skep.verifier.rules.rule import Rule

_BAD: Final = errno.EINVAL
_DENIED: Final = errno.EACCES

# --- the instruction stream -------------------------------------------------------------------

PROGRAM_SIZE: Final = Rule("program-size", "a program has 1 to 1000000 slots", errno.E2BIG)
KNOWN_OPCODE: Final = Rule("known-opcode", "every slot holds a known instruction", _BAD)
RESERVED_FIELDS: Final = Rule("reserved-fields-zero", "unused fields of a slot are zero", _BAD)
REGISTER_NUMBER: Final = Rule("register-number", "registers are r0 to r10", _BAD)
WHOLE_WIDE: Final = Rule("wide-whole", "a wide instruction has both of its slots", _BAD)
JUMP_IN_RANGE: Final = Rule(
    "jump-in-range", "a jump lands on an instruction of its own subprogram", _BAD
)
SUBPROGRAM_ENDS: Final = Rule(
    "subprogram-ends", "a subprogram ends with exit or a jump, not by running out", _BAD
)
REACHABLE: Final = Rule("insn-reachable", "every instruction can be reached from the entry", _BAD)
BACK_EDGE: Final = Rule("back-edge-allowed", "a jump backwards needs a privileged loader", _BAD)
SUBPROGRAM_COUNT: Final = Rule(
    "subprogram-count", "a program has at most 256 subprograms", errno.E2BIG
)
PRIVILEGED_CALL: Final = Rule(
    "privileged-call", "only privileged loaders use subprograms and kernel functions", errno.EPERM
)
CALL_TARGET: Final = Rule("call-target", "a call goes to the start of a subprogram", _BAD)
MAP_FD: Final = Rule("map-fd", "a map reference names an open map", errno.EBADF)
MAP_ADDRESS: Final = Rule(
    "map-value-address", "a direct value address lies inside the value of an array map", _BAD
)
MAP_FITS_PROGRAM: Final = Rule(
    "map-fits-program", "the program type may use every map it names", _BAD
)
MAP_COUNT: Final = Rule("map-count", "a program uses at most 64 maps", errno.E2BIG)
FUNCTION_REFERENCE: Final = Rule(
    "function-reference", "a function reference names a static subprogram", _BAD
)
KERNEL_SYMBOL: Final = Rule(
    "kernel-symbol", "a kernel symbol reference names a variable or function of the kernel", _BAD
)

# --- the walk ---------------------------------------------------------------------------------

INSN_BUDGET: Final = Rule(
    "insn-budget", "all paths together take at most 1000000 instructions", errno.E2BIG
)
# EFAULT is what 6.18 answers to a conditional jump too many, although E2BIG would fit
JUMP_SEQUENCE: Final = Rule(
    "jump-sequence", "at most 8192 branches wait to be explored", errno.EFAULT
)
LOOP_PROGRESS: Final = Rule("loop-progress", "every round of a loop changes something", _BAD)
CALL_DEPTH: Final = Rule("call-depth", "calls nest at most 8 deep", errno.E2BIG)
STACK_DEPTH: Final = Rule(
    "stack-depth", "the stacks of nested calls fit into 512 bytes, 256 below tail calls", _DENIED
)
REGISTER_READABLE: Final = Rule(
    "register-initialised", "a register is written before it is read", _DENIED
)
FRAME_POINTER_CONSTANT: Final = Rule("frame-pointer-constant", "r10 is never written", _DENIED)
RETURN_RANGE: Final = Rule(
    "return-range", "r0 at exit is a number the program type may return", _BAD
)
RETURN_SCALAR: Final = Rule("return-scalar", "r0 at exit is a number, not a pointer", _DENIED)
STACK_POINTER_RETURN: Final = Rule(
    "no-stack-pointer-returned", "a subprogram does not return a pointer to its stack", _BAD
)
CALLBACK_RETURN: Final = Rule(
    "callback-return-range", "a callback returns a number in its range", _BAD
)
GLOBAL_ARGUMENTS: Final = Rule(
    "global-function-arguments", "arguments of a global function match its BTF prototype", _BAD
)
GLOBAL_SIGNATURE: Final = Rule(
    "global-function-signature", "a global function has a supported BTF prototype", _BAD
)
LOCKED_CALL: Final = Rule(
    "no-call-in-critical-section", "no global function is called while a lock is held", _BAD
)
DIVISOR: Final = Rule("divisor-not-zero", "a constant divisor is not zero", _BAD)
SHIFT_COUNT: Final = Rule(
    "shift-count", "a constant shift count is less than the operand's width", _BAD
)
DEBUG_INFO: Final = Rule("debug-info-valid", "function and line records match the program", _BAD)
ATTACH_TARGET: Final = Rule(
    "attach-target", "the attach target exists and fits the program type", _BAD
)
LEGACY_CALLBACK: Final = Rule(
    "no-legacy-load-in-callback", "callbacks do not use BPF_LD_[ABS|IND]", _BAD
)
EXCEPTION_CALLBACK: Final = Rule(
    "exception-callback",
    "an exception callback is one global function of a number, which nothing else calls",
    _BAD,
)
THROW_CALLBACK: Final = Rule("no-throw-in-callback", "callbacks throw no exception", _BAD)
SLEEPABLE_TYPE: Final = Rule(
    "sleepable-type", "only some program types may, and syscall programs must, be sleepable", _BAD
)
ARENA_CAST: Final = Rule(
    "arena-cast", "addresses are cast only in programs that use an arena", _BAD
)
