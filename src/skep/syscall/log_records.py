"""The records of a refusal: what is known of it, as fields.

Invariant: every refusal gives at least one record; a log that was cut hides nothing of why the
command was refused in the first place.
"""

from collections.abc import Iterator, Mapping
from errno import (
    E2BIG,
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    ENOENT,
    ENOMEM,
    ENOSPC,
    EOPNOTSUPP,
    EPERM,
)
from functools import cache
from types import ModuleType
from typing import Final

from skep.errors import BtfError, CommandError
from skep.uapi.commands import COMMANDS, ENOTSUPP
from skep.uapi.reason import Refusal
from skep.uapi.record import LogCause, LogRecord
from skep.verifier import Rejected
from skep.verifier.interface import LineInfo
from skep.verifier.rules import calls, flow, memory, registers, resources
from skep.verifier.rules.rule import NOT_SUPPORTED, Rule

# The categories of Linux 7.3's reports, by the module of the rule; some rules are of another one.
CATEGORIES: Final[tuple[tuple[ModuleType, str], ...]] = (
    (flow, "Program Structure"),
    (memory, "Memory Safety"),
    (registers, "Register Type Safety"),
    (calls, "Call Type Safety"),
    (resources, "Resource Lifetime Safety"),
)
OTHER_CATEGORIES: Final[Mapping[str, str]] = {
    "insn-budget": "Verifier Limit",
    "jump-sequence": "Verifier Limit",
    "loop-progress": "Verifier Limit",
    "call-depth": "Verifier Limit",
    "stack-depth": "Verifier Limit",
    "program-size": "Verifier Limit",
    "subprogram-count": "Verifier Limit",
    "map-count": "Verifier Limit",
    NOT_SUPPORTED.id: "Verifier Limit",
    "access-through-pointer": "Register Type Safety",
    "register-initialised": "Register Type Safety",
    "return-scalar": "Register Type Safety",
    "call-may-sleep": "Execution Context Safety",
    "no-call-under-lock": "Execution Context Safety",
    "no-call-in-critical-section": "Execution Context Safety",
    "not-in-critical-section": "Execution Context Safety",
    "tail-call-outside-callback": "Execution Context Safety",
    "no-legacy-load-in-callback": "Execution Context Safety",
    "helper-gpl": "Policy",
    "kfunc-gpl": "Policy",
    "kernel-access-gpl": "Policy",
    "helper-available": "Policy",
    "kfunc-available": "Policy",
    "privileged-call": "Policy",
    "kernel-access-privileged": "Policy",
    "unprivileged-pointer-bounds": "Policy",
    "no-address-stored": "Policy",
}
# Of refusals that are not the verifier's, by errno.
ARGUMENT: Final = "Argument"
UNNAMED: Final = "BPF"  # a command that is not known where it is refused
BY_ERRNO: Final[Mapping[int, str]] = {
    EPERM: "Policy",
    EACCES: "Policy",
    EBADF: "Reference",
    ENOENT: "Reference",
    EFAULT: "Address",
    EEXIST: "State",
    EBUSY: "State",
    EAGAIN: "State",
    E2BIG: "Limit",
    ENOMEM: "Limit",
    ENOSPC: "Limit",
    EOPNOTSUPP: "Not Supported",
    ENOTSUPP: "Not Supported",
}
LAYOUTS: Final = {command.name: command.layout for command in COMMANDS}


def records_of(command: str, error: BaseException) -> tuple[LogRecord, ...]:
    """What is known of why *command* was refused with *error*; the answer first.

    Not every refusal is bpf(2)'s: an error that names another call is about that.
    """
    return tuple(_records(command, error))


def _records(command: str, error: BaseException) -> Iterator[LogRecord]:
    named = error.command if isinstance(error, CommandError) else UNNAMED
    yield _record(command if named == UNNAMED else named, error)
    before = error.__context__
    if isinstance(before, CommandError):  # the log of another refusal was cut
        yield from _records(command, before)


def _record(command: str, error: BaseException) -> LogRecord:
    if isinstance(error, Rejected):
        return _of_rejected(command, error)
    if isinstance(error, Refusal):
        return _of_refusal(command, error)
    errno = error.errno if isinstance(error, CommandError) else EFAULT  # else it is a Fault
    return LogRecord(str(error), command, errno, category=BY_ERRNO.get(errno, ARGUMENT))


def _of_refusal(command: str, error: Refusal) -> LogRecord:
    layout, cause = LAYOUTS.get(command), error.__cause__
    members = layout.members() if layout is not None else ()
    sizes = [member.size for member in members if member.name == error.field]
    record = LogRecord(
        error.reason, command, error.errno, error.rule, BY_ERRNO.get(error.errno, ARGUMENT),
        error.field, error.offset, sizes[0] if sizes else int(error.offset >= 0),
        _shown(error.found), error.allowed, error.hint,
    )  # fmt: skip
    if not isinstance(cause, BtfError):
        return record
    return record._replace(
        category="BTF", found=cause.found, allowed=cause.expected,
        type_id=cause.type_id or -1, btf_offset=cause.offset,
    )  # fmt: skip


def _shown(found: object) -> str:
    if found is None:
        return ""
    return repr(found.rstrip(b"\0"))[1:] if isinstance(found, bytes) else str(found)


def _of_rejected(command: str, error: Rejected) -> LogRecord:
    line = error.line
    causes = tuple(
        LogCause(cause.pc, _plain(cause.insn), cause.effect, _place(error.line_at(cause.pc)))
        for cause in error.causes
    )
    return LogRecord(
        error.detail, command, error.errno, error.rule.id, category_of(error.rule),
        found=error.found, allowed=error.rule.sentence, hint=error.hint,
        pc=error.pc, insn=_plain(error.insn),
        file=line.file if line is not None else "",
        line=line.line if line is not None else 0,
        column=line.column if line is not None else 0,
        text=line.text if line is not None else "",
        causes=causes,
    )  # fmt: skip


def _place(line: LineInfo | None) -> str:
    return f"{line.file}:{line.line}" if line is not None else ""


def _plain(insn: str) -> str:
    """An instruction of the log without its opcode: ``(85) call f`` is ``call f``."""
    return insn.partition(") ")[2] if insn.startswith("(") else insn


def category_of(rule: Rule) -> str:
    """The category of Linux 7.3 that *rule* belongs to."""
    return OTHER_CATEGORIES.get(rule.id) or _by_rule().get(rule.id, "Program Structure")


@cache
def _by_rule() -> Mapping[str, str]:
    return {
        row.id: category
        for module, category in CATEGORIES
        for row in vars(module).values()
        if isinstance(row, Rule)
    }
