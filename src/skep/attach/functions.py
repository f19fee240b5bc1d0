"""Programs on functions of other programs: one that takes a function's place, others that trace it.

The target is compiled again with what stands at its functions (``skep.engine.hooks``), and what it
was compiled to before comes back when nothing does. Runs that are under way end in the code that
they began in.

Source: Linux 6.18 kernel/bpf/trampoline.c (__bpf_trampoline_link_prog), kernel/bpf/syscall.c
(bpf_tracing_link_release, bpf_tracing_link_fill_link_info).
"""

from collections.abc import Callable, Iterator
from typing import ClassVar, Final

from skep.attach.links import Attachable, Link, expect
from skep.base.layout import Layout
from skep.uapi import infos, link_types
from skep.uapi import reasons_functions as reasons
from skep.uapi.flags import AttachType, LinkType, ProgType
from skep.verifier.interface import Memory, Proof, Subprogram

MOST_TRACERS: Final = 38  # on one function
REGISTERS: Final = 5

Change = Callable[["Functions"], object]  # carries out what stands at the functions of a program


class FunctionLink(Link):
    """A program at a function of another program.

    Attributes:
        function: the function.
        type_id: its BTF id.
        cookie: what bpf_get_attach_cookie answers.
    """

    layout: ClassVar[type[Layout]] = infos.TracingLinkInfo

    def __init__(
        self,
        id: int,  # noqa: A002
        program: Attachable,
        how: tuple[int, int],
        target: "Functions",
        function: Subprogram,
    ) -> None:
        attach_type, self.cookie = how
        super().__init__(id, link_types.of(LinkType.TRACING), program, attach_type)
        self.target, self.function = target, function

    @property
    def extends(self) -> bool:
        """Whether the program takes the function's place."""
        return self.program.type.id == ProgType.EXT

    @property
    def is_at_end(self) -> bool:
        """Whether the program runs after the function."""
        return self.program.proof.request.expected_attach_type == AttachType.TRACE_FEXIT

    def release(self) -> None:
        """Take the program off the function."""
        self.target.remove(self)

    def details(self) -> dict[str, int]:
        """See ``Link.details``."""
        return {
            "attach_type": self.attach_type,
            "target_obj_id": self.target.program.id,
            "target_btf_id": self.function.type_id,
            "cookie": self.cookie,
        }


class Functions:
    """The functions of one program, and what stands at them. Callers hold the objects' lock.

    Args:
        program: whose functions they are.
        change: called when what stands at them has changed.

    Attributes:
        in_arrays: how often the program stands in program arrays.
        callers: functions of programs at which this program stands itself.
    """

    def __init__(self, program: Attachable, change: Change) -> None:
        self.program, self._change = program, change
        self.in_arrays = 0
        self.callers: list[Functions] = []
        self._links: list[FunctionLink] = []

    @property
    def is_extended(self) -> bool:
        """Whether an extension stands at one of them."""
        return any(link.extends for link in self._links)

    @property
    def is_traced(self) -> bool:
        """Whether something traces one of them."""
        return any(not link.extends for link in self._links)

    def at(self, start: int) -> Iterator[FunctionLink]:
        """What stands at the function at slot *start*, the last to come first."""
        return (link for link in reversed(self._links) if link.function.start == start)

    @property
    def starts(self) -> set[int]:
        """Slots of the functions at which something stands."""
        return {link.function.start for link in self._links}

    def add(self, link: FunctionLink, own: "Functions") -> None:
        """Put a program, whose own functions are *own*, at a function.

        Raises:
            HookError: EBUSY, E2BIG.
        """
        there = list(self.at(link.function.start))
        expect(not any(each.extends for each in there), reasons.EXTENDED)
        if link.extends:
            expect(not there, reasons.TRACED)
            expect(not self.in_arrays, reasons.IN_ARRAY)
        else:
            expect(not self.in_arrays, reasons.TRACED_IN_ARRAY)
            expect(len(there) < MOST_TRACERS, reasons.FULL)
            expect(not reads_objects(link.program.proof), reasons.OBJECTS)
        self._links.append(link)
        own.callers.append(self)
        try:
            self.change()
        except BaseException:
            self._links.remove(link)
            own.callers.remove(self)
            raise

    def remove(self, link: FunctionLink) -> None:
        """Take a program off; nothing if it has come off already."""
        if link not in self._links:
            return
        self._links.remove(link)
        own: Functions = link.program.functions
        own.callers.remove(self)
        self.change()

    def change(self) -> None:
        """Carry out what has changed, also where the program stands itself."""
        self._change(self)
        for caller in self.callers:
            caller.change()


def words_seen(target: Proof, function: Subprogram) -> int:
    """How many words of arguments a tracer of *function* sees before the result."""
    btf = target.request.btf
    if btf is None or not function.is_reliable:
        return REGISTERS
    return len(btf.func_proto(function.type_id).params)


def reads_objects(proof: Proof) -> bool:
    """Whether a program follows pointers to kernel objects."""
    return Memory.BTF in proof.memory
