"""Object.attach: programs of an object on what their sections name."""

from errno import EBADF
from pathlib import Path

import pytest

import skep
from skep.errors import CommandError, LoadError, NotSupported
from skep.session.objects import Object

OBJECTS = Path(__file__).parents[2] / "objects"


@pytest.fixture
def traced() -> Object:
    loaded = skep.load(OBJECTS / "tracing.bpf.o")
    loaded.world.tracepoints.declare("skb:kfree_skb", "void *skbaddr", "unsigned short protocol")
    return loaded


def test_a_raw_program_sees_arguments_and_its_cookie(traced: Object) -> None:
    with traced.attach("raw", cookie=9):
        traced.world.tracepoint("kfree_skb").fire(0, 0x86DD)
    traced.world.tracepoint("kfree_skb").fire(0, 0x0800)  # nobody listens any more

    assert (traced.bss.raw_protocol, traced.bss.raw_cookie) == (0x86DD, 9)


def test_a_tracepoint_program_counts_and_drops_records(traced: Object) -> None:
    point = traced.world.tracepoint("kfree_skb")
    with traced.attach("record"):
        kept = [point.fire(0, protocol) for protocol in (0x0800, 0x0806, 0x0800)]

    assert kept == [True, False, True]
    assert dict(traced.maps["dropped"].items()) == {0x0800: 2, 0x0806: 1}


def test_an_iterator_lists_maps(traced: Object) -> None:
    with traced.attach("list_maps") as maps:
        lines = maps.read().decode().splitlines()

    assert lines[0].split() == ["name", "entries"]
    assert ["dropped", "8"] in [line.split() for line in lines]


def test_an_iterator_over_a_map_lists_its_elements(traced: Object) -> None:
    traced.maps["dropped"][0x0806] = 5
    with traced.attach("list_dropped", over=traced.maps["dropped"]) as elements:
        assert elements.read() == elements.read() == b"0806: 5\n"


def test_an_iterator_over_elements_needs_a_map(traced: Object) -> None:
    with pytest.raises(CommandError) as refusal:
        traced.attach("list_dropped")
    assert refusal.value.errno == EBADF


def test_a_tracepoint_that_is_not_declared_is_named() -> None:
    loaded = skep.load(OBJECTS / "tracing.bpf.o")

    with pytest.raises(LoadError, match="skb:kfree_skb"):
        loaded.attach("record")
    with pytest.raises(CommandError, match="kfree_skb"):
        loaded.attach("raw")


def test_sections_that_name_no_place_are_refused() -> None:
    with pytest.raises(NotSupported, match="attaching xdp"):
        skep.load(OBJECTS / "counter.bpf.o").attach("count")
