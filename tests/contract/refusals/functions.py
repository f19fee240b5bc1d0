"""Drivers: programs on functions of other programs, and program arrays that they stay out of."""

import struct
from typing import Any

from contract.refusals.bench import Bench, Drivers
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_functions as reasons
from support.caller import insn
from support.functions import (
    FENTRY,
    SCHED_CLS,
    TRACING,
    Fn,
    Loaded,
    link,
    load_on,
    load_target,
    number,
    tracer,
)

ADD, LOOK = Fn("add", "int, int"), Fn("look", "ctx, int")


def target(bench: Bench, **members: Any) -> Loaded:
    loaded = load_target(bench, (ADD, LOOK), quiet=True, **members)
    bench.good(loaded.fd)
    return loaded


def extension(bench: Bench, on: Loaded) -> int:
    return bench.good(load_on(bench, on, "add", Fn("other", "int, int"), quiet=True).fd)


def traces(bench: Bench, on: Loaded, code: bytes = b"", name: str = "add") -> int:
    loaded = load_on(
        bench, on, name, tracer(code), TRACING, expected_attach_type=FENTRY, quiet=True
    )
    return bench.good(loaded.fd)


def traced(bench: Bench, on: Loaded) -> None:
    bench.good(link(bench, traces(bench, on), attach_type=FENTRY))


def extended(bench: Bench, on: Loaded) -> None:
    bench.good(link(bench, extension(bench, on)))


def into_array(bench: Bench, program: int) -> int:
    array = bench.good(bench.map(3, value=4))
    return bench.store(array, bytes(4), struct.pack("<I", program))


def pair(bench: Bench) -> None:
    on = target(bench)
    link(bench, extension(bench, on), on.fd)


def retarget(bench: Bench) -> None:
    on = target(bench)
    link(bench, traces(bench, on), on.fd, on.functions["add"], attach_type=FENTRY)


def no_target(bench: Bench) -> None:
    program = extension(bench, target(bench))
    bench.subsystem.close(bench.good(link(bench, program)))
    link(bench, program)


def kind(bench: Bench) -> None:
    program = extension(bench, target(bench))
    other = target(bench, kind=SCHED_CLS)
    link(bench, program, other.fd, other.functions["add"])


def fit(bench: Bench) -> None:
    on = target(bench)
    link(bench, extension(bench, on), on.fd, on.functions["look"])


def two(bench: Bench, first: bool, second: bool) -> None:
    """Something at a function, then something else: extensions, or what traces."""
    on = target(bench)
    (extended if first else traced)(bench, on)
    if second:
        link(bench, extension(bench, on))
    else:
        link(bench, traces(bench, on), attach_type=FENTRY)


def in_array(bench: Bench, extends: bool) -> None:
    on = target(bench)
    bench.good(into_array(bench, on.fd))
    if extends:
        link(bench, extension(bench, on))
    else:
        link(bench, traces(bench, on), attach_type=FENTRY)


def full(bench: Bench) -> None:
    on = target(bench)
    for _ in range(39):
        link(bench, traces(bench, on), attach_type=FENTRY)


def objects(bench: Bench) -> None:
    code = insn(0x79, 1, 1) + insn(0x79, 1, 1) + number(0)
    link(bench, traces(bench, target(bench), code, "look"), attach_type=FENTRY)


def slot(bench: Bench, extends: bool) -> None:
    on = target(bench)
    (extended if extends else traced)(bench, on)
    into_array(bench, on.fd)


DRIVERS: Drivers = {
    reasons.PAIR: pair,
    reasons.RETARGET: retarget,
    reasons.NO_TARGET: no_target,
    reasons.KIND: kind,
    reasons.FIT: fit,
    reasons.EXTENDED: lambda bench: two(bench, first=True, second=True),
    reasons.TRACED: lambda bench: two(bench, first=False, second=True),
    reasons.IN_ARRAY: lambda bench: in_array(bench, extends=True),
    reasons.TRACED_IN_ARRAY: lambda bench: in_array(bench, extends=False),
    reasons.FULL: full,
    reasons.OBJECTS: objects,
    elements.SLOT_EXTENSION: lambda bench: into_array(bench, extension(bench, target(bench))),
    elements.SLOT_EXTENDED: lambda bench: slot(bench, extends=True),
    elements.SLOT_TRACED: lambda bench: slot(bench, extends=False),
}
