"""The name of what a CO-RE relocation did not find, where a program is refused for it.

The loader puts a call that does not exist in the place of such an access; only if it is reached is
the program refused, and by then the verifier no longer knows what was meant.

Source: libbpf 1.x (bpf_core_poison_insn, fixup_log_failed_core_relo).
"""

from skep.btf.core_patch import POISON_HELPER
from skep.btf.core_spec import parse_spec
from skep.errors import BpfError
from skep.loader.spec import ObjectSpec, ProgramSpec
from skep.verifier import Rejected
from skep.verifier.rules.calls import HELPER_KNOWN


def name_missing(rejected: Rejected, spec: ObjectSpec, program: ProgramSpec) -> None:
    """Put the missing type, member or value into the hint of *rejected*."""
    request = rejected.request
    if rejected.rule is not HELPER_KNOWN or request is None or spec.btf is None:
        return
    if request.insns[rejected.pc].imm != POISON_HELPER:
        return
    for record in program.relocations:
        if record.offset == 8 * rejected.pc:
            try:
                asked = str(parse_spec(record, spec.btf))
            except BpfError:
                return
            rejected.hint = f"{asked} does not exist in the kernel in force; {rejected.hint}"
            return
