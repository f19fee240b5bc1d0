"""``struct bpf_prog_info``: all that a loaded program tells of itself.

What runs is machine code of skep's own making; its addresses are this process's.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_get_info_by_fd, bpf_insn_prepare_dump).
"""

import ctypes
import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.syscall.call import Call
from skep.syscall.credentials import Capability
from skep.syscall.info import give, read_info, write_info
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import infos
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import GetInfo
from skep.uapi.flags import TAG_SIZE, Pseudo
from skep.uapi.infos import ProgInfo

OFFSET_SOURCES: Final = frozenset({Pseudo.MAP_VALUE, Pseudo.MAP_IDX_VALUE})
LINE: Final = struct.Struct("<IIII")  # struct bpf_line_info
RECORDS: Final = (
    ("func_info", infos.FUNC_INFO_SIZE),
    ("line_info", infos.LINE_INFO_SIZE),
    ("jited_line_info", infos.JITED_LINE_INFO_SIZE),
)


def program_info(state: State, call: Call[GetInfo], holding: Holding) -> int:
    """Fill the caller's struct about the program."""
    program = holding.target
    assert isinstance(program, LoadedProgram)
    asked = read_info(call, ProgInfo, infos.PROG_INFO_SIZE)
    ids = _words((held.id for held in holding.holds if held.kind is Kind.MAP), 4)
    known = replace(
        asked,
        type=program.type.id, id=program.id, tag=program.tag, load_time=program.load_time_ns,
        created_by_uid=program.uid, name=program.name.encode("latin-1"),
        gpl_compatible=int(is_gpl_compatible(program.proof.request.license)),
        ifindex=0, netns_dev=0, netns_ino=0,
        nr_map_ids=give(call, asked, "map_ids", asked.nr_map_ids, ids, 4),
        run_time_ns=program.run_ns, run_cnt=program.run_count, recursion_misses=program.misses,
        verified_insns=program.proof.statistics.insns_processed, btf_id=program.btf_id,
    )  # fmt: skip
    _check_record_sizes(call, asked)
    known = replace(
        known, func_info_rec_size=infos.FUNC_INFO_SIZE, line_info_rec_size=infos.LINE_INFO_SIZE,
        jited_line_info_rec_size=infos.JITED_LINE_INFO_SIZE,
    )  # fmt: skip
    if call.credentials.may(Capability.BPF):
        known = _with_code(call, known, program)
        known = _with_records(call, known, program)
        request = program.proof.request
        known = replace(
            known, attach_btf_id=request.attach_btf_id, attach_btf_obj_id=_types(state, program)
        )  # fmt: skip
    else:  # addresses and code are not for everyone
        known = replace(
            known, jited_prog_len=0, xlated_prog_len=0, nr_jited_ksyms=0, nr_jited_func_lens=0,
            nr_func_info=0, nr_line_info=0, nr_jited_line_info=0,
        )  # fmt: skip
    return write_info(call, known.encode(), infos.PROG_INFO_SIZE)


def _types(state: State, program: LoadedProgram) -> int:
    """Id of the BTF that attach_btf_id counts in; 0 for that of a program it was attached to."""
    target = program.target.target if program.target is not None else None
    if isinstance(target, LoadedProgram):
        return target.btf_id
    known = program.proof.request.attach_btf
    kernel = known is not None and known is state.kernel_btf
    return state.kernel_btf_id if kernel and program.proof.request.attach_program is None else 0


def _check_record_sizes(call: Call[GetInfo], asked: ProgInfo) -> None:
    for name, size in RECORDS:
        wanted = getattr(asked, f"nr_{name}") or getattr(asked, f"{name}_rec_size")
        good = not wanted or getattr(asked, f"{name}_rec_size") == size
        call.check(good, reasons.INFO_RECORD, f"{name}_rec_size is not {size}")


def _with_code(call: Call[GetInfo], asked: ProgInfo, program: LoadedProgram) -> ProgInfo:
    """Instructions as they were verified, and machine code."""
    parts = program.machine_code
    code = b"".join(ctypes.string_at(part.address, part.size) for part in parts)
    addresses = _words((part.address for part in parts), 8)
    sizes = _words((part.size for part in parts), 4)
    insns = encode(shown_insns(program))
    return replace(
        asked,
        xlated_prog_len=give(call, asked, "xlated_prog_insns", asked.xlated_prog_len, insns, 1),
        jited_prog_len=give(call, asked, "jited_prog_insns", asked.jited_prog_len, code, 1),
        nr_jited_ksyms=give(call, asked, "jited_ksyms", asked.nr_jited_ksyms, addresses, 8),
        nr_jited_func_lens=give(call, asked, "jited_func_lens", asked.nr_jited_func_lens, sizes, 4),
    )  # fmt: skip


def _with_records(call: Call[GetInfo], asked: ProgInfo, program: LoadedProgram) -> ProgInfo:
    """What the program was loaded with, and its tags."""
    functions, lines, tags = program.func_info, program.line_info, program.tags()
    return replace(
        asked,
        nr_func_info=give(call, asked, "func_info", asked.nr_func_info, functions,
                          infos.FUNC_INFO_SIZE),
        nr_line_info=give(call, asked, "line_info", asked.nr_line_info, lines,
                          infos.LINE_INFO_SIZE),
        nr_jited_line_info=_jited_lines(call, asked, program),
        nr_prog_tags=give(call, asked, "prog_tags", asked.nr_prog_tags, tags, TAG_SIZE),
    )  # fmt: skip


def _jited_lines(call: Call[GetInfo], asked: ProgInfo, program: LoadedProgram) -> int:
    """Where the machine code of each line begins, if that is asked for; how many lines there are.

    A line that became no code of its own is where that of the next instruction that did begins.
    """
    count = len(program.line_info) // infos.LINE_INFO_SIZE
    if not asked.nr_jited_line_info or not count:
        return count if program.machine_code else 0
    places, starts = program.plain.places(), dict[int, int]()
    for place in places:
        starts.setdefault(place.pc, place.address)
    last = places[-1].address if places else 0
    addresses = [last] * len(program.proof.insns)
    for pc in reversed(range(len(addresses))):
        last = addresses[pc] = starts.get(pc, last)
    lines = (addresses[pc] for pc, *_ in LINE.iter_unpack(program.line_info))
    words = _words(lines, 8) if starts else b""
    return give(call, asked, "jited_line_info", asked.nr_jited_line_info, words, 8)


def _words(values: Iterable[int], size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


def shown_insns(program: LoadedProgram) -> list[Insn]:
    """The instructions that run, with map ids where they were loaded with descriptors."""
    proof, shown = program.proof, []
    for pc, insn in enumerate(proof.insns):
        shape = proof.map_at.get(pc)
        if shape is not None:
            source = Pseudo.MAP_VALUE if insn.src in OFFSET_SOURCES else Pseudo.MAP_FD
            insn = Insn(insn.code, insn.dst, int(source), insn.off, shape.id)  # noqa: PLW2901
        shown.append(insn)
    return shown


def is_gpl_compatible(license_: str) -> bool:
    """Whether the licence allows helpers that are for GPL programs only."""
    return license_ in {
        "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL",
        "Dual MPL/GPL",
    }  # fmt: skip
