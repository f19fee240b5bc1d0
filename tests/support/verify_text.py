"""Programs as text, judged by verify(): what the verifier's unit tests are written in."""

from collections.abc import Sequence

from skep.btf.graph import Btf
from skep.isa.assembler import assemble
from skep.uapi.program_types import by_name
from skep.verifier import Proof, Rejected, Request, verify
from skep.verifier.interface import FunctionInfo, MapShape
from support.verify_case import World


def request(
    text: str,
    *,
    kind: str = "socket_filter",
    maps: dict[int, MapShape] | None = None,
    functions: Sequence[FunctionInfo] = (),
    btf: Btf | None = None,
    flags: int = 0,
    privileged: bool = True,
    journal: bool = False,
) -> Request:
    """Make a request of assembly *text*; *maps* by fd."""
    program_type = by_name(kind)
    assert program_type is not None
    world = World(None)
    world.maps = maps or {}
    return Request(
        insns=assemble(text),
        program_type=program_type,
        environment=world,
        license="GPL",
        prog_flags=flags,
        btf=btf,
        function_infos=functions,
        privileged=privileged,
        collect_journal=journal,
    )


def accepted(wanted: Request) -> Proof:
    """The proof; the test fails if the program is rejected."""
    return verify(wanted)


def rejected(wanted: Request) -> Rejected:
    """The verdict; the test fails if the program is accepted."""
    try:
        verify(wanted)
    except Rejected as verdict:
        return verdict
    raise AssertionError("the program was accepted")
