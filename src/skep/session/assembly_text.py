"""A request as text: what ``skep.session.assembly`` reads back."""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Final

from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.isa.disassembler import disassemble
from skep.isa.program import Program as Listing
from skep.session.assembly_world import TextMap, TextWorld
from skep.session.listings import helper_name
from skep.uapi import map_types
from skep.uapi.flags import AttachType, MapFlag, ProgFlag
from skep.uapi.program_types import effective_attach_type
from skep.verifier.interface import Request

WIDTH: Final = 88  # characters of base64 on a line
_KERNEL_ID: Final = re.compile(r"\b(?:kfunc\[(\d+)\]|btf\[id (\d+)\])")


def write_text(request: Request, comments: Sequence[str] = ()) -> str:
    """*request*, whose environment is a TextWorld, as text, *comments* first."""
    world = request.environment
    assert isinstance(world, TextWorld)
    lines = [f"# {line}".rstrip() for comment in comments for line in comment.splitlines()]
    lines += _head(request)
    types: dict[int, Btf] = {}
    if request.btf is not None and request.function_infos:
        types[1] = request.btf
        infos = " ".join(f"{info.pc}:{info.type_id}" for info in request.function_infos)
        lines.append(f".types 1 {infos}")
    for fd, shape in world.maps.items():
        lines.append(_map_line(fd, shape, world, types))
    for number, btf in types.items():
        encoded = base64.b64encode(btf.to_bytes()).decode()
        for start in range(0, len(encoded), WIDTH):
            lines.append(f".btf {number} {encoded[start : start + WIDTH]}")
    lines += _instructions(request, world.kernel_btf)
    return "\n".join(lines) + "\n"


def _head(request: Request) -> Iterator[str]:
    yield f".type {request.program_type.name}"
    if request.name:
        yield f".name {request.name}"
    if request.license != "GPL":
        yield f".license {request.license}"
    attach = request.expected_attach_type
    target = ""
    if request.attach_btf is not None and request.attach_btf_id:
        target = " " + request.attach_btf.type(request.attach_btf_id).name
    usual = effective_attach_type(request.program_type, 0)
    if attach != usual or target:
        known = target == "" or request.program_type.name != "struct_ops"
        named = known and attach in list(AttachType)
        yield f".attach {AttachType(attach).name.lower() if named else attach}{target}"
    if request.prog_flags:
        yield f".flags {' '.join(_flag_names(request.prog_flags, ProgFlag))}"
    if not request.privileged:
        yield ".unprivileged"


def _flag_names(flags: int, kinds: type[ProgFlag] | type[MapFlag]) -> list[str]:
    names = [flag.name.lower() for flag in kinds if flags & flag and flag.name]
    rest = flags & ~sum(int(flag) for flag in kinds)
    return [*names, *([str(rest)] if rest else [])]


def _map_line(fd: int, shape: TextMap, world: TextWorld, types: dict[int, Btf]) -> str:
    row = map_types.by_id(shape.map_type)
    parts = [
        f".map {fd} {row.name if row is not None else shape.map_type}",
        f"{shape.key_size} {shape.value_size} {shape.max_entries}",
    ]
    parts += [shape.name] if shape.name else []
    parts += [f"flags={','.join(_flag_names(shape.map_flags, MapFlag))}"] if shape.map_flags else []
    parts += [f"frozen={shape.data.hex()}"] if shape.frozen else []
    parts += [f"inner={inner}" for inner, each in world.maps.items() if each is shape.inner]
    if shape.btf is not None:
        known = [number for number, btf in types.items() if btf is shape.btf]
        number = known[0] if known else len(types) + 1
        types[number] = shape.btf
        parts.append(f"types={number}:{shape.btf_key_type_id}:{shape.btf_value_type_id}")
    return " ".join(parts)


def _instructions(request: Request, kernel: Btf | None) -> Iterator[str]:
    labels = Listing(request.insns).labels()

    def named(match: re.Match[str]) -> str:
        if kernel is None:
            return match[0]
        try:
            name = kernel.type(int(match[1] or match[2])).name
        except BtfError:
            return match[0]
        return f"kfunc[{name}]" if match[1] else f"btf[{name}]"

    for pc, text in disassemble(request.insns, helper_name=helper_name, label=labels.get):
        if pc in labels:
            yield f"{labels[pc]}:"
        yield "    " + _KERNEL_ID.sub(named, text)
    if len(request.insns) in labels:
        yield f"{labels[len(request.insns)]}:"
