"""OBJ_GET_INFO_BY_FD: what programs, maps and BTF objects say of themselves.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_get_info_by_fd, bpf_map_get_info_by_fd),
kernel/bpf/btf.c (btf_get_info_by_fd).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from errno import E2BIG, EINVAL, ENOSPC
from typing import Any, Final

from skep.base.layout import Layout
from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.syscall.call import Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.maps import as_map
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import BtfObject, State
from skep.uapi import infos
from skep.uapi.commands import GetInfo
from skep.uapi.flags import Pseudo
from skep.uapi.infos import BtfInfo, MapInfo, ProgInfo

PAGE: Final = 4096
OFFSET_SOURCES: Final = frozenset({Pseudo.MAP_VALUE, Pseudo.MAP_IDX_VALUE})


def get_info(state: State, call: Call[GetInfo]) -> int:
    """OBJ_GET_INFO_BY_FD: fill the caller's info struct, as long as it says it is."""
    with state.objects.lock:
        holding = state.objects.get(call.command.name, call.attr.bpf_fd)
        fill = FILLERS.get(holding.kind)
        if fill is None:
            raise call.refuse(EINVAL, "has no info", "bpf_fd")
        return fill(state, call, holding)


def _read(call: Call[GetInfo], layout: type[Layout], size: int) -> Any:
    """The caller's struct: what it wants, as far as its length goes."""
    length = call.attr.info_len
    call.require(length <= PAGE, E2BIG, "more than a page", "info_len")
    data = call.memory.read(call.attr.info, length)
    call.require(not any(data[size:]), E2BIG, f"bytes set beyond {size}", "info_len")
    return layout.decode(data[:size])


def _write(call: Call[GetInfo], info: Layout, size: int) -> int:
    length = min(call.attr.info_len, size)
    call.memory.write(call.attr.info, info.encode().ljust(size, b"\0")[:length])
    call.put("info_len", length)
    return 0


def _list(call: Call[GetInfo], address: int, room: int, items: bytes, each: int) -> int:
    """Write as many of *items*, of *each* bytes, as there is *room* for; how many there are."""
    if room:
        call.memory.write(address, items[: room * each])
    return len(items) // each


# --- programs -------------------------------------------------------------------------------------


def _program(state: State, call: Call[GetInfo], holding: Holding) -> int:
    program = holding.target
    assert isinstance(program, LoadedProgram)
    info: ProgInfo = _read(call, ProgInfo, infos.PROG_INFO_SIZE)
    request, maps = program.proof.request, [held for held in holding.holds if held.kind is Kind.MAP]
    ids = b"".join(held.id.to_bytes(4, "little") for held in maps)
    for kind, size in (
        ("func_info", infos.FUNC_INFO_SIZE),
        ("line_info", infos.LINE_INFO_SIZE),
        ("jited_line_info", infos.JITED_LINE_INFO_SIZE),
    ):
        asked = getattr(info, f"nr_{kind}") or getattr(info, f"{kind}_rec_size")
        good = not asked or getattr(info, f"{kind}_rec_size") == size
        call.require(good, EINVAL, f"{kind}_rec_size is not {size}", "info")
    code = encode(shown_insns(program))
    known = replace(
        info,
        type=program.type.id, id=program.id, tag=program.tag, load_time=program.load_time_ns,
        created_by_uid=program.uid, gpl_compatible=int(is_gpl_compatible(request.license)),
        name=request.name.encode("latin-1"), ifindex=0, netns_dev=0, netns_ino=0,
        nr_map_ids=_list(call, info.map_ids, info.nr_map_ids, ids, 4),
        xlated_prog_len=_list(call, info.xlated_prog_insns, info.xlated_prog_len, code, 1),
        jited_prog_len=0, jited_prog_insns=0, nr_jited_ksyms=0, nr_jited_func_lens=0,
        btf_id=program.btf_id, nr_jited_line_info=0,
        func_info_rec_size=infos.FUNC_INFO_SIZE, line_info_rec_size=infos.LINE_INFO_SIZE,
        jited_line_info_rec_size=infos.JITED_LINE_INFO_SIZE,
        nr_func_info=_list(call, info.func_info, info.nr_func_info, program.func_info, 8),
        nr_line_info=_list(call, info.line_info, info.nr_line_info, program.line_info, 16),
        nr_prog_tags=_list(call, info.prog_tags, info.nr_prog_tags, program.tag, 8),
        run_time_ns=program.run_ns, run_cnt=program.run_count, recursion_misses=0,
        verified_insns=program.proof.statistics.insns_processed,
        attach_btf_obj_id=state.kernel_btf_id if request.attach_btf is state.kernel_btf else 0,
        attach_btf_id=request.attach_btf_id,
    )  # fmt: skip
    return _write(call, known, infos.PROG_INFO_SIZE)


