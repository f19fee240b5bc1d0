"""PROG_LOAD, PROG_BIND_MAP and PROG_ASSOC_STRUCT_OPS.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_load), kernel/bpf/verifier.c (bpf_check).
"""

from typing import Final

from skep.errors import CommandError
from skep.syscall.call import Call
from skep.syscall.environment import SubsystemEnvironment, hold_target
from skep.syscall.loaded import LoadedProgram, digest_of
from skep.syscall.log import LogBuffer
from skep.syscall.maps import as_map
from skep.syscall.objects import Kind
from skep.syscall.owners import program_kind
from skep.syscall.requests import (
    RECORDS,
    Source,
    build_request,
    read_fds,
    read_records,
    read_source,
)
from skep.syscall.state import State
from skep.uapi import reasons_programs as reasons
from skep.uapi.commands import AssocStructOps, ProgBindMap, ProgLoad
from skep.uapi.flags import LogLevel, MapType
from skep.uapi.reason import Refusal
from skep.verifier import Proof, Rejected, Request, verify
from skep.verifier.rules.flow import MAP_FD

# what the log says of a program that was refused before its first instruction
NOTHING_PROCESSED: Final = (
    "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 "
    "mark_read 0\n"
)
NOTHING_TIMED: Final = "verification time 0 usec\nstack depth 0\n"


def load(state: State, call: Call[ProgLoad]) -> int:
    """PROG_LOAD: bytes in, descriptor out. The whole pipeline, in order."""
    source = read_source(state, call)
    log = LogBuffer.of_program(call)
    environment = SubsystemEnvironment(state, call, digest_of(source.code))
    target = source.target.holding
    if target is not None:
        hold_target(call, environment, target)
    try:
        request = prepare(state, call, environment, source, log)
        proof = prove(request, log, environment)
        claim_maps(state, call, proof, environment)
        program = LoadedProgram(
            state.new_id(Kind.PROG), proof, state.engine.compile(proof), source.code,
            call.credentials.uid, source.token,
        )  # fmt: skip
        state.world.printers[id(proof)] = program
        program.target = target
        if request.btf is not None:
            program.btf_id = environment.program_btf_id
            program.func_info, program.line_info = (read_records(call, known) for known in RECORDS)
    except BaseException:
        environment.release()
        raise
    return state.objects.install(Kind.PROG, program, environment.holds)


def prepare(
    state: State,
    call: Call[ProgLoad],
    environment: SubsystemEnvironment,
    source: Source,
    log: LogBuffer,
) -> Request:
    """The request; a refusal is logged as the verifier's own are."""
    try:
        fds = read_fds(state, call, environment)
        return build_request(state, call, environment, source, fds, log.level)
    except CommandError as error:
        timed = NOTHING_TIMED if log.level & LogLevel.STATS else ""
        said = error.text if isinstance(error, Refusal) else ""
        log.finish(said + timed + NOTHING_PROCESSED, error)
        raise


def prove(request: Request, log: LogBuffer, environment: SubsystemEnvironment) -> Proof:
    """Verify, and write the text log whatever the verdict; a log that was cut is a refusal."""
    try:
        proof = verify(request)
    except Rejected as rejected:
        if rejected.rule is MAP_FD and rejected.errno == MAP_FD.errno:
            rejected.errno = environment.map_errno or rejected.errno
        log.finish(rejected.log, rejected)
        raise
    except Refusal as refusal:  # of the environment, for a map that the program may not have
        log.finish(refusal.text + NOTHING_PROCESSED, refusal)
        raise
    log.finish(proof.log)
    return proof


def claim_maps(
    state: State, call: Call[ProgLoad], proof: Proof, environment: SubsystemEnvironment
) -> None:
    """Bind the maps of programs that the program holds to programs of its kind."""
    kind = program_kind(proof.request)
    with state.objects.lock:
        for held in environment.holds:
            if held.kind is Kind.MAP:
                fits = state.owners.claim(as_map(held), kind)
                call.check(fits, reasons.OWNER, f"map {held.id} is for programs of another kind")


def bind_map(state: State, call: Call[ProgBindMap]) -> int:
    """PROG_BIND_MAP: the program keeps the map alive."""
    call.check(not call.attr.flags, reasons.BIND_FLAGS)
    objects = state.objects
    with objects.lock:
        program = objects.get(call.command.name, call.attr.prog_fd, Kind.PROG, "prog_fd")
        held = objects.get(call.command.name, call.attr.map_fd, Kind.MAP, "map_fd")
        as_map(held)
        if held not in program.holds:
            program.holds.append(objects.take(held))
    return 0


def associate(state: State, call: Call[AssocStructOps]) -> int:
    """PROG_ASSOC_STRUCT_OPS: refused, once its arguments are checked."""
    attr, objects = call.attr, state.objects
    call.check(not attr.flags, reasons.ASSOC_FLAGS)
    with objects.lock:
        objects.get(call.command.name, attr.prog_fd, Kind.PROG, "prog_fd")
        map_ = as_map(objects.get(call.command.name, attr.map_fd, Kind.MAP, "map_fd"))
    call.check(map_.map_type == MapType.STRUCT_OPS, reasons.ASSOC_MAP)
    raise call.refusal(reasons.ASSOC)
