"""Loads from kernel objects by their BTF, stores to allocated objects, kernel pointer fields.

Source: Linux 6.18 kernel/bpf/verifier.c (check_ptr_to_btf_access, check_ptr_to_map_access,
check_map_kptr_access, map_kptr_match_type, mark_btf_ld_reg).
"""

import errno
from typing import Final

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.btf.special_fields import (
    FIELD_NAMES,
    KPTR_PERCPU,
    KPTR_REF,
    KPTR_UNREF,
    UPTR,
    SpecialField,
)
from skep.isa.table import Kind as InsnKind
from skep.uapi.flags import MapType, ProgType
from skep.verifier import walk
from skep.verifier.check import Check
from skep.verifier.rules.memory import (
    CONSTANT_OFFSET,
    IN_MEMORY,
    KERNEL_ACCESS_GPL,
    KERNEL_ACCESS_PRIVILEGED,
    KPTR_ACCESS,
    KPTR_TYPE,
    MAP_OBJECT_READ_ONLY,
    SPECIAL_FIELD,
    STRUCT_MEMBER,
    WRITABLE,
)
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.spelling import tnum_text, type_text
from skep.verifier.transfer.member_stores import (
    require_connection_writable,
    require_member_writable,
)
from skep.verifier.transfer.nulls import TRUSTED_FLAGS, is_rcu, is_trusted
from skep.verifier.transfer.regions import require_unmodified
from skep.verifier.values import (
    ALLOC,
    BTF_ID,
    MAYBE_NULL,
    MEM,
    NON_OWN_REF,
    PERCPU,
    RCU,
    RDONLY,
    TRUSTED,
    UNTRUSTED,
    USER,
    Pointer,
    Value,
)

_GPL: Final = frozenset(
    ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")
)
_MAP_STRUCTS: Final[dict[int, str]] = {
    MapType.HASH: "bpf_htab", MapType.PERCPU_HASH: "bpf_htab", MapType.LRU_HASH: "bpf_htab",
    MapType.LRU_PERCPU_HASH: "bpf_htab", MapType.HASH_OF_MAPS: "bpf_htab",
    MapType.ARRAY: "bpf_array", MapType.PERCPU_ARRAY: "bpf_array",
    MapType.PROG_ARRAY: "bpf_array", MapType.PERF_EVENT_ARRAY: "bpf_array",
    MapType.CGROUP_ARRAY: "bpf_array", MapType.ARRAY_OF_MAPS: "bpf_array",
    MapType.LPM_TRIE: "lpm_trie", MapType.DEVMAP: "bpf_dtab", MapType.DEVMAP_HASH: "bpf_dtab",
    MapType.SOCKMAP: "bpf_stab", MapType.SOCKHASH: "bpf_shtab", MapType.CPUMAP: "bpf_cpu_map",
    MapType.XSKMAP: "xsk_map", MapType.QUEUE: "bpf_queue_stack",
    MapType.STACK: "bpf_queue_stack", MapType.RINGBUF: "bpf_ringbuf_map",
    MapType.USER_RINGBUF: "bpf_ringbuf_map", MapType.STACK_TRACE: "bpf_stack_map",
    MapType.CGROUP_STORAGE: "bpf_cgroup_storage_map",
    MapType.PERCPU_CGROUP_STORAGE: "bpf_cgroup_storage_map",
    MapType.REUSEPORT_SOCKARRAY: "reuseport_array", MapType.BLOOM_FILTER: "bpf_bloom_filter",
    MapType.SK_STORAGE: "bpf_local_storage_map", MapType.INODE_STORAGE: "bpf_local_storage_map",
    MapType.TASK_STORAGE: "bpf_local_storage_map", MapType.CGRP_STORAGE: "bpf_local_storage_map",
    MapType.STRUCT_OPS: "bpf_struct_ops_map", MapType.ARENA: "bpf_arena",
}  # fmt: skip
_RCU_PROTECTED: Final = frozenset(
    ("cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx", "prog_test_ref_kfunc")
)
# suffixes of the structs in which the kernel vouches for members
_SAFE: Final = "__safe_trusted"
_SAFE_OR_NULL: Final = "__safe_trusted_or_null"
_RCU: Final = "__safe_rcu"
_RCU_OR_NULL: Final = "__safe_rcu_or_null"
_CONNECTION_WRITERS: Final = frozenset((ProgType.SCHED_CLS, ProgType.XDP))


