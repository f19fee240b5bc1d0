"""Every exception a caller can catch, as one tree.

::

    BpfError                    a refusal; fields for machines, __str__ for people
    ├── FormatError             bytes are not what they claim: where, what was found, expected
    │   ├── ElfError
    │   ├── BtfError
    │   ├── DecodeError         instructions
    │   ├── CaptureError        pcap, pcapng and hex packets
    │   └── LogError            messages of a log
    ├── AssemblyError           text: line, column, token, what may stand there
    ├── LoadError               a good object that cannot be loaded here
    │   ├── SectionError        unknown SEC() name; the nearest known
    │   ├── RelocationError     local spec, every candidate, why each failed
    │   └── ExternError
    ├── NotSupported            exists in Linux, not here: names what and why
    ├── CommandError            bpf(2) answered -errno: command, errno, its documented meaning
    │   └── Rejected            the verifier (see skep.verifier.report)
    └── RunError                a fault while running: pc, address, what the access hit
    InternalError               not a BpfError: a bug in skep; carries what to report
"""

import errno as errno_numbers

_ERRNO_NAMES = {**errno_numbers.errorcode, 95: "EOPNOTSUPP", 524: "ENOTSUPP"}  # as in Linux


def errno_name(number: int) -> str:
    """Name of a positive errno as the kernel's sources spell it, ``EACCES``."""
    return _ERRNO_NAMES.get(number, str(number))


def errno_number(name: str) -> int:
    """The errno that is called *name*, 0 if none is."""
    return next((number for number, each in _ERRNO_NAMES.items() if each == name), 0)


class BpfError(Exception):
    """A refusal. Subclasses carry fields; the text is made from them."""

    @property
    def fields(self) -> dict[str, object]:
        """The fields that logs, JSON output and tests see."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}


class FormatError(BpfError):
    """Bytes are not what they claim to be.

    Args:
        source: file name, or what the bytes are ("BTF of x.bpf.o").
        where: section, table or field.
        offset: bytes from the start of *where*; -1 if none applies.
        found: what was read.
        expected: what may stand there.
    """

    def __init__(
        self, *, source: str, where: str, found: str, expected: str, offset: int = -1
    ) -> None:
        place = f"{where}+{offset:#x}" if offset >= 0 else where
        super().__init__(f"{source}: {place}: found {found}, expected {expected}")
        self.source, self.where, self.offset = source, where, offset
        self.found, self.expected = found, expected


class ElfError(FormatError):
    """Not a well-formed ELF object for BPF."""


class BtfError(FormatError):
    """Not well-formed BTF.

    Args:
        source: see FormatError.
        where: see FormatError.
        found: see FormatError.
        expected: see FormatError.
        offset: see FormatError.
        type_id: the type that is wrong; 0 if none in particular.
        errno: what BTF_LOAD answers to it.
    """

    def __init__(
        self,
        *,
        source: str,
        where: str,
        found: str,
        expected: str,
        offset: int = -1,
        type_id: int = 0,
        errno: int = errno_numbers.EINVAL,
    ) -> None:
        super().__init__(source=source, where=where, found=found, expected=expected, offset=offset)
        self.type_id, self.errno = type_id, errno


class DecodeError(FormatError):
    """Not a well-formed instruction stream."""


class CaptureError(FormatError):
    """Not a well-formed packet capture."""


class LogError(FormatError):
    """Not a well-formed log of messages."""


class AssemblyError(BpfError):
    """Text that is not BPF assembly; *line* and *column* count from 1."""

    def __init__(self, *, line: int, column: int, token: str, expected: str) -> None:
        super().__init__(f"line {line}, column {column}: {token!r}, expected {expected}")
        self.line, self.column, self.token, self.expected = line, column, token, expected


class LoadError(BpfError):
    """A well-formed object that cannot be loaded here."""

    def __init__(self, message: str, *, source: str = "", name: str = "", hint: str = "") -> None:
        text = ": ".join(part for part in (source, name, message) if part)
        super().__init__(f"{text} ({hint})" if hint else text)
        self.message, self.source, self.name, self.hint = message, source, name, hint


class SectionError(LoadError):
    """A section name that names no program type."""


class RelocationError(LoadError):
    """A relocation that cannot be resolved.

    Args:
        message: what is wrong, in words.
        source: object file.
        name: program or section.
        hint: what may help.
        local: what the program asks for, as CO-RE spells it.
        candidates: each type that was tried, and what came of it.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str = "",
        name: str = "",
        hint: str = "",
        local: str = "",
        candidates: tuple[str, ...] = (),
    ) -> None:
        about = f"{local}: {message}" if local else message
        lines = "".join(f"\n  candidate {candidate}" for candidate in candidates)
        super().__init__(about + lines, source=source, name=name, hint=hint)
        self.local, self.candidates = local, candidates


class ExternError(LoadError):
    """An extern symbol that nothing provides."""


class NotSupported(BpfError):  # noqa: N818 - the project's word
    """Something that Linux has and skep does not have yet, or cannot have.

    Args:
        what: the thing, by its Linux name ("map type struct_ops").
        why: one clause.
    """

    def __init__(self, what: str, why: str = "not implemented yet") -> None:
        super().__init__(f"{what} is not supported: {why}")
        self.what, self.why = what, why


class CommandError(BpfError):
    """bpf(2) answered ``-errno``.

    Args:
        command: name of the command, as ``MAP_CREATE``.
        errno: positive error number.
        message: what was wrong, in words.
    """

    def __init__(self, command: str, errno: int, message: str) -> None:
        super().__init__(f"{command}: {errno_name(errno)}: {message}")
        self.command, self.errno, self.message = command, errno, message

    @property
    def errno_name(self) -> str:
        """The errno as a name, as ``EACCES``."""
        return errno_name(self.errno)


class RunError(BpfError):
    """A program did what verified programs cannot do, or its run was stopped."""

    def __init__(self, message: str, *, pc: int = -1, address: int = 0) -> None:
        at = f"insn {pc}: " if pc >= 0 else ""
        super().__init__(f"{at}{message}")
        self.message, self.pc, self.address = message, pc, address


class InternalError(Exception):
    """This should never happen. If it does, it is a bug in skep: please report it."""
