"""verify_file(): the verdict on every program of an object, each loaded alone.

An object is an ELF file, or text in assembly language (``*.s``, see ``skep.session.assembly``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from skep.btf.graph import Btf
from skep.btf.kernel import kernel_btf
from skep.engine.proof_only import ProofEngine
from skep.errors import BpfError, CommandError, LoadError, NotSupported
from skep.loader.door import ProgramRefused
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec, ProgramSpec
from skep.session.assembly import TEXT_SUFFIX, read_text
from skep.session.listings import choose, object_bytes
from skep.session.objects import new_subsystem, target_of
from skep.session.reasons import Reason
from skep.session.reasons_core import name_missing
from skep.session.targets import program_to_attach_to
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import program_types
from skep.verifier import Rejected, verify
from skep.verifier.interface import Proof, Request, Statistics

NOT_SUPPORTED: Final = "not-supported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What would become of one program.

    Args:
        file, program, section, type: which program; *type* is "" if the section tells none.
        verdict: ``accepted``, ``rejected`` by the verifier, or ``error``: it never got there.
        errno: name of the errno, "" if accepted.
        rule: id of the rule that does not hold.
        insn: slot of the refused instruction, -1 if none.
        source: "file:line" of it.
        message: one line.
        insns_processed, states, peak_states, verify_us: what verification cost.
        log: the kernel-style log, if asked for. *explanation*: the refusal for people.
        reason: all that is known of the verifier's refusal; None if it refused nothing.
    """

    file: str
    program: str = ""
    section: str = ""
    type: str = ""
    verdict: str = "error"
    errno: str = ""
    rule: str = ""
    insn: int = -1
    source: str = ""
    message: str = ""
    insns_processed: int = 0
    states: int = 0
    peak_states: int = 0
    verify_us: int = 0
    log: str = ""
    explanation: str = ""
    reason: Reason | None = field(default=None, repr=False, compare=False)

    @property
    def row(self) -> dict[str, Any]:
        """The fields that ``skep verify --json`` prints."""
        names = (
            "file", "program", "section", "type", "verdict", "errno", "rule", "insn", "source",
            "message", "insns_processed", "states", "peak_states", "verify_us",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return found | ({"log": self.log} if self.log else {})


@dataclass(frozen=True, slots=True)
class Examined:
    """A verdict, and what it answers; *request* is None if the verifier was never asked."""

    verdict: Verdict
    request: Request | None = field(default=None, repr=False)


def verify_file(
    path: str | Path,
    *,
    programs: Sequence[str] | None = None,
    btf: str | Btf | None = None,
    log_level: int = 0,
    adjust: Callable[[ObjectSpec], ObjectSpec] | None = None,
    attach_to: str | None = None,
) -> Iterator[Verdict]:
    """Verify the programs of an object file, each alone; a bad file is one ``error``.

    Args:
        path: the object file.
        programs: names of those to verify; all by default.
        btf: kernel types in force.
        log_level: of the kernel-style log, 0 for none.
        adjust: changes the spec before it is loaded, as an application would.
        attach_to: ``OBJ`` or ``OBJ:PROG``, the program whose functions are replaced or traced.

    Raises:
        LoadError: a program named in *programs* or *attach_to* does not exist, or *attach_to*
            is refused itself.
        OSError: the file cannot be read.
        BtfError: *btf* cannot be read.
    """
    for examined in examine_file(
        path, programs=programs, btf=btf, log_level=log_level, adjust=adjust, attach_to=attach_to
    ):
        yield examined.verdict


def examine_file(
    path: str | Path,
    *,
    programs: Sequence[str] | None = None,
    btf: str | Btf | None = None,
    log_level: int = 0,
    adjust: Callable[[ObjectSpec], ObjectSpec] | None = None,
    attach_to: str | None = None,
) -> Iterator[Examined]:
    """Verify as verify_file() does; with each verdict comes what was asked of the verifier.

    Ask again before the next is taken: then the maps are gone.
    """
    if Path(path).suffix == TEXT_SUFFIX:
        if attach_to is not None:
            why = NotSupported("a program to attach to", "text names no function to go on")
            yield Examined(_failed(Verdict(file=str(path)), why))
            return
        yield _examine_text(path, programs, btf, log_level)
        return
    file, data = str(path), object_bytes(path)
    try:
        spec = read_object(data, file)
    except BpfError as error:
        yield Examined(_failed(Verdict(file=file), error))
        return
    spec = adjust(spec) if adjust is not None else spec
    chosen = choose(spec, programs)
    subsystem = new_subsystem(btf, engine=ProofEngine())
    with program_to_attach_to(subsystem, attach_to) as target:
        try:
            loaded = LoadedObject(
                spec, subsystem, target_of(subsystem), log_level=log_level, explain=False,
                partial=True, attach_to=target,
            )  # fmt: skip
        except BpfError as error:
            for program in chosen:
                yield Examined(_failed(_named(file, program), error))
            return
        with loaded:
            for program in chosen:
                yield _examine(subsystem, loaded, file, program)


def _examine_text(
    path: str | Path, names: Sequence[str] | None, btf: str | Btf | None, log_level: int
) -> Examined:
    """The verdict on a program in assembly language."""
    file = str(path)
    types = kernel_btf(btf) if btf is None or isinstance(btf, str) else btf
    try:
        request = replace(read_text(path, types), log_level=log_level)
    except BpfError as error:
        return Examined(_failed(Verdict(file=file), error))
    for name in names or ():
        if name != request.name:
            raise LoadError(f"no such program; there is: {request.name}", source=file, name=name)
    about = Verdict(file=file, program=request.name, type=request.program_type.name)
    try:
        proof = verify(request)
    except Rejected as refused:
        return Examined(_rejected(about, refused), request)
    return Examined(_accepted(about, proof, proof.log), request)


def _named(file: str, program: ProgramSpec, **fields: Any) -> Verdict:
    row = program_types.by_id(program.program_type)
    type_name = row.name if row is not None else ""
    return Verdict(
        file=file, program=program.name, section=program.section, type=type_name, **fields
    )


def _examine(
    subsystem: Subsystem, loaded: LoadedObject, file: str, program: ProgramSpec
) -> Examined:
    about = _named(file, program)
    try:
        result = loaded.load_program(program)
    except ProgramRefused as refused:
        cause = refused.__cause__
        if isinstance(cause, Rejected):
            name_missing(cause, loaded.spec, program)
            return Examined(_rejected(about, cause), cause.request)
        return Examined(_failed(about, cause if isinstance(cause, BpfError) else refused))
    except BpfError as error:
        return Examined(_failed(about, error))
    target = subsystem.state.objects.get("VERIFY", result.fd, Kind.PROG).target
    assert isinstance(target, LoadedProgram)
    return Examined(_accepted(about, target.proof, result.log), target.proof.request)


def _accepted(about: Verdict, proof: Proof, log: str) -> Verdict:
    return replace(about, verdict="accepted", log=log, **_costs(proof.statistics))


def _rejected(about: Verdict, rejected: Rejected) -> Verdict:
    return replace(
        about, verdict="rejected", errno=rejected.errno_name, rule=rejected.rule.id,
        insn=rejected.pc, source=rejected.source, message=rejected.detail, log=rejected.log,
        explanation=str(rejected), reason=Reason.of(rejected), **_costs(rejected.statistics),
    )  # fmt: skip


def _costs(statistics: Statistics | None) -> dict[str, Any]:
    if statistics is None:
        return {}
    return {
        "insns_processed": statistics.insns_processed,
        "states": statistics.total_states,
        "peak_states": statistics.peak_states,
        "verify_us": statistics.microseconds,
    }


def _failed(about: Verdict, error: BpfError) -> Verdict:
    unsupported = _unsupported(error)
    return replace(
        about,
        verdict="rejected" if unsupported else "error",
        errno="EOPNOTSUPP" if unsupported else _errno(error),
        rule=NOT_SUPPORTED if unsupported else "",
        message=str(error),
        explanation=str(error),
    )


def _unsupported(error: BaseException | None) -> bool:
    """Whether something that Linux has and skep has not is the reason."""
    while error is not None and not isinstance(error, NotSupported):
        error = error.__cause__
    return error is not None


def _errno(error: BpfError) -> str:
    if isinstance(error, CommandError):
        return error.errno_name
    return "ENOENT" if isinstance(error, LoadError) else "EINVAL"