def is_gpl(check: Check) -> bool:
    """Whether the program's license is compatible with the GPL."""
    return check.request.license in _GPL


def in_sleepable(check: Check) -> bool:
    """Whether what is examined may sleep: the program, or a callback that runs on its own."""
    return check.state.in_sleepable


def in_rcu_section(check: Check) -> bool:
    """Whether objects protected by RCU stay alive for now.

    Linux 6.18 does not count sections without preemption or interrupts.
    """
    state = check.state
    return state.active_rcu_lock or state.active_locks > 0 or not in_sleepable(check)


def _require_access(check: Check, pointer: Pointer, register: int, off: int, name: str) -> None:
    if not check.privileged:
        check.refuse(
            KERNEL_ACCESS_PRIVILEGED,
            f"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        )
    if not is_gpl(check) and pointer.btf is check.kernel_btf:
        check.refuse(
            KERNEL_ACCESS_GPL,
            f"Cannot access kernel 'struct {name}' from non-GPL compatible program",
        )
    if off < 0:
        check.refuse(IN_MEMORY, f"R{register} is ptr_{name} invalid negative access: off={off}")
    if not pointer.var.is_number(0):
        check.refuse(
            CONSTANT_OFFSET,
            f"R{register} is ptr_{name} invalid variable offset: off={off}, "
            f"var_off={tnum_text(pointer.var)}",
        )
    for flag, words in ((USER, "user"), (PERCPU, "percpu")):
        if pointer.flags & flag:
            check.refuse(
                STRUCT_MEMBER, f"R{register} is ptr_{name} access {words} memory: off={off}"
            )


def _require_alive(check: Check, pointer: Pointer, register: int) -> None:
    """Require that an object that the program allocated has not been freed."""
    if pointer.flags & ALLOC and not pointer.flags & (NON_OWN_REF | RCU) and not pointer.ref_id:
        check.refuse(
            STRUCT_MEMBER,
            f"R{register} points to an allocated object that may have been freed",
            errno=errno.EFAULT,
        )


def read_object(check: Check, pointer: Pointer, register: int, off: int, size: int) -> Value:
    """Value of a load from a kernel object or an object that the program allocated."""
    btf = pointer.btf
    assert btf is not None
    name = btf.type(pointer.btf_id).name
    _require_access(check, pointer, register, off, name)
    _require_alive(check, pointer, register)
    _require_plain_fields(check, pointer, off, size)
    local = pointer.flags & (ALLOC | NON_OWN_REF) != 0
    found = walk.access(btf, pointer.btf_id, off, size, not local)
    if found.kind == walk.FAILED:
        check.refuse(STRUCT_MEMBER, found.message, errno=found.errno)
    if found.kind == walk.SCALAR or local:
        return UNKNOWN
    if found.kind == walk.UNTRUSTED_MEMORY:
        return Pointer(MEM, RDONLY | UNTRUSTED)
    flags = _flags_of_member(check, pointer, btf, found)
    made = Pointer(BTF_ID, flags)
    made.btf, made.btf_id = btf, found.type_id
    if flags & MAYBE_NULL:
        made.id = check.new_id()
    return made


def _flags_of_member(check: Check, pointer: Pointer, btf: Btf, found: walk.Found) -> int:
    """How far a pointer loaded from a member can be trusted."""
    if pointer.flags & UNTRUSTED:
        return UNTRUSTED
    if not (is_trusted(pointer) or is_rcu(pointer)):
        return found.flags & ~(TRUSTED_FLAGS | RCU)
    for suffix, flags in ((_SAFE, TRUSTED), (_SAFE_OR_NULL, TRUSTED | MAYBE_NULL)):
        if walk.is_listed(btf, pointer.btf_id, found.member, found.type_id, suffix):
            return found.flags | flags
    if not in_rcu_section(check) or pointer.flags & MAYBE_NULL:
        return UNTRUSTED
    return _flags_in_rcu_section(pointer, btf, found)


def _flags_in_rcu_section(pointer: Pointer, btf: Btf, found: walk.Found) -> int:
    flags = found.flags
    if walk.is_listed(btf, pointer.btf_id, found.member, found.type_id, _RCU):
        return flags | RCU
    if walk.is_listed(btf, pointer.btf_id, found.member, found.type_id, _RCU_OR_NULL):
        return (flags | RCU | MAYBE_NULL) & ~UNTRUSTED
    if flags & RCU:
        return flags | MAYBE_NULL
    return flags if flags & (PERCPU | USER) else flags & ~TRUSTED_FLAGS


def write_object(check: Check, pointer: Pointer, register: int, off: int, size: int) -> None:
    """Require that bytes of an object may be stored to: it is one that the program allocated."""
    btf = pointer.btf
    assert btf is not None
    _require_access(check, pointer, register, off, btf.type(pointer.btf_id).name)
    if pointer.flags & UNTRUSTED:
        check.refuse(WRITABLE, "only read is supported")
    if not pointer.flags & ALLOC:
        if check.target is not None and check.target.structure is not None:
            require_member_writable(check, check.target, pointer, off, size)
            return
        if check.request.program_type.id not in _CONNECTION_WRITERS:
            check.refuse(WRITABLE, "only read is supported")
        require_connection_writable(check, pointer, off, size)
        return
    _require_alive(check, pointer, register)
    _require_plain_fields(check, pointer, off, size)
    found = walk.access(btf, pointer.btf_id, off, size, False)
    if found.kind == walk.FAILED:
        check.refuse(STRUCT_MEMBER, found.message, errno=found.errno)


def _require_plain_fields(check: Check, pointer: Pointer, off: int, size: int) -> None:
    record = check.records.of_pointer(pointer)
    if record is None:
        return
    for field in record.fields:
        if off < field.offset + field.size and field.offset < off + size:
            check.refuse(SPECIAL_FIELD, f"direct access to {FIELD_NAMES[field.kind]} is disallowed")


def read_map_object(check: Check, pointer: Pointer, register: int, off: int, size: int) -> Value:
    """Value of a load from a map itself (struct bpf_map and what it is part of)."""
    shape = pointer.map
    kernel = check.kernel_btf
    name = _MAP_STRUCTS.get(shape.map_type, "") if shape is not None else ""
    target = kernel.by_name(name, Kind.STRUCT) if kernel is not None and name else None
    if kernel is None or target is None:
        check.not_supported("a load from a map object without its BTF")
    if not check.privileged:
        check.refuse(
            KERNEL_ACCESS_PRIVILEGED,
            f"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        )
    if off < 0:
        check.refuse(IN_MEMORY, f"R{register} is {name} invalid negative access: off={off}")
    found = walk.access(kernel, target, off, size, True)
    if found.kind == walk.FAILED:
        check.refuse(STRUCT_MEMBER, found.message, errno=found.errno)
    if found.kind == walk.SCALAR:
        return UNKNOWN
    if found.kind == walk.UNTRUSTED_MEMORY:
        return Pointer(MEM, RDONLY | UNTRUSTED)
    made = Pointer(BTF_ID, found.flags)
    made.btf, made.btf_id = kernel, found.type_id
    return made


def refuse_map_store(check: Check, pointer: Pointer) -> None:
    """Refuse a store to a map itself."""
    name = _MAP_STRUCTS.get(pointer.map.map_type, "") if pointer.map is not None else ""
    if not check.privileged:
        check.refuse(
            KERNEL_ACCESS_PRIVILEGED,
            f"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        )
    check.refuse(MAP_OBJECT_READ_ONLY, f"only read from {name} is supported")


# --- kernel pointers in map values ------------------------------------------------------------


def read_kptr(check: Check, field: SpecialField) -> Value:
    """Value of a load of a kernel pointer field."""
    if check.step.kind is not InsnKind.LOAD:
        check.refuse(KPTR_ACCESS, "kptr in map can only be accessed using BPF_MEM instruction mode")
    made = Pointer(BTF_ID, _kptr_flags(check, field), 0, check.new_id())
    made.btf, made.btf_id = field.btf, field.btf_id
    if field.kind == UPTR:
        check.not_supported("a load of a user pointer field")
    return made


def _kptr_flags(check: Check, field: SpecialField) -> int:
    kernel = field.btf is check.kernel_btf
    protected = field.kind == KPTR_PERCPU or (
        field.kind == KPTR_REF
        and (not kernel or _struct_name(field.btf, field.btf_id) in _RCU_PROTECTED)
    )
    if not protected or not in_rcu_section(check):
        return MAYBE_NULL | UNTRUSTED
    flags = MAYBE_NULL | RCU
    if field.kind == KPTR_PERCPU:
        flags |= PERCPU
    elif not kernel:
        flags |= ALLOC
    return flags


def _struct_name(btf: Btf | None, type_id: int) -> str:
    return btf.type(type_id).name if btf is not None else ""


def write_kptr(check: Check, field: SpecialField, value: Value | None, source: int) -> None:
    """Require that *value* may be stored to a kernel pointer field."""
    if check.step.kind not in (InsnKind.STORE_REG, InsnKind.STORE_IMM):
        check.refuse(KPTR_ACCESS, "kptr in map can only be accessed using BPF_MEM instruction mode")
    if field.kind in (KPTR_REF, KPTR_PERCPU):
        check.refuse(KPTR_ACCESS, "store to referenced kptr disallowed")
    if field.kind == UPTR:
        check.refuse(KPTR_ACCESS, "store to uptr disallowed")
    if isinstance(value, Scalar) and value.is_number(0):
        if source >= 0:
            check.mark_precise(source)
        return
    if check.step.kind is InsnKind.STORE_IMM:
        check.refuse(
            KPTR_ACCESS, f"BPF_ST imm must be 0 when storing to kptr at off={field.offset}"
        )
    require_kptr_type(check, field, value, source)


def require_kptr_type(check: Check, field: SpecialField, value: Value | None, source: int) -> None:
    """Require that *value* has the type of the kernel pointer field."""
    found = ""
    if isinstance(value, Pointer) and value.kind == BTF_ID and value.btf is not None:
        allowed = MAYBE_NULL | TRUSTED | RCU
        if value.btf is not check.kernel_btf:
            allowed = MAYBE_NULL | ALLOC | (PERCPU if field.kind == KPTR_PERCPU else 0)
        elif field.kind == KPTR_UNREF:
            allowed |= UNTRUSTED
        percpu = value.flags & PERCPU != 0
        if not value.flags & ~allowed and percpu == (field.kind == KPTR_PERCPU):
            found = _struct_name(value.btf, value.btf_id)
            require_unmodified(check, value, source, fixed_ok=True)
            if field.btf is not None and walk.is_part_of(
                value.btf, value.btf_id, value.off, field.btf, field.btf_id,
                strict=field.kind != KPTR_UNREF, flexible=not value.flags & ALLOC,
            ):  # fmt: skip
                return
    name = _struct_name(field.btf, field.btf_id)
    unheld = f" or untrusted_ptr_{name}" if field.kind == KPTR_UNREF else ""
    check.refuse(
        KPTR_TYPE,
        f"invalid kptr access, R{source} type={type_text(value)}{found} "
        f"expected=ptr_{name}{unheld}",
    )
