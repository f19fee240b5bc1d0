"""TaskStructs: the tasks of a world as kernel structs, for programs that follow pointers to them.

A struct is made when a program first asks for its task. It stays as long as the task, and longer if
programs hold references to it.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_task_acquire, bpf_task_from_pid).
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from skep.base.native import load32
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import NotSupported
from skep.runtime.kernel_objects import KernelObjects, KernelStruct

MANY: Final = 256  # structs from which on those of tasks that have ended are looked for


class Task(Protocol):
    """What a world knows of a task."""

    @property
    def pid(self) -> int:
        """The thread's number."""
        ...

    @property
    def tgid(self) -> int:
        """The process's number."""
        ...

    @property
    def uid(self) -> int:
        """Its user."""
        ...

    @property
    def gid(self) -> int:
        """Its group."""
        ...

    @property
    def comm_bytes(self) -> bytes:
        """Its name in 16 bytes."""
        ...


class TaskStructs:
    """The structs of one world's tasks.

    Args:
        objects: where they stand.
        types: finds the kernel's types.
        retire: keeps one that goes until no run can see it any more.
        alive: the numbers of all tasks there are.
    """

    def __init__(
        self,
        objects: KernelObjects,
        types: Callable[[], Btf | None],
        retire: Callable[[object], None],
        alive: Callable[[], frozenset[int]],
    ) -> None:
        self._objects, self._types, self._retire, self._alive = objects, types, retire, alive
        self._many = MANY
        self._made: dict[int, tuple[KernelStruct, KernelStruct]] = {}  # by pid: task, credentials
        self._references: Counter[int] = Counter()  # by address
        self._lock = threading.RLock()

    def address(self, task: Task) -> int:
        """Where the task_struct of *task* stands.

        Raises:
            NotSupported: the kernel's types are not known.
        """
        with self._lock:
            made = self._made.get(task.pid)
            if made is None:
                if len(self._made) >= self._many:
                    self.keep(self._alive() | {task.pid})
                    self._many = max(2 * len(self._made), MANY)
                made = self._made[task.pid] = self._make(task)
            return made[0].address

    def _make(self, task: Task) -> tuple[KernelStruct, KernelStruct]:
        btf = self._types()
        if btf is None or btf.by_name("task_struct", Kind.STRUCT) is None:
            raise NotSupported("a task_struct", "the types of a kernel are needed")
        cred = KernelStruct(self._objects, btf, "cred")
        users = {f"{kind}uid__val": task.uid for kind in ("", "e", "s", "fs")}
        groups = {f"{kind}gid__val": task.gid for kind in ("", "e", "s", "fs")}
        cred.put_known(**users, **groups)
        struct = KernelStruct(self._objects, btf, "task_struct")
        struct.put_known(
            pid=task.pid, tgid=task.tgid, comm=task.comm_bytes, cred=cred.address,
            real_cred=cred.address,
        )  # fmt: skip
        if task.pid == task.tgid:
            struct.put_known(group_leader=struct.address)
        return struct, cred

    def acquire(self, address: int) -> int:
        """One reference more; the address."""
        with self._lock:
            self._references[address] += 1
        return address

    def release(self, address: int) -> None:
        """One reference less."""
        with self._lock:
            self._references[address] -= 1
            if self._references[address] <= 0:
                del self._references[address]

    def keep(self, pids: frozenset[int]) -> None:
        """Let the structs of all other tasks go that nobody has a reference to."""
        with self._lock:
            for pid in [pid for pid in self._made if pid not in pids]:
                if not self._references[self._made[pid][0].address]:
                    self._retire(self._made.pop(pid))

    def pid_at(self, address: int) -> int:
        """The number of the task whose struct stands at *address*."""
        btf = self._types()
        struct = btf.by_name("task_struct", Kind.STRUCT) if btf is not None else None
        if btf is None or struct is None:
            raise NotSupported("a task_struct", "the types of a kernel are needed")
        return load32(address + btf.member_path(struct, "pid").offset)
