"""Request and Proof: all of the verifier that other layers may import, besides verify().

The verifier is a pure function of its request: whatever it must ask of the world (which map is
fd 5, which types does the kernel have) it asks an ``Environment`` passed in with it.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from skep.btf.graph import Btf
from skep.isa.insn import Insn
from skep.uapi.program_types import ProgramType

if TYPE_CHECKING:
    from skep.verifier.check import Check


class MapShape(Protocol):
    """What the verifier and the compiler need to know of a map; every Map satisfies it."""

    id: int
    map_type: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int
    frozen: bool
    btf: Btf | None
    btf_key_type_id: int
    btf_value_type_id: int
    address: int  # of the native descriptor: what r1 = map[fd] loads
    inner: "MapShape | None"  # template of a map-in-map

    def constant(self, offset: int, size: int) -> int | None:
        """Bytes of a frozen read-only array's first value as an unsigned int, else None."""
        ...

    def value_address(self, offset: int) -> int | None:
        """Address of *offset* into an array map's values (BPF_PSEUDO_MAP_VALUE), else None."""
        ...


class Environment(Protocol):
    """What the verifier may ask of the subsystem that calls it."""

    @property
    def kernel_btf(self) -> Btf | None:
        """The BTF in force, or None."""
        ...

    def map_by_fd(self, fd: int) -> MapShape | None:
        """The map that *fd* names, or None if it names none."""
        ...

    def btf_by_fd(self, fd: int) -> Btf | None:
        """The BTF object that *fd* names, or None."""
        ...

    def helper_implemented(self, helper: int) -> bool:
        """Whether skep can run the helper; if not, loading a program that calls it is refused."""
        ...


class Observer(Protocol):
    """Sees a verification while it runs, and changes nothing of it."""

    def arrive(self, check: "Check") -> None:
        """``check.pc`` is about to be examined, coming from ``check.previous_pc``."""
        ...

    def remember(self, pc: int) -> None:
        """A state is remembered at *pc*."""
        ...


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """One record of ``func_info``: slot and BTF type id of a FUNC."""

    pc: int
    type_id: int


@dataclass(frozen=True, slots=True)
class LineInfo:
    """One record of ``line_info``, its strings resolved."""

    pc: int
    file: str
    line: int
    column: int
    text: str


