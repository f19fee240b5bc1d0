"""Loads through pointers to kernel objects that may be stale."""

import pytest

from skep.btf.kinds import Kind
from skep.runtime.world import World
from skep.session.assembly import request_of
from skep.verifier import verify
from support.engines import ENGINES, subsystem

CHASE = """\
.type tracepoint
.func static main int
main:
call bpf_get_current_task_btf
r6 = *(u64 *)(r0 + {wakee})
{load}
r0 = r1
exit
"""
LOADS = ("r1 = *(u32 *)(r6 + {pid})", "w1 = load_acquire((u32 *)(r6 + {pid}))")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("load", LOADS)
def test_what_leads_nowhere_reads_as_zero_plain_or_atomic(engine: str, load: str) -> None:
    world = World()
    place = subsystem(engine, world)
    assert world.door is not None
    kernel = world.door.kernel_types
    assert kernel is not None
    task = kernel.by_name("task_struct", Kind.STRUCT)
    assert task is not None
    wakee, pid = (kernel.member_path(task, name).offset for name in ("last_wakee", "pid"))
    text = CHASE.format(wakee=wakee, load=load.format(pid=pid))
    entry = place.state.engine.compile(verify(request_of(text, kernel=kernel)))

    with world.running() as run:
        assert entry(run.address, run.address) == 0
