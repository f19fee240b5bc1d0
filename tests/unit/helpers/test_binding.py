"""Bindings tie helpers to functions of the right shape."""

import pytest

from skep.base.native import native
from skep.helpers.binding import Binding
from skep.runtime.world import World
from skep.syscall.catalog import BINDINGS


@native
def too_short(run: int) -> int:
    return run


def upcall(  # noqa: PLR0917
    world: World, run: int, r1: int, r2: int, r3: int, r4: int, r5: int
) -> int:
    return run + r1 + r5 + world.cpus + r2 + r3 + r4


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "map_lookup_elem", "native": too_short},
        {"name": "no_such_helper", "upcall": upcall},
        {"name": "ktime_get_ns"},
        {"name": "ktime_get_ns", "native": too_short, "upcall": upcall},
        {"name": "ktime_get_ns", "native": lambda run: run},
    ],
)
def test_a_binding_of_another_shape_is_an_assertion(arguments: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Binding(**arguments)  # type: ignore[arg-type]


def test_an_upcall_serves_one_world() -> None:
    bound = Binding("ktime_get_ns", upcall=upcall).upcall_in(World(cpus=3))
    assert bound is not None

    assert bound(1, 10, 0, 0, 0, 100) == 114


def test_every_helper_is_bound_once() -> None:
    names = [binding.name for binding in BINDINGS]

    assert len(names) == len(set(names))
