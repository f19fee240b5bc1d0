"""Programs on functions of other programs: what may stand there, and what then runs."""

import struct
import threading
from errno import EBUSY, EINVAL, EOPNOTSUPP

import pytest

from skep.engine.interpreter import Interpreter
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands, infos
from support.caller import EXIT, Caller, insn
from support.functions import (
    EXT,
    FENTRY,
    FEXIT,
    GLOBAL,
    STATIC,
    TRACING,
    Fn,
    Loaded,
    link,
    load_on,
    load_target,
    number,
    product,
    run,
    tracer,
)


def interpreted() -> Subsystem:
    world = World()
    return Subsystem(world, Interpreter(tuple(helper_codes(world))))


@pytest.fixture(name="caller", params=["compiled", "interpreted"])
def _caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(interpreted() if request.param == "interpreted" else Subsystem())


ADD = Fn("add", "int, int", code=number(7))
SUM = Fn("sum", "int, int", code=number(100))


def target(caller: Caller, *functions: Fn) -> Loaded:
    loaded = load_target(caller, functions or (ADD, SUM))
    assert loaded.fd >= 0, loaded.log
    return loaded


def extension(caller: Caller, on: Loaded, name: str = "add", fn: Fn | None = None) -> int:
    loaded = load_on(caller, on, name, fn or Fn("other", "int, int", code=product()))
    assert loaded.fd >= 0, loaded.log
    return loaded.fd


def counting(caller: Caller, word: int) -> tuple[int, bytes]:
    """A map of one number, and code that adds word *word* of the context to it."""
    array = caller.map(2, value=8, entries=1)
    code = insn(0x79, 6, 1, off=8 * word)
    code += insn(0x18, 1, 2, imm=array) + insn(0)
    code += insn(0x79, 0, 1) + insn(0x0F, 0, 6) + insn(0x7B, 1, 0) + number(0)
    return array, code


def counted(caller: Caller, array: int) -> int:
    found = caller.fetch(array, bytes(4))
    assert isinstance(found, bytes)
    return int.from_bytes(found, "little")


def trace(caller: Caller, on: Loaded, name: str, attach_type: int, word: int) -> tuple[int, int]:
    array, code = counting(caller, word)
    code = code.replace(insn(0x18, 1, 2, imm=array), insn(0x18, 1, 2, imm=array), 1)
    loaded = load_on(caller, on, name, tracer(code), TRACING, expected_attach_type=attach_type)
    assert loaded.fd >= 0, loaded.log
    return loaded.fd, array


# --- running --------------------------------------------------------------------------------------


def test_an_extension_runs_instead_of_the_function_until_its_link_goes(caller: Caller) -> None:
    on = target(caller)
    before = run(caller, on.fd)
    held = link(caller, extension(caller, on))

    during = run(caller, on.fd)
    caller.subsystem.close(held)

    assert (before, during, run(caller, on.fd)) == (107, 6 + 100, 107)


def test_an_extension_of_the_main_function_runs_instead_of_the_program(caller: Caller) -> None:
    on = target(caller)
    held = link(caller, extension(caller, on, "main", Fn("other", "ctx", code=number(3))))

    during = run(caller, on.fd)
    caller.subsystem.close(held)

    assert (during, run(caller, on.fd)) == (3, 107)


def test_two_functions_of_a_program_are_extended_and_come_back_one_by_one(caller: Caller) -> None:
    on = target(caller)
    held = link(caller, extension(caller, on))
    link(caller, extension(caller, on, "sum"))
    both = run(caller, on.fd)
    caller.subsystem.close(held)

    assert (both, run(caller, on.fd)) == (12, 7 + 6)


def test_an_extension_goes_to_another_program_that_has_the_same_function(caller: Caller) -> None:
    on, other = target(caller), target(caller)
    program = extension(caller, on)
    caller.subsystem.close(link(caller, program))
    link(caller, program, other.fd, other.functions["add"])

    assert (run(caller, on.fd), run(caller, other.fd)) == (107, 106)


def test_an_extension_gets_memory_and_the_context_from_its_caller(caller: Caller) -> None:
    code = insn(0x61, 0, 1, off=0) + insn(0x61, 2, 1, off=4)  # packet pointers
    code += insn(0xB7, 0, imm=0) + insn(0x15, 3, off=2) + insn(0x61, 0, 3, off=0)
    code += insn(0x61, 4, 3, off=4) + EXIT
    on = target(caller, Fn("mixed", "ctx, int, pair*"))
    link(caller, extension(caller, on, "mixed", Fn("other", "ctx, int, pair*", code=code)))

    assert run(caller, on.fd) == 4


