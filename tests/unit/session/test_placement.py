"""Programs of an object on places of its world."""

from errno import EBUSY
from pathlib import Path

import pytest

import skep
from skep.errors import CommandError, LoadError
from skep.uapi.flags import AttachType
from support.hook_caller import IPV4

COUNTER = Path(__file__).parents[2] / "objects" / "counter.bpf.o"


def test_a_program_is_on_a_device_for_the_length_of_a_block() -> None:
    with skep.load(COUNTER) as obj:
        device = obj.places.device("eth0")
        with obj.attach("drop", on=device):
            during = device.receive(IPV4).verdict

        assert (during, device.receive(IPV4).verdict) == ("dropped", "passed")


def test_the_place_refuses_as_linux_does() -> None:
    with skep.load(COUNTER) as obj:
        device = obj.places.device("eth0")
        with obj.attach("count", on=device), pytest.raises(CommandError) as refused:
            obj.attach("drop", on=device)

    assert refused.value.errno == EBUSY


def test_an_xdp_program_does_not_go_on_a_cgroup() -> None:
    with skep.load(COUNTER) as obj, pytest.raises(LoadError, match="do not go on a cgroup"):
        obj.attach("drop", on=obj.places.cgroup("/a"))


def test_a_tc_program_goes_into_the_ingress_chain() -> None:
    with skep.load(COUNTER, programs=["later"]) as obj:
        device = obj.places.device("eth0")
        with obj.attach("later", on=device):
            chain = device.chain(AttachType.TCX_INGRESS)

            assert chain is not None
            assert [seat.program.id for seat in chain.seats] == [obj.programs["later"].loaded.id]
        assert device.chain(AttachType.TCX_INGRESS) is None
