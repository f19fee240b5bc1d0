"""Maps and the helpers that get them.

Source: Linux 6.18 kernel/bpf/verifier.c (record_func_map, record_func_key,
check_map_func_compatibility).
"""

from typing import Final

from skep.uapi.helper_rows_core import (
    FOR_EACH_MAP_ELEM,
    MAP_DELETE_ELEM,
    MAP_LOOKUP_ELEM,
    MAP_LOOKUP_PERCPU_ELEM,
    MAP_PEEK_ELEM,
    MAP_POP_ELEM,
    MAP_PUSH_ELEM,
    MAP_UPDATE_ELEM,
    TAIL_CALL,
)
from skep.uapi.helper_rows_network import REDIRECT_MAP
from skep.uapi.map_types import takes_map
from skep.verifier.check import Check
from skep.verifier.interface import CallFact, MapShape
from skep.verifier.rules.calls import MAP_HELPER_FIT, MAP_WRITABLE, TAIL_CALL_MAP
from skep.verifier.scalar import Scalar
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.regions import RDONLY_PROG, program_flags

_TAIL_CALL: Final = TAIL_CALL.id
_CHANGES: Final = frozenset(
    row.id for row in (MAP_DELETE_ELEM, MAP_UPDATE_ELEM, MAP_PUSH_ELEM, MAP_POP_ELEM)
)
_RECORDED: Final = _CHANGES | {
    row.id
    for row in (
        TAIL_CALL, MAP_LOOKUP_ELEM, MAP_PEEK_ELEM, FOR_EACH_MAP_ELEM, REDIRECT_MAP,
        MAP_LOOKUP_PERCPU_ELEM,
    )
}  # fmt: skip


def note_map(check: Check, call: Call) -> None:
    """Record for the compiler which map, and which constant key, reach the call."""
    shape = call.map
    key: int | None = None
    if shape is not None and call.id in _RECORDED:
        if program_flags(shape) & RDONLY_PROG and call.id in _CHANGES:
            check.refuse(MAP_WRITABLE, "write into map forbidden")
        if call.id == _TAIL_CALL:
            key = _constant_index(check, shape.max_entries)
        elif call.const_key >= 0:
            key = call.const_key
    _note(check, call.id, shape, key, _callback(check, call))


def _callback(check: Check, call: Call) -> int:
    if call.subprogram < 0:
        return -1
    return check.program.functions[call.subprogram].start


def _constant_index(check: Check, limit: int) -> int | None:
    index = check.frame.regs[3]
    if not isinstance(index, Scalar) or not index.is_const or index.value >= limit:
        return None
    check.mark_precise(3)
    return index.value


def _note(check: Check, helper: int, shape: MapShape | None, key: int | None, back: int) -> None:
    """Keep what holds on all paths to the call."""
    before = check.calls.get(check.pc)
    if before is None:
        check.calls[check.pc] = CallFact(helper=helper, map=shape, constant_key=key, callback=back)
        return
    same_map = before.map is shape
    if same_map and before.constant_key == key and before.callback == back:
        return
    if not same_map and helper == _TAIL_CALL and not check.privileged:
        check.refuse(TAIL_CALL_MAP, "tail_call abusing map_ptr")
    check.calls[check.pc] = CallFact(
        helper=helper,
        map=shape if same_map else None,
        constant_key=key if before.constant_key == key else None,
        callback=back if before.callback == back else -1,
    )


def require_map_fits(check: Check, call: Call) -> None:
    """Require that the helper works on maps of this type."""
    shape = call.map
    if shape is None or check.step.fits is shape:
        return
    program_type = check.request.program_type.id
    if not takes_map(call.id, shape.map_type, program_type, check.attach_type):
        check.refuse(
            MAP_HELPER_FIT,
            f"cannot pass map_type {shape.map_type} into func bpf_{call.helper.name}#{call.id}",
        )
    check.step.fits = shape
