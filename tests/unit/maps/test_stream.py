"""Ring buffers and perf rings."""

import ctypes
import mmap
import threading

import pytest

from skep.errors import CommandError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.perf import PerfEventArray, PerfRecord, PerfRing
from skep.maps.perf_code import perf_event_output
from skep.maps.ring_code import (
    ringbuf_discard,
    ringbuf_output,
    ringbuf_query,
    ringbuf_reserve,
    ringbuf_submit,
)
from skep.maps.stored import address_of
from skep.maps.stream import RingBuffer
from skep.runtime.world import World


def ring_of(library: NativeLibrary, size: int = 4096) -> RingBuffer:
    made = create_map(Creation(map_type=27, max_entries=size, library=library))
    assert isinstance(made, RingBuffer)
    return made


def test_records_come_out_in_the_order_of_reservation(library: NativeLibrary) -> None:
    ring = ring_of(library)
    output = library.bind(ringbuf_output)
    for number in range(5):
        data = bytes([number]) * (number + 1)
        assert output(0, ring.address, address_of(data), len(data), 0) == 0

    assert [bytes([n]) * (n + 1) for n in range(5)] == list(ring.records())
    assert list(ring.records()) == []


def test_an_unfinished_record_holds_back_those_behind_it(library: NativeLibrary) -> None:
    ring = ring_of(library)
    reserve, submit = library.bind(ringbuf_reserve), library.bind(ringbuf_submit)
    first, second = (reserve(0, ring.address, 8, 0) for _ in range(2))
    ctypes.memmove(second, b"second!!", 8)
    submit(0, second, 0)
    assert list(ring.records()) == []
    ctypes.memmove(first, b"first!!!", 8)
    submit(0, first, 0)

    assert list(ring.records()) == [b"first!!!", b"second!!"]


def test_a_discarded_record_is_skipped(library: NativeLibrary) -> None:
    ring = ring_of(library)
    record = library.bind(ringbuf_reserve)(0, ring.address, 24, 0)
    library.bind(ringbuf_discard)(0, record, 0)

    assert list(ring.records()) == []
    assert ring.unread == 0


def test_a_full_ring_refuses_and_counts(library: NativeLibrary) -> None:
    ring = ring_of(library)
    reserve = library.bind(ringbuf_reserve)
    while reserve(0, ring.address, 1000, 0):
        pass

    assert ring.dropped == 1
    assert ring.unread == 4 * 1008
    assert reserve(0, ring.address, 5000, 0) == 0


def test_records_wrap_around_the_end_in_one_piece(library: NativeLibrary) -> None:
    ring = ring_of(library)
    output = library.bind(ringbuf_output)
    for number in range(50):
        data = bytes([number]) * 777
        assert output(0, ring.address, address_of(data), len(data), 0) == 0
        assert list(ring.records()) == [data]


def test_query_answers_sizes_and_positions(library: NativeLibrary) -> None:
    ring = ring_of(library)
    query = library.bind(ringbuf_query)
    data = b"12345"
    library.bind(ringbuf_output)(0, ring.address, address_of(data), 5, 0)

    assert [query(0, ring.address, what) for what in range(5)] == [16, 4096, 0, 16, 0]


def test_the_file_shows_linux_layout(library: NativeLibrary) -> None:
    ring = ring_of(library)
    data = b"abcdefgh"
    library.bind(ringbuf_output)(0, ring.address, address_of(data), 8, 0)
    with mmap.mmap(ring.memory.fd, 3 * 4096) as seen:
        assert seen[4096:4104] == (16).to_bytes(8, "little")
        assert seen[8192:8208] == (8).to_bytes(4, "little") + (3).to_bytes(4, "little") + data
        seen[0:8] = (16).to_bytes(8, "little")

    assert ring.unread == 0


def test_unknown_flags_are_refused(library: NativeLibrary) -> None:
    ring = ring_of(library)
    data = b"abcdefgh"

    assert library.bind(ringbuf_output)(0, ring.address, address_of(data), 8, 4) == 2**64 - 22
    assert library.bind(ringbuf_reserve)(0, ring.address, 8, 1) == 0


def test_wait_ends_when_a_record_comes(library: NativeLibrary) -> None:
    ring = ring_of(library)
    assert not ring.wait(0.0)
    data = b"abcdefgh"
    output = library.bind(ringbuf_output)
    writer = threading.Timer(0.02, lambda: output(0, ring.address, address_of(data), 8, 0))
    writer.start()

    assert ring.wait(5.0)
    writer.join()
    assert list(ring.records()) == [data]