def test_fentry_sees_the_arguments_and_fexit_the_result(caller: Caller) -> None:
    on = target(caller)
    first, begun = trace(caller, on, "add", FENTRY, 1)
    second, ended = trace(caller, on, "add", FEXIT, 2)
    whole, result = trace(caller, on, "main", FEXIT, 1)
    links = [link(caller, first, attach_type=FENTRY), link(caller, second, attach_type=FEXIT),
             link(caller, whole, attach_type=FEXIT)]  # fmt: skip
    runs = [run(caller, on.fd) for _ in range(3)]
    for each in links:
        caller.subsystem.close(each)
    run(caller, on.fd)

    assert runs == [107] * 3
    assert [counted(caller, array) for array in (begun, ended, result)] == [9, 21, 321]


def test_what_traces_an_extension_sees_it_run_in_its_target(caller: Caller) -> None:
    on = target(caller)
    program = load_on(caller, on, "add", Fn("other", "int, int", code=product()))
    link(caller, program.fd)
    traced, array = trace(caller, program, "other", FEXIT, 2)
    held = link(caller, traced, attach_type=FEXIT)
    run(caller, on.fd)
    caller.subsystem.close(held)
    run(caller, on.fd)

    assert counted(caller, array) == 6


def test_runs_on_other_threads_go_on_while_extensions_come_and_go() -> None:
    caller = Caller()
    on = target(caller)
    program = extension(caller, on)
    seen: set[int] = set()
    stop = threading.Event()

    def work() -> None:
        mine = Caller(caller.subsystem)
        while not stop.is_set():
            seen.add(run(mine, on.fd))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        caller.subsystem.close(link(caller, program, on.fd, on.functions["add"]))
    stop.set()
    for thread in threads:
        thread.join()

    assert seen <= {106, 107}
    assert run(caller, on.fd) == 107


# --- links ----------------------------------------------------------------------------------------


def test_the_first_link_needs_no_target_and_the_second_does(caller: Caller) -> None:
    on = target(caller)
    program = extension(caller, on)
    first = link(caller, program)
    caller.subsystem.close(first)

    assert first >= 0
    assert link(caller, program) == -EINVAL
    assert link(caller, program, on.fd, on.functions["add"]) >= 0


def test_a_function_has_one_extension_at_a_time(caller: Caller) -> None:
    on = target(caller)
    link(caller, extension(caller, on))

    assert link(caller, extension(caller, on)) == -EBUSY


def test_functions_are_either_extended_or_traced(caller: Caller) -> None:
    on = target(caller)
    held = link(caller, extension(caller, on))
    traced, _ = trace(caller, on, "add", FENTRY, 0)
    blocked = link(caller, traced, attach_type=FENTRY)
    caller.subsystem.close(held)
    after = link(caller, traced, attach_type=FENTRY)

    assert (blocked, after >= 0) == (-EBUSY, True)
    assert link(caller, extension(caller, on)) == -EBUSY


def test_an_extended_program_stays_out_of_program_arrays_and_the_other_way_round(
    caller: Caller,
) -> None:
    on, array = target(caller), caller.map(3, value=4)
    held = link(caller, extension(caller, on))
    slot = struct.pack("<I", on.fd)
    extended = caller.store(array, bytes(4), slot)
    caller.subsystem.close(held)
    free = caller.store(array, bytes(4), slot)
    blocked = link(caller, extension(caller, on))
    caller.call(commands.MAP_DELETE_ELEM, map_fd=array, key=caller.keep(bytes(4)))

    assert (extended, free, blocked) == (-EBUSY, 0, -EBUSY)
    assert link(caller, extension(caller, on)) >= 0


def test_extensions_never_stand_in_program_arrays(caller: Caller) -> None:
    slot = struct.pack("<I", extension(caller, target(caller)))

    assert caller.store(caller.map(3, value=4), bytes(4), slot) == -EINVAL


def test_what_reads_the_struct_behind_a_context_is_not_run() -> None:
    caller = Caller()
    on = target(caller, Fn("look", "ctx, int"))
    code = insn(0x79, 1, 1) + insn(0x79, 1, 1) + number(0)
    reader = load_on(caller, on, "look", tracer(code), TRACING, expected_attach_type=FENTRY)
    assert reader.fd >= 0, reader.log

    assert link(caller, reader.fd, attach_type=FENTRY) == -EOPNOTSUPP


