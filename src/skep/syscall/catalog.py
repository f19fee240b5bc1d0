"""Where tables meet code: which helpers and kernel functions run, and how."""

from collections.abc import Iterator
from typing import Final

from skep.engine.interface import HelperCode, KfuncCode
from skep.helpers import (
    cgroups,
    checksum,
    control,
    dynptr,
    elsewhere,
    kfuncs,
    kfuncs_arena,
    kfuncs_cpumask,
    kfuncs_deferred,
    kfuncs_dynptr,
    kfuncs_objects,
    kfuncs_streams,
    kfuncs_strings,
    kfuncs_tasks,
    kfuncs_trees,
    maps,
    memory,
    network,
    output,
    reshape,
    routing,
    sockets,
    stacks,
    storage,
    syscalls,
    system,
    timers,
    tunnel,
    typed_output,
    vlan,
)
from skep.helpers.binding import Binding, Known
from skep.helpers.kfunc_binding import KfuncBinding
from skep.runtime.world import World
from skep.syscall.object_types import known_in, program_number

MODULES: Final = (
    maps, system, control, memory, dynptr, output, checksum, network, reshape, vlan, routing,
    sockets, tunnel, cgroups, storage, stacks, syscalls,
    typed_output, elsewhere, timers,
)  # fmt: skip
KFUNC_MODULES: Final = (
    kfuncs,
    kfuncs_dynptr,
    kfuncs_strings,
    kfuncs_objects,
    kfuncs_trees,
    kfuncs_cpumask,
    kfuncs_deferred,
    kfuncs_tasks,
    kfuncs_streams,
    kfuncs_arena,
)
BINDINGS: Final[tuple[Binding, ...]] = tuple(
    binding for module in MODULES for binding in module.BINDINGS
)
KFUNC_BINDINGS: Final[tuple[KfuncBinding, ...]] = tuple(
    binding for module in KFUNC_MODULES for binding in module.BINDINGS
)
THROW: Final = "bpf_throw"  # an end of the program, which the engines do themselves
KFUNCS: Final = frozenset(binding.name for binding in KFUNC_BINDINGS) | {THROW}
TAIL_CALL: Final = 12  # a jump, which the engines do themselves
IMPLEMENTED: Final = frozenset(binding.id for binding in BINDINGS) | {TAIL_CALL}


def helper_codes(world: World) -> Iterator[HelperCode]:
    """The code of every bound helper, for programs that run in *world*."""
    for binding in BINDINGS:
        told = program_number if binding.known is Known.PROGRAM else None
        yield HelperCode(binding.id, binding.native, binding.upcall_in(world), told)


def kfunc_codes(world: World) -> Iterator[KfuncCode]:
    """The code of every bound kernel function, for programs that run in *world*."""
    known = known_in(world)
    for binding in KFUNC_BINDINGS:
        told = known[binding.known] if binding.known else None
        yield KfuncCode(binding.name, binding.native, binding.upcall_in(world), told)
