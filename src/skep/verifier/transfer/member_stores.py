"""Stores to members of kernel objects that struct_ops programs may write to.

Source: Linux 6.18 net/ipv4/bpf_tcp_ca.c and net/bpf/bpf_dummy_struct_ops.c
(``btf_struct_access``).
"""

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BtfError
from skep.uapi.struct_ops import Structure
from skep.verifier.check import Check
from skep.verifier.rules.memory import WRITABLE
from skep.verifier.transfer.nulls import is_trusted
from skep.verifier.values import Pointer


def require_member_writable(
    check: Check, structure: Structure, pointer: Pointer, off: int, size: int
) -> None:
    """Require that *size* bytes at *off* of the kernel object may be stored to."""
    btf = pointer.btf
    assert btf is not None
    if btf is not check.environment.kernel_btf:
        check.not_supported("a store to an object of a kernel module")
    if btf.by_name(structure.written, Kind.STRUCT) != pointer.btf_id:
        check.refuse(WRITABLE, structure.elsewhere)
    if not is_trusted(pointer):
        check.not_supported("a store through an untrusted pointer")  # Linux does not look
    if not structure.writable:
        if off + size > btf.size_of(pointer.btf_id):
            check.refuse(WRITABLE, f"write access at off {off} with size {size}")
        return
    end = _end_of_member(btf, structure, off)
    if end < 0:
        check.refuse(WRITABLE, f"no write support to {structure.written} at off {off}")
    if off + size > end:
        check.refuse(
            WRITABLE,
            f"write access at off {off} with size {size} beyond the member of "
            f"{structure.written} ended at {end}",
        )


def _end_of_member(btf: Btf, structure: Structure, off: int) -> int:
    """Where the writable member that *off* is in ends, -1 if it is in none."""
    for row in structure.writable:
        owner = btf.by_name(row.struct, Kind.STRUCT)
        if owner is None:
            continue
        try:
            place = btf.member_path(owner, row.path)
            end = place.offset + btf.size_of(place.type)
        except BtfError:
            continue  # other versions name it otherwise: it is not offered
        if place.bitfield_size:
            continue
        if off == place.offset or (row.inside and place.offset <= off < end):
            return end
    return -1
