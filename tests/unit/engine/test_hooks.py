"""What stands at functions, where those are left early."""

import ctypes

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.engine.hooks import FunctionHooks, Tracer
from skep.engine.interface import Engine
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.upcalls import PROTOTYPE
from skep.runtime.world import World
from skep.session.assembly import request_of
from skep.verifier import verify

THROWS = """\
.type sched_cls
.func static main int
.func static thrower int u64
main:
r1 = 5
call thrower
r0 = 1
exit
thrower:
call kfunc[bpf_throw]
r0 = 0
exit
"""


class Seen:
    """Machine code that notes that it was called."""

    def __init__(self) -> None:
        self.times = 0
        self._code = PROTOTYPE(self._note)
        self.address = ctypes.cast(self._code, ctypes.c_void_p).value or 0

    def _note(self, *_: int) -> int:
        self.times += 1
        return 0


@pytest.fixture(params=[Interpreter, LlvmEngine])
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.param()
    return made


@pytest.mark.parametrize(("function", "times"), [("thrower", 0), ("main", 1)])
def test_only_what_returns_is_seen_to_end_when_something_is_thrown(
    engine: Engine, function: str, times: int
) -> None:
    proof = verify(request_of(THROWS, kernel=Btf.parse(SHIPPED.read_bytes())))
    start = next(part.start for part in proof.subprograms if part.name == function)
    seen, world = Seen(), World()
    entry = engine.compile(proof, {start: FunctionHooks(after=(Tracer(seen),), arguments=1)})
    run = world.take()

    assert entry(run.address, run.address) == 5
    assert seen.times == times
    world.give(run)
