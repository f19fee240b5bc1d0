"""Maps behave as the obvious Python containers do."""

import errno
from collections import OrderedDict, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from skep.engine.llvm.library import CompiledLibrary
from skep.errors import CommandError
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.interface import Map

LIBRARY = CompiledLibrary()
ENTRIES = 5
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["update", "update", "lookup", "delete", "take"]),
        st.integers(0, 7),
        st.integers(0, 255),
        st.sampled_from([0, 0, 0, 1, 2]),
    ),
    max_size=60,
)


def made(kind: int, key_size: int, flags: int = 0) -> Map:
    return create_map(
        Creation(
            map_type=kind, key_size=key_size, value_size=3, max_entries=ENTRIES, map_flags=flags,
            library=LIBRARY,
        )
    )  # fmt: skip


def refused(error: CommandError) -> int:
    return -error.errno


def ask(map_: Map, name: str, key: bytes, value: bytes, flags: int) -> bytes | int | None:
    try:
        if name == "update":
            return map_.update(key, value, flags)
        if name == "lookup":
            return map_.lookup(key)
        return map_.delete(key) if name == "delete" else map_.lookup_and_delete(key)
    except CommandError as error:
        return refused(error)


def ask_dict(
    model: dict[bytes, bytes], name: str, key: bytes, value: bytes, flags: int
) -> bytes | int | None:
    if name == "update":
        if flags == 1 and key in model:
            return -errno.EEXIST
        if flags == 2 and key not in model:
            return -errno.ENOENT
        if key not in model and len(model) == ENTRIES:
            return -errno.E2BIG
        model[key] = value
        return None
    if key not in model:
        return -errno.ENOENT
    if name == "lookup":
        return model[key]
    taken = model.pop(key)
    return taken if name == "take" else None


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, key_size=st.sampled_from([1, 4, 5, 8, 13]), flags=st.sampled_from([0, 1]))
def test_a_hash_is_a_dict(
    steps: list[tuple[str, int, int, int]], key_size: int, flags: int
) -> None:
    map_, model = made(1, key_size, flags), dict[bytes, bytes]()
    for name, number, byte, condition in steps:
        key, value = bytes([number]) * key_size, bytes([byte]) * 3
        assert ask_dict(model, name, key, value, condition) == ask(
            map_, name, key, value, condition
        )
        assert {key: map_.lookup(key) for key in map_.keys()} == model  # noqa: SIM118


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_an_lru_map_holds_the_newest_and_nothing_else(
    steps: list[tuple[str, int, int, int]],
) -> None:
    map_, model = made(9, 4), OrderedDict[bytes, bytes]()
    for name, number, byte, _ in steps:
        key, value = bytes([number]) * 4, bytes([byte]) * 3
        if name == "update":
            map_.update(key, value)
            model[key] = value
        elif name in {"delete", "take"}:
            ask(map_, "delete", key, value, 0)
            model.pop(key, None)
        found = {key: map_.lookup(key) for key in map_.keys()}  # noqa: SIM118
        assert found.items() <= model.items()
        assert len(found) <= ENTRIES
        if name == "update":
            assert found[key] == value


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, kind=st.sampled_from([22, 23]))
def test_queues_and_stacks_are_deques(steps: list[tuple[str, int, int, int]], kind: int) -> None:
    map_, model = made(kind, 0), deque[bytes]()
    for name, _, byte, flags in steps:
        value = bytes([byte]) * 3
        if name == "delete" or flags == 1:
            continue
        if name == "update":
            full = len(model) == ENTRIES
            expected: bytes | int | None = -errno.E2BIG if full and not flags else None
            if full and flags:
                model.popleft()
            if expected is None:
                model.append(value)
        else:
            place = 0 if kind == 22 else -1
            expected = model[place] if model else -errno.ENOENT
            if model and name == "take":
                del model[place]
        assert expected == ask(map_, name, b"", value, flags)


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 16), st.integers(0, 0xFFFF), st.integers(0, 255)),
        max_size=40,
    ),
    asked=st.lists(st.integers(0, 0xFFFF), max_size=20),
)
def test_a_trie_finds_what_a_search_of_all_prefixes_finds(
    steps: list[tuple[bool, int, int, int]], asked: list[int]
) -> None:
    map_ = create_map(
        Creation(
            map_type=11, key_size=6, value_size=1, max_entries=100, map_flags=1, library=LIBRARY
        )
    )
    model: dict[tuple[int, int], bytes] = {}
    for add, bits, number, byte in steps:
        key = bits.to_bytes(4, "little") + number.to_bytes(2, "big")
        place = bits, number >> (16 - bits)
        if add:
            map_.update(key, bytes([byte]))
            model[place] = bytes([byte])
        else:
            assert (ask(map_, "delete", key, b"", 0) is None) == (
                model.pop(place, None) is not None
            )
    for number in [*asked, *(row[2] for row in steps)]:
        found = [model.get((bits, number >> (16 - bits))) for bits in range(16, -1, -1)]
        expected = next((value for value in found if value is not None), -errno.ENOENT)
        key = (16).to_bytes(4, "little") + number.to_bytes(2, "big")
        assert expected == ask(map_, "lookup", key, b"", 0)
    assert len(list(map_.keys())) == len(model)
