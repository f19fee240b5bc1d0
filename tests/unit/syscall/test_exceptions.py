"""Exceptions that programs throw: they end the program, wherever they come from."""

from collections.abc import Iterator

import pytest

import skep
from skep.session.objects import Object
from support.engines import ENGINES, OBJECTS, subsystem


@pytest.fixture(params=ENGINES)
def loaded(request: pytest.FixtureRequest) -> Iterator[Object]:
    with skep.load(OBJECTS / "catches.bpf.o", subsystem=subsystem(request.param)) as made:
        yield made


@pytest.mark.parametrize(
    ("program", "size", "expected", "caught"),
    [
        ("at_once", 14, 1, 0),
        ("at_once", 30, 60, 0),
        ("plain", 14, 14, 0),
        ("plain", 100, 100, 0),
        ("through_global", 50, 51, 0),
        ("caught_near", 14, 1, 0),
        ("caught_near", 30, 130, 1),
        ("caught_far", 100, 50, 1),
        ("caught_frame", 100, 50, 1),
    ],
)
def test_what_is_thrown_is_the_result_or_what_the_callback_makes_of_it(
    loaded: Object, program: str, size: int, expected: int, caught: int
) -> None:
    result = loaded.programs[program].run(bytes(size))

    assert (result.retval, loaded.bss.caught) == (expected, caught)


def test_what_comes_after_a_throw_does_not_happen(loaded: Object) -> None:
    loaded.programs["plain"].run(bytes(64))

    assert loaded.bss.tidied == 0


def test_the_next_run_begins_anew(loaded: Object) -> None:
    program = loaded.programs["caught_near"]

    assert [program.run(bytes(size)).retval for size in (30, 14, 31)] == [130, 1, 131]


def test_a_metered_program_throws_as_well() -> None:
    metered = subsystem("quick", metered=True)
    with skep.load(OBJECTS / "catches.bpf.o", subsystem=metered) as loaded:
        assert loaded.programs["caught_far"].run(bytes(100)).retval == 50