class LineTable(Sequence[LineInfo]):
    """Records of ``line_info`` as they were handed over; strings are read when someone asks.

    Args:
        words: four of each record: slot, offsets of file and text, line and column.
        btf: where the strings are.
    """

    def __init__(self, words: "array[int]", btf: Btf) -> None:
        self._words = words
        self._btf = btf
        self.starts: list[int] = words[::4].tolist()

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: object) -> LineInfo:  # type: ignore[override]  # no slices
        assert isinstance(index, int)
        pc = self.starts[index]
        at = 4 * (index % len(self.starts))
        _, file, text, place = self._words[at : at + 4]
        return LineInfo(
            pc, self._btf.string(file), place >> 10, place & 0x3FF, self._btf.string(text)
        )

    def first_nameless(self) -> int:
        """The first record that names strings which the BTF does not have; -1 if none does."""
        limit = self._btf.string_size
        files, texts = self._words[1::4], self._words[2::4]
        if not files or max(*files, *texts) < limit:
            return -1
        wrong = [n for n, file in enumerate(files) if file >= limit or texts[n] >= limit]
        return wrong[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A program to prove, as PROG_LOAD described it."""

    insns: Sequence[Insn]
    program_type: ProgramType
    environment: Environment
    expected_attach_type: int = 0
    prog_flags: int = 0
    license: str = ""
    name: str = ""
    btf: Btf | None = None
    function_infos: Sequence[FunctionInfo] = ()
    line_infos: Sequence[LineInfo] = ()
    attach_btf: Btf | None = None
    attach_btf_id: int = 0
    attach_program: "Proof | None" = None
    fd_array: Sequence[int] | None = None
    log_level: int = 0
    privileged: bool = True  # CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON
    has_cap_bpf: bool = False  # though not privileged: it may be large and have functions
    collect_journal: bool = False
    observer: Observer | None = None


class Memory(IntEnum):
    """What a load or store was proved to touch: the compiler picks the access by it."""

    UNKNOWN = 0
    STACK = 1
    CONTEXT = 2
    MAP_VALUE = 3
    PACKET = 4
    BTF = 5  # may fault: the load gives 0 outside the region of kernel objects
    MEMORY = 6  # ring buffer records, buffers, sockets: always valid
    ARENA = 7


class CallFact:
    """What is known of one call instruction.

    Args:
        helper: helper id, or 0.
        map: the only map that reaches argument 1 (2 for tail_call).
        constant_key: value of a constant 32-bit key or tail-call index.
        callback: first pc of the callback, where there is only one.
        kfunc: name of the kernel function.
        type_id: of the struct that the kfunc allocates, in the program's BTF.
    """

    __slots__ = ("callback", "constant_key", "helper", "kfunc", "map", "type_id")

    def __init__(
        self,
        helper: int = 0,
        map: MapShape | None = None,  # noqa: A002
        constant_key: int | None = None,
        callback: int = -1,
        kfunc: str = "",
        type_id: int = 0,
    ) -> None:
        self.helper = helper
        self.map = map
        self.constant_key = constant_key
        self.callback = callback
        self.kfunc = kfunc
        self.type_id = type_id


# These two are not frozen, which would make the making of one three times as long.
@dataclass(slots=True, unsafe_hash=True)
class Subprogram:
    """A function of the program: slots ``start`` to ``end`` (exclusive). Nobody changes one."""

    start: int
    end: int
    name: str
    stack_depth: int
    is_global: bool = False
    is_callback: bool = False
    has_tail_call: bool = False
    changes_packet: bool = False
    might_sleep: bool = False
    might_throw: bool = False
    is_exception_callback: bool = False
    type_id: int = 0  # BTF id of its FUNC; 0 without
    is_reliable: bool = False  # its BTF says what it is called with
    runs_asleep: bool = False  # it is verified for being called where one may sleep


class Statistics:
    """What a verification cost; *stack_depth* is written as "16+0"."""

    __slots__ = (
        "insns_processed", "max_states_per_insn", "microseconds", "peak_states", "stack_depth",
        "total_states",
    )  # fmt: skip

    def __init__(
        self,
        insns_processed: int,
        total_states: int,
        peak_states: int,
        max_states_per_insn: int,
        microseconds: int,
        stack_depth: str,
    ) -> None:
        self.insns_processed = insns_processed
        self.total_states = total_states
        self.peak_states = peak_states
        self.max_states_per_insn = max_states_per_insn
        self.microseconds = microseconds
        self.stack_depth = stack_depth


@dataclass(slots=True, kw_only=True, eq=False)
class Proof:
    """A program that may run. Nobody changes one.

    *insns* is what runs: contexts' pointer fields rewritten to their native slots (see
    ``skep.uapi.contexts``), one for one, so a pc means the same before and after.
    """

    request: Request
    insns: tuple[Insn, ...]
    subprograms: tuple[Subprogram, ...]
    maps: tuple[MapShape, ...]
    seen: bytes  # 1 where some path reaches the slot
    memory: bytes  # Memory of each load, store and atomic
    calls: Mapping[int, CallFact] = field(default_factory=dict)
    map_at: Mapping[int, MapShape] = field(default_factory=dict)  # LD_IMM64 of maps and map values
    callback_at: Mapping[int, int] = field(default_factory=dict)  # LD_IMM64 PSEUDO_FUNC: pc to pc
    btf_address_at: Mapping[int, tuple[str, int]] = field(default_factory=dict)  # ksym, type id
    moved: bytes = b""  # which operand of a sum is a pointer: 1 or 2; 3: not always the same
    attach_as_expected: bool = False  # results mean something only where it was loaded for
    buffers: Mapping[str, int] = field(default_factory=dict)  # bytes: rdonly, rdwr, tracepoint
    statistics: Statistics
    log: str = ""
    journal: Sequence[object] = ()
