"""The target of a struct_ops program: which member of which kernel structure it fills.

Source: Linux 6.18 kernel/bpf/verifier.c (check_struct_ops_btf_id).
"""

import errno
from typing import Final, NoReturn

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.uapi import struct_ops as table
from skep.verifier.interface import Request
from skep.verifier.report import Rejected
from skep.verifier.rules import flow
from skep.verifier.rules.rule import NOT_SUPPORTED
from skep.verifier.target import MAX_ARGUMENTS, Target

ENOTSUPP: Final = 524  # the kernel's own, not in errno.h
_SLEEPABLE: Final = 16  # BPF_F_SLEEPABLE


def _refuse(detail: str, number: int = errno.EINVAL) -> NoReturn:
    raise Rejected(flow.ATTACH_TARGET, pc=-1, detail=detail, errno=number)


def _unknown(what: str) -> NoReturn:
    raise Rejected(NOT_SUPPORTED, pc=-1, detail=f"{what} is not supported")


def resolve_member(request: Request, gpl: bool) -> Target:
    """Find the member of a kernel structure that *request*'s program fills.

    Args:
        request: of a struct_ops program; its attach type is the number of the member.
        gpl: whether its license is compatible with the GPL.

    Raises:
        Rejected: there is none, or programs may not fill it.
    """
    if not gpl:
        _refuse("struct ops programs must have a GPL compatible license")
    if not request.attach_btf_id:
        _refuse("struct_ops programs must provide attach_btf_id", ENOTSUPP)
    btf = request.attach_btf or request.environment.kernel_btf
    if btf is None:
        _unknown("attaching without kernel BTF")
    structure = _structure(btf, request.attach_btf_id)
    members = btf.members(request.attach_btf_id)
    index = request.expected_attach_type
    if index >= len(members):
        _refuse(f"attach to invalid member idx {index} of struct {structure.name}")
    member = members[index]
    proto = _prototype(btf, member.type)
    if proto is None:
        _refuse(f"attach to invalid member {member.name}(@idx {index}) of struct {structure.name}")
    _require_offered(request, structure, member.name)
    if len(proto.params) > MAX_ARGUMENTS or proto.variadic:
        _unknown(f"the prototype of member {member.name}")
    target = Target(member.name, btf, proto, 0)
    target.structure = structure
    if not target.returns_void and isinstance(btf.resolved(proto.returns), kinds.Ptr):
        _unknown(f"member {member.name}, which returns a pointer,")
    return target


def _structure(btf: Btf, type_id: int) -> table.Structure:
    """What struct *type_id* is to programs."""
    type_ = btf.type(type_id) if btf.has(type_id) else None
    name = type_.name if isinstance(type_, kinds.Struct) else ""
    wrapped = name != "" and btf.by_name(table.PREFIX + name, Kind.STRUCT) is not None
    if not wrapped or btf.by_name(name, Kind.STRUCT) != type_id:
        _refuse(f"attach_btf_id {type_id} is not a supported struct", ENOTSUPP)
    structure = table.by_name(name)
    if structure is None:
        _unknown(f"struct {name}")
    return structure


def _prototype(btf: Btf, type_id: int) -> kinds.FuncProto | None:
    """What *type_id* points to, if it is a pointer to a function."""
    pointer = btf.resolved(type_id)
    if not isinstance(pointer, kinds.Ptr):
        return None
    proto = btf.resolved(pointer.type)
    return proto if isinstance(proto, kinds.FuncProto) else None


def _require_offered(request: Request, structure: table.Structure, member: str) -> None:
    words = f"attach to unsupported member {member} of struct {structure.name}"
    if member in structure.absent:
        _refuse(words, ENOTSUPP)
    if member not in structure.members:
        _unknown(f"member {member} of struct {structure.name}")
    if request.prog_flags & _SLEEPABLE and member not in structure.sleepable:
        _refuse(words)
