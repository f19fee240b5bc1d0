"""The last step before PROG_LOAD: instructions get fds, kernel ids and CO-RE values.

Invariant: a program's spec is not changed; the same spec, target and fds give the same
instructions.

Source: libbpf 1.x, ``bpf_object__relocate_data``, ``find_kernel_btf_id``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from skep.base.bits import signed
from skep.btf.core_types import TooDeep, essential_name, types_compatible
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.btf.relocate import Relocator
from skep.errors import ExternError, LoadError
from skep.isa import table
from skep.isa.codec import SLOT_SIZE
from skep.isa.insn import Insn
from skep.loader.attach_target import ProgramTarget
from skep.loader.spec import Extern, ExternSpec, ObjectSpec, ProgramSpec, Reference, Target
from skep.loader.target import Target as Kernel
from skep.uapi.flags import AttachType, ProgType

POISONED_CALL: Final = 2_002_000_000  # + index of the extern: no such helper, as libbpf's

_PREFIXES: Final[dict[int, tuple[str, Kind]]] = {
    AttachType.TRACE_RAW_TP: ("btf_trace_", Kind.TYPEDEF),
    AttachType.LSM_MAC: ("bpf_lsm_", Kind.FUNC),
    AttachType.LSM_CGROUP: ("bpf_lsm_", Kind.FUNC),
    AttachType.TRACE_ITER: ("bpf_iter_", Kind.FUNC),
}


_ON_PROGRAMS: Final = frozenset((ProgType.EXT, ProgType.TRACING))


@dataclass(frozen=True, slots=True)
class Provided:
    """What the target kernel gives for an extern: a BTF id, or else an address."""

    type: int = 0
    address: int = 0
    missing: bool = False


class Finisher:
    """Completes the programs of one object for one kernel.

    Args:
        spec: the object.
        kernel: what it is loaded for.
        fds: of the object's maps, in order.
        attach_to: the program whose functions are replaced or traced, if there is one.
    """

    def __init__(
        self,
        spec: ObjectSpec,
        kernel: Kernel,
        fds: Sequence[int],
        attach_to: ProgramTarget | None = None,
    ) -> None:
        self.spec = spec
        self.kernel = kernel
        self.fds, self.attach_to = fds, attach_to
        self._relocator = Relocator(spec.btf, kernel.btf) if spec.btf is not None else None
        self._provided: dict[int, Provided] = {}

    def finish(self, program: ProgramSpec) -> list[Insn]:
        """The instructions of *program* as the kernel takes them.

        Raises:
            RelocationError: CO-RE found several answers, or no types to ask.
            ExternError: nothing provides a strong extern.
        """
        insns = list(program.insns)
        self._relocate(program, insns)
        for reference in program.references:
            self._refer(insns, reference)
        return insns

    # --- CO-RE ----------------------------------------------------------------------------------

    def _relocate(self, program: ProgramSpec, insns: list[Insn]) -> None:
        if self._relocator is None:
            return
        for record in program.relocations:
            pc = record.offset // SLOT_SIZE
            count = 2 if insns[pc].code == table.LD_IMM64 else 1
            if pc + count > len(insns):
                raise LoadError("half an instruction at the end", name=program.name)
            slots = [(i.code, i.dst, i.src, i.off, i.imm) for i in insns[pc : pc + count]]
            patched = self._relocator.relocate(record, slots)
            insns[pc : pc + count] = [Insn(*slot) for slot in patched]

    # --- maps and externs -----------------------------------------------------------------------

    def _refer(self, insns: list[Insn], reference: Reference) -> None:
        pc, insn = reference.pc, insns[reference.pc]
        if reference.target is Target.EXTERN:
            self._extern(insns, pc, reference.index)
            return
        fd = self.fds[reference.index]
        if reference.target is Target.MAP:
            insns[pc] = replace(insn, src=table.PSEUDO_MAP_FD, imm=fd)
            insns[pc + 1] = replace(insns[pc + 1], imm=0)
        else:
            insns[pc] = replace(insn, src=table.PSEUDO_MAP_VALUE, imm=fd)
            insns[pc + 1] = replace(insns[pc + 1], imm=signed(reference.offset, 32))

    def _extern(self, insns: list[Insn], pc: int, index: int) -> None:
        extern, insn = self.spec.externs[index], insns[pc]
        if extern.kind is Extern.KCONFIG:
            fd = self.fds[self._kconfig()]
            insns[pc] = replace(insn, src=table.PSEUDO_MAP_VALUE, imm=fd)
            insns[pc + 1] = replace(insns[pc + 1], imm=extern.offset)
            return
        found = self._find(index, extern)
        if insn.code != table.LD_IMM64:
            insns[pc] = (
                Insn(insn.code, imm=POISONED_CALL + index)
                if found.missing
                else replace(insn, src=table.PSEUDO_KFUNC_CALL, off=0, imm=found.type)
            )
            return
        if found.type:
            insns[pc] = replace(insn, src=table.PSEUDO_BTF_ID, imm=found.type)
            insns[pc + 1] = replace(insns[pc + 1], imm=0)
        else:
            insns[pc] = replace(insn, imm=signed(found.address, 32))
            insns[pc + 1] = replace(insns[pc + 1], imm=signed(found.address >> 32, 32))

    def _kconfig(self) -> int:
        return next(at for at, map_ in enumerate(self.spec.maps) if map_.content.value == "kconfig")

    def _find(self, index: int, extern: ExternSpec) -> Provided:
        if index not in self._provided:
            self._provided[index] = self._look_up(extern)
        return self._provided[index]

    def _look_up(self, extern: ExternSpec) -> Provided:
        if extern.type == 0:
            address = self.kernel.address(extern.name)
            if address is None and not extern.weak:
                raise self._missing(extern, "the kernel has no such symbol")
            return Provided(address=address or 0, missing=address is None)
        btf, local = self.kernel.btf, self.spec.btf
        if btf is None or local is None:
            if extern.weak:
                return Provided(missing=True)
            raise self._missing(extern, "the kernel's types are not known")
        function = extern.kind is Extern.FUNCTION
        name = essential_name(extern.name) if function else extern.name
        type_id = btf.by_name(name, Kind.FUNC if function else Kind.VAR)
        if type_id is None:
            if extern.weak:
                return Provided(missing=True)
            raise self._missing(extern, "the kernel's types do not name it")
        if not _alike(local, extern.type, btf, type_id):
            if extern.weak and function:
                return Provided(missing=True)
            raise self._missing(extern, "it has another type in the kernel")
        return Provided(type_id)

    def _missing(self, extern: ExternSpec, why: str) -> ExternError:
        return ExternError(why, source=self.spec.source, name=f"extern {extern.name}")

    # --- attach target --------------------------------------------------------------------------

    def attach(self, program: ProgramSpec) -> tuple[int, int, int]:
        """Of *program*: BTF id of what it is attached to, attach type, descriptor of the target.

        The id is 0 if its type needs none; the descriptor is 0 unless the target is a program.

        Raises:
            LoadError: there is no such target, or the section names none.
        """
        found = self._function_of_program(program)
        if found:
            assert self.attach_to is not None
            return found, program.expected_attach_type, self.attach_to.fd
        return *self._of_kernel(program), 0

    def _function_of_program(self, program: ProgramSpec) -> int:
        """The function of the program to attach to that *program* names; 0 if it names none."""
        if program.program_type not in _ON_PROGRAMS or not program.attach_btf:
            return 0
        extends, target = program.program_type == ProgType.EXT, self.attach_to
        if target is None:
            if not extends:
                return 0
            why = "it replaces a function of another program, and nothing says of which"
            raise LoadError(
                why, source=self.spec.source, name=program.name,
                hint="name a loaded program: attach_to=, or --attach-to OBJ:PROG",
            )  # fmt: skip
        if not program.attach_target:
            raise self._untargeted(program, f'SEC("{program.section}") names no target')
        found = target.function(program.attach_target) or 0
        if extends and not found:
            why = f"the program to attach to has no function {program.attach_target}"
            raise self._untargeted(program, why)
        return found

    def _of_kernel(self, program: ProgramSpec) -> tuple[int, int]:
        attach_type = program.expected_attach_type
        if program.program_type == ProgType.STRUCT_OPS:
            return self._struct_ops(program)
        if not program.attach_btf:
            return 0, attach_type
        if not program.attach_target:
            raise self._untargeted(program, f'SEC("{program.section}") names no target')
        prefix, kind = _PREFIXES.get(attach_type, ("", Kind.FUNC))
        module, _, function = program.attach_target.rpartition(":")
        name = function if module in ("", "vmlinux") else program.attach_target
        return self._kernel_type(program, prefix + name, kind), attach_type

    def _untargeted(self, program: ProgramSpec, why: str) -> LoadError:
        return LoadError(why, source=self.spec.source, name=program.name)

    def _kernel_type(self, program: ProgramSpec, name: str, kind: Kind) -> int:
        btf = self.kernel.btf
        if btf is None:
            raise self._untargeted(program, "the kernel's types are not known")
        type_id = btf.by_name(name, kind)
        if type_id is None:
            raise self._untargeted(program, f"the kernel's types do not name {name}")
        return type_id

    def _struct_ops(self, program: ProgramSpec) -> tuple[int, int]:
        """The structure, and the number of the member that the program fills."""
        if not program.attach_member:
            raise self._untargeted(program, "no struct_ops map refers to it")
        name = essential_name(program.attach_target)
        self._kernel_type(program, f"bpf_struct_ops_{name}", Kind.STRUCT)
        type_id = self._kernel_type(program, name, Kind.STRUCT)
        members = self.kernel.btf.members(type_id) if self.kernel.btf is not None else ()
        names = [member.name for member in members]
        if program.attach_member not in names:
            why = f"the kernel's {name} has no member {program.attach_member}"
            raise self._untargeted(program, why)
        return type_id, names.index(program.attach_member)


def _alike(local: Btf, local_id: int, kernel: Btf, type_id: int) -> bool:
    """Whether the object's idea of a symbol's type fits the kernel's VAR or FUNC."""
    target = kernel.type(type_id)
    inner = getattr(target, "type", 0)
    try:
        return types_compatible(local, local_id, kernel, kernel.resolve(inner))
    except TooDeep:
        return False
