"""User ring buffers: what user space writes, programs read."""

import ctypes
import mmap
import threading
import time
from pathlib import Path

import pytest

import skep
from skep.base.native import load64
from skep.engine.llvm.library import CompiledLibrary
from skep.errors import CommandError, LoadError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.user_ring import UserRingBuffer
from skep.maps.user_ring_code import user_ring_peek, user_ring_release
from skep.maps.wake import wake

OBJECT = Path(__file__).parents[2] / "objects" / "user_ring.bpf.o"
FRAME = bytes(64)
EAGAIN, ENODATA, EINVAL, E2BIG = (2**64 - number for number in (11, 61, 22, 7))


def ring_of(library: NativeLibrary, size: int = 4096) -> UserRingBuffer:
    made = create_map(Creation(map_type=31, max_entries=size, library=library))
    assert isinstance(made, UserRingBuffer)
    return made


def take(library: NativeLibrary, ring: UserRingBuffer) -> bytes | int:
    """The oldest record as a program gets it, or the errno."""
    room = ctypes.create_string_buffer(16)
    place = ctypes.addressof(room)
    answer = library.bind(user_ring_peek)(ring.address, place)
    if answer:
        return answer
    data = ctypes.string_at(load64(place), load64(place + 8))
    library.bind(user_ring_release)(ring.address, len(data))
    return data


def test_records_come_in_the_order_of_reservation(library: NativeLibrary) -> None:
    ring = ring_of(library)
    first, second = ring.reserve(5), ring.reserve(3)
    second.data[:] = b"two"
    second.submit()
    assert take(library, ring) == ENODATA
    first.data[:] = b"first"
    first.submit()

    assert [take(library, ring) for _ in range(3)] == [b"first", b"two", ENODATA]
    assert ring.unread == 0


def test_a_discarded_record_is_passed_over(library: NativeLibrary) -> None:
    ring = ring_of(library)
    ring.reserve(5).discard()
    ring.write(b"next")

    assert [take(library, ring) for _ in range(3)] == [EAGAIN, b"next", ENODATA]


def test_a_record_whose_block_raises_is_discarded(library: NativeLibrary) -> None:
    ring = ring_of(library)

    def fail(data: memoryview) -> None:
        data[:2] = b"ha"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ring.reserve(4) as data:
        fail(data)
    with ring.reserve(4) as data:
        data[:] = b"good"

    assert [take(library, ring) for _ in range(2)] == [EAGAIN, b"good"]


def test_a_full_ring_has_no_room_and_never_room_for_more_than_it_is(library: NativeLibrary) -> None:
    ring = ring_of(library)
    ring.write(bytes(4080))
    with pytest.raises(CommandError, match="ENOSPC"):
        ring.reserve(1)
    with pytest.raises(CommandError, match="E2BIG"):
        ring.reserve(4089)

    take(library, ring)
    ring.write(bytes(4088))


def test_records_wrap_around_the_end_in_one_piece(library: NativeLibrary) -> None:
    ring = ring_of(library)
    for number in range(50):
        ring.write(bytes([number]) * 777)
        assert take(library, ring) == bytes([number]) * 777


@pytest.mark.parametrize(
    ("producer", "header", "answer"),
    [(4, 0, EINVAL), (8, 8, EINVAL), (8192, 4089, E2BIG), (8, 0, b""), (16, 1 << 31 | 8, ENODATA)],
)
def test_what_is_no_record_is_not_read(
    producer: int, header: int, answer: int | bytes, library: NativeLibrary
) -> None:
    ring = ring_of(library)
    with mmap.mmap(ring.memory.fd, 3 * 4096) as seen:
        seen[4096:4104] = producer.to_bytes(8, "little")
        seen[8192:8196] = header.to_bytes(4, "little")

    assert take(library, ring) == answer


def test_a_writer_waits_until_a_program_makes_room() -> None:
    library = CompiledLibrary()
    ring = ring_of(library)
    ring.write(bytes(4080))

    def drain() -> None:
        time.sleep(0.02)
        take(library, ring)
        library.bind(wake)(ring.address)

    thread = threading.Thread(target=drain)
    thread.start()
    ring.write(b"later", timeout=10)
    thread.join()

    assert take(library, ring) == b"later"
    ring.write(bytes(4080))
    with pytest.raises(CommandError, match="ENOSPC"):
        ring.write(bytes(100), timeout=0.01)


def test_a_program_drains_what_was_written() -> None:
    with skep.load(OBJECT) as loaded:
        writer = loaded.writer("requests")
        for number in (10, 20, 30):
            writer.write(number.to_bytes(4, "little"))
        writer.reserve(8).discard()
        loaded.programs["drain"].run(data=FRAME)

        found = loaded.bss.answer, loaded.bss.seen, loaded.bss.sum, writer.unread
        assert found == (3, 3, 60, 0)


def test_a_callback_may_stop_and_the_rest_stays() -> None:
    with skep.load(OBJECT) as loaded:
        writer = loaded.writer("requests", lambda number: number.to_bytes(4, "little"))
        for number in (1, 2, 3):
            writer.write(number)
        loaded.bss.stop_after = 2
        loaded.programs["drain"].run(data=FRAME)

        assert (loaded.bss.answer, loaded.bss.sum, writer.unread) == (2, 3, 16)


def test_nobody_else_drains_while_a_program_does() -> None:
    with skep.load(OBJECT) as loaded:
        loaded.writer("requests").write(b"1234")
        loaded.programs["drain_within"].run(data=FRAME)

        assert loaded.bss.answer == 1
        assert loaded.bss.nested == 2**64 - 16  # EBUSY


def test_unknown_flags_are_refused() -> None:
    with skep.load(OBJECT) as loaded:
        loaded.bss.flags = 4
        loaded.programs["drain"].run(data=FRAME)

        assert loaded.bss.answer == -22


def test_other_maps_take_no_records() -> None:
    with (
        skep.load(OBJECT.with_name("session.bpf.o")) as loaded,
        pytest.raises(LoadError, match="a hash map takes no records"),
    ):
        loaded.writer("typed")


def test_many_writers_and_a_program_lose_nothing() -> None:
    with skep.load(OBJECT) as loaded:
        writer, program = loaded.writer("requests"), loaded.programs["drain"]

        def send() -> None:
            for _ in range(2000):
                writer.write(b"\1\0\0\0", timeout=30)

        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            program.run(data=FRAME)
        program.run(data=FRAME)

        assert (loaded.bss.seen, loaded.bss.sum) == (6000, 6000)
