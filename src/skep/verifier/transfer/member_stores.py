"""Stores to members of kernel objects: struct_ops programs have some, packets their connection.

Source: Linux 6.18 net/ipv4/bpf_tcp_ca.c, net/bpf/bpf_dummy_struct_ops.c and
net/netfilter/nf_conntrack_bpf.c (``btf_struct_access``).
"""

from typing import Final

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BtfError
from skep.uapi.struct_ops import Writable
from skep.verifier.check import Check
from skep.verifier.rules.memory import WRITABLE
from skep.verifier.target import Span, Target
from skep.verifier.transfer.nulls import is_trusted
from skep.verifier.values import Pointer

_CONNECTIONS: Final = ("nf_conn", "nf_conn___init")


def require_connection_writable(check: Check, pointer: Pointer, off: int, size: int) -> None:
    """Require that it is the mark of a connection, which programs for packets may set."""
    btf = pointer.btf
    assert btf is not None
    if btf.type(pointer.btf_id).name not in _CONNECTIONS:
        check.refuse(WRITABLE, "only read is supported")
    if not is_trusted(pointer):
        check.not_supported("a store through an untrusted pointer")  # Linux does not look
    structure = btf.by_name(_CONNECTIONS[0], Kind.STRUCT)
    mark = btf.find_member(structure, "mark") if structure is not None else None
    if mark is None or off != mark.offset:
        check.refuse(WRITABLE, f"no write support to {_CONNECTIONS[0]} at off {off}")
    end = mark.offset + btf.size_of(mark.type)
    if off + size > end:
        check.refuse(
            WRITABLE,
            f"write access at off {off} with size {size} beyond the member of "
            f"{_CONNECTIONS[0]} ended at {end}",
        )


def require_member_writable(
    check: Check, target: Target, pointer: Pointer, off: int, size: int
) -> None:
    """Require that *size* bytes at *off* of the kernel object may be stored to."""
    btf, structure = pointer.btf, target.structure
    assert btf is not None
    assert structure is not None
    if btf is not check.kernel_btf:
        check.not_supported("a store to an object of a kernel module")
    if btf.by_name(structure.written, Kind.STRUCT) != pointer.btf_id:
        check.refuse(WRITABLE, structure.elsewhere)
    if not is_trusted(pointer):
        check.not_supported("a store through an untrusted pointer")  # Linux does not look
    if not structure.writable:
        if off + size > btf.size_of(pointer.btf_id):
            check.refuse(WRITABLE, f"write access at off {off} with size {size}")
        return
    if target.writable is None:
        target.writable = [span for row in structure.writable for span in _spans(btf, row)]
    for span in target.writable:
        if off == span.start or (span.inside and span.start <= off < span.end):
            break
    else:
        check.refuse(WRITABLE, f"no write support to {structure.written} at off {off}")
    if off + size > span.end:
        check.refuse(
            WRITABLE,
            f"write access at off {off} with size {size} beyond the member of "
            f"{structure.written} ended at {span.end}",
        )


def _spans(btf: Btf, row: Writable) -> list[Span]:
    """Where the member is: nowhere in kernels that name it otherwise."""
    owner = btf.by_name(row.struct, Kind.STRUCT)
    if owner is None:
        return []
    try:
        place = btf.member_path(owner, row.path)
        end = place.offset + btf.size_of(place.type)
    except BtfError:
        return []
    return [] if place.bitfield_size else [Span(place.offset, end, row.inside)]
