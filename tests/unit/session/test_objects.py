"""Objects as Python shows them: maps, globals, programs, rings."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import skep
from skep.errors import CommandError, ElfError, LoadError

OBJECTS = Path(__file__).parents[2] / "objects"
PACKET = bytes(range(64))


@pytest.fixture(name="loaded")
def _loaded() -> Iterator[skep.Object]:
    with skep.load(OBJECTS / "session.bpf.o") as loaded:
        yield loaded


def test_a_struct_value_is_a_dict_of_its_members(loaded: skep.Object) -> None:
    value = {"packets": 1, "bytes": 2, "ports": [3, 4], "name": "lo"}
    loaded.maps["typed"][5] = value

    assert {5: value} == dict(loaded.maps["typed"])


def test_bytes_of_the_right_length_are_taken_for_any_value(loaded: skep.Object) -> None:
    loaded.maps["typed"][b"\1\0\0\0"] = bytes(24)

    assert list(loaded.maps["typed"]) == [1]


def test_a_program_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(LoadError, match="nope: no such program; there are: count"):
        skep.load(OBJECTS / "counter.bpf.o", programs=["nope"])


def test_objects_of_one_subsystem_share_maps_that_are_pinned_by_name() -> None:
    subsystem, pins = skep.Subsystem(), "/sys/fs/bpf/mine"
    with skep.load(OBJECTS / "maps.bpf.o", subsystem=subsystem, pins=pins) as first:
        shared = subsystem.files.names(pins)
        assert shared
        ids = [first.maps[name].target.id for name in shared]
    with skep.load(OBJECTS / "maps.bpf.o", subsystem=subsystem, pins=pins) as second:
        assert [second.maps[name].target.id for name in shared] == ids


def test_bytes_of_another_length_are_refused(loaded: skep.Object) -> None:
    with pytest.raises(ValueError, match="3 bytes where 24"):
        loaded.maps["typed"][1] = b"abc"


def test_an_absent_key_is_a_key_error(loaded: skep.Object) -> None:
    typed = loaded.maps["typed"]

    assert 9 not in typed
    assert typed.get(9) is None
    with pytest.raises(KeyError):
        del typed[9]


def test_a_full_map_answers_e2big(loaded: skep.Object) -> None:
    for key in range(4):
        loaded.maps["typed"][key] = bytes(24)

    with pytest.raises(CommandError) as raised:
        loaded.maps["typed"][4] = bytes(24)

    assert raised.value.errno_name == "E2BIG"


def test_a_per_cpu_value_is_a_list_with_one_value_a_cpu(loaded: skep.Object) -> None:
    cpus = loaded.subsystem.state.world.cpus
    loaded.maps["percpu"][1] = list(range(cpus))

    assert loaded.maps["percpu"][1] == list(range(cpus))


def test_a_queue_is_pushed_and_popped(loaded: skep.Object) -> None:
    queue = loaded.maps["queue"]
    queue.push(1)
    queue.push(2)
    queue.push(3, replace=True)

    assert [queue.peek(), queue.pop(), queue.pop()] == [2, 2, 3]
    with pytest.raises(KeyError):
        queue.pop()
    with pytest.raises(TypeError, match="no keys"):
        list(queue)


def test_globals_are_read_and_written_where_programs_use_them(loaded: skep.Object) -> None:
    loaded.data.limit = 5
    result = loaded.programs["count"].run(data=PACKET, repeat=7)

    assert result.retval == loaded.rodata.answer == 42
    assert loaded.bss.counter == 35
    assert loaded.data.colour == 7


def test_an_unknown_variable_lists_those_there_are(loaded: skep.Object) -> None:
    with pytest.raises(AttributeError, match="there are: "):
        _ = loaded.data.nothing


def test_a_frozen_section_is_not_written(loaded: skep.Object) -> None:
    with pytest.raises(AttributeError, match="frozen"):
        loaded.rodata.answer = 1


def test_printk_lines_are_collected(loaded: skep.Object) -> None:
    loaded.programs["count"].run(data=PACKET)

    assert loaded.printk() == ["counted 3"]


def test_a_ring_gives_its_records_in_order_and_counts_the_lost(loaded: skep.Object) -> None:
    reader = loaded.ring("ring", lambda record: int.from_bytes(record[:4], "little"))
    for size in (60, 61, 62, 63, 64):
        loaded.programs["record"].run(data=bytes(size))

    assert (list(reader), reader.lost) == ([60, 61, 62, 63], 1)
    assert list(reader) == []


def test_a_ring_is_read_asynchronously(loaded: skep.Object) -> None:
    reader = loaded.ring("ring", len)

    async def read() -> list[int]:
        seen = []
        loaded.programs["record"].run(data=PACKET)
        async for size in reader:
            seen.append(size)
            if len(seen) == 2:
                reader.close()
            loaded.programs["record"].run(data=PACKET)
        return seen

    assert asyncio.run(read()) == [1000, 1000]


def test_perf_samples_are_read(loaded: skep.Object) -> None:
    reader = loaded.ring("events")
    loaded.programs["sample"].run(data=PACKET)
    (record,) = reader

    assert record[:4] == b"\7\0\0\0"


def test_a_map_without_records_has_no_reader(loaded: skep.Object) -> None:
    with pytest.raises(LoadError, match="hash"):
        loaded.ring("typed")


def test_only_named_programs_are_loaded() -> None:
    with skep.load(OBJECTS / "session.bpf.o", programs=["record"]) as loaded:
        assert list(loaded.programs) == ["record"]
        assert loaded.only_program().name == "record"


def test_a_refusal_is_raised_with_its_rule() -> None:
    with pytest.raises(skep.Rejected) as raised:
        skep.load(OBJECTS / "refused.bpf.o", programs=["no_null_check"])

    assert raised.value.errno_name == "EACCES"
    assert "map_value_or_null" in str(raised.value)
    assert "refused.bpf.c:24" in str(raised.value)


def test_what_is_no_object_is_an_elf_error() -> None:
    with pytest.raises(ElfError):
        skep.load(b"\x7fELF and nothing more")


def test_closing_frees_every_map_and_program() -> None:
    loaded = skep.load(OBJECTS / "session.bpf.o")
    objects = loaded.subsystem.state.objects
    loaded.close()
    loaded.close()

    from skep.syscall.objects import Kind

    assert (objects.count(Kind.MAP), objects.count(Kind.PROG)) == (0, 0)


def test_verdicts_come_for_every_program() -> None:
    rows = {v.program: v for v in skep.verify_file(OBJECTS / "refused.bpf.o")}

    assert [(v.verdict, v.errno) for v in rows.values()] == [
        ("accepted", ""), ("rejected", "EACCES"), ("rejected", "EACCES"),
    ]  # fmt: skip
    assert rows["no_null_check"].source == "./refused.bpf.c:24"
    assert rows["no_null_check"].insn == 8
    assert rows["no_bounds_check"].rule == "packet-in-range"


def test_a_bad_file_is_one_error_verdict(tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(b"not an object at all")
    (verdict,) = skep.verify_file(path)

    assert (verdict.verdict, verdict.file) == ("error", str(path))
