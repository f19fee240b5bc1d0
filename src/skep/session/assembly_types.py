"""The BTF that a program in assembly language describes in words."""

from collections.abc import Mapping, Sequence
from typing import Final

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import GLOBAL, STATIC, Kind, Member
from skep.btf.special_fields import BY_STRUCT, SIZES
from skep.verifier.interface import FunctionInfo

WORDS: Final = ("void", "int", "u64", "int*", "u64*", "char*", "ctx", "dynptr*")
CONTEXT: Final = "__sk_buff"
_TAG: Final = "tag="


def field_value(struct: str, offset: int, size: int, kernel: Btf | None) -> tuple[Btf, int]:
    """``struct value`` of *size* bytes with a ``struct <struct>`` at *offset*, and its id.

    ``kptr:<struct>`` stands for a pointer to one that is tagged as a kptr.
    """
    build = Builder()
    plain = build.integer("int", 4)
    tag, colon, name = struct.rpartition(":")
    found = kernel.by_name(name, Kind.STRUCT) if kernel is not None else None
    room = SIZES.get(BY_STRUCT.get(name, 0), 8)
    if kernel is not None and found:
        room = kernel.size_of(found)
    field = build.struct(name, room, [Member("val", plain, 0)])
    if colon:
        field = build.pointer(build.type_tag(tag, field))
    members = [Member("plain", plain, 0)] if offset >= 4 else []
    members.append(Member("field", field, offset * 8))
    value = build.struct("value", size, members)
    return build.build(), value


def functions_of(
    rows: Sequence[tuple[str, Sequence[str]]], labels: Mapping[str, int]
) -> tuple[Btf, list[FunctionInfo]]:
    """Types of functions, each *linkage, result, arguments* in words; ``tag=TEXT`` tags one.

    Raises:
        ValueError: what is wrong, and what may stand there.
    """
    build = Builder()
    integer = build.integer("int", 4, signed=True)
    wide = build.integer("unsigned long long", 8)
    char = build.integer("char", 1, signed=True)
    ids = {
        "void": 0,
        "int": integer,
        "u64": wide,
        "int*": build.pointer(integer),
        "u64*": build.pointer(wide),
        "char*": build.pointer(char),
        "ctx": build.pointer(build.struct(CONTEXT, 4, [Member("len", integer, 0)])),
        "dynptr*": build.pointer(build.struct("bpf_dynptr", 16)),
    }
    infos = []
    for name, (linkage, *all_words) in rows:
        words = [word for word in all_words if not word.startswith(_TAG)]
        for word in words:
            if word not in ids:
                raise ValueError(word, "one of " + " ".join(WORDS))
        if name not in labels:
            raise ValueError(name, "a label")
        params = [(f"a{number}", ids[word]) for number, word in enumerate(words[1:])]
        prototype = build.prototype(ids[words[0]] if words else 0, params)
        kind = GLOBAL if linkage == "global" else STATIC
        infos.append(FunctionInfo(labels[name], build.function(name, prototype, kind)))
        for word in all_words:
            if word.startswith(_TAG):
                build.decl_tag(word[len(_TAG) :], infos[-1].type_id)
    infos.sort(key=lambda info: info.pc)
    return build.build(), infos
