"""Pointers whose life ends, and what may be stored through them, judged as by the kernel."""

import pytest

from conformance.fuzz_kfuncs import Pair
from conformance.fuzz_lifetimes import run
from skep.btf.kinds import Kind
from support import kernel

pytestmark = pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
CONNECTION = """*(u64 *)(r10 - 16) = 0
*(u64 *)(r10 - 24) = 0
*(u64 *)(r10 - 40) = 0
*(u32 *)(r10 - 32) = 0
r2 = r10
r2 += -24
r3 = 12
r4 = r10
r4 += -40
r5 = 12
kfunc bpf_skb_ct_alloc
if r0 == 0 goto +6
*(u{bits} *)(r0 + {off}) = 7
r1 = r0
kfunc bpf_ct_insert_entry
if r0 == 0 goto +2
r1 = r0
kfunc bpf_ct_release
r0 = 0
exit"""


@pytest.mark.parametrize("site", ["subprogram, slot,", "callback, register, let go"])
def test_nothing_is_used_after_its_life(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    tally = run(f"slice, dynptr submit, {site}", 3)

    assert set(tally) <= {"both accept", "both refuse"}, capsys.readouterr().out
    assert sum(tally.values()) > 3


@pytest.mark.parametrize(
    ("bits", "moved", "accepted"), [(32, 0, True), (64, 0, False), (32, 4, False)]
)
def test_of_a_connection_the_mark_may_be_stored(bits: int, moved: int, accepted: bool) -> None:
    pair = Pair()
    structure = pair.btf.by_name("nf_conn", Kind.STRUCT)
    mark = pair.btf.find_member(structure, "mark") if structure is not None else None
    if mark is None:
        pytest.skip("the kernel was built without marks of connections")

    theirs, ours, said = pair.verdicts(
        CONNECTION.format(bits=bits, off=mark.offset + moved), "sched_cls"
    )

    assert (theirs == 0) == accepted, said
    assert ours == theirs, said
