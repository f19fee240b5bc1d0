"""Many elements at a time: numpy arrays and sequences, on maps of loaded objects."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skep
from skep.engine.llvm.library import CompiledLibrary
from skep.errors import CommandError, NotSupported
from skep.maps.creation import Creation
from skep.maps.families import create_map

OBJECTS = Path(__file__).parents[2] / "objects"
LIBRARY = CompiledLibrary()


@pytest.fixture(name="loaded")
def _loaded() -> Iterator[skep.Object]:
    with skep.load(OBJECTS / "session.bpf.o") as loaded:
        yield loaded


def untyped(kind: int, key_size: int, value_size: int, entries: int, flags: int = 0) -> skep.Map:
    target = create_map(
        Creation(
            map_type=kind, key_size=key_size, value_size=value_size, max_entries=entries,
            map_flags=flags, cpus=3, library=LIBRARY,
        )
    )  # fmt: skip
    return skep.Map(target, -1, "untyped")


def test_a_map_as_arrays_has_the_types_of_btf(loaded: skep.Object) -> None:
    typed = loaded.maps["typed"]
    typed[5] = {"packets": 1, "bytes": 2, "ports": [3, 4], "name": "lo"}
    keys, values = typed.to_numpy()

    assert keys.tolist() == [5]
    assert keys.dtype == np.uint32
    assert values["packets"].tolist() == [1]
    assert values["ports"].tolist() == [[3, 4]]
    assert values["name"].tolist() == [b"lo"]


def test_arrays_that_are_stored_come_back(loaded: skep.Object) -> None:
    typed = loaded.maps["typed"]
    values: Any = np.zeros(3, typed.to_numpy()[1].dtype)
    values["packets"] = [10, 20, 30]
    typed.update_many(np.array([1, 2, 3]), values)

    assert {key: value["packets"] for key, value in typed.items()} == {1: 10, 2: 20, 3: 30}


def test_python_values_are_stored_as_one_by_one(loaded: skep.Object) -> None:
    typed = loaded.maps["typed"]
    typed.update_many(range(2), [{"packets": 7}, bytes(24)])

    assert [typed[0]["packets"], typed[1]["packets"]] == [7, 0]


def test_an_update_that_is_refused_keeps_what_came_before_and_says_how_much() -> None:
    table = untyped(1, 4, 8, 3)
    with pytest.raises(CommandError) as caught:
        table.update_many(range(5), range(5))

    assert caught.value.errno_name == "E2BIG"
    assert caught.value.__notes__ == ["3 of 5 elements were stored"]
    assert dict(table) == {0: 0, 1: 1, 2: 2}


def test_flags_hold_for_each_element() -> None:
    table = untyped(1, 4, 8, 3)
    table[1] = 1
    with pytest.raises(CommandError, match="EEXIST"):
        table.update_many([0, 1], [5, 5], flags=1)

    assert dict(table) == {0: 5, 1: 1}


def test_many_look_ups_say_which_keys_are_there() -> None:
    table = untyped(1, 4, 8, 10)
    table.update_many([1, 3], [10, 30])
    values, there = table.lookup_many(np.array([3, 2, 1]))

    assert values.tolist() == [30, 0, 10]
    assert there.tolist() == [True, False, True]


def test_many_deletions_count_what_was_there() -> None:
    table = untyped(1, 4, 8, 10)
    table.update_many(range(10), range(10))

    assert table.delete_many([1, 2, 2, 77]) == 2
    assert sorted(table) == [0, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", [1, 2, 5, 6, 9, 10])
def test_a_hundred_thousand_elements_survive_the_way_in_and_out(kind: int) -> None:
    count = 100_000
    table = untyped(kind, 4, 8, count)
    per_cpu = kind in {5, 6, 10}
    keys = np.random.default_rng(1).permutation(count).astype("u4")
    values = np.arange(count * (3 if per_cpu else 1), dtype="u8")
    table.update_many(keys, values.reshape(count, 3) if per_cpu else values)
    found, data = table.to_numpy()
    order = np.argsort(found)

    assert np.array_equal(found[order], np.arange(count))
    assert np.array_equal(data[order][keys], values.reshape(data.shape))


def test_a_trie_goes_in_and_out_longer_prefixes_first() -> None:
    table = untyped(11, 8, 4, 5000, flags=1)
    keys = [(bits).to_bytes(4, "little") + bytes([1, 2, n >> 8, n & 255])
            for bits in (32, 16) for n in range(4500 if bits == 32 else 1)]  # fmt: skip
    table.update_many(keys, range(len(keys)))
    found, values = table.to_numpy()

    assert sorted(keys) == sorted(key.tobytes() for key in found)
    assert found[-1].tobytes() == keys[-1]
    assert dict(table) == dict(zip(found.tolist(), values.tolist(), strict=True))


def test_values_of_three_bytes_keep_their_stride() -> None:
    table = untyped(6, 4, 3, 2)
    raw = np.array([[b"abc", b"def", b"ghi"]], "V3")
    table.update_many([1], [[b"abc", b"def", b"ghi"]])

    assert table[1] == [b"abc", b"def", b"ghi"]
    assert table.to_numpy()[1][1].tolist() == raw[0].tolist()


def test_a_view_is_the_memory_of_an_array() -> None:
    table = untyped(2, 4, 8, 4)
    view = table.view()
    view[2] = 77
    table[3] = 88

    assert table[2] == 77
    assert view.tolist() == [0, 0, 77, 88]


def test_a_view_of_a_per_cpu_array_has_a_column_for_each_cpu() -> None:
    table = untyped(6, 4, 8, 2)
    table[1] = [1, 2, 3]
    view = table.view()
    view[0, 2] = 9

    assert view.tolist() == [[0, 0, 9], [1, 2, 3]]
    assert table[0] == [0, 0, 9]


def test_a_view_outlives_its_map() -> None:
    view = untyped(2, 4, 8, 4).view()
    view[:] = 5

    assert view.sum() == 20


def test_a_view_of_constants_cannot_be_written(loaded: skep.Object) -> None:
    constants = next(each for name, each in loaded.maps.items() if name.endswith("rodata"))

    assert not constants.view().flags.writeable


def test_a_view_of_a_hash_is_refused() -> None:
    with pytest.raises(NotSupported, match="only the values of arrays lie in rows"):
        untyped(1, 4, 8, 4).view()


def test_descriptors_do_not_go_in_bulk(loaded: skep.Object) -> None:
    with pytest.raises(NotSupported, match="many elements of"):
        loaded.maps["queue"].to_numpy()


def test_numbers_that_do_not_fit_are_refused() -> None:
    table = untyped(1, 4, 8, 4)

    with pytest.raises(ValueError, match=r"-1 \.\. 5 is not in 0 \.\. 4294967295"):
        table.update_many(np.array([-1, 5]), np.array([1, 2]))
    with pytest.raises(TypeError):
        table.update_many(np.array([1, 5]), np.array([1.5, 2]))
    with pytest.raises(ValueError, match="1 values for 2 keys"):
        table.update_many(np.array([1, 5]), np.array([1]))
    assert not table


def test_without_numpy_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = untyped(1, 4, 8, 4)
    monkeypatch.setitem(sys.modules, "numpy", None)

    table.update_many([1], [2])
    with pytest.raises(ImportError, match=r"pip install 'skep\[numpy\]'"):
        table.to_numpy()


def test_pop_setdefault_and_clear_are_those_of_a_dict() -> None:
    table = untyped(1, 4, 8, 4)
    table.update({1: 10, 2: 20})

    assert table.pop(1) == 10
    assert table.pop(1, None) is None
    with pytest.raises(KeyError):
        table.pop(1)
    assert table.setdefault(2, 5) == 20
    assert table.setdefault(3, 5) == 5
    assert sorted(table.values()) == [5, 20]
    table.clear()
    assert len(table) == 0


def test_a_walk_sees_what_stays_once_while_others_come_and_go() -> None:
    table = untyped(1, 4, 8, 4000)
    table.update_many(range(1000), range(1000))
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            table.update_many(range(1000, 3000), range(2000))
            table.delete_many(range(1000, 3000))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(30):
            seen = [key for key, _ in table.items()]
            found, _values = table.to_numpy()
            for keys in (seen, found.tolist(), list(table)):
                assert len(set(keys)) == len(keys)
                assert set(range(1000)) <= set(keys)
    finally:
        stop.set()
        thread.join(60)


def test_a_queue_has_a_length_and_no_keys(loaded: skep.Object) -> None:
    queue = loaded.maps["queue"]
    queue.push(1)
    queue.push(2)

    assert len(queue) == 2
    assert queue
    with pytest.raises(TypeError, match="a queue has no keys"):
        list(queue)
    assert [queue.pop(), queue.pop(), len(queue)] == [1, 2, 0]


def test_items_and_views_of_values_are_those_of_a_mapping() -> None:
    table = untyped(1, 4, 8, 4)
    table.update({1: 10, 2: 20})

    assert (1, 10) in table.items()
    assert (1, 11) not in table.items()
    assert 20 in table.values()
    assert len(table.items()) == 2
    assert table == {1: 10, 2: 20}
    assert {table.popitem(), table.popitem()} == {(1, 10), (2, 20)}
    with pytest.raises(KeyError):
        table.popitem()
