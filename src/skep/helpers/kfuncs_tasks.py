"""Kernel functions for tasks: found, held on to, and given work to do.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_task_acquire, bpf_task_from_pid,
bpf_task_work_schedule).
"""

from typing import Final

from skep.base.bits import U32, signed
from skep.helpers.binding import Known
from skep.helpers.kfunc_binding import KfuncBinding
from skep.runtime.world import World


def task_from_pid(world: World, _run: int, pid: int, _2: int, _3: int, _4: int, _5: int) -> int:
    """A reference to the task with that number; 0 if there is none."""
    tasks = {task.pid: task for task in world.tasks()}
    world.task_structs.keep(frozenset(tasks))
    found = tasks.get(signed(pid & U32, 32))
    return 0 if found is None else world.task_structs.acquire(world.task_structs.address(found))


def task_acquire(world: World, _run: int, task: int, _2: int, _3: int, _4: int, _5: int) -> int:
    """Another reference to the task."""
    return world.task_structs.acquire(task)


def task_release(world: World, _run: int, task: int, _2: int, _3: int, _4: int, _5: int) -> int:
    """Give a reference back."""
    world.task_structs.release(task)
    return 0


def schedule(
    world: World, _run: int, task: int, work: int, map_: int, callback: int, program: int
) -> int:
    """Let the callback run in the task's thread, when a run there has ended."""
    pid = world.task_structs.pid_at(task)
    return world.agenda.schedule(pid, work, map_, (program, callback))


BINDINGS: Final = (
    KfuncBinding("bpf_task_acquire", upcall=task_acquire),
    KfuncBinding("bpf_task_release", upcall=task_release),
    KfuncBinding("bpf_task_from_pid", upcall=task_from_pid),
    KfuncBinding("bpf_task_from_vpid", upcall=task_from_pid),
    KfuncBinding("bpf_task_work_schedule_signal_impl", upcall=schedule, known=Known.PROGRAM),
    KfuncBinding("bpf_task_work_schedule_resume_impl", upcall=schedule, known=Known.PROGRAM),
)
