"""Whether the signature of an extension equals that of the function that it replaces.

Linux compares kinds, sizes of numbers, and names of structures; what BTF tags promise of arguments,
and how large structures are, it does not: ``Argument.covers`` does, since the extension is verified
by its own declaration alone.

Source: Linux 6.18 kernel/bpf/btf.c (btf_check_func_type_match).
"""

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.verifier.report import Rejected
from skep.verifier.rules import flow

_GLOBAL = 1


def match_functions(btf: Btf, type_id: int, target: Btf, target_id: int) -> None:
    """Refuse function *type_id* of *btf* in the place of *target_id* of *target*.

    Raises:
        Rejected: they differ, or one of them is not global.
    """
    mine, its = btf.type(type_id), target.type(target_id)
    for function in (mine, its):
        if not isinstance(function, kinds.Func) or function.linkage != _GLOBAL:
            raise _refuse(f"{function.name}() is not a global function")
    proto, wanted = btf.func_proto(type_id), target.func_proto(target_id)
    names = (mine.name, its.name)
    if len(proto.params) != len(wanted.params):
        raise _refuse(
            f"{names[0]}() has {len(proto.params)} args while "
            f"{names[1]}() has {len(wanted.params)} args"
        )
    returned, expected = btf.resolved(proto.returns), target.resolved(wanted.returns)
    if _outline(returned) != _outline(expected):
        raise _refuse(
            f"Return type {returned.kind.name} of {names[0]}() "
            f"doesn't match type {expected.kind.name} of {names[1]}()"
        )
    for index, param in enumerate(proto.params):
        other = wanted.params[index].type
        _match_argument(index, names, (btf, btf.resolve(param.type)), (target, other))


def _match_argument(
    index: int, names: tuple[str, str], mine: tuple[Btf, int], its: tuple[Btf, int]
) -> None:
    type_, other = mine[0].resolved(mine[1]), its[0].resolved(its[1])
    if _outline(type_) != _outline(other):
        raise _refuse(
            f"arg{index} in {names[0]}() is {type_.kind.name} "
            f"while {names[1]}() has {other.kind.name}"
        )
    sizes = _size(type_), _size(other)
    if sizes[0] != sizes[1]:
        raise _refuse(
            f"arg{index} in {names[0]}() has size {sizes[0]} while {names[1]}() has {sizes[1]}"
        )
    if isinstance(type_, (kinds.Int, kinds.Enumeration)):
        return
    if not isinstance(type_, kinds.Ptr) or not isinstance(other, kinds.Ptr):
        raise _refuse(f"arg{index} in {names[0]}() has unrecognized type")
    pointed = mine[0].resolved(type_.type), its[0].resolved(other.type)
    for each, name in zip(pointed, names, strict=True):
        if not isinstance(each, kinds.Composite):
            raise _refuse(f"arg{index} in {name}() is not a pointer to context")
    if pointed[0].name != pointed[1].name:
        raise _refuse(
            f"arg{index} {names[0]}(struct {pointed[0].name} *) "
            f"doesn't match {names[1]}(struct {pointed[1].name} *)"
        )


def _outline(type_: kinds.Type) -> tuple[int, int, bool]:
    """What the info word of a type holds: kind, number of parts, flag."""
    parts, flag = 0, False
    if isinstance(type_, kinds.Enumeration):
        parts, flag = len(type_.values), type_.signed
    elif isinstance(type_, kinds.Composite):
        parts, flag = len(type_.members), type_.bitfields
    elif isinstance(type_, kinds.FuncProto):
        parts = len(type_.params)
    elif isinstance(type_, kinds.Fwd):
        flag = type_.is_union
    return int(type_.kind), parts, flag


def _size(type_: kinds.Type) -> int:
    """The size of what has one in BTF itself."""
    if isinstance(type_, (kinds.Int, kinds.Enumeration, kinds.Composite, kinds.Float)):
        return type_.size
    return 0


def _refuse(detail: str) -> Rejected:
    return Rejected(flow.ATTACH_TARGET, pc=-1, detail=detail)