def shown_insns(program: LoadedProgram) -> list[Insn]:
    """The instructions that run, with map ids where they were loaded with descriptors."""
    proof, shown, wide = program.proof, [], False
    for pc, insn in enumerate(proof.insns):
        shape = proof.map_at.get(pc)
        if shape is not None:
            source = Pseudo.MAP_VALUE if insn.src in OFFSET_SOURCES else Pseudo.MAP_FD
            insn = Insn(insn.code, insn.dst, int(source), insn.off, shape.id)  # noqa: PLW2901
        shown.append(insn)
        wide = shape is not None
    del wide
    return shown


def is_gpl_compatible(license_: str) -> bool:
    """Whether the licence allows helpers that are for GPL programs only."""
    return license_ in {
        "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL",
        "Dual MPL/GPL",
    }  # fmt: skip


# --- maps and BTF ---------------------------------------------------------------------------------


def _map(state: State, call: Call[GetInfo], holding: Holding) -> int:
    map_ = as_map(holding)
    info: MapInfo = _read(call, MapInfo, infos.MAP_INFO_SIZE)
    call.require(not info.hash and not info.hash_size, EINVAL, "the map has no hash", "info")
    btf_id = next((held.id for held in holding.holds if held.kind is Kind.BTF), 0)
    known = MapInfo(
        type=map_.map_type, id=map_.id, key_size=map_.key_size, value_size=map_.value_size,
        max_entries=map_.max_entries, map_flags=map_.map_flags, name=map_.name.encode("latin-1"),
        btf_id=btf_id, btf_key_type_id=map_.btf_key_type_id,
        btf_value_type_id=map_.btf_value_type_id, map_extra=map_.map_extra,
    )  # fmt: skip
    del state
    return _write(call, known, infos.MAP_INFO_SIZE)


def _btf(state: State, call: Call[GetInfo], holding: Holding) -> int:
    target = holding.target
    assert isinstance(target, BtfObject)
    info: BtfInfo = _read(call, BtfInfo, infos.BTF_INFO_SIZE)
    call.require(bool(info.name) == bool(info.name_len), EINVAL, "name and name_len", "info")
    room, name = info.name_len, target.name.encode()
    call.memory.write(info.btf, target.data[: info.btf_size])
    if info.name:
        call.memory.write(
            info.name, (name + b"\0")[:room] if room > len(name) else _cut(name, room)
        )
    known = replace(
        info, btf_size=len(target.data), id=target.id, name_len=len(name),
        kernel_btf=int(target.is_kernel),
    )  # fmt: skip
    del state
    _write(call, known, infos.BTF_INFO_SIZE)
    call.require(not room or room > len(name), ENOSPC, "the name does not fit", "info")
    return 0


def _cut(name: bytes, room: int) -> bytes:
    return name[: room - 1] + b"\0"


FILLERS: Final[Mapping[Kind, Callable[[State, Call[GetInfo], Holding], int]]] = {
    Kind.PROG: _program,
    Kind.MAP: _map,
    Kind.BTF: _btf,
}
