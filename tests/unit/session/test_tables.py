"""Tables of functions: put into use, called, taken out of use."""

from errno import ENOENT
from pathlib import Path

import pytest

import skep
from skep.errors import CommandError, LoadError
from skep.loader.door import Door
from skep.uapi.commands import (
    LINK_CREATE,
    LINK_DETACH,
    MAP_GET_FD_BY_ID,
    GetId,
    LinkCreate,
    LinkDetach,
)
from skep.uapi.flags import AttachType

OBJECTS = Path(__file__).parents[2] / "objects"
CONGESTION = "tcp_congestion_ops"


@pytest.fixture(scope="module")
def loaded() -> skep.Object:
    return skep.load(OBJECTS / "table.bpf.o")


def in_use(loaded: skep.Object) -> set[tuple[str, str]]:
    return set(loaded.subsystem.state.tables)


def test_the_host_calls_what_programs_filled_in(loaded: skep.Object) -> None:
    table = loaded.tables["linked"]
    before = loaded.bss.avoided

    assert table.call("ssthresh", 0) == 5
    assert table.call("ssthresh", 1) == 0xFFFF_FFFF
    assert table.call("cong_avoid", 0, 3, 4) is None
    assert loaded.bss.avoided == before + 304
    assert table.structure == CONGESTION


def test_a_call_needs_a_member_and_its_arguments(loaded: skep.Object) -> None:
    table = loaded.tables["linked"]

    with pytest.raises(KeyError, match="set_state"):
        table.call("set_state", 0, 0)
    with pytest.raises(TypeError, match="takes 3"):
        table.call("cong_avoid", 0)


@pytest.mark.parametrize("name", ["linked", "plain"])
def test_a_table_is_in_use_until_it_is_closed(loaded: skep.Object, name: str) -> None:
    maps = len(in_use(loaded))
    with loaded.tables[name].attach():
        assert in_use(loaded) == {(CONGESTION, f"skep_{name}")}
        with pytest.raises(CommandError) as again:
            loaded.tables[name].attach()
        assert again.value.errno == 17

    assert len(in_use(loaded)) == maps == 0


def test_a_table_without_what_it_needs_is_refused() -> None:
    loaded = skep.load(OBJECTS / "ops.bpf.o", programs=["half", "undo"])

    with pytest.raises(CommandError, match="cong_avoid or cong_control is missing"):
        loaded.tables["table"].attach()
    assert loaded.tables["table"].call("undo_cwnd", 0) == 7


def test_a_table_whose_programs_are_not_loaded_cannot_be_used() -> None:
    loaded = skep.load(OBJECTS / "ops.bpf.o", programs=["half"])

    with pytest.raises(LoadError, match="not loaded"):
        loaded.tables["table"].attach()


def test_a_link_that_is_detached_leaves_alone_what_came_after_it(loaded: skep.Object) -> None:
    subsystem = loaded.subsystem
    with loaded.tables["linked"].attach() as first:
        assert (
            subsystem.bpf(LINK_DETACH.number, bytearray(LinkDetach(link_fd=first.link_fd).encode()))
            == 0
        )
        attr = LinkCreate(prog_fd=first.map_fd, attach_type=int(AttachType.STRUCT_OPS))
        second = subsystem.bpf(LINK_CREATE.number, bytearray(attr.encode()))
        subsystem.close(first.link_fd)
        assert in_use(loaded) == {(CONGESTION, "skep_linked")}
        first.link_fd = second

    assert in_use(loaded) == set()


def test_a_table_that_is_in_use_stays_without_a_descriptor(loaded: skep.Object) -> None:
    subsystem = loaded.subsystem
    used = loaded.tables["plain"].attach()
    number = subsystem.state.tables[CONGESTION, "skep_plain"].id
    subsystem.close(used.map_fd)

    used.map_fd = subsystem.bpf(MAP_GET_FD_BY_ID.number, bytearray(GetId(start_id=number).encode()))
    assert used.map_fd > 0
    used.close()
    assert in_use(loaded) == set()
    assert (
        subsystem.bpf(MAP_GET_FD_BY_ID.number, bytearray(GetId(start_id=number).encode()))
        == -ENOENT
    )


def test_a_table_that_somebody_else_took_out_of_use_leaves_no_descriptor(
    loaded: skep.Object,
) -> None:
    used = loaded.tables["plain"].attach()
    fd = used.map_fd
    Door(loaded.subsystem).delete(fd, bytes(4), "table")

    with pytest.raises(CommandError, match="EINPROGRESS"):
        used.close()
    with pytest.raises(CommandError, match="not open"):
        loaded.subsystem.close(fd)


def test_functions_of_a_closed_object_are_not_called() -> None:
    with skep.load(OBJECTS / "table.bpf.o") as closed:
        table = closed.tables["linked"]
        assert table.call("ssthresh", 0) == 5

    with pytest.raises(LoadError, match="closed"):
        table.call("ssthresh", 0)
