"""The tasks of a world as kernel structs."""

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.runtime.kernel_objects import KernelObjects
from skep.runtime.task_structs import TaskStructs
from skep.runtime.world import Task


def test_structs_of_tasks_that_have_ended_make_room_for_others() -> None:
    kernel = Btf.parse(SHIPPED.read_bytes())
    alive = frozenset({1, 2})
    gone: list[object] = []
    objects = KernelObjects(1 << 23)  # of some 2400 tasks
    structs = TaskStructs(objects, lambda: kernel, gone.append, lambda: alive)
    first = structs.address(Task(1, 1, 0, 0, "first"))
    held = structs.acquire(structs.address(Task(3, 1, 0, 0, "held")))

    for pid in range(10, 4000):
        structs.address(Task(pid, 1, 0, 0, "brief"))
        gone.clear()

    assert structs.address(Task(1, 1, 0, 0, "first")) == first
    assert structs.pid_at(held) == 3
