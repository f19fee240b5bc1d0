"""What is known at a place: visits, their union, and why a branch is dead."""

from pathlib import Path

import pytest

from skep.errors import LoadError
from skep.session.assembly import request_of
from skep.session.observation import hull, watch
from skep.session.places import look, nearest, slots_of
from skep.session.verdicts import examine_file
from skep.verifier.interface import Request
from skep.verifier.scalar import const, signed_between, unknown_bits, unsigned_between

OBJECTS = Path(__file__).parents[2] / "objects"
BOTH = """
.type xdp
r6 = *(u32 *)(r1 + 12)
r7 = 3
if r6 == 0 goto join
r7 = 5
join: r0 = r7
exit
"""
DEAD = """
.type xdp
r6 = *(u32 *)(r1 + 12)
r6 &= 7
if r6 > 9 goto bad
r0 = 1
exit
bad: r0 = r9
r0 += 1
exit
"""


def request(name: str, program: str) -> Request:
    (examined,) = examine_file(OBJECTS / f"{name}.bpf.o", programs=[program])
    assert examined.request is not None
    return examined.request


def test_each_visit_is_kept_and_their_union_covers_them() -> None:
    (place,) = look(request_of(BOTH, None), [4])
    assert place.point is not None

    assert [state.known["R7"] for state in place.point.states] == ["5", "3"]
    assert [state.came_from for state in place.point.states] == [(3,), (2,)]
    assert place.point.merged["R7"].startswith("scalar(smin=umin=smin32=umin32=3,smax=umax=")


def test_equal_visits_are_counted_together() -> None:
    text = "r6 = 0\nr6 += 1\nr7 = 1\nif r6 < 5 goto -3\nr0 = 0\nexit"
    point = watch(request_of(text, None)).points[2]

    assert point.visits == 5
    assert [(state.times, state.known["R6"]) for state in point.states] == [
        (1, str(number)) for number in range(1, 6)
    ]
    assert (
        point.merged["R6"]
        == "scalar(smin=umin=smin32=umin32=1,smax=umax=smax32=umax32=5,var_off=(0x0; 0x7))"
    )


def test_what_a_visit_lacks_is_not_in_the_union() -> None:
    text = "r6 = *(u32 *)(r1 + 0)\nif r6 == 0 goto +1\nr7 = 1\nr0 = 0\nexit"
    point = watch(request_of(text, None)).points[3]

    assert "R7" in point.states[0].known
    assert "R7" not in point.merged


def test_pointers_and_numbers_are_alternatives() -> None:
    text = "r6 = *(u32 *)(r1 + 0)\nr7 = 1\nif r6 == 0 goto +1\nr7 = r1\nr8 = r7\nr0 = 0\nexit"
    point = watch(request_of(text, None)).points[4]

    assert point.merged["R7"] == "ctx() | 1"


@pytest.mark.parametrize(("x", "y"), [
    (const(3), const(-1)), (unknown_bits(8), const(1 << 40)),
    (signed_between(-5, 5), unsigned_between(2, 9)),
])  # fmt: skip
def test_a_hull_covers_both(x: object, y: object) -> None:
    from skep.verifier.scalar import Scalar

    assert isinstance(x, Scalar)
    assert isinstance(y, Scalar)
    both = hull(x, y)

    assert both.covers(x)
    assert both.covers(y)


def test_a_dead_branch_says_which_range_made_it_so_and_what_made_the_range() -> None:
    (place,) = look(request_of(DEAD, None), [2])
    (branch,) = place.dead

    assert (branch.way, branch.dead) == ("never taken", 5)
    assert branch.found.startswith("R6=scalar(smin=smin32=0,smax=umax=smax32=umax32=7")
    assert [step.insn for step in branch.steps] == [0, 1]


def test_what_no_path_reaches_names_the_branch_that_would_lead_there() -> None:
    (place,) = look(request_of(DEAD, None), [6])

    assert place.point is None
    assert [branch.insn for branch in place.dead] == [2]


def test_a_branch_that_goes_both_ways_is_not_dead() -> None:
    wanted = request_of(BOTH, None)
    (place,) = look(wanted, [2])

    assert place.dead == ()
    assert watch(wanted).points[2].both == 1


def test_a_branch_of_which_one_way_was_not_walked_yet_is_not_dead() -> None:
    text = "r6 = *(u32 *)(r1 + 0)\nif r6 == 0 goto +1\nr0 = r9\nr0 = 0\nexit"
    (place,) = look(request_of(text, None), [1])

    assert place.dead == ()


def test_a_null_check_too_many_is_dead() -> None:
    text = (
        ".type xdp\n.map 3 array 4 8 1\n*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\n"
        "r1 = map[fd 3]\ncall bpf_map_lookup_elem\nif r0 == 0 goto +0\nif r0 == 0 goto +1\n"
        "if r0 == 0 goto +1\nr0 = 0\nexit"
    )
    places = look(request_of(text, None), [6, 7, 8])

    assert [place.dead for place in places[:1]] == [()]


def test_a_line_has_its_instructions() -> None:
    wanted = request("counter", "count")

    assert slots_of(wanted, "counter.bpf.c:30") == [33, 34, 35, 36, 37]
    assert slots_of(wanted, "30") == [30]
    assert slots_of(wanted, "other.c:30") == slots_of(wanted, "100000") == []
    assert set(nearest(wanted, "counter.bpf.c:33")[:2]) == {"counter.bpf.c:32", "counter.bpf.c:34"}


@pytest.mark.parametrize("place", ["", "main", "counter.bpf.c", "counter.bpf.c:x", ":30", "-1"])
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(LoadError):
        slots_of(request("counter", "count"), place)


def test_every_processed_instruction_is_a_visit() -> None:
    for examined in examine_file(OBJECTS / "counter.bpf.o"):
        assert examined.request is not None
        points = watch(examined.request).points

        assert sum(point.visits for point in points.values()) == examined.verdict.insns_processed