def test_a_link_tells_its_target(caller: Caller) -> None:
    on = target(caller)
    held = link(caller, extension(caller, on), attach_type=0, word24=77)
    told = caller.info(held, infos.TracingLinkInfo)
    of = caller.info(on.fd, infos.ProgInfo)

    assert isinstance(told, infos.TracingLinkInfo)
    assert isinstance(of, infos.ProgInfo)
    assert told.target_obj_id == of.id
    assert (told.type, told.target_btf_id, told.cookie) == (2, on.functions["add"], 77)


def test_an_extension_keeps_its_target_alive_until_it_is_attached(caller: Caller) -> None:
    on = target(caller)
    program = extension(caller, on)
    of = caller.info(on.fd, infos.ProgInfo)
    assert isinstance(of, infos.ProgInfo)
    caller.subsystem.close(on.fd)
    alive = caller.call(commands.PROG_GET_FD_BY_ID, start_id=of.id)
    caller.subsystem.close(alive)
    caller.subsystem.close(link(caller, program))

    assert alive >= 0
    assert caller.call(commands.PROG_GET_FD_BY_ID, start_id=of.id) < 0


# --- what fits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fn", "said"),
    [
        ("add", Fn("other", "int"), "other() has 1 args while add() has 2 args"),
        ("add", Fn("other", "int, long"), "arg1 in other() has size 8 while add() has 4"),
        ("add", Fn("other", "int, ctx"), "arg1 in other() is PTR while add() has INT"),
        ("add", Fn("other", "int, int", "enum2"), "Return type ENUM of other() doesn't match"),
        ("add", Fn("other", "int, int", linkage=STATIC), "other() is not a global function"),
        ("quiet", Fn("other", "int, int"), "quiet() is not a global function"),
        ("odd", Fn("other", "pair*, int"), "Cannot replace static functions"),
        ("unused", Fn("other", "int, int"), "Subprog unused doesn't exist"),
        ("none", Fn("other", "int, int"), "must provide btf_id"),
    ],
)  # fmt: skip
def test_signatures_that_differ_are_refused(name: str, fn: Fn, said: str) -> None:
    caller = Caller()
    quiet = Fn("quiet", "int, int", linkage=STATIC)
    odd = Fn("odd", "pair*, int", linkage=STATIC)
    on = load_target(caller, (ADD, quiet, odd), uncalled=(Fn("unused"),))
    tried = load_on(caller, on, name, fn)

    assert (tried.fd, said in tried.log) == (-EINVAL, True), tried.log


def test_an_extension_that_reads_more_than_callers_pass_is_refused_though_linux_takes_it() -> None:
    caller = Caller()
    on = target(caller, Fn("mem", "pair*"))
    tried = load_on(caller, on, "mem", Fn("other", "pair*"), pair_size=64)

    assert tried.fd == -EINVAL
    assert "promises more than callers of mem() guarantee" in tried.log


def test_an_extension_lives_by_the_rules_of_the_targets_type() -> None:
    caller = Caller()
    packet = insn(0x61, 2, 1) + insn(0x61, 3, 1, off=4) + insn(0xBF, 4, 2)
    packet += insn(0x07, 4, imm=1) + insn(0x2D, 4, 3, off=1) + insn(0x71, 0, 2) + number(1)
    on = target(caller, Fn("look", "ctx"))

    assert extension(caller, on, "look", Fn("other", "ctx", code=packet)) >= 0


def test_extensions_do_not_extend_extensions() -> None:
    caller = Caller()
    on = target(caller)
    first = load_on(caller, on, "add", Fn("other", "int, int"))
    tried = load_on(caller, first, "other", Fn("another", "int, int"))

    assert (tried.fd, "Cannot recursively attach" in tried.log) == (-EINVAL, True)


def test_tracing_is_nested_once() -> None:
    caller = Caller()
    on = target(caller)
    first = load_on(caller, on, "add", tracer(), TRACING, expected_attach_type=FENTRY)
    second = load_on(caller, first, "tracer", tracer(), TRACING, expected_attach_type=FENTRY)
    third = load_on(caller, second, "tracer", tracer(), TRACING, expected_attach_type=FENTRY)

    assert (second.fd >= 0, third.fd) == (True, -EINVAL)
    assert "Cannot nest tracing program attach more than once" in third.log


def test_a_program_that_takes_no_context_cannot_be_extended_itself() -> None:
    caller = Caller()
    on = load_target(caller, (ADD,), main="long*", linkage=GLOBAL)
    tried = load_on(caller, on, "main", Fn("other", "long*"))

    assert (on.fd >= 0, tried.fd) == (True, -EINVAL)


def test_an_extension_without_a_target_is_refused() -> None:
    caller = Caller()
    on = Loaded(0, {}, 0)
    tried = load_on(caller, on, "", Fn("other"), EXT)

    assert tried.fd == -EINVAL
