"""What the heap must know of the types that programs allocate, out of their BTF.

A program's object has the special fields that the verifier found in its type.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from skep.btf import special_fields as special
from skep.btf.kinds import Kind
from skep.btf.special_fields import Record
from skep.errors import NotSupported
from skep.helpers.binding import Known
from skep.runtime.heap import DEFERRED, KPTR, LIST, LIST_OWNER, TREE, TREE_OWNER, Description
from skep.runtime.world import World
from skep.uapi.program_types import Packet
from skep.verifier.interface import CallFact, Proof
from skep.verifier.records import Records

KINDS: Final[Mapping[int, int]] = {
    special.KPTR_REF: KPTR,
    special.KPTR_PERCPU: KPTR,
    special.LIST_HEAD: LIST,
    special.RB_ROOT: TREE,
    special.TIMER: DEFERRED,
    special.WORKQUEUE: DEFERRED,
    special.TASK_WORK: DEFERRED,
}
OWNERS: Final[Mapping[int, int]] = {special.LIST_NODE: LIST_OWNER, special.RB_NODE: TREE_OWNER}


def describe(record: Record | None, size: int, copies: int = 1) -> Description:
    """What the heap must know of a type of *size* bytes with these special fields."""
    fields = record.fields if record is not None else []
    counts = [field.offset for field in fields if field.kind == special.REFCOUNT]
    return Description(
        size,
        counts[0] if counts else -1,
        tuple((KINDS[field.kind], field.offset) for field in fields if field.kind in KINDS),
        tuple((field.offset, OWNERS[field.kind]) for field in fields if field.kind in OWNERS),
        copies,
    )


def what_is_owned(world: World, record: Record | None, size: int) -> tuple[int, int] | None:
    """Who lets go what a map's values of *size* bytes own, and the description of their type."""
    if record is None or not any(field.kind in KINDS for field in record.fields):
        return None
    heap = world.objects.heap
    return heap.free_value_address, heap.describe(describe(record, size))


def packet_writable(proof: Proof, fact: CallFact) -> int:
    """1 if the program may write to packets."""
    del fact
    row = proof.request.program_type
    return int(row.packet is Packet.WRITE or row.packet_in_any_helper)


def _object_type(world: World, copies: int, proof: Proof, fact: CallFact) -> int:
    btf = proof.request.btf
    if btf is None:
        raise NotSupported(f"kfunc {fact.kfunc}", "the program has no BTF")
    record = Records(proof.request.environment.kernel_btf).of_type(btf, fact.type_id)
    return world.objects.heap.describe(describe(record, btf.size_of(fact.type_id), copies))


def _cpumask_type(world: World, proof: Proof, fact: CallFact) -> int:
    kernel = proof.request.environment.kernel_btf
    struct = kernel.by_name("bpf_cpumask", Kind.STRUCT) if kernel is not None else None
    if kernel is None or struct is None:
        raise NotSupported(f"kfunc {fact.kfunc}", "the kernel's BTF has no struct bpf_cpumask")
    count = kernel.member_path(struct, "usage").offset
    if world.cpus > 8 * count:
        raise NotSupported(f"kfunc {fact.kfunc}", f"{world.cpus} CPUs do not fit into the struct")
    return world.objects.heap.describe(Description(kernel.size_of(struct), count))


def program_number(proof: Proof) -> int:
    """What finds the program among the world's printers."""
    return id(proof)


def _program(proof: Proof, fact: CallFact) -> int:
    del fact
    return program_number(proof)


def known_in(world: World) -> Mapping[Known, Callable[[Proof, CallFact], int]]:
    """What kernel functions are told of their calls, for programs that run in *world*."""
    return {
        Known.PACKET_WRITABLE: packet_writable,
        Known.PROGRAM: _program,
        Known.OBJECT_TYPE: partial(_object_type, world, 1),
        Known.PERCPU_OBJECT_TYPE: partial(_object_type, world, world.cpus),
        Known.CPUMASK_TYPE: partial(_cpumask_type, world),
    }