def test_two_readers_share_the_records_and_never_wait_for_each_other(
    library: NativeLibrary,
) -> None:
    # A reader that had stopped between two records held the lock of all readers: the second one,
    # on the same thread in an event loop, waited for ever.
    ring = ring_of(library)
    output = library.bind(ringbuf_output)
    for data in (b"1", b"2", b"3"):
        output(0, ring.address, address_of(data), 1, 0)
    first, second = ring.records(), ring.records()

    assert [next(first), next(second), next(first)] == [b"1", b"2", b"3"]


def test_wait_is_not_woken_by_records_that_were_read_already(library: NativeLibrary) -> None:
    ring = ring_of(library)
    assert not ring.wait(0.0)
    data = b"abcdefgh"
    library.bind(ringbuf_output)(0, ring.address, address_of(data), 8, 0)
    assert list(ring.records()) == [data]

    assert not ring.wait(0.01)


def test_wait_takes_any_length_of_time(library: NativeLibrary) -> None:
    ring = ring_of(library)
    data = b"abcdefgh"
    output = library.bind(ringbuf_output)
    writer = threading.Timer(0.02, lambda: output(0, ring.address, address_of(data), 8, 0))
    writer.start()

    assert ring.wait(1e12)
    writer.join()


@pytest.mark.parametrize("size", [0, 100, 4095, 3 * 4096])
def test_sizes_that_are_no_power_of_two_pages_are_einval(size: int, library: NativeLibrary) -> None:
    with pytest.raises(CommandError) as refusal:
        ring_of(library, size)

    assert refusal.value.errno_name == "EINVAL"


def perf_of(library: NativeLibrary, pages: int = 1) -> tuple[PerfEventArray, list[PerfRing]]:
    made = create_map(
        Creation(map_type=4, key_size=4, value_size=4, max_entries=2, cpus=2, library=library)
    )
    assert isinstance(made, PerfEventArray)
    return made, made.open_rings(pages)


def test_samples_go_to_the_ring_of_the_cpu(library: NativeLibrary, world: World) -> None:
    made, rings = perf_of(library)
    output = library.bind(perf_event_output)
    data = b"0123456789"
    with world.running(cpu=1) as run:
        assert output(run.address, 0, made.address, 0xFFFFFFFF, address_of(data), 10) == 0
        assert output(run.address, 0, made.address, 0, address_of(data), 10) == 2**64 - 95
        assert output(run.address, 0, made.address, 7, address_of(data), 10) == 2**64 - 7
        assert output(run.address, 0, made.address, 1 << 60, address_of(data), 10) == 2**64 - 22

    assert list(rings[0].records()) == []
    assert list(rings[1].records()) == [PerfRecord(data + b"\0\0")]


def test_readers_of_one_perf_ring_share_its_samples(library: NativeLibrary, world: World) -> None:
    made, rings = perf_of(library)
    output = library.bind(perf_event_output)
    samples = [b"0123", b"4567"]
    with world.running(cpu=0) as run:
        for data in samples:
            output(run.address, 0, made.address, 0, address_of(data), 4)
    first, second = rings[0].records(), rings[0].records()

    assert [next(first), next(second)] == [PerfRecord(data) for data in samples]


def test_lost_samples_are_counted_and_told_before_the_next(
    library: NativeLibrary, world: World
) -> None:
    made, rings = perf_of(library)
    output = library.bind(perf_event_output)
    data = bytes(1000)
    with world.running(cpu=0) as run:
        arguments = (run.address, 0, made.address, 0, address_of(data), 1000)
        answers = [output(*arguments) for _ in range(6)]
        first = list(rings[0].records())
        assert output(*arguments) == 0

    assert answers == [0, 0, 0, 0, 2**64 - 28, 2**64 - 28]
    assert len(first) == 4
    assert rings[0].lost == 2
    assert [record.lost for record in rings[0].records()] == [2, 0]


def test_an_empty_place_is_enoent(library: NativeLibrary, world: World) -> None:
    made, _ = perf_of(library)
    made.delete(bytes(4))
    with world.running(cpu=0) as run:
        answer = library.bind(perf_event_output)(run.address, 0, made.address, 0, run.address, 8)

    assert answer == 2**64 - 2
