"""Callbacks that kfuncs run, and what they may do.

Source: Linux 6.18 kernel/bpf/verifier.c (in_rbtree_lock_required_cb, set_timer_callback_state,
set_rbtree_add_callback_state).
"""

from typing import Final

from skep.isa.table import Sem
from skep.verifier.check import Check
from skep.verifier.interface import MapShape
from skep.verifier.state import Frame
from skep.verifier.values import CONST_MAP_PTR, MAP_KEY, MAP_VALUE, map_pointer

TASK_WORK_FUNCTIONS: Final = frozenset(
    ("bpf_task_work_schedule_signal_impl", "bpf_task_work_schedule_resume_impl")
)
TREE_FUNCTIONS: Final = frozenset(
    (
        "bpf_rbtree_add_impl", "bpf_rbtree_remove", "bpf_rbtree_first", "bpf_rbtree_root",
        "bpf_rbtree_left", "bpf_rbtree_right",
    )
)  # fmt: skip


def in_tree_callback(check: Check) -> bool:
    """Whether the innermost function compares nodes for bpf_rbtree_add()."""
    frame = check.state.frames[-1]
    if not frame.in_callback or len(check.state.frames) == 1:
        return False
    step = check.program.steps[frame.callsite]
    kernel = check.kernel_btf
    if step is None or step.sem is not Sem.KFUNC or kernel is None:
        return False
    return kernel.type(step.imm).name in TREE_FUNCTIONS


def give_map_element(callee: Frame, shape: MapShape, map_uid: int) -> None:
    """Make r1 the map, r2 the key and r3 the value, as callbacks that run later get them."""
    for register, kind in ((1, CONST_MAP_PTR), (2, MAP_KEY), (3, MAP_VALUE)):
        pointer = map_pointer(kind, shape)
        pointer.map_uid = map_uid
        callee.regs[register] = pointer
