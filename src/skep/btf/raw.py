"""The raw form of types: one record a type, as ``bpftool btf dump`` prints it.

Invariant: byte for byte what bpftool prints; scripts read it.

Source: the output of bpftool.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind

_LINKAGES: Final = ("static", "global", "extern")
_ENCODINGS: Final[Mapping[int, str]] = {0: "(none)", 1: "SIGNED", 2: "CHAR", 4: "BOOL"}


def format_all(btf: Btf) -> Iterator[str]:
    """The own types of *btf*, each as lines with an end of line."""
    for type_id in btf.ids():
        yield format_type(btf, type_id) + "\n"


def format_type(btf: Btf, type_id: int) -> str:
    """One type, as ``[7] INT 'char' size=1 …``; members and values each on a line of their own."""
    type_ = btf.type(type_id)
    head = f"[{type_id}] {type_.kind.name} '{type_.name or '(anon)'}'"
    return f"{head} {_details(btf, type_)}"


def _details(btf: Btf, type_: kinds.Type) -> str:
    if isinstance(type_, kinds.Int):
        encoding = _ENCODINGS.get(type_.encoding, "UNKN")
        text = f"size={type_.size} bits_offset={type_.offset} nr_bits={type_.bits}"
        text += f" encoding={encoding}"
    elif isinstance(type_, kinds.Array):
        text = f"type_id={type_.element} index_type_id={type_.index} nr_elems={type_.count}"
    elif isinstance(type_, kinds.Composite):
        text = _composite(type_)
    elif isinstance(type_, kinds.Enumeration):
        text = _enumeration(type_)
    elif isinstance(type_, kinds.FuncProto):
        text = f"ret_type_id={type_.returns} vlen={len(type_.params)}"
        text += "".join(f"\n\t{_quote(p.name)} type_id={p.type}" for p in type_.params)
    elif isinstance(type_, kinds.DataSec):
        text = _section(btf, type_)
    else:
        text = _simple(type_)
    return text


def _simple(type_: kinds.Type) -> str:
    if isinstance(type_, kinds.Fwd):
        text = f"fwd_kind={'union' if type_.is_union else 'struct'}"
    elif isinstance(type_, kinds.Func):
        text = f"type_id={type_.type} linkage={_linkage(type_.linkage)}"
    elif isinstance(type_, kinds.Var):
        text = f"type_id={type_.type}, linkage={_linkage(type_.linkage)}"
    elif isinstance(type_, kinds.Float):
        text = f"size={type_.size}"
    elif isinstance(type_, kinds.DeclTag):
        text = f"type_id={type_.type} component_idx={type_.component}"
    elif isinstance(type_, (kinds.Ptr, kinds.Reference)):
        text = f"type_id={type_.type}"
    else:
        text = ""
    return text


def _quote(name: str) -> str:
    return f"'{name or '(anon)'}'"


def _linkage(linkage: int) -> str:
    return _LINKAGES[linkage] if linkage < len(_LINKAGES) else "(unknown)"


def _composite(type_: kinds.Composite) -> str:
    text = f"size={type_.size} vlen={len(type_.members)}"
    for member in type_.members:
        text += f"\n\t{_quote(member.name)} type_id={member.type} bits_offset={member.bit_offset}"
        if member.bitfield_size:
            text += f" bitfield_size={member.bitfield_size}"
    return text


def _enumeration(type_: kinds.Enumeration) -> str:
    encoding = "SIGNED" if type_.signed else "UNSIGNED"
    suffix = ""
    if type_.kind == Kind.ENUM64:
        suffix = "LL" if type_.signed else "ULL"
    text = f"encoding={encoding} size={type_.size} vlen={len(type_.values)}"
    return text + "".join(f"\n\t{_quote(i.name)} val={i.value}{suffix}" for i in type_.values)


def _section(btf: Btf, type_: kinds.DataSec) -> str:
    text = f"size={type_.size} vlen={len(type_.entries)}"
    for entry in type_.entries:
        held = btf.type(entry.type)
        text += f"\n\ttype_id={entry.type} offset={entry.offset} size={entry.size}"
        text += f" ({held.kind.name} '{held.name}')"
    return text
