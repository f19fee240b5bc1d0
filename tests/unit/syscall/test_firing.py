"""Runs on events: why one was stopped is told by the program, whatever ran it."""

import ctypes
from collections.abc import Callable

import pytest

from skep.attach import contexts, hooks
from skep.base.native import store64
from skep.engine.interpreter import Interpreter
from skep.errors import RunError
from skep.runtime.block import Invocation
from skep.runtime.invocation import FUEL
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.firing import run_in
from skep.syscall.loaded import LoadedProgram
from skep.syscall.state import State
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from support.caller import EXIT, RETURN_ONE, Caller, insn

LOOP = insn(0xB7, 6, imm=100) + insn(0x07, 6, imm=-1) + insn(0x55, 6, 0, -2, 0) + RETURN_ONE + EXIT


def by_link(state: State, program: LoadedProgram, invocation: Invocation) -> None:
    run_in(state, program, invocation, ctypes.addressof(ctypes.create_string_buffer(256)))


def by_hook(state: State, program: LoadedProgram, invocation: Invocation) -> None:
    del state
    stage = contexts.skb(bytes(64), link_layer=True)
    hooks.Event(invocation, stage, timed=False).run(program)


@pytest.mark.parametrize("run", [by_link, by_hook])
def test_a_run_on_an_event_that_is_stopped_says_why_on_standard_error(
    run: Callable[[State, LoadedProgram, Invocation], None],
) -> None:
    world = World()
    caller = Caller(Subsystem(world, Interpreter(tuple(helper_codes(world)))))
    fd, state = caller.program(LOOP), caller.subsystem.state
    program = state.objects.get("TEST", fd).target
    assert isinstance(program, LoadedProgram)
    with world.running() as invocation:
        store64(invocation.address + FUEL, 10)
        with pytest.raises(RunError):
            run(state, program, invocation)
    place = caller.keep(b"", 64)

    size = caller.call(
        commands.PROG_STREAM_READ_BY_FD, prog_fd=fd, stream_id=2, stream_buf=place,
        stream_buf_len=64,
    )  # fmt: skip
    assert b"fuel" in ctypes.string_at(place, size)
